"""Augmentation: where points lie beside their labels, how strong drawn noise is when it is measured again, and time."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from bench.table import header, row
from napari_genrecon import NoiseModel, augment, measure_noise
from napari_genrecon.tasks.augment.grain import at_exposure, draw_noise

__all__ = ["run"]

_SHAPES = ((512, 512), (200, 300), (24, 256, 256))
_CAMERA = NoiseModel(gain=2.0, offset=100, read_noise=6.0)
_LEVELS = np.array([220.0, 400.0, 800.0])  # grey values at which the noise is compared


def run() -> None:
    """Print both tables."""
    header("image", "objects", "median miss (px)", "99 % within (px)", "largest miss (px)", "seconds for one")
    for shape in _SHAPES:
        row(*_points(shape))
    print()
    header("exposure", "noise measured again / wanted, at three levels")
    for exposure in (0.25, 0.5, 1.0, 2.0):
        row(*_noise(exposure))


def _points(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Deform balls, and compare the points at their centres with the centroids of their labels.

    Labels take the nearest pixel, so that an object that moves by half a pixel moves by none or by one: the centroid
    may miss by half a pixel in each dimension.
    """
    labels, points = _balls(shape)
    image = (1000 + 30_000 * (labels > 0)).astype("uint16")
    started = time.process_time()
    made = augment(image, labels, points, n=8, axes="ZYX"[-len(shape) :])
    seconds = (time.process_time() - started) / 8
    misses = [miss for one in made for miss in _misses(one.labels, one.points, one.kept)]
    figures = (f"{value:.2f}" for value in (*np.percentile(misses, (50, 99, 100)), seconds))
    return (" x ".join(map(str, shape)), str(len(misses)), *figures)


def _balls(shape: tuple[int, ...]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    y, x = (np.arange(12, n - 12, 24) for n in shape[-2:])
    points = np.stack(np.meshgrid(y, x), axis=-1).reshape(-1, 2).astype(float)
    if len(shape) == 3:
        points = np.column_stack([rng.integers(5, shape[0] - 5, len(points)), points])
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    labels = np.zeros(shape, np.int32)
    for number, point in enumerate(points, start=1):
        near = tuple(slice(max(0, int(p) - 4), int(p) + 5) for p in point)
        labels[near][((grid[near] - point) ** 2).sum(-1) <= 16] = number
    return labels, points


def _misses(labels: NDArray[np.int32], points: NDArray[np.float64], kept: NDArray[np.int64]) -> list[float]:
    """Return the distance of each point from the centroid of its label, where the object is whole."""
    found = []
    for point, number in zip(points, kept, strict=True):
        pixels = np.argwhere(labels == number + 1)
        whole = len(pixels) and (pixels.min(0) > 0).all() and (pixels.max(0) < np.array(labels.shape) - 1).all()
        if whole:
            found.append(float(np.linalg.norm(pixels.mean(0) - point)))
    return found


def _noise(exposure: float) -> tuple[str, str]:
    """Augment a simulated camera image with new noise, and measure that again."""
    y, x = np.mgrid[:256, :256]
    clean = 200 + 800 * np.exp(-((y - 128) ** 2 + (x - 128) ** 2) / 2048)
    image = np.rint(draw_noise(np.random.default_rng(0), clean, _CAMERA)).astype("uint16")
    (made,) = augment(image, n=1, exposure=exposure, gamma=0.0)
    found, wanted = measure_noise(made.image), at_exposure(measure_noise(image), exposure)
    ratios = found.sigma_at(_LEVELS) / wanted.sigma_at(_LEVELS)
    return f"{exposure:g}", ", ".join(f"{ratio:.2f}" for ratio in ratios)
