"""Describe places in a plane by what is at them and around them, the same whichever way the plane is turned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["even", "ring_features"]

_WIDTHS = (0.12, 0.25, 0.5, 1.0)  # s.d. of the blur, in sizes of the object: from its texture to its surroundings
_RING = 1.5  # radius of the ring, in s.d. of the blur
_RANGE = (0.01, 0.5, 0.99)  # quantiles: the few brightest or darkest pixels must not set the range
_AROUND = 12  # places on a ring


def ring_features(channels: NDArray[np.floating], places: NDArray[np.float64], size: float) -> NDArray[np.float64]:
    """Return features of places.

    Parameters
    ----------
    channels : (C, Y, X) ndarray
        The plane in its colours.
    places : (N, 2) ndarray
        In pixels.
    size : float
        Diameter of the objects in pixels.

    Returns
    -------
    (N, F) ndarray
        For every channel and blur: the value, and the mean, the s.d., the least and the greatest difference to it on a
        ring.
    """
    angles = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
    circle = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    found = []
    for plane in map(even, channels):
        for width in np.multiply(_WIDTHS, size):
            blurred = ndimage.gaussian_filter(plane, width, mode="nearest")
            around = places[:, None] + _RING * width * circle  # (N, 12, 2)
            ring = _values(blurred, around.reshape(-1, 2)).reshape(len(places), _AROUND)
            value = _values(blurred, places)
            step = ring - value[:, None]
            found += [value, step.mean(1), step.std(1), step.min(1), step.max(1)]
    return np.stack(found, axis=1)


def even(plane: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the plane from its median and in parts of its range, so that planes of other exposure compare."""
    low, middle, high = np.quantile(plane, _RANGE)
    return np.asarray((plane - middle) / (high - low or 1.0), np.float32)


def _values(plane: NDArray[np.floating], places: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(ndimage.map_coordinates(plane, places.T, order=1, mode="nearest"), np.float64)
