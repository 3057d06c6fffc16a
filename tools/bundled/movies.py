"""Simulated movies with known truth: drifting backgrounds, moving objects, transients, cuts, bleaching, flicker.

Every function is pure: a random generator in, arrays out. Movies are (T, Y, X), lengths in pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["MARGIN", "add_transients", "bleached", "draw_movie", "moving"]

Image = NDArray[np.float32]

MARGIN = 48  # px around a movie that its scenes need: 3 px a frame over 12 frames, and room for interpolation
_FASTEST = (0.0, 0.0, 0.3, 1.0, 3.0)  # px a frame; what stands still is where averaging gains most


def draw_movie(rng: np.random.Generator, scene: Callable[[], Image], frames: int, side: int) -> Image:
    """Draw a movie of random speeds; a part of them bleaches and flickers, has transients, or is cut.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    scene : callable
        Returns a clean image of ``side + MARGIN`` pixels a side, about in [0, 1].
    frames, side : int
        Size of the movie.

    Returns
    -------
    (T, Y, X) ndarray of float32
    """
    fastest = rng.choice(_FASTEST)
    drift = rng.uniform(0, fastest) * (rng.random() < 0.6)
    movie = moving(rng, scene(), scene(), frames, side, drift, rng.uniform(0, fastest))
    if rng.random() < 0.08:
        cut = int(rng.integers(1, frames))
        movie[cut:] = moving(rng, scene(), scene(), frames - cut, side, drift, 0.0)
    if rng.random() < 0.4:
        add_transients(rng, movie, count=int(rng.integers(1, 8)), height=float(np.exp(rng.uniform(-2.5, 0))))
    if rng.random() < 0.3:
        movie = bleached(rng, movie, rate=rng.uniform(0, 0.08), flicker=0.03)
    return movie


def moving(
    rng: np.random.Generator,
    background: Image,
    objects: Image,
    frames: int,
    side: int,
    drift: float,
    speed: float,
    *,
    start: NDArray[np.float64] | float = 0.0,
) -> Image:
    """Draw a background that drifts and objects that move over it, to random sides.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    background, objects : (N, N) ndarray
        Clean images, larger than the movie by what they move.
    frames, side : int
        Size of the movie.
    drift, speed : float
        Pixels a frame of background and objects.
    start : (2,) array_like
        Place (y, x) of the middle of the movie, from the middle of the images.
    """
    mask = ndimage.gaussian_filter(rng.standard_normal(objects.shape), 14)
    mask = ndimage.gaussian_filter((mask > np.quantile(mask, 0.6)).astype(np.float32), 1.5)
    ways = [
        length * np.array([np.sin(a), np.cos(a)])
        for length, a in zip((drift, speed), rng.uniform(0, 7, 2), strict=True)
    ]
    corner = (background.shape[0] - side) / 2 + start
    movie = np.empty((frames, side, side), np.float32)
    for frame in range(frames):
        places = [corner + way * (frame - (frames - 1) / 2) for way in ways]
        front = np.clip(_cut(mask, places[1], side), 0, 1)
        back = _cut(background, places[0], side)
        movie[frame] = back * (1 - front) + _cut(objects, places[1], side) * front
    return np.maximum(movie, 0)


def bleached(rng: np.random.Generator, movie: Image, rate: float, flicker: float) -> Image:
    """Let the light fall by `rate` a frame, and flicker by this s.d."""
    light = np.exp(-rate * np.arange(len(movie))) * (1 + flicker * rng.standard_normal(len(movie)))
    return np.asarray(movie * light[:, None, None], np.float32)


def add_transients(
    rng: np.random.Generator, movie: Image, count: int, height: float, *, single: bool = False
) -> list[tuple[int, int, int]]:
    """Add spots that flash up in place, for one frame or with a decay; return their (frame, y, x)."""
    frames, side = movie.shape[:2]
    y, x = np.indices((side, side))
    places = []
    for _ in range(count):
        row, column = rng.uniform(10, side - 10, 2)
        first, width = int(rng.integers(1, frames)), rng.uniform(1.2, 4.0) if not single else 2.0
        decay = 0.0 if single or rng.random() < 0.6 else rng.uniform(0.4, 0.8)
        spot = height * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * width**2))
        for frame in range(first, frames if decay else first + 1):
            movie[frame] += decay ** (frame - first) * spot if decay else spot
        places.append((first, int(row), int(column)))
    return places


def _cut(image: Image, corner: NDArray[np.float64], side: int) -> Image:
    """Cut a square at a corner (y, x) between pixels, interpolated by cubic splines."""
    whole = np.floor(corner).astype(int)
    part = image[whole[0] - 2 : whole[0] + side + 3, whole[1] - 2 : whole[1] + side + 3].astype(np.float32)
    moved = ndimage.shift(part, whole - corner, order=3, mode="nearest")
    return np.asarray(moved[2 : 2 + side, 2 : 2 + side])
