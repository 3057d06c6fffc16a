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

from ..engine.intensity import CROP_SIDE, fill_non_finite, measure_centre
from .blocks import CLIPPED, FEWEST
from .model import FAINT, FAR, NoiseModel
from .spectrum import RHO, WHITE
from .stabilise import Stabiliser, stabiliser
from .strength import line_through, make_bins

__all__ = ["PIECES", "PROBE", "SIDE", "Denoiser", "second_look"]

Denoiser = Callable[[NDArray[np.float32], float, tuple[float, float]], NDArray[np.float32]]
"""Removes noise of this s.d. and correlation along x and y from a plane (Y, X)."""

Floats = NDArray[np.floating]
Crops = Sequence[NDArray[np.generic]]

# The figures of this module are those of `python tools/benchmark.py cameras` and of real widefield pairs.
PIECES = 4  # that are denoised at most, twice each
_STRENGTH = 1.25  # the first measurement is up to 10 % too low, and noise that stays behind is not measured; ...
# with 1.5, faint filaments that are taken away are measured, too
_SMOOTHER = 0.05  # correlation that is added for the same reason
_BLOCK, _PART = 24, 0.15  # pixels along a block; part of the blocks that is taken as even
SIDE = CROP_SIDE // _BLOCK * _BLOCK
"""Pixels along a piece: whole blocks of a crop."""
PROBE = 0.1
"""Noise s.d. added to learn what a denoiser does with it: more is more than it was told, less is lost in bfloat16."""
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
        Crops of one channel; NaN and infinite pixels are left out.
    clip : (low, high)
        Grey values at which the image is clipped.
    model : NoiseModel
        Result of the first measurement: correlated noise.
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
    if not pieces:
        return model
    look = _look(pieces, model, lambda clean: transform.inverse(clean + centre), denoise)
    even = look.even()
    unevenness = float(look.spread[even].mean())
    if unevenness > _EVEN:
        return model
    residual = look.taken[even]
    variance = float(np.mean(residual**2))
    along_x, along_y = (_correlations(residual, axis) for axis in (2, 1))
    strength, strongest = np.sqrt(variance), max(abs(along_x[0]), abs(along_y[0]))
    # Sharpened noise is correlated by less than `WHITE` from the first.
    least = min(WHITE, max(abs(model.rho_x), abs(model.rho_y)))
    if not 1 / _FARTHEST < strength < _FARTHEST or strongest < least:
        return model
    # Where the result is less even, structure that was taken away makes up for the noise that stays.
    if unevenness <= _EVEN / 2:
        variance /= float(look.share[even].mean())
    found = dataclasses.replace(
        model,
        gain=model.gain * variance,
        read_noise=model.read_noise * float(np.sqrt(variance)),
        curve=tuple((mean, value * variance) for mean, value in model.curve),
        rho_x=along_x[0],
        rho_y=along_y[0],
        far_x=along_x[1:],
        far_y=along_y[1:],
        method="residual",
    )
    return _with_line(found, model, look, look.level[even].mean()) if model.affine else found


