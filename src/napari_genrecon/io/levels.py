"""The smaller copies (levels) of an image for viewers that zoom out: their sizes, and how to make the next one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHUNK", "TILE", "halved", "level_shapes"]

CHUNK = 1024
"""Pixels along a side that are stored, or read, at once where nothing else decides: 2 MB of memory at 16 bits."""
TILE = 256
"""Pixels a side that most readers of OME-TIFF load into memory at once: a smaller level makes no viewer faster."""


def level_shapes(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the shapes of all levels of an image, itself first; its last two dimensions are Y and X."""
    shapes = [tuple(int(n) for n in shape)]
    while min(shapes[-1][-2:]) >= 2 * TILE:
        *outer, y, x = shapes[-1]
        # Rounded up, as `halved` repeats the last row or column of an odd side.
        shapes.append((*outer, -(-y // 2), -(-x // 2)))
    return shapes


def halved(block: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the means of 2 x 2 pixels; the last row or column of an odd side is repeated.

    Parameters
    ----------
    block : (..., Y, X) ndarray
        Real numbers.
    dtype : dtype
        Type of the result; integers are rounded.
    """
    odd = [(0, 0)] * (block.ndim - 2) + [(0, n % 2) for n in block.shape[-2:]]
    # float64 holds the sum of four 32-bit integers exactly.
    even = np.pad(block, odd, mode="edge").astype(np.float64)
    *outer, y, x = even.shape
    # (..., Y, X) -> (..., Y/2, 2, X/2, 2): axes -3 and -1 count the pixels within a block.
    means = even.reshape(*outer, y // 2, 2, x // 2, 2).mean(axis=(-3, -1))
    # A cast alone would cut the fraction off and darken every level by half a grey value.
    return np.asarray(np.rint(means) if dtype.kind in "iu" else means).astype(dtype)
