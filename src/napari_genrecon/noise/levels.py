"""Grey levels of an image: dark, median, bright, and where it is clipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .blocks import FEWEST
from .model import LEVELS

__all__ = ["Levels", "find_levels"]

Crops = Sequence[NDArray[np.generic]]

_PILE = 3.0  # how many times more there must be than just beside it
_BESIDE = 0.01  # of the range of grey values


@dataclass(frozen=True, slots=True)
class Levels:
    """What the histogram says.

    Parameters
    ----------
    levels : (dark, median, bright)
        1 %, 50 % and 99 % of the 4 x 4 means.
    clip : (low, high)
        Grey values at which pixels were clipped; infinite where none were.
    saturated_fraction : float
        Share of the pixels at the high end.
    """

    levels: tuple[float, float, float]
    clip: tuple[float, float]
    saturated_fraction: float


def find_levels(crops: Crops) -> Levels:
    """Look at the histogram of the crops, of which at least one pixel must be finite."""
    means = np.concatenate([_small_means(crop) for crop in crops])
    means = means[np.isfinite(means)]
    if not len(means):
        # Where many pixels are missing, each 4 x 4 mean may hold one of them: then single pixels must do.
        means = np.concatenate([crop.ravel().astype(np.float64) for crop in crops])
        means = means[np.isfinite(means)]
    # Means of 16 pixels hold a quarter of the s.d. of white noise: the ends of single pixels are those of the noise.
    dark, median, bright = (float(level) for level in np.quantile(means, LEVELS))
    low, high, at_high = _clipping([_finite(crop) for crop in crops])
    return Levels((dark, median, bright), (low, high), at_high)


def _small_means(crop: NDArray[np.generic]) -> NDArray[np.float64]:
    size = min(4, *crop.shape)
    if not size:
        return np.zeros(0)
    rows, columns = (length // size for length in crop.shape)
    part = crop[: rows * size, : columns * size].reshape(rows, size, columns, size)  # (rows, 4, columns, 4)
    # Infinities of both signs in one mean give NaN and a warning; such means are left out anyway.
    with np.errstate(invalid="ignore"):
        return np.asarray(part.mean(axis=(1, 3), dtype=np.float64)).ravel()


def _finite(crop: NDArray[np.generic]) -> NDArray[np.generic]:
    return crop[np.isfinite(crop)] if crop.dtype.kind == "f" else crop


def _clipping(crops: Crops) -> tuple[float, float, float]:
    """Return the low and high clipping level, and the fraction of pixels at the high one."""
    crops = [crop for crop in crops if crop.size]
    low, high = min(float(crop.min()) for crop in crops), max(float(crop.max()) for crop in crops)
    beside = _BESIDE * (high - low)
    at_low, near_low = _count(crops, low, low + beside)
    at_high, near_high = _count(crops, high, high - beside)
    # Unsigned numbers end at 0, so pixels there are clipped whatever the histogram shows beside it.
    is_low = at_low > max(FEWEST, _PILE * near_low) or (low == 0 and at_low > FEWEST and _cannot_be_negative(crops))
    is_high = at_high > max(FEWEST, _PILE * near_high) and high > low
    fraction = at_high / sum(crop.size for crop in crops) if is_high else 0.0
    # In a constant image all pixels are at both ends, and none of them was clipped.
    return low if is_low and high > low else -np.inf, high if is_high else np.inf, fraction


def _cannot_be_negative(crops: Crops) -> bool:
    return all(crop.dtype.kind == "u" for crop in crops)


def _count(crops: Crops, end: float, beside: float) -> tuple[int, float]:
    """Return the pixels at one end of the range, and how many there are on each grey value beside it at the most."""
    at_end = sum(int(np.count_nonzero(crop == end)) for crop in crops)
    low, high = min(end, beside), max(end, beside)
    near = sum(int(np.count_nonzero(_between(crop, low, high))) for crop in crops) - at_end
    # Integers have one grey value per step. Two floats are seldom equal, so the whole range counts as one value.
    steps = max(1.0, high - low) if crops[0].dtype.kind in "iu" else 1.0
    return at_end, near / steps


def _between(crop: NDArray[Any], low: float, high: float) -> NDArray[np.bool_]:
    return np.asarray((crop >= low) & (crop <= high))
