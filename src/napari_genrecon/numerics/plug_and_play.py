"""Deconvolution with a denoiser as the prior: plug-and-play half-quadratic splitting.

Zhang et al., "Plug-and-play image restoration with deep denoiser prior", IEEE TPAMI 44 (2022), 6360-6376, eq. 6-9: two
steps alternate, one towards the data and one towards what images look like, and the noise level given to the denoiser
falls from step to step. Here the data step is weighted with the inverse noise variance of each pixel, because
camera noise depends on the signal; missing pixels have weight 0. With weights there is no closed form any
more: the one for equal weights preconditions a few iterations, which cost little compared with the denoiser.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.numerics.blur import Blur

__all__ = ["Prior", "plug_and_play", "schedule"]

Image = NDArray[np.float32]
Prior = Callable[[Image, float], Generator[None, None, Image]]
"""Denoises an image with noise of the s.d. given; yields where it can be stopped."""

# Tuned on simulated cells and filaments, of other seeds than tools/bench/deblur_quality.py reports on.
BALANCE = 0.2  # weight of the prior against the data (lambda in the paper, 0.23 there)
# Of the preconditioned data step: its eigenvalues lie between this, below which it converges slower, and 1. As little
# of the error is left within that range.
_LEAST_EIGENVALUE = 0.02
_CENTRE, _RADIUS = (1 + _LEAST_EIGENVALUE) / 2, (1 - _LEAST_EIGENVALUE) / 2
_STEPS = round(math.acosh(1 / _LEAST_EIGENVALUE) / math.acosh(_CENTRE / _RADIUS))
"""Chebyshev steps of a data step, which leave ``1 / cosh(steps * acosh(centre / radius))`` of the error."""


def schedule(start: float, stop: float, iterations: int) -> NDArray[np.float64]:
    """Return the noise levels for the denoiser, falling geometrically; all `stop` if that is the larger one."""
    # A start below the end would let the levels rise.
    return np.geomspace(max(start, stop), stop, iterations)


def plug_and_play(
    image: Image,
    weigh: Callable[[Image], Image],
    heaviest: float,
    blur: Blur,
    prior: Prior,
    levels: NDArray[np.floating],
) -> Generator[None, None, Image]:
    """Deconvolve an image.

    Parameters
    ----------
    image : (Y, X) or (Z, Y, X) ndarray of float32
        Grey values, finite, a global centre subtracted.
    weigh : callable
        Inverse noise variance of every pixel of an image, given what is thought to be its clean version; 0 where
        nothing is known.
    heaviest : float
        No weight of the whole image, of which this may be a tile, is larger.
    blur : Blur
        Blur with a PSF, for images of this shape.
    prior : callable
        See `Prior`. It is given images of the shape of ``blur.lit``.
    levels : (iterations,) ndarray
        Noise s.d. for each iteration, in grey values; see `schedule`. The last should be near that of the image.

    Yields
    ------
    None
        After every data step and wherever `prior` yields.

    Returns
    -------
    ndarray of the image's shape
    """
    # The domain is larger than the image: the data are 0 there, without weight, and the estimate starts with mirrored
    # edges.
    data, x = blur.embed(image), blur.extend(image)
    for level in levels:
        # The level of the noisy image would give low pixels too much weight, and light would be lost.
        weight = blur.embed(weigh(blur(x)[blur.seen]))
        x = _data_step(data, weight, heaviest, blur, x, BALANCE / float(level) ** 2)
        yield
        # Only where light can come from: the rest of the domain keeps opposite edges apart, and would cost time in the
        # network.
        x[blur.lit] = yield from prior(x[blur.lit], float(level))
    return x[blur.seen]


def _data_step(data: Image, weight: Image, heaviest: float, blur: Blur, x0: Image, mu: float) -> Image:
    """Lower ``sum(w (data - H x)^2) + mu |x - x0|^2`` from x0, in preconditioned Chebyshev steps.

    Saad, *Iterative methods for sparse linear systems*, 2003, algorithm 12.1, for eigenvalues from `_LEAST_EIGENVALUE`
    to 1. Other than those of conjugate gradients, its steps do not depend on the image: what is far away changes
    nothing.
    """
    # Exact where all weights equal the largest.
    inverse = np.reciprocal(np.float32(heaviest) * blur.power + np.float32(mu), dtype=np.float32)

    def descent(x: Image) -> Image:
        # The residual is computed anew in every step, which costs as much as to update it and gathers no rounding
        # errors.
        return blur.filter(blur.adjoint(weight * (data - blur(x))) + np.float32(mu) * (x0 - x), inverse)

    # In the book the centre is theta, the radius is delta, and rho the quotient of two Chebyshev polynomials.
    rho = _RADIUS / _CENTRE
    step = descent(x0) / np.float32(_CENTRE)
    x = x0 + step
    for _ in range(_STEPS - 1):
        previous, rho = rho, 1 / (2 * _CENTRE / _RADIUS - rho)
        step = np.float32(rho * previous) * step + np.float32(2 * rho / _RADIUS) * descent(x)
        x += step
    return x
