"""Replace camera defects before the PSF is checked: they are sharper than any PSF and would count as fine detail."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.noise import NoiseModel, fill_hot
from napari_genrecon.noise.defects import HOT
from napari_genrecon.numerics.gaussian_field import SMOOTHEST, interpolate

__all__ = ["without_defects"]

Plane = NDArray[np.floating]
Mask = NDArray[np.bool_]

_PART = 0.1  # share of a row that must be above both neighbours: enough for a line with gaps, too many for points
# The 12 pixels around the 2 x 2 in the middle of a 4 x 4 square, as offsets (y, x).
_RING = [(y, x) for y, x in itertools.product(range(4), repeat=2) if y in (0, 3) or x in (0, 3)]


def without_defects(plane: Plane, noise: NoiseModel) -> Plane:
    """Return a plane with hot and dead pixels, clusters of up to 2 x 2 and lines of up to two replaced.

    Parameters
    ----------
    plane : (Y, X) ndarray of float
        Finite grey values.
    noise : NoiseModel
        Noise of the channel.
    """
    filled, _ = fill_hot(plane, noise)
    filled = np.where(np.isfinite(filled), filled, plane)  # not filled where all pixels beside it seem hot
    marked = _clusters(filled, noise)
    marked |= _rows(filled, noise)[:, None] | _rows(filled.T, noise)
    if not marked.any() or marked.all():
        return np.asarray(filled, np.float64)
    # `interpolate` wants a mean of about 0 and computes in float32: the level goes off before and comes back in
    # float64.
    level = float(filled[~marked].mean())
    values = np.where(marked, 0, filled - level).astype(np.float32)
    return np.where(marked, interpolate(values, marked, SMOOTHEST) + np.float64(level), filled)


def _clusters(plane: Plane, noise: NoiseModel) -> Mask:
    """Mark bright and dark clusters of up to 2 x 2 pixels."""
    marked = np.zeros(plane.shape, bool)
    if min(plane.shape) < 4:
        return marked
    for sign in (1, -1):
        signed = sign * plane
        inner = signed[1:-1, 1:-1]
        # (Y - 3, X - 3) maximum of the 2 x 2 pixels in the middle of every 4 x 4 square
        core = np.maximum(np.maximum(inner[:-1, :-1], inner[:-1, 1:]), np.maximum(inner[1:, :-1], inner[1:, 1:]))
        # One pixel of the ring is compared first: few squares pass, and only they need the whole ring.
        y, x = np.nonzero(core - signed[1:-2, :-3] > _least(noise))
        ring = np.stack([signed[y + dy, x + dx] for dy, dx in _RING])
        alone = _alone(core[y, x], ring.max(axis=0), ring.min(axis=0), sign, noise)
        for dy, dx in itertools.product((1, 2), repeat=2):
            # All four pixels in the middle are replaced, intact ones beside a smaller defect as well.
            marked[y[alone] + dy, x[alone] + dx] = True
    return marked


def _rows(plane: Plane, noise: NoiseModel) -> Mask:
    """Mark (Y,) rows that are brighter or darker than two rows above and below, alone or in pairs."""
    marked = np.zeros(len(plane), bool)
    if len(plane) < 6:
        return marked
    for sign in (1, -1):
        rows = np.lib.stride_tricks.sliding_window_view(sign * plane, 6, axis=0)  # (Y - 5, X, 6)
        # The brighter of the two rows in the middle, at every column: a single line passes as well as a pair.
        core = np.maximum(rows[..., 2], rows[..., 3])
        beside = [rows[..., i] for i in (0, 1, 4, 5)]
        alone = _alone(core, np.maximum.reduce(beside), np.minimum.reduce(beside), sign, noise)
        # (Y - 5,): share of the columns at which the pair stands out.
        found = np.flatnonzero(alone.mean(axis=1) > _PART)
        marked[found + 2] = marked[found + 3] = True
    return marked


def _alone(core: Plane, highest: Plane, lowest: Plane, sign: int, noise: NoiseModel) -> Mask:
    """Mark cores above all pixels around them, by more than noise and than the range of these pixels explain."""
    # As clear as a single hot pixel; a point stands out as much only with a PSF of less than 1.9 px FWHM.
    least = np.maximum(HOT * noise.sigma_at(sign * highest), _least(noise))
    return np.asarray(core - highest > np.maximum(least, HOT * (highest - lowest)))


def _least(noise: NoiseModel) -> float:
    """Return the least height of a defect in grey values: that of a hot pixel."""
    return HOT * max(float(noise.sigma_at(-np.inf)), noise.gain)
