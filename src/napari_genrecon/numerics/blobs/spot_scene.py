"""Draw spots, and what a network should answer to them: training data for `models.networks.spotnet`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["AT", "AWAY", "answers", "draw_spots"]

Floats = NDArray[np.floating]

# S.d. of the heat around a centre: at least so many pixels (narrower, and a centre between two pixels is weak), and so
# many s.d. of the spot (the centre of a wide, dim one is uncertain: asked for to a pixel, it is improbable everywhere).
_HEAT, _WIDE = 0.9, 0.5
AT, AWAY = 0.58, 0.21
"""Heat 1.04 and 1.77 of these s.d. from a centre: a spot is there, and none is."""
_REACH = 6  # pixels around a centre that have heat


def draw_spots(places: Floats, sigma: Floats, heights: Floats, side: int) -> NDArray[np.float64]:
    """Return Gaussian spots on a square of `side` pixels.

    Parameters
    ----------
    places : (N, 2) ndarray
        Their centres in pixels; those outside count, too.
    sigma, heights : (N,) ndarray
        S.d. in pixels, and heights.
    side : int
        Side of the square, in pixels.
    """
    along = [np.exp(-0.5 * ((np.arange(side) - at[:, None]) / sigma[:, None]) ** 2) for at in places.T]
    return np.asarray((heights[:, None] * along[0]).T @ along[1])


def answers(places: Floats, sigma: Floats, side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return heat, in [0, 1], and the logarithm of the spot's s.d. where there is heat, (side, side) each."""
    heat, size = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    window = np.mgrid[-_REACH : _REACH + 1, -_REACH : _REACH + 1].reshape(2, -1)  # (2, W)
    pixels = np.round(places).astype(int)[:, :, None] + window  # (N, 2, W)
    width = np.maximum(_HEAT, _WIDE * sigma)[:, None]
    values = np.exp(-0.5 * ((pixels - places[:, :, None]) ** 2).sum(axis=1) / width**2).astype(np.float32)
    inside = np.all((pixels >= 0) & (pixels < side), axis=1)
    at = (pixels[:, 0][inside], pixels[:, 1][inside])
    np.maximum.at(heat, at, values[inside])
    own = values[inside] >= heat[at]  # of two spots, the one with more heat gives the size
    size[at[0][own], at[1][own]] = np.broadcast_to(np.log(sigma)[:, None], values.shape)[inside][own]
    return heat, size
