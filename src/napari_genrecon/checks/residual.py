"""Test the residual of a denoised image: is it noise, or was an isolated structure removed or invented?

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
from scipy.ndimage import correlate1d
from scipy.special import ndtr, ndtri, xlog1py

from napari_genrecon.errors import ImageError
from napari_genrecon.noise import NoiseModel
from napari_genrecon.noise.report import CORRELATED
from napari_genrecon.normal import MEDIAN, REACH

__all__ = ["FALSE", "WIDTHS", "limit", "limit_at_one_place", "normalised_residual", "residual_z", "sigma_of"]

WIDTHS = (1.0, 2.0, 4.0, 8.0)
"""Gaussian window widths in pixels: the sizes of the structures that are tested."""

FALSE = 0.01
"""Share of flawless images, stacks included, and of models that make new crops, about which a check may warn."""
# The least skewness that is reckoned with: the error of leaving out less grows with it, and that of rounding the
# deviance with its inverse square, so that both are least at the cube root of one step of float64.
_SYMMETRIC = math.ulp(1.0) ** (1 / 3)


def limit(pixels: int, widths: Sequence[float] = WIDTHS) -> float:
    """Return the deviation that noise alone reaches in 1 % of flawless images of so many pixels.

    Parameters
    ----------
    pixels : int
        Pixels that are compared, in all planes together.
    widths : sequence of float
        Window widths in pixels that are tested.

    Returns
    -------
    float
        In standard deviations.

    Notes
    -----
    The expected number of separate places above t in a smooth Gaussian field of A pixels is
    ``A * 4 ln 2 / (2 pi)**1.5 / FWHM**2 * t * exp(-t**2 / 2)`` (Worsley, Evans, Marrett & Neelin, J. Cereb. Blood Flow
    Metab. 12, 1992), FWHM being that of the window. It is never more than that of pixels above t. Both signs and all
    widths add up.

    Examples
    --------
    >>> [round(limit(n), 1) for n in (256**2, 2048**2, 100 * 2048**2)]
    [5.4, 6.1, 6.8]
    """
    from scipy.optimize import brentq  # loaded when it is needed, as that takes a fifth of a second

    def expected(t: float) -> float:
        places = (math.log(2) * 4 / (2 * math.pi) ** 1.5 / (8 * math.log(2) * w**2) for w in widths)
        peak = t * math.exp(-(t**2) / 2)
        return 2 * pixels * sum(min(share * peak, float(ndtr(-t))) for share in places)

    # Above t = 1 the expected number falls; below it, so few pixels are left that any deviation is one of noise.
    return float(brentq(lambda t: expected(t) - FALSE, 1.0, 40.0)) if expected(1.0) > FALSE else 1.0


def limit_at_one_place() -> float:
    """Return the deviation that noise alone reaches in at most 1 % of places that were named beforehand.

    Examples
    --------
    >>> round(limit_at_one_place(), 1)
    3.0
    """
    return -float(ndtri(FALSE / (2 * len(WIDTHS))))  # Bonferroni: both signs and all widths add up


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
        Noise of the input.
    widths : sequence of float
        Gaussian window widths in pixels.
    step : float
        Grey values from one number that can be stored to the next; 0 for floats. Rounding is noise too, and without
        noise of half a step to dither it, it has a structure of its own: up to half a step is then no deviation.

    Returns
    -------
    (W, Y, X) ndarray
        One map per width. Positive where the result is too dark (something was erased), negative where it is too
        bright (something was added). Compare with `limit`.

    Notes
    -----
    The variance of a sum over a window with weights w is the sum of ``w_i * w_j * rho(i - j)`` over all pairs of
    pixels. The model holds the correlation of neighbours only. Further away it may fall as a Gaussian (noise behind a
    smooth filter) or as slowly as an exponential (a recursive filter, a scanning detector): between these two the
    spread is that of the map itself, as its median tells it, which isolated structures do not change.

    Where few photons arrive, their noise is skewed: single ones stand out by themselves, and darkness is cut off. The
    third cumulant of the sum over the window is known, too. A deviation is given as the signed root of the deviance of
    the Poisson count that has this skewness, which is nearly Gaussian for either sign (Pierce & Schafer, J. Am. Stat.
    Assoc. 81, 1986).

    Raises
    ------
    ImageError
        If the shapes differ.
    """
    residual, sigma = normalised_residual(noisy, restored, noise, step=step)
    third = None
    if noise.gain > 0:
        shot = np.maximum(sigma_of(noise, restored) ** 2 - noise.read_noise**2, 0.0)
        # Third cumulant of shot noise: gain**3 times the count, which is gain times its variance. In units of sigma**3.
        third = np.divide(noise.gain * shot, sigma**3, out=np.zeros(noisy.shape), where=sigma > 0)
    return np.stack([_deviation(residual, third, width, noise) for width in widths])


