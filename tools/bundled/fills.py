"""The training data of the inpainting network: a batch is a pure function of (sources, seed, step)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundled.masks import draw_mask
from bundled.patches import Sources, draw_clean
from napari_genrecon.numerics.inpaint_inputs import fill_planes

__all__ = ["Fills", "draw_fills"]

Image = NDArray[np.float32]

SHARES = (0.56, 0.05, 0.22, 0.1, 0.07)  # photographs, dead leaves, fluorescence, nuclei, gratings
SHRINK = (0.8, 2.5)  # of photographs: shrunk ones hold more detail
NOISY_SHARE = 0.2  # of the patches; the others have no noise
NOISE_SIGMA = (0.5 / 255, 25 / 255)  # in display ranges
MARGIN = 8  # pixels that are cut off after the fill, because an image does not end where a patch does


@dataclass(frozen=True, slots=True)
class Fills:
    """A training batch, centred, in units of the display range.

    Attributes
    ----------
    planes : (B, 4, H, W) ndarray of float32
        Input; see `numerics.inpaint_inputs.fill_planes`.
    clean : (B, 1, H, W) ndarray of float32
        Target.
    missing : (B, 1, H, W) ndarray of float32
        1 where a pixel was missing.
    """

    planes: Image
    clean: Image
    missing: Image


def draw_fills(sources: Sources, seed: int, step: int, *, size: int = 8, patch: int = 96) -> Fills:
    """Draw the batch of one step.

    Parameters
    ----------
    sources : Sources
        Source of the clean patches.
    seed, step : int
        Seed of the run and step; they alone decide the batch.
    size, patch : int
        Number of patches and their side, in px.
    """
    rng = np.random.default_rng([seed, step])
    samples = [_sample(rng, sources, patch) for _ in range(size)]
    planes = np.stack([sample[0] for sample in samples])
    clean, missing = (np.stack([sample[i] for sample in samples])[:, None] for i in (1, 2))
    return Fills(planes, clean, missing)


def _sample(rng: np.random.Generator, sources: Sources, patch: int) -> tuple[Image, Image, Image]:
    side = patch + 2 * MARGIN
    clean = draw_clean(rng, sources, side, shares=SHARES, shrink=SHRINK)
    centre = 0.5 * clean.mean() + 0.5 * rng.beta(2, 2) + rng.normal(0, 0.1)  # that of a whole image, not of a patch
    clean = np.asarray(np.exp(rng.normal(-0.2, 0.5)) * (clean - centre), np.float32)
    sigma = float(np.exp(rng.uniform(*np.log(NOISE_SIGMA)))) if rng.random() < NOISY_SHARE else 0.0
    seen = clean + np.float32(sigma) * rng.standard_normal(clean.shape, np.float32)
    unknown = draw_mask(rng, side)
    planes = fill_planes(np.where(unknown, 0, seen), unknown, sigma)
    inner = slice(MARGIN, -MARGIN)
    return planes[:, inner, inner], clean[inner, inner], unknown[inner, inner].astype(np.float32)
