"""Grey levels of an image: dark, median, bright, and where it is clipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Levels", "find_levels"]


@dataclass(frozen=True, slots=True)
class Levels:
    """What the histogram says.

    Parameters
    ----------
    dark : float
        The darkest level.
    levels : (float, float, float)
        1 %, 50 % and 99 % of the 4 x 4 means.
    clip : (float, float)
        Grey values at which pixels were clipped; infinite where none were.
    saturated_fraction, saturation_level
        As in `NoiseModel`.
    """

    dark: float
    levels: tuple[float, float, float]
    clip: tuple[float, float]
    saturated_fraction: float
    saturation_level: float | None


def find_levels(crops: Sequence[NDArray[np.generic]]) -> Levels:
    """Look at the histogram of the crops."""
    means = np.concatenate([_small_means(crop) for crop in crops])
    means = means[np.isfinite(means)]
    if not len(means):
        means = np.concatenate([crop.ravel().astype(np.float64) for crop in crops])
        means = means[np.isfinite(means)]
    if not len(means):
        means = np.zeros(1)
    dark, median, bright = (float(level) for level in np.quantile(means, (0.01, 0.5, 0.99)))
    return Levels(dark, (dark, median, bright), (-np.inf, np.inf), 0.0, None)


def _small_means(crop: NDArray[np.generic]) -> NDArray[np.float64]:
    size = min(4, *crop.shape)
    if not size:
        return np.zeros(0)
    rows, columns = (length // size for length in crop.shape)
    part = crop[: rows * size, : columns * size].reshape(rows, size, columns, size)
    return np.asarray(part.mean(axis=(1, 3), dtype=np.float64)).ravel()
