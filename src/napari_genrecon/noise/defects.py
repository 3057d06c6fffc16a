"""What is not noise of single pixels: line stripes, hot and dead pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ..normal import MEDIAN_STEP, REACH
from .blocks import SAMPLED
from .model import FAINT, NoiseModel
from .spectrum import LOWEST
from .strength import SURE

__all__ = ["CROWDS", "HOT", "fill_hot", "find_hot", "measure_hot_fraction", "rough_noise", "stripes"]

_FIRST = 2 * LOWEST  # cosine frequency from which stripes are told from structure
HOT = 7.0  # noise s.d., and photo-electrons, by which a hot pixel stands above all its neighbours
_EIGHT = 2.85  # s.d., mean distance of the ends of eight normal values (d2 of control charts: 2.847)
_FEWEST = 2  # neighbours, or means of two, by which a pixel can be judged: one alone does not scatter
_AROUND = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x)
_BESIDE = [i for i, (y, x) in enumerate(_AROUND) if not (y and x)]
_ALONG = 5  # pixels in a row that tell the noise, three for the level and the two between them for the noise
_LEVELS = (0.0, 0.25, 0.5, 0.75, 0.9, 0.97, 1.0)  # parts of them, from dark to bright

Mask = NDArray[np.bool_]
Floats = NDArray[np.floating]


class _Crowd(NamedTuple):
    """How hot pixels are told from others, from a fraction of the pixels on that is hot."""

    fraction: float
    touching: int  # of the eight neighbours may be hot as well
    height: float  # noise s.d. above the others from which a pixel may be hot
    alone: float  # ... and how many times what the others scatter, ...
    noisy: float  # ... beyond this many noise s.d., which a few of them may scatter without any structure


# Where many are hot, one that is a little too bright is more likely hot than noise or a bead.
CROWDS = (
    _Crowd(0.0, 0, HOT, 4.0, 2.0),
    _Crowd(3e-4, 1, 4.0, 2.5, 2.5),
    _Crowd(5e-3, 2, 3.5, 2.5, 3.5),
    _Crowd(2e-2, 3, 3.5, 2.5, 6.0),
)

Places = tuple[NDArray[np.intp], NDArray[np.intp]]


def stripes(energy: NDArray[np.float64], spectrum: NDArray[np.float64], blocks: int) -> tuple[float, float]:
    """Return the s.d. of row and of column stripes, as a part of the noise s.d.

    Parameters
    ----------
    energy : (SIZE, SIZE) ndarray
        Mean energies of noise-only blocks, (v, u), divided by their variance.
    spectrum : (SIZE, SIZE) ndarray
        What noise without stripes gives.
    blocks : int
        How many blocks the mean is over.

    Notes
    -----
    An offset common to a row has no frequency along x: it adds its variance times SIZE to the energies of ``u = 0``.
    The energies of ``u = 1`` tell what there is without stripes.
    """
    return _along(energy, spectrum, blocks), _along(energy.T, spectrum.T, blocks)


def _along(energy: NDArray[np.float64], spectrum: NDArray[np.float64], blocks: int) -> float:
    if len(energy) <= _FIRST:
        return 0.0
    # Column 1 tells what column 0 would hold without stripes, once the noise spectrum between the two is divided out.
    expected = energy[_FIRST:, 1] * spectrum[_FIRST:, 0] / spectrum[_FIRST:, 1]
    excess = float((energy[_FIRST:, 0] - expected).mean())
    # A mean of n squared normal values scatters by sqrt(2 / n), and so do both columns.
    error = float(expected.mean()) * np.sqrt(4 / (expected.size * max(blocks, 1)))
    least = max(SURE * error, len(energy) * FAINT**2)
    return float(np.sqrt(excess / len(energy))) if excess > least else 0.0


def measure_hot_fraction(crops: Sequence[NDArray[np.generic]], noise: NoiseModel) -> float:
    """Return the fraction of the pixels that are hot or dead.

    Parameters
    ----------
    crops : sequence of (Y, X) ndarray
        Crops of one channel.
    noise : NoiseModel
        Noise of the channel; what it says of hot pixels does not matter.
    """
    fraction = 0.0
    for _ in range(2):  # alone, then in each other's neighbourhoods
        known = replace(noise, hot_fraction=fraction)
        found = sum(int(np.count_nonzero(find_hot(crop, known))) for crop in crops)
        fraction = found / (sum(crop.size for crop in crops) or 1)
        if not _crowd(replace(noise, hot_fraction=fraction)).touching:
            break
    return fraction


def _crowd(noise: NoiseModel) -> _Crowd:
    """Return how to look for hot pixels: where fine detail is everywhere, it is not to be taken for many of them."""
    fraction = 0.0 if noise.textured else noise.hot_fraction
    return next(crowd for crowd in reversed(CROWDS) if fraction >= crowd.fraction)


def find_hot(plane: NDArray[np.generic], noise: NoiseModel) -> Mask:
    """Mark hot and dead pixels: single ones far above or below their neighbours.

    Parameters
    ----------
    plane : (Y, X) ndarray
        Real numbers; what is not finite is missing.
    noise : NoiseModel
        Noise of the channel. Where its `hot_fraction` is high, hot pixels often touch, and one or two of the eight
        neighbours may be hot as well; otherwise all eight must be lower, as those of thin lines are not.

    Returns
    -------
    (Y, X) ndarray of bool
    """
    return _search(plane, noise)[0]


def _search(plane: NDArray[np.generic], noise: NoiseModel) -> tuple[Mask, Mask]:
    """Return the pixels that are hot or dead, and those that are, or may be."""
    clear, likely = np.zeros(plane.shape, bool), np.zeros(plane.shape, bool)
    if min(plane.shape) < 2:
        return clear, likely
    # Counted from the offset, float32 holds the noise of every dtype.
    values = np.subtract(plane, noise.offset, dtype=np.float64 if plane.dtype.itemsize > 2 else np.float32)
    if plane.dtype.kind == "f":
        values[~np.isfinite(values)] = np.nan
    framed = np.pad(values, 1, mode="reflect")  # pixels at the edge are judged by the neighbours they have
    crowd = _crowd(noise)
    # Found pixels become missing, so that those beside them can be found: until there are none, as each is found once.
    more = True
    while more:
        found = [_standing_out(framed, noise, sign, crowd) for sign in (1, -1)]
        y, x, height = (np.concatenate(parts) for parts in zip(*found, strict=True))
        more = bool(len(y)) and crowd.touching > 0
        # `framed` has one pixel more on each side.
        likely[y - 1, x - 1] = True
        clear[y - 1, x - 1] = height > HOT
        framed[1:-1, 1:-1][likely] = np.nan
    return clear, likely


def _standing_out(
    framed: NDArray[np.floating], noise: NoiseModel, sign: int, crowd: _Crowd
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.floating]]:
    """Return rows, columns and heights (in noise s.d.) of pixels that stand out: `sign` 1 for hot, -1 for dead ones."""
    signed = sign * framed
    # -inf asks for the noise at the dark end: a quick test before each pixel is judged at its own grey level.
    y, x = _candidates(signed, max(crowd.height * float(noise.sigma_at(-np.inf)), HOT * noise.gain), crowd)
    values, around = signed[y, x], np.stack([signed[y + dy, x + dx] for dy, dx in _AROUND])
    height = _above_all(values, around, noise, sign, crowd)
    if crowd.touching:  # many are hot, so some are on the slopes of cells
        height = np.fmax(height, _above_slope(values, around, noise, sign, crowd))
    alone = ~np.isnan(height)
    return y[alone], x[alone], height[alone]


def _above_all(values: Floats, around: Floats, noise: NoiseModel, sign: int, crowd: _Crowd) -> Floats:
    """Return heights in noise s.d. above all neighbours but those that may be hot; NaN where they scatter as much."""
    around = np.sort(around, axis=0)  # NaN last
    count = np.maximum(np.isfinite(around).sum(axis=0), _FEWEST)
    left_out = np.clip((count - _FEWEST) // 2, 0, crowd.touching)
    column = np.arange(len(values))
    highest, lowest = around[count - 1 - left_out, column], around[left_out, column]
    width = 2 * ndtri((count - left_out - 0.375) / (count + 0.25))  # of normal values of s.d. 1 (Blom 1958)
    return _height(values, highest, (highest - lowest) / width * _EIGHT, noise, sign, crowd)


def _above_slope(values: Floats, around: Floats, noise: NoiseModel, sign: int, crowd: _Crowd) -> Floats:
    """Return the height in noise s.d. above the means of opposite neighbours, which are alike on the slope of a cell.

    Along a thin line one of these means is as high as the pixel.
    """
    middle, around = np.sort((around[:4] + around[:3:-1]) / 2, axis=0), np.sort(around, axis=0)
    column, count = np.arange(len(values)), np.isfinite(middle).sum(axis=0)
    highest, lowest = middle[np.maximum(count - 1, 0), column], middle[0]
    scatter = np.where(count < _FEWEST, np.inf, highest - lowest)
    # Where half of the neighbours are hot, so is every mean.
    highest = np.fmax(highest, around[np.isfinite(around).sum(axis=0) // 2, column])
    return _height(values, highest, scatter, noise, sign, crowd)


def _height(values: Floats, highest: Floats, spread: Floats, noise: NoiseModel, sign: int, crowd: _Crowd) -> Floats:
    sigma = noise.sigma_at(sign * highest + noise.offset)
    spread = np.sqrt(np.maximum(spread**2 - (_EIGHT * crowd.noisy * sigma) ** 2, 0.0))
    step = values - highest
    # One photon on an empty background stands alone as well.
    alone = step > np.maximum(np.maximum(crowd.height * sigma, HOT * noise.gain), crowd.alone * spread)
    height = np.divide(step, sigma, out=np.full(step.shape, np.inf), where=sigma > 0)
    return np.where(alone, height, np.nan)


def _candidates(signed: NDArray[np.floating], step: float, crowd: _Crowd) -> Places:
    """Return the inner pixels above those beside them: few, so that the rest can be slow."""
    left, right, inner = signed[1:-1, :-2], signed[1:-1, 2:], signed[1:-1, 1:-1]
    beside = np.fmax(left, right)
    if crowd.touching:  # two of the four may be as bright: the lower but one
        above, below = signed[:-2, 1:-1], signed[2:, 1:-1]
        lower = np.fmax(np.fmin(left, right), np.fmin(above, below))
        beside = np.fmin(lower, np.fmin(beside, np.fmax(above, below)))
    with np.errstate(invalid="ignore"):
        y, x = np.nonzero(inner - step > beside)
    return y + 1, x + 1


def fill_hot(plane: NDArray[Any], noise: NoiseModel) -> tuple[NDArray[Any], Mask]:
    """Replace hot and dead pixels, and those that may be, by the median of those beside them.

    Parameters
    ----------
    plane : (Y, X) ndarray
        NaN and infinite pixels are missing, and stay as they are.
    noise : NoiseModel
        Noise of the channel.

    Returns
    -------
    filled : (Y, X) ndarray
        The plane as floats, or the same array if there was none. NaN where no neighbour is left.
    hot : (Y, X) ndarray of bool
        Those that clearly are.
    """
    hot, likely = _search(plane, noise)
    if not likely.any():
        return plane, hot
    filled = plane.astype(np.float32 if plane.dtype.itemsize <= 2 else np.float64)
    around = _around(filled, likely)
    beside = around[_BESIDE]
    # The four beside are nearer than the corners, which count only where fewer than two of them are known.
    filled[likely] = np.where(np.isfinite(beside).sum(axis=0) < 2, _median(around), _median(beside))
    return filled, hot


def _around(plane: NDArray[Any], hot: Mask) -> NDArray[np.floating]:
    """Return (8, N) neighbours of the hot pixels, NaN where they are hot, missing or beyond the edge."""
    known = np.pad(np.where(hot | ~np.isfinite(plane), np.nan, plane), 1, constant_values=np.nan)
    y, x = np.nonzero(hot)
    return np.stack([known[y + 1 + dy, x + 1 + dx] for dy, dx in _AROUND])


def _median(around: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the median of the finite values of each column; NaN where there is none."""
    # Not np.nanmedian: it warns of columns that hold no value.
    ordered, there = np.sort(around, axis=0), np.isfinite(around).sum(axis=0)
    column = np.arange(around.shape[1])
    low, high = ordered[np.maximum(there - 1, 0) // 2, column], ordered[there // 2, column]
    return np.where(there > 0, low + (high - low) / 2, np.nan)


def rough_noise(crops: Sequence[NDArray[np.generic]]) -> NoiseModel | None:
    """Guess the noise at every grey level from medians, for finding hot pixels before the noise is measured.

    Parameters
    ----------
    crops : sequence of (Y, X) ndarray
        Real numbers; what is not finite is missing.

    Returns
    -------
    NoiseModel or None
        None where the pixels equal those beside them: what differs is as likely a photon as a hot pixel then.
    """
    rows = max(1, sum(crop.size for crop in crops) // SAMPLED)
    parts = [crop[::rows].astype(np.float64) for crop in crops if crop.shape[1] >= _ALONG]
    if not parts:
        return None
    along = [
        np.concatenate([part[:, i : part.shape[1] - _ALONG + 1 + i].ravel() for part in parts]) for i in range(_ALONG)
    ]
    good = np.isfinite(along).all(axis=0)
    # Level and noise from other pixels each, or a hot one would make its own noise.
    level, step = np.median([values[good] for values in along[::2]], axis=0), np.abs(along[1][good] - along[3][good])
    order = np.argsort(level, kind="stable")
    ends = (np.array(_LEVELS) * len(order)).astype(int)
    chosen = [order[a:b] for a, b in pairwise(ends) if b > a]
    curve = np.array([(np.median(level[part]), np.median(step[part]) / MEDIAN_STEP) for part in chosen]).reshape(-1, 2)
    if not curve[:, 1].any():
        return None
    # A level whose pixels all equal those beside them (clipped ones, say) gets the least noise of the others.
    curve[:, 1] = np.maximum(curve[:, 1], curve[curve[:, 1] > 0, 1].min()) ** 2
    curve = curve[np.append(np.diff(curve[:, 0]) > 0, True)]
    model = NoiseModel(offset=float(curve[0, 0]), gain=_rough_gain(curve), read_noise=float(np.sqrt(curve[0, 1])))
    return model if len(curve) < 2 else replace(model, curve=tuple(map(tuple, curve.tolist())), affine=False)


def _rough_gain(curve: NDArray[np.float64]) -> float:
    """Return the grey values per photo-electron, which tell single photons on a dark background from hot pixels."""
    above, more = (curve[1:] - curve[0]).T
    # Levels nearer than noise reaches tell little of the slope.
    clear = above > REACH * np.sqrt(curve[0, 1])
    return max(float(np.median(more[clear] / above[clear])), 0.0) if clear.any() else 0.0
