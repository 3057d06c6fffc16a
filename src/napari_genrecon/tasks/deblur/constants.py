"""The constants of each channel that `deblur` measures once, over the whole image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, maximum_filter, minimum_filter

from napari_genrecon.engine.intensity import measure_centre
from napari_genrecon.engine.missing import find_missing, missing_note, without_missing
from napari_genrecon.noise import NoiseModel, measure_channel
from napari_genrecon.optics.psf_check import SMALLEST, detail_beyond, widest_gaussian
from napari_genrecon.tasks.deblur.defects import without_defects
from napari_genrecon.tasks.deblur.tiles import Channel
from napari_genrecon.tasks.measure import is_noisy

__all__ = ["channel_constants", "psf_notes"]

Crops = list[NDArray[np.generic]]

# The first noise level: a part of the range of grey values (sparse bright structures need much), but not so many times
# the noise that what is not seen beyond the borders would ring.
_FIRST_LEVEL = 0.6
_HIGHEST_LEVEL = 15.0
_SPAN = (0.5, 99.5)  # percentiles between which grey values lie but for outliers
_LEAST_SIGMA = 0.2  # of the mean noise: no pixel counts for more than 25
_LEVELS = 33
_DARK = 0.5  # percentile, where nothing else tells the grey value of no light
_SPOT, _SURE = 4, 5.0  # px, side of the darkest places looked for; noise s.d. of their mean by which they are darker
_NOISE_FREE = 1e-3  # of the span, the noise s.d. assumed where there is none
_MAX_RHO = 0.9
_BEYOND = 3.0  # from here on, detail has not come through the PSF; with true ones it was at most 1.7
_WHITE = 0.25  # lag-1 correlation up to which noise is white enough to be told from detail
_MOST_TOLD = 1000.0
_FLAT = 1e-3  # share of the pixels that may be the brightest or the darkest, and equal their neighbours
_STEP = 5.0  # noise s.d. by which the surroundings may be brighter than the darkest pixels
_LOOKED_AT = 16  # crops


def channel_constants(
    sampled: Sequence[Crops], noise: Sequence[NoiseModel]
) -> tuple[tuple[Channel | None, ...], tuple[str, ...]]:
    """Constants per channel, None where there is nothing to deblur, and what the user should know about them."""
    channels, constant, noise_free = [], [], []
    for index, (crops, model) in enumerate(zip(sampled, noise, strict=True)):
        missing = find_missing(crops)
        crops = [without_missing(crop, missing) for crop in crops]
        values = _finite(crops)
        channel = _constants(crops, values, measure_centre(crops), model)
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
            f"no noise was found in {_which(noise_free, channels)}: {_NOISE_FREE:g} of its range was taken for it"
        )
    return tuple(channels), tuple(notes)


def psf_notes(
    sampled: Sequence[Crops], noise: Sequence[NoiseModel], psf: NDArray[np.float64]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the user should know about how the PSF fits the image, and for the record why that could not be told."""
    notes, unchecked = [], []
    for index, (crops, model) in enumerate(zip(sampled, noise, strict=True)):
        name = _which([index], sampled)
        if max(abs(model.rho_x), abs(model.rho_y)) > _WHITE:
            unchecked.append(f"the noise of {name} is correlated from pixel to pixel")
            continue
        telling = [crop for crop in crops[:_LOOKED_AT] if min(crop.shape) >= SMALLEST and _tells(crop, model)]
        if not telling:
            unchecked.append(
                f"no part of {name} of {SMALLEST} x {SMALLEST} pixels is free of missing, saturated and padded ones"
            )
            continue
        planes = [without_defects(crop.astype(np.float64), model) for crop in telling]
        models = (model,) if model.method != "given" else (model, measure_channel(crops))  # one may leave out a part
        variances = [np.max([known.variance_at(plane) for known in models], axis=0) for plane in planes]
        beyond = detail_beyond(planes, psf, variances)
        if beyond > _BEYOND:
            widest = widest_gaussian(planes, variances)
            advice = f"a Gaussian of up to {widest:.1f} px (FWHM) fits" if widest else "no PSF of 1 px or more fits"
            times = f"{beyond:.3g}" if beyond < _MOST_TOLD else f"more than {_MOST_TOLD:g}"
            notes.append(
                f"{name} shows fine detail {times} times stronger than this PSF can have let through, so the "
                f"result will be grainy: {advice}. Check pixel size and optics; an image that was sharpened, or has "
                "damaged pixels, looks like this, too"
            )
    return tuple(notes), tuple(unchecked)


