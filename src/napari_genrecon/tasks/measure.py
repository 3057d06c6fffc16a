"""Measure the noise of an image: sample it, then ask `noise.measure_channel` channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.intensity import require_real_image, sample_crops
from napari_genrecon.errors import OptionError
from napari_genrecon.noise import NoiseModel, measure_channel

__all__ = ["Noise", "colour_channels", "measure_noise", "noise_per_channel"]

Noise = NoiseModel | tuple[NoiseModel, ...]

_RGB = 3


def measure_noise(image: Any, *, axes: str | Axes | None = None) -> Noise:
    """Measure the noise of an image from the image itself.

    Parameters
    ----------
    image : (..., Y, X) or (..., Y, X, S) array_like
        Any real dtype; NumPy, memmap, dask or Zarr. At most 64 crops of 256x256 pixels are read per channel.
    axes : str, optional
        One letter per dimension, such as ``"TCYX"``; inferred from the shape if not given (see `axes`).

    Returns
    -------
    NoiseModel, or tuple of NoiseModel
        In the image's grey values. One for an image without a channel axis (C, or S for colours), else one per
        channel; the alpha channel of an RGBA image has no noise and gets none.

    Raises
    ------
    ImageError
        If the image is empty, not real, or has no finite pixel, or if the axes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> noisy = np.random.default_rng(0).normal(100, 5, (256, 256))
    >>> round(measure_noise(noisy).sigma)
    5
    """
    source = as_source(image)
    resolved = resolve_axes(axes, source.shape)
    models = tuple(
        measure_channel(sample_crops(source, resolved, channel)) for channel in range(colour_channels(source, resolved))
    )
    return models[0] if resolved.channel is None else models


def as_source(image: Any) -> Any:
    """An array that has a shape and a dtype and can be read by region, checked to be an image.

    Raises
    ------
    ImageError
        If it is not one.
    """
    source = image if hasattr(image, "shape") and hasattr(image, "dtype") else np.asarray(image)
    if not isinstance(source.dtype, np.dtype):  # a torch tensor, say
        source = np.asarray(source)
    require_real_image(tuple(source.shape), source.dtype)
    return source


def colour_channels(source: Any, axes: Axes) -> int:
    """How many channels carry grey values; the alpha of RGBA does not."""
    count = axes.n_channels(source.shape)
    return min(count, _RGB) if axes.rgb and axes.channel == len(axes) - 1 else count


def noise_per_channel(source: Any, axes: Axes, noise: Noise | float | None) -> tuple[NoiseModel, ...]:
    """One noise model per channel, from whatever the user gave.

    Raises
    ------
    OptionError
        If a number is not a possible standard deviation, or the count of models is not that of the channels.
    """
    count = colour_channels(source, axes)
    if noise is None:
        noise = measure_noise(source, axes=axes)
    elif not isinstance(noise, NoiseModel | Sequence):
        noise = NoiseModel.white(float(noise))
    models = (noise,) * count if isinstance(noise, NoiseModel) else tuple(noise)
    if len(models) != count:
        raise OptionError(f"noise holds {len(models)} models but the image has {count} channels: give one, or one each")
    return models
