"""Simulated scenes that are measured on, of other processes than those that the training draws (`bundled.scenes`).

Tissue is a Voronoi mosaic with a power-law texture, fibres are worm-like chains with a persistence length, and clusters
are a Thomas process with heavy-tailed brightness; all are seen through the Airy pattern of a lens, with a haze.
Training draws smooth blobs, splines and scattered points through Gaussians. Nothing is imported from there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.fft import irfft2, rfft2
from scipy.spatial import cKDTree
from scipy.special import j1

__all__ = ["KINDS", "clusters", "fibres", "tissue"]

Shape = tuple[int, int]
_MARGIN = 24  # pixels around the scene that are drawn too, so that its edges are like its middle
_AIRY = (2.0, 5.0)  # pixels, radius of the Airy disk: from just sampled to finely
_FLOOR = 0.02  # background, of the brightest


def tissue(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw a sheet of cells that touch: bright membranes, bodies of many levels, a texture without a scale."""
    size = _wide(shape)
    seeds = rng.uniform(0, 1, (int(np.prod(size) / rng.uniform(14, 40) ** 2) + 3, 2)) * size
    distance, nearest = cKDTree(seeds).query(np.stack(np.indices(size), -1) + 0.5, k=2)
    gap = distance[..., 1] - distance[..., 0]
    body = rng.gamma(2.0, 0.5, len(seeds))[nearest[..., 0]] * np.exp(0.35 * _power_law(rng, size))
    membrane = rng.uniform(1, 4) * np.exp(-((gap / rng.uniform(1.5, 3)) ** 2))
    return _seen(rng, body + membrane, shape)


def fibres(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw worm-like chains (Kratky & Porod 1949) whose label varies along them."""
    size = _wide(shape)
    image = np.zeros(size)
    persistence, step = rng.uniform(40, 400), 0.25
    for _ in range(rng.integers(8, 40)):
        n = int(rng.uniform(0.3, 2) * max(size) / step)
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, np.sqrt(step / persistence), n))
        place = rng.uniform(0, 1, 2) * size + step * np.cumsum(np.stack([np.sin(heading), np.cos(heading)], 1), 0)
        label = rng.lognormal(0, 0.3) * rng.gamma(3, 1 / 3, n // 40 + 1).repeat(40)[:n]
        _add(image, place, step * label)
    return _seen(rng, image, shape)


def clusters(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw spots in clusters (Thomas 1949), a few of them much brighter than the rest."""
    size = _wide(shape)
    image = np.zeros(size)
    parents = rng.uniform(0, 1, (rng.integers(8, 40), 2)) * size
    for parent in parents:
        children = rng.poisson(rng.uniform(3, 25))
        _add(image, parent + rng.normal(0, rng.uniform(4, 14), (children, 2)), 0.3 + rng.pareto(2.5, children))
    return _seen(rng, image, shape)


KINDS: tuple[Callable[[np.random.Generator, Shape], np.ndarray], ...] = (tissue, fibres, clusters)


def _wide(shape: Shape) -> Shape:
    return shape[0] + 2 * _MARGIN, shape[1] + 2 * _MARGIN


def _power_law(rng: np.random.Generator, size: Shape) -> np.ndarray:
    """Return a field of s.d. 1 whose power falls with the cube of the frequency."""
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None])
    frequency[0, 0] = np.inf
    field = irfft2(rfft2(rng.normal(size=size)) * frequency**-1.5, s=size)
    return field / field.std()


def _add(image: np.ndarray, place: np.ndarray, weight: np.ndarray) -> None:
    """Add points between pixels, each shared by its four neighbours."""
    corner = np.floor(place).astype(int)
    for dy in (0, 1):
        for dx in (0, 1):
            y, x = corner[:, 0] + dy, corner[:, 1] + dx
            share = np.abs(1 - dy - (place - corner)[:, 0]) * np.abs(1 - dx - (place - corner)[:, 1])
            inside = (y >= 0) & (y < image.shape[0]) & (x >= 0) & (x < image.shape[1])
            np.add.at(image, (y[inside], x[inside]), (weight * share)[inside])


def _seen(rng: np.random.Generator, image: np.ndarray, shape: Shape) -> np.ndarray:
    """Return the scene through a lens, with light from out of focus, in [0, 1] but for its brightest 0.1 %."""
    focus = _through_lens(image, rng.uniform(*_AIRY))
    haze = _through_lens(image, rng.uniform(15, 40))
    seen = focus / np.quantile(focus, 0.999) + rng.uniform(0, 0.15) * haze / haze.max()
    inner = (slice(_MARGIN, _MARGIN + shape[0]), slice(_MARGIN, _MARGIN + shape[1]))
    return ((_FLOOR + np.maximum(seen, 0)) / (1 + _FLOOR))[inner].astype(np.float32)


def _through_lens(image: np.ndarray, radius: float) -> np.ndarray:
    """Convolve with an Airy pattern whose first dark ring has this radius in pixels."""
    y, x = (np.fft.fftfreq(n) * n for n in image.shape)
    v = np.maximum(np.hypot(y[:, None], x[None]) * 3.8317 / radius, 1e-9)
    pattern = (2 * j1(v) / v) ** 2
    return irfft2(rfft2(image) * rfft2(pattern / pattern.sum()), s=image.shape)
