"""Noise variance against grey value, from the flattest blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaincinv

from .blocks import FEWEST

__all__ = [
    "KEEP",
    "SURE",
    "Bins",
    "Line",
    "expected",
    "fit_line",
    "flat_parts",
    "flat_variance",
    "is_flat",
    "line_through",
    "look_at_bins",
    "make_bins",
]

Floats = NDArray[np.float64]
Bins = list[NDArray[np.intp]]

KEEP = 0.7  # of the noise-only blocks, the part with the lowest energy is used
_FIRST = 0.03  # of the blocks of a bin: fewer are too few to tell a noise level
_PER_BIN, _MOST_BINS = 40, 20  # blocks in a bin, and bins at most
# Part of the range of grey values that a bin may span, if enough blocks are left in it.
_WIDEST = 1 / _MOST_BINS
# Standard errors by which a slope, or stripes, must differ from none: picking blocks by the line favours the line, and
# overlapping blocks count for less than their number.
SURE = 6.0
_STEEPNESS = np.append(0.0, np.geomspace(0.1, 1e4, 35))  # of the line: its slope by its level at the dark end


@dataclass(frozen=True, slots=True)
class Line:
    """``variance = level + slope * (mean - centre)``, never below 0; `error` is the standard error of the slope."""

    centre: float
    level: float
    slope: float
    error: float = 0.0

    def at(self, means: Floats | float) -> Floats:
        """Return the variance at these mean grey values."""
        return np.maximum(self.level + self.slope * (np.asarray(means) - self.centre), 0.0)

    def scaled(self, factor: float) -> Line:
        """Return the line with all variances times a factor."""
        return Line(self.centre, self.level * factor, self.slope * factor, self.error * factor)


def make_bins(means: Floats) -> Bins:
    """Return the indices of the blocks, in bins of ascending mean.

    Notes
    -----
    Equally many blocks are in each, but where the means lie far apart, fewer: the few bright blocks of a sparse image
    would otherwise share a bin with dark ones, whose weaker noise makes them look like structure.
    """
    # Stable, so that blocks of one mean come in one order everywhere, and so does the result.
    order = np.argsort(means, kind="stable")
    bins = np.array_split(order, int(np.clip(len(order) // _PER_BIN, 1, _MOST_BINS)))
    return [part for inside in bins for part in _narrow(inside, means)]


def _narrow(inside: NDArray[np.intp], means: Floats) -> Bins:
    """Return a bin, or the pieces of it where it is wide."""
    width = float(means[inside[-1]] - means[inside[0]])
    return np.array_split(inside, int(np.clip(width / _WIDEST, 1, max(len(inside) // FEWEST, 1))))


def _cut(dof: float) -> tuple[float, float]:
    """Return where noise-only energies of mean 1 are cut (their `KEEP` quantile), and the mean of what is below."""
    cut = float(gammaincinv(dof / 2, KEEP)) * 2 / dof
    return cut, float(gammainc(dof / 2 + 1, cut * dof / 2)) / KEEP


def flat_variance(energies: Floats, dof: float) -> float:
    """Return the noise variance from blocks of which an unknown part is flat.

    Parameters
    ----------
    energies : (N,) ndarray
        One estimate of the variance from each block.
    dof : float
        Degrees of freedom of each.

    Notes
    -----
    The energies of noise-only blocks follow a gamma distribution, those of blocks with structure lie above. The result
    is the lowest variance at which the blocks under the `KEEP` quantile of that distribution have the mean that they
    should have; so how many blocks are flat need not be known, and the low bias of picking the lowest is accounted for.
    """
    ordered = np.sort(energies)
    cut, mean_below = _cut(dof)
    # Mean of the n lowest, for every n.
    means = np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
    # Two or three blocks may be alike by chance.
    first = min(max(2, round(_FIRST * len(ordered))), len(ordered) - 1)
    # With ordered[n] at the cut, the variance is ordered[n] / cut, and the mean below it `mean_below` times that.
    fits = np.flatnonzero(means[first:] <= mean_below / cut * ordered[first:])
    last = first + int(fits[0]) if len(fits) else len(ordered) - 1
    return float(means[last] / mean_below)


def is_flat(energies: Floats, variances: Floats | float, dof: float) -> NDArray[np.bool_]:
    """Return which blocks lie in the lower part, `KEEP`, of what noise of these variances gives."""
    return np.asarray(energies <= _cut(dof)[0] * variances)


def flat_parts(energies: Floats, variances: Floats, dof: float, bins: Bins) -> Floats:
    """Return the (M,) share of each bin's blocks that are as flat as noise of its variance; about 1 where all are."""
    return np.array(
        [is_flat(energies[inside], level, dof).mean() / KEEP for inside, level in zip(bins, variances, strict=True)]
    )


