"""The noise spectrum as it was measured, where a family of shapes does not hold it.

A family (`spectrum`) tells correlated noise from white noise with few blocks. But demosaiced noise is not separable,
its pixels are not alike (one in two or four was measured, the rest interpolated), and it may have a long tail.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .blocks import SIZE, cosine_basis
from .spectrum import LEAST, LOWEST, Shape, inner_frequencies

__all__ = ["independent_part", "measured_shape"]

Floats = NDArray[np.float64]
_SMOOTHING = 1.0  # frequencies, s.d.
# Part of the highest frequency below which structure of small images is taken for noise; the coarse part of the noise
# that lies there is left to the second look.
_LOWEST = 3 * LOWEST / SIZE


def measured_shape(energy: Floats, family: Shape) -> Shape:
    """Return the smoothed spectrum of flat blocks.

    Parameters
    ----------
    energy : (SIZE, SIZE) ndarray
        Their mean energies.
    family : Shape
        Fitted to them. Only what it lacks is smoothed; and the lowest frequencies, which hold structure, and those
        constant along an axis, which hold stripes, get what their neighbours lack.
    """
    size = len(energy)
    used = (inner_frequencies(size) & (np.add.outer(np.arange(size), np.arange(size)) >= _LOWEST * size)).astype(float)
    # Logarithms, as spectra differ by factors. Frequencies that are not used count as 0 in both sums below, so that
    # they get the mean of their neighbours (normalised convolution).
    lacking = used * np.log((energy + LEAST) / (family.spectrum + LEAST))
    smooth = _smoothed(lacking) / _smoothed(used)
    spectrum = family.spectrum * np.exp(smooth)
    spectrum /= spectrum.mean()
    # The correlation of the fit, moved by what smoothing changed of its spectrum.
    rho_x, rho_y = (
        float(np.clip(rho + _lag1(spectrum, axis) - _lag1(family.spectrum, axis), -0.95, 0.95))
        for rho, axis in ((family.rho_x, 1), (family.rho_y, 0))
    )
    return Shape(round(rho_x, 2), round(rho_y, 2), spectrum)


def _smoothed(values: NDArray[np.floating]) -> Floats:
    return np.asarray(gaussian_filter(values, _SMOOTHING, mode="constant", truncate=8))  # as far as the lowest ones


def _lag1(spectrum: Floats, axis: int) -> float:
    """Return the mean product of neighbours along an axis, for noise of this spectrum."""
    along = spectrum.mean(1 - axis)
    basis = cosine_basis(len(along))
    return float(along @ (basis[:, 1:] * basis[:, :-1]).mean(1) / along.mean())


def independent_part(energy: Floats, share: Floats) -> float:
    """Return which part of the degrees of freedom is left where frequencies are not independent.

    Parameters
    ----------
    energy : (N, SIZE, SIZE) ndarray
        Energies of flat blocks, divided by their variance and by the spectrum, so that their mean is 1.
    share : (SIZE, SIZE) ndarray
        Share of each frequency in the variance of a block.

    Notes
    -----
    Where every second pixel is interpolated, each frequency is mirrored at half of the highest. For normal noise the
    covariance of two energies is twice their squared correlation.
    """
    above = energy - 1
    own = float((share**2).sum())
    mirrored = 0.0
    for axes in ((1,), (2,), (1, 2)):
        partner = np.flip(above, axes)  # (N, v, u)
        both = share * np.flip(share, tuple(axis - 1 for axis in axes))
        mirrored += float((both * (above * partner).mean(0)).sum()) / 2
    return own / (own + max(mirrored, 0.0))