def _tells(crop: NDArray[np.generic], model: NoiseModel) -> bool:
    """Whether a crop shows what the PSF did: edges of missing, saturated or padded areas are sharper than any PSF."""
    if not np.isfinite(crop).all():
        return False
    values = crop.astype(np.float64)
    flat = maximum_filter(values, 3) == minimum_filter(values, 3)
    if (flat & (values == values.max())).mean() > _FLAT:
        return False
    dark = flat & (values == values.min())
    if dark.mean() <= _FLAT:
        return True
    reached, beyond = (binary_dilation(dark, np.ones((3, 3)), iterations=n) for n in (1, 2))
    rim = values[beyond & ~reached]
    step = float(np.median(rim)) - values.min() if rim.size else 0.0
    return step <= max(_STEP * float(model.sigma_at(values.min())), float(crop.dtype.kind in "iu"))


def _which(indices: list[int], channels: Sequence[object]) -> str:
    return "the image" if len(channels) == 1 else f"channel {', '.join(map(str, indices))}"


def _finite(crops: Sequence[NDArray[np.generic]]) -> NDArray[np.float64]:
    return np.concatenate([crop[np.isfinite(crop)].astype(np.float64) for crop in crops])


def _mean_variance(model: NoiseModel, values: NDArray[np.float64]) -> float:
    return float(model.variance_at(values).mean())


def _constants(crops: Crops, values: NDArray[np.float64], centre: float, model: NoiseModel) -> Channel | None:
    low, high = np.percentile(values, _SPAN)
    span = float(high - low) or float(np.ptp(values))
    if span == 0:
        return None
    sigma = max(_mean_variance(model, values) ** 0.5, _NOISE_FREE * span)
    background = _background(crops, values, model)
    above = max(float(values.mean()) - background, 1e-3 * span)
    poisson = model.affine and model.gain > 0
    gain = model.gain if poisson else sigma**2 / above
    return Channel(
        noise=model,
        centre=centre,
        first_level=min(_FIRST_LEVEL * span, _HIGHEST_LEVEL * sigma),
        sigma=sigma,
        least_sigma=max(float(model.sigma_at(np.linspace(low, high, _LEVELS)).min()), _LEAST_SIGMA * sigma),
        rise=_rise(model),
        background=background,
        gain=gain,
        read_variance=max((model.read_noise / gain) ** 2 - (model.offset - background) / gain, 0.0) if poisson else 0.0,
        mean=above / gain,
    )


def _background(crops: Crops, values: NDArray[np.float64], model: NoiseModel) -> float:
    """Grey value of no light, under which Richardson-Lucy finds none."""
    # A model of white noise given by hand says nothing about the offset; the others do.
    if not (model.gain > 0 or model.levels is not None):
        return float(np.percentile(values, _DARK))
    # Measured, the offset is that of the darkest wide places; there may be narrow ones that are darker.
    darkest = min(_darkest(crop) for crop in crops)
    noise = float(model.sigma_at(model.offset)) / _SPOT * _rise(model)
    return darkest if darkest < model.offset - _SURE * noise else model.offset


def _darkest(crop: NDArray[np.generic]) -> float:
    """The least mean of whole square spots; infinite if there are none."""
    rows, columns = (n // _SPOT for n in crop.shape)
    spots = crop[: rows * _SPOT, : columns * _SPOT].reshape(rows, _SPOT, columns, _SPOT)
    means = spots.mean(axis=(1, 3), dtype=np.float64)
    return float(means.min(where=np.isfinite(means), initial=np.inf))


def _rise(model: NoiseModel) -> float:
    """S.d. of noise at frequency 0, relative to white noise."""
    return (_power_at_zero(model.rho_x) * _power_at_zero(model.rho_y)) ** 0.5


def _power_at_zero(rho: float) -> float:
    """Of noise along one axis, relative to white noise: the sum of its autocorrelation ``rho**(lag**2)``."""
    rho = min(max(rho, 0.0), _MAX_RHO)
    return float(1 + 2 * sum(rho ** (lag * lag) for lag in range(1, 10)))