def _pieces(crops: Crops, clip: tuple[float, float], transform: Stabiliser, centre: float) -> list[_Piece]:
    """Return the pieces with the most even blocks; where all are even, any will do."""
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
    """Return the pieces of about the largest side."""
    count = max(round(length / SIDE), 1)
    size = min(length // count, SIDE) // _BLOCK * _BLOCK
    return [slice(i * length // count, i * length // count + size) for i in range(count)] if size else []


def _blocks(plane: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return (N, 24, 24) blocks of a piece."""
    rows, columns = (length // _BLOCK for length in plane.shape)
    return plane.reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2).reshape(-1, _BLOCK, _BLOCK)


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """What a denoiser made of the blocks of the pieces: (N,) values, (N, 24, 24) blocks."""

    spread: Floats  # s.d. of the result
    level: NDArray[np.float64]  # its mean grey value
    taken: Floats  # what was taken away, in noise s.d. of the first measurement
    share: Floats  # of the variance of noise, that is taken away there

    def even(self) -> NDArray[np.intp]:
        """Return the flattest blocks, and of these only those that are clearly even, as long as they are enough."""
        flattest = np.argsort(self.spread, kind="stable")[: max(FEWEST, round(_PART * len(self.spread)))]
        return flattest[: max(FEWEST, np.count_nonzero(self.spread[flattest] <= _EVEN / 2))]


def _look(pieces: Sequence[_Piece], model: NoiseModel, restore: Callable[[Floats], Floats], denoise: Denoiser) -> _Look:
    """Denoise the pieces. It is counted in grey values: the s.d. of stabilised noise of few photons is below 1."""
    rho_x, rho_y = (min(r + _SMOOTHER, float(RHO[-1])) if r > WHITE else r for r in (model.rho_x, model.rho_y))
    looks = []
    for piece in pieces:
        clean = denoise(piece.noisy, _STRENGTH, (rho_x, rho_y))
        restored = restore(clean)
        taken = (piece.grey - restored) / np.maximum(model.sigma_at(restored), FAINT * model.sigma)
        # Stripes are no noise of single pixels: what a whole row or column has in common is not counted.
        for axis, stripes in ((1, model.row_stripes), (0, model.column_stripes)):
            if stripes:
                taken = taken - taken.mean(axis, keepdims=True)
        # What was taken away elsewhere is such noise; a little of it, added, tells how much stays behind.
        more = (PROBE * taken[::-1, ::-1]).astype(np.float32)
        stays = denoise(piece.noisy + more, _STRENGTH, (rho_x, rho_y)) - clean
        result, level, noise, added, removed = (
            _blocks(plane)[piece.usable] for plane in (clean, restored, taken, more, more - stays)
        )
        share = (removed**2).mean((1, 2)) / np.maximum((added**2).mean((1, 2)), np.finfo(np.float32).tiny)
        share = np.clip(share, 1 / _FARTHEST**2, 1.0)
        looks.append((result.std((1, 2)), level.mean((1, 2)), noise.astype(np.float64), share))
    return _Look(*map(np.concatenate, zip(*looks, strict=True)))


def _with_line(found: NoiseModel, model: NoiseModel, look: _Look, level: float) -> NoiseModel:
    """Return the noise model with a dependence on the grey value that agrees with what was taken away.

    The higher frequencies of small blocks, on which the first measurement rests, tell it badly where the spectrum
    depends on the light, as after demosaicing. At structure a part of the noise stays: what is taken away is too
    little, and too much when that part is added, as some of it is structure. Between the two, the first measurement
    is believed. The strength stays that at `level`, in the even parts.
    """
    variances = (look.taken**2).mean((1, 2)) * model.variance_at(look.level)
    low, high = float(look.level.min()), float(look.level.max())
    bins = make_bins((look.level - low) / ((high - low) or 1.0))
    slopes = []
    for values in (variances, variances / look.share):
        line = line_through(np.array([(look.level[inside].mean(), values[inside].mean()) for inside in bins]))
        slopes.append(line.slope * float(found.variance_at(level) / line.at(level)))
    # Without light and dark there is no slope to be seen.
    if not min(slopes):
        return found
    gain = float(np.clip(found.gain, min(slopes), max(slopes)))
    dark = float(found.variance_at(level)) + gain * (found.offset - level)
    return dataclasses.replace(found, gain=gain, read_noise=float(np.sqrt(max(dark, 0.0))))


def _correlations(residual: Floats, axis: int) -> tuple[float, ...]:
    """Return the correlation at distances of 1 pixel and of `FAR` along an axis; hundredths, as more cannot be told."""
    moved = np.moveaxis(residual, axis, -1)
    variance = np.mean(moved**2)
    return tuple(round(float(np.mean(moved[..., lag:] * moved[..., :-lag]) / variance), 2) for lag in (1, *FAR))
