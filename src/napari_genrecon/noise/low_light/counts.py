"""Recognise images of counted photons: their noise is known without a measurement.

A photon-counting detector (an avalanche diode, a photomultiplier behind a discriminator) gives whole multiples of one
grey value, and their variance is their mean: there is no read noise. Where most pixels count nothing, a line through
measured variances would take the shot noise of the background for read noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..blocks import SAMPLED, Blocks
from ..model import LEVELS, NoiseModel
from ..spectrum import high_frequencies

__all__ = ["counted_photons"]

_NOTHING = 0.4  # part of the pixels that counts nothing: a background of up to 0.9 photons
_WHOLE = 1e-3  # of a step, by which a multiple may be off
# Variance by mean, and energy of high frequencies by that of all: 1 for counts, and 0.96 to 1.04 in 200 flat fields of
# 0.02 to 0.8 photons, 128 x 128 pixels. Masks and labels have correlated pixels, amplified counts another variance.
_RATIO = (0.8, 1.25)


def counted_photons(model: NoiseModel, crops: Sequence[NDArray[np.generic]], blocks: Blocks) -> NoiseModel | None:
    """Return the noise model of counted photons, or None where the grey values are none.

    Parameters
    ----------
    model : NoiseModel
        As it was measured.
    crops : sequence of (Y, X) ndarray
        Crops of one channel.
    blocks : Blocks
        Blocks of the same crops.
    """
    scale = _scale(crops)
    if scale is None or not _are_poisson(*scale, blocks):
        return None
    # Means of a few pixels are mostly 0: the grey levels are those of whole blocks.
    levels = np.quantile(blocks.means, LEVELS) * blocks.unit + blocks.origin
    return NoiseModel(
        gain=scale[1],
        offset=scale[0],
        curve=model.curve,
        levels=(float(levels[0]), float(levels[1]), float(levels[2])),
        saturated_fraction=model.saturated_fraction,
        saturation_level=model.saturation_level,
        pixels_sampled=model.pixels_sampled,
        missing_levels=model.missing_levels,
        missing_fraction=model.missing_fraction,
        method="counts",
    )


def _scale(crops: Sequence[NDArray[np.generic]]) -> tuple[float, float] | None:
    """Return the grey value of no photon, and grey values per photon."""
    total = sum(crop.size for crop in crops)
    values = np.concatenate([crop.ravel()[:: max(1, total // SAMPLED)] for crop in crops])
    levels, numbers = np.unique(values[np.isfinite(values)], return_counts=True)
    if len(levels) < 2 or numbers[0] < _NOTHING * numbers.sum():
        return None
    levels = levels.astype(np.float64)
    zero, step = float(levels[0]), float(levels[1] - levels[0])
    multiples = (levels - zero) / step
    return (zero, step) if np.abs(multiples - multiples.round()).max() <= _WHOLE else None


def _are_poisson(zero: float, step: float, blocks: Blocks) -> bool:
    """Return whether the darker half of the blocks holds independent counts."""
    dark = blocks.means <= np.median(blocks.means)
    energy = blocks.energy[dark].mean(0, dtype=np.float64)
    size = len(energy)
    # The mean was taken off each block, which leaves one coefficient less.
    variance = energy.sum() / (size * size - 1) * blocks.unit**2
    mean = blocks.means[dark].mean() * blocks.unit + blocks.origin - zero
    high = energy[high_frequencies(size)].mean() * blocks.unit**2
    low, most = _RATIO
    poisson = mean * step
    # Products, as nothing is divided by the 0 of blocks without a photon.
    return bool(low * poisson < variance < most * poisson and low * variance < high < most * variance)
