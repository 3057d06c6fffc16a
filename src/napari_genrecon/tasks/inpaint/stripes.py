"""Find stripes: bands of rows that are brighter or darker than the rows on both sides, from end to end."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.noise.blocks import SIZE
from napari_genrecon.normal import robust_sigma, usual_sigma

__all__ = ["WIDEST", "striped_rows"]

Values = NDArray[np.float64]

WIDEST = 12  # rows of a stripe: wider bands may be structure, and filling them would lose too much
_CLEAR = 5.0  # spreads by which the step of a stripe exceeds those from row to row elsewhere
_PARTS = 4  # of the row, all of which must step the same way: fewer test little, more have noisy medians
_MEDIAN = math.sqrt(math.pi / 2)  # s.d. of the median of normal values, times the root of their number


def striped_rows(values: Values) -> NDArray[np.bool_]:
    """Return which rows belong to a stripe.

    A stripe begins with a step in grey value of nearly the whole row, and ends with the opposite step a few rows on.
    Structure of the specimen does not step along a whole row, or does not step back.

    Parameters
    ----------
    values : (Y, X) ndarray
        Grey values; NaN where unknown.

    Returns
    -------
    (Y,) ndarray of bool
    """
    rows, columns = values.shape
    found = np.zeros(rows, bool)
    # Noise is measured in patches of this side: the medians of fewer pixels are too noisy.
    if rows < SIZE or columns < SIZE:
        return found
    steps = _common_steps(values)
    places = np.flatnonzero(steps)
    # A stripe is between two steps that follow each other: one up and one down.
    for first, last in itertools.pairwise(places):
        if steps[first] * steps[last] < 0 and last - first <= WIDEST:
            found[first:last] = True
    return found


def _common_steps(values: Values) -> Values:
    """Return the (Y,) step from the row above where it is clear and common to the whole row, else 0."""
    # (Y - 1, X): the step from each row to the next; unknown ones count as none
    difference = np.nan_to_num(np.diff(values, axis=0), nan=0.0)
    common = np.median(difference, axis=1)
    spread = robust_sigma(common)
    usual = usual_sigma(difference)  # of the noise; edges make it larger
    least = _CLEAR * max(spread, _MEDIAN * usual / np.sqrt(values.shape[1]))
    clear = (np.abs(common) > least) & _goes_through(difference, common)
    return np.concatenate([[0.0], np.where(clear, common, 0.0)])


def _goes_through(difference: Values, common: Values) -> NDArray[np.bool_]:
    """Return whether every part of a row steps the same way; at the edge of a large object only some parts do."""
    parts = [np.median(part, axis=1) for part in np.array_split(difference, _PARTS, axis=1)]
    return np.asarray(np.all([np.sign(part) == np.sign(common) for part in parts], axis=0))
