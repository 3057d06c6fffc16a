"""Measure the noise of one channel from a few crops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ImageError
from .blocks import Blocks, cut_blocks
from .levels import Levels, find_levels
from .model import NoiseModel
from .spectrum import Shape, fit_shape, white_shape
from .strength import Line, fit_line

__all__ = ["measure_channel"]

_ROUNDS = 3
_LOWEST = 2  # cosine frequencies below this hold structure
_WHITE = 0.12  # lag-1 correlations below this are taken as none when choosing the frequencies
_HIGH = 14  # for white noise: only u + v from here on, in a block of 16


def measure_channel(crops: Sequence[ArrayLike]) -> NoiseModel:
    """The noise of one channel, from 2D crops of it.

    Parameters
    ----------
    crops : sequence of (Y, X) array_like
        Any real dtype; NaN and infinite pixels are left out. Contiguous pieces of 64 x 64 or more are best.

    Returns
    -------
    NoiseModel

    Raises
    ------
    ImageError
        Where there is nothing to measure.
    """
    arrays = [_checked(crop) for crop in crops]
    if not any(array.size for array in arrays):
        raise ImageError("there are no pixels to measure noise from")
    levels = find_levels(arrays)
    blocks = cut_blocks(arrays, levels.clip, levels.dark)
    if not len(blocks):
        blocks = cut_blocks(arrays, (-np.inf, np.inf), levels.dark)
    shape, line, white = _noise(blocks)
    return _model(levels, shape, line, white, blocks)


def _checked(crop: ArrayLike) -> NDArray[np.generic]:
    array = np.asarray(crop)
    if array.ndim != 2:
        raise ImageError(f"a crop must have two axes (Y, X), got shape {array.shape}")
    if array.dtype.kind not in "iuf":
        raise ImageError(f"noise is measured on real numbers, got dtype {array.dtype}")
    return array


def _noise(blocks: Blocks) -> tuple[Shape, Line, bool]:
    size = blocks.energy.shape[1]
    bins = _bins(blocks.means)
    shape = white_shape(size)
    frequency = np.add.outer(np.arange(size), np.arange(size))
    inner = (np.minimum.outer(np.arange(size), np.arange(size)) >= 1) & (frequency >= 3)
    flat = energy_of(blocks, shape, inner)
    line, keep = fit_line(blocks.means, flat, inner.sum(), bins)
    for _ in range(_ROUNDS):
        weight = 1 / np.maximum(line.at(blocks.means[keep]), 1e-30)
        shape = fit_shape(np.tensordot(weight, blocks.energy[keep], 1), _LOWEST)
        flat = energy_of(blocks, shape, inner)
        line, keep = fit_line(blocks.means, flat, inner.sum(), bins)
    white = max(abs(shape.rho_x), abs(shape.rho_y)) < _WHITE
    if white:
        high = frequency >= _HIGH
        line, keep = fit_line(blocks.means, energy_of(blocks, white_shape(size), high), high.sum(), bins)
    return shape, line, white


def energy_of(blocks: Blocks, shape: Shape, used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N,) variance of each block, if its noise has this spectrum: the mean of the whitened energies of the used coefficients."""
    weight = np.where(used, 1 / shape.spectrum, 0.0) / used.sum()
    return np.asarray(blocks.energy.reshape(len(blocks), -1) @ weight.ravel().astype(np.float32), dtype=np.float64)


def _bins(means: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    order = np.argsort(means, kind="stable")
    return np.array_split(order, int(np.clip(len(order) // 40, 1, 24)))


def _model(levels: Levels, shape: Shape, line: Line, white: bool, blocks: Blocks) -> NoiseModel:
    return NoiseModel(
        gain=line.slope,
        offset=levels.dark,
        read_noise=float(np.sqrt(max(line.floor, 0.0))),
        rho_x=shape.rho_x,
        rho_y=shape.rho_y,
        levels=levels.levels,
        saturated_fraction=levels.saturated_fraction,
        saturation_level=levels.saturation_level,
        method="high-pass" if white else "flat blocks",
        pixels_sampled=blocks.pixels,
    )
