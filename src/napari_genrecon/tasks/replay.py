"""Make a result again from its record, and compare the pixels.

On the machine that made it, with the same versions and number of threads, every pixel must be equal; elsewhere both
must agree within the bound of `noise.same`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, fields, replace
from itertools import accumulate, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import ImageArray
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.lazy import as_transposable, computed
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import ImageFile
from napari_genrecon.io.points import ENDING as POINTS
from napari_genrecon.io.points import read_columns, read_places
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import record_at, record_of
from napari_genrecon.io.record.history import steps_of_run
from napari_genrecon.noise import NoiseModel
from napari_genrecon.noise.same import Comparison, alike, bound_of
from napari_genrecon.optics import MeasuredPSF, Optics
from napari_genrecon.tasks import Task, find_task
from napari_genrecon.tasks.augment.example import example_steps
from napari_genrecon.tasks.augment.options import AugmentOptions
from napari_genrecon.tasks.augment.parent import parent_steps
from napari_genrecon.tasks.files import array_options, finished, tile_of
from napari_genrecon.tasks.pixel_size import measured_psf
from napari_genrecon.tasks.plan import borrowed
from napari_genrecon.tasks.sample import SampleOptions, sample_steps
from napari_genrecon.tasks.task import Result

__all__ = ["PointsReplay", "Replay", "other_image", "replay_steps", "source_of", "with_all_axes"]

_SAME_NUMBER = 1e-4  # part of a number of a point by which other machines may differ; files keep nine digits


@dataclass(frozen=True, slots=True)
class Replay:
    """Comparison of a result with one that was made again.

    Attributes
    ----------
    found : Comparison
        Differences of the pixels.
    notes : tuple of str
        Differences to the first run, in sentences: another machine, other versions.
    exact : bool
        Whether every pixel must be equal, as nothing differs that could change the last digits.
    """

    found: Comparison
    notes: tuple[str, ...]
    exact: bool

    @property
    def same(self) -> bool:
        """Whether the result is what the record says."""
        return self.found.identical or (self.found.same and not self.exact)

    def __str__(self) -> str:
        if self.found.identical:
            outcome = "made again, every pixel agrees"
        # Not identical, so it is another machine: the bound counts.
        elif self.same:
            outcome = (
                f"made again, the same within {self.found.bound:g} noise s.d.: the pixels differ by up to {self.found}"
            )
        elif self.exact:
            outcome = f"the pixels differ by up to {self.found}, although the same machine must give equal pixels"
        else:
            outcome = (
                f"the pixels differ by up to {self.found}, and {self.found.bound:g} is the limit for another machine"
            )
        return outcome + (f" ({'; '.join(self.notes)})" if self.notes else "")


@dataclass(frozen=True, slots=True)
class PointsReplay:
    """Comparison of points with those that were found again.

    Attributes
    ----------
    then, now : int
        Number of points.
    fits : bool
        Whether there are as many, with the same columns.
    furthest : float
        Greatest difference of two numbers, as a part of the number, or itself for numbers below 1.
    notes : tuple of str
        Differences to the first run, in sentences.
    """

    then: int
    now: int
    fits: bool
    furthest: float
    notes: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether the points are what the record says."""
        return self.fits and self.furthest <= _SAME_NUMBER

    def __str__(self) -> str:
        said = (
            f"made again, {'the point agrees' if self.now == 1 else f'all {self.now} points agree'}"
            if self.same
            else f"the points differ by up to {self.furthest:.2g}"
        )
        if not self.fits:
            said = f"the number of points was {self.then}, and is {self.now} now"
        return said + (f" ({'; '.join(self.notes)})" if self.notes else "")


def replay_steps(path: Path, *, source: Path | None = None) -> Generator[Progress, None, Replay | PointsReplay]:
    """Make a result again from its record, and compare the pixels, or the points.

    Parameters
    ----------
    path : Path
        A result file of this program.
    source : Path, optional
        The input, if it is no longer where the record says.

    Raises
    ------
    ImageError
        If there is no record, no input, or the input is another image.
    """
    # Points are in a CSV file, which holds no image.
    if path.suffix.lower() == POINTS:
        return (yield from _points_again(path, source))
    image = finished(open_image(path))
    record = record_of(image)
    if record["task"] == "sample":
        return (yield from _sampled_again(image, record))
    if record["task"] == "augment":
        return (yield from _augmented_again(image, record, source_of(path, record, source)))
    # A result of a pipeline is made again from the file that its first step read.
    records = [_updated(step) for step in steps_of_run(record)]
    # Opened only once: the steps after the first take the lazy result of the one before.
    original = source_of(path, records[0], source)
    data = original.data
    for step in records:
        result = yield from _step_again(path, step, data)
        # Checked where the file is read; a step after it may differ in its last digits on another machine.
        if step is records[0] and result.record["input"]["fingerprint"] != step["input"]["fingerprint"]:
            raise other_image(original, path)
        data = result.data
    if record.get("of"):
        # The file holds a companion, such as the expected error, and not the result itself.
        result = replace(result, data=result.companions[record["of"]])
    return (yield from _compared(result, image, records[-1]))


