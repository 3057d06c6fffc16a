"""Input planes of the inpainting network: a first fill, and how far it can be trusted.

All four planes are of degree one in the values, so that a network without biases follows gain and units. The second
estimate and the error are normalised convolutions (Knutsson & Westin, "Normalized and differential convolution", CVPR
1993) at three widths, the wider ones filling in where the narrower ones see nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_genrecon.numerics.gaussian_field import SMOOTHEST, interpolate

__all__ = ["TOLERANCE", "fill_planes"]

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

# The network was trained on inputs that these numbers make.
_WIDTHS = (16.0, 4.0, 1.0)  # s.d. of the convolutions in pixels, the wider ones for larger holes
_TRUST = 0.02  # weight of the wider estimate: as much as one known pixel in fifty
_DETAIL = 1.0  # px, s.d. of the smoothing that is subtracted twice: about the fourth derivative, as in a spline's error
_TYPICAL = 2.0  # typical error of a fill, in units of this detail
_CUT = 3.0  # s.d. at which the Gaussians end
TOLERANCE = 3e-4  # relative residual of an interpolation that a network corrects; looser, and tiles would be seen


def fill_planes(values: Plane, unknown: Mask, sigma: float) -> NDArray[np.float32]:
    """Fill unknown pixels smoothly, and say how wrong that may be.

    Parameters
    ----------
    values : (Y, X) ndarray of float32
        Values of mean about 0; those at unknown pixels are ignored, but must be finite.
    unknown : (Y, X) ndarray of bool
        True for pixels to fill.
    sigma : float
        S.d. of the noise of known pixels.

    Returns
    -------
    (4, Y, X) ndarray of float32
        The nearly biharmonic fill; the s.d. to expect (of the noise where known, of fine detail nearby where unknown);
        the latter again with 0 where known, which shows the mask; and the difference of a local mean from the fill.
    """
    fill = interpolate(values, unknown, SMOOTHEST, tolerance=TOLERANCE)
    known = np.asarray(~unknown, np.float32)
    detail = _finer(_finer(fill))
    error = np.where(unknown, _TYPICAL * np.sqrt(np.maximum(_local_mean(detail**2, known), 0)), 0)
    expected = np.where(unknown, error, np.float32(sigma))
    return np.stack([fill, expected, error, _local_mean(values, known) - fill]).astype(np.float32, copy=False)


def _finer(values: Plane) -> Plane:
    """Subtract a smooth version: keep the fine detail."""
    return np.asarray(values - gaussian_filter(values, _DETAIL, truncate=_CUT))


def _local_mean(values: Plane, known: Plane) -> Plane:
    """Return the mean of the known values nearby, everywhere; 0 where there are none within reach."""
    seen, mean = values * known, np.zeros_like(values)
    for width in _WIDTHS:
        weight = gaussian_filter(known, width, truncate=_CUT)
        mean = (gaussian_filter(seen, width, truncate=_CUT) + _TRUST * mean) / (weight + _TRUST)
    return mean
