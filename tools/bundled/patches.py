"""The training data of the bundled denoiser: a batch is a pure function of (sources, seed, step).

Nothing is remembered from one batch to the next, so that a run resumed at step k sees exactly the batch it would
have seen. Grey values are in units of the display range (8-bit grey levels / 255).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bundled.degrade import correlated_noise, noise_kernel, stripes
from bundled.grain import LAGS, draw_grain, kernel_correlations
from bundled.gratings import gratings
from bundled.scenes import dead_leaves, fluorescence
from napari_genrecon.io.publish import publishing
from napari_genrecon.noise.model import NoiseModel

__all__ = ["Batch", "Sources", "draw_batch", "draw_clean", "held_back", "load_sources"]

Image = NDArray[np.float32]
Pixels = NDArray[Any]
Shape = tuple[int, int]

SHARES = (0.44, 0.08, 0.24, 0.1, 0.14)  # photographs, dead leaves, fluorescence, nuclei, gratings
SHRINK = (0.5, 2.2)  # of photographs; enlarged ones stand for oversampled images, which most micrographs are
MAX_SIGMA = 90 / 255  # s.d. of the strongest noise, in display ranges
PROCESSED = 0.45  # share of correlated noise that image processing made; the rest is white noise through one filter
UNTOLD = 0.35  # share of correlated noise of which only lag 1 is told, as of noise models given by hand
POOL_SHAPE = (288, 288)  # px of a simulated image: several patches of 96 px
POOL_VERSION = 1  # raise it when the scenes change, so that cached images of older code are not used
SUFFIXES = (".webp", ".png", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class Batch:
    """A training batch, centred, in units of the display range.

    Attributes
    ----------
    noisy, clean : (B, 1, H, W) ndarray of float32
        Input and target, with the same constant subtracted.
    sigma : (B,) ndarray of float32
        Standard deviation of the noise.
    rho : (B, 8) ndarray of float32
        Its correlations along x and then along y, each at `grain.LAGS`.
    """

    noisy: Image
    clean: Image
    sigma: Image
    rho: Image


class _Noise(NamedTuple):
    """Noise (Y, X), its s.d. and its correlations (2, 4) along x and y."""

    values: Image
    sigma: float
    rho: Image


@dataclass(frozen=True, slots=True)
class Sources:
    """Clean images to cut patches from.

    Attributes
    ----------
    photographs : sequence of (Y, X, 3) ndarray of uint8
        Colour photographs without compression blocks.
    dead_leaves, scenes, gratings : sequence of (Y, X) ndarray of float16
        Simulated images in [0, 1].
    nuclei : sequence of (Y, X) ndarray of uint8
        Fluorescence images, those held back for tests left out.
    """

    photographs: Sequence[Pixels]
    dead_leaves: Sequence[Pixels]
    scenes: Sequence[Pixels]
    nuclei: Sequence[Pixels]
    gratings: Sequence[Pixels]


def held_back(index: int) -> bool:
    """Return whether the nuclei image of this index is held back for tests: every tenth is.

    Examples
    --------
    >>> [index for index in range(30) if held_back(index)]
    [9, 19, 29]
    """
    return index % 10 == 9


def load_sources(data: Path, cache: Path, seed: int = 0, *, pool: int = 256) -> Sources:
    """Read the photographs and nuclei in `data`, and simulate (or read back) `pool` images of either kind.

    Parameters
    ----------
    data : Path
        Folder with ``photos/`` and ``nuclei/fluorescence_half.npz``.
    cache : Path
        Folder for the simulated images, created if missing; safe to delete.
    seed : int
        Seed of the simulated images.
    pool : int
        Number of simulated images of each kind.
    """
    photographs = [_read_colour(path) for path in sorted((data / "photos").iterdir()) if path.suffix in SUFFIXES]
    with np.load(data / "nuclei" / "fluorescence_half.npz") as archive:
        nuclei = [archive[name] for index, name in enumerate(archive.files) if not held_back(index)]
    of_leaves, scenes, of_gratings = (
        list(_simulated(kind, cache, seed, pool)) for kind in (dead_leaves, fluorescence, gratings)
    )
    return Sources(photographs, of_leaves, scenes, nuclei, of_gratings)


def draw_batch(sources: Sources, seed: int, step: int, *, size: int = 16, patch: int = 96) -> Batch:
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
    noisy, clean = (np.stack([sample[i] for sample in samples])[:, None] for i in (0, 1))  # (B, 1, H, W)
    sigma, rho = (np.array([sample[i] for sample in samples], np.float32) for i in (2, 3))
    return Batch(noisy, clean, sigma, rho.reshape(size, -1))


def draw_clean(
    rng: np.random.Generator,
    sources: Sources,
    patch: int,
    *,
    shares: tuple[float, ...] = SHARES,
    shrink: tuple[float, float] = SHRINK,
) -> Image:
    """Draw one clean patch (patch, patch) of float32, about in [0, 1], turned, mirrored or inverted at random.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    sources : Sources
        Source of the patch.
    patch : int
        Side of the patch, in px.
    shares : tuple of float
        Probabilities of photographs, dead leaves, fluorescence, nuclei and gratings.
    shrink : (float, float)
        Smallest and largest factor by which half of the photographs are made smaller; below 1 they are enlarged.
    """
    kind = rng.choice(len(shares), p=shares)
    if kind == 0:
        clean = _cut_photograph(rng, sources, patch, shrink)
    else:
        clean = (_cut_leaves, _cut_scene, _cut_nuclei, _cut_gratings)[kind - 1](rng, sources, patch)
    clean = _turn(rng, clean)
    return 1 - clean if rng.random() < 0.15 else clean  # bright-field images, negatives


def _sample(rng: np.random.Generator, sources: Sources, patch: int) -> tuple[Image, Image, float, Image]:
    clean = draw_clean(rng, sources, patch)
    contrast = np.exp(rng.normal(-0.2, 0.5))
    # The product subtracts one constant for a whole image, which is rarely the mean of a patch.
    centre = 0.5 * clean.mean() + 0.5 * rng.beta(2, 2) + rng.normal(0, 0.1)
    clean = np.asarray(contrast * (clean - centre), np.float32)
    noise = _noise(rng, patch)
    return clean + noise.values, clean, noise.sigma, noise.rho


# --- noise ---


def _noise(rng: np.random.Generator, side: int) -> _Noise:
    """Draw noise and its description: half white, half correlated, some striped."""
    sigma = MAX_SIGMA * rng.random() ** 1.4
    if rng.random() < 0.5:
        white = np.asarray(sigma * rng.standard_normal((side, side), np.float32), np.float32)
        return _Noise(white, sigma, np.zeros((2, len(LAGS)), np.float32))
    if rng.random() < PROCESSED:
        grain, rho = draw_grain(rng, side)
        noise = _Noise(np.float32(sigma) * grain, sigma, rho)
    else:
        kernel = noise_kernel(rng)
        noise = _Noise(correlated_noise(rng, (side, side), sigma, kernel), sigma, kernel_correlations(kernel))
        if rng.random() < 0.08:
            noise = _with_stripes(rng, noise)
    return _as_measured(rng, noise)


def _with_stripes(rng: np.random.Generator, noise: _Noise) -> _Noise:
    """Add faint stripes; their variance counts, and along a stripe their correlation is 1."""
    axis, share = int(rng.integers(2)), rng.uniform(0.05, 0.6)
    striped = noise.values + stripes(rng, noise.values.shape, share * noise.sigma, axis)
    variance = 1 + share**2
    along = np.array([[axis == 1], [axis == 0]])  # x, y
    return _Noise(striped, float(noise.sigma * np.sqrt(variance)), (noise.rho + share**2 * along) / variance)


def _as_measured(rng: np.random.Generator, noise: _Noise) -> _Noise:
    """Change the description of correlated noise like a measurement: by a few per cent, and at times only lag 1."""
    sigma, rho = noise.sigma, noise.rho
    if rng.random() < 0.5:
        sigma, rho = float(sigma * (1 + rng.normal(0, 0.03))), rho + rng.normal(0, 0.02, rho.shape)
    if rng.random() < UNTOLD:
        rho_x, rho_y = np.clip(rho[:, 0], -0.99, 0.99)
        rho = np.reshape(NoiseModel(rho_x=float(rho_x), rho_y=float(rho_y)).correlations, rho.shape)
    return _Noise(noise.values, sigma, np.asarray(rho, np.float32))


# --- patches ---


def _cut_photograph(rng: np.random.Generator, sources: Sources, patch: int, shrinks: tuple[float, float]) -> Image:
    """Mix the colours at random, at times shrink or enlarge; of two places take the busier one, half of the time."""
    areas = np.array([photograph.shape[0] * photograph.shape[1] for photograph in sources.photographs])
    photograph = sources.photographs[int(rng.choice(len(areas), p=np.sqrt(areas) / np.sqrt(areas).sum()))]
    shrink = np.exp(rng.uniform(*np.log(shrinks))) if rng.random() < 0.5 else 1.0
    side = round(patch * shrink)
    colours = [_cut(rng, photograph, side) for _ in range(1 + (rng.random() < 0.5))]
    colour = max(colours, key=_busyness)
    grey = np.asarray(colour @ rng.dirichlet((1.5, 2.5, 1.5)) / 255, np.float32)
    return grey if side == patch else _resized(grey, patch)


def _cut_leaves(rng: np.random.Generator, sources: Sources, patch: int) -> Image:
    return _cut(rng, _any(rng, sources.dead_leaves), patch).astype(np.float32)


def _cut_scene(rng: np.random.Generator, sources: Sources, patch: int) -> Image:
    scene = _any(rng, sources.scenes)
    cuts = [_cut(rng, scene, patch) for _ in range(1 + (rng.random() < 0.5))]
    return max(cuts, key=_busyness).astype(np.float32)


def _cut_nuclei(rng: np.random.Generator, sources: Sources, patch: int) -> Image:
    return np.asarray(_cut(rng, _any(rng, sources.nuclei), patch) / 255, np.float32)


def _cut_gratings(rng: np.random.Generator, sources: Sources, patch: int) -> Image:
    return _cut(rng, _any(rng, sources.gratings), patch).astype(np.float32)


def _any(rng: np.random.Generator, images: Sequence[Pixels]) -> Pixels:
    return images[int(rng.integers(len(images)))]


def _cut(rng: np.random.Generator, image: Pixels, side: int) -> Pixels:
    """Cut a square (side, side, ...) at a random place; a smaller image is mirrored at its edges."""
    short = [max(side - n, 0) for n in image.shape[:2]]
    if any(short):
        image = np.pad(image, [(0, n) for n in short] + [(0, 0)] * (image.ndim - 2), mode="symmetric")
    y, x = (int(rng.integers(n - side + 1)) for n in image.shape[:2])
    return image[y : y + side, x : x + side]


def _busyness(image: Pixels) -> float:
    return float(np.asarray(image, np.float32).std())


def _turn(rng: np.random.Generator, image: Image) -> Image:
    turned = np.rot90(image, int(rng.integers(4)))
    return turned[:, ::-1] if rng.random() < 0.5 else turned


def _resized(image: Image, side: int) -> Image:
    from PIL import Image as PillowImage

    small = PillowImage.fromarray(image).resize((side, side), PillowImage.Resampling.BICUBIC)  # antialiased
    return np.asarray(small, np.float32)


# --- sources ---


def _read_colour(path: Path) -> NDArray[np.uint8]:
    from PIL import Image as PillowImage

    with PillowImage.open(path) as photograph:
        return np.asarray(photograph.convert("RGB"))


def _simulated(
    scene: Callable[[np.random.Generator, Shape], Image], cache: Path, seed: int, count: int
) -> NDArray[np.float16]:
    """Return images (count, Y, X) of one kind, from the cache if they are there."""
    path = cache / f"{scene.__name__}-v{POOL_VERSION}-{seed}-{count}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            images = list(pool.map(partial(_draw_one, scene, seed), range(count), chunksize=4))
        with publishing(path, overwrite=True) as part, part.open("wb") as file:
            np.save(file, np.stack(images))
    return np.asarray(np.load(path), np.float16)


def _draw_one(scene: Callable[[np.random.Generator, Shape], Image], seed: int, index: int) -> NDArray[np.float16]:
    return scene(np.random.default_rng([seed, index]), POOL_SHAPE).astype(np.float16)
