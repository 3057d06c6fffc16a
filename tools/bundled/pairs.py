"""The training data of the bundled upscalers: a batch is a pure function of (sources, mixture, seed, step).

Small images are made in one of two ways: by antialiased bicubic shrinking without noise, as in benchmarks of
super-resolution, or as in a microscope: blurred by a point spread function, binned to pixels, with camera noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

from bundled.patches import Sources, draw_clean
from napari_genrecon.models.networks.srnet import FACTORS
from napari_genrecon.numerics.resample import shrink

__all__ = ["BICUBIC", "MICROSCOPE", "Mixture", "Pairs", "draw_pairs"]

Image = NDArray[np.float32]

SHRINK = (0.55, 2.0)  # of photographs; from enlarged ones a network learns to add no detail where there is none
PSF_SIGMA = (0.0, 0.45)  # pixels of the small image
NOISE_SIGMA = (0.5 / 255, 30 / 255)  # at the brightest grey value


@dataclass(frozen=True, slots=True)
class Mixture:
    """Mixture of training images.

    Attributes
    ----------
    shares : tuple of float
        Probabilities of photographs, dead leaves, fluorescence, nuclei and gratings.
    factors : tuple of float
        Shares of the batches with factor 2, 3 and 4.
    microscope : float
        Share of the small images that are made as in a microscope.
    """

    shares: tuple[float, float, float, float, float]
    factors: tuple[float, float, float]
    microscope: float


BICUBIC = Mixture((0.75, 0.03, 0.06, 0.03, 0.13), (0.6, 0.2, 0.2), 0.0)
MICROSCOPE = Mixture((0.33, 0.03, 0.4, 0.2, 0.04), (0.4, 0.3, 0.3), 1.0)


@dataclass(frozen=True, slots=True)
class Pairs:
    """A training batch of one factor, in units of the display range.

    Attributes
    ----------
    factor : int
        Side of the target divided by that of the input.
    small : (B, 1, H, W) ndarray of float32
        Input.
    sigma : (B, 1, H, W) ndarray of float32
        Standard deviation of its noise, pixel by pixel.
    large : (B, 1, H * factor, W * factor) ndarray of float32
        Target, without noise.
    """

    factor: int
    small: Image
    sigma: Image
    large: Image


def draw_pairs(
    sources: Sources,
    mixture: Mixture,
    seed: int,
    step: int,
    *,
    size: int = 16,
    patch: int = 48,
    factor: int | None = None,
) -> Pairs:
    """Draw the batch of one step.

    Parameters
    ----------
    sources : Sources
        Source of the large images.
    mixture : Mixture
        Probabilities of the kinds of images.
    seed, step : int
        Seed of the run and step; they alone decide the batch.
    size, patch : int
        Number of pairs and the side of the small images, in px.
    factor : {2, 3, 4}, optional
        Draw only this factor.
    """
    rng = np.random.default_rng([seed, step])
    by = int(rng.choice(FACTORS, p=mixture.factors)) if factor is None else factor
    large = [draw_clean(rng, sources, patch * by, shares=mixture.shares, shrink=SHRINK) for _ in range(size)]
    degraded = [_degraded(rng, image, by, mixture.microscope) for image in large]
    small, sigma = (np.stack([pair[i] for pair in degraded])[:, None] for i in (0, 1))
    return Pairs(by, small, sigma, np.stack(large)[:, None])


def _degraded(rng: np.random.Generator, large: Image, factor: int, microscope: float) -> tuple[Image, Image]:
    if rng.random() < microscope:
        return _microscope(rng, large, factor)
    small = shrink(large, factor)
    return small, np.zeros_like(small)


def _microscope(rng: np.random.Generator, large: Image, factor: int) -> tuple[Image, Image]:
    """Return a small image, blurred and binned, with shot and read noise, and the s.d. of that noise."""
    blurred = gaussian_filter(large, factor * rng.uniform(*PSF_SIGMA), mode="reflect")
    side = len(large) // factor
    binned = blurred.reshape(side, factor, side, factor).mean(axis=(1, 3))
    strength, shot = np.float32(np.exp(rng.uniform(*np.log(NOISE_SIGMA)))), rng.random()
    # Shot noise is drawn as Gaussian: at 10 photons the shape is the same.
    noisy = binned + strength * _level(binned, shot) * rng.standard_normal(binned.shape, np.float32)
    # The input sigma is estimated as in use: from the mean of 3x3 noisy pixels.
    return noisy, strength * _level(uniform_filter(noisy, 3, mode="nearest"), shot)


def _level(image: Image, shot: float) -> Image:
    """Return the noise s.d. of every pixel, relative to that where the image is 1."""
    return np.asarray(np.sqrt(1 - shot + shot * np.clip(image, 0, None)), np.float32)
