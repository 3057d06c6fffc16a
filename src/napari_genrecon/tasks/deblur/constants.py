"""Measure the constants of each channel for `deblur`, once over the whole image, and check that the PSF fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, maximum_filter, minimum_filter

from napari_genrecon.engine.intensity import measure_centre
from napari_genrecon.engine.missing import find_missing, missing_note, without_missing
from napari_genrecon.errors import ImageError
from napari_genrecon.noise import NoiseModel
from napari_genrecon.noise.blocks import SIZE
from napari_genrecon.noise.stabilise import NOISE_FREE
from napari_genrecon.noise.strength import SURE
from napari_genrecon.optics.psf_check import SMALLEST, detail_beyond, widest_gaussian
from napari_genrecon.tasks.deblur.defects import without_defects
from napari_genrecon.tasks.deblur.tiles import Channel
from napari_genrecon.tasks.measure import is_noisy, measure_crops

__all__ = ["channel_constants", "psf_notes", "usable_parts"]

Crops = list[NDArray[np.generic]]

# The noise level of the first iteration: this share of the range of grey values, as sparse bright structures need a
# high one, and at most so many noise s.d., as the light from outside the image would make rings at its borders.
_FIRST_LEVEL = 0.6
_HIGHEST_LEVEL = 15.0
# Percentiles between which the grey values lie, outliers left out; the lower one is that of no light where the noise
# model does not give it.
_SPAN = (0.5, 99.5)
_LEAST_SIGMA = 0.2  # lower limit of a pixel's noise s.d., in that of the image: no pixel weighs more than 1 / 0.2**2
_SPOT = 4  # side in pixels of the squares whose least mean is looked for: smaller are noisy, larger miss narrow gaps
_BEYOND = 3.0  # excess of fine detail from which the PSF is reported as too wide; with true PSFs it was at most 1.7
_WHITE = 0.25  # lag-1 correlation up to which noise is white enough to be distinguished from fine detail
_FLAT = 1e-3  # share of the pixels that may have the highest or the lowest value and equal their neighbours by chance


def channel_constants(
    sampled: Sequence[Crops], noise: Sequence[NoiseModel]
) -> tuple[tuple[Channel | None, ...], tuple[str, ...]]:
    """Return the constants per channel (None for a constant channel), and notes for the user."""
    channels, constant, noise_free = [], [], []
    for index, (crops, model) in enumerate(zip(sampled, noise, strict=True)):
        # Padding would count as the darkest, or brightest, part of the image.
        missing = find_missing(crops)
        crops = [without_missing(crop, missing) for crop in crops]
        values = _finite(crops)
        channel = _constants(crops, values, measure_centre(crops), model)
        # A constant channel is None, and stays so.
        channel = channel and replace(channel, missing=missing)
        channels.append(channel)
        if channel is None:
            constant.append(index)
        elif not is_noisy(model, crops):
            noise_free.append(index)
    notes = missing_note([channel.missing for channel in channels if channel])
    if constant:
        notes.append(f"{_which(constant, channels)} is constant, so it comes back unchanged")
    if noise_free:
        notes.append(
            f"no noise was found in {_which(noise_free, channels)}: {NOISE_FREE:g} of its range was taken for it"
        )
    return tuple(channels), tuple(notes)


def psf_notes(
    sampled: Sequence[Crops], noise: Sequence[NoiseModel], psf: NDArray[np.float64]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Check whether the image can have been blurred by the PSF.

    Returns
    -------
    notes : tuple of str
        Notes for the user: channels with more fine detail than the PSF lets through.
    unchecked : tuple of str
        For the record: channels that could not be checked, and why.
    """
    notes, unchecked = [], []
    for index, (crops, model) in enumerate(zip(sampled, noise, strict=True)):
        name = _which([index], sampled)
        try:
            planes, variances = usable_parts(crops, model, name)
        except ImageError as error:
            unchecked.append(str(error))
            continue
        # By how much it is exceeded says little: it grows as steeply as the transfer of the PSF falls.
        if detail_beyond(planes, psf, variances) > _BEYOND:
            notes.append(_misfit_note(name, widest_gaussian(planes, variances)))
    return tuple(notes), tuple(unchecked)


def usable_parts(
    crops: Crops, model: NoiseModel, name: str = "the image"
) -> tuple[list[NDArray[np.floating]], list[NDArray[np.float64]]]:
    """Return the parts of a channel whose fine detail can be compared with a PSF, and the variance of their noise.

    Raises
    ------
    ImageError
        If there are none, or the noise cannot be distinguished from fine detail.
    """
    if max(abs(model.rho_x), abs(model.rho_y)) > _WHITE:
        raise ImageError(f"the noise of {name} is correlated from pixel to pixel")
    large = [crop for crop in crops if min(crop.shape) >= SMALLEST]
    if not large:
        raise ImageError(f"{name} is smaller than {SMALLEST} x {SMALLEST} pixels")
    usable = [crop for crop in large if _has_no_sharp_edge(crop, model)]
    if not usable:
        raise ImageError(
            f"no part of {name} of {SMALLEST} x {SMALLEST} pixels is free of missing, saturated and padded ones"
        )
    planes = [without_defects(crop.astype(np.float64), model) for crop in usable]
    # A given noise model may describe a part of the noise only: the larger of it and the measured one counts.
    models = (model,) if model.method != "given" else (model, measure_crops(crops))
    return planes, [np.max([known.variance_at(plane) for known in models], axis=0) for plane in planes]


