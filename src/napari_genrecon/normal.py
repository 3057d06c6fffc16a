"""What is known of normally distributed values: numbers that several modules measure with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DRAWS", "FWHM", "MEDIAN", "MEDIAN_STEP", "REACH", "Taps", "gaussian_taps", "robust_sigma", "usual_sigma"]

Taps = Sequence[tuple[int, float]]
"""Pixels that a pixel is averaged from along one dimension: steps to them, and their weights."""

FWHM = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum of a Gaussian, in s.d."""

REACH = 4.0
"""S.d. at which a Gaussian is cut, as in `scipy.ndimage`: less than 0.01 % of it lies beyond."""

DRAWS = 4000
"""Random draws whose quantiles are the ends of an interval: for one of 95 % they then vary by 1 % of its width."""

MEDIAN = 0.6745
"""Median of the absolute value, in s.d."""

MEDIAN_STEP = 0.9539
"""Median distance of two values, in s.d.: ``MEDIAN * sqrt(2)``."""


def gaussian_taps(width: float) -> Taps:
    """Return the weights of a Gaussian window of this s.d. in pixels, one in all.

    >>> [(step, round(weight, 2)) for step, weight in gaussian_taps(0.5)]
    [(-2, 0.0), (-1, 0.11), (0, 0.79), (1, 0.11), (2, 0.0)]
    """
    reach = math.ceil(REACH * width)
    weights = {step: math.exp(-0.5 * (step / width) ** 2) for step in range(-reach, reach + 1)}
    return [(step, weight / sum(weights.values())) for step, weight in weights.items()]


def robust_sigma(values: NDArray[Any]) -> float:
    """Return the s.d. from the median absolute deviation, which a few outliers do not change.

    >>> round(robust_sigma(np.array([-1.0, 0, 0.6745, -0.6745, 1000])), 2)
    1.0
    """
    # 1.4826 = 1 / MEDIAN: it makes the median absolute deviation of normal values their s.d.
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def usual_sigma(values: NDArray[Any]) -> float:
    """Return the s.d. of values of mean 0 from the 90 % quantile of their size: above 0 where most of them are 0."""
    # A normal value lies within 1.645 s.d. with a probability of 90 %. The median would be 0 for sparse values.
    return float(np.quantile(np.abs(values), 0.9)) / 1.645
