"""Noise variance against grey value, from the flattest blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Line", "fit_line", "flat_variance"]

Floats = NDArray[np.float64]

_KEEP = 0.5  # of the noise-only blocks, the part with the lowest energy is used
_LOWEST = 0.06


@dataclass(frozen=True, slots=True)
class Line:
    """``variance = floor + slope * mean``."""

    floor: float
    slope: float

    def at(self, means: Floats) -> Floats:
        return self.floor + self.slope * means


def cut_constants(dof: float) -> tuple[float, float]:
    """Where noise-only energies of mean 1 are cut (their `_KEEP` quantile), and the mean of what is below."""
    from scipy.special import gammainc, gammaincinv

    half = dof / 2
    cut = float(gammaincinv(half, _KEEP)) / half
    return cut, float(gammainc(half + 1, cut * half)) / _KEEP


def flat_variance(energies: Floats, dof: float) -> tuple[float, int]:
    """Noise variance from blocks of which an unknown part is flat, and the number of blocks it rests on.

    The energies of noise-only blocks follow a gamma distribution, those of blocks with structure lie above. The variance is the lowest at which the
    blocks under the median of that distribution have the mean that they should have.
    """
    ordered = np.sort(energies)
    cut, mean_below = cut_constants(dof)
    means = np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
    scale = ordered / cut
    first = max(2, round(0.03 * len(ordered)))
    fits = np.flatnonzero(means[first:] <= mean_below * scale[first:])
    last = first + fits[0] if len(fits) else len(ordered) - 1
    last = min(last, len(ordered) - 1)
    return float(means[last] / mean_below), last + 1


def fit_line(means: Floats, energies: Floats, dof: float, bins: list[NDArray[np.intp]]) -> tuple[Line, NDArray[np.bool_]]:
    """A straight line through the noise-only blocks, and which blocks these are."""
    found = np.array([(means[b].mean(), *flat_variance(energies[b], dof)) for b in bins])
    line = _start(found)
    cut, mean_below = cut_constants(dof)
    keep = np.ones(len(means), bool)
    tiny = max(found[:, 1].min() * 0.05, np.finfo(float).tiny)
    for _ in range(12):
        level = np.maximum(line.at(means), tiny)
        keep = energies < cut * level
        if keep.sum() < 3:
            break
        line = _regress(means[keep], energies[keep] / mean_below, 1 / level[keep] ** 2)
    return line, keep


def _start(found: Floats) -> Line:
    means, variances, counts = found.T
    weight = counts / np.maximum(variances, np.finfo(float).tiny) ** 2
    line = _regress(means, variances, weight)
    for _ in range(10):
        excess = variances / np.maximum(line.at(means), 1e-3 * variances)
        line = _regress(means, variances, weight / (1 + (np.maximum(excess - 1, 0) / 0.1) ** 2))
    return line


def _regress(means: Floats, variances: Floats, weight: Floats) -> Line:
    total = weight.sum()
    centre, level = (weight @ means) / total, (weight @ variances) / total
    spread = weight @ (means - centre) ** 2
    slope = (weight @ ((means - centre) * (variances - level))) / spread if spread > 0 else 0.0
    slope = max(float(slope), 0.0)
    return Line(float(level - slope * centre), slope)
