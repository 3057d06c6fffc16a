"""Find the width of the blur in an image without a point spread function, or say that the image does not tell it.

The power spectrum of a blurred image, less that of its noise, is that of the specimen times the squared modulus of the
transfer function. The spectrum of points is level, so that the Gaussian fall to fine detail is that of the blur. Lines
fall as 1/f, and the edges of large objects as 1/f**3 and faster: these have a width of their own, which cannot be told
from that of the blur, and only an upper limit is stated. The logarithm of the spectrum is fitted with a constant, a
power of the frequency and a Gaussian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_genrecon.errors import ImageError
from napari_genrecon.optics.psf_check import FALL, RINGS, power_of_rings

__all__ = ["BlurWidth", "find_blur_width"]

# Measured with ``python tools/benchmark.py psf``: with these limits no width is given for lines and soft cells.
_COARSEST = 0.05  # cycles per pixel; coarser detail is that of the arrangement of objects and follows no power
_RINGS = 6  # at least: three numbers are fitted
_POWERS = np.linspace(0.0, 3.5, 36)  # of the frequency, from points to edges of soft objects
_STEEPEST = 0.5  # power beyond which it is no image of points, whose power is 0
_LINES = 0.95  # power that must not fit as well, as that of lines is 1; without it, 2 of 36 filament images passed
_MODEL = 0.1  # relative error of the model in each ring, as no specimen follows a power exactly
# In the variance, the square of two s.d.: the rise of the sum of squares up to which a fit is as good as the best, and
# the mean square from which the model does not describe the image.
_SURE = 4.0
_LEAST_ERROR = 0.08  # of the width: a Gaussian stands for a PSF that is none
_UNSURE = 0.2  # of the width; a deblurred image shows a larger error as ringing, or stays blurred
_SHARP = 1.0  # px; there is nothing to undo below it


@dataclass(frozen=True, slots=True)
class BlurWidth:
    """Width of the blur in an image.

    Attributes
    ----------
    fwhm : float
        Full width at half maximum of a Gaussian, in pixels. The smallest spots count as points: where they are larger
        than a pixel themselves, the blur is narrower than this.
    error : float
        About two standard deviations of it.
    """

    fwhm: float
    error: float

    def __str__(self) -> str:
        return f"blur of {self.fwhm:.1f} ± {self.error:.1f} px (FWHM), if the smallest spots are points"


def find_blur_width(crops: Sequence[NDArray[np.generic]], variances: Sequence[ArrayLike]) -> BlurWidth:
    """Find the width of the blur from parts of an image.

    Parameters
    ----------
    crops : sequence of (Y, X) ndarray
        Parts of the image, finite, hot pixels removed, 96 x 96 pixels at least.
    variances : sequence of float or (Y, X) ndarray
        Variance of the noise of each crop, or of each of its pixels; the noise must be white.

    Raises
    ------
    ImageError
        If the image does not tell it, with the reason.
    """
    power, error = power_of_rings(crops, variances)
    seen = RINGS[: len(power)] >= _COARSEST
    if seen.sum() < _RINGS:
        raise ImageError("the image does not tell the width of its blur: noise hides all fine detail")
    frequency, relative = RINGS[: len(power)][seen], error[seen] / power[seen]
    # A relative error of the power is the absolute error of its logarithm; that of the model adds to it.
    falls, misfits = _fits(frequency, np.log(power[seen]), 1 / (relative**2 + _MODEL**2))
    best = int(misfits.argmin())
    fitting = misfits <= misfits[best] + _SURE
    # A spectrum that rises to fine detail has a negative fall: its width is 0.
    widths = np.sqrt(np.maximum(falls[fitting], 0) / FALL)
    found = float(np.sqrt(max(falls[best], 0) / FALL))
    half = max(float(np.ptp(widths)) / 2, _LEAST_ERROR * found)
    _refuse(found, half, _POWERS[best], _POWERS[fitting].max(), misfits[best] / len(frequency))
    return BlurWidth(found, half)


def _fits(
    frequency: NDArray[np.float64], logarithm: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the Gaussian fall and the weighted sum of squares for each power of the frequency."""
    # Weighted least squares: every ring's equation is multiplied by the root of its weight.
    root = np.sqrt(weight)
    matrix = np.stack([root, -(frequency**2) * root], axis=1)
    # With the power p given, log(power) + p log(f) = constant - fall * f**2 is linear in two unknowns.
    values = (logarithm + _POWERS[:, None] * np.log(frequency)) * root
    solved = np.linalg.lstsq(matrix, values.T, rcond=None)[0]
    return solved[1], ((values.T - matrix @ solved) ** 2).sum(axis=0)


def _refuse(found: float, half: float, power: float, steepest: float, misfit: float) -> None:
    """Raise the reason why the best fit, or the range of powers that fit as well, tells no width."""
    why = ""
    if power > _STEEPEST or steepest > _LINES:
        why = (
            f"it {'shows few points' if power > _STEEPEST else 'may show lines instead of points'}, and lines and soft "
            f"objects have a width of their own; the blur is at most {found + half:.1f} px wide"
        )
    elif misfit > _SURE:
        why = "its detail is not that of a blurred image; it may have been sharpened or compressed"
    elif found < _SHARP:
        why = f"its finest detail is {found:.1f} px wide, and there is nothing to undo below {_SHARP:g} px"
    elif half > _UNSURE * found:
        why = f"anything from {max(found - half, 0):.1f} to {found + half:.1f} px fits"
    if why:
        raise ImageError(f"the image does not tell the width of its blur: {why}")
