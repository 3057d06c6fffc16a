"""What a network that finds spots sees: the image, and what filters of several widths make of it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.numerics.blobs.filters import Filters, widest_halo, z_maps

__all__ = ["CHANNELS", "REACH", "spot_planes"]

_SIGMAS = (0.8, 1.2, 1.75, 2.5, 3.5)  # s.d. of the spots that the filters answer most to, in pixels
_WIDTHS = tuple(math.sqrt(3) * sigma for sigma in _SIGMAS)

CHANNELS = 1 + len(_SIGMAS)
"""Number of planes."""
REACH = widest_halo(Filters(_WIDTHS, (0.0, 0.0), (1.0, 1.0)))[0]
"""Pixels around that count for a pixel."""


def spot_planes(values: NDArray[np.floating], rho: tuple[float, float]) -> NDArray[np.float32]:
    """Return the image and its filtered versions, all with noise of s.d. 1.

    The filters know the correlation of the noise, so that the network need not learn what it does to weak spots.

    Parameters
    ----------
    values : (Y, X) ndarray
        The image.
    rho : (float, float)
        Correlation of the noise along y and x.

    Returns
    -------
    (6, Y, X) ndarray of float32
    """
    return np.concatenate([values[None].astype(np.float32), z_maps(values, Filters(_WIDTHS, rho, (1.0, 1.0)))])
