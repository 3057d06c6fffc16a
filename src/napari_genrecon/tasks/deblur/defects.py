"""Damage of a camera that is sharper than any point spread function, and would be taken for detail of the specimen."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.noise import NoiseModel, fill_hot
from napari_genrecon.numerics.gaussian_field import SMOOTHEST, interpolate

__all__ = ["without_defects"]

Plane = NDArray[np.floating]
Mask = NDArray[np.bool_]

_CLEAR = 8.0  # noise s.d. by which it stands above all that is around it
_ALONE = 8.0  # and how many times the spread of that; a point spread function does so below a FWHM of 1.8 px
_PART = 0.1  # of a line that must do so
_RING = [(y, x) for y, x in itertools.product(range(4), repeat=2) if y in (0, 3) or x in (0, 3)]


def without_defects(plane: Plane, noise: NoiseModel) -> Plane:
    """A plane with hot and dead pixels, clusters of them in 2 x 2, and one or two such lines side by side replaced.

    Parameters
    ----------
    plane : (Y, X) ndarray of float
        Finite.
    noise : NoiseModel
        Of the channel.
    """
    filled, _ = fill_hot(plane, noise)
    marked = _clusters(filled, noise)
    marked |= _rows(filled, noise)[:, None] | _rows(filled.T, noise)
    if not marked.any() or marked.all():
        return np.asarray(filled, np.float64)
    level = float(filled[~marked].mean())
    values = np.where(marked, 0, filled - level).astype(np.float32)
    return np.where(marked, interpolate(values, marked, SMOOTHEST) + np.float64(level), filled)


def _clusters(plane: Plane, noise: NoiseModel) -> Mask:
    marked = np.zeros(plane.shape, bool)
    if min(plane.shape) < 4:
        return marked
    for sign in (1, -1):
        signed = sign * plane
        inner = signed[1:-1, 1:-1]
        core = np.maximum(np.maximum(inner[:-1, :-1], inner[:-1, 1:]), np.maximum(inner[1:, :-1], inner[1:, 1:]))
        y, x = np.nonzero(core - signed[1:-2, :-3] > _least(noise))  # few, so that the rest can be slow
        ring = np.stack([signed[y + dy, x + dx] for dy, dx in _RING])
        alone = _alone(core[y, x], ring.max(axis=0), ring.min(axis=0), sign, noise)
        for dy, dx in itertools.product((1, 2), repeat=2):
            marked[y[alone] + dy, x[alone] + dx] = True
    return marked


def _rows(plane: Plane, noise: NoiseModel) -> Mask:
    marked = np.zeros(len(plane), bool)
    if len(plane) < 6:
        return marked
    for sign in (1, -1):
        rows = np.lib.stride_tricks.sliding_window_view(sign * plane, 6, axis=0)  # (Y - 5, X, 6)
        core = np.maximum(rows[..., 2], rows[..., 3])
        beside = [rows[..., i] for i in (0, 1, 4, 5)]
        alone = _alone(core, np.maximum.reduce(beside), np.minimum.reduce(beside), sign, noise)
        found = np.flatnonzero(alone.mean(axis=1) > _PART)
        marked[found + 2] = marked[found + 3] = True
    return marked


def _alone(core: Plane, highest: Plane, lowest: Plane, sign: int, noise: NoiseModel) -> Mask:
    least = np.maximum(_CLEAR * noise.sigma_at(sign * highest), _least(noise))
    return np.asarray(core - highest > np.maximum(least, _ALONE * (highest - lowest)))


def _least(noise: NoiseModel) -> float:
    return _CLEAR * max(float(noise.sigma_at(-np.inf)), noise.gain)
