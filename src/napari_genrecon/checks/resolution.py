"""Measure resolution by Fourier ring correlation: the finest detail that two independent images of one thing share.

Two images of the same specimen are correlated ring by ring in the Fourier plane. The resolution is where the
correlation falls below 1/7 (Nieuwenhuizen et al., "Measuring image resolution in optical nanoscopy", Nat. Methods 10,
2013, 557-562, doi:10.1038/nmeth.2448; the threshold: Rosenthal & Henderson, J. Mol. Biol. 333, 2003, 721-745).

One image is split into two of independent noise. Rieger et al. ("Single image Fourier ring correlation", Opt. Express
32, 2024) split single photons; here noise is added to one half and taken from the other, which does the same for white
noise of known s.d. (Leiner et al., "Data fission: splitting a single data point", J. Am. Stat. Assoc. 120, 2025).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from napari_genrecon.errors import ImageError
from napari_genrecon.noise import NoiseModel

__all__ = ["RingCorrelation", "noise_of_half", "ring_correlation", "split"]

Plane = NDArray[np.floating[Any]]

_THRESHOLD = 1 / 7  # of the correlation, as is usual for two halves of one data set
_SMOOTHED = 5  # rings that are averaged, so that chance in one of few pixels ends nothing
_FIRST = 3  # rings that hold the brightness and no detail: the main lobe of the Hann window ends at ring 2
_FEWEST = 2 * (_FIRST + 2 * _SMOOTHED)  # pixels a side: two averages that share no ring


@dataclass(frozen=True, slots=True)
class RingCorrelation:
    """Correlation of two images by spatial frequency.

    Attributes
    ----------
    frequency : (N,) ndarray
        In periods per pixel, up to 0.5.
    correlation : (N,) ndarray
        In [-1, 1], averaged over five rings.
    """

    frequency: NDArray[np.float64]
    correlation: NDArray[np.float64]

    @property
    def resolution(self) -> float:
        """Period in pixels at which the correlation falls below 1/7; 2 if it never does, infinite without detail."""
        below = np.flatnonzero(self.correlation < _THRESHOLD)
        if not len(below):
            return 2.0
        last = int(below[0])
        # Already the coarsest ring is noise.
        if not last:
            return np.inf
        # The crossing lies between two rings, on a straight line.
        high, low = self.correlation[last - 1], self.correlation[last]
        share = (high - _THRESHOLD) / (high - low)
        return float(1 / (self.frequency[last - 1] + share * (self.frequency[last] - self.frequency[last - 1])))


def ring_correlation(first: Plane, second: Plane) -> RingCorrelation:
    """Correlate two images ring by ring.

    Parameters
    ----------
    first, second : (Y, X) ndarray
        Images of the same thing with independent noise, aligned to a fraction of a pixel.

    Raises
    ------
    ImageError
        If the shapes differ, a side has fewer than 26 pixels, or a pixel is not finite.
    """
    if first.shape != second.shape:
        raise ImageError(f"the images have shapes {first.shape} and {second.shape}: they must be equal")
    if min(first.shape) < _FEWEST:
        raise ImageError(f"the image has shape {first.shape}: at least {_FEWEST} pixels a side are needed")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ImageError("the image holds pixels that are NaN or infinite: crop it to finite ones")
    side = min(first.shape)  # a square, so that rings are rings
    a, b = (_spectrum(image[:side, :side].astype(np.float64)) for image in (first, second))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    # Rings are one step of the Fourier transform wide.
    ring = np.rint(frequency * side).astype(int).ravel()
    cross, power_a, power_b = (
        np.bincount(ring, weights=values.ravel()) for values in ((a * b.conj()).real, np.abs(a) ** 2, np.abs(b) ** 2)
    )
    # Beyond the Nyquist frequency only corners of the plane are left.
    rings = slice(_FIRST, side // 2 + 1)
    # Averaged before they are divided: a ratio of averages scatters less than an average of ratios.
    cross, power_a, power_b = (uniform_filter1d(v[rings], _SMOOTHED, mode="nearest") for v in (cross, power_a, power_b))
    scale = np.sqrt(power_a * power_b)
    return RingCorrelation(
        np.arange(_FIRST, side // 2 + 1) / side, np.divide(cross, scale, out=np.zeros(len(cross)), where=scale > 0)
    )


def _spectrum(image: Plane) -> NDArray[np.complex128]:
    # The window keeps the jump from one edge to the other from being taken for detail.
    # The ends of np.hanning are 0, which would waste the outermost pixels.
    window = np.hanning(len(image) + 2)[1:-1]
    return np.asarray(np.fft.fft2((image - image.mean()) * window[:, None] * window[None, :]))


def split(
    image: NDArray[np.float64], level: Plane, noise: NoiseModel, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two images of the same mean and of independent noise, each of twice the variance.

    Parameters
    ----------
    image : (Y, X) ndarray
        The image.
    level : (Y, X) ndarray
        Its grey values without noise, as well as they are known; they set the noise.
    noise : NoiseModel
        White noise of the image.
    rng : Generator
        Source of chance.
    """
    # Noise n and new noise m of one variance: n + m and n - m do not correlate.
    added = noise.sigma_at(level) * rng.standard_normal(image.shape)
    return image + added, image - added


def noise_of_half(noise: NoiseModel) -> NoiseModel:
    """Return the noise of one of the two images of `split`."""
    curve = tuple((mean, 2 * variance) for mean, variance in noise.curve)
    return replace(noise, gain=2 * noise.gain, read_noise=np.sqrt(2) * noise.read_noise, curve=curve)
