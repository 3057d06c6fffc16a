"""Write a folder of training images: split by source image first, then augment the training part."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import as_numpy
from napari_genrecon.engine.run import Progress, map_progress
from napari_genrecon.errors import ExistsError, ImageError, OptionError, OutputError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.points import places_text
from napari_genrecon.io.publish import PART, check_target, rename, sentence
from napari_genrecon.io.record.provenance import versions
from napari_genrecon.io.tiff.write import write_tiff_steps
from napari_genrecon.plural import number_of
from napari_genrecon.tasks.augment.example import Example, example_steps
from napari_genrecon.tasks.augment.options import AugmentOptions
from napari_genrecon.tasks.augment.parent import Parent, parent_steps, pixels_digest
from napari_genrecon.tasks.files import turned
from napari_genrecon.training.data.split import split_by_source

__all__ = ["Source", "folder_steps", "summary"]

_FORMAT = "genrecon-augment/1"
"""Format of the manifest."""

_TRAIN, _VALIDATION = "train", "validation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An image to augment.

    Attributes
    ----------
    name : str
        Name for the files made from it.
    pixels : array_like
        The image; read when its turn comes.
    about : ImageMeta
        Axes, pixel size, units and channels.
    labels, points : array_like or None
        See `augment`.
    path : str
        Where it comes from; empty for a layer.
    """

    name: str
    pixels: Any
    about: ImageMeta
    labels: Any = None
    points: Any = None
    path: str = ""


def folder_steps(
    sources: Sequence[Source], folder: Path, options: AugmentOptions, *, validation: float = 0.2
) -> Generator[Progress, None, dict[str, Any]]:
    """Split images into training and validation, augment the training part, and write both into a new folder.

    ``train`` and ``validation`` hold ``images`` (OME-TIFF), ``labels`` (OME-TIFF) and ``points`` (CSV) under the same
    names. Originals are written, too; new images have ``_aug`` in their names and a record that says synthetic.
    ``manifest.json`` names for every file its parent, split, parameters and sha256.

    Parameters
    ----------
    sources : sequence of Source
        Images. Equal ones count as one, so that no image is in both parts.
    folder : Path
        Folder to make; it appears when all is written.
    options : AugmentOptions
        Options of `augment`; axes are those of each source.
    validation : float
        Share of the images that is set aside and not augmented, in [0, 0.5].

    Yields
    ------
    Progress

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    ExistsError
        If the folder exists and is not empty.
    OutputError
        If it cannot be written; nothing is left of it then.
    ImageError
        If labels or points do not fit their image.
    OptionError
        If there is no image, or `validation` is not in [0, 0.5].
    """
    _check(sources, folder, validation)
    # Beside the target, so that it can be renamed there: what is not whole never has the folder's name.
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=PART, dir=folder.absolute().parent))
    try:
        manifest = yield from _fill_steps(part, sources, options, validation)
        _publish(part, folder)
    except OSError as error:
        # OutputError is an OSError too, and says already what is wrong.
        if isinstance(error, OutputError):
            raise
        raise OutputError(sentence(folder, error)) from error
    finally:
        # Also when the run is cancelled; after publishing there is nothing under this name.
        shutil.rmtree(part, ignore_errors=True)
    return manifest


def summary(manifest: dict[str, Any]) -> str:
    """Return what a folder holds, in words."""
    made = sum(entry["synthetic"] for entry in manifest["files"])
    splits = [parent["split"] for parent in manifest["parents"]]
    return (
        f"{made} new images from {splits.count('train')} to train on, {splits.count('validation')} set aside for "
        "validation as they are"
    )


def _check(sources: Sequence[Source], folder: Path, validation: float) -> None:
    if not sources:
        raise OptionError("there is no image to augment: give one or several")
    if not 0 <= validation <= 0.5:
        raise OptionError(f"validation must lie between 0 and 0.5, got {validation:g}: a share of the images")
    if folder.is_dir() and not any(folder.iterdir()):
        return
    # A broken link is in the way as well, and `exists` does not see it.
    if os.path.lexists(folder):
        raise ExistsError(f"{folder} exists already and is not empty: choose a new folder, or move it away first")
    check_target(folder)


