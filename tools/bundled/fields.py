"""Random fields for simulated scenes. Lengths are in pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Box", "Image", "Shape", "box_around", "power_noise", "smooth_noise"]

Image = NDArray[np.float32]
Shape = tuple[int, int]
Box = tuple[slice, slice]


def smooth_noise(rng: np.random.Generator, shape: Shape, length: float) -> Image:
    """Draw smooth Gaussian noise of mean 0 and variance 1, its structures about `length` px (less in a small image)."""
    length = min(length, min(shape) / 6)  # a longer one leaves hardly any variance to scale up
    field = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), length, mode="wrap")
    field -= field.mean()
    return np.asarray(field / max(float(field.std()), 1e-6), np.float32)


def power_noise(rng: np.random.Generator, shape: Shape, slope: float) -> Image:
    """Draw Gaussian noise of unit variance whose amplitude spectrum falls as ``1/f**slope``."""
    spectrum = np.fft.rfft2(rng.standard_normal(shape, np.float32))
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    frequency[0, 0] = np.inf  # no mean
    field = np.fft.irfft2(spectrum / frequency**slope, s=shape)
    return np.asarray(field / field.std(), np.float32)


def box_around(shape: Shape, centre: NDArray[np.floating], reach: float) -> Box:
    """Return the part of an image within `reach` of a place."""
    low = np.clip(np.floor(centre - reach), 0, shape).astype(int)
    high = np.clip(np.ceil(centre + reach) + 1, 0, shape).astype(int)
    return slice(low[0], high[0]), slice(low[1], high[1])
