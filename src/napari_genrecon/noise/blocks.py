"""Cut crops into small blocks, and look at each in the cosine basis.

In a block of ``SIZE`` x ``SIZE`` pixels the cosine transform (DCT-II, orthonormal) of separable stationary noise is
nearly uncorrelated, its mean energy is the noise spectrum, and structure lies mostly in the lowest frequencies. So one
transform serves the strength of the noise, its correlation and its stripes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLIPPED", "FEWEST", "SAMPLED", "SIZE", "Blocks", "cosine_basis", "cut_blocks", "sample_bands"]

SIZE = 16
CLIPPED = 0.02  # part of a block that may be clipped: what clipping cuts away is missed in the variance
_ENOUGH = (
    0.5  # of the blocks must be left: a dark background of counted photons is full of zeros, and they are no clipping
)
_MOST = 8192  # blocks: more cost time and tell nothing new
FEWEST = 8  # blocks, or pixels, from which on they tell anything; with fewer blocks, missing pixels are filled
# Squares of what lies further out, times the pixels of a block, would leave float32.
_FARTHEST = math.sqrt(float(np.finfo(np.float32).max)) / SIZE**2
# In units of its square: the error of a coefficient, of which float32 rounds 2 * SIZE products by half an eps each.
_ROUNDING = 2 * SIZE * float(np.finfo(np.float32).eps / 2) ** 2
SAMPLED = 1 << 18  # pixels that stand for all where single ones are looked at
_FEW = 200  # below this many blocks, cut them with half a block's overlap

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """The blocks of one channel that can tell something about noise.

    Parameters
    ----------
    means : (N,) ndarray of float64
        Mean grey value of each block above `origin`, in units of `unit`.
    energy : (N, SIZE, SIZE) ndarray of float32
        Squared cosine coefficients in units of ``unit**2``, axes (v, u): frequency along y, along x.
    origin : float
        Grey value that was subtracted, so that float32 holds what is left.
    unit : float
        The range of the grey values, so that float32 holds the squares as well.
    pixels : int
        Pixels of all crops, used or not.
    """

    means: NDArray[np.float64]
    energy: Floats
    origin: float
    unit: float
    pixels: int

    def __len__(self) -> int:
        return len(self.means)


def sample_bands(crops: Sequence[NDArray[np.generic]]) -> list[NDArray[np.generic]]:
    """Take bands of rows, evenly spread, where the crops are large: for what is the same everywhere, as defects are."""
    bands = [crop[top : top + SIZE] for crop in crops for top in range(0, len(crop), SIZE)]
    # Whole bands, not single rows: a hot pixel is judged by the rows above and below it.
    return bands[:: max(1, round(sum(crop.size for crop in crops) / SAMPLED))]


def cosine_basis(size: int) -> NDArray[np.float64]:
    """Return the orthonormal DCT-II matrix, (frequency, position)."""
    position = np.arange(size)
    basis = np.cos(np.pi * np.outer(position, position + 0.5) / size) * np.sqrt(2 / size)
    # Frequency 0 would have length sqrt(2); with rows of length 1 the basis keeps the variance.
    basis[0] /= np.sqrt(2)
    return np.asarray(basis)


def cut_blocks(crops: Sequence[NDArray[np.generic]], clip: tuple[float, float], origin: float, unit: float) -> Blocks:
    """Return the blocks without missing or clipped pixels, and not exactly constant unless all are.

    Parameters
    ----------
    crops : sequence of (Y, X) ndarray
        Real numbers; NaN and infinite pixels are missing.
    clip : (low, high)
        Grey values at which the image is clipped; minus and plus infinity where it is not. Blocks with more than a few
        such pixels are left out, if enough others are there.
    origin : float
        Grey value to count from.
    unit : float
        Range of the grey values; where it is 0, the largest distance from the origin is taken.
    """
    size = min(SIZE, *(min(crop.shape) for crop in crops))
    few = sum(crop.size for crop in crops) < _FEW * size * size
    values = _all_values(crops, origin, clip, size, few)
    everything = _all_values(crops, origin, (-np.inf, np.inf), size, few) if np.isfinite(clip).any() else values
    if len(values) < _ENOUGH * len(everything):
        values = everything
    if len(values) < FEWEST:
        values = _all_values([_filled(crop, size) for crop in crops], origin, (-np.inf, np.inf), size, few)
    values = _without_constants(values)
    # Every n-th block, n rounded up: so those that are kept come from all crops. Without a block n is 1.
    values = values[:: -(-len(values) // _MOST) or 1]
    # A single hot pixel must not set the unit, nor overflow.
    unit = unit or float(np.abs(values).max(initial=0)) or 1.0
    values /= np.float32(unit)
    np.clip(values, -_FARTHEST, _FARTHEST, out=values)
    basis = cosine_basis(size).astype(np.float32)
    means = values.mean(axis=(1, 2), dtype=np.float64)
    # The block's mean is taken off first: float32 then keeps the small coefficients of a bright block exact.
    values -= means[:, None, None].astype(np.float32)
    energy = np.square(basis @ (values @ basis.T))  # (N, v, u)
    energy[energy < _ROUNDING] = 0
    return Blocks(means, energy, origin, unit, sum(crop.size for crop in crops))


def _all_values(
    crops: Sequence[NDArray[np.generic]], origin: float, clip: tuple[float, float], size: int, few: bool
) -> Floats:
    return np.concatenate([_values(part, origin, clip, size) for crop in crops for part in _grids(crop, size, few)])


def _grids(crop: NDArray[np.generic], size: int, few: bool) -> Iterator[NDArray[np.generic]]:
    # Half a step gives four grids, three of them shifted by half a block; a whole step gives one.
    step = max(size // 2, 1) if few else size
    for top in range(0, size, step):
        for left in range(0, size, step):
            part = crop[top:, left:]
            if min(part.shape) >= size:
                yield part


def _values(part: NDArray[np.generic], origin: float, clip: tuple[float, float], size: int) -> Floats:
    """Return (N, size, size) blocks of the usable pixels, relative to the origin."""
    rows, columns = (length // size for length in part.shape)
    part = part[: rows * size, : columns * size]
    # float32 holds whole numbers up to 2**24: larger ones would lose the noise unless the origin goes first.
    wide = part.dtype.itemsize > 4 or (part.dtype.kind in "iu" and part.dtype.itemsize > 2)
    values = (
        (part.astype(np.float64) - origin).astype(np.float32) if wide else part.astype(np.float32) - np.float32(origin)
    )
    blocks = values.reshape(rows, size, columns, size).transpose(0, 2, 1, 3).reshape(-1, size * size)
    # NaN and infinities get into the minimum or the maximum of their block: one test per block finds them.
    low, high = blocks.min(axis=1), blocks.max(axis=1)
    good = np.isfinite(low) & np.isfinite(high)
    for end, clipped in ((low, clip[0] - origin), (high, clip[1] - origin)):
        # Only a block whose extreme is the clipping level holds clipped pixels: the others need no count.
        touches = np.flatnonzero(good & (end == np.float32(clipped)))
        good[touches] = (blocks[touches] == np.float32(clipped)).mean(axis=1) <= CLIPPED
    return np.ascontiguousarray(blocks[good]).reshape(-1, size, size)


def _filled(crop: NDArray[np.generic], size: int) -> NDArray[np.generic]:
    """Replace missing pixels by others from the same block, which keeps the variance.

    Blocks that miss more than half of their pixels stay as they are.
    """
    missing = ~np.isfinite(crop)
    if not missing.any():
        return crop
    filled = crop.copy()
    for top in range(0, crop.shape[0], size):
        for left in range(0, crop.shape[1], size):
            block = filled[top : top + size, left : left + size]
            holes = missing[top : top + size, left : left + size]
            there = block[~holes]
            if 2 * len(there) >= block.size:
                block[holes] = there[: np.count_nonzero(holes)]
    return filled


def _without_constants(values: Floats) -> Floats:
    """Drop constant blocks, which are padding, unless all are: that is an image without noise."""
    varied = (values != values[:, :1, :1]).any(axis=(1, 2))
    return values[varied] if varied.any() else values
