"""What the inpainting network is given: a first fill, and how far it can be trusted.

All four planes are of degree one in the values, so that a network without biases follows gain and units. The second
estimate and the error are normalised convolutions (Knutsson & Westin, "Normalized and differential convolution", CVPR
1993) at three widths, the wider ones filling in where the narrower ones see nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_genrecon.numerics.gaussian_field import SMOOTHEST, interpolate

__all__ = ["REACH", "fill_planes"]

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

REACH = 48  # pixels from which the normalised convolutions draw
_WIDTHS = (16.0, 4.0, 1.0)  # pixels
_TRUST = 0.02  # weight of the wider estimate: about one known pixel in fifty
_DETAIL = 1.0  # pixels, of the smoothing that is taken away twice: about the fourth derivative, as in a spline's error
_TYPICAL = 2.0  # how many times this detail a fill is usually wrong
_ROUNDS, _TOLERANCE = 200, 3e-4


def fill_planes(values: Plane, unknown: Mask, sigma: float) -> NDArray[np.float32]:
    """Fill unknown pixels smoothly, and say how wrong that may be.

    Parameters
    ----------
    values : (Y, X) ndarray of float32
        Of mean about 0; what stands at unknown pixels does not matter, but must be finite.
    unknown : (Y, X) ndarray of bool
        What to fill.
    sigma : float
        S.d. of the noise of known pixels.

    Returns
    -------
    (4, Y, X) ndarray of float32
        The nearly biharmonic fill; the s.d. to expect (of the noise where known, of fine detail nearby where unknown);
        the latter again with 0 where known, which tells the mask; and how far a local mean lies from the fill.
    """
    fill = interpolate(values, unknown, SMOOTHEST, rounds=_ROUNDS, tolerance=_TOLERANCE)
    known = np.asarray(~unknown, np.float32)
    detail = _finer(_finer(fill))
    error = np.where(unknown, _TYPICAL * np.sqrt(np.maximum(_local_mean(detail**2, known), 0)), 0)
    expected = np.where(unknown, error, np.float32(sigma))
    return np.stack([fill, expected, error, _local_mean(values, known) - fill]).astype(np.float32, copy=False)


def _finer(values: Plane) -> Plane:
    """What is left when a smooth version is taken away."""
    return np.asarray(values - gaussian_filter(values, _DETAIL, truncate=3.0))


def _local_mean(values: Plane, known: Plane) -> Plane:
    """Mean of the known values nearby, everywhere; 0 where there are none within reach."""
    seen, mean = values * known, np.zeros_like(values)
    for width in _WIDTHS:
        weight = gaussian_filter(known, width, truncate=3.0)
        mean = (gaussian_filter(seen, width, truncate=3.0) + _TRUST * mean) / (weight + _TRUST)
    return mean