def _misfit_note(name: str, widest: float) -> str:
    advice = f"a Gaussian of up to {widest:.1f} px (FWHM) fits" if widest else "no blur fits"
    return (
        f"{name} shows fine detail more than {_BEYOND:g} times stronger than this PSF can have let through, so the "
        f"result will be grainy: {advice}. Check pixel size and optics; an image that was sharpened, or has damaged "
        "pixels, looks like this, too"
    )


def _has_no_sharp_edge(crop: NDArray[np.generic], model: NoiseModel) -> bool:
    """Return whether a crop is free of missing, saturated and padded areas, whose edges are sharper than any PSF."""
    if not np.isfinite(crop).all():
        return False
    values = crop.astype(np.float64)
    # Pixels that equal all their neighbours: noise and blur leave few of them, clipping and padding leave many.
    flat = maximum_filter(values, 3) == minimum_filter(values, 3)
    if (flat & (values == values.max())).mean() > _FLAT:
        return False
    dark = flat & (values == values.min())
    if dark.mean() <= _FLAT:
        return True
    # `maximum_filter` shrank the area by a pixel, so one dilation restores it and the second is its rim.
    reached, beyond = (binary_dilation(dark, np.ones((3, 3)), iterations=n) for n in (1, 2))
    rim = values[beyond & ~reached]
    step = float(np.median(rim)) - values.min() if rim.size else 0.0
    # Padding has a higher edge than noise can make. Integers cannot rise by less than 1, whatever the noise.
    return step <= max(SURE * float(model.sigma_at(values.min())), float(crop.dtype.kind in "iu"))


def _which(indices: list[int], channels: Sequence[object]) -> str:
    return "the image" if len(channels) == 1 else f"channel {', '.join(map(str, indices))}"


def _finite(crops: Sequence[NDArray[np.generic]]) -> NDArray[np.float64]:
    return np.concatenate([crop[np.isfinite(crop)].astype(np.float64) for crop in crops])


def _mean_variance(model: NoiseModel, values: NDArray[np.float64]) -> float:
    return float(model.variance_at(values).mean())


def _constants(crops: Crops, values: NDArray[np.float64], centre: float, model: NoiseModel) -> Channel | None:
    low, high = np.percentile(values, _SPAN)
    # Sparse bright points can lie outside the percentiles, and a span of 0 would call the image constant.
    span = float(high - low) or float(np.ptp(values))
    if span == 0:
        return None
    sigma = max(_mean_variance(model, values) ** 0.5, NOISE_FREE * span)
    background = _background(crops, values, model)
    above = max(float(values.mean()) - background, NOISE_FREE * span)  # positive, as it divides below
    poisson = model.affine and model.gain > 0
    # Other noise: the gain at which Poisson noise of the mean signal has the variance of the noise.
    gain = model.gain if poisson else sigma**2 / above
    return Channel(
        noise=model,
        centre=centre,
        first_level=min(_FIRST_LEVEL * span, _HIGHEST_LEVEL * sigma),
        sigma=sigma,
        least_sigma=max(_least_sigma(model, low, high), _LEAST_SIGMA * sigma),
        rise=_rise(model),
        background=background,
        gain=gain,
        # The variance at no light in photo-electrons: the model states it at its offset, which lies above the
        # background where that was found darker.
        read_variance=max((model.read_noise / gain) ** 2 - (model.offset - background) / gain, 0.0) if poisson else 0.0,
        mean=above / gain,
    )


def _least_sigma(model: NoiseModel, low: float, high: float) -> float:
    """Return the least noise s.d. between two grey values; straight pieces have it at one of their ends."""
    knots = [] if model.affine else [mean for mean, _ in model.curve if low < mean < high]
    return float(model.sigma_at([low, high, *knots]).min())


def _background(crops: Crops, values: NDArray[np.float64], model: NoiseModel) -> float:
    """Return the grey value of no light; Richardson-Lucy finds no light below it."""
    # A model of white noise given by hand says nothing about the offset; the others do.
    if not (model.gain > 0 or model.levels is not None):
        return float(np.percentile(values, _SPAN[0]))
    # The measured offset is that of the darkest large areas; narrow gaps between structures may be darker.
    darkest = min(_darkest(crop) for crop in crops)
    # S.d. of the mean of a square: the side is the root of its pixels, and correlated noise averages out less.
    noise = float(model.sigma_at(model.offset)) / _SPOT * _rise(model)
    return darkest if darkest < model.offset - SURE * noise else model.offset


def _darkest(crop: NDArray[np.generic]) -> float:
    """Return the least mean of the finite squares of `_SPOT` x `_SPOT` pixels; infinite if there are none."""
    rows, columns = (n // _SPOT for n in crop.shape)
    spots = crop[: rows * _SPOT, : columns * _SPOT].reshape(rows, _SPOT, columns, _SPOT)
    means = spots.mean(axis=(1, 3), dtype=np.float64)
    return float(means.min(where=np.isfinite(means), initial=np.inf))


def _rise(model: NoiseModel) -> float:
    """Return the noise s.d. at frequency 0, relative to white noise of the same s.d. per pixel."""
    return (_power_at_zero(model.rho_x) * _power_at_zero(model.rho_y)) ** 0.5


def _power_at_zero(rho: float) -> float:
    """Return the noise power at frequency 0 along one axis: the sum of its autocorrelation ``rho**(lag**2)``."""
    # A negative correlation counts as none: the noise would seem weaker than white noise, and the guard against it as
    # well.
    rho = max(rho, 0.0)
    # Within the blocks that noise is measured in: of a longer correlation nothing is known.
    return float(1 + 2 * sum(rho ** (lag * lag) for lag in range(1, SIZE)))
