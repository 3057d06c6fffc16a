"""Turn and mirror planes: the eight symmetries of a square, which only move pixels.

The mean of the results of a network for all eight is a little better than one (geometric self-ensemble: Lim et al.,
CVPR Workshops 2017, section 3.4).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["WAYS", "random_ways", "turned", "turned_back", "turned_points"]

Pixel = TypeVar("Pixel", bound=np.generic)

WAYS = 8
"""0 to 3: quarter turns; 4 to 7: the same, then mirrored along X. Odd ones exchange height and width."""


def random_ways(rng: np.random.Generator, n: int, *, square: bool) -> NDArray[np.int64]:
    """Draw `n` of the eight symmetries of a square, or of the four of a rectangle.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the randomness.
    n : int
        How many.
    square : bool
        Whether height and width are equal. If not, quarter turns would exchange them, and are left out.

    Returns
    -------
    (n,) ndarray of int64
        Numbers from 0 to 7, as `turned` takes them.
    """
    ways = rng.integers(0, WAYS, n)
    # Even numbers only: no turn or half a turn, mirrored or not.
    return ways if square else ways - ways % 2


def turned(pixels: NDArray[Pixel], way: int) -> NDArray[Pixel]:
    """Return the (..., Y, X) array turned by `way` quarter turns, and mirrored along X from 4 on.

    >>> turned(np.array([[1, 2], [3, 4]]), 5).tolist()
    [[4, 2], [3, 1]]
    """
    # Both are views: no pixel is copied.
    found = np.rot90(pixels, way % 4, axes=(-2, -1))
    return found[..., ::-1] if way >= 4 else found


def turned_back(pixels: NDArray[Pixel], way: int) -> NDArray[Pixel]:
    """Undo `turned`.

    >>> plane = np.arange(6).reshape(2, 3)
    >>> all(np.array_equal(turned_back(turned(plane, way), way), plane) for way in range(WAYS))
    True
    """
    return np.rot90(pixels[..., ::-1] if way >= 4 else pixels, -(way % 4), axes=(-2, -1))


def turned_points(points: NDArray[np.float64], way: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return where points of a plane lie after `turned`.

    Parameters
    ----------
    points : (N, 2) ndarray of float64
        Rows and columns, in pixels.
    way : int
        From 0 to 7.
    shape : (int, int)
        Height and width of the plane before it is turned.
    """
    (height, width), (y, x) = shape, points.T
    for _ in range(way % 4):
        # `np.rot90` turns counter-clockwise: the last column becomes the first row.
        y, x = width - 1 - x, y
        height, width = width, height
    return np.stack([y, width - 1 - x if way >= 4 else x], axis=1)
