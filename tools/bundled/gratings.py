"""Simulated straight, long and repeated structures: walls, bars, gratings, wires.

Photographs hold few of them and dead leaves none: a network that has not seen them loses such lines, which filters that
average repeated patches (BM3D) keep. Muscle, membranes, chips and gratings look like this. Lengths are in pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bundled.fields import Image, Shape, power_noise

__all__ = ["gratings"]

SUPERSAMPLE = 2  # drawn this much finer, so that edges are antialiased
PERIOD = (4.0, 70.0)  # px, across the courses of a wall
WIRE = (0.7, 6.0)  # px, width


def gratings(rng: np.random.Generator, shape: Shape) -> Image:
    """Draw one or two walls or gratings seen from an angle, at times with wires before them, sharp or soft.

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
    image = _wall(rng, fine)
    if rng.random() < 0.4:
        across, _ = _seen_from(rng, fine)
        image = np.where(across > rng.normal(0, 0.2 * max(shape)), image, _wall(rng, fine))
    for _ in range(rng.integers(1, 10) if rng.random() < 0.4 else 0):
        image = np.where(_wire(rng, fine), rng.beta(1, 1), image)
    image = image + rng.normal(0, 0.1) * power_noise(rng, fine, 1.8) * (rng.random() < 0.5)  # light
    image = image.reshape(shape[0], SUPERSAMPLE, shape[1], SUPERSAMPLE).mean(axis=(1, 3))
    if rng.random() < 0.7:
        image = ndimage.gaussian_filter(image, rng.uniform(0.2, 1.8))
    return np.clip(image, 0, 1).astype(np.float32)


def _wall(rng: np.random.Generator, fine: Shape) -> NDArray[np.floating]:
    """Draw courses of stones between joints, or a grating, with a faint grain."""
    across, along = _seen_from(rng, fine)
    period = np.exp(rng.uniform(*np.log(PERIOD)))
    grain = 0.06 * rng.random() ** 2 * power_noise(rng, fine, rng.uniform(0.4, 1.6))
    dark, light = rng.beta(1.5, 1.5, 2)
    if rng.random() < 0.25:
        wave = np.tanh(rng.uniform(0.3, 4) * np.sin(across * 2 * np.pi / period))
        return np.asarray((dark + light) / 2 + (light - dark) / 2 * wave + grain)
    joint = max(period * rng.uniform(0.04, 0.35), 0.8)
    course, edge = _parts(rng, across, period, rng.choice([0.0, 0.02, 0.2]))
    stone = np.zeros_like(course)
    if rng.random() < 0.75:  # else bars
        length = period * rng.uniform(1, 6)
        bond = rng.random(course.max() + 1) if rng.random() < 0.5 else np.arange(course.max() + 1) % 2 / 2
        stone, end = _parts(rng, along + (length * bond)[course], length, rng.choice([0.0, 0.1]))
        edge = np.minimum(edge, end)
    shades = rng.normal(light, rng.choice([0.0, 0.03, 0.15]), (course.max() + 1, stone.max() + 1))
    filled = np.where(edge < joint / 2, dark, shades[course, stone])
    if rng.random() < 0.4:  # stones stand out and cast a shadow beside the joint
        filled = np.where((edge >= joint / 2) & (edge < joint * rng.uniform(0.6, 0.9)), filled * 0.8, filled)
    return np.asarray(filled + grain)


def _parts(
    rng: np.random.Generator, place: NDArray[np.floating], period: float, irregular: float
) -> tuple[NDArray[np.intp], NDArray[np.floating]]:
    """Return the part of a line in which every place lies, and its distance from the part's nearer end."""
    count = int(np.ptp(place) / period * 2) + 4
    ends = place.min() - period * rng.random() + np.cumsum(period * np.maximum(rng.normal(1, irregular, count), 0.5))
    ends = np.concatenate([[-np.inf], ends, [np.inf]])
    part = np.searchsorted(ends, place) - 1
    return part, np.minimum(place - ends[part], ends[part + 1] - place)


def _seen_from(rng: np.random.Generator, fine: Shape) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return coordinates across and along a plane that is turned and, at times, seen in perspective."""
    y, x = np.ogrid[: fine[0], : fine[1]]
    y, x = y / SUPERSAMPLE - fine[0] / 4, x / SUPERSAMPLE - fine[1] / 4
    turn = rng.uniform(0, np.pi) if rng.random() < 0.7 else rng.choice([0, np.pi / 2]) + rng.normal(0, 0.05)
    tilt = rng.normal(0, 0.3 / max(fine), 2) if rng.random() < 0.6 else np.zeros(2)
    depth = np.maximum(1 + tilt[0] * x + tilt[1] * y, 0.3)
    c, s = np.cos(turn), np.sin(turn)
    return (x * c + y * s) / depth, (y * c - x * s) / depth


def _wire(rng: np.random.Generator, fine: Shape) -> NDArray[np.bool_]:
    across, _ = _seen_from(rng, fine)
    width = np.exp(rng.uniform(*np.log(WIRE)))
    return np.asarray(np.abs(across - rng.normal(0, 0.15 * max(fine))) < width / 2)
