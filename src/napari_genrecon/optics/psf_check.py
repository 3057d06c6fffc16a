"""Check that a point spread function (PSF) is plausible, and that an image can have been blurred by it.

An image blurred by a PSF holds no detail that the PSF removes. The power spectrum of an image, less that of its noise,
divided by the squared modulus of the transfer function, is the spectrum of the specimen. Spectra of specimens fall or,
for single points, stay level; with a PSF that is too wide the quotient rises steeply to the finest detail above the
noise, and deconvolution turns that into grain and ringing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter

from napari_genrecon.optics.centre import FARTHEST

__all__ = [
    "FALL",
    "RINGS",
    "SMALLEST",
    "detail_beyond",
    "measured_notes",
    "power_of_rings",
    "size_notes",
    "widest_gaussian",
]

SMALLEST = 96
"""Side in pixels of the smallest crop whose rings hold enough frequencies for a mean."""

_EDGES = np.arange(0.02, 0.52, 0.02)  # of rings of frequencies, in cycles per pixel; narrower ones hold too few
RINGS = (_EDGES[1:] + _EDGES[:-1]) / 2
"""Middle of each ring."""
FALL = math.pi**2 / (2 * math.log(2))
"""The squared transfer of a Gaussian of FWHM w is ``exp(-FALL * (w * f)**2)``."""
# Each frequency of a real image is there twice, and a Hann window makes 1.5 neighbours along each axis alike (Harris,
# Proc. IEEE 66, 1978, table 1): so many times the standard error of independent frequencies.
_ALIKE = math.sqrt(2 * 1.5**2)
_FINEST = 3  # last rings above the noise that count as the finest detail
_ABOVE_NOISE = 2.0  # power of a ring, in that of the noise, from which it counts
_AXES = 2.5  # frequencies to either side of an axis: the window spreads what lies on it over two
_LEAKAGE = 1e-6  # of the strongest ring: power below it may have leaked through the window

_PEDESTAL = 0.05  # share of the light in a level as high as the border, above which the offset was not subtracted
_LOWEST = 0.1  # quantile of the border taken as its level: a PSF that just fits is dark in a tenth of it
_BEAD = 9  # px, side of the smallest image of a bead; smaller arrays are kernels, cut tightly on purpose
_LARGE = 0.5  # share of the image's pixels beyond which a PSF may be an image, given by mistake
# Share of the light in the middle, by the number of dimensions; of PSFs at least 0.92 and 0.57, of images about 0.3.
_CENTRAL = {2: 0.8, 3: 0.5}

Crops = Sequence[NDArray[np.generic]]


def measured_notes(psf: NDArray[np.floating]) -> tuple[str, ...]:
    """Return warnings about a measured PSF (Y, X) or (Z, Y, X), such as the image of a bead."""
    notes = []
    rows = np.concatenate([psf[..., 0, :].ravel(), psf[..., -1, :].ravel()])
    columns = np.concatenate([psf[..., 0].ravel(), psf[..., -1].ravel()])
    # A low quantile and not the median: rings of a PSF may reach its border.
    lowest = float(np.quantile(np.concatenate([rows, columns]), _LOWEST))
    pedestal = lowest * psf.size / float(psf.sum())
    if pedestal > _PEDESTAL and min(psf.shape[-2:]) >= _BEAD:
        notes.append(
            f"{min(pedestal, 1):.0%} of the light of the PSF lies in a level as high as its border: subtract the "
            "offset of the camera from the image of the bead, or cut it out larger"
        )
    # Smoothed, so that noise does not decide where the peak is; a level array has no peak.
    smooth = gaussian_filter(psf, 1.0, mode="nearest")
    peak = np.unravel_index(int(smooth.argmax()), psf.shape)
    moved = [int(at) - side // 2 for at, side in zip(peak, psf.shape, strict=True)]
    if smooth.max() > smooth.min() and max(map(abs, moved)) > FARTHEST:
        places = ", ".join(f"{n:+d}" for n in moved)
        notes.append(
            f"the peak of the PSF lies ({places}) px from its middle, ({', '.join('ZYX'[-len(moved) :])}), and the "
            "result is moved the other way by as much: cut the PSF out around its peak"
        )
    return tuple(notes)


def size_notes(psf: NDArray[np.floating], shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return a warning if a PSF looks like an image: as large as a plane or stack of that shape, and spread over it."""
    if psf.size <= _LARGE * np.prod(shape):
        return ()
    # Negative pixels, left by the subtraction of an offset, hold no light; planes of a stack are summed.
    share = _central_share(np.clip(psf, 0, None).reshape(-1, *psf.shape[-2:]).sum(axis=0))
    if share >= _CENTRAL[psf.ndim]:
        return ()
    sides, those = (" x ".join(map(str, found)) for found in (psf.shape, shape))
    return (
        f"the PSF has {sides} pixels for an image of {those}, and only {share:.0%} of its light lies in the middle "
        "half of its width and height, unlike that of a point: was an image given as the PSF?",
    )


