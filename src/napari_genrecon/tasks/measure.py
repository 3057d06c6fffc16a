"""Measure the noise of an image, channel by channel: one measurement for all tasks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import ImageArray, ImageLike
from napari_genrecon.axes import RGB, Axes, resolve_axes
from napari_genrecon.engine.intensity import require_real_image, sample_crops
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.io.record.provenance import fingerprint
from napari_genrecon.models import find_model, load_network
from napari_genrecon.noise import NoiseModel, describe_channels, measure_channel
from napari_genrecon.tasks.given import given_image, warn_assumed

__all__ = [
    "Noise",
    "as_source",
    "input_facts",
    "is_noisy",
    "measure_crops",
    "measure_noise",
    "noise_per_channel",
    "noise_report",
    "sample_channels",
]

Noise = NoiseModel | tuple[NoiseModel, ...]

_LARGEST = 1e18  # grey value, in either direction: float32 holds the square of it
_SMALLEST = 1e-15  # the same of its noise, which is much less


def measure_noise(image: ImageLike, *, axes: str | Axes | None = None) -> Noise:
    """Measure the noise of an image from the image itself.

    Parameters
    ----------
    image : (..., Y, X) or (..., Y, X, S) array_like, or an image layer of napari
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
    given = given_image(image, axes)
    source = as_source(given.pixels)
    resolved = resolve_axes(given.axes, source.shape)
    # Whoever resolved them has warned already.
    if not isinstance(axes, Axes):
        warn_assumed(resolved, source)
    models = tuple(map(measure_crops, sample_channels(source, resolved)))
    # One model by itself where there is no channel to index by.
    return models[0] if resolved.channel is None else models


def measure_crops(crops: Sequence[NDArray[Any]]) -> NoiseModel:
    """Measure the noise of one channel from crops of it, as every task does.

    Correlated noise is measured with the packaged denoiser, always on the CPU: what was measured does not depend on
    the device or the model that a task then uses.
    """
    return measure_channel(crops, _packaged_denoiser)


def _packaged_denoiser(plane: NDArray[np.float32], sigma: float, rho: tuple[float, float]) -> NDArray[np.float32]:
    return load_network(find_model("auto", "denoise"), "cpu")(plane, sigma, rho)


def noise_report(noise: Noise) -> str:
    """Return the report of one noise model, or of one per channel, in words."""
    if isinstance(noise, NoiseModel) or len(noise) == 1:
        return str(noise if isinstance(noise, NoiseModel) else noise[0])
    return describe_channels(noise)


def as_source(image: ImageArray) -> Any:
    """Return an array that has a shape and a dtype and can be read by region, checked to be an image.

    Raises
    ------
    ImageError
        If it is not one.
    """
    # np.asarray drops a mask without a word, and masked pixels would count as measured ones.
    if isinstance(image, np.ma.MaskedArray):
        masked = int(np.count_nonzero(np.ma.getmaskarray(image)))
        if masked:
            raise ImageError(
                f"the image is a masked array, and {masked} of its pixels are masked: give "
                "image.astype(float).filled(numpy.nan), in which they count for nothing, or fill them with "
                "inpaint(image.data, image.mask)"
            )
        image = image.data
    try:
        # np.asarray would load all of a Zarr or dask array.
        source = image if hasattr(image, "shape") and hasattr(image, "dtype") else np.asarray(image)
    # numpy refuses nested lists of different lengths.
    except ValueError as error:
        raise ImageError(f"the image is no array: {error}") from None
    # numpy wraps anything else in an array of objects, None and lists of layers included.
    if source is not image and source.dtype == object:
        raise ImageError(
            f"the image is {_kind_of(image)} and not an array: give one array of numbers or one image layer; several "
            "images are processed one after the other"
        )
    if not isinstance(source.dtype, np.dtype):  # a torch tensor, say
        try:
            source = np.asarray(source)
        # torch converts no tensor of another device, of bfloat16 or with gradients, and says what to do.
        except (TypeError, RuntimeError) as error:
            raise ImageError(f"the image is {_kind_of(image)} and cannot become a NumPy array: {error}") from None
    require_real_image(tuple(source.shape), source.dtype)
    return source


