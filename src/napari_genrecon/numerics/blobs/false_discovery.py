"""Choose a threshold so that of what lies above it only a given share is false."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["false_shares"]


def false_shares(expected: ArrayLike) -> NDArray[np.float64]:
    """Return for every finding the least share of false ones in a selection that holds it.

    Parameters
    ----------
    expected : (N,) array_like
        How many findings that are as sure or surer chance alone gives, for each finding.

    Returns
    -------
    (N,) ndarray of float64
        In [0, 1]; it does not fall where `expected` grows. Keep those of at most 0.05 to have 5 % false ones.

    Notes
    -----
    Benjamini & Hochberg, J. R. Stat. Soc. B 57, 1995; for maxima of a random field see Schwartzman, Gavrilov & Adler,
    Ann. Stat. 39, 2011.

    Examples
    --------
    >>> false_shares([0.001, 0.9, 0.04]).round(3).tolist()
    [0.001, 0.3, 0.02]
    """
    chance = np.asarray(expected, np.float64)
    order = np.argsort(chance, kind="stable")
    shares = chance[order] / np.arange(1, len(chance) + 1)
    found = np.empty(len(chance))
    found[order] = np.minimum(np.minimum.accumulate(shares[::-1])[::-1], 1.0)
    return found
