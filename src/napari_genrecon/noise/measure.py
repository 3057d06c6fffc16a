"""Measure the noise of one channel from a few crops."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..engine.missing import find_missing, without_missing
from ..errors import ImageError
from ..normal import MEDIAN_STEP
from .blocks import Blocks, cut_blocks, sample_bands
from .defects import fill_hot, measure_hot_fraction, rough_noise, stripes
from .levels import Levels, find_levels
from .low_light import counted_photons
from .measured_spectrum import independent_part, measured_shape
from .model import LEVELS, NoiseModel
from .second_look import Denoiser, second_look
from .spectrum import (
    LEAST,
    LOWEST,
    SHARPENED,
    WHITE,
    Shape,
    fit_shape,
    high_frequencies,
    holds_structure,
    inner_frequencies,
    top_frequencies,
    white_shape,
)
from .strength import (
    KEEP,
    Bins,
    Line,
    expected,
    fit_line,
    flat_parts,
    flat_variance,
    is_flat,
    line_through,
    look_at_bins,
    make_bins,
)
from .texture import is_texture_on_white

__all__ = ["measure_channel"]

_ROUNDS = 3  # strength and correlation are measured in turns, and change no more after
_SOFT = 0.3  # part of the mean spectrum that keeps whitening from resting on frequencies the noise hardly has
_MOSTLY_FLAT = 0.6  # part of the blocks of a bin
_WRONG = 0.6  # ratio of a bin's variance to the line's, or the other way round ...
_WRONG_PART = 0.25  # ... and the part of the bins that contradicts the line

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Noise:
    """What was found in the blocks."""

    shape: Shape
    line: Line
    curve: Floats  # (M, 2) mean, variance
    stripes: tuple[float, float]
    is_white: bool
    textured: bool
    affine: bool


def measure_channel(crops: Sequence[ArrayLike], denoise: Denoiser | None = None) -> NoiseModel:
    """Measure the noise of one channel, from 2D crops of it.

    Parameters
    ----------
    crops : sequence of (Y, X) array_like
        Any real dtype; NaN and infinite pixels are left out. Contiguous pieces of 64 x 64 or more are best, and 4
        megapixels in all are plenty.
    denoise : callable, optional
        A denoiser, with which correlated noise is measured again; see `second_look`.

    Returns
    -------
    NoiseModel
        Deterministic; for ``a * image + b`` it is the same model with its grey values so transformed.

    Raises
    ------
    ImageError
        Where there is nothing to measure.

    Notes
    -----
    Foi et al. (IEEE Trans. Image Process. 17, 2008) regress local variances on local means; structure and correlated
    noise mislead their high-pass filter. Here the correlation is measured first, on the flattest blocks, and decides on
    which frequencies the variance rests: on the high ones for white noise (structure is weakest there), on all but the
    lowest for correlated noise (which the high ones lack). An image without any flat patch cannot tell correlated noise
    from structure: the lower estimate, white noise of the strength of the high frequencies, is given then, as too much
    denoising removes structure, and `NoiseModel.textured` says so. Where the spectrum is that of texture on the floor
    of white noise, the strength is that of the very highest ones.

    Examples
    --------
    >>> import numpy as np
    >>> noisy = np.random.default_rng(0).normal(100, 5, (256, 256))
    >>> model = measure_channel([noisy])
    >>> 4.9 < model.sigma < 5.1 and model.is_white
    True
    """
    arrays = [_checked(crop) for crop in crops]
    arrays = [array for array in arrays if array.size]
    if not any(np.isfinite(array).any() for array in arrays):
        raise ImageError(
            "there are no finite pixels to measure noise from; check that the image is not empty or all NaN"
        )
    missing = find_missing(arrays)
    left_out = sum(int(np.count_nonzero(np.isin(array, missing))) for array in arrays) if missing else 0
    arrays = [without_missing(array, missing) for array in arrays]
    even, filled = _without_hot(arrays)
    levels = find_levels(even)
    dark, _median, bright = levels.levels
    blocks = cut_blocks(even, levels.clip, dark, bright - dark)
    blocks.energy[:] /= 1 - filled  # what was filled has next to no noise
    if not len(blocks) or blocks.energy.shape[1] < 2 * LOWEST:
        return dataclasses.replace(_model(levels, None, blocks), read_noise=_neighbour_noise(even))
    model = dataclasses.replace(
        _model(levels, _look_at(blocks), blocks), missing_levels=missing, missing_fraction=left_out / blocks.pixels
    )
    # The variance of counts is known: no denoiser has to measure it again.
    counted = counted_photons(model, arrays, blocks)
    if counted is not None:
        model = counted
    elif denoise is not None and model.method == "flat blocks" and model.sigma > 0:
        model = second_look(even, levels.clip, model, denoise)
    # Counted in the pixels as they came: in `even` the hot ones are filled.
    return dataclasses.replace(model, hot_fraction=measure_hot_fraction(arrays, model)) if model.sigma > 0 else model


def _checked(crop: ArrayLike) -> NDArray[np.generic]:
    array = np.asarray(crop)
    if array.ndim != 2:
        raise ImageError(f"a crop must have two axes (Y, X), got shape {array.shape}")
    if array.dtype.kind not in "iuf":
        raise ImageError(f"noise is measured on real numbers, got dtype {array.dtype}")
    return array


def _without_hot(crops: list[NDArray[np.generic]]) -> tuple[list[NDArray[np.generic]], float]:
    """Fill hot pixels, which would otherwise be in many blocks; return which part of all pixels they are."""
    rough = rough_noise(crops)
    fraction = 0.0 if rough is None else measure_hot_fraction(sample_bands(crops), rough)
    if rough is None or not fraction:
        return crops, 0.0
    rough = dataclasses.replace(rough, hot_fraction=fraction)
    return [fill_hot(crop, rough)[0] for crop in crops], fraction


def _neighbour_noise(crops: Sequence[NDArray[np.generic]]) -> float:
    """Return the noise s.d. from the median difference of neighbours, for a few pixels that fill no block."""
    # A single column has neighbours along y only.
    pixels = [crop.astype(np.float64) if crop.shape[1] > 1 else crop.T.astype(np.float64) for crop in crops]
    with np.errstate(invalid="ignore"):
        steps = np.abs(np.concatenate([np.diff(crop, axis=1).ravel() for crop in pixels]))
    steps = steps[np.isfinite(steps)]
    return float(np.median(steps)) / MEDIAN_STEP if len(steps) else 0.0


def _look_at(blocks: Blocks) -> _Noise:
    size = blocks.energy.shape[1]
    bins, inner = make_bins(blocks.means), inner_frequencies(size)
    # Taken as white at first: each round finds flat blocks, fits their spectrum, and weights the frequencies by it.
    shape = white_shape(size)
    flat, dof = _block_variance(blocks, shape, inner)
    line = fit_line(blocks.means, flat, dof, bins)
    for _ in range(_ROUNDS):
        energy, _count = _mean_energy(blocks, line, flat, dof)
        shape = fit_shape(energy)
        line, flat, dof = _correlated_line(blocks, shape, bins)
    energy, count = _mean_energy(blocks, line, flat, dof)
    # `count` is over the lower part, `KEEP`, of the flat blocks.
    flat_part = count / KEEP / len(blocks)
    on_white = is_texture_on_white(energy, shape, count, flat_part)
    structured = on_white or holds_structure(energy, shape, flat_part)
    # Blurred structure under white noise leaves no doubt: the higher frequencies tell that the noise is white.
    textured = structured and max(shape.rho_x, shape.rho_y) >= WHITE
    # The lower estimate is given, see the notes of `measure_channel`.
    if structured:
        shape = white_shape(size)
    is_white = max(abs(shape.rho_x), abs(shape.rho_y)) < WHITE and max(shape.rho_x, shape.rho_y) > SHARPENED
    if not is_white:
        shape, line, flat, dof = _refined(blocks, energy, shape, line, flat, dof, bins)
    # Structure has energy in the frequencies of stripes, too.
    lines = (0.0, 0.0) if structured else stripes(energy, shape.spectrum, count)
    # White noise is the same in all frequencies, so it is read where structure is weakest.
    if is_white:
        used = top_frequencies(size) if on_white else high_frequencies(size)
        flat, dof = _block_variance(blocks, white_shape(size), used)
        line = fit_line(blocks.means, flat, dof, bins)
    curve = look_at_bins(blocks.means, flat, dof, bins)
    trusted = flat_parts(flat, curve[:, 1], dof, bins) > _MOSTLY_FLAT
    # Blocks of a handful of photons mislead `fit_line`: the bins may still lie on a line, see `line_through`.
    affine = _follows(line, curve, trusted)
    if not affine:
        other = line_through(curve)
        if other.slope > 0 and _follows(other, curve, trusted):
            line, affine = other, True
    # A line bridges bins that hold structure; a curve would follow them.
    return _Noise(shape, line, curve if affine else curve[trusted], lines, is_white, textured, affine)


def _refined(
    blocks: Blocks, energy: Floats, shape: Shape, line: Line, flat: Floats, dof: float, bins: Bins
) -> tuple[Shape, Line, Floats, float]:
    """Return the measurement with the spectrum as it is, and as many degrees of freedom as it leaves."""
    level = expected(line, blocks.means, flat)
    keep = np.flatnonzero(is_flat(flat, level, dof))
    shape = measured_shape(energy, shape)
    relative = blocks.energy[keep] / (level[keep, None, None] * (shape.spectrum + LEAST))  # (K, v, u)
    size = len(shape.spectrum)
    share = np.where(inner_frequencies(size), shape.spectrum / (shape.spectrum + _SOFT), 0.0)
    # Where no block looks flat, all of them were taken for the spectrum, and say nothing about its frequencies.
    part = independent_part(relative / (relative.mean(0) + LEAST), share) if len(keep) else 1.0
    return shape, *_correlated_line(blocks, shape, bins, part)


def _correlated_line(blocks: Blocks, shape: Shape, bins: Bins, independent: float = 1.0) -> tuple[Line, Floats, float]:
    """Return the line for correlated noise, and the variance of each block with its degrees of freedom.

    How the variance depends on the signal is read from the higher frequencies, where structure is weak; its level
    from all.
    """
    size = blocks.energy.shape[1]
    flat, dof = _block_variance(blocks, shape, high_frequencies(size, shape.spectrum))
    line = fit_line(blocks.means, flat, dof * independent, bins)
    flat, dof = _block_variance(blocks, shape, inner_frequencies(size), soft=_SOFT)
    dof *= independent
    level = expected(line, blocks.means, flat)
    # The line keeps its steepness; all frequencies together set its level.
    return line.scaled(flat_variance(flat / level, dof)), flat, dof


def _mean_energy(blocks: Blocks, line: Line, flat: Floats, dof: float) -> tuple[Floats, int]:
    """Return the mean energies of the noise-only blocks, each divided by its variance, and how many these are."""
    level = expected(line, blocks.means, flat)
    keep = is_flat(flat, level, dof)
    # As in structure without noise: better all blocks than the mean of none, which is NaN.
    if not keep.any():
        keep[:] = True
    # In float32, as the energies: np.tensordot would turn all of them into float64 first.
    weight = (1 / level[keep] / keep.sum()).astype(np.float32)
    return np.tensordot(weight, blocks.energy[keep], 1).astype(np.float64), int(keep.sum())


def _block_variance(blocks: Blocks, shape: Shape, used: NDArray[np.bool_], soft: float = 0.0) -> tuple[Floats, float]:
    """Return the (N,) noise variance from each block, if its spectrum is this, and the degrees of freedom of each."""
    # Divided by its spectrum each frequency tells the variance equally well, so each gets the same weight.
    weight = np.where(used, 1 / (shape.spectrum + soft), 0.0)
    share = weight * shape.spectrum
    weight = (weight / share.sum()).astype(np.float32)
    variance = (blocks.energy.reshape(len(blocks), -1) @ weight.ravel()).astype(np.float64)
    # Degrees of freedom of a weighted sum of squares (Satterthwaite, Biometrics Bull. 2, 1946).
    return variance, float(share.sum() ** 2 / (share**2).sum())


def _model(levels: Levels, noise: _Noise | None, blocks: Blocks) -> NoiseModel:
    seen = NoiseModel(
        offset=levels.levels[0],
        levels=levels.levels,
        saturated_fraction=levels.saturated_fraction,
        saturation_level=levels.clip[1] if levels.saturated_fraction else None,
        pixels_sampled=blocks.pixels,
        method="high-pass",
    )
    if noise is None:
        return seen
    unit, dark = blocks.unit, float(np.quantile(blocks.means, LEVELS[0]))
    # Back from units of the range above the origin to grey values; variances scale with the square.
    curve = _ascending(noise.curve * [unit, unit**2] + [blocks.origin, 0.0])
    sigma = unit * float(np.sqrt(noise.line.at((levels.levels[1] - blocks.origin) / unit)))
    return dataclasses.replace(
        seen,
        offset=dark * unit + blocks.origin,
        gain=noise.line.slope * unit,
        read_noise=unit * float(np.sqrt(noise.line.at(dark))),
        rho_x=noise.shape.rho_x,
        rho_y=noise.shape.rho_y,
        row_stripes=noise.stripes[0] * sigma,
        column_stripes=noise.stripes[1] * sigma,
        curve=curve,
        affine=noise.affine or len(curve) < 2,
        textured=noise.textured,
        method="high-pass" if noise.is_white else "flat blocks",
    )


def _ascending(curve: Floats) -> tuple[tuple[float, float], ...]:
    # Bins of one mean, as few grey values give them, leave the variance there open: the first one counts.
    rising = np.concatenate([[True], np.diff(curve[:, 0]) > 0])
    return tuple((float(mean), float(variance)) for mean, variance in curve[rising])


def _follows(line: Line, curve: Floats, trusted: NDArray[np.bool_]) -> bool:
    """Return whether the line describes the noise.

    Bins with structure lie above a camera's line. Bins far below it, or above it though most of their blocks are flat,
    contradict it.
    """
    means, variances = curve.T
    level = line.at(means)
    wrong = trusted & ((variances < _WRONG * level) | (_WRONG * variances > level))
    # Of fewer bins that part is less than one: a single bin would contradict.
    return bool(trusted.sum() < 1 / _WRONG_PART or wrong.mean() < _WRONG_PART)
