"""Grey values: sample them once for the whole image, fill what is not finite, and give them back in the right dtype.

Every constant is measured per channel over the whole image, never per tile or per plane: a constant that changed from
tile to tile would show as seams, one that changed from plane to plane as flicker.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.errors import ImageError

__all__ = [
    "as_plane",
    "count_nan",
    "fill_non_finite",
    "find_missing",
    "mark_missing",
    "measure_centre",
    "missing_note",
    "require_real_image",
    "sample_crops",
    "to_dtype",
    "without_missing",
]

MAX_CROPS = 64
CROP_SIDE = 256
_MAX_PLANES = 16
_WHOLE_PLANE = MAX_CROPS * CROP_SIDE**2
_MOST_LEVELS = 4
_LEAST_AREA = 64  # pixels of one value that lie together ...
_SOLID = 0.5  # ... and their part of all of this value
_SAMPLED = 1 << 14  # pixels of a crop
_FAR = 3.0  # ranges (5 % to 95 %) of the rest by which padding lies outside it
_RIM, _NEAR = 0.8, 0.25  # part of the pixels around that lie in the nearest part of the way to it
_FILL_WINDOW = 9  # pixels; what is further from any finite pixel gets the channel's centre


def require_real_image(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse what is not an image of real numbers.

    Raises
    ------
    ImageError
        For an empty array, or one of booleans, complex numbers, objects or text.
    """
    if 0 in shape:
        raise ImageError(f"image is empty: shape {shape}")
    if dtype.kind == "b":
        raise ImageError("image is boolean: a mask has no grey values to restore; convert it with .astype('uint8')")
    if dtype.kind == "c":
        raise ImageError(f"image is complex ({dtype}): restore its parts apart, image.real and image.imag")
    if dtype.kind not in "iuf":
        raise ImageError(f"image has dtype {dtype}: real numbers (integers or floats) are needed")


def sample_crops(source: Any, axes: Axes, channel: int = 0) -> list[NDArray[Any]]:
    """Read crops of one channel that stand for the whole image.

    At most 64 crops of 256x256 are read, from at most 16 planes spread evenly over the stack; a single plane of up to
    4 megapixels is read whole. Always the same ones, so that a measurement can be repeated.

    Parameters
    ----------
    source : (...) array_like
        Anything that can be read by region.
    axes : Axes
        Of the source.
    channel : int
        Which entry of the channel axis.

    Returns
    -------
    list of (Y, X) ndarray
        In the source's dtype.
    """
    shape = tuple(int(n) for n in source.shape)
    planes = list(_plane_indices(shape, axes, channel))
    return [
        as_plane(np.asarray(source[_region(axes, plane, rows, columns)]), axes)
        for plane in planes
        for rows, columns in _crop_slices(shape[axes.y], shape[axes.x], len(planes))
    ]


def _plane_indices(shape: tuple[int, ...], axes: Axes, channel: int) -> Iterator[dict[int, int]]:
    looped = [i for i in axes.outer if i != axes.channel]
    sizes = [shape[i] for i in looped]
    total = math.prod(sizes)
    for flat in np.unique(np.linspace(0, total - 1, min(total, _MAX_PLANES)).round().astype(int)):
        index = dict(zip(looped, (int(i) for i in np.unravel_index(flat, sizes or (1,))), strict=False))
        if axes.channel is not None:
            index[axes.channel] = channel
        yield index


