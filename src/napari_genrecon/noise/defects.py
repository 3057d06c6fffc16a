"""What is not noise of single pixels: line stripes, hot and dead pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .model import NoiseModel

__all__ = ["fill_hot", "find_hot", "hot_pixels", "stripes"]

_FIRST = 4  # cosine frequency from which stripes are told from structure
_SURE = 8.0  # standard errors (overlapping blocks count for less than their number)
_FAINT = 0.05  # noise s.d.; fainter stripes are not worth a word
_HOT = 8.0  # noise s.d. by which a hot pixel stands above all its neighbours
_PHOTONS = 8.0  # and photo-electrons
_ALONE = 4.0  # and how many times the spread of these neighbours


def stripes(energy: NDArray[np.float64], spectrum: NDArray[np.float64], blocks: int) -> tuple[float, float]:
    """S.d. of row and of column stripes, as a part of the noise s.d.

    Parameters
    ----------
    energy : (SIZE, SIZE) ndarray
        Mean energies of noise-only blocks, (v, u), divided by their variance.
    spectrum : (SIZE, SIZE) ndarray
        What noise without stripes gives.
    blocks : int
        How many blocks the mean is over.

    Notes
    -----
    An offset common to a row has no frequency along x: it adds its variance times SIZE to the energies of ``u = 0``.
    The energies of ``u = 1`` tell what there is without stripes.
    """
    return _along(energy, spectrum, blocks), _along(energy.T, spectrum.T, blocks)


def _along(energy: NDArray[np.float64], spectrum: NDArray[np.float64], blocks: int) -> float:
    if len(energy) <= _FIRST:
        return 0.0
    expected = energy[_FIRST:, 1] * spectrum[_FIRST:, 0] / spectrum[_FIRST:, 1]
    excess = float((energy[_FIRST:, 0] - expected).mean())
    error = float(expected.mean()) * np.sqrt(4 / (expected.size * max(blocks, 1)))
    least = max(_SURE * error, len(energy) * _FAINT**2)
    return float(np.sqrt(excess / len(energy))) if excess > least else 0.0


def hot_pixels(crops: Sequence[NDArray[np.generic]], noise: NoiseModel) -> float:
    """Fraction of the pixels that stand alone, far above or below all eight neighbours."""
    inner = sum(max(crop.shape[0] - 2, 0) * max(crop.shape[1] - 2, 0) for crop in crops)
    if not inner:
        return 0.0
    return sum(len(find_hot(crop, noise, sign)[0]) for crop in crops for sign in (1, -1) if min(crop.shape) > 2) / inner


def find_hot(crop: NDArray[np.generic], noise: NoiseModel, sign: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the inner pixels that stand alone.

    Parameters
    ----------
    crop : (Y, X) ndarray
        At least 3 x 3 pixels.
    noise : NoiseModel
        Of the channel.
    sign : {1, -1}
        Far above all eight neighbours (hot), or far below (dead).
    """
    # Counted from the offset, float32 holds the noise of every dtype.
    signed = sign * np.subtract(crop, noise.offset, dtype=np.float64 if crop.dtype.itemsize > 2 else np.float32)
    y, x = _candidates(signed, max(_HOT * float(noise.sigma_at(-np.inf)), _PHOTONS * noise.gain))
    around = np.stack([signed[y + dy, x + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx])
    highest, lowest = around.max(axis=0), around.min(axis=0)
    step = np.subtract(signed[y, x], highest, where=np.isfinite(highest + signed[y, x]), out=np.zeros_like(highest))
    highest = np.where(step > 0, highest, 0)
    sigma = noise.sigma_at(sign * highest + noise.offset)
    # One photon on an empty background stands alone as well.
    least = np.maximum(_HOT * sigma, _PHOTONS * noise.gain)
    alone = (step > least) & (step > _ALONE * (highest - lowest))
    return y[alone], x[alone]


def fill_hot(
    plane: NDArray[np.floating], noise: NoiseModel
) -> tuple[NDArray[np.floating], tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Replace hot and dead pixels by the median of their neighbours.

    Parameters
    ----------
    plane : (Y, X) ndarray of float
        Finite.
    noise : NoiseModel
        Of the channel.

    Returns
    -------
    filled : (Y, X) ndarray
        The same array if there was none.
    (rows, columns) : tuple of ndarray of int
        Where values were replaced.
    """
    if min(plane.shape) < 3:
        return plane, (np.empty(0, np.intp), np.empty(0, np.intp))
    y, x = (np.concatenate(found) for found in zip(*(find_hot(plane, noise, sign) for sign in (1, -1)), strict=True))
    if not len(y):
        return plane, (y, x)
    filled = plane.copy()
    around = [plane[y + dy, x + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    filled[y, x] = np.median(np.stack(around), axis=0)
    return filled, (y, x)


def _candidates(signed: NDArray[np.floating], step: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Inner pixels that stand above their neighbours left and right: few, so that the rest can be slow."""
    inner = signed[1:-1]
    with np.errstate(invalid="ignore"):
        high = inner[:, 1:-1] - step > np.maximum(inner[:, :-2], inner[:, 2:])
    y, x = np.nonzero(high)
    return y + 1, x + 1
