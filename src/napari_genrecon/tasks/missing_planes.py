"""Planes of a stack or movie that are missing as a whole: from which others to fill them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.errors import ImageError

__all__ = ["Neighbours", "Plane", "find_neighbours"]

Plane = tuple[int, ...]
"""Index of a plane in all dimensions but Y and X, in their order."""

Neighbours = Mapping[Plane, tuple[tuple[Plane, float], ...]]
"""For every missing plane, the planes to mix and their weights, which add up to 1."""

_FIRST = "TZ"  # a dropped frame is filled in time, a missing slice of a single stack in depth


def find_neighbours(missing: NDArray[np.bool_], axes: Axes) -> Neighbours:
    """The nearest planes on both sides of each missing plane.

    They are looked for along T, then Z, then the other looped dimensions, but never across channels; the first
    dimension with a plane on both sides is taken, else the first with a plane on one side.

    Parameters
    ----------
    missing : ndarray of bool
        One entry per plane, with the dimensions of ``axes.outer``.
    axes : Axes
        Of the image.

    Raises
    ------
    ImageError
        If there is no plane to fill one from.
    """
    return {plane: _neighbours(plane, missing, axes) for plane in map(_plain, np.argwhere(missing))}


def _plain(index: NDArray[np.intp]) -> Plane:
    return tuple(int(i) for i in index)


def _neighbours(plane: Plane, missing: NDArray[np.bool_], axes: Axes) -> tuple[tuple[Plane, float], ...]:
    found = [_along(plane, missing, dimension) for dimension in _stacked(axes)]
    for sides in (2, 1):
        for pairs in found:
            if len(pairs) == sides:
                return pairs
    raise ImageError(
        f"the mask covers plane {plane} as a whole, and there is no other plane along T or Z to fill it from"
    )


def _stacked(axes: Axes) -> list[int]:
    """Positions within `axes.outer` along which neighbours resemble each other, best first."""
    letters = [axes.letters[i] for i in axes.outer]
    usable = [i for i, letter in enumerate(letters) if letter not in "CS"]
    return sorted(usable, key=lambda i: _FIRST.find(letters[i]) % (len(_FIRST) + 1))


def _along(plane: Plane, missing: NDArray[np.bool_], dimension: int) -> tuple[tuple[Plane, float], ...]:
    here = plane[dimension]
    line = np.moveaxis(missing, dimension, -1)[(*plane[:dimension], *plane[dimension + 1 :])]
    known = np.flatnonzero(~line)
    ends = [int(side[i]) for side, i in ((known[known < here], -1), (known[known > here], 0)) if side.size]
    weights = [1.0] if len(ends) == 1 else [abs(ends[1 - i] - here) / (ends[1] - ends[0]) for i in range(len(ends))]
    pairs = zip(ends, weights, strict=True)
    return tuple(((*plane[:dimension], end, *plane[dimension + 1 :]), weight) for end, weight in pairs)
