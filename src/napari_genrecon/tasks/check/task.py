"""Check a denoised image against its source: find structure that was removed or added."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import ImageArray, ImageLike, as_numpy
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.checks.blur import Blur, blur_test, structure
from napari_genrecon.checks.expected import Expected, expected_of, expected_plane
from napari_genrecon.checks.over_time import OverTime, together
from napari_genrecon.checks.trust import PlaneCheck, check_plane, verdict
from napari_genrecon.checks.verdict import Verdict
from napari_genrecon.engine.intensity import as_plane
from napari_genrecon.engine.lazy import as_transposable
from napari_genrecon.engine.memory import allocate
from napari_genrecon.engine.run import Progress, finish
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import record_of
from napari_genrecon.io.record.companions import companion_path, is_made
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.denoise import TITLE, DenoiseOptions, denoise_steps
from napari_genrecon.tasks.files import finished
from napari_genrecon.tasks.given import given_image, warn_assumed
from napari_genrecon.tasks.measure import Noise, as_source, input_facts, noise_per_channel, sample_channels
from napari_genrecon.tasks.region import Region, region_of
from napari_genrecon.tasks.replay import other_image, source_of, with_all_axes

__all__ = ["Check", "check", "check_file_steps", "check_steps", "denoised_part", "noise_of_record", "part_of_result"]

Plane = NDArray[np.floating[Any]]

_CROP = 512  # pixels, side of the part whose sharpness is tested: as large as a second allows


@dataclass(frozen=True, slots=True)
class Check:
    """Result of a check.

    Attributes
    ----------
    verdict : Verdict
        The figures; printed, a verdict in words.
    deviations : (...) ndarray of float32, or None
        Deviation of every pixel from what noise explains, in standard deviations: positive where structure was erased,
        negative where it was added. Noise does not explain values beyond `verdict.limit`.
    """

    verdict: Verdict
    deviations: NDArray[np.float32] | None

    def __str__(self) -> str:
        return str(self.verdict)


def check(
    image: ImageLike,
    result: ImageLike,
    *,
    noise: Noise | float | None = None,
    blend: float = 0.0,
    expected_error: ImageLike | None = None,
    axes: str | Axes | None = None,
) -> Check:
    """Compare a denoised image with its source.

    If the result is right, the difference to the image, divided by the predicted noise, is noise of variance 1. Its
    mean over windows of 1 to 8 pixels is then small, and large where an isolated structure was erased or invented. A
    blur is found if more fine structure was removed than `denoise` removes from an image like the result (it is run on
    one crop with simulated noise); and so is a change of the light, or of the amount removed. Many changes that are
    each below the limit, and a blur below that of denoising, are not found.

    Parameters
    ----------
    image, result : (..., Y, X) or (..., Y, X, S) array_like, or image layers of napari
        The image before and after, of the same shape and in the same grey values.
    noise : NoiseModel, tuple of NoiseModel or float, optional
        Noise that the image was denoised with; measured from it if not given.
    blend : float
        Share of the image that was mixed back in, in [0, 1).
    expected_error : (..., Y, X) or (..., Y, X, S) array_like, or image layer of napari, optional
        Second result of ``denoise(uncertainty=True)``: the report then says where the result can be trusted least.
    axes : str, optional
        One letter per dimension; inferred from the shape if not given.

    Returns
    -------
    Check
        Verdict and deviations; printed, the verdict in words.

    Raises
    ------
    ImageError
        If the shapes differ.
    OptionError
        If `blend` is not in [0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> from napari_genrecon import check, denoise
    >>> noisy = np.random.default_rng(0).normal(100, 5, (128, 128))
    >>> check(noisy, denoise(noisy)).verdict.passed
    True
    """
    given = given_image(image, axes)
    source = as_source(given.pixels)
    resolved = resolve_axes(given.axes, source.shape)
    # `Axes` were resolved by the caller, and the user warned of what was assumed.
    if not isinstance(axes, Axes):
        warn_assumed(resolved, source)
    error = None if expected_error is None else given_image(expected_error).pixels
    restored = given_image(result).pixels
    return finish(check_steps(source, restored, noise=noise, blend=blend, expected_error=error, axes=resolved))


def check_steps(
    image: ImageArray,
    result: Any,
    *,
    noise: Noise | float | None = None,
    blend: float = 0.0,
    expected_error: Any = None,
    axes: str | Axes | None = None,
    keep: bool = True,
) -> Generator[Progress, None, Check]:
    """Run `check` step by step; yields `Progress` after every plane.

    Without `keep` the deviations are dropped, so that a stack of any size can be checked.
    """
    # Lazy arrays stay lazy: planes are read one at a time.
    source, restored = as_source(image), as_source(result)
    if tuple(source.shape) != tuple(restored.shape):
        raise ImageError(
            f"the result has shape {tuple(restored.shape)} but the image has shape {tuple(source.shape)}: only a "
            "result of denoising can be checked against its image, as it has the same pixels"
        )
    expected = None if expected_error is None else as_source(expected_error)
    if expected is not None and tuple(expected.shape) != tuple(source.shape):
        raise ImageError(
            f"the expected error has shape {tuple(expected.shape)} but the image has shape {tuple(source.shape)}: give "
            "the one that came with the result"
        )
    if not 0 <= blend < 1:
        raise OptionError(f"blend must be at least 0 and less than 1, got {blend}: with 1 there is nothing to check")
    letters = resolve_axes(axes, source.shape)
    # Said before the work, as measuring takes a while.
    yield Progress(0, 0, "measuring the noise" if noise is None else "preparing")
    # From samples of the whole image, as `denoise` measures it.
    models = noise_per_channel(sample_channels(source, letters), noise)
    deviations = _zeros(tuple(source.shape)) if keep else None
    found: list[PlaneCheck] = []
    trusted: list[Expected] = []
    planes = list(_planes(tuple(source.shape), letters, len(models)))
    frames, over_time, means, counted = _frames(tuple(source.shape), letters), OverTime(), [], 0
    # The more pixels, the further noise alone gets: the limit is that of the whole stack, and of the means of frames.
    compared = len(planes) + (len(planes) // frames if frames > 1 else 0)
    pixels = compared * source.shape[letters.y] * source.shape[letters.x]
    sharpest = _Sharpest()
    for count, (region, channel) in enumerate(planes, start=1):
        noisy, after = (as_plane(as_numpy(a[region]), letters).astype(np.float64) for a in (source, restored))
        if blend:  # undo it: after = blend * noisy + (1 - blend) * denoised
            after = (after - blend * noisy) / (1 - blend)
        # Either may have been rounded.
        step = max(_step(source.dtype), _step(restored.dtype))
        index = tuple(region[i].start for i in letters.outer)
        figures, z = check_plane(noisy, after, models[channel], step=step, plane=index, pixels=pixels)
        found.append(figures)
        sharpest.look(noisy, after, models[channel])
        over_time.add(noisy, after)
        if count % frames == 0:  # that was the last one of a channel at a place along Z
            means.append(over_time.test(models[channel], step=step, plane=index, pixels=pixels))
            over_time, counted = OverTime(), max(counted, over_time.frames)
        if expected is not None:
            trusted.append(expected_plane(as_plane(as_numpy(expected[region]), letters), after, models[channel], index))
        if deviations is not None:
            # `region` keeps every dimension, and z is (Y, X).
            deviations[region] = z.reshape(deviations[region].shape)
        yield Progress(count, len(planes), f"{count} of {len(planes)} planes checked")
    # One crop of all planes, as it is denoised anew; said before, as that takes longer than a plane.
    yield Progress(len(planes), len(planes), "comparing the sharpness with that of a simulation")
    blur = sharpest.blur(max(_step(source.dtype), _step(restored.dtype)))
    error = expected_of(trusted) if trusted else None
    return Check(verdict(found, blur, error, together(counted, [each for each in means if each])), deviations)


class _Sharpest:
    """The crop of a result that holds the most fine structure, and what belongs to it."""

    def __init__(self) -> None:
        self._most = 0.0
        self._crops: tuple[Plane, Plane, NoiseModel] | None = None

    def look(self, noisy: Plane, restored: Plane, noise: NoiseModel) -> None:
        """Keep the best crop of a plane if it is better than the one that is kept."""
        # Rounded up, so that the rest at the edge is a crop, too.
        for y, x in np.ndindex(*(-(-n // _CROP) for n in restored.shape)):
            part = (slice(y * _CROP, (y + 1) * _CROP), slice(x * _CROP, (x + 1) * _CROP))
            # The sum over the crop and not the mean, by which a small rest at the edge would win with one bright spot.
            found = structure(restored[part], noise) * restored[part].size
            if found > self._most:
                # Copies, as views would keep whole planes in memory.
                self._most, self._crops = found, (noisy[part].copy(), restored[part].copy(), noise)

    def blur(self, step: float) -> Blur | None:
        """Test the crop for blur; None if there is no structure."""
        if self._crops is None:
            return None
        noisy, restored, noise = self._crops

        def denoiser(image: NDArray[np.float32]) -> Plane:
            # The image to denoise is simulated with this very noise: nothing is to be measured.
            options = DenoiseOptions(noise=noise, axes="YX")
            return np.asarray(finish(denoise_steps(image, options)).data)

        return blur_test(noisy, restored, noise, denoiser, step=step)


def check_file_steps(path: Path, *, source: Path | None = None) -> Generator[Progress, None, Check]:
    """Check a result file against the image that its record names.

    Parameters
    ----------
    path : Path
        A result of denoising.
    source : Path, optional
        The image, if it is no longer where the record says.

    Raises
    ------
    ImageError
        If there is no record, the file is not a result of denoising, or its image is not found or another one now.
    """
    # Tiles that an unfinished result still lacks would look like structure that was erased.
    stored = finished(open_image(path))
    record = record_of(stored)
    noise, blend = noise_of_record(record)
    original = source_of(path, record, source)
    # Files of results lack dimensions of length 1: they get those of the image.
    axes, pixels = original.axes, as_source(original.data)
    # What differs between two images would look like structure that was erased, or added.
    if input_facts(pixels, sample_channels(pixels, axes))["fingerprint"] != record["input"]["fingerprint"]:
        raise other_image(original, path)
    image, restored, noise, _ = denoised_part(record, noise, original.data, with_all_axes(stored, axes), axes)
    error = _error_beside(path, record, original.data, axes)
    more = {"noise": noise, "blend": blend, "expected_error": error, "axes": axes}
    # Nobody sees a map here, so stacks of any size can be checked.
    return (yield from check_steps(image, restored, **more, keep=False))


def _error_beside(path: Path, record: dict[str, Any], image: Any, axes: Axes) -> Any:
    """Return the expected error from the file beside a result, of the part that was denoised; None without one."""
    # A file of that name may be of an earlier run: its record must say that it belongs to this result.
    beside = companion_path(path, TITLE)
    if not is_made(beside, {**record, "of": TITLE}):
        return None
    error = with_all_axes(finished(open_image(beside)), axes)
    return part_of_result(record, error, region_of(record["options"].get("region"), axes, image.shape))


def denoised_part(
    record: dict[str, Any], noise: tuple[NoiseModel, ...], image: Any, result: Any, axes: Axes
) -> tuple[Any, Any, tuple[NoiseModel, ...], Region | None]:
    """Return what was denoised of an image, its result, its noise, and its region: None where all of it was."""
    region = region_of(record["options"].get("region"), axes, image.shape)
    if region is None:
        return image, result, noise, None
    inside = part_of_result(record, result, region)
    # One model for each channel of the image, of which the region may hold a few.
    noise = noise if axes.channel is None else noise[region[axes.channel]]
    return as_transposable(image)[region], inside, noise, region


def part_of_result(record: dict[str, Any], result: Any, region: Region | None) -> Any:
    """Return what was computed of a result, which may be a copy of the whole image."""
    # With `whole`, the part lies in a copy of the image; else the file holds the part alone.
    return as_transposable(result)[region] if region is not None and record["options"].get("whole") else result


def noise_of_record(record: dict[str, Any]) -> tuple[tuple[NoiseModel, ...], float]:
    """Return the noise that an image was denoised with, and the share of the image that was mixed back in.

    Raises
    ------
    ImageError
        If the record is not one of denoising, or the pixels were corrected before.
    """
    # A companion, such as the expected error, has the record of its result.
    if record.get("of"):
        raise ImageError(f"this is the {record['of']} of a result: choose the result itself")
    if record["task"] != "denoise":
        raise ImageError(
            f"this is a result of '{record['task']}': only results of 'denoise' can be checked against their image, as "
            "their pixels are the same"
        )
    if record.get("camera"):
        raise ImageError(
            "this result was denoised with the maps of a camera, which changed its pixels before: it cannot be "
            "compared with the image as it was recorded"
        )
    return tuple(map(NoiseModel.from_dict, record["noise"])), float(record["options"].get("blend", 0.0))


def _zeros(shape: tuple[int, ...]) -> NDArray[np.float32]:
    # `allocate` refuses what memory cannot hold, with a sentence.
    array = allocate(shape, np.dtype(np.float32)).astype(np.float32, copy=False)
    array[...] = 0
    return array


def _planes(shape: tuple[int, ...], axes: Axes, channels: int) -> list[tuple[tuple[slice, ...], int]]:
    """Return the region and the channel of every plane that holds grey values; the alpha of RGBA does not.

    The frames of a movie follow each other.
    """
    found, order = [], sorted(axes.outer, key=lambda i: axes.letters[i] == "T")
    for index in np.ndindex(tuple(shape[i] for i in order)):
        at = dict(zip(order, index, strict=True))
        channel = 0 if axes.channel is None else at[axes.channel]
        # There is no noise model for alpha.
        if channel < channels:
            region = tuple(slice(at[i], at[i] + 1) if i in at else slice(0, n) for i, n in enumerate(shape))
            found.append((region, channel))
    return found


def _frames(shape: tuple[int, ...], axes: Axes) -> int:
    return shape[axes.letters.index("T")] if "T" in axes.letters else 1


def _step(dtype: np.dtype[Any]) -> float:
    """Return the distance of neighbouring grey values of a dtype: 1 for integers, about 0 for floats."""
    return 1.0 if dtype.kind in "iub" else 0.0
