"""Simulated noise: correlated, signal-dependent and striped, with its exact description.

Every function is pure: a random generator in, arrays and numbers out. Units are those of the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "NoiseKernel",
    "correlated_noise",
    "lag1_correlation",
    "noise_kernel",
    "poisson_gaussian",
    "stripes",
]

Image = NDArray[np.float32]
Shape = tuple[int, int]
Profile = NDArray[np.float64]

WHITE: Profile = np.ones(1)
SMOOTHNESS = (0.25, 1.6)  # px, the range of kernel widths: lag-1 correlations from about 0 to 0.9


@dataclass(frozen=True, slots=True)
class NoiseKernel:
    """A separable filter that turns white noise into correlated noise of the same variance.

    Attributes
    ----------
    along_x, along_y : (K,) ndarray
        Odd-length profiles of unit energy (their squares sum to 1).
    """

    along_x: Profile
    along_y: Profile

    @property
    def rho_x(self) -> float:
        """Exact lag-1 correlation of the filtered noise along x."""
        return lag1_correlation(self.along_x)

    @property
    def rho_y(self) -> float:
        """Exact lag-1 correlation of the filtered noise along y."""
        return lag1_correlation(self.along_y)


def lag1_correlation(profile: NDArray[np.floating]) -> float:
    """Return the lag-1 autocorrelation of white noise filtered with `profile`: ``sum(k[i]*k[i+1]) / sum(k**2)``.

    Examples
    --------
    >>> lag1_correlation(np.array([1.0, 2.0, 1.0]))
    0.6666666666666666
    """
    return float(np.dot(profile[1:], profile[:-1]) / np.dot(profile, profile))


def noise_kernel(rng: np.random.Generator) -> NoiseKernel:
    """Draw a kernel: Gaussian, exponential or triangular; one in three anisotropic, some along one axis only."""
    family = _FAMILIES[rng.integers(len(_FAMILIES))]
    width_x = width_y = rng.uniform(*SMOOTHNESS)
    if rng.random() < 1 / 3:
        width_y = rng.uniform(*SMOOTHNESS)
    along_x, along_y = _unit_energy(family(width_x)), _unit_energy(family(width_y))
    if rng.random() < 0.1:  # detectors that are read out, filtered or interpolated line by line
        return NoiseKernel(along_x, WHITE) if rng.random() < 0.7 else NoiseKernel(WHITE, along_y)
    return NoiseKernel(along_x, along_y)


def correlated_noise(rng: np.random.Generator, shape: Shape, sigma: float, kernel: NoiseKernel) -> Image:
    """Draw Gaussian noise (Y, X) of s.d. `sigma`, correlated by `kernel`, stationary up to the borders."""
    margin_y, margin_x = len(kernel.along_y) // 2, len(kernel.along_x) // 2
    white = rng.standard_normal((shape[0] + 2 * margin_y, shape[1] + 2 * margin_x), np.float32)
    noise = ndimage.convolve1d(white, kernel.along_y, axis=0)
    noise = ndimage.convolve1d(noise, kernel.along_x, axis=1)
    inner = noise[margin_y : margin_y + shape[0], margin_x : margin_x + shape[1]]
    return np.asarray(sigma * inner, np.float32)


def poisson_gaussian(
    rng: np.random.Generator, clean_photons: NDArray[np.floating], gain: float, offset: float, read_noise: float
) -> Image:
    """Simulate a camera: amplified shot noise plus read noise on an offset.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    clean_photons : (Y, X) ndarray
        Expected number of photo-electrons per pixel, >= 0.
    gain : float
        Grey values (DN) per photo-electron.
    offset : float
        Grey value of a dark pixel, in DN.
    read_noise : float
        Standard deviation of the read noise, in DN.

    Returns
    -------
    (Y, X) ndarray of float32
        Grey values in DN, neither rounded nor clipped; their variance is ``gain**2 * clean_photons + read_noise**2``.
    """
    electrons = rng.poisson(clean_photons)
    read = read_noise * rng.standard_normal(np.shape(clean_photons), np.float32)
    return np.asarray(gain * electrons + offset + read, np.float32)


def stripes(rng: np.random.Generator, shape: Shape, sigma: float, axis: int) -> Image:
    """Draw offsets of standard deviation `sigma` shared by whole rows (`axis` 1) or whole columns (`axis` 0)."""
    lines = (shape[0], 1) if axis == 1 else (1, shape[1])
    return np.broadcast_to(np.float32(sigma) * rng.standard_normal(lines, np.float32), shape)


def _unit_energy(profile: Profile) -> Profile:
    return np.asarray(profile / np.sqrt(np.dot(profile, profile)), np.float64)


def _gaussian(width: float) -> Profile:
    x = np.arange(-_reach(width), _reach(width) + 1)
    return np.asarray(np.exp(-0.5 * (x / (0.8 * width)) ** 2), np.float64)


def _exponential(width: float) -> Profile:
    x = np.arange(-_reach(width), _reach(width) + 1)
    return np.asarray(np.exp(-np.abs(x) / (0.7 * width)), np.float64)


def _triangular(width: float) -> Profile:
    x = np.arange(-_reach(width), _reach(width) + 1)
    return np.asarray(np.maximum(1 - np.abs(x) / (0.8 + 1.6 * width), 0), np.float64)


def _reach(width: float) -> int:
    return int(np.ceil(3.5 * width))


_FAMILIES = (_gaussian, _exponential, _triangular)
