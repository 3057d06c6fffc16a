"""Richardson-Lucy deconvolution, with total variation as an option.

Richardson, J. Opt. Soc. Am. 62, 1972; Lucy, Astron. J. 79, 1974: the maximum-likelihood image for Poisson noise, by
expectation maximisation. Total variation as in Dey et al., Microsc. Res. Tech. 69, 2006, eq. 6. Read noise counts as
that of a constant background of as many photo-electrons as its variance (Snyder, Hammoud & White, J. Opt. Soc. Am. A
10, 1993).
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.numerics.blur import Blur

__all__ = ["richardson_lucy"]

Image = NDArray[np.float32]

_LEAST_SEEN = 0.01  # least share of a place's light in the image by which is divided: noise would grow beyond it
_FLAT = 3000.0  # times `dark`: slopes below this count as flat, as rounding would decide on their sign


def richardson_lucy(
    photons: Image,
    seen: Image,
    blur: Blur,
    *,
    background: float,
    dark: float,
    iterations: int,
    tv: float = 0.0,
    start: float | None = None,
) -> Generator[Image, None, Image]:
    """Deconvolve an image.

    Parameters
    ----------
    photons : (Y, X) or (Z, Y, X) ndarray of float32
        Counts above the camera's offset, finite; noise may make some of them negative.
    seen : ndarray of the same shape
        1 where a pixel counts, 0 where nothing is known.
    blur : Blur
        Blur with a PSF, for images of this shape.
    background : float
        Variance of the read noise in counts; 0 or more.
    dark : float
        The least that the result can be, in counts: a small positive number, because what is 0 could never grow again.
    iterations : int
        More make the result sharper and noisier.
    tv : float
        Weight of the total variation, in pixels: 0 is plain Richardson-Lucy. From 0.1 on the light is not kept. Below
        ``1 / (2 * D)`` for D dimensions, so that nothing is divided by 0.
    start : float, optional
        The constant image to start from, in counts. By default the blurred image: the light is right at once then.

    Yields
    ------
    ndarray of the image's shape
        The estimate after every iteration, to be looked at only.

    Returns
    -------
    ndarray of the image's shape
        Never below `dark`.
    """
    # Read noise counts as light of a constant background, which is added here and in `expected` below.
    counts, mask = blur.embed((photons + np.float32(background)) * seen), blur.embed(seen)
    # Share of the light of each place that falls on known pixels: the divisor of the update.
    norm = np.maximum(blur.adjoint(mask), _LEAST_SEEN)
    # The blurred image as the start: the constant background that `counts` holds is taken off again.
    x = np.maximum((blur.adjoint(counts) - np.float32(background) * blur.adjoint(mask)) / norm, np.float32(dark))
    if start is not None:
        x = np.full_like(x, start)
    flat = _FLAT * dark
    for _ in range(iterations):
        # The Fourier transforms round to slightly below 0 in dark places; `dark` keeps the quotient finite without read
        # noise.
        expected = np.maximum(blur(x), 0) + np.float32(background + dark)
        divisor = norm * _tv_divisor(x, tv, flat) if tv else norm
        # The step of expectation maximisation; unknown pixels neither add nor take light.
        x *= blur.adjoint(counts / expected * mask) / divisor
        np.maximum(x, np.float32(dark), out=x)
        yield x[blur.seen]
    return x[blur.seen]


def _tv_divisor(x: Image, tv: float, flat: float) -> Image:
    """Return ``1 - tv div(grad x / |grad x|)``; slopes below `flat` hardly count."""
    # Forward differences, 0 at the far border: nothing flows out of the image.
    steps = [np.diff(x, axis=axis, append=np.take(x, [-1], axis)) for axis in range(x.ndim)]
    length = np.sqrt(sum(np.square(s) for s in steps)) + np.float32(flat)
    divergence = sum(_backward(s / length, axis) for axis, s in enumerate(steps))
    # Each part of the flux is at most 1 in size, so that the divergence is at most 2 * D: the divisor stays positive.
    return np.asarray(1 - np.float32(tv) * divergence)


def _backward(flux: Image, axis: int) -> Image:
    # Backward differences are minus the adjoint of the forward ones, as a divergence must be of a gradient.
    return np.diff(flux, axis=axis, prepend=np.zeros_like(np.take(flux, [0], axis)))
