"""The training data of the bundled upscaler: a batch is a pure function of (sources, seed, step).

Most small images are made as super-resolution is measured, by antialiased bicubic shrinking without noise. One in five
is made as a microscope makes it: a point-spread function, pixels that add up the light that falls on them, and the
noise of a camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_genrecon.engine.resample import shrink
from napari_genrecon.models.srnet import FACTORS
from napari_genrecon.training.patches import Sources, draw_clean

__all__ = ["Pairs", "draw_pairs"]

Image = NDArray[np.float32]

SHARES = (0.7, 0.05, 0.15, 0.1)  # photographs, dead leaves, fluorescence, nuclei
SHRINK = (1.0, 2.0)  # of photographs: enlarged ones would teach nothing about detail
FACTOR_SHARES = (0.5, 0.25, 0.25)  # of 2, 3, 4; the least enlarged are the hardest to beat interpolation on
NOISY_SHARE = 0.2
PSF_SIGMA = (0.0, 0.45)  # pixels of the small image
NOISE_SIGMA = (0.5 / 255, 30 / 255)  # at the brightest grey value


@dataclass(frozen=True, slots=True)
class Pairs:
    """One training batch, all of one factor, in units of the display range.

    Attributes
    ----------
    factor : int
        How many times larger the target is.
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


def draw_pairs(sources: Sources, seed: int, step: int, *, size: int = 16, patch: int = 48) -> Pairs:
    """Draw the batch of one step.

    Parameters
    ----------
    sources : Sources
        Where the large images come from.
    seed, step : int
        Decide the batch, alone.
    size, patch : int
        Number of pairs and the side of the small images, in px.
    """
    rng = np.random.default_rng([seed, step])
    factor = int(rng.choice(FACTORS, p=FACTOR_SHARES))
    large = [draw_clean(rng, sources, patch * factor, shares=SHARES, shrink=SHRINK) for _ in range(size)]
    degraded = [_degraded(rng, image, factor) for image in large]
    small, sigma = (np.stack([pair[i] for pair in degraded])[:, None] for i in (0, 1))
    return Pairs(factor, small, sigma, np.stack(large)[:, None])


def _degraded(rng: np.random.Generator, large: Image, factor: int) -> tuple[Image, Image]:
    if rng.random() < NOISY_SHARE:
        return _microscope(rng, large, factor)
    small = shrink(large, factor)
    return small, np.zeros_like(small)


def _microscope(rng: np.random.Generator, large: Image, factor: int) -> tuple[Image, Image]:
    """The small image and the standard deviation of its noise: blurred, binned, with shot and read noise."""
    blurred = gaussian_filter(large, factor * rng.uniform(*PSF_SIGMA), mode="reflect")
    side = len(large) // factor
    binned = blurred.reshape(side, factor, side, factor).mean(axis=(1, 3))
    strength, shot = np.exp(rng.uniform(*np.log(NOISE_SIGMA))), rng.random()
    # Shot noise is drawn as Gaussian: the network is told its local strength, and at 10 photons the shape is the same.
    sigma = np.asarray(strength * np.sqrt(1 - shot + shot * np.clip(binned, 0, None)), np.float32)
    return binned + sigma * rng.standard_normal(binned.shape, np.float32), sigma
