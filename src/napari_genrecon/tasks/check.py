"""Check a denoised image against its source: was anything but noise removed, was anything added?"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import ImageLike
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.checks.trust import LIMIT, PlaneCheck, Verdict, check_plane, verdict
from napari_genrecon.engine.intensity import as_plane
from napari_genrecon.engine.memory import allocate
from napari_genrecon.engine.run import Progress, finish
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import record_of
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.files import finished
from napari_genrecon.tasks.given import given_image, warn_assumed
from napari_genrecon.tasks.measure import Noise, as_source, noise_per_channel, sample_channels
from napari_genrecon.tasks.replay import source_of, with_all_axes

__all__ = ["LIMIT", "Check", "check", "check_file_steps", "check_steps", "noise_of_record"]


@dataclass(frozen=True, slots=True)
class Check:
    """What a check found.

    Attributes
    ----------
    verdict : Verdict
        The figures; as text, in words.
    deviations : (...) ndarray of float32, or None
        At every pixel of the image how far the result is from what noise explains, in standard deviations: positive
        where something was erased, negative where something was added. Beyond 6 noise is no explanation.
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
    axes: str | Axes | None = None,
) -> Check:
    """Compare a denoised image with its source.

    What was removed, divided by the noise that the model predicts, is noise of variance 1 if the result is right.
    Averaged over windows of 1 to 8 pixels it stays small; where a structure was erased or invented it stands out.

    Parameters
    ----------
    image, result : (..., Y, X) or (..., Y, X, S) array_like, or image layers of napari
        Before and after, of one shape, in the same grey values.
    noise : NoiseModel, tuple of NoiseModel or float, optional
        What the image was denoised with; measured from it if not given.
    blend : float
        How much of the image was mixed back in, in [0, 1).
    axes : str, optional
        One letter per dimension; inferred from the shape if not given.

    Returns
    -------
    Check
        Printed, it is the verdict in words.

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
    if not isinstance(axes, Axes):
        warn_assumed(resolved, source)
    return finish(check_steps(source, given_image(result).pixels, noise=noise, blend=blend, axes=resolved))


def check_steps(
    image: Any,
    result: Any,
    *,
    noise: Noise | float | None = None,
    blend: float = 0.0,
    axes: str | Axes | None = None,
    keep: bool = True,
) -> Generator[Progress, None, Check]:
    """The same as `check`, step by step: yields `Progress` after every plane.

    With `keep` false no deviations are kept, so that a stack of any size can be checked.
    """
    source, restored = as_source(image), as_source(result)
    if tuple(source.shape) != tuple(restored.shape):
        raise ImageError(
            f"the result has shape {tuple(restored.shape)} but the image has shape {tuple(source.shape)}: only a "
            "result of denoising can be checked against its image, as it has the same pixels"
        )
    if not 0 <= blend < 1:
        raise OptionError(f"blend must be at least 0 and less than 1, got {blend}: with 1 there is nothing to check")
    letters = resolve_axes(axes, source.shape)
    yield Progress(0, 0, "measuring the noise" if noise is None else "preparing")
    models = noise_per_channel(sample_channels(source, letters), noise)
    deviations = _zeros(tuple(source.shape)) if keep else None
    found: list[PlaneCheck] = []
    planes = list(_planes(tuple(source.shape), letters, len(models)))
    for count, (region, channel) in enumerate(planes, start=1):
        noisy, after = (as_plane(np.asarray(a[region]), letters).astype(np.float64) for a in (source, restored))
        if blend:
            after = (after - blend * noisy) / (1 - blend)
        step = max(_step(source.dtype), _step(restored.dtype))
        index = tuple(region[i].start for i in letters.outer)
        figures, z = check_plane(noisy, after, models[channel], step=step, plane=index)
        found.append(figures)
        if deviations is not None:
            deviations[region] = z.reshape(deviations[region].shape)
        yield Progress(count, len(planes), f"{count} of {len(planes)} planes checked")
    return Check(verdict(found), deviations)


def check_file_steps(path: Path, *, source: Path | None = None) -> Generator[Progress, None, Check]:
    """Check a file of ours against the image that its record names.

    Parameters
    ----------
    path : Path
        A result of denoising.
    source : Path, optional
        The image, if it is no longer where the record says.

    Raises
    ------
    ImageError
        If there is no record, the result is none of denoising, or its image is not there.
    """
    stored = finished(open_image(path))
    record = record_of(stored)
    noise, blend = noise_of_record(record)
    original = source_of(path, record, source)
    restored = with_all_axes(stored, original.axes)
    return (yield from check_steps(original.data, restored, noise=noise, blend=blend, axes=original.axes, keep=False))


def noise_of_record(record: dict[str, Any]) -> tuple[tuple[NoiseModel, ...], float]:
    """The noise that an image was denoised with, and how much of the image was mixed back in.

    Raises
    ------
    ImageError
        If the record is not one of denoising.
    """
    if record["task"] != "denoise":
        raise ImageError(
            f"this is a result of '{record['task']}': only results of 'denoise' can be checked against their image, as "
            "their pixels are the same"
        )
    return tuple(map(NoiseModel.from_dict, record["noise"])), float(record["options"].get("blend", 0.0))


def _zeros(shape: tuple[int, ...]) -> NDArray[np.float32]:
    array = allocate(shape, np.dtype(np.float32)).astype(np.float32, copy=False)
    array[...] = 0
    return array


def _planes(shape: tuple[int, ...], axes: Axes, channels: int) -> list[tuple[tuple[slice, ...], int]]:
    """The region and the channel of every plane that carries grey values; the alpha of RGBA does not."""
    found = []
    for index in np.ndindex(tuple(shape[i] for i in axes.outer)):
        at = dict(zip(axes.outer, index, strict=True))
        channel = 0 if axes.channel is None else at[axes.channel]
        if channel < channels:
            region = tuple(slice(at[i], at[i] + 1) if i in at else slice(0, n) for i, n in enumerate(shape))
            found.append((region, channel))
    return found


def _step(dtype: np.dtype[Any]) -> float:
    """Grey values from one number to the next; that of floats is far below any noise."""
    return 1.0 if dtype.kind in "iub" else 0.0
