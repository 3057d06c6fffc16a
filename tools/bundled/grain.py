"""Correlated noise of image processing: of several scales, with tails, demosaiced, resized or sharpened.

Every function is pure: a random generator in, arrays and numbers out. A field of noise is drawn larger than the patch
that is cut from it, and its correlations are those of the whole field, as a measurement would find them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from bundled.degrade import NoiseKernel
from napari_genrecon.noise.model import FAR

__all__ = ["LAGS", "draw_grain", "kernel_correlations"]

Field = NDArray[np.float32]
LAGS = (1, *FAR)
_MARGIN = 64  # px by which a field is larger than its patch


def draw_grain(rng: np.random.Generator, side: int) -> tuple[Field, Field]:
    """Draw a square of noise of s.d. 1, and its correlations (2, 4) along x and y at `LAGS`.

    It is of any of the families, at times sharpened or with a coarse part of its own.
    """
    field = _FAMILIES[rng.choice(len(_FAMILIES), p=_SHARES)](rng, side + _MARGIN)
    if rng.random() < 0.15:
        field = _sharpened(rng, field)
    if rng.random() < 0.2:
        coarse = _scales(rng, len(field), finest=1.5)
        field = field / field.std() + rng.uniform(0.1, 0.6) * coarse / coarse.std()
    field = (field - field.mean()) / field.std()
    start = (len(field) - side) // 2
    noise = field[start : start + side, start : start + side]
    return np.asarray(noise, np.float32), np.array([_correlations(field, axis) for axis in (1, 0)], np.float32)


def kernel_correlations(kernel: NoiseKernel) -> Field:
    """Return the exact correlations (2, 4) along x and y at `LAGS` of noise that was filtered with a kernel."""
    found = [[_product(profile, lag) for lag in LAGS] for profile in (kernel.along_x, kernel.along_y)]
    return np.array(found, np.float32)


def _product(profile: NDArray[np.float64], lag: int) -> float:
    return float(np.dot(profile[lag:], profile[:-lag])) if len(profile) > lag else 0.0


def _correlations(field: Field, axis: int) -> tuple[float, ...]:
    moved = np.moveaxis(field, axis, -1)
    return tuple(float(np.mean(moved[:, lag:] * moved[:, :-lag])) for lag in LAGS)


# --- families ---


def _scales(rng: np.random.Generator, side: int, finest: float = 0.3) -> Field:
    """Grains of two sizes, a little longer along one axis, over white noise."""
    sizes = rng.uniform(finest, 1.3 + finest), np.exp(rng.uniform(np.log(1.5), np.log(7)))
    coarse, stretch = rng.uniform(0, 0.4), np.exp(rng.normal(0, 0.15))
    white = 10 ** rng.uniform(-4, -0.7)

    def power(y: Field, x: Field) -> Field:
        squared = (y * stretch) ** 2 + (x / stretch) ** 2
        parts = zip((1 - coarse, coarse), sizes, strict=True)
        lobes = sum(w * 4 * np.pi * s**2 * np.exp(-((2 * np.pi * s) ** 2) * squared) for w, s in parts)
        return np.asarray(lobes + white)

    return _filtered(rng, side, power)


def _tailed(rng: np.random.Generator, side: int) -> Field:
    """Power that falls over all frequencies, in two steps."""
    slope, knee = rng.uniform(0.2, 1.2), np.exp(rng.uniform(np.log(0.05), np.log(0.4)))
    steeper = rng.uniform(1, 5)

    def power(y: Field, x: Field) -> Field:
        f = np.maximum(np.hypot(y, x), 1 / side)
        return np.asarray(f**-slope / (1 + (f / knee) ** steeper))

    return _filtered(rng, side, power)


def _demosaiced(rng: np.random.Generator, side: int) -> Field:
    """One colour of a Bayer mosaic, or grey, interpolated linearly; at times smoothed."""
    white = rng.standard_normal((side, side))
    row, column = (np.arange(side) + rng.integers(2)) % 2, (np.arange(side) + rng.integers(2)) % 2
    square = np.outer([1, 2, 1], [1, 2, 1]) / 4
    cross = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
    red, blue = np.outer(row, column), np.outer(1 - row, 1 - column)
    colours = ((red, square), (1 - red - blue, cross), (blue, square))
    weights = np.eye(3)[rng.integers(3)] if rng.random() < 0.65 else rng.dirichlet((2, 4, 1))
    strengths = np.sqrt(rng.uniform(0.3, 1, 3))  # the colours get unlike light
    mixed = zip(weights, strengths, colours, strict=True)
    field = sum(w * s * ndimage.convolve(white * mask, kernel) for w, s, (mask, kernel) in mixed if w)
    return ndimage.gaussian_filter(field, rng.uniform(0.3, 0.9)) if rng.random() < 0.4 else np.asarray(field)


def _resized(rng: np.random.Generator, side: int) -> Field:
    """White or demosaiced noise of an image that was made larger or smaller by linear interpolation."""
    factor = np.exp(rng.uniform(np.log(0.6), np.log(2.2)))
    source = int(side / factor) + 2
    field = rng.standard_normal((source, source)) if rng.random() < 0.7 else _demosaiced(rng, source)
    if factor < 1:
        field = ndimage.gaussian_filter(field, 0.5 * (1 / factor - 1))
    shift = rng.uniform(0, 1, 2)
    return np.asarray(ndimage.affine_transform(field, [1 / factor] * 2, shift, (side, side), order=1, mode="mirror"))


def _sharpened(rng: np.random.Generator, field: Field) -> Field:
    return np.asarray(field + rng.uniform(0.2, 1.0) * (field - ndimage.gaussian_filter(field, rng.uniform(0.7, 1.5))))


def _filtered(rng: np.random.Generator, side: int, power: Callable[[Field, Field], Field]) -> Field:
    white = fft.rfft2(rng.standard_normal((side, side), np.float32))
    spectrum = power(fft.fftfreq(side)[:, None], fft.rfftfreq(side))
    spectrum[0, 0] = 0
    return np.asarray(fft.irfft2(white * np.sqrt(spectrum, dtype=np.float32), (side, side)))


_FAMILIES = (_scales, _tailed, _demosaiced, _resized)
_SHARES = (0.35, 0.15, 0.35, 0.15)
