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

from napari_genrecon.arrays import ImageArray, as_numpy
from napari_genrecon.axes import Axes
from napari_genrecon.errors import ImageError

__all__ = [
    "CROP_SIDE",
    "as_plane",
    "count_nan",
    "fill_non_finite",
    "measure_centre",
    "require_real_image",
    "sample_crops",
    "to_dtype",
]

MAX_CROPS = 64  # with CROP_SIDE 4 megapixels, plenty for what is measured
CROP_SIDE = 256  # px: 256 of the blocks that noise is measured in
MAX_PLANES = 16  # that stand for all: a lazy source reads a chunk for each
WHOLE_PLANE = MAX_CROPS * CROP_SIDE**2
"""Pixels up to which a plane is read whole."""
_ORDER = "TZ"  # of the dimensions along which planes lie; others come first
_FILL_WINDOW = 9  # pixels; what is further from any finite pixel gets the channel's centre


def require_real_image(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse what is not an image of real numbers.

    Raises
    ------
    ImageError
        For an empty array, or one of booleans, complex numbers, objects or text.
    """
    if not all(map(math.isfinite, shape)):  # of a dask array that was indexed by another one
        raise ImageError(f"image has shape {shape}: its size is not known; call its compute_chunk_sizes() first")
    if 0 in shape:
        raise ImageError(f"image is empty: shape {shape}")
    if dtype.kind == "b":
        raise ImageError("image is boolean: a mask has no grey values to restore; convert it with .astype('uint8')")
    if dtype.kind == "c":
        raise ImageError(f"image is complex ({dtype}): restore its parts apart, image.real and image.imag")
    if dtype.kind not in "iuf":
        raise ImageError(f"image has dtype {dtype}: real numbers (integers or floats) are needed")


def sample_crops(source: ImageArray, axes: Axes, channel: int = 0) -> list[NDArray[Any]]:
    """Read crops of one channel that stand for the whole image.

    At most 64 crops of 256x256 are read, from at most 16 planes spread evenly over the stack; a single plane of up to
    4 megapixels is read whole. Always the same ones, so that a measurement can be repeated.

    Parameters
    ----------
    source : (...) array_like
        Anything that can be read by region.
    axes : Axes
        Axes of the source.
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
        as_plane(as_numpy(source[_region(axes, plane, rows, columns)]), axes)
        for plane in planes
        for rows, columns in _crop_slices(shape[axes.y], shape[axes.x], len(planes))
    ]


def _plane_indices(shape: tuple[int, ...], axes: Axes, channel: int) -> Iterator[dict[int, int]]:
    # In an order of their own, so that the same planes are read of an image whose dimensions were moved.
    looped = sorted((i for i in axes.outer if i != axes.channel), key=lambda i: _ORDER.find(axes.letters[i]))
    sizes = [shape[i] for i in looped]
    total = math.prod(sizes)
    # Evenly over all planes, first and last included; `unique` drops those that rounding made equal.
    for flat in np.unique(np.linspace(0, total - 1, min(total, MAX_PLANES)).round().astype(int)):
        # A single plane has no looped dimension, but `unravel_index` needs one: zip drops its index.
        index = dict(zip(looped, (int(i) for i in np.unravel_index(flat, sizes or (1,))), strict=False))
        if axes.channel is not None:
            index[axes.channel] = channel
        yield index


def _crop_slices(height: int, width: int, n_planes: int) -> list[tuple[slice, slice]]:
    if height * width * n_planes <= WHOLE_PLANE:
        # Crops would hold as many pixels.
        return [(slice(0, height), slice(0, width))]
    rows, columns = _starts(height), _starts(width)
    every = [(slice(r, r + CROP_SIDE), slice(c, c + CROP_SIDE)) for r in rows for c in columns]
    wanted = max(1, MAX_CROPS // n_planes)
    if len(every) <= wanted:
        return every
    # Spread over the plane, and the same ones each time: the seed is fixed.
    chosen = np.random.default_rng(0).choice(len(every), wanted, replace=False)
    return [every[i] for i in sorted(chosen)]


def _starts(side: int) -> list[int]:
    pieces = max(1, side // CROP_SIDE)
    # No two crops overlap; from two on, the last one ends at the edge.
    return sorted({int(v) for v in np.linspace(0, max(0, side - CROP_SIDE), pieces).round()})


def _region(axes: Axes, plane: dict[int, int], rows: slice, columns: slice) -> tuple[slice, ...]:
    spatial = {axes.y: rows, axes.x: columns}
    # Slices of one entry keep every dimension, so that `axes` still fits what is read.
    return tuple(spatial[i] if i in spatial else slice(plane[i], plane[i] + 1) for i in range(len(axes)))


def as_plane(block: NDArray[Any], axes: Axes) -> NDArray[Any]:
    """Return a block with one entry in every dimension but Y and X, as a (Y, X) plane."""
    return block.reshape(block.shape[axes.y], block.shape[axes.x])


def measure_centre(crops: Sequence[NDArray[Any]]) -> float:
    """Return the median of the finite pixels of one channel.

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

    # Normalised convolution: the filtered sum of finite pixels over the filtered share of them.
    weight = uniform_filter((~bad).astype(np.float64), _FILL_WINDOW, mode="constant")
    # From the centre, so that the mean loses nothing of a small noise on large grey values.
    total = uniform_filter(np.where(bad, 0.0, plane - np.float64(centre)), _FILL_WINDOW, mode="constant")
    # The filter leaves rounding errors where no pixel is finite: half the weight of one pixel tells them apart.
    near = weight > 0.5 / _FILL_WINDOW**2
    local = np.divide(total, weight, out=np.zeros(plane.shape, np.float64), where=near) + centre
    return np.where(bad, local, plane).astype(plane.dtype, copy=False), bad


def count_nan(values: NDArray[Any]) -> int:
    """Return how many values are not a number; integers always are."""
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
    # float64 holds the limits of 32-bit integers exactly; `_exact_cast` cares for those of 64 bits.
    rounded = np.rint(values.astype(np.float64, copy=False))
    # Negated, because NaN fails every comparison and must count as outside.
    outside = ~((rounded >= limits.min) & (rounded <= limits.max))
    n_outside = int(np.count_nonzero(outside))
    if n_outside:
        rounded = np.clip(np.nan_to_num(rounded, nan=0.0), limits.min, limits.max)
    return _exact_cast(rounded, limits, dtype), n_outside


def _to_float(values: NDArray[Any], dtype: np.dtype[Any]) -> tuple[NDArray[Any], int]:
    largest = np.finfo(dtype).max
    # Infinities stay infinite; only finite values would become so by the conversion.
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
