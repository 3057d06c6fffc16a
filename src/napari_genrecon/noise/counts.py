"""Recognise images of counted photons: their noise is known without a measurement.

A photon-counting detector (an avalanche diode, a photomultiplier behind a discriminator) gives whole multiples of one
grey value, and their variance is their mean: there is no read noise. Where most pixels count nothing, a line through
measured variances would take the shot noise of the background for read noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .blocks import Blocks
from .spectrum import high_frequencies

__all__ = ["Counts", "find_counts"]

_SAMPLED = 1 << 16  # pixels whose grey values are looked at
_NOTHING = 0.4  # part of the pixels that counts nothing: a background of up to 0.9 photons
_WHOLE = 1e-3  # of a step, by which a multiple may be off
# Variance by mean, and energy of high frequencies by that of all: 1 for counts, and 0.96 to 1.04 in 200 flat fields of
# 0.02 to 0.8 photons, 128 x 128 pixels. Masks and labels have correlated pixels, amplified counts another variance.
_RATIO = (0.8, 1.25)


@dataclass(frozen=True, slots=True)
class Counts:
    """Grey value of no photon, and grey values per photon."""

    zero: float
    step: float


def find_counts(crops: Sequence[NDArray[np.generic]], blocks: Blocks) -> Counts | None:
    """Return the scale of photon counts, or None where the grey values are none.

    Parameters
    ----------
    crops : sequence of (Y, X) ndarray
        Of one channel.
    blocks : Blocks
        Of the same crops.
    """
    values = np.concatenate([crop.ravel()[:: max(1, crop.size * len(crops) // _SAMPLED)] for crop in crops])
    found = np.unique(values[np.isfinite(values)], return_counts=True)
    levels, numbers = found[0].astype(np.float64), found[1]
    if len(levels) < 2 or numbers[0] < _NOTHING * numbers.sum():
        return None
    multiples = (levels - levels[0]) / (levels[1] - levels[0])
    if np.abs(multiples - multiples.round()).max() > _WHOLE:
        return None
    counts = Counts(float(levels[0]), float(levels[1] - levels[0]))
    return counts if _are_poisson(counts, blocks) else None


def _are_poisson(counts: Counts, blocks: Blocks) -> bool:
    """Whether the darker half of the blocks holds independent counts."""
    dark = blocks.means <= np.median(blocks.means)
    energy = blocks.energy[dark].mean(0, dtype=np.float64)
    size = len(energy)
    variance = energy.sum() / (size * size - 1) * blocks.unit**2
    mean = blocks.means[dark].mean() * blocks.unit + blocks.origin - counts.zero
    high = energy[high_frequencies(size)].mean() * blocks.unit**2
    low, most = _RATIO
    return bool(low < variance / (mean * counts.step) < most and low < high / variance < most)
