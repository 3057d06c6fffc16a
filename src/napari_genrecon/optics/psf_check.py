"""Whether an image can have been blurred by a point-spread function (PSF): is there detail that it would have removed?

Divided by the squared modulus of the transfer function, the power spectrum of an image, less that of its noise, is the
spectrum of the specimen. Those of specimens fall or, for single points, stay level; with a PSF that is too wide the
quotient rises steeply to the finest detail above the noise, and deconvolution turns that into grain and ringing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

__all__ = ["detail_beyond", "widest_gaussian"]

_SMALLEST = 96  # px, side of a crop that shows enough frequencies
_EDGES = np.arange(0.02, 0.52, 0.02)  # of rings of frequencies, in cycles per pixel
_FINEST = 3  # rings that are taken for the finest detail above the noise
_LEAST = 2  # rings that it is compared to, at least
_ABOVE_NOISE = 2.0  # power that a ring must have to count, in that of the noise
_LEAKAGE = 1e-6  # of the strongest ring: what the window lets leak into the others
_WIDTHS = np.arange(1.0, 12.0, 0.1)  # px, full widths at half maximum that are tried

Crops = Sequence[NDArray[np.generic]]


def detail_beyond(crops: Crops, psf: NDArray[np.floating], variances: Sequence[ArrayLike]) -> float:
    """How many times stronger the finest detail is than the specimen's coarser detail lets expect; 1 or less is well.

    Parameters
    ----------
    crops : sequence of (Y, X) ndarray
        Parts of the image, finite, hot pixels taken out.
    psf : (Y, X) or (Z, Y, X) ndarray
        Sum 1.
    variances : sequence of float or (Y, X) ndarray
        Variance of the noise of each crop, or of each of its pixels; the noise must be white.

    Returns
    -------
    float
        0 if too few frequencies are above the noise to tell.
    """
    return _rise(_power(crops, variances), _transfer(psf))


def widest_gaussian(crops: Crops, variances: Sequence[ArrayLike]) -> float:
    """Full width at half maximum, in pixels, of the widest Gaussian PSF that fits the image; 0 if none does."""
    power = _power(crops, variances)
    middle = (_EDGES[1:] + _EDGES[:-1]) / 2
    fitting = [w for w in _WIDTHS if _rise(power, np.exp(-((np.pi * w * middle) ** 2) / (2 * np.log(2)))) <= 1]
    return float(max(fitting, default=0.0))


def _rise(power: NDArray[np.float64], transfer: NDArray[np.float64]) -> float:
    specimen = power / transfer[: len(power)]
    if len(specimen) < _FINEST + _LEAST:
        return 0.0
    return float(np.median(specimen[-_FINEST:]) / specimen[:-_FINEST].min())


def _power(crops: Crops, variances: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """Mean power per ring, less that of the noise, up to the first ring in which the noise hides it."""
    sums, noise, counts = np.zeros((3, len(_EDGES) - 1))
    for crop, variance in zip(crops, variances, strict=True):
        if min(crop.shape) < _SMALLEST:
            continue
        values = np.asarray(crop, np.float64)
        weight = np.outer(*(np.hanning(n) ** 2 for n in values.shape))
        weight /= weight.sum()
        spectrum = np.abs(fft.fft2((values - values.mean()) * np.sqrt(weight))) ** 2
        ring_sums, ring_counts = _rings(spectrum)
        sums, counts = sums + ring_sums, counts + ring_counts
        noise = noise + ring_counts * float((weight * np.asarray(variance)).sum())  # that of the middle counts most
    if not counts.all():
        return np.zeros(0)
    mean, expected = sums / counts, noise / counts
    unsure = 2 * mean / np.sqrt(counts)
    hidden = mean - expected <= np.maximum(unsure, (_ABOVE_NOISE - 1) * expected)
    hidden |= mean < _LEAKAGE * mean.max()
    return (mean - expected)[: int(np.argmax(hidden)) if hidden.any() else len(mean)]


def _transfer(psf: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean squared modulus per ring; of a PSF in 3D, of what reaches one plane."""
    size = [max(n, 128) for n in psf.shape[-2:]]
    power = np.abs(fft.fftn(psf, s=(*psf.shape[:-2], *size), axes=range(psf.ndim))) ** 2
    in_plane = power.reshape(-1, *size).mean(axis=0)  # over the frequencies along z
    sums, counts = _rings(in_plane)
    return np.maximum(sums / counts / in_plane[0, 0], np.finfo(float).tiny)


def _rings(spectrum: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and count of a spectrum (Y, X), zero frequency first, in rings between `_EDGES`."""
    radius = np.hypot(fft.fftfreq(spectrum.shape[0])[:, None], fft.fftfreq(spectrum.shape[1]))
    counts, _ = np.histogram(radius, _EDGES)
    sums, _ = np.histogram(radius, _EDGES, weights=spectrum)
    return sums, counts.astype(np.float64)