def _step_again(path: Path, record: dict[str, Any], data: ImageArray) -> Generator[Progress, None, Result]:
    """Run a step again, lazily, with the noise and the tiles of its record."""
    task = find_task(record["task"])
    # Lazy, so that any size is compared in bounded memory.
    result = yield from task.steps(data, _options_of(task, record), lazy=True)
    for name in set(array_options(task)) & set(record):
        # A file that was replaced since then would make another result, and the pixels be blamed.
        if not alike(result.record[name], record[name]):
            raise ImageError(f"{record['arrays'][name]} is not the {name} that {path} was made with")
    return result


def _augmented_again(
    image: ImageFile, record: dict[str, Any], original: ImageFile
) -> Generator[Progress, None, Replay]:
    if record.get("of") == "labels":
        raise ImageError(f"{image.path} holds the labels of a new image: replay the image, which is in 'images'")
    # The digest of the whole parent is compared before a new image is drawn from it.
    parent = yield from parent_steps(original.data, AugmentOptions(**record["options"]), None, None)
    if parent.digest != record["input"]["fingerprint"]:
        raise other_image(original, image.path)
    example = yield from example_steps(parent, AugmentOptions(**record["options"]), record["parameters"]["index"])
    return (yield from _compared(Result(example.image, parent.axes, example.record), image, record))


def _points_again(path: Path, source: Path | None) -> Generator[Progress, None, PointsReplay]:
    """Find points again; their numbers must be those of the file."""
    record = record_at(path)
    original = source_of(path, record, source)
    task = find_task(record["task"])
    result = yield from task.steps(original.data, _options_of(task, record))
    if result.record["input"]["fingerprint"] != record["input"]["fingerprint"]:
        raise other_image(original, path)
    then, now = read_columns(path), replace(result.data, meta=original.about).columns()
    counts = [len(next(iter(columns.values()))) for columns in (then, now)]
    # Numbers can be compared in pairs only if there are as many of the same kind.
    same = counts[0] == counts[1] and then.keys() == now.keys()
    furthest = max((_furthest(then[name], now[name]) for name in now), default=0.0) if same and counts[0] else 0.0
    return PointsReplay(counts[0], counts[1], same, furthest, tuple(_differences(result.record, record)))


def _furthest(then: NDArray[np.float64], now: NDArray[Any]) -> float:
    # Relative for large numbers, absolute below 1, where a ratio would blow up rounding near 0.
    return float(np.max(np.abs(then - now) / np.maximum(np.abs(then), 1.0)))


