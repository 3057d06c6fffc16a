"""Shrink and enlarge a plane by cubic convolution, pixel centres aligned.

The rule is that of MATLAB's ``imresize`` with the bicubic kernel and antialiasing, by which super-resolution is
measured everywhere: Keys' kernel with a = -1/2 (IEEE Trans. ASSP 29, 1981, eq. 8), widened by the factor when an image
is made smaller, weights that sum to one, edges mirrored. Output pixel ``i`` of an image enlarged by ``f`` lies at
``(i + 1/2) / f - 1/2`` in pixels of the input, so that both images cover the same field.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BACK_PROJECTION_REACH",
    "back_project",
    "binned",
    "cubic",
    "enlarge",
    "enlarged_rows",
    "lanczos",
    "resize_matrix",
    "shrink",
]

_LOBES = 4  # of the windowed sinc on either side
_SUPPORT = 2.0  # half width of the kernel, in pixels of the coarser grid; it is 0 beyond

BACK_PROJECTION_REACH = int(2 * _SUPPORT)
"""Pixels of the small image to each side that a round of `back_project` depends on: it shrinks, and then enlarges."""


def cubic(x: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Evaluate Keys' cubic convolution kernel with a = -1/2.

    Examples
    --------
    >>> cubic(np.array([0.0, 0.5, 1.0, 1.5, 2.0])).tolist()
    [1.0, 0.5625, 0.0, -0.0625, 0.0]
    """
    d = np.abs(np.asarray(x, np.float64))
    # Pieces of the kernel for distances up to 1 and from 1 to 2.
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return np.where(d <= 1, near, np.where(d < _SUPPORT, far, 0.0))


def lanczos(part: float) -> NDArray[np.float64]:
    """Return the weights, one in all, of the pixels -4 to 3 steps from one that is moved by part of a pixel, 0 to 1.

    A sinc under the middle lobe of a wider one (Duchon, J. Appl. Meteorol. 18, 1979).
    """
    distances = np.arange(-_LOBES, _LOBES) + part
    # The window ends at its first zero.
    weights = np.sinc(distances) * np.sinc(distances / _LOBES) * (np.abs(distances) < _LOBES)
    return np.asarray(weights / weights.sum())


def shrink(plane: NDArray[np.floating[Any]], factor: int) -> NDArray[Any]:
    """Return a plane with `factor` times fewer pixels along either side, antialiased.

    Parameters
    ----------
    plane : (Y, X) ndarray of float
        Both sides multiples of `factor`.
    factor : int
        1 or more.

    Returns
    -------
    (Y / factor, X / factor) ndarray
        Plane in the dtype of `plane`.
    """
    return _along(_along(plane, factor, 0, _shrunk), factor, 1, _shrunk)