def _publish(part: Path, folder: Path) -> None:
    # The umask can only be read by setting it.
    umask = os.umask(0)
    os.umask(umask)
    part.chmod(0o777 & ~umask)  # a temporary folder is private, and the result should not be
    if folder.is_dir():
        # An empty folder: Windows does not rename over it.
        folder.rmdir()
    rename(part, folder)


def _fill_steps(
    part: Path, sources: Sequence[Source], options: AugmentOptions, validation: float
) -> Generator[Progress, None, dict[str, Any]]:
    # All images are read before the split, as copies must come into the same part; later they are read again.
    digests = []
    for source in sources:
        yield Progress(0, 0, f"reading '{source.name}'")
        digests.append(pixels_digest(as_numpy(source.pixels)))
    splits, notes = _split(digests, validation, options.seed)
    manifest: dict[str, Any] = {
        "format": _FORMAT,
        "nature": "synthetic",
        # Only where noise is drawn anew is the denoiser, and with it torch, involved.
        "versions": dict(versions(network=options.exposure > 0)),
        "options": asdict(replace(options, axes=None)),
        "seed": options.seed,
        "validation": validation,
        "notes": notes,
        "parents": [],
        "files": [],
    }
    names = _names(sources)
    for index, (source, split, name) in enumerate(zip(sources, splits, names, strict=True)):
        writer = _Writer(part, source.about.filled(), split, name, source.path)
        chosen = replace(options, axes=source.about.axes)

        def shown(progress: Progress, index: int = index, source: Source = source) -> Progress:
            # Progress counts images; the bar also moves within one.
            done = index + min(progress.done / max(progress.total, 1), 1)
            return Progress(index, len(sources), f"{source.name}: {progress.note}", done / len(sources))

        steps = _one_steps(writer, source, chosen)
        parent = yield from map_progress(steps, shown)
        manifest["parents"].append({"name": name, "path": source.path, "sha256": parent.digest, "split": split})
        manifest["files"] += writer.files
        manifest["notes"] += [f"{name}: {note}" for note in parent.notes]
    # Last: it lists the sums of all files.
    (part / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def _one_steps(writer: _Writer, source: Source, options: AugmentOptions) -> Generator[Progress, None, Parent]:
    """Write an image as it is, and new ones from it if it is one to train on."""
    augmented = writer.split == _TRAIN
    used = options if augmented else replace(options, exposure=0.0)  # no noise to draw, so none to remove
    parent = yield from parent_steps(source.pixels, used, source.labels, source.points)
    yield from writer.write_steps(parent.pixels, parent.labels, parent.points, parent.digest, None)
    for index in range(options.n if augmented else 0):
        example = yield from example_steps(parent, options, index)
        yield from writer.write_steps(
            example.image, example.labels, example.points, pixels_digest(example.image), example, index
        )
    return parent


def _split(digests: list[str], validation: float, seed: int) -> tuple[list[str], list[str]]:
    """Return the part of each image, and notes; equal images are in the same part."""
    # Each once, in the order of the images (a set has no order, and the split would not repeat).
    distinct = list(dict.fromkeys(digests))
    group = np.array([distinct.index(digest) for digest in digests], np.int64)
    if len(distinct) < len(digests):
        images = f"of the {len(digests)} images"
        notes = [
            number_of(len(digests) - len(distinct), f"{images} is a copy of another", f"{images} are copies of others")
        ]
    else:
        notes = []
    if validation == 0:
        return [_TRAIN] * len(digests), notes
    if len(distinct) < 2:
        notes.append("there is only one image, so none is set aside for validation: give several to measure a model")
        return [_TRAIN] * len(digests), notes
    # Split by content: a copy in validation would be an image that was trained on.
    held = split_by_source(group, validation, np.random.default_rng(seed))
    return [_VALIDATION if one else _TRAIN for one in held], notes


def _names(sources: Sequence[Source]) -> list[str]:
    """Return a file name for each source, without what file systems refuse, and each once."""
    found: list[str] = []
    for source in sources:
        # Leading dots would hide the file.
        plain = re.sub(r"[^\w.\-]+", "_", source.name).strip("._") or "image"
        number, name = 2, plain
        # File systems of Windows and macOS do not tell capitals apart.
        while name.lower() in (other.lower() for other in found):
            name, number = f"{plain}_{number}", number + 1
        found.append(name)
    return found


@dataclass(slots=True)
class _Writer:
    """Write the files of one source, and list them as the manifest does."""

    part: Path
    about: ImageMeta
    split: str
    name: str
    path: str
    files: list[dict[str, Any]] = field(default_factory=list)

    def write_steps(
        self,
        image: NDArray[Any],
        labels: NDArray[Any] | None,
        points: NDArray[np.float64] | None,
        digest: str,
        example: Example | None,
        index: int = 0,
    ) -> Generator[Progress, None, None]:
        """Write an image with its labels and points; an `example` if it is new, else None."""
        name = self.name if example is None else f"{self.name}_aug{index + 1:04d}"
        # The image as it is was not made here, and has no such record.
        record = None if example is None else _with_path(example.record, self.path)
        entry: dict[str, Any] = {"parent": self.name, "split": self.split, "synthetic": example is not None}
        if example is not None:
            entry |= {"index": index, "seed": example.record["seed"], "parameters": example.parameters}
        about = replace(self.about, record=record)
        if example is not None:
            # Names, colours and records of the layers in a file are those of other pixels: only its place is kept.
            about = replace(about, layer=turned(about))
        written = {"image": (yield from self._tiff_steps(f"images/{name}.ome.tif", image, about, digest))}
        if labels is not None:
            # Labels carry the record as well: apart from their image, they still say that they are synthetic.
            plain = replace(_label_about(about), record=None if record is None else {**record, "of": "labels"})
            written["labels"] = yield from self._tiff_steps(f"labels/{name}.ome.tif", labels, plain, digest)
        if points is not None:
            written["points"] = self._path(f"points/{name}.csv")
            written["points"].write_text(places_text(points), encoding="utf-8")
        entry |= {kind: path.relative_to(self.part).as_posix() for kind, path in written.items()}
        # Of the files, so that changes of any kind are found.
        entry["sha256"] = {kind: hashlib.sha256(path.read_bytes()).hexdigest() for kind, path in written.items()}
        self.files.append(entry)

    def _path(self, name: str) -> Path:
        path = self.part / self.split / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _tiff_steps(
        self, name: str, pixels: NDArray[Any], about: ImageMeta, digest: str
    ) -> Generator[Progress, None, Path]:
        # The identity of the file comes from its content: the same seed gives the same bytes.
        identity = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {digest}"))
        path = self._path(name)
        yield from write_tiff_steps(path, _storable(pixels), about, identity=identity)
        return path


def _with_path(record: dict[str, Any], path: str) -> dict[str, Any]:
    return {**record, "input": {**record["input"], "path": path}} if path else record


def _label_about(about: ImageMeta) -> ImageMeta:
    """Return the metadata of labels: those of the image without its channels."""
    kept = tuple(i for i, letter in enumerate(about.axes.letters) if letter not in "CS")
    letters = "".join(about.axes.letters[i] for i in kept)
    plain = ImageMeta(
        axes=type(about.axes)(letters, about.axes.assumed),
        scale=tuple(about.scale[i] for i in kept),
        units=tuple(about.units[i] for i in kept),
        translate=tuple(about.translate[i] for i in kept),
        layer={"axes": about.axes.letters, **about.layer} if about.layer else None,
    )
    # Turned as the image is, on which they lie.
    return replace(plain, layer=turned(plain))


def _storable(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels in a dtype that OME-TIFF has, with the same values."""
    if pixels.dtype.kind == "b":
        return pixels.astype(np.uint8)
    # OME-TIFF has no integers of 64 bits, which is what NumPy and scikit-image number objects with.
    if pixels.dtype.kind == "f" or pixels.dtype.itemsize < 8:
        return pixels
    low, high = int(pixels.min()), int(pixels.max())
    # Signed where both would do, so that images with and without negative values have one dtype.
    for kind in (np.int32, np.uint32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return pixels.astype(kind)
    raise ImageError(
        f"values reach from {low} to {high}, and the OME-TIFF files of the folder hold integers of 32 bits: renumber "
        "labels, and divide images by a number, or convert them to floats"
    )
