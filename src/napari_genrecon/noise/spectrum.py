"""The shape of a noise spectrum, told by two numbers along each axis.

The autocorrelation of the noise along one axis is taken as ``rho ** (lag ** power)``: 1 is exponential (a detector's
lag, demosaicing), 2 is Gaussian (interpolation, smoothing). Both axes are separable.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .blocks import SIZE, cosine_basis
from .report import CORRELATED

__all__ = [
    "LEAST",
    "LONG",
    "LOWEST",
    "RHO",
    "SHARPENED",
    "FEW_FLAT",
    "WHITE",
    "Shape",
    "fit_shape",
    "high_frequencies",
    "holds_structure",
    "inner_frequencies",
    "top_frequencies",
    "white_shape",
]

Floats = NDArray[np.float64]
RHO = np.arange(-30, 90) / 100
"""Lag-1 correlations that are tried."""
_POWER = np.array([1.0, 1.3, 1.6, 2.0, 2.4])
# A lag-1 correlation below this is taken as none. With CORRELATED, white noise over a picture of gravel was not.
WHITE = 0.12
# Below it along both axes, noise was sharpened: white noise is fitted with -0.01 to 0.03, that with -0.06 to -0.04.
SHARPENED = -0.035
LOWEST = 2  # cosine frequencies below this, along either axis, hold structure
FEW_FLAT = 0.06  # part of the blocks
LONG = 0.8  # lag-1 correlation
_STRUCTURE = 8.0  # times the energy of noise in the lowest frequencies
_STRONG = 0.1  # of the mean of a spectrum
LEAST = 0.02  # of the mean of a spectrum: below this, rounding of grey values is stronger than the noise itself


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Noise spectrum of unit variance.

    Parameters
    ----------
    rho_x, rho_y : float
        Lag-1 correlation.
    spectrum : (SIZE, SIZE) ndarray of float64
        Mean energy of each cosine coefficient, (v, u); its mean over all coefficients is 1.
    """

    rho_x: float
    rho_y: float
    spectrum: Floats


def white_shape(size: int) -> Shape:
    """Return the spectrum of uncorrelated noise."""
    return Shape(0.0, 0.0, np.ones((size, size)))


def _order(size: int) -> NDArray[np.intp]:
    """Return ``u + v`` of every coefficient."""
    return np.add.outer(np.arange(size), np.arange(size))


def inner_frequencies(size: int) -> NDArray[np.bool_]:
    """Mark all frequencies but the lowest, where structure lies, and those along an axis, where stripes lie."""
    # So small a block has no frequency beyond the lowest: all but the mean are used.
    if size < 2 * LOWEST:
        return _order(size) > 0 if size > 1 else np.ones((1, 1), bool)
    lines = np.minimum.outer(np.arange(size), np.arange(size)) == 0
    return ~lines & (_order(size) >= 3)