def normalised_residual(
    noisy: NDArray[Any], restored: NDArray[Any], noise: NoiseModel, *, step: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the residual in noise s.d., beyond what rounding explains, and the noise s.d., both (Y, X).

    See `residual_z` for the parameters; 0 where the model has no noise.
    """
    if noisy.shape != restored.shape:
        raise ImageError(f"noisy has shape {noisy.shape} but restored has shape {restored.shape}: they must be equal")
    noise_alone = sigma_of(noise, restored)
    # Rounding to steps has a variance of step**2 / 12.
    sigma = np.hypot(noise_alone, step / math.sqrt(12))
    difference = noisy - restored
    slack = np.where(noise_alone < step / 2, step / 2, 0)
    difference = np.sign(difference) * np.maximum(np.abs(difference) - slack, 0)
    return np.divide(difference, sigma, out=np.zeros(noisy.shape), where=sigma > 0), sigma


def sigma_of(noise: NoiseModel, restored: NDArray[Any]) -> NDArray[np.float64]:
    """Return the noise s.d. where a result is right, but for one photon in the widest window.

    Where it says that there is no light, the model has no noise: whatever the image holds there would be left out.
    """
    if not (noise.gain and noise.affine):
        return noise.sigma_at(restored)
    # As many pixels count in a Gaussian window of s.d. w as in one of 4 pi w**2 with equal weights.
    return noise.sigma_at(np.maximum(restored, noise.offset + noise.gain / (4 * math.pi * WIDTHS[-1] ** 2)))


def _deviation(
    residual: NDArray[np.float64], third: NDArray[np.float64] | None, width: float, noise: NoiseModel
) -> NDArray[np.float64]:
    """Return the local mean in its s.d.; `third` is the third cumulant of the residual, None without shot noise."""
    # The window is cut at the edge of the image, and the spread is that of the part inside.
    spread_y, spread_x = (_spread(length, width) for length in residual.shape)
    spread = spread_y[:, None] * spread_x[None, :]  # (Y, X)
    z = _weighted(residual, _window(width)) / spread
    grain = _grain(z, width, noise)
    if third is None:
        return z / grain
    # Correlated noise is made of fewer and larger grains than there are photons.
    # Weights enter the third cumulant of a sum cubed.
    return _as_gaussian(z / grain, grain * _weighted(third, _window(width) ** 3) / spread**3)


def _weighted(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    along_y = correlate1d(values, weights, axis=0, mode="constant")
    return np.asarray(correlate1d(along_y, weights, axis=1, mode="constant"))


def _grain(z: NDArray[np.float64], width: float, noise: NoiseModel) -> float:
    """Return how much larger the spread is than with white noise."""
    # Far from any difference a window holds zeros, which tell nothing about the noise.
    differing = np.abs(z[z != 0])
    observed = float(np.median(differing)) / MEDIAN if differing.size else 0.0
    least, most = (_correlation_gain(width, noise, power) for power in (2.0, 1.0))
    return min(max(observed, least), most)


def _spread(length: int, width: float) -> NDArray[np.float64]:
    """Return the s.d. along one dimension of white noise of s.d. 1 after this Gaussian filter, near the edges too."""
    weights = _window(width)
    # Variances of independent pixels add up with squared weights, of which some lie beyond the edge.
    inside = np.convolve(np.ones(length), weights**2)[len(weights) // 2 :][:length]
    return np.sqrt(inside)


def _correlation_gain(width: float, noise: NoiseModel, power: float) -> float:
    """Return how much larger that s.d. is in a plane when the noise is correlated.

    The correlation falls as ``exp(-r**power)`` with the distance r, so that neighbours have that of the model: power 2
    is a Gaussian, power 1 an exponential, of which at least that of `CORRELATED` is possible.
    """
    least = CORRELATED if power < 2 else 0.0
    weights = _window(width)
    # Weights of all pairs of pixels by their distance: with the correlation at it they give the variance of the sum.
    overlap = np.convolve(weights, weights) / (weights**2).sum()  # 1 in the middle
    lags = np.abs(np.arange(len(overlap)) - len(overlap) // 2)
    y, x = (_steps(lags, max(rho, least), power) for rho in (noise.rho_y, noise.rho_x))
    correlation = np.exp(-((y[:, None] ** 2 + x[None, :] ** 2) ** (power / 2)))
    return math.sqrt(float(overlap @ correlation @ overlap))


def _steps(lags: NDArray[np.int64], rho: float, power: float) -> NDArray[np.float64]:
    """Return distances for which ``exp(-distance**power)`` is `rho` at lag 1; far away without correlation."""
    if rho <= 0:
        return np.where(lags == 0, 0.0, 1e3)
    return lags * (-math.log(rho)) ** (1 / power)


def _as_gaussian(z: NDArray[np.float64], skewness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return deviations of this skewness as those of a Gaussian, see the notes of `residual_z`."""
    jump = np.maximum(skewness, _SYMMETRIC)  # of a scaled Poisson count of variance 1 and this skewness
    most = np.maximum(jump * z, -1.0)  # no count is below 0
    # The deviance of a Poisson count that differs from its mean by this share.
    root = np.sqrt(2 * np.maximum(xlog1py(1 + most, most) - most, 0.0)) / jump
    return np.asarray(np.sign(z) * root + np.minimum(z + 1 / jump, 0.0))


def _window(width: float) -> NDArray[np.float64]:
    reach = int(REACH * width + 0.5)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * width**2))
    return weights / weights.sum()
