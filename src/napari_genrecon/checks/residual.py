"""Test the residual of a denoised image: is it noise, or was a structure removed or invented?

The residual (input minus result), divided by the noise s.d. that the noise model predicts, is noise of s.d. 1 if the
result is right. Averaged over a window it stays small; where a structure was invented or erased, the average stands
out. Global statistics such as chi-squared do not see a few faked blobs; the local map does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_genrecon.errors import ImageError
from napari_genrecon.noise import NoiseModel

__all__ = ["WIDTHS", "residual_z"]

WIDTHS = (1.0, 2.0, 4.0, 8.0)
"""Gaussian window widths in pixels: the sizes of the structures that are tested."""

_TRUNCATE = 4.0  # s.d. at which a window ends; beyond lies less than 0.01 % of it


def residual_z(
    noisy: NDArray[Any],
    restored: NDArray[Any],
    noise: NoiseModel,
    *,
    widths: Sequence[float] = WIDTHS,
    step: float = 0.0,
) -> NDArray[np.float64]:
    """Return how far the local mean of the residual is from 0, in standard deviations.

    Parameters
    ----------
    noisy, restored : (Y, X) ndarray
        Input and result, in the same grey values.
    noise : NoiseModel
        Noise of the input. Its correlation is modelled as that of white noise behind a Gaussian filter.
    widths : sequence of float
        Gaussian window widths in pixels.
    step : float
        Grey values from one number that can be stored to the next; 0 for floats. Rounding is noise too, and without
        noise of half a step to dither it, it has a structure of its own: up to half a step is then no deviation.

    Returns
    -------
    (W, Y, X) ndarray
        One map per width. Positive where the result is too dark (something was erased), negative where it is too
        bright (something was added). For a right result about 1 pixel in 10^9 is beyond 6.

    Notes
    -----
    Where few photons arrive, single ones stand out by themselves: the upper tail of Poisson noise is longer than that
    of a Gaussian. Bernstein's inequality bounds it by ``exp(-t**2 / (2 * (v + b*t/3)))`` for a sum of variance `v`
    whose jumps are at most `b`, here the gain times the window's largest weight (Boucheron, Lugosi & Massart,
    "Concentration Inequalities", 2013, corollary 2.11). Deviations upwards are given as the Gaussian deviation of the
    same bound, ``t / sqrt(v + b*t/3)``.

    Raises
    ------
    ImageError
        If the shapes differ.
    """
    if noisy.shape != restored.shape:
        raise ImageError(f"noisy has shape {noisy.shape} but restored has shape {restored.shape}: they must be equal")
    noise_alone = noise.sigma_at(restored)
    sigma = np.hypot(noise_alone, step / math.sqrt(12))
    difference = noisy - restored
    slack = np.where(noise_alone < step / 2, step / 2, 0)
    difference = np.sign(difference) * np.maximum(np.abs(difference) - slack, 0)
    residual = np.divide(difference, sigma, out=np.zeros(noisy.shape), where=sigma > 0)
    jump = np.divide(noise.gain, sigma, out=np.zeros(noisy.shape), where=sigma > 0)
    return np.stack([_as_gaussian(_local_mean_z(residual, width, noise), jump, width) for width in widths])


def _as_gaussian(z: NDArray[np.float64], jump: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Return upward deviations as those of a Gaussian with the same tail; `jump` is one photon in noise s.d."""
    # Bernstein's bound, see the notes of `residual_z`; the largest weight is that of the window's middle.
    window = _window(width)
    largest = jump * (window.max() / np.linalg.norm(window)) ** 2
    return z / np.sqrt(1 + largest * np.maximum(z, 0) / 3)


def _local_mean_z(residual: NDArray[np.float64], width: float, noise: NoiseModel) -> NDArray[np.float64]:
    # The window is cut at the edge of the image, and the spread is that of the part inside.
    sums = gaussian_filter(residual, width, mode="constant", truncate=_TRUNCATE)
    spread_y = _spread(residual.shape[0], width, noise.rho_y)
    spread_x = _spread(residual.shape[1], width, noise.rho_x)
    return sums / (spread_y[:, None] * spread_x[None, :])


def _spread(length: int, width: float, rho: float) -> NDArray[np.float64]:
    """Return the s.d. along one dimension of noise of s.d. 1 after this Gaussian filter, near the edges too."""
    weights = _window(width)
    inside = np.convolve(np.ones(length), weights**2)[len(weights) // 2 :][:length]
    return np.sqrt(inside) * _correlation_gain(width, rho)


def _correlation_gain(width: float, rho: float) -> float:
    """Return how much larger that s.d. is when the noise is correlated."""
    if rho <= 0:
        return 1.0
    # White noise behind a Gaussian of width s has lag-1 correlation exp(-1 / (4 s^2)).
    own = math.sqrt(-1 / (4 * math.log(rho)))
    norms = [float(np.linalg.norm(_window(w))) for w in (math.hypot(width, own), own, width)]
    return norms[0] / (norms[1] * norms[2])


def _window(width: float) -> NDArray[np.float64]:
    reach = int(_TRUNCATE * width + 0.5)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * width**2))
    return weights / weights.sum()
