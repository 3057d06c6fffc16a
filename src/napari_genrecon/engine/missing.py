"""Regions without data: padding, saturated margins and burnt-in bars, found by their constant grey value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["find_missing", "mark_missing", "missing_note", "without_missing"]

_LEAST_AREA = 64  # pixels of one value that lie together ...
_SOLID = 0.5  # ... and their part of all of this value
_FAR = 3.0  # ranges (5 % to 95 %) of the rest by which padding lies outside it
_RIM, _NEAR = 0.8, 0.25  # part of the pixels around that lie in the nearest part of the way to it


def find_missing(crops: Sequence[NDArray[Any]]) -> tuple[float, ...]:
    """Find the grey values of padding, saturated margins and burnt-in bars.

    Such a value lies far outside the rest, holds whole regions, and ends in a sharp step. Saturated cells do not (a
    microscope blurs their edge), nor does a dark background (it is not that far away), nor labels (they have no rest
    that varies).

    Parameters
    ----------
    crops : sequence of (Y, X) ndarray
        Crops of one channel; NaN and infinite pixels are missing anyway.

    Returns
    -------
    tuple of int or float
        Pixels of exactly these values are missing. Mostly empty.
    """
    found: list[float] = []
    while True:
        # Levels that were found count no longer: behind one there may be the next.
        planes = [without_missing(crop, found) for crop in crops]
        finite = [plane[np.isfinite(plane)] for plane in planes]
        finite = [values for values in finite if values.size]
        ends = {end(values).item() for values in finite for end in (np.min, np.max)}
        # Padding is far outside the rest, so it is the least or the greatest value.
        both = (min(ends), max(ends)) if ends else ()
        level = next((value for value in both if _is_padding(value, both, planes, finite)), None)
        if level is None:
            return tuple(found)
        found.append(level)


def _is_padding(
    level: float, ends: tuple[float, ...], planes: Sequence[NDArray[Any]], finite: Sequence[NDArray[Any]]
) -> bool:
    """Return whether one of the ends of the grey values is that of padding; the other end may be, too."""
    # The cheapest test comes first: most images end here.
    if sum(np.count_nonzero(values == level) for values in finite) < _LEAST_AREA:
        return False
    # Without either end: if there is padding at both, neither may widen the range of the rest.
    rest = np.concatenate([values[(values != ends[0]) & (values != ends[1])] for values in finite]).astype(np.float64)
    if not rest.size:
        return False
    low, middle, high = np.quantile(rest, (0.05, 0.5, 0.95))
    distance = float(level) - middle
    if abs(distance) <= _FAR * (high - low):
        return False
    # Counts are added over all crops, as padding lies in a few of them only.
    parts = [_geometry(plane, level, middle, _NEAR * abs(distance)) for plane in planes]
    pixels, solid, others, equal, rim, near = (sum(counts) for counts in zip(*parts, strict=True))
    # The rest has to vary, unlike labels, and to be more than a seam along the padding.
    is_solid = solid >= max(_LEAST_AREA, _SOLID * pixels) and max(equal, rim) < _SOLID * others
    return is_solid and near >= _RIM * rim


def _geometry(plane: NDArray[Any], level: float, middle: float, far: float) -> tuple[int, ...]:
    """Count pixels of this level, and those in squares; the others, those in squares, beside it, and not `far` off."""
    marked = plane == level
    seen = np.isfinite(plane) & ~marked
    # A blurred edge has values between both here, that of padding has not.
    around = plane[seen & _beside(marked)].astype(np.float64)
    found = (marked, _solid(marked), seen, _solid(seen & _like_neighbours(plane)))
    near = np.abs(around - middle) < far
    return (*(int(np.count_nonzero(mask)) for mask in found), around.size, int(np.count_nonzero(near)))


def _solid(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of squares of 2 x 2 marked ones."""
    # Morphological opening: what is thinner than two pixels vanishes, areas stay as they are.
    squares = np.pad(marked[1:, 1:] & marked[1:, :-1] & marked[:-1, 1:] & marked[:-1, :-1], 1)
    return squares[1:, 1:] | squares[1:, :-1] | squares[:-1, 1:] | squares[:-1, :-1]


def _like_neighbours(plane: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the pixels that equal those on the right and below; at the edge, what is inside decides."""
    # A pixel at the edge equals its copy beyond it, so that only neighbours inside count.
    framed = np.pad(plane, ((0, 1), (0, 1)), mode="edge")
    return np.asarray((plane == framed[1:, :-1]) & (plane == framed[:-1, 1:]))


def _beside(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels above, below, left and right of marked ones."""
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
    # Integers cannot hold NaN; float32 holds all of 16 bits, and float64 all of 32.
    wide = np.float32 if block.dtype.itemsize <= 2 else np.float64
    values = block.astype(block.dtype if block.dtype.kind == "f" else wide)
    values[mark_missing(block, missing)] = np.nan
    return values


def missing_note(missing: Sequence[Sequence[float]]) -> list[str]:
    """Return what the user should know about the values of `find_missing` of every channel."""
    levels = sorted({level for found in missing for level in found})
    if not levels:
        return []
    which = " and ".join(f"{level:.10g}" for level in levels)
    return [
        f"regions of the constant grey value {which} lie far outside the rest of the image: they were taken as missing "
        "(padding, a saturated margin or a burnt-in bar) and come back as they are"
    ]
