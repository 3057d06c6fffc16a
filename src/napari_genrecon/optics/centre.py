"""Bring the centre of a point spread function that lies between pixels onto a pixel.

Images of beads and computed arrays of even sides have their centre between pixels, while a convolution wants it on the
pixel at half the shape. What is left between the two would move the deblurred image by as much.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

__all__ = ["CORE", "CUBIC", "FARTHEST", "centred_psf", "light_in_pixels"]

FARTHEST = 1.5
"""Pixels between centre and middle, along any axis, beyond which a PSF counts as cut out beside its peak: it stays."""

CUBIC = 3  # degree of the splines through a PSF
CORE = 0.3
"""Part of the range of a smoothed PSF above which pixels are its core; tails below it are mostly noise."""
_NOTHING = 0.05  # px; moving a PSF by less costs more sharpness than it is worth
_ALIKE = 0.97  # cosine between a PSF and its mirror image, from which it counts as symmetric despite some noise


def centred_psf(psf: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move a PSF so that its centre lies on the pixel at half its shape; its light is kept.

    Only a PSF that equals its mirror image has a well-defined centre. Others, such as those of a moving specimen or
    of a lens with coma, are returned unchanged, and so is one whose centre is further away than `FARTHEST`.

    Parameters
    ----------
    psf : (Y, X) or (Z, Y, X) ndarray
        PSF with a positive sum.

    Returns
    -------
    ndarray of as many dimensions
        PSF of odd length along every axis that was moved, with the sum of `psf`.
    """
    offset = _core(psf) - np.array([n // 2 for n in psf.shape])
    if np.abs(offset).max() <= _NOTHING or np.abs(offset).max() > FARTHEST:
        return psf
    moved = psf
    for axis, by in enumerate(offset):
        if abs(by) > _NOTHING:
            # In pixels from the first edge, where the centre of pixel i lies at i + 1/2.
            middle = psf.shape[axis] // 2 + float(by) + 0.5
            moved = np.moveaxis(light_in_pixels(np.moveaxis(moved, axis, 0), 1.0, middle), 0, axis)
    # Checked after the move: only about its own centre can a PSF equal its mirror image.
    if not _is_symmetric(moved):
        return psf
    moved = np.maximum(moved, min(float(psf.min()), 0.0))  # interpolation overshoots below 0
    return np.asarray(moved * (psf.sum() / moved.sum()))


def light_in_pixels(psf: NDArray[np.float64], ratio: float, middle: float) -> NDArray[np.float64]:
    """Return the light in pixels `ratio` times as large along the first dimension; none is lost.

    Parameters
    ----------
    psf : (n, ...) ndarray
        Light per pixel.
    ratio : float
        Size of the new pixels in old ones.
    middle : float
        Middle of the new pixel at half the new length, in old pixels from the first edge.

    Returns
    -------
    (m, ...) ndarray
        Light in the new pixels; `m` is odd.
    """
    from scipy.interpolate import make_interp_spline

    n = len(psf)
    reach = math.ceil(max(middle, n - middle) / ratio - 0.5)
    # From -reach - 1/2 to reach + 1/2 new pixels about the middle: an odd number of pixels.
    edges = middle + (np.arange(-reach, reach + 2) - 0.5) * ratio
    # Differences of the cumulative light at the new edges: their sum is that of all light.
    below = np.concatenate([np.zeros((1, *psf.shape[1:])), np.cumsum(psf, axis=0)])
    light = make_interp_spline(np.arange(n + 1.0), below, k=min(CUBIC, n), axis=0)
    return np.diff(light(np.clip(edges, 0, n)), axis=0)


def _core(psf: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre of mass of the bright part, in pixels from the first one; noise in the tails counts nothing."""
    smooth = _smooth(psf)
    # All pixels of a level array count alike, which puts its centre into its middle.
    weight = np.maximum(smooth - smooth.min() - CORE * np.ptp(smooth), 0) if np.ptp(smooth) else np.ones(psf.shape)
    profiles = [np.moveaxis(weight, i, 0).reshape(n, -1).sum(axis=1) for i, n in enumerate(psf.shape)]
    return np.array([float(profile @ np.arange(len(profile)) / profile.sum()) for profile in profiles])


def _is_symmetric(psf: NDArray[np.float64]) -> bool:
    whole = _smooth(
        np.pad(psf, [(0, 1 - n % 2) for n in psf.shape])
    )  # an even axis was not moved: its middle is n // 2
    # A pedestal is symmetric and would raise the cosine.
    whole -= whole.min()
    return float(np.vdot(whole, np.flip(whole))) >= _ALIKE * float(np.vdot(whole, whole))


def _smooth(psf: NDArray[np.float64]) -> NDArray[np.float64]:
    """Remove most of the noise of a measured PSF; its surroundings are dark."""
    return np.asarray(gaussian_filter(psf, 1.0, mode="constant"))