def _kind_of(image: object) -> str:
    """Return what was given instead of an image, in words: ``"None"``, or ``"a list of 2 (Image, Image)"``."""
    if isinstance(image, list | tuple):
        kinds = [type(entry).__name__ for entry in image[:3]] + ["…"] * (len(image) > 3)
        return f"a {type(image).__name__} of {len(image)} ({', '.join(kinds)})"
    return "None" if image is None else f"of type {type(image).__name__}"


def sample_channels(source: ImageArray, axes: Axes) -> tuple[list[NDArray[Any]], ...]:
    """Return the crops that stand for each channel that carries grey values; the alpha of RGBA does not.

    Raises
    ------
    ImageError
        If a channel has no finite pixel, or grey values beyond what can be reckoned with.
    """
    count = axes.n_channels(source.shape)
    if axes.rgb:
        # The fourth sample of RGBA is the alpha channel.
        count = min(count, RGB)
    sampled = tuple(sample_crops(source, axes, channel) for channel in range(count))
    # Integers are finite, and none of them is that large.
    if source.dtype.kind == "f":
        for channel, crops in enumerate(sampled):
            _check_values(crops, f"channel {channel}" if count > 1 else "the image")
    return sampled


def _check_values(crops: Sequence[NDArray[Any]], name: str) -> None:
    finite = [np.abs(crop[np.isfinite(crop)]) for crop in crops]
    if not any(part.size for part in finite):
        raise ImageError(f"{name} holds no finite pixel: every sampled value is NaN or infinite")
    # A single crop may hold no finite pixel, hence `initial`.
    largest = float(max(part.max(initial=0) for part in finite))
    if largest > _LARGEST:
        raise ImageError(f"{name} has grey values of {largest:.3g}, and at most {_LARGEST:g} can be used: rescale it")
    if 0 < largest < _SMALLEST:
        raise ImageError(
            f"{name} has grey values of at most {largest:.3g}, and below {_SMALLEST:g} none can be used: rescale it"
        )


def input_facts(source: ImageArray, sampled: Sequence[list[NDArray[Any]]]) -> dict[str, Any]:
    """Return what a record says about the input: shape, dtype and a fingerprint of the sampled crops."""
    # Of the crops, which are always the same ones: a digest of all pixels would have to read them.
    found = fingerprint(tuple(source.shape), source.dtype, chain.from_iterable(sampled))
    return {"shape": list(source.shape), "dtype": str(source.dtype), "fingerprint": found}


def noise_per_channel(channels: Sequence[list[NDArray[Any]]], noise: Noise | float | None) -> tuple[NoiseModel, ...]:
    """Return one noise model per channel, from whatever the user gave; measured from the crops if that is nothing.

    Raises
    ------
    OptionError
        If a number is not a possible standard deviation, or the count of models is not that of the channels.
    """
    if noise is None:
        return tuple(map(measure_crops, channels))
    # Text is a sequence as well; `_as_model` refuses it with a sentence.
    if isinstance(noise, Sequence) and not isinstance(noise, str):
        models = tuple(map(_as_model, noise))
    else:
        models = (_as_model(noise),) * len(channels)
    if len(models) != len(channels):
        raise OptionError(
            f"noise holds {len(models)} models but the image has {len(channels)} channels: give one, or one each"
        )
    return models


def is_noisy(noise: NoiseModel, crops: Sequence[NDArray[Any]]) -> bool:
    """Return whether any pixel of these crops is noisy.

    The s.d. at the offset does not tell: photon counts have none there, but noise wherever there is light.
    """
    return noise.sigma > 0 or any(bool(noise.variance_at(crop[np.isfinite(crop)]).any()) for crop in crops)


def _as_model(noise: object) -> NoiseModel:
    if isinstance(noise, NoiseModel):
        return noise
    # Numbers of any kind, those of numpy and torch included.
    if isinstance(noise, str) or not hasattr(noise, "__float__"):
        raise OptionError(
            f"noise must be the noise s.d. in grey values or a NoiseModel (or one of these per channel); got {noise!r}"
        )
    return NoiseModel.white(float(noise))