def binned(image: NDArray[Any], bins: int) -> NDArray[Any]:
    """Return the means of squares of `bins` x `bins` pixels of (..., Y, X); what is left over at the end is cut."""
    y, x = (n // bins for n in image.shape[-2:])
    squares = image[..., : y * bins, : x * bins].reshape(*image.shape[:-2], y, bins, x, bins)
    return np.asarray(squares.mean(axis=(-3, -1)))


def enlarge(plane: NDArray[np.floating[Any]], factor: int) -> NDArray[Any]:
    """Return a plane with `factor` times more pixels along either side.

    Parameters
    ----------
    plane : (Y, X) ndarray of float
        Any size.
    factor : int
        1 or more.

    Returns
    -------
    (Y * factor, X * factor) ndarray
        Plane in the dtype of `plane`.
    """
    return _along(_along(plane, factor, 0, enlarged_rows), factor, 1, enlarged_rows)


def enlarged_rows(rows: NDArray[Any], factor: int) -> NDArray[Any]:
    """Enlarge rows only, from (Y, X) to (Y * factor, X) ndarray of float, by cubic convolution."""
    first, phases = _enlarging_weights(factor)
    n, taps = len(rows), phases.shape[1]
    padded = _mirrored(rows, -first, taps + first - 1)
    result = np.zeros((n, factor, rows.shape[1]), rows.dtype)
    for phase, weights in enumerate(phases):
        for k, weight in enumerate(weights):
            # Each phase uses four of the five taps at most: the fifth has the weight 0.
            if weight:
                # As a number of the rows' dtype: a float64 factor would compute, and copy, in float64.
                result[:, phase] += rows.dtype.type(weight) * padded[k : k + n]
    return result.reshape(n * factor, -1)


def back_project(large: NDArray[np.floating[Any]], small: NDArray[np.floating[Any]], factor: int) -> NDArray[Any]:
    """Bring the shrunk version of an enlarged plane closer to the small plane: one round of back-projection.

    Iterative back-projection (Irani & Peleg, CVGIP: Graphical Models and Image Processing 53, 1991, eq. 1): what is
    missing after shrinking is enlarged and added. A round leaves nothing of what is wrong at coarse scales and three
    quarters at the finest that the small plane can hold.

    Parameters
    ----------
    large : (Y * factor, X * factor) ndarray of float
        The first guess.
    small : (Y, X) ndarray of float
        Plane that shrinking should give.
    factor : int
        1 or more.

    Returns
    -------
    (Y * factor, X * factor) ndarray
    """
    corrected: NDArray[Any] = large + enlarge(small - shrink(large, factor), factor)
    return corrected


def _along(plane: NDArray[Any], factor: int, axis: int, resample: Any) -> NDArray[Any]:
    # The axis to resample comes first, so that rows are contiguous either way.
    moved = plane if axis == 0 else plane.T
    result = resample(moved, factor)
    return np.ascontiguousarray(result if axis == 0 else result.T)


def _shrunk(rows: NDArray[Any], factor: int) -> NDArray[Any]:
    first, weights = _shrinking_weights(factor)
    n = len(rows) // factor
    padded = _mirrored(rows, -first, len(weights) + first - factor)
    result = np.zeros((n, rows.shape[1]), rows.dtype)
    for k, weight in enumerate(weights):
        result += rows.dtype.type(weight) * padded[k : k + factor * n : factor]
    return result


@lru_cache
def _shrinking_weights(factor: int) -> tuple[int, NDArray[np.float64]]:
    """Return (position of the first tap, (K,) weights) for output pixel 0; they are the same for all others."""
    centre = 0.5 * factor - 0.5
    # The kernel is 0 at its ends, which are left out.
    first = int(np.floor(centre - _SUPPORT * factor)) + 1
    taps = np.arange(first, int(np.ceil(centre + _SUPPORT * factor)))
    weights = cubic((taps - centre) / factor)
    return first, weights / weights.sum()


@lru_cache
def _enlarging_weights(factor: int) -> tuple[int, NDArray[np.float64]]:
    """Return (position of the first tap, (factor, 5) weights) for the output pixels within input pixel 0."""
    # Places of the output pixels, relative to the input pixel that they lie in: from -1/2 to 1/2.
    place = (np.arange(factor) + 0.5) / factor - 0.5
    return -2, cubic(np.arange(-2, 3)[None, :] - place[:, None])


def _mirrored(rows: NDArray[Any], before: int, after: int) -> NDArray[Any]:
    return np.pad(rows, [(before, after), (0, 0)], mode="symmetric")


def resize_matrix(length: int, size: int) -> NDArray[np.float32]:
    """Return the (size, length) weights that resample rows of any length, antialiased where there are fewer then.

    Examples
    --------
    >>> (resize_matrix(4, 2) @ np.full(4, 3.0)).round(4)
    array([3., 3.])
    """
    # Only a reduction widens the kernel, against aliasing.
    stretch = max(length / size, 1.0)
    centre = (np.arange(size) + 0.5) * length / size - 0.5
    weights = cubic((np.arange(length)[None, :] - centre[:, None]) / stretch)
    # At the edges the kernel reaches beyond the row: the weights of what is there are scaled to sum 1.
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
