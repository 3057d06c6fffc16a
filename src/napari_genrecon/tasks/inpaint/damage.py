"""Detect damage to be filled in: hot and dead pixels, saturated pixels, dead lines, stripes, dropped frames."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import ImageArray, ImageLike, as_numpy
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.intensity import as_plane
from napari_genrecon.errors import OptionError
from napari_genrecon.noise import NoiseModel
from napari_genrecon.noise.blocks import SIZE
from napari_genrecon.noise.defects import HOT, find_hot
from napari_genrecon.normal import robust_sigma, usual_sigma
from napari_genrecon.tasks.given import given_image, warn_assumed
from napari_genrecon.tasks.inpaint.stripes import striped_rows
from napari_genrecon.tasks.measure import as_source, is_noisy, noise_per_channel, sample_channels

__all__ = ["KINDS", "detect_damage", "parse_kinds"]

Mask = NDArray[np.bool_]

_AGREE = 0.9  # share of its pixels that are off to the same side: edges of the specimen cross a row only in part
_PEAK = 1.5  # times the offset of the lines beside it, which a dead line gives half of its own with the other sign
_MANY = 0.25  # share of constant rows from which they are background (as in a masked or padded image), not damage
_SAME = 0.5  # share of equal pixels in the row beside it from which a constant row is background
_DARK = 0.25  # contrast of a dropped frame as a share of the usual one: bleaching alone seldom takes that much
_FEWEST_FRAMES = 3  # the least of which most can agree: with two it is unknown which of them is usual


def detect_damage(
    image: ImageLike,
    *,
    kinds: str | Iterable[str] = ("hot", "saturated", "lines", "frames"),
    axes: str | Axes | None = None,
) -> Mask:
    """Mark damaged pixels of an image.

    Parameters
    ----------
    image : (..., Y, X) or (..., Y, X, S) array_like, or an image layer of napari
        Any real dtype. It is read plane by plane, all of it.
    kinds : iterable of str, or str separated by commas
        ``"hot"``: single pixels far above or below all eight neighbours, compared with the measured noise.
        ``"saturated"``: pixels at the level at which the image is clipped, if it is. ``"lines"``: rows and columns that
        are constant, or brighter or darker than both neighbours almost everywhere. ``"stripes"``: bands of up to 12
        rows or columns that are brighter or darker than both sides by the same amount from end to end, even if by less
        than the noise of a pixel; not among the defaults, as the structure in them is lost when they are filled.
        ``"frames"``: planes of a stack or movie that are constant, equal the plane before bit by bit, have lost nearly
        all contrast or hold no finite pixel.
    axes : str, optional
        One letter per dimension, such as ``"TCYX"``; inferred from the shape if not given (see `axes`).

    Returns
    -------
    ndarray of bool
        Mask of the image's shape, True where damaged. Pixels that are NaN or infinite are not marked, nor is the alpha
        channel of an RGBA image.

    Raises
    ------
    OptionError
        For a kind that does not exist.
    ImageError
        If the image is empty, not real, has no finite pixel, or does not fit the axes.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.random.default_rng(0).normal(100, 2, (64, 64))
    >>> image[20, 30] = 200
    >>> np.argwhere(detect_damage(image)).tolist()
    [[20, 30]]
    """
    wanted = parse_kinds(kinds)
    given = given_image(image, axes)
    source = as_source(given.pixels)
    resolved = resolve_axes(given.axes, source.shape)
    if not isinstance(axes, Axes):
        warn_assumed(resolved, source)
    noise = noise_per_channel(sample_channels(source, resolved), None)
    damaged = np.zeros(source.shape, bool)
    for region, channel in _planes(source.shape, resolved, len(noise)):
        plane = as_plane(as_numpy(source[region]), resolved)
        found = np.zeros(plane.shape, bool)
        # "frames" is missing here: it compares planes, and is marked below.
        for kind in (kind for kind in wanted if kind in _IN_PLANE):
            found |= _IN_PLANE[kind](plane, noise[channel])
        damaged[region] = found.reshape(damaged[region].shape)
    if "frames" in wanted:
        _mark_frames(source, resolved, len(noise), damaged)
    return damaged


def parse_kinds(kinds: str | Iterable[str]) -> tuple[str, ...]:
    """Return the names of the kinds of damage.

    Raises
    ------
    OptionError
        For a kind that does not exist.
    """
    names = kinds.split(",") if isinstance(kinds, str) else list(kinds)
    wanted = tuple(name.strip() for name in names if name.strip())
    unknown = [name for name in wanted if name not in KINDS]
    if unknown:
        raise OptionError(
            f"no kind of damage named {unknown[0]!r}; choose from: {', '.join(KINDS)} (several are separated by commas)"
        )
    return wanted


def _planes(shape: tuple[int, ...], axes: Axes, n_channels: int) -> Iterator[tuple[tuple[slice, ...], int]]:
    """Yield the region and the channel of every plane that holds grey values."""
    for index in itertools.product(*(range(shape[i]) for i in axes.outer)):
        at = dict(zip(axes.outer, index, strict=True))
        channel = 0 if axes.channel is None else at[axes.channel]
        if channel < n_channels:
            yield tuple(slice(at[i], at[i] + 1) if i in at else slice(None) for i in range(len(axes))), channel


def _hot(plane: NDArray[Any], noise: NoiseModel) -> Mask:
    # Without noise nothing says how far a pixel must stand out, and every small detail would be hot.
    return find_hot(plane, noise) if is_noisy(noise, [plane]) else np.zeros(plane.shape, bool)


def _saturated(plane: NDArray[Any], noise: NoiseModel) -> Mask:
    if noise.saturation_level is None:
        return np.zeros(plane.shape, bool)
    return np.asarray(np.isfinite(plane) & (plane >= noise.saturation_level))


def _lines(plane: NDArray[Any], _noise: NoiseModel) -> Mask:
    values = plane.astype(np.float64)
    values[~np.isfinite(values)] = np.nan
    return np.asarray(_dead_rows(values)[:, None] | _dead_rows(values.T)[None, :])


def _dead_rows(values: NDArray[np.float64]) -> Mask:
    rows, columns = values.shape
    # Noise is measured in patches of this side: the medians of shorter lines are too noisy.
    if rows < 3 or columns < SIZE:
        return np.zeros(rows, bool)
    # A row that holds NaN is not constant, as NaN equals nothing.
    constant = (values == values[:, :1]).all(axis=1)
    constant &= not constant.all()
    return np.asarray(_stand_out(values, constant) | _offset_rows(values))


def _stand_out(values: NDArray[np.float64], constant: Mask) -> Mask:
    """Return the constant rows that differ from the rows beside them; those of an even background do not."""
    others = np.flatnonzero(~constant)
    found = np.zeros_like(constant)
    # Compared with the next rows that are not constant: broken rows may lie side by side.
    for row in np.flatnonzero(constant) if constant.mean() < _MANY else ():
        at = int(np.searchsorted(others, row))
        beside = values[others[max(at - 1, 0) : at + 1]]
        found[row] = bool((np.mean(beside == values[row, 0], axis=1) < _SAME).all())
    return found


def _offset_rows(values: NDArray[np.float64]) -> Mask:
    """Return the rows that are brighter or darker than both neighbours, by more than rows of this image are."""
    # Reflected, the first row is compared with the second one on both sides; repeated, it would meet itself.
    framed = np.pad(values, ((1, 1), (0, 0)), mode="reflect")
    step = values - (framed[:-2] + framed[2:]) / 2
    # An unknown pixel, or one beside it, votes for neither side.
    step = np.where(np.isnan(step), 0.0, step)
    offset = np.median(step, axis=1)
    # Over the rows of this plane: structure makes rows differ, and only what exceeds that is damage.
    spread = robust_sigma(offset)
    usual = usual_sigma(step)  # of a pixel; decides if there is no noise
    agree = np.mean(np.sign(step) == np.sign(offset)[:, None], axis=1)
    # At the edge, 0 stands for the row that is not there.
    size = np.pad(np.abs(offset), 1)
    peak = size[1:-1] >= _PEAK * np.maximum(size[:-2], size[2:])
    # Spreads of the offsets: as far beyond them as a hot pixel is beyond the noise.
    clear = np.abs(offset) > max(HOT * spread, usual)
    return np.asarray(clear & (agree > _AGREE) & peak)


def _stripes(plane: NDArray[Any], _noise: NoiseModel) -> Mask:
    values = plane.astype(np.float64)
    values[~np.isfinite(values)] = np.nan
    return np.asarray(striped_rows(values)[:, None] | striped_rows(values.T)[None, :])


@dataclass(frozen=True, slots=True)
class _Frame:
    """Properties of a plane by which dropped frames are found."""

    region: tuple[slice, ...]
    contrast: float
    repeated: bool


def _mark_frames(source: ImageArray, axes: Axes, n_channels: int, damaged: Mask) -> None:
    for channel in range(n_channels):
        frames = list(_frames(source, axes, channel, n_channels))
        # The median, as long as fewer than half of the frames are dropped.
        usual = float(np.median([frame.contrast for frame in frames]))
        if len(frames) < _FEWEST_FRAMES or usual == 0:
            continue
        for frame in frames:
            if frame.repeated or frame.contrast < _DARK * usual:
                damaged[frame.region] = True


def _frames(source: ImageArray, axes: Axes, channel: int, n_channels: int) -> Iterator[_Frame]:
    before: NDArray[Any] | None = None
    for region, which in _planes(source.shape, axes, n_channels):
        if which != channel:
            continue
        plane = as_numpy(source[region])
        finite = plane[np.isfinite(plane)].astype(np.float64)
        # The contrast is the range without the darkest and the brightest percent, which may be damaged pixels: 0 if all
        # are equal, or none is finite.
        low, high = np.quantile(finite, (0.01, 0.99)) if finite.size else (0.0, 0.0)
        # Noise never repeats itself: a camera or a driver has delivered the same frame twice.
        repeated = before is not None and np.array_equal(plane, before)
        yield _Frame(region, float(high - low), repeated)
        before = plane


_IN_PLANE: dict[str, Callable[[NDArray[Any], NoiseModel], Mask]] = {
    "hot": _hot,
    "saturated": _saturated,
    "lines": _lines,
    "stripes": _stripes,
}
KINDS = (*_IN_PLANE, "frames")
