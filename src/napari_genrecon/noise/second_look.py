"""Measure correlated noise again, in what a denoiser takes away.

Blocks of the noisy image must be small and free of structure to tell its noise, and small blocks miss the coarse part
of correlated noise. A denoised image shows where it is even, and what was taken away there is the noise, on all scales.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..engine.intensity import fill_non_finite, measure_centre
from .blocks import CLIPPED, FEWEST
from .model import FAINT, FAR, NoiseModel
from .spectrum import WHITE
from .stabilise import Stabiliser, stabiliser

__all__ = ["PIECES", "SIDE", "Denoiser", "second_look"]

Denoiser = Callable[[NDArray[np.float32], float, tuple[float, float]], NDArray[np.float32]]
"""Removes noise of this s.d. and correlation along x and y from a plane (Y, X)."""

Floats = NDArray[np.floating]
Crops = Sequence[NDArray[np.generic]]

# The figures of this module are those of `python tools/benchmark.py cameras` and of real widefield pairs.
SIDE, PIECES = 240, 8  # pixels along a piece (whole blocks), and pieces that are denoised at most
_STRENGTH = 1.25  # the first measurement is up to 10 % too low, and noise that stays behind is not measured; ...
# with 1.5, faint filaments that are taken away are measured, too
_SMOOTHER = 0.05  # correlation that is added for the same reason
_LARGEST_RHO = 0.9  # that the denoiser is told
_BLOCK, _PART = 24, 0.15  # pixels along a block; part of the blocks that is taken as even
_EVEN = 0.1  # noise s.d.: real widefield 0.03 to 0.06, photographs 0.10, grass 0.21, gravel 0.30
_FARTHEST = 1.6  # ratio to the first s.d. beyond which one of the two has seen something else


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """A part of the image in grey values, the same stabilised and centred, and which of its blocks can be used."""

    grey: NDArray[np.float64]
    noisy: NDArray[np.float32]
    usable: NDArray[np.bool_]

    @property
    def unevenness(self) -> float:
        """Variance of its most even blocks."""
        return float(np.quantile(_blocks(self.noisy).var((1, 2))[self.usable], _PART))


def second_look(crops: Crops, clip: tuple[float, float], model: NoiseModel, denoise: Denoiser) -> NoiseModel:
    """Return the noise model with strength and correlation as they are in the even parts of the denoised image.

    Parameters
    ----------
    crops : sequence of (Y, X) ndarray
        Of one channel; NaN and infinite pixels are left out.
    clip : (low, high)
        Grey values at which the image is clipped.
    model : NoiseModel
        Of the first measurement: correlated noise.
    denoise : callable
        Removes noise from a plane whose noise has s.d. 1.

    Returns
    -------
    NoiseModel
        The same one where the image has no even part, so that texture is not taken for noise.
    """
    # The denoiser takes noise of s.d. 1 around 0.
    transform = stabiliser(model)
    centre = float(transform.forward(np.array([measure_centre(list(crops))]))[0])
    pieces = _pieces(crops, clip, transform, centre)
    residual, spread = _even_blocks(pieces, model, lambda clean: transform.inverse(clean + centre), denoise)
    if spread > _EVEN:
        return model
    variance = float(np.mean(residual**2))
    along_x, along_y = (_correlations(residual, axis) for axis in (2, 1))
    strength, strongest = np.sqrt(variance), max(abs(along_x[0]), abs(along_y[0]))
    if not 1 / _FARTHEST < strength < _FARTHEST or strongest < WHITE:
        return model
    return dataclasses.replace(
        model,
        gain=model.gain * variance,
        read_noise=model.read_noise * float(strength),
        curve=tuple((mean, value * variance) for mean, value in model.curve),
        rho_x=along_x[0],
        rho_y=along_y[0],
        far_x=along_x[1:],
        far_y=along_y[1:],
        method="residual",
    )


def _pieces(crops: Crops, clip: tuple[float, float], transform: Stabiliser, centre: float) -> list[_Piece]:
    """The pieces with the most even blocks; where all are even, any will do."""
    fill = measure_centre(list(crops))
    pieces = []
    for crop in _cut(crops):
        bad = ~np.isfinite(crop) | (crop == clip[0]) | (crop == clip[1])
        whole = fill_non_finite(crop.astype(np.float64), fill)[0]
        usable = _blocks(bad).mean((1, 2)) <= CLIPPED
        if usable.any():
            pieces.append(_Piece(whole, transform.forward(whole) - np.float32(centre), usable))
    return sorted(pieces, key=lambda piece: piece.unevenness)[:PIECES]


def _cut(crops: Crops) -> Iterator[NDArray[np.generic]]:
    """Cut the crops into pieces that hold whole blocks."""
    for crop in crops:
        rows, columns = (_spans(length) for length in crop.shape)
        yield from (crop[y, x] for y in rows for x in columns)


def _spans(length: int) -> list[slice]:
    """Pieces of about the largest side."""
    count = max(round(length / SIDE), 1)
    size = min(length // count, SIDE) // _BLOCK * _BLOCK
    return [slice(i * length // count, i * length // count + size) for i in range(count)] if size else []


def _blocks(plane: NDArray[np.generic]) -> NDArray[np.generic]:
    """(N, 24, 24) blocks of a piece."""
    rows, columns = (length // _BLOCK for length in plane.shape)
    return plane.reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2).reshape(-1, _BLOCK, _BLOCK)


def _even_blocks(
    pieces: Sequence[_Piece], model: NoiseModel, restore: Callable[[Floats], Floats], denoise: Denoiser
) -> tuple[Floats, float]:
    """(N, 24, 24) what was taken away where the result is most even, and the mean s.d. of the result there.

    In noise s.d. of the model. It is counted in grey values: the s.d. of stabilised noise of few photons is below 1.
    """
    rho_x, rho_y = (min(r + _SMOOTHER, _LARGEST_RHO) if r > WHITE else r for r in (model.rho_x, model.rho_y))
    results, residuals = [], []
    for piece in pieces:
        clean = denoise(piece.noisy, _STRENGTH, (rho_x, rho_y))
        restored = restore(clean)
        residual = (piece.grey - restored) / np.maximum(model.sigma_at(restored), FAINT * model.sigma)
        # Stripes are no noise of single pixels: what a whole row or column has in common is not counted.
        for axis, stripes in ((1, model.row_stripes), (0, model.column_stripes)):
            if stripes:
                residual = residual - residual.mean(axis, keepdims=True)
        results.append(_blocks(clean)[piece.usable])
        residuals.append(_blocks(residual)[piece.usable])
    if not results:
        return np.zeros((0, _BLOCK, _BLOCK)), np.inf
    spread = np.concatenate(results).std((1, 2))
    flattest = np.argsort(spread, kind="stable")[: max(FEWEST, round(_PART * len(spread)))]
    # Of the flattest blocks only those that are clearly even, as long as they are enough.
    even = flattest[: max(FEWEST, np.count_nonzero(spread[flattest] <= _EVEN / 2))]
    return np.concatenate(residuals)[even].astype(np.float64), float(spread[even].mean())


def _correlations(residual: Floats, axis: int) -> tuple[float, ...]:
    """Correlation at distances of 1 pixel and of `FAR` along an axis; hundredths, as more cannot be told."""
    moved = np.moveaxis(residual, axis, -1)
    variance = np.mean(moved**2)
    return tuple(round(float(np.mean(moved[..., lag:] * moved[..., :-lag]) / variance), 2) for lag in (1, *FAR))
