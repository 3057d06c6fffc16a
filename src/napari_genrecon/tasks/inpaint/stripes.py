"""Find stripes: bands of rows that lie above or below what is on both sides of them, from end to end."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

__all__ = ["WIDEST", "striped_rows"]

Values = NDArray[np.float64]

WIDEST = 12  # rows
_CLEAR = 5.0  # spreads by which a step from row to row stands out from all others
_AGREE = 0.6  # part of the columns that step the same way; half would do so without a stripe
_PART = 40  # columns of a part of the row, each of which must step the same way, but for
_PARTS = (4, 8)  # at least and at most so many parts
_ALIKE = 0.5  # the smaller of the two steps of a stripe, as a part of the larger
_MAD = 1.4826  # s.d. of normal values with a median absolute deviation of 1
_MEDIAN = 1.25  # s.d. of the median of normal values, times the root of their number
_QUANTILE, _NORMAL = 0.9, 1.645  # of the absolute values, and what it is for normal values of s.d. 1
_FEWEST = 16  # rows, and columns, by which a stripe can be judged


def striped_rows(values: Values) -> NDArray[np.bool_]:
    """Which rows belong to a stripe.

    A stripe begins with a step that nearly the whole row takes, and ends with the opposite one a few rows on. What the
    specimen does from one row to the next has no common step, or not back again.

    Parameters
    ----------
    values : (Y, X) ndarray
        NaN where not known.
    """
    rows, columns = values.shape
    found = np.zeros(rows, bool)
    if rows < _FEWEST or columns < _FEWEST:
        return found
    steps = _common_steps(values)
    places = np.flatnonzero(steps)
    for first, last in itertools.pairwise(places):
        up, down = steps[first], steps[last]
        alike = min(abs(up), abs(down)) >= _ALIKE * max(abs(up), abs(down))
        if up * down < 0 and alike and last - first <= WIDEST:
            found[first:last] = True
    return found


def _common_steps(values: Values) -> Values:
    """(Y,) step from the row above that stands out, 0 where none does."""
    difference = np.nan_to_num(np.diff(values, axis=0), nan=0.0)
    common = np.median(difference, axis=1)
    spread = _MAD * float(np.median(np.abs(common - np.median(common))))
    usual = float(np.quantile(np.abs(difference), _QUANTILE)) / _NORMAL  # of noise its s.d.; edges make it larger
    least = _CLEAR * max(spread, _MEDIAN * usual / np.sqrt(values.shape[1]))
    agree = np.mean(np.sign(difference) == np.sign(common)[:, None], axis=1)
    clear = (np.abs(common) > least) & (agree > _AGREE) & _goes_through(difference, common)
    return np.concatenate([[0.0], np.where(clear, common, 0.0)])


def _goes_through(difference: Values, common: Values) -> NDArray[np.bool_]:
    """Whether every part of a row steps the same way: the edge of something large does so in some parts only."""
    n = int(np.clip(difference.shape[1] // _PART, *_PARTS))
    parts = [np.median(part, axis=1) for part in np.array_split(difference, n, axis=1)]
    return np.asarray(np.all([np.sign(part) == np.sign(common) for part in parts], axis=0))
