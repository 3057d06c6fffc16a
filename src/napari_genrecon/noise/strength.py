"""Noise variance against grey value, from the flattest blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaincinv

__all__ = [
    "KEEP",
    "Bins",
    "Line",
    "expected",
    "fit_line",
    "flat_parts",
    "flat_variance",
    "is_flat",
    "look_at_bins",
    "make_bins",
]

Floats = NDArray[np.float64]
Bins = list[NDArray[np.intp]]

KEEP = 0.7  # of the noise-only blocks, the part with the lowest energy is used
_FIRST = 0.03  # of the blocks of a bin: fewer are too few to tell a noise level
_PER_BIN, _MOST_BINS = 40, 24
_SIGNIFICANT = 6.0  # standard errors by which a slope must differ from 0: picking blocks by the line favours the line
_TINY = 1e-30  # variances are in units of the squared range of the image


@dataclass(frozen=True, slots=True)
class Line:
    """``variance = level + slope * (mean - centre)``, never below 0; `error` is the standard error of the slope."""

    centre: float
    level: float
    slope: float
    error: float = 0.0

    def at(self, means: Floats | float) -> Floats:
        """Variance at these mean grey values."""
        return np.maximum(self.level + self.slope * (np.asarray(means) - self.centre), 0.0)

    def scaled(self, factor: float) -> Line:
        """All variances times a factor."""
        return Line(self.centre, self.level * factor, self.slope * factor, self.error * factor)


def make_bins(means: Floats) -> Bins:
    """Indices of the blocks, in bins of ascending mean with equally many in each."""
    order = np.argsort(means, kind="stable")
    return np.array_split(order, int(np.clip(len(order) // _PER_BIN, 1, _MOST_BINS)))


def _cut(dof: float) -> tuple[float, float]:
    """Where noise-only energies of mean 1 are cut (their `KEEP` quantile), and the mean of what is below."""
    cut = float(gammaincinv(dof / 2, KEEP)) * 2 / dof
    return cut, float(gammainc(dof / 2 + 1, cut * dof / 2)) / KEEP


def flat_variance(energies: Floats, dof: float) -> float:
    """Noise variance from blocks of which an unknown part is flat.

    Parameters
    ----------
    energies : (N,) ndarray
        One estimate of the variance from each block.
    dof : float
        Degrees of freedom of each.

    Notes
    -----
    The energies of noise-only blocks follow a gamma distribution, those of blocks with structure lie above. The result
    is the lowest variance at which the blocks under the median of that distribution have the mean that they should
    have; so how many blocks are flat need not be known, and the low bias of picking the lowest is accounted for.
    """
    ordered = np.sort(energies)
    cut, mean_below = _cut(dof)
    means = np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
    first = min(max(2, round(_FIRST * len(ordered))), len(ordered) - 1)
    fits = np.flatnonzero(means[first:] <= mean_below / cut * ordered[first:])
    last = first + int(fits[0]) if len(fits) else len(ordered) - 1
    return float(means[last] / mean_below)


def is_flat(energies: Floats, variances: Floats | float, dof: float) -> NDArray[np.bool_]:
    """Which blocks lie in the lower part, `KEEP`, of what noise of these variances gives."""
    return np.asarray(energies <= _cut(dof)[0] * variances)


def flat_parts(energies: Floats, variances: Floats, dof: float, bins: Bins) -> Floats:
    """(M,) part of the blocks of each bin that is as flat as noise of its variance; about 1 where all are."""
    return np.array(
        [is_flat(energies[inside], level, dof).mean() / KEEP for inside, level in zip(bins, variances, strict=True)]
    )


def look_at_bins(means: Floats, energies: Floats, dof: float, bins: Bins) -> Floats:
    """(M, 2) mean grey value and noise variance of each bin."""
    return np.array([(means[inside].mean(), flat_variance(energies[inside], dof)) for inside in bins])


def fit_line(means: Floats, energies: Floats, dof: float, bins: Bins) -> Line:
    """The photon transfer line through the noise-only blocks.

    Parameters
    ----------
    means, energies : (N,) ndarray
        Mean grey value and variance of each block.
    dof : float
        Degrees of freedom of each variance.
    bins : list of index arrays
        Of `make_bins`.

    Notes
    -----
    Structure only ever adds variance. So the start is a regression through the bins that gives way to those above it;
    then blocks in the lower part of the expected distribution are regressed until nothing moves (truncated regression).
    The line may not pass under the quietest bin: bright structure would otherwise tip it, and the dark background would
    be called noise-free.
    """
    found = look_at_bins(means, energies, dof, bins)
    quiet = found[int(np.argmin(found[:, 1]))]
    line = _start(found, quiet)
    mean_below = _cut(dof)[1]
    for _ in range(12):
        level = expected(line, means, energies)
        keep = is_flat(energies, level, dof)
        if keep.sum() < 3:
            break
        line = _regress(means[keep], energies[keep] / mean_below, 1 / level[keep] ** 2, quiet)
    return line if abs(line.slope) > _SIGNIFICANT * line.error else Line(line.centre, line.level, 0.0)


def expected(line: Line, means: Floats, energies: Floats) -> Floats:
    """(N,) variance of each block by the line, kept above 0 so that one can divide by it."""
    return np.maximum(line.at(means), max(1e-9 * float(energies.max()), _TINY))


def _start(found: Floats, quiet: Floats) -> Line:
    means, variances = found.T
    scale = np.maximum(variances, _TINY)
    line = _regress(means, variances, scale**-2, quiet)
    for _ in range(10):
        excess = np.clip(variances / np.maximum(line.at(means), 1e-3 * scale) - 1, 0, None)
        line = _regress(means, variances, scale**-2 / (1 + (excess / 0.1) ** 2), quiet)
    return line


def _regress(means: Floats, variances: Floats, weight: Floats, quiet: Floats) -> Line:
    """Weighted straight line that rises, and stays above most of the variance of the quietest bin."""
    weight = weight / weight.max()
    total = weight.sum()
    centre, level = float(weight @ means / total), float(weight @ variances / total)
    line = _through(centre, level, means, variances, weight)
    least = 0.8 * float(quiet[1])
    if line.slope > 0 and line.level + line.slope * (quiet[0] - line.centre) < least:
        line = _through(float(quiet[0]), float(quiet[1]), means, variances, weight)
    return line


def _through(x: float, y: float, means: Floats, variances: Floats, weight: Floats) -> Line:
    spread = float(weight @ (means - x) ** 2)
    if spread <= 0:
        return Line(x, y, 0.0)
    slope = max(float(weight @ ((means - x) * (variances - y))) / spread, 0.0)
    rest = float(weight @ (variances - y - slope * (means - x)) ** 2) / max(len(means) - 2, 1)
    return Line(x, y, slope, float(np.sqrt(rest / spread)))