def high_frequencies(size: int, spectrum: Floats | None = None) -> NDArray[np.bool_]:
    """Mark the upper half; for correlated noise somewhat lower ones, and only where such noise is not weak."""
    # Of a smaller block too few frequencies would be left.
    if size < 4 * LOWEST:
        return inner_frequencies(size)
    if spectrum is None:
        return inner_frequencies(size) & (_order(size) >= size * 7 // 8)
    high = inner_frequencies(size) & (_order(size) >= size * 3 // 4)
    strong = high & (spectrum >= _STRONG)
    # Smooth noise is weak in nearly all of them: the strongest are taken, as many as a measurement needs.
    if strong.sum() < size * 5 // 2:
        strong = high & (spectrum >= np.sort(spectrum[high])[-size * 5 // 2])
    return strong


def top_frequencies(size: int) -> NDArray[np.bool_]:
    """Mark the highest, where even fine texture is weak; they are few, and white noise is all they can measure."""
    if size < SIZE:
        return high_frequencies(size)
    return _order(size) >= size * 11 // 8


def fit_shape(energy: Floats) -> Shape:
    """Return the spectrum which makes these mean energies most likely.

    Parameters
    ----------
    energy : (SIZE, SIZE) ndarray
        Mean energies of blocks which hold little but noise.

    Notes
    -----
    Whittle's likelihood: each energy is exponential around the spectrum, up to a common scale. The axes are fitted in
    turn, the other one divided out. It is done twice, with and without the lower frequencies. For noise both agree;
    structure has more energy there than fits with the rest, and then only the rest is believed. Whether noise is white
    is best told by the high frequencies alone.
    """
    # A constant image has no energy, and no likelihood; an image of a few pixels across tells no correlation.
    if len(energy) < SIZE or not energy[2 * LOWEST :, 2 * LOWEST :].any():
        return white_shape(len(energy))
    wide, narrow = _fit(energy, LOWEST), _fit(energy, 2 * LOWEST)
    # No structure lowers the lower frequencies.
    if max(wide.rho_x, wide.rho_y) < SHARPENED:
        return wide
    if max(abs(narrow.rho_x), abs(narrow.rho_y)) < WHITE:
        return _fit(energy, 3 * LOWEST)
    doubt = max(wide.rho_x - narrow.rho_x, wide.rho_y - narrow.rho_y)
    return narrow if doubt > CORRELATED else wide


def holds_structure(energy: Floats, shape: Shape, flat_part: float) -> bool:
    """Return whether even the flattest blocks hold structure that has been taken for noise.

    Parameters
    ----------
    energy : (SIZE, SIZE) ndarray
        Mean energies of the flattest blocks.
    shape : Shape
        Fitted to them.
    flat_part : float
        How many of all blocks are as flat as noise of this shape, in [0, 1].

    Notes
    -----
    Structure is told by two signs where few blocks are flat: far more energy in the lowest frequencies than noise of
    this spectrum has (noise gives a ratio of 1, the gentle shading of flat patches up to 4, blurred structure 10 to
    50), or a correlation over more pixels than detectors and interpolation make. The limits were set on real images
    without a flat patch.
    """
    if len(energy) < SIZE:
        return False
    # 1 in every frequency, up to a scale, if all of it is noise of this shape.
    ratio = energy / shape.spectrum
    is_blurred = ratio[1:3, 1:3].mean() > _STRUCTURE * ratio[5:, 5:].mean() and flat_part < FEW_FLAT
    is_long = max(shape.rho_x, shape.rho_y) > LONG and flat_part < FEW_FLAT
    return bool(is_blurred or is_long)


def _fit(energy: Floats, lowest: int) -> Shape:
    size = len(energy)
    inner = energy[lowest:, lowest:]
    along_x, along_y = np.ones(size), np.ones(size)
    rho_x = rho_y = 0.0
    for _ in range(2):
        # Each time with the other axis divided out; in the first round that along y counts as white.
        rho_x, along_x = _fit_axis(_seen(inner, along_y[lowest:]), lowest, size)
        rho_y, along_y = _fit_axis(_seen(inner.T, along_x[lowest:]), lowest, size)
    return Shape(rho_x, rho_y, np.outer(along_y, along_x))


def _seen(energy: Floats, across: Floats) -> Floats:
    """Return the mean energy along one axis, the spectrum across divided out; only from where that is not weak.

    Smooth noise has hardly any energy in the high frequencies. The same small floor is put under it and under the
    spectra that it is compared with: what lies below would otherwise pull the likelihood towards weaker correlation.
    """
    strong = across >= _STRONG
    along = (energy[strong] / across[strong, None]).mean(0)
    return np.asarray(along + LEAST * along.max() / 2)


def _fit_axis(energy: Floats, lowest: int, size: int) -> tuple[float, Floats]:
    rho, spectra = _family(size)
    used = spectra[:, lowest:] + LEAST
    # Minus Whittle's log-likelihood per frequency, at the scale that suits each spectrum best.
    cost = np.log((energy / used).mean(1)) + np.log(used).mean(1)
    best = int(np.argmin(cost))
    return float(rho[best]), spectra[best]


@cache
def _family(size: int) -> tuple[Floats, Floats]:
    """Return (M,) correlations and (M, size) spectra of all shapes that are tried."""
    # The power changes nothing where there is next to no correlation; negative ones are taken as exponential.
    pairs = [(rho, power) for rho in RHO for power in (_POWER if rho > 0.02 else _POWER[:1])]
    lags = np.arange(size)
    basis = cosine_basis(size)
    distance = np.abs(lags[:, None] - lags)  # (size, size)
    spectra = []
    for rho, power in pairs:
        # A negative correlation changes its sign from pixel to pixel.
        covariance = np.sign(rho) ** lags * np.abs(rho) ** (lags**power) if rho else (lags == 0) * 1.0
        # The diagonal of basis @ C @ basis.T: the mean energy of each cosine coefficient.
        spectra.append(np.einsum("ui,ij,uj->u", basis, covariance[distance], basis))
    floor = np.maximum(np.array(spectra), LEAST)
    return np.array([rho for rho, _ in pairs]), floor / floor.mean(1, keepdims=True)
