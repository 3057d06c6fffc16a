"""Simulated photographs: dead leaves.

The dead-leaves model (Lee, Mumford & Huang, "Occlusion models for natural images", IJCV 2001) has the edge and scale
statistics of photographs; networks trained on it alone denoise them well (Achddou, Gousseau & Ladjal, "Synthetic
images as a regularity prior for image restoration neural networks", SSVM 2021). Lengths are in pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bundled.fields import Box, Image, Shape, box_around, power_noise, smooth_noise

__all__ = ["dead_leaves"]

SUPERSAMPLE = 2  # leaves are drawn this much finer, so that their edges are antialiased
COVERED = 0.995  # the share of the plane that single leaves cover; one leaf behind all others fills the rest


def dead_leaves(rng: np.random.Generator, shape: Shape) -> Image:
    """Draw textured shapes that occlude each other and cover the plane, their radii distributed as ``r**-3``.

    Leaves are laid from front to back: a new one shows only where nothing lies yet, which gives the same law as
    painting from back to front for ever, and tells when the plane is covered.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    shape : (int, int)
        Rows and columns.

    Returns
    -------
    (Y, X) ndarray of float32
        Clean image in [0, 1].
    """
    fine = (shape[0] * SUPERSAMPLE, shape[1] * SUPERSAMPLE)
    image, bare = np.zeros(fine, np.float32), np.ones(fine, bool)
    sheets = [_sheet(rng, fine) for _ in range(4)]
    smallest = np.exp(rng.uniform(np.log(1.0), np.log(10.0))) * SUPERSAMPLE
    largest = 0.6 * max(fine)
    textured = rng.uniform(0.2, 0.9)
    left = int((1 - COVERED) * bare.size)
    uncovered = bare.size
    while uncovered > left:
        for radius in _power_law(rng, smallest, largest, 256):
            centre = rng.uniform(-0.3 * radius, np.asarray(fine) + 0.3 * radius)
            box, leaf = _leaf(rng, fine, centre, radius)
            leaf &= bare[box]
            seen = int(np.count_nonzero(leaf))
            if seen:
                image[box][leaf] = _leaf_grey(rng, sheets, box, leaf, textured)
                bare[box] &= ~leaf
                uncovered -= seen
    everything = (slice(0, fine[0]), slice(0, fine[1]))
    image[bare] = _leaf_grey(rng, sheets, everything, bare, textured)
    return _photograph(rng, image)


def _power_law(rng: np.random.Generator, low: float, high: float, size: int) -> NDArray[np.float64]:
    """Draw radii with density proportional to ``r**-3`` on [low, high], by inversion."""
    u = rng.random(size)
    return np.asarray((low**-2 - u * (low**-2 - high**-2)) ** -0.5, np.float64)


def _leaf(
    rng: np.random.Generator, shape: Shape, centre: NDArray[np.floating], radius: float
) -> tuple[Box, NDArray[np.bool_]]:
    """Draw a leaf: an ellipse, a rectangle or a convex polygon, as a mask within its box."""
    kind = rng.random()
    reach = radius if kind < 0.5 else 1.5 * radius
    box = box_around(shape, centre, reach)
    y, x = np.ogrid[box]
    y, x = y - centre[0], x - centre[1]
    turn, narrow = rng.uniform(0, np.pi), rng.uniform(0.3, 1.0)
    c, s = np.cos(turn), np.sin(turn)
    u, v = x * c + y * s, (y * c - x * s) / narrow
    if kind < 0.5:
        return box, u * u + v * v < radius * radius
    if kind < 0.75:
        return box, np.maximum(np.abs(u), np.abs(v)) < radius
    mask = np.ones((box[0].stop - box[0].start, box[1].stop - box[1].start), bool)
    for angle in np.sort(rng.uniform(0, 2 * np.pi, 5)) + np.arange(5):
        mask &= x * np.cos(angle) + y * np.sin(angle) < radius * 0.8
    return box, mask & (x * x + y * y < reach * reach)


def _sheet(rng: np.random.Generator, shape: Shape) -> Image:
    """Draw a texture to cut leaves from, of about unit variance: power-law noise, stripes or a weave."""
    kind = rng.random()
    if kind < 0.65:
        return power_noise(rng, shape, rng.uniform(0.4, 2.0))
    y, x = np.ogrid[: shape[0], : shape[1]]
    bend = rng.uniform(0, 6) * smooth_noise(rng, shape, length=rng.uniform(20, 60))
    wave = np.zeros(shape, np.float32)
    for _ in range(1 if kind < 0.85 else 2):
        period, turn = SUPERSAMPLE * np.exp(rng.uniform(np.log(2.5), np.log(24))), rng.uniform(0, np.pi)
        wave += np.sin((x * np.cos(turn) + y * np.sin(turn) + bend) * 2 * np.pi / period).astype(np.float32)
    return np.asarray(np.tanh(rng.uniform(0.5, 3) * wave) + 0.3 * power_noise(rng, shape, 1.0), np.float32)


def _leaf_grey(
    rng: np.random.Generator, sheets: list[Image], box: Box, leaf: NDArray[np.bool_], textured: float
) -> NDArray[np.floating]:
    """Return the grey values of the visible pixels of one leaf: a level, a ramp, and a cut of one of the sheets."""
    level = rng.beta(1.2, 1.5)
    sheet = sheets[rng.integers(len(sheets))]
    amplitude = 0.15 * rng.random() ** 2 if rng.random() < textured else 0.0
    rows, columns = np.nonzero(leaf)
    grey = level + amplitude * sheet[box][leaf]
    slope = rng.normal(0, 0.15, 2) / max(leaf.shape)
    return np.asarray(grey + slope[0] * (rows - leaf.shape[0] / 2) + slope[1] * (columns - leaf.shape[1] / 2))


def _photograph(rng: np.random.Generator, fine: Image) -> Image:
    """Average the supersampled plane down, defocus it a little, and keep it in [0, 1]."""
    rows, columns = fine.shape[0] // SUPERSAMPLE, fine.shape[1] // SUPERSAMPLE
    image = fine.reshape(rows, SUPERSAMPLE, columns, SUPERSAMPLE).mean(axis=(1, 3))
    if rng.random() < 0.5:
        image = ndimage.gaussian_filter(image, rng.uniform(0.2, 1.0))
    return np.clip(image, 0, 1).astype(np.float32)
