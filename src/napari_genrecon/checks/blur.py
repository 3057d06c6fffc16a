"""Test whether a result is blurred by more than its method must leave: fine structure in what was removed.

A blur of s.d. s takes ``-s**2 / 2`` times the Laplacian from a structure, so the regression of the residual on the
result's Laplacian gives the s of the blur that would have removed as much. Every denoiser blurs what lies near the
noise, and its result also holds a rest of the noise, so the figure alone condemns no result. It is compared with that
of a simulation: noise is added to the result, and the same method is run on it (the parametric bootstrap; Efron &
Tibshirani, "An Introduction to the Bootstrap", 1993, section 6.5). There the truth is known to be the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, gaussian_filter1d, laplace

from napari_genrecon.checks.residual import normalised_residual, sigma_of
from napari_genrecon.noise import NoiseModel
from napari_genrecon.normal import REACH

__all__ = ["MORE", "Blur", "blur_test", "simulated", "structure"]

Plane = NDArray[np.floating[Any]]
Denoiser = Callable[[NDArray[np.float32]], Plane]

MORE = 1.5
"""How many times what is expected is too much: of the fine structure that a simulation loses, and of the variance of
the noise.

Results of `denoise` lose 0.8 to 1.3 times as much as the simulation (``python tools/benchmark.py trust``, on scenes of
10 to 1000 electrons); measured noise is within 10 % in 96 of 100 scenes."""
_LEAST = 0.25  # pixels; a smaller blur changes nothing that can be seen, and errors of the noise model reach it


@dataclass(frozen=True, slots=True)
class Blur:
    """Blur that would remove as much fine structure as was removed; s.d. of a Gaussian in pixels.

    Attributes
    ----------
    found : float
        In what was removed.
    usual : float
        In what denoising removes from an image like the result.
    limit : float
        From which on the result is blurred: 0.25 pixels at least.
    """

    found: float
    usual: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the result is as sharp as denoising leaves it."""
        return self.found <= self.limit


def blur_test(noisy: Plane, restored: Plane, noise: NoiseModel, denoiser: Denoiser, *, step: float) -> Blur | None:
    """Compare the fine structure in what was removed with that of a simulation.

    Parameters
    ----------
    noisy, restored : (Y, X) ndarray
        Image and result, in the same grey values; not finite where nothing is known.
    noise : NoiseModel
        Noise of the image.
    denoiser : callable
        Denoises a (Y, X) image with this noise.
    step : float
        Grey values from one number that can be stored to the next; 0 for floats.

    Returns
    -------
    Blur or None
        None where there is no noise or no structure.
    """
    known = np.isfinite(noisy) & np.isfinite(restored)
    # The same value in both images leaves no residual where nothing is known.
    noisy, restored = (np.where(known, image, 0.0) for image in (noisy, restored))
    # The Laplacian takes in the pixels beside: next to unknown ones it would see the step to the value above.
    inside = binary_erosion(known, np.ones((3, 3)))
    found = _regression(noisy, restored, noise, inside, step)
    # A fixed seed: one image and one result have one verdict.
    again = simulated(restored, noise, np.random.default_rng(0)) if found else None
    usual = None if again is None else _regression(again, denoiser(again), noise, inside, step)
    # The simulation may lack structure though the result has some: what was denoised again can be flat.
    if found is None or usual is None:
        return None
    # Noise of the image and of the simulation are independent, so the squares of their errors add up.
    chance = REACH * math.hypot(found[1], usual[1])
    limit = max(_width(MORE * max(usual[0], 0.0) + chance), _LEAST)
    return Blur(_width(found[0]), _width(usual[0]), limit)


def _regression(
    noisy: Plane, restored: Plane, noise: NoiseModel, inside: NDArray[np.bool_], step: float
) -> tuple[float, float] | None:
    """Return the squared width of the blur in pixel**2, and its standard error with white noise."""
    residual, sigma = normalised_residual(noisy, restored, noise, step=step)
    curvature = laplace(restored.astype(np.float64))
    # In noise s.d., as the residual: so every pixel of the regression has the same scatter.
    curvature = np.divide(curvature, sigma, out=np.zeros(sigma.shape), where=(sigma > 0) & inside)
    power = float((curvature**2).sum())
    if not power > 0:
        return None
    # The residual is -s**2 / 2 times the Laplacian: minus twice the slope is s**2, below 0 by chance.
    return -2 * float((residual * curvature).sum()) / power, 2 / math.sqrt(power)


def _width(squared: float) -> float:
    return math.sqrt(max(squared, 0.0))


def simulated(clean: Plane, noise: NoiseModel, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return an image with noise as the model describes it: shot noise where that is all, else Gaussian.

    Parameters
    ----------
    clean : (Y, X) ndarray
        Image without noise.
    noise : NoiseModel
        Noise to add. Its correlation is that of a Gaussian filter.
    rng : Generator
        Source of chance.
    """
    if noise.affine and noise.gain > 0 and noise.is_white:
        # A count cannot be negative: what lies below the offset is added as it is, without shot noise.
        photons = rng.poisson(np.maximum(clean - noise.offset, 0) / noise.gain)
        read = rng.normal(0, noise.read_noise, clean.shape)
        # DN below the offset
        dark = np.minimum(clean - noise.offset, 0)
        return np.asarray(noise.offset + dark + noise.gain * photons + read, np.float32)
    field = rng.standard_normal(clean.shape)
    for axis, rho in ((0, noise.rho_y), (1, noise.rho_x)):
        # White noise behind a Gaussian of width s has the lag-1 correlation exp(-1 / (4 s**2)).
        if rho > 0:
            field = gaussian_filter1d(field, math.sqrt(-1 / (4 * math.log(rho))), axis=axis, mode="wrap")
    # Filtering takes variance away: dividing by the s.d. brings it back to 1.
    return np.asarray(clean + noise.sigma_at(clean) * field / max(float(field.std()), 1e-12), np.float32)


def structure(restored: Plane, noise: NoiseModel) -> float:
    """Return how much fine structure a part of a result holds; 0 if some of it is not known."""
    if not np.isfinite(restored).all() or min(restored.shape) < 3:
        return 0.0
    # Without noise every structure is infinitely clear, but still to be compared.
    sigma = np.maximum(sigma_of(noise, restored), np.finfo(float).tiny)
    return float(np.mean((laplace(restored.astype(np.float64)) / sigma) ** 2))
