"""The smaller copies of an image that viewers show from afar: their sizes, and how one is made from the one before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["halved", "level_shapes"]

_SMALLEST = 256  # pixels along Y and X: no level is made smaller than that
_LEVELS = 6


def level_shapes(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Shapes of all levels of an image of this shape, the image itself first; its last two dimensions are Y and X."""
    shapes = [tuple(int(n) for n in shape)]
    while len(shapes) < _LEVELS and min(shapes[-1][-2:]) >= 2 * _SMALLEST:
        *outer, y, x = shapes[-1]
        shapes.append((*outer, -(-y // 2), -(-x // 2)))
    return shapes


def halved(block: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Means of 2 x 2 pixels; the last row or column of an odd side stands for itself.

    Parameters
    ----------
    block : (..., Y, X) ndarray
        Real numbers.
    dtype : dtype
        Of the result; integers are rounded.
    """
    odd = [(0, 0)] * (block.ndim - 2) + [(0, n % 2) for n in block.shape[-2:]]
    even = np.pad(block, odd, mode="edge").astype(np.float64)
    *outer, y, x = even.shape
    means = even.reshape(*outer, y // 2, 2, x // 2, 2).mean(axis=(-3, -1))
    return np.asarray(np.rint(means) if dtype.kind in "iu" else means).astype(dtype)
