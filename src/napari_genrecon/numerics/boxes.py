"""Find the largest rectangle of usable pixels in a plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["largest_box"]


def largest_box(good: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return rows and columns of the largest box that is all good.

    Parameters
    ----------
    good : (Y, X) ndarray of bool
        True for pixels that may be in it.

    Returns
    -------
    (slice, slice)
        Empty if no pixel is good.

    Examples
    --------
    >>> import numpy as np
    >>> largest_box(np.array([[0, 1, 1], [1, 1, 1], [1, 1, 0]], bool))
    (slice(0, 2, None), slice(1, 3, None))
    """
    # The usual case, without the search.
    if good.all():
        return slice(0, good.shape[0]), slice(0, good.shape[1])
    most, box = 0, (slice(0, 0), slice(0, 0))
    heights = np.zeros(good.shape[1], np.int64)
    for row, line in enumerate(good):
        heights = np.where(line, heights + 1, 0)  # number of good pixels from this row upwards
        height, left, right = _widest([*heights.tolist(), 0])
        if height * (right - left) > most:
            most, box = height * (right - left), (slice(row + 1 - height, row + 1), slice(left, right))
    return box


def _widest(heights: list[int]) -> tuple[int, int, int]:
    """Return height, left and right of the largest box below a skyline that ends with a zero."""
    most, best = 0, (0, 0, 0)
    rising: list[tuple[int, int]] = []  # (left end, height) of the boxes that are still open
    for right, height in enumerate(heights):
        left = right
        # A lower column closes all boxes that are higher than it; its own box reaches back to where the last of them
        # began.
        while rising and rising[-1][1] >= height:
            left, tall = rising.pop()
            if tall * (right - left) > most:
                most, best = tall * (right - left), (tall, left, right)
        rising.append((left, height))
    return best
