"""Scenes of spots, simulated while training: a fixed set of them would be learnt by heart.

Each has spots of one size, or of several, among what must not be taken for spots: uneven backgrounds, cells with soft
and sharp edges, filaments, dark spots. The noise has s.d. 1; it is white, correlated, or that of counted photons after
the transform that brings it to s.d. 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_genrecon.numerics.blobs.filters import noise_field
from napari_genrecon.numerics.blobs.spot_scene import answers, draw_spots

__all__ = ["SpotScene", "draw_correlation", "draw_scene"]

Floats = NDArray[np.floating]

SIGMAS = (0.7, 3.5)  # s.d. of the spots in pixels: full widths at half maximum of 1.6 to 8.2
_DENSITY = (1e-4, 1.2e-2)  # spots per pixel
_CROWDED = 0.035  # most spots per squared s.d.: with more, they are a texture
_DIM, _BRIGHT = (2.5, 8.0), (8.0, 60.0)  # heights in s.d. of the noise under the best filter


class SpotScene(NamedTuple):
    """One scene: the image and the answers for every pixel, (Y, X) each; correlation of the noise along y and x."""

    image: Floats
    rho: tuple[float, float]
    heat: Floats
    size: Floats  # logarithm of the s.d. of the spot, where there is heat
    truth: Floats  # (N, 2), centres


def draw_scene(rng: np.random.Generator, side: int, rho: tuple[float, float]) -> SpotScene:
    """Return a scene of `side` x `side` pixels, the noise of which has this correlation along y and x."""
    sigma, places = _sizes_and_places(rng, side)
    clean = _background(rng, side)
    heights = _heights(rng, sigma, rho)
    clean += draw_spots(places, sigma, heights, side)
    if rng.random() < 0.15:  # dark ones, which are none
        n = max(1, len(places) // 2)
        width = np.full(n, np.exp(rng.uniform(*np.log(SIGMAS))))
        clean -= draw_spots(rng.uniform(0, side, (n, 2)), width, _heights(rng, width, rho), side)
    heat, size = answers(places, sigma, side)
    return SpotScene(_noisy(rng, clean, rho).astype(np.float32), rho, heat, size, places)


def draw_correlation(rng: np.random.Generator) -> tuple[float, float]:
    """Return the correlation of noise along y and x, every other time the same."""
    both = rng.uniform(0.1, 0.8, 2)
    return (float(both[0]), float(both[rng.integers(2)]))


def _sizes_and_places(rng: np.random.Generator, side: int) -> tuple[Floats, Floats]:
    """Return s.d. (N,) and places (N, 2) of the spots, some of them just outside."""
    sigma = np.exp(rng.uniform(*np.log(SIGMAS)))
    if rng.random() < 0.15:
        return np.zeros(0), np.zeros((0, 2))
    density = np.exp(rng.uniform(*np.log(_DENSITY)))
    n = rng.poisson(min(density, _CROWDED / sigma**2) * side**2)
    places = rng.uniform(-2, side + 1, (n, 2))
    if n and rng.random() < 0.25:  # in heaps
        heaps = rng.uniform(0, side, (1 + n // 12, 2))
        places = heaps[rng.integers(len(heaps), size=n)] + rng.normal(0, rng.uniform(3, 12) * sigma**0.5, (n, 2))
        places = places[np.all((places > -2) & (places < side + 1), axis=1)]
    spread = 0.05 if rng.random() < 0.7 else 0.3
    return np.clip(sigma * np.exp(rng.normal(0, spread, len(places))), *SIGMAS), places


def _heights(rng: np.random.Generator, sigma: Floats, rho: tuple[float, float]) -> Floats:
    """Return heights of spots, in noise s.d., from how far they stand out under the filter that suits them."""
    power = np.prod([1 + 2 * sum(r ** (lag * lag) for lag in range(1, 12)) for r in rho])  # of the slowest noise
    level = np.exp(rng.uniform(*np.log(_DIM if rng.random() < 0.6 else _BRIGHT)))
    level = level * np.exp(rng.normal(0, rng.choice([0.1, 0.5]), len(sigma)))
    return np.asarray(level * np.sqrt(power / np.pi) / sigma)


# --- what is no spot ---


def _background(rng: np.random.Generator, side: int) -> Floats:
    clean = _uneven(rng, side)
    draw = rng.random()
    if draw < 0.3:
        clean += sum(_cell(rng, side, soft=True) for _ in range(rng.integers(1, 4)))
    elif draw < 0.55:
        clean += sum(_cell(rng, side, soft=False) for _ in range(rng.integers(1, 6)))
    elif draw < 0.65:
        clean += sum(_filament(rng, side) for _ in range(rng.integers(1, 5)))
    elif draw < 0.75:
        clean += sum(_filament(rng, side) for _ in range(rng.integers(8, 40)))
    elif draw < 0.85:
        clean += _texture(rng, side)
    return clean


def _uneven(rng: np.random.Generator, side: int) -> Floats:
    """Return a smooth field: Gaussians of random height on a grid."""
    width = rng.uniform(12, 40)
    centres = np.arange(-2 * width, side + 2 * width, width)
    basis = np.exp(-0.5 * ((np.arange(side)[:, None] - centres) / width) ** 2)  # (side, K)
    return np.asarray(np.exp(rng.uniform(*np.log((0.05, 8)))) * basis @ rng.normal(size=(len(centres),) * 2) @ basis.T)


def _turned(rng: np.random.Generator, side: int) -> tuple[Floats, Floats]:
    """Return coordinates around a random place, turned by a random angle."""
    (cy, cx), angle = rng.uniform(0, side, 2), rng.uniform(0, np.pi)
    y, x = np.arange(side)[:, None] - cy, np.arange(side) - cx
    return y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)


def _cell(rng: np.random.Generator, side: int, *, soft: bool) -> Floats:
    """Return an ellipse or a box, its edge 3 to 8 pixels wide or nearly sharp."""
    u, v = _turned(rng, side)
    a = rng.uniform(8, 40)
    b = np.clip(rng.uniform(8, 40), a / 2, 2 * a)
    box = not soft and rng.random() < 0.5
    distance = np.maximum(np.abs(u) - a, np.abs(v) - b) if box else (np.hypot(u / a, v / b) - 1) * np.sqrt(a * b)
    height = np.exp(rng.uniform(*np.log((1, 20) if soft else (2, 120))))
    edge = rng.uniform(1.5, 6) if soft else rng.uniform(0.15, 1.2)
    return np.asarray(height / (1 + np.exp(np.clip(distance / edge, -50, 50))))


def _filament(rng: np.random.Generator, side: int) -> Floats:
    u, v = _turned(rng, side)
    bend = rng.uniform(0, 8) * np.sin(u / rng.uniform(8, 30) + rng.uniform(0, 6))
    height = np.exp(rng.uniform(*np.log((1, 20))))
    return np.asarray(height * np.exp(-0.5 * ((v - bend) / rng.uniform(0.8, 2.5)) ** 2))


def _texture(rng: np.random.Generator, side: int) -> Floats:
    """Return bumps and dips that are wider than spots, the bumps of half of the textures higher."""
    width = np.exp(rng.uniform(*np.log((3, 9)), 2)) if rng.random() < 0.5 else np.exp(rng.uniform(*np.log((4, 9))))
    field = ndimage.gaussian_filter(rng.normal(size=(side, side)), width, mode="wrap")
    field /= field.std()
    if rng.random() < 0.5:
        field = np.exp(0.8 * field)
    return np.asarray(np.exp(rng.uniform(*np.log((1, 20)))) * field)


def _noisy(rng: np.random.Generator, clean: Floats, rho: tuple[float, float]) -> Floats:
    if any(rho) or rng.random() < 0.6:
        return clean + noise_field(clean.shape, rho, rng)
    # Photons, of which the background has few: the height above it, which is in noise s.d. already, is kept.
    root = np.sqrt(np.exp(rng.uniform(*np.log((2, 60)))) + 0.375)
    photons = np.maximum((root + (clean - np.median(clean)) / 2) ** 2 - 0.375, 0)
    return 2 * np.sqrt(rng.poisson(np.minimum(photons, 1e6)) + 0.375)