def look_at_bins(means: Floats, energies: Floats, dof: float, bins: Bins) -> Floats:
    """Return the (M, 2) mean grey value and noise variance of each bin."""
    return np.array([(means[inside].mean(), flat_variance(energies[inside], dof)) for inside in bins])


def fit_line(means: Floats, energies: Floats, dof: float, bins: Bins) -> Line:
    """Return the photon transfer line through the noise-only blocks.

    Parameters
    ----------
    means, energies : (N,) ndarray
        Mean grey value and variance of each block.
    dof : float
        Degrees of freedom of each variance.
    bins : list of index arrays
        Bins that `make_bins` returns.

    Notes
    -----
    Structure only ever adds variance. So the start is the line that most blocks lie on;
    then blocks in the lower part of the expected distribution are regressed until nothing moves (truncated regression).
    The line may not pass under the quietest bin: bright structure would otherwise tip it, and the dark background would
    be called noise-free.
    """
    found = look_at_bins(means, energies, dof, bins)
    quiet = found[int(np.argmin(found[:, 1]))]
    line = _start(means, energies, dof)
    mean_below = _cut(dof)[1]
    for _ in range(12):
        level = expected(line, means, energies)
        keep = is_flat(energies, level, dof)
        # A line goes through any two points, without an error by which to judge it.
        if keep.sum() < 3:
            break
        # The kept part is too low by `mean_below`. Variances scatter in proportion to their level, hence 1 / level**2.
        line = _regress(means[keep], energies[keep] / mean_below, 1 / level[keep] ** 2, quiet)
    return line if abs(line.slope) > SURE * line.error else Line(line.centre, line.level, 0.0)


def line_through(curve: Floats) -> Line:
    """Return the photon transfer line through the bins, for blocks that do not tell one by themselves.

    Parameters
    ----------
    curve : (M, 2) ndarray
        Curve that `look_at_bins` returns.

    Notes
    -----
    Where a block holds a handful of photons, its variance is as good as its count: it does not scatter as `fit_line`
    assumes, which then trusts the darkest blocks alone. Every bin counts by its relative error.
    """
    means, variances = curve.T
    line = Line(0.0, float(variances.mean()), 0.0)
    for _ in range(12):
        level = expected(line, means, variances)
        line = _regress(means, variances, 1 / level**2, curve[int(np.argmin(variances))])
    return line if abs(line.slope) > SURE * line.error else Line(line.centre, line.level, 0.0)


def expected(line: Line, means: Floats, energies: Floats) -> Floats:
    """Return the (N,) variance of each block by the line, kept above 0 so that one can divide by it."""
    # In units of the squared range of the image. Its square, by which `fit_line` divides, is above 0 as well.
    return np.maximum(line.at(means), max(1e-9 * float(energies.max()), float(np.finfo(float).eps) ** 2))


def _start(means: Floats, energies: Floats, dof: float) -> Line:
    """Return the line, of many, that explains most blocks.

    For each steepness the level is that of the quietest blocks, and those near it count.
    """
    above = means - means.min()
    # 90 % of noise-only blocks lie between these times the level.
    low, high = gammaincinv(dof / 2, (0.05, 0.95)) * 2 / dof
    most, start = -1, Line(0.0, 0.0, 0.0)
    for steepness in _STEEPNESS:
        # Flat if the line has this steepness: one level then explains all noise-only blocks.
        relative = energies / (1 + steepness * above)
        level = flat_variance(relative, dof)
        explained = int(np.count_nonzero((relative >= low * level) & (relative <= high * level)))
        if explained > most:
            most, start = explained, Line(float(means.min()), level, level * float(steepness))
    return start


def _regress(means: Floats, variances: Floats, weight: Floats, quiet: Floats) -> Line:
    """Return the weighted straight line that rises, and stays above most of the variance of the quietest bin."""
    weight = weight / weight.max()
    total = weight.sum()
    centre, level = float(weight @ means / total), float(weight @ variances / total)
    line = _through(centre, level, means, variances, weight)
    least = 0.8 * float(quiet[1])
    # The line at the quietest bin.
    if line.slope > 0 and line.level + line.slope * (quiet[0] - line.centre) < least:
        line = _through(float(quiet[0]), float(quiet[1]), means, variances, weight)
    return line


def _through(x: float, y: float, means: Floats, variances: Floats, weight: Floats) -> Line:
    spread = float(weight @ (means - x) ** 2)
    # All blocks have one mean.
    if spread <= 0:
        return Line(x, y, 0.0)
    # Noise does not fall with the signal.
    slope = max(float(weight @ ((means - x) * (variances - y))) / spread, 0.0)
    # Weighted scatter about the line; level and slope take two degrees of freedom.
    rest = float(weight @ (variances - y - slope * (means - x)) ** 2) / max(len(means) - 2, 1)
    return Line(x, y, slope, float(np.sqrt(rest / spread)))