def _updated(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record as this version would write it.

    Earlier, upscaling along z was an option of `upscale`, and frames were denoised by themselves.
    """
    options = record["options"]
    if options.get("learn"):
        raise ImageError("this result was made with upscale(learn=True), which this version does not have any more")
    if record["task"] == "denoise" and "frames" not in options:
        return {**record, "options": {**options, "frames": "none"}}
    return {**record, "task": "upscale_z"} if options.get("along") == "Z" else record


def source_of(path: Path, record: dict[str, Any], source: Path | None = None) -> ImageFile:
    """Return the image that a result was made from.

    Parameters
    ----------
    path : Path
        The result.
    record : dict
        Its record, with the path of the image.
    source : Path, optional
        Where the image is now, if it was moved.

    Raises
    ------
    ImageError
        If the image is not found.
    """
    known = record["input"].get("path", "")
    origin = source or Path(known)
    if not (source or known):
        raise ImageError(
            f"{path} was made from a layer or an array, and not from a file: save that image, and give it with --input"
        )
    if not origin.exists():
        raise ImageError(f"the input {origin} of {path} is not there: say where it is with --input")
    # Fillings have a dimension in front that their source lacks.
    letters = record["axes"]["letters"][-len(record["input"]["shape"]) :]
    return open_image(origin, axes=letters, series=record["input"].get("series"))


def other_image(image: ImageFile, result: Path) -> ImageError:
    """Return the error for an image that is not the one that a result was made from."""
    return ImageError(f"{image.path} is not the image that {result} was made from: give the right one with --input")


def _options_of(task: Task, record: dict[str, Any]) -> Any:
    known = {option.name for option in fields(task.options)}
    # Options of other versions that are gone by now are left out.
    values = {k: v for k, v in record["options"].items() if k in known}
    shape = tuple(record["input"]["shape"])
    values["axes"] = resolve_axes(record["axes"]["letters"][-len(shape) :], shape)
    if "precision" in known and record.get("precision", "float32") == "float32":
        values["precision"] = "float32"  # also where "auto" would now take bfloat16
    if "tile" in known:
        # The same tiles, as others would change the last digits.
        values["tile"] = tile_of(record)
    if record.get("noise"):
        # The recorded noise: a measurement on another machine may differ in its last digits.
        values["noise"] = tuple(NoiseModel.from_dict(model) for model in record["noise"])
    for name, kind in array_options(task).items():
        values[name] = _array(name, kind, record)
    return task.options(**values)


def _array(name: str, kind: str, record: dict[str, Any]) -> Any:
    """Return clicks, a mask, a point spread function or maps, read from its file or computed from the record."""
    given = record.get("arrays", {}).get(name)
    if given is None and record["nature"] == "detected":
        if "learned from" in record.get("found", {}) and name == "clicks":
            raise ImageError("the clicks were no file, so the points cannot be found again")
        return None
    made_from = record.get(name) or {}
    if kind == "maps" and not made_from:
        return None  # the only arrays that are not needed
    # Computed from numbers, so that no file is needed.
    if "optics" in made_from:
        return Optics(**made_from["optics"])
    width = made_from.get("gaussian_fwhm_px")
    if width is not None or (given is None and "detect" in record["options"]):
        return width  # a Gaussian, or a mask that was detected
    if given is None or not Path(given).exists():
        raise ImageError(f"the {name} ({given or 'an array'}) is not there, so the result cannot be made again")
    if kind == "points":
        return read_places(Path(given))
    found = open_image(given)
    if "pixel_size" not in made_from:
        return found.data
    # The sizes of the record, as the file need not state them.
    sizes = {key: tuple(made_from[key]) for key in ("pixel_size", "image_pixel_size")}
    return MeasuredPSF(pixels=measured_psf(found.data, found.about).pixels, **sizes)


def _compared(result: Result, image: ImageFile, record: dict[str, Any]) -> Generator[Progress, None, Replay]:
    """Compare the result with the file part by part; the file may hold the dimensions in another order."""
    # OME files know no colour samples: S is written as C.
    made = Axes(
        record["axes"]["letters"].replace("S", "C") if "S" not in image.axes.letters else record["axes"]["letters"]
    )
    stored = with_all_axes(image, made)
    data, comparison = result.data, Comparison(record["noise"], bound_of(result.record, record))
    parts = _parts(data)
    with borrowed(result.record.get("device", "cpu")):
        for count, part in enumerate(parts, start=1):
            # Part by part: neither version has to fit into memory.
            comparison.add(computed(data[part]), np.asarray(stored[part]).reshape(data[part].shape))
            yield Progress(count, len(parts), f"{count} of {len(parts)} parts compared")
    return Replay(comparison, tuple(_differences(result.record, record)), _is_exact(result.record, record))


def _parts(data: ImageArray) -> list[tuple[slice, ...]]:
    """Return the regions to compare: the chunks of a lazy array, else the entries of the first dimension.

    A chunk may be a whole stack; to ask for its planes one by one would compute it again for each.
    """
    sizes = getattr(data, "chunks", None) or ((1,) * data.shape[0], *((n,) for n in data.shape[1:]))
    # Without chunks: one entry of the first dimension, and all of the others.
    along = [[slice(stop - n, stop) for n, stop in zip(each, accumulate(each), strict=True)] for each in sizes]
    return list(product(*along))


def with_all_axes(image: ImageFile, wanted: Axes) -> Any:
    """Return the stored pixels with the dimensions of the result: readers drop those of length 1."""
    letters, lazy = image.axes.letters, as_transposable(image.data)
    names = wanted.letters if "S" in letters else wanted.letters.replace("S", "C")  # OME-Zarr has no colour samples
    # First the order of those that are there, then new dimensions of length 1 between them.
    moved = lazy.transpose([letters.index(letter) for letter in names if letter in letters])
    return moved[tuple(slice(None) if letter in letters else None for letter in names)]


def _is_exact(now: dict[str, Any], then: dict[str, Any]) -> bool:
    """Return whether both runs must give the same bits. GPUs do not guarantee that even on the same machine."""
    # With workers on several machines, another one may compute a part the next time.
    one_machine = now["device"] == "cpu" and len(now["machines"]) == 1
    return one_machine and all(now[name] == then.get(name) for name in ("device", "machines", "versions"))


def _differences(now: dict[str, Any], then: dict[str, Any]) -> list[str]:
    found = []
    if (now.get("model") or {}).get("sha256") != (then.get("model") or {}).get("sha256"):
        found.append("the model has other weights than then")
    if now["device"] != then["device"]:
        found.append(f"it was computed on {then['device']}, now on {now['device']}")
    precisions = [record.get("precision", "float32") for record in (now, then)]
    if precisions[0] != precisions[1]:
        found.append(f"it was computed in {precisions[1]}, now in {precisions[0]}")
    if now["machines"] != then.get("machines"):
        machines = " and ".join(then.get("machines", ["an unknown machine"]))
        found.append(f"it was computed by {machines}, now by {' and '.join(now['machines'])}")
    for name, version in then["versions"].items():
        if now["versions"].get(name) != version:
            found.append(f"{name} was {version}, is {now['versions'].get(name)}")
    return found


def _sampled_again(image: ImageFile, record: dict[str, Any]) -> Generator[Progress, None, Replay]:
    """Make synthetic images again; they have no input but the model and the seed."""
    result = yield from sample_steps(SampleOptions(**record["options"]))
    return (yield from _compared(result, image, record))
