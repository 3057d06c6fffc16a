"""Measure whether images of few photons keep their light: flat fields, and backgrounds beside objects."""

from __future__ import annotations

import numpy as np

from bench.table import header, row
from napari_genrecon import denoise

__all__ = ["run"]

_SIDE = 240
_AWAY = 30  # pixels from an object where background begins
_ELECTRONS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


def run(*, quick: bool) -> None:
    """Print the error of the mean of the denoised image, in percent: mean and largest of several images."""
    header("electrons per pixel", "flat", "background beside objects", "whole image with objects", "camera, flat")
    for electrons in _ELECTRONS:
        errors = np.array([_errors(electrons, seed) for seed in range(1 if quick else 4)])
        row(electrons, *(f"{100 * part.mean():+.1f} ({100 * abs(part).max():.1f})" for part in errors.T))


def _errors(electrons: float, seed: int) -> tuple[float, float, float, float]:
    rng = np.random.default_rng([seed, 8])
    flat = rng.poisson(electrons, (_SIDE, _SIDE)).astype(np.uint16)
    camera = 100 + 12 * (flat + rng.normal(0, 0.3, flat.shape))
    y, x = np.mgrid[:_SIDE, :_SIDE]
    distances = [np.hypot(y - top, x - left) for top, left in rng.uniform(20, _SIDE - 20, (4, 2))]
    scene = electrons + sum(20 * np.exp(-(distance**2) / 2 / 4**2) for distance in distances)
    objects = rng.poisson(scene).astype(np.uint16)
    away = np.min(distances, 0) > _AWAY
    found = denoise(objects, axes="YX", device="cpu")
    return (
        _error(denoise(flat, axes="YX", device="cpu"), flat),
        _error(found[away], objects[away]),
        _error(found, objects),
        _error(denoise(camera, axes="YX", device="cpu") - 100, camera - 100),
    )


def _error(result: np.ndarray, image: np.ndarray) -> float:
    return float(np.mean(result, dtype=float) / image.mean() - 1)