def _crop_slices(height: int, width: int, n_planes: int) -> list[tuple[slice, slice]]:
    if height * width * n_planes <= _WHOLE_PLANE:
        return [(slice(0, height), slice(0, width))]
    rows, columns = _starts(height), _starts(width)
    every = [(slice(r, r + CROP_SIDE), slice(c, c + CROP_SIDE)) for r in rows for c in columns]
    wanted = max(1, MAX_CROPS // n_planes)
    if len(every) <= wanted:
        return every
    chosen = np.random.default_rng(0).choice(len(every), wanted, replace=False)
    return [every[i] for i in sorted(chosen)]


def _starts(side: int) -> list[int]:
    pieces = max(1, side // CROP_SIDE)
    return sorted({int(v) for v in np.linspace(0, max(0, side - CROP_SIDE), pieces).round()})


def _region(axes: Axes, plane: dict[int, int], rows: slice, columns: slice) -> tuple[slice, ...]:
    spatial = {axes.y: rows, axes.x: columns}
    return tuple(spatial[i] if i in spatial else slice(plane[i], plane[i] + 1) for i in range(len(axes)))


def as_plane(block: NDArray[Any], axes: Axes) -> NDArray[Any]:
    """A block with one entry in every dimension but Y and X, as a (Y, X) plane."""
    return block.reshape(block.shape[axes.y], block.shape[axes.x])


def find_missing(crops: Sequence[NDArray[Any]]) -> tuple[float, ...]:
    """Find the grey values of padding, saturated margins and burnt-in bars.

    Such a value lies far outside the rest, holds whole regions, and ends in a sharp step. Saturated cells do not (a
    microscope blurs their edge), nor does a dark background (it is not that far away), nor labels (they have no rest
    that varies).

    Parameters
    ----------
    crops : sequence of (Y, X) ndarray
        Of one channel; NaN and infinite pixels are missing anyway.

    Returns
    -------
    tuple of int or float
        Pixels of exactly these values are missing. Mostly empty.
    """
    found: list[float] = []
    while len(found) < _MOST_LEVELS:
        planes = [without_missing(crop, found) for crop in crops]
        finite = [plane[np.isfinite(plane)] for plane in planes]
        finite = [values for values in finite if values.size]
        ends = {end(values).item() for values in finite for end in (np.min, np.max)}
        both = (min(ends), max(ends)) if ends else ()
        level = next((value for value in both if _is_padding(value, both, planes, finite)), None)
        if level is None:
            break
        found.append(level)
    return tuple(found)


def _is_padding(
    level: float, ends: tuple[float, ...], planes: Sequence[NDArray[Any]], finite: Sequence[NDArray[Any]]
) -> bool:
    """Whether one of the ends of the grey values is that of padding; the other end may be, too."""
    if sum(np.count_nonzero(values == level) for values in finite) < _LEAST_AREA:
        return False
    sampled = np.concatenate([values[:: max(1, values.size // _SAMPLED)] for values in finite])
    rest = sampled[~np.isin(sampled, ends)].astype(np.float64)
    if not rest.size:
        return False
    low, middle, high = np.quantile(rest, (0.05, 0.5, 0.95))
    distance = float(level) - middle
    if abs(distance) <= _FAR * (high - low):
        return False
    parts = [_geometry(plane, level, middle, _NEAR * abs(distance)) for plane in planes]
    pixels, solid, others, equal, rim, near = (sum(counts) for counts in zip(*parts, strict=True))
    is_solid = solid >= max(_LEAST_AREA, _SOLID * pixels) and max(equal, rim) < _SOLID * others
    return is_solid and near >= _RIM * rim


def _geometry(plane: NDArray[Any], level: float, middle: float, far: float) -> tuple[int, ...]:
    """Count pixels of this level, and those in squares; the others, those in squares, beside it, and not `far` off."""
    marked = plane == level
    seen = np.isfinite(plane) & ~marked
    around = plane[seen & _beside(marked)].astype(np.float64)
    found = (marked, _solid(marked), seen, _solid(seen & _like_neighbours(plane)))
    near = np.abs(around - middle) < far
    return (*(int(np.count_nonzero(mask)) for mask in found), around.size, int(np.count_nonzero(near)))


def _solid(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of squares of 2 x 2 marked ones."""
    squares = np.pad(marked[1:, 1:] & marked[1:, :-1] & marked[:-1, 1:] & marked[:-1, :-1], 1)
    return squares[1:, 1:] | squares[1:, :-1] | squares[:-1, 1:] | squares[:-1, :-1]


def _like_neighbours(plane: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels that equal those on the right and below; at the edge, what is inside decides."""
    framed = np.pad(plane, ((0, 1), (0, 1)), mode="edge")
    return np.asarray((plane == framed[1:, :-1]) & (plane == framed[:-1, 1:]))


def _beside(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels above, below, left and right of marked ones."""
    framed = np.pad(marked, 1)
    return framed[:-2, 1:-1] | framed[2:, 1:-1] | framed[1:-1, :-2] | framed[1:-1, 2:]


def mark_missing(block: NDArray[Any], missing: Sequence[float]) -> NDArray[np.bool_]:
    """Mark what is NaN, infinite, or has one of the values of `find_missing`."""
    marked = ~np.isfinite(block)
    for level in missing:
        marked |= block == level
    return marked


def without_missing(block: NDArray[Any], missing: Sequence[float]) -> NDArray[Any]:
    """Return the block with NaN where a value of `find_missing` is: the same array if there are none."""
    if not missing:
        return block
    wide = np.float32 if block.dtype.itemsize <= 2 else np.float64
    values = block.astype(block.dtype if block.dtype.kind == "f" else wide)
    values[mark_missing(block, missing)] = np.nan
    return values


def missing_note(missing: Sequence[Sequence[float]]) -> list[str]:
    """What the user should know about the values of `find_missing` of every channel."""
    levels = sorted({level for found in missing for level in found})
    if not levels:
        return []
    which = " and ".join(f"{level:.10g}" for level in levels)
    return [
        f"regions of the constant grey value {which} lie far outside the rest of the image: they were taken as missing "
        "(padding, a saturated margin or a burnt-in bar) and come back as they are"
    ]


def measure_centre(crops: Sequence[NDArray[Any]]) -> float:
    """The median of the finite pixels of one channel.

    Raises
    ------
    ImageError
        If no pixel is finite.
    """
    finite = [crop[np.isfinite(crop)] for crop in crops]
    if not sum(part.size for part in finite):
        raise ImageError("image holds no finite pixel: every sampled value is NaN or infinite")
    return float(np.median(np.concatenate(finite)))


def fill_non_finite(plane: NDArray[np.floating[Any]], centre: float) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Replace NaN and infinities by the mean of their finite neighbours, so that they spoil nothing around them.

    Parameters
    ----------
    plane : (Y, X) ndarray of float
        May hold NaN and infinities.
    centre : float
        The value for pixels with no finite neighbour within 4 pixels.

    Returns
    -------
    filled : (Y, X) ndarray
        The same array if all was finite.
    bad : (Y, X) ndarray of bool, or None
        Where values were replaced.
    """
    bad = ~np.isfinite(plane)
    if not bad.any():
        return plane, None
    from scipy.ndimage import uniform_filter  # a third of the start-up time, and seldom needed

    weight = uniform_filter((~bad).astype(np.float64), _FILL_WINDOW, mode="constant")
    # From the centre, so that the mean loses nothing of a small noise on large grey values.
    total = uniform_filter(np.where(bad, 0.0, plane - np.float64(centre)), _FILL_WINDOW, mode="constant")
    near = weight > 0.5 / _FILL_WINDOW**2
    local = np.divide(total, weight, out=np.zeros(plane.shape, np.float64), where=near) + centre
    return np.where(bad, local, plane).astype(plane.dtype, copy=False), bad


def count_nan(values: NDArray[Any]) -> int:
    """How many values are not a number; integers always are."""
    return int(np.count_nonzero(np.isnan(values))) if values.dtype.kind == "f" else 0


def to_dtype(values: NDArray[np.floating[Any]], dtype: np.dtype[Any]) -> tuple[NDArray[Any], int]:
    """Convert computed grey values to a dtype without ever wrapping around.

    Values that have this dtype already stay as they are. For narrower floats, finite values beyond the largest one are
    clipped to it (float16 ends at 65504). For integers, values
    are rounded half to even and clipped to the dtype's range; a NaN, which no integer can express, becomes 0 and counts
    as clipped.

    Returns
    -------
    converted : ndarray
    clipped : int
        How many values did not fit.
    """
    if values.dtype == dtype:
        return values, 0
    if dtype.kind == "f":
        return _to_float(values, dtype)
    limits = np.iinfo(dtype)
    rounded = np.rint(values.astype(np.float64, copy=False))
    outside = ~((rounded >= limits.min) & (rounded <= limits.max))
    n_outside = int(np.count_nonzero(outside))
    if n_outside:
        rounded = np.clip(np.nan_to_num(rounded, nan=0.0), limits.min, limits.max)
    return _exact_cast(rounded, limits, dtype), n_outside


def _to_float(values: NDArray[Any], dtype: np.dtype[Any]) -> tuple[NDArray[Any], int]:
    largest = np.finfo(dtype).max
    beyond = np.isfinite(values) & (np.abs(values) > largest) if values.dtype.itemsize > dtype.itemsize else np.False_
    if not beyond.any():
        return values.astype(dtype, copy=False), 0
    return np.where(beyond, np.clip(values, -largest, largest), values).astype(dtype), int(np.count_nonzero(beyond))


def _exact_cast(rounded: NDArray[np.float64], limits: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    # float64(2**64 - 1) is 2**64, one too many for uint64: the topmost values are set as integers.
    top = rounded >= float(limits.max)
    result = np.where(top, 0, rounded).astype(dtype)
    result[top] = limits.max
    return result
