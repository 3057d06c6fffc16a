"""Turn an object with voxels as tall as wide into a stack of thick planes, and make an object agree with a stack.

Plane ``i`` of the stack lies in the middle of the fine rows ``i * factor`` to ``(i + 1) * factor - 1`` and is a
weighted mean of the rows about it. The weights are a Gaussian, as of a focus or of a slice that was excited.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.normal import FWHM
from napari_genrecon.numerics.resample import enlarged_rows

__all__ = ["back_project_slices", "slice_profile", "sliced"]

_CUT = 2.5  # s.d. at which the profile ends: beyond lie about 1 % of it, and each more row costs time


@lru_cache
def slice_profile(factor: int, thickness: float) -> tuple[int, NDArray[np.float64]]:
    """Return the weights of the fine rows in one plane.

    Parameters
    ----------
    factor : int
        Fine rows per plane.
    thickness : float
        Full width at half maximum of the profile, in distances of planes.

    Returns
    -------
    first : int
        The fine row that the first weight of plane 0 belongs to.
    weights : (K,) ndarray
        Weights, of sum 1.

    Examples
    --------
    >>> first, weights = slice_profile(3, 1.0)
    >>> first, [round(float(w), 2) for w in weights]
    (-2, [0.02, 0.09, 0.23, 0.31, 0.23, 0.09, 0.02])
    """
    sigma, centre = factor * thickness / FWHM, 0.5 * factor - 0.5
    first, last = math.ceil(centre - _CUT * sigma), math.floor(centre + _CUT * sigma)
    weights = np.exp(-0.5 * ((np.arange(first, last + 1) - centre) / sigma) ** 2)
    return first, weights / weights.sum()


def sliced(fine: NDArray[np.floating[Any]], factor: int, thickness: float) -> NDArray[Any]:
    """Return the stack of thick planes of a finer stack.

    Parameters
    ----------
    fine : (Z * factor, ...) ndarray of float
        Rows, or planes.
    factor : int
        Fine rows per plane.
    thickness : float
        See `slice_profile`.

    Returns
    -------
    (Z, ...) ndarray
        Stack in the dtype of `fine`.
    """
    first, weights = slice_profile(factor, thickness)
    n = len(fine) // factor
    # Rows that the first and the last plane draw from beyond the stack.
    before, after = max(-first, 0), max(len(weights) + first - factor, 0)
    padded = np.pad(fine, [(before, after), *[(0, 0)] * (fine.ndim - 1)], mode="symmetric")
    # The first row of plane 0 in the padded stack; larger than 0 where the profile is narrower than a plane.
    start = first + before
    # One strided multiply-add per weight: only the rows that planes need are computed.
    result = np.zeros((n, *fine.shape[1:]), fine.dtype)
    for k, weight in enumerate(weights):
        result += fine.dtype.type(weight) * padded[start + k : start + k + factor * (n - 1) + 1 : factor]
    return result


def back_project_slices(
    fine: NDArray[np.floating[Any]], stack: NDArray[np.floating[Any]], factor: int, thickness: float, rounds: int
) -> NDArray[Any]:
    """Change fine rows until slicing them gives the stack back; see `numerics.resample.back_project`.

    Parameters
    ----------
    fine : (Z * factor, ...) ndarray of float
        The first guess.
    stack : (Z, ...) ndarray of float
        Stack that slicing should give.
    factor, thickness
        See `sliced`.
    rounds : int
        Number of rounds.
    """
    for _ in range(rounds):
        # (Z, Y * X): `enlarged_rows` takes two dimensions.
        missing = (stack - sliced(fine, factor, thickness)).reshape(len(stack), -1)
        fine = fine + enlarged_rows(missing, factor).reshape(fine.shape)
    return fine