def _central_share(light: NDArray[np.floating]) -> float:
    """Return the share of light (Y, X) within a quarter of the sides to either side of its centre of mass."""
    near = []
    for axis, side in enumerate(light.shape):
        profile = light.sum(axis=1 - axis)
        centre = round(float((np.arange(side) * profile).sum() / profile.sum()))
        near.append(slice(max(centre - side // 4, 0), centre + side // 4 + 1))
    return float(light[tuple(near)].sum() / light.sum())


def detail_beyond(crops: Crops, psf: NDArray[np.floating], variances: Sequence[ArrayLike]) -> float:
    """Return how many times stronger the finest detail is than coarser detail lets expect; 1 or less is good.

    Parameters
    ----------
    crops : sequence of (Y, X) ndarray
        Parts of the image, finite, hot pixels removed.
    psf : (Y, X) or (Z, Y, X) ndarray
        PSF of sum 1.
    variances : sequence of float or (Y, X) ndarray
        Variance of the noise of each crop, or of each of its pixels; the noise must be white.

    Returns
    -------
    float
        Ratio; 0 if too few frequencies are above the noise.
    """
    return _rise(_power(crops, variances), _transfer(psf))


def widest_gaussian(crops: Crops, variances: Sequence[ArrayLike]) -> float:
    """Return the full width at half maximum, in pixels, of the widest Gaussian PSF that fits; 0 if none does.

    It is the width at which `detail_beyond` is 1, as specimens have level spectra at most; infinite if too few
    frequencies are above the noise.
    """
    power = _power(crops, variances)
    if len(power) <= _FINEST:
        return math.inf
    logarithm, square = np.log(power), FALL * RINGS[: len(power)] ** 2
    # (coarser, finest): the width at which a pair of rings of the specimen would have the same power, squared.
    level = np.subtract.outer(logarithm[:-_FINEST], logarithm[-_FINEST:])
    level = level / -np.subtract.outer(square[:-_FINEST], square[-_FINEST:])
    return math.sqrt(max(float(np.median(level.min(axis=0))), 0.0))


def _rise(power: NDArray[np.float64], transfer: NDArray[np.float64]) -> float:
    # The spectrum of the specimen; `power` ends where noise hides it.
    specimen = power / transfer[: len(power)]
    if len(specimen) <= _FINEST:
        return 0.0
    # The weakest of the coarser rings: spectra fall, so that every coarser ring is an upper limit of the finest.
    return float(np.median(specimen[-_FINEST:]) / specimen[:-_FINEST].min())


def _power(crops: Crops, variances: Sequence[ArrayLike]) -> NDArray[np.float64]:
    return power_of_rings(crops, variances)[0]


def power_of_rings(crops: Crops, variances: Sequence[ArrayLike]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean power per ring, less that of the noise, up to the first ring in which the noise hides it.

    Returns
    -------
    power : ndarray
        Per ring of `RINGS`, from the first.
    error : ndarray
        Standard error of each.
    """
    sums, noise, counts = np.zeros((3, len(_EDGES) - 1))
    for crop, variance in zip(crops, variances, strict=True):
        if min(crop.shape) < SMALLEST:
            continue
        values = np.asarray(crop, np.float64)
        # Squared Hann window of sum 1: white noise of variance v has the power v at every frequency.
        weight = np.outer(*(np.hanning(n) ** 2 for n in values.shape))
        weight /= weight.sum()
        # The mean goes first: its power would leak through the window into the lowest rings.
        spectrum = np.abs(fft.fft2((values - values.mean()) * np.sqrt(weight))) ** 2
        ring_sums, ring_counts = _rings(spectrum)
        sums, counts = sums + ring_sums, counts + ring_counts
        noise = noise + ring_counts * float((weight * np.asarray(variance)).sum())  # the window weights the middle most
    # No crop was large enough, or some ring holds no frequency.
    if not counts.all():
        return np.zeros(0), np.zeros(0)
    mean, expected = sums / counts, noise / counts
    unsure = 2 * mean / np.sqrt(counts)  # two s.d. of the mean: the power at one frequency is exponentially distributed
    hidden = mean - expected <= np.maximum(unsure, (_ABOVE_NOISE - 1) * expected)
    hidden |= mean < _LEAKAGE * mean.max()
    # The first hidden ring ends it: beyond, single rings above the noise are chance or a pattern of the camera.
    end = int(np.argmax(hidden)) if hidden.any() else len(mean)
    return (mean - expected)[:end], (_ALIKE * mean / np.sqrt(counts))[:end]


def _transfer(psf: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the mean squared modulus per ring; of a PSF in 3D, of what reaches one plane."""
    size = [max(n, 128) for n in psf.shape[-2:]]  # padded with zeros, so that every ring holds frequencies
    power = np.abs(fft.fftn(psf, s=(*psf.shape[:-2], *size), axes=range(psf.ndim))) ** 2
    # That of all depths together: by Parseval's theorem the sum over planes of the squared transfer of each.
    in_plane = power.reshape(-1, *size).mean(axis=0)  # mean over the frequencies along z
    sums, counts = _rings(in_plane)
    # The transfer of a wide PSF vanishes in float64; the tiny number keeps the quotient finite.
    return np.maximum(sums / counts / in_plane[0, 0], np.finfo(float).tiny)


def _rings(spectrum: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and count of a spectrum (Y, X), zero frequency first, in rings between `_EDGES`.

    The axes are left out: rows and columns that are damaged or striped have all their power there.
    """
    fy, fx = fft.fftfreq(spectrum.shape[0])[:, None], fft.fftfreq(spectrum.shape[1])
    seen = (np.abs(fy) > _AXES / spectrum.shape[0]) & (np.abs(fx) > _AXES / spectrum.shape[1])
    radius = np.hypot(fy, fx)[seen]
    counts, _ = np.histogram(radius, _EDGES)
    sums, _ = np.histogram(radius, _EDGES, weights=spectrum[seen])
    return sums, counts.astype(np.float64)
