"""Find the planes from which to fill planes of a stack or movie that are missing as a whole."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import ImageArray, as_numpy
from napari_genrecon.axes import Axes
from napari_genrecon.errors import ImageError
from napari_genrecon.plural import number_of

__all__ = ["Neighbours", "Plane", "find_neighbours", "holds_enough", "notes_on_missing"]

Plane = tuple[int, ...]
"""Index of a plane in all dimensions but Y and X, in their order."""

Neighbours = Mapping[Plane, tuple[tuple[Plane, float], ...]]
"""For every missing plane, the planes to mix and their weights, which add up to 1."""

Accept = Callable[[Plane], bool]

_FIRST = "TZ"  # a dropped frame is filled in time, a missing slice of a single stack in depth
_ENOUGH = 0.1  # share of a plane that must be known to fill others from it: with less, most of it is guessed itself
_AT_ONCE = 2**22  # pixels that are read at once to count the finite ones: 16 to 32 MB of memory
_MIXED = "{were} mixed from {their} neighbours: what moved by itself in between shows twice, faintly"
_COPIED = "{were} filled from the nearest plane, as there is one on one side only: what moved stands where it was there"
_GUESSED = "no plane beside {them} holds more than a few known pixels: what fills {them} is hardly more than a guess"


def find_neighbours(missing: NDArray[np.bool_], axes: Axes, enough: Accept) -> Generator[None, None, Neighbours]:
    """Find the nearest planes on both sides of each missing plane; yields before each.

    The search goes along T, then Z, then the other looped dimensions, but never across channels. It takes the first
    dimension with a plane on both sides, else the first with a plane on one side. Planes with too few known pixels are
    passed over, unless there are no others.

    Parameters
    ----------
    missing : ndarray of bool
        One entry per plane, with the dimensions of ``axes.outer``.
    axes : Axes
        Axes of the image.
    enough : callable
        Returns whether a plane has enough known pixels; called only for planes that others may be filled from.

    Raises
    ------
    ImageError
        If there is no plane to fill one from.
    """
    found = {}
    for plane in map(_plain, np.argwhere(missing)):
        yield
        found[plane] = _neighbours(plane, missing, axes, enough)
    return found


def holds_enough(source: ImageArray, mask: NDArray[np.bool_], axes: Axes, plane: Plane) -> bool:
    """Return whether a tenth of a plane is finite and not masked; reads no more of it than that takes."""
    wanted = _ENOUGH * source.shape[axes.y] * source.shape[axes.x]
    # The mask is in memory and settles most cases without reading the image.
    if np.count_nonzero(~mask[_rows(plane, axes, slice(None))]) < wanted:
        return False
    if source.dtype.kind != "f":
        return True
    found, step = 0, max(1, _AT_ONCE // source.shape[axes.x])
    for start in range(0, source.shape[axes.y], step):
        region = _rows(plane, axes, slice(start, start + step))
        found += int(np.count_nonzero(np.isfinite(as_numpy(source[region])) & ~mask[region]))
        if found >= wanted:
            return True
    return False


def notes_on_missing(neighbours: Neighbours, axes: Axes, enough: Accept) -> list[str]:
    """Return sentences about how the missing planes were filled; the colours of one plane count as one."""
    # In the order in which the notes are given; sets, as colours of one plane share an index.
    ways: dict[str, set[Plane]] = {_MIXED: set(), _COPIED: set(), _GUESSED: set()}
    for plane, pairs in neighbours.items():
        way = (_MIXED if len(pairs) > 1 else _COPIED) if enough(pairs[0][0]) else _GUESSED
        ways[way].add(plane[:-1] if axes.rgb else plane)
    return [_sentence(way, len(planes)) for way, planes in ways.items() if planes]


def _sentence(way: str, count: int) -> str:
    words = {"were": "was", "their": "its", "them": "it"} if count == 1 else {w: w for w in ("were", "their", "them")}
    planes = number_of(count, "plane", "planes")
    return f"{planes} {words['were']} missing as a whole and {way.format(**words)}"


def _rows(plane: Plane, axes: Axes, rows: slice) -> tuple[slice, ...]:
    at = dict(zip(axes.outer, plane, strict=True))
    return tuple(slice(at[i], at[i] + 1) if i in at else rows if i == axes.y else slice(None) for i in range(len(axes)))


def _plain(index: NDArray[np.intp]) -> Plane:
    return tuple(int(i) for i in index)


def _neighbours(
    plane: Plane, missing: NDArray[np.bool_], axes: Axes, enough: Accept
) -> tuple[tuple[Plane, float], ...]:
    for accept in (enough, lambda _plane: True):  # the second round takes any plane
        one_sided: tuple[tuple[Plane, float], ...] = ()
        for dimension in _stacked(axes):
            pairs = _along(plane, missing, dimension, accept)
            if len(pairs) > 1:
                return pairs
            # Kept, but a later dimension with a plane on both sides is better than this one.
            one_sided = one_sided or pairs
        if one_sided:
            return one_sided
    raise ImageError(
        f"the mask covers plane {plane} as a whole, and there is no other plane along T or Z to fill it from"
    )


def _stacked(axes: Axes) -> list[int]:
    """Return the positions within `axes.outer` along which neighbours resemble each other, T first, then Z."""
    letters = [axes.letters[i] for i in axes.outer]
    usable = [i for i, letter in enumerate(letters) if letter not in "CS"]
    # T is 0 and Z 1; `find` gives -1 for all others, which the remainder makes 2, the last.
    return sorted(usable, key=lambda i: _FIRST.find(letters[i]) % (len(_FIRST) + 1))


def _along(plane: Plane, missing: NDArray[np.bool_], dimension: int, accept: Accept) -> tuple[tuple[Plane, float], ...]:
    here = plane[dimension]
    # (N,): which planes of the line through this one are missing
    line = np.moveaxis(missing, dimension, -1)[(*plane[:dimension], *plane[dimension + 1 :])]
    known = np.flatnonzero(~line)
    sides = known[known < here][::-1], known[known > here]  # nearest first
    planes = [((*plane[:dimension], int(i), *plane[dimension + 1 :]) for i in side) for side in sides]
    ends = [end for end in (next(filter(accept, side), None) for side in planes) if end is not None]
    if len(ends) < 2:
        return tuple((end, 1.0) for end in ends)
    before, after = (end[dimension] for end in ends)
    # Linear interpolation: the nearer plane weighs more.
    return (ends[0], (after - here) / (after - before)), (ends[1], (here - before) / (after - before))
