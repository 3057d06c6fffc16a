"""Whether the flattest blocks of an image hold correlated noise, or texture under white noise.

Both have more energy in the low frequencies. But the correlation of detectors, interpolation and scanning is separable:
its spectrum is a product of one for each axis. The spectrum of texture falls as a power of the distance from frequency
0 (Field, J. Opt. Soc. Am. A 4, 1987), down to the floor of the white noise. Which of the two is likelier is decided by
Whittle's likelihood, as the noise spectrum itself.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from .blocks import SIZE
from .spectrum import FEW_FLAT, LEAST, LONG, LOWEST, Shape

__all__ = ["is_texture_on_white"]

Floats = NDArray[np.float64]
_SURE = 10.0  # by how much the log-likelihoods must differ
_LOWEST = (LOWEST, 2 * LOWEST)  # frequencies from which spectra are compared: gentle shading lies below, or just above
_POWERS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)
# Energy of texture by that of noise in the middle frequencies. With still less noise its floor would not be seen, and
# smooth noise without any floor would pass for texture.
_STRENGTHS = np.geomspace(0.02, 4, 12)


def is_texture_on_white(energy: Floats, shape: Shape, count: int, flat_part: float) -> bool:
    """Return whether the flattest blocks hold texture on white noise rather than correlated noise.

    Parameters
    ----------
    energy : (SIZE, SIZE) ndarray
        Mean energies of the flattest blocks.
    shape : Shape
        Fitted to them.
    count : int
        Over how many blocks the mean is.
    flat_part : float
        How many of all blocks are as flat as noise of this shape, in [0, 1]. Where they are not few, it is the noise
        that is alike in them, unless its correlation is longer along both axes than detectors and interpolation make.
    """
    is_noise = flat_part >= FEW_FLAT and min(shape.rho_x, shape.rho_y) <= LONG
    if len(energy) < SIZE or is_noise:
        return False
    low, high = (_evidence(energy, shape.spectrum, count, lowest) for lowest in _LOWEST)
    return low > _SURE and high > 0


def _evidence(energy: Floats, spectrum: Floats, count: int, lowest: int) -> float:
    """Return the log-likelihood of texture under white noise less that of this spectrum."""
    used = (..., slice(lowest, None), slice(lowest, None))
    energy, spectrum = energy + LEAST, spectrum + LEAST  # noise may have less energy than its spectrum admits
    gain = _cost(energy[used], spectrum[used]) - _cost(energy[used], _family(len(energy))[used]).min()
    return float(gain) * energy[used].size * count / 2


def _cost(energy: Floats, spectra: Floats) -> Floats:
    """Return minus Whittle's log-likelihood of each energy of each spectrum, up to a common scale."""
    return np.asarray(np.log((energy / spectra).mean((-2, -1))) + np.log(spectra).mean((-2, -1)))


@cache
def _family(size: int) -> Floats:
    """Return (M, size, size) spectra of texture under white noise, (v, u)."""
    squares = np.arange(size)[:, None] ** 2.0, np.arange(size) ** 2.0
    distance = np.sqrt(squares[0] + squares[1]) / (size / 2)
    distance[0, 0] = distance[0, 1]
    return np.array([1 + strength * distance**-power for power in _POWERS for strength in _STRENGTHS])
