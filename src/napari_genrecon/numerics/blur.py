"""Blur as a camera does: the specimen extends beyond the field of view, and light from outside comes in.

The unknown is larger than the image by the reach of the PSF on every side, and only the pixels of the image count
(Almeida & Figueiredo, IEEE Trans. Image Process. 22, 2013: deconvolution with unknown boundaries). Nothing is assumed
about what lies outside, so no ringing comes in from the borders.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from scipy import fft

__all__ = ["FILTER_REACH", "Blur", "Multiply", "domain_shape"]

Image = NDArray[np.float32]

Multiply = Callable[[Image, NDArray[np.inexact]], Image]
"""``multiply(x, response)``: the real image `x` with its spectrum, as of `rfftn`, times `response`."""

# A transform uses every core: those of two tiles of a dask array at once would only wait for each other.
_ONE_AT_A_TIME = Lock()

FILTER_REACH = 64
"""Pixels over which the filters of a deconvolution reach beyond the PSF: further away, they change a pixel by less than
0.05 noise s.d. So wide, at least, is the gap between opposite edges in Y and X, round which filtering would wrap."""


class Blur:
    """Convolution with a PSF on the domain of the unknown.

    Parameters
    ----------
    psf : (Y, X) or (Z, Y, X) ndarray
        Its centre is the pixel at half its shape; its sum is 1.
    shape : tuple of int
        Shape of the image, with as many dimensions.
    multiply : callable, optional
        See `Multiply`; by default by SciPy, with as many threads as torch would use.

    Attributes
    ----------
    shape : tuple of int
        Shape of the unknown, rounded up to one that is fast to transform.
    seen : tuple of slice
        Part of the unknown that the image shows.
    lit : tuple of slice
        Part from which light comes into the image. The rest keeps opposite edges apart.
    power : ndarray
        Squared modulus of the transfer function, sampled for `filter`.
    """

    def __init__(self, psf: NDArray[np.floating], shape: tuple[int, ...], multiply: Multiply | None = None) -> None:
        # Pixels of the PSF before and after its centre. Light reaches a pixel of the image from so many pixels *behind*
        # it, so the image begins at `after_psf` in the unknown.
        before = tuple(n // 2 for n in psf.shape)
        self.lit = tuple(slice(0, n) for n in _lit(psf.shape, shape))
        self.shape = domain_shape(psf.shape, shape)
        after_psf = tuple(k - 1 - b for k, b in zip(psf.shape, before, strict=True))
        self.seen = tuple(slice(a, a + n) for a, n in zip(after_psf, shape, strict=True))
        kernel = np.zeros(self.shape, np.float32)
        kernel[tuple(slice(0, k) for k in psf.shape)] = psf
        # The Fourier transform takes index 0 for the origin: the centre of the PSF goes there.
        kernel = np.roll(kernel, [-b for b in before], axis=tuple(range(psf.ndim)))
        self._transfer = fft.rfftn(kernel, workers=_threads())
        self._multiply = multiply or multiply_here
        self.power: Image = np.square(np.abs(self._transfer))

    def __call__(self, x: Image) -> Image:
        """Blur `x`, of the shape of the unknown."""
        return self._multiply(x, self._transfer)

    def adjoint(self, x: Image) -> Image:
        """Blur with the mirrored PSF."""
        return self._multiply(x, self._transfer.conj())

    def filter(self, x: Image, response: Image) -> Image:
        """Multiply the spectrum of `x` by a real response, sampled like `power`."""
        return self._multiply(x, response)

    def extend(self, image: Image) -> Image:
        """Return the image on the domain of the unknown, its edges mirrored."""
        margins = [(s.start, n - s.stop) for s, n in zip(self.seen, self.shape, strict=True)]
        return np.pad(image, margins, mode="symmetric")

    def embed(self, image: Image) -> Image:
        """Return the image on the domain of the unknown, with zeros around it."""
        x = np.zeros(self.shape, np.float32)
        x[self.seen] = image
        return x


def multiply_here(x: Image, response: NDArray[np.inexact]) -> Image:
    """Multiply the spectrum of an image on the CPU; see `Multiply`."""
    threads = _threads()
    with _ONE_AT_A_TIME:
        spectrum = fft.rfftn(x, workers=threads) * response
        # The shape must be given: `irfftn` takes an odd last axis for an even one.
        result: Image = fft.irfftn(spectrum, s=x.shape, axes=tuple(range(x.ndim)), workers=threads)
    return result


def _threads() -> int:
    """Return how many threads to use: as many as torch would. The transforms do not depend on it, bit for bit."""
    # Torch reads this variable, too. It is not asked itself, as this package works without it.
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked):
        return int(asked)
    # A job of a cluster may use fewer cores than the machine has; macOS and Windows do not tell.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def domain_shape(psf: tuple[int, ...], image: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the unknown for a PSF and an image of these shapes."""
    # None along Z: a stack of 20 planes would become one of 84.
    guard = [0] * (len(psf) - 2) + [FILTER_REACH] * 2
    return tuple(fft.next_fast_len(n + g, real=True) for n, g in zip(_lit(psf, image), guard, strict=True))


def _lit(psf: tuple[int, ...], image: tuple[int, ...]) -> list[int]:
    return [n + k - 1 for n, k in zip(image, psf, strict=True)]
