"""Cut crops into small blocks, and look at each in the cosine basis.

In a block of ``SIZE`` x ``SIZE`` pixels the cosine transform (DCT-II, orthonormal) of separable stationary noise is nearly uncorrelated, its
mean energy is the noise spectrum, and structure lies mostly in the lowest frequencies. So one transform serves the strength of the
noise, its correlation and its stripes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIZE", "Blocks", "cosine_basis", "cut_blocks"]

SIZE = 16
_CLIPPED = 0.02  # part of a block that may be clipped: what clipping cuts away is missed in the variance
_ENOUGH = 30  # blocks; with fewer, clipped ones are better than none
_FEW = 200  # below this many blocks, cut them with half a block's overlap

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """The blocks of one channel that can tell something about noise.

    Parameters
    ----------
    means : (N,) ndarray of float64
        Mean grey value of each block, in DN above `origin`.
    energy : (N, SIZE, SIZE) ndarray of float32
        Squared cosine coefficients in DN**2, axes (v, u): frequency along y, along x.
    origin : float
        Grey value that was subtracted, so that float32 holds what is left.
    pixels : int
        Pixels of all crops, used or not.
    """

    means: NDArray[np.float64]
    energy: Floats
    origin: float
    pixels: int

    def __len__(self) -> int:
        return len(self.means)


def cosine_basis(size: int) -> NDArray[np.float64]:
    """The orthonormal DCT-II matrix, (frequency, position)."""
    position = np.arange(size)
    basis = np.cos(np.pi * np.outer(position, position + 0.5) / size) * np.sqrt(2 / size)
    basis[0] /= np.sqrt(2)
    return np.asarray(basis)


def cut_blocks(crops: Sequence[NDArray[np.generic]], clip: tuple[float, float], origin: float) -> Blocks:
    """Blocks without missing or clipped pixels, and not exactly constant unless all are.

    Parameters
    ----------
    crops : sequence of (Y, X) ndarray
    clip : (low, high)
        Grey values at which the image is clipped; minus and plus infinity where it is not. Blocks with more than a few such pixels are left
        out, if enough others are there.
    origin : float
        Grey value to count from.
    """
    size = min(SIZE, *(min(crop.shape) for crop in crops))
    few = sum(crop.size for crop in crops) < _FEW * size * size
    values = _all_values(crops, origin, clip, size, few)
    if len(values) < _ENOUGH:
        values = _all_values(crops, origin, (-np.inf, np.inf), size, few)
    values = _without_constants(values)
    basis = cosine_basis(size).astype(np.float32)
    means = values.mean(axis=(1, 2), dtype=np.float64)
    # The block's mean is taken off first: float32 then keeps the small coefficients of a bright block exact.
    values -= means[:, None, None].astype(np.float32)
    energy = np.square((values @ basis.T).transpose(0, 2, 1) @ basis.T).transpose(0, 2, 1)
    return Blocks(means, energy, origin, sum(crop.size for crop in crops))


def _all_values(
    crops: Sequence[NDArray[np.generic]], origin: float, clip: tuple[float, float], size: int, few: bool
) -> Floats:
    return np.concatenate([_values(part, origin, clip, size) for crop in crops for part in _grids(crop, size, few)])


def _grids(crop: NDArray[np.generic], size: int, few: bool) -> Iterator[NDArray[np.generic]]:
    step = max(size // 2, 1) if few else size
    for top in range(0, size, step):
        for left in range(0, size, step):
            part = crop[top:, left:]
            if min(part.shape) >= size:
                yield part


def _values(part: NDArray[np.generic], origin: float, clip: tuple[float, float], size: int) -> Floats:
    """(N, size, size) blocks of the usable pixels, relative to the origin."""
    rows, columns = (length // size for length in part.shape)
    part = part[: rows * size, : columns * size]
    wide = part.dtype.itemsize > 4 or part.dtype.kind in "iu" and part.dtype.itemsize > 2
    values = (part.astype(np.float64) - origin).astype(np.float32) if wide else part.astype(np.float32) - np.float32(origin)
    blocks = values.reshape(rows, size, columns, size).transpose(0, 2, 1, 3).reshape(-1, size * size)
    low, high = blocks.min(axis=1), blocks.max(axis=1)
    good = np.isfinite(low) & np.isfinite(high)
    for end, clipped in ((low, clip[0] - origin), (high, clip[1] - origin)):
        touches = np.flatnonzero(good & (end == np.float32(clipped)))
        good[touches] = (blocks[touches] == np.float32(clipped)).mean(axis=1) <= _CLIPPED
    return np.ascontiguousarray(blocks[good]).reshape(-1, size, size)


def _without_constants(values: Floats) -> Floats:
    """Padding is not an image without noise; an image that is constant everywhere is."""
    varied = (values != values[:, :1, :1]).any(axis=(1, 2))
    return values[varied] if varied.any() else values
