"""Fill missing pixels with a denoiser as the prior.

Plug-and-play half-quadratic splitting (Zhang et al., "Plug-and-play image restoration with deep denoiser prior", IEEE
TPAMI 44, 2022, 6360-6376, eq. 6) alternates two steps: denoise at a falling level, then put the known pixels back.
Here the second step also corrects the unknown pixels by the denoiser's error at the known ones, as residual
interpolation does in demosaicking (Kiku et al., ICIP 2013): ``x = d + K(y - d)``, where K is kriging with the
correlation of this residual. A white residual (texture) corrects nothing, which is plain splitting; a smooth one
(blurred cells) corrects everything. On smooth scenes this gains several dB.

Samples are drawn by the same steps with new noise of the present level added before each denoising (Kadkhodaie &
Simoncelli, "Stochastic solutions for linear inverse problems using the prior implicit in a denoiser", NeurIPS 2021,
algorithm 2): coarse structure is drawn first, detail later.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.numerics.gaussian_field import SMOOTHEST, interpolate, lag_one, shortness
from napari_genrecon.numerics.inpaint_inputs import TOLERANCE
from napari_genrecon.numerics.symmetries import WAYS, turned, turned_back

__all__ = [
    "DRAWN", "ROUNDS", "STEPS", "Denoise", "Draw", "Recipe", "apply_recipe", "find_recipe", "first_error",
    "hidden_error", "spread_factor",
]  # fmt: skip

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

Denoise = Callable[[Plane, float, tuple[float, float]], Plane]
"""``denoise(plane, sigma, rho)``, as `models.load_network` gives it."""

Draw = Callable[[int], Plane]
"""``draw(step)``: new white noise of s.d. 1 for every pixel of the plane, at every step."""

STEPS = 10
"""Steps of plug-and-play: time grows with them; fewer make each fall of the level too large."""

DRAWN = 8
"""Samples at the most whose spread is compared with the error: more take longer and tell little more."""

ROUNDS = 80
"""Of the interpolation of a residual: fewer make the result depend on the tiles."""

_FIRST, _LAST = 4.0, 0.1  # levels of the first and the last step, in r.m.s. errors of the first interpolation
_DENSE = 0.3  # share of missing pixels from which a mask is dense: shifted over itself it would leave too few known
_HIDDEN = 0.1  # share of the known pixels to hide if the mask is dense: enough for an error, few enough to fill from
_HIDING_SEED = 20_260_711  # unlike the seed of any mask: the same random numbers would hide no known pixel
_WITHIN = 0.97  # share of hidden pixels that shall lie within 2 s.d.: of masked ones, which vary more, 90 % then do
_CLEARLY = 0.98  # ratio of errors below which fewer steps are better than all of them, and not by chance
_FAR_CLEARLY = 0.9  # ratio of errors below which the residual is taken as smooth; see `find_recipe`


@dataclass(frozen=True, slots=True)
class Recipe:
    """Constants of the steps, found once per channel, so that every tile and plane is filled alike.

    Attributes
    ----------
    start : float
        Shortness of the first interpolation; see `numerics.gaussian_field.interpolate`.
    levels : tuple of float
        Noise s.d. that the denoiser removes at each step, in units of the values.
    residuals : tuple of float
        Shortness of the residual at each step.
    best : int
        Number of steps after which the estimate is best.
    noise : float
        S.d. of the noise of the known pixels.
    rho : (float, float)
        Its lag-1 correlation along x and y.
    errors : tuple of float
        R.m.s. error at known pixels that were hidden: at the start, and after each step.
    """

    start: float
    levels: tuple[float, ...]
    residuals: tuple[float, ...]
    best: int
    noise: float
    rho: tuple[float, float]
    errors: tuple[float, ...]


def find_recipe(
    values: Plane, unknown: Mask, noise: float, rho: tuple[float, float], denoise: Denoise, stride: int
) -> Generator[None, None, Recipe]:
    """Find the constants on a typical crop of the channel, by hiding known pixels and filling them.

    Yields before every run of the network.

    Parameters
    ----------
    values : (Y, X) ndarray of float32
        The crop, with a mean of about 0; unknown pixels may have any value.
    unknown : (Y, X) ndarray of bool
        Its mask; some pixels must be known. The hidden pixels form areas of the same shapes.
    noise, rho
        S.d. and lag-1 correlation (x, y) of the noise of known pixels; 0 where they are exact.
    denoise : callable
        The network.
    stride : int
        Stride of the network in pixels: turned planes must lie on the same grid as the plane itself.
    """
    held = _hold(values, unknown)
    x, start = _first(held, unknown)
    # Without residuals yet: both runs share its levels, so that their errors can be compared.
    plain = Recipe(start, _levels(held.error(x), noise), (), 0, noise, rho, (held.error(x),))
    smooth = yield from _run_hidden(x, held, plain, denoise, stride, smoothest=True)
    measured = yield from _run_hidden(x, held, plain, denoise, stride, smoothest=False)
    # Texture that is filled as smooth loses more in other tiles than the reverse, so smooth must win clearly.
    clear = smooth.errors[smooth.best] < _FAR_CLEARLY * measured.errors[measured.best]
    return smooth if clear else measured


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """A crop of which some known pixels are hidden."""

    values: Plane
    missing: Mask  # unknown or hidden
    hidden: Mask

    def error(self, x: Plane) -> float:
        """Return the r.m.s. error at the hidden pixels."""
        wrong = (x - self.values)[self.hidden]
        return float(np.sqrt(np.mean(wrong**2, dtype=np.float64))) if wrong.size else 0.0


def _hold(values: Plane, unknown: Mask) -> _Held:
    hidden = _hidden(unknown)
    return _Held(values, unknown | hidden, hidden)


def _first(held: _Held, unknown: Mask) -> tuple[Plane, float]:
    """Return the better of two interpolations, nearly biharmonic or with the correlation of the image, and its k."""
    # For smooth scenes and for texture.
    starts = (SMOOTHEST, shortness(lag_one(held.values, ~unknown)))
    found = [(interpolate(held.values, held.missing, k), k) for k in starts]
    return min(found, key=lambda pair: held.error(pair[0]))


def first_error(values: Plane, unknown: Mask) -> float:
    """Return the r.m.s. error of the first interpolation, before any network runs."""
    held = _hold(values, unknown)
    return held.error(_first(held, unknown)[0])


def hidden_error(
    values: Plane, unknown: Mask, fill: Callable[[Plane, Mask], Generator[None, None, Plane]]
) -> Generator[None, None, float]:
    """Return the r.m.s. error of a way to fill, at the known pixels that `find_recipe` hides."""
    held = _hold(values, unknown)
    # Hidden values are really taken away, so that no way to fill can see them.
    return held.error((yield from fill(np.where(held.missing, 0, values), held.missing)))


def spread_factor(
    values: Plane, unknown: Mask, recipe: Recipe, denoise: Denoise, stride: int, draws: int
) -> Generator[None, None, float]:
    """Return by how much the spread of samples is too small, at known pixels that are hidden.

    Samples of a denoiser's prior differ less than they miss the truth. Yields before every run of the network.

    Parameters
    ----------
    values, unknown, recipe, denoise, stride
        See `apply_recipe`.
    draws : int
        Number of samples that are drawn; their s.d. is the more uncertain the fewer they are.

    Returns
    -------
    float
        Factor of the s.d., at least 1, with which 97 % of the hidden pixels lie within two of them and of the noise.
    """
    hidden, rng = _hidden_often(unknown), np.random.default_rng(_HIDING_SEED)
    held = _Held(values, unknown | hidden, hidden)
    if not held.hidden.any():
        return 1.0
    known = np.where(held.missing, 0, values)
    samples = []
    for _ in range(min(draws, DRAWN)):
        # Here noise need not depend on the place: there are no tiles.
        draw = lambda _step: rng.standard_normal(values.shape, np.float32)  # noqa: E731
        samples.append((yield from apply_recipe(known, held.missing, recipe, denoise, stride, draw)))
    mean, spread = np.mean(samples, axis=0)[held.hidden], np.std(samples, axis=0)[held.hidden]
    # Wanted: |mean - value| <= 2 * sqrt((factor * spread)**2 + noise**2), solved for the factor.
    missed = np.maximum((mean - values[held.hidden]) ** 2 / 4 - recipe.noise**2, 0)  # what two s.d. must reach
    # Where all samples agree by chance, the factor is huge and not infinite; the quantile passes over it.
    needed = np.sqrt(missed) / np.maximum(spread, np.finfo(np.float32).tiny)
    return max(1.0, float(np.quantile(needed, _WITHIN)))


def _run_hidden(
    x: Plane, held: _Held, plain: Recipe, denoise: Denoise, stride: int, *, smoothest: bool
) -> Generator[None, None, Recipe]:
    """Run all steps with hidden pixels, the residual taken as smooth or with its measured correlation.

    Returns the recipe with the shortness of every residual and the error after every step.
    """
    residuals: list[float] = []
    errors = list(plain.errors)
    for step in range(len(plain.levels)):
        yield
        # The first step of splitting (eq. 6): the prior, which is the denoiser.
        clean = _denoised(x, step, plain, denoise, stride)
        rest = np.where(held.missing, 0, held.values - clean)
        # The correlation of the residual is measured at known pixels, at every step anew.
        residuals.append(SMOOTHEST if smoothest else shortness(lag_one(rest, ~held.missing)))
        rest = interpolate(rest, held.missing, residuals[-1], rounds=ROUNDS, tolerance=TOLERANCE)
        # The second step: known pixels are put back, unknown ones are corrected by the kriged residual.
        x = np.where(held.missing, clean + rest, held.values)
        errors.append(held.error(x))
    return replace(plain, residuals=tuple(residuals), best=_best(errors), errors=tuple(errors))


def _best(errors: list[float]) -> int:
    """Return after how many steps to stop: all of them, unless stopping earlier is clearly better."""
    best = int(np.argmin(errors))
    return best if errors[best] < _CLEARLY * errors[-1] else len(errors) - 1


def _levels(error: float, noise: float) -> tuple[float, ...]:
    """Return falling levels, from well above the first error to well below it, but not below the noise."""
    # Hidden pixels are noisy themselves: their noise is no error of the filling.
    missing = float(np.sqrt(max(error**2 - noise**2, 0.0)))
    last = max(_LAST * missing, noise)
    if not last > 0:
        return ()
    # At least twice the last level to begin with, so that levels fall even where noise hides the error.
    return tuple(float(level) for level in np.geomspace(max(_FIRST * missing, 2 * last), last, STEPS))


def _hidden(unknown: Mask) -> Mask:
    """Return the known pixels to hide: the mask shifted by a third of the crop, or single pixels if it is dense."""
    height, width = unknown.shape
    # Rolled, so that what leaves the crop on one side comes in on the other: no part of the mask is lost.
    shifted = np.roll(unknown, (height // 3 + 1, width // 3 + 1), (0, 1)) & ~unknown
    if shifted.any() and unknown.mean() < _DENSE:
        return shifted
    return (np.random.default_rng(_HIDING_SEED).random(unknown.shape) < _HIDDEN) & ~unknown


def _hidden_often(unknown: Mask) -> Mask:
    """Return the known pixels to hide where one place tells too little: the mask shifted to many places."""
    height, width = unknown.shape
    hidden = np.zeros_like(unknown)
    for y, x in ((1, 1), (2, 2), (1, 2), (2, 1), (0, 1), (1, 0), (0, 2), (2, 0)):
        shifted = np.roll(unknown, (y * height // 3 + 1, x * width // 3 + 1), (0, 1)) & ~unknown
        # Enough pixels must stay known to fill the hidden ones from.
        if (unknown | hidden | shifted).mean() < _DENSE:
            hidden |= shifted
    return hidden if hidden.any() else _hidden(unknown)


def apply_recipe(
    values: Plane, unknown: Mask, recipe: Recipe, denoise: Denoise, stride: int, draw: Draw | None = None
) -> Generator[None, None, Plane]:
    """Fill the unknown pixels of a plane; yields before every run of the network.

    Parameters
    ----------
    values, unknown
        See `find_recipe`.
    recipe : Recipe
        The constants of the channel.
    denoise, stride
        The network, and its stride in pixels.
    draw : callable, optional
        Source of noise: draws a sample instead of the best estimate.

    Returns
    -------
    (Y, X) ndarray of float32
        Equal to `values` where they are known.
    """
    x = interpolate(values, unknown, recipe.start)
    rest: Plane | None = None
    # A sample takes all steps, also those that no longer help the mean: they draw the fine detail.
    for step, k in enumerate(recipe.residuals[: recipe.best] if draw is None else recipe.residuals):
        yield
        # Algorithm 2 of Kadkhodaie & Simoncelli: noise of the present level, known pixels included.
        noisy = x if draw is None else x + _missing_noise(unknown, recipe, step) * draw(step)
        clean = _denoised(noisy, step, recipe, denoise, stride)
        # Begun with the residual of the step before, which is close: fewer rounds are needed.
        rest = interpolate(values - clean, unknown, k, start=rest, rounds=ROUNDS, tolerance=TOLERANCE)
        x = np.where(unknown, clean + rest, values)
    return x


def _missing_noise(unknown: Mask, recipe: Recipe, step: int) -> Plane:
    """Return the (Y, X) s.d. of the noise to add, so that every pixel has the level of this step."""
    level = recipe.levels[step]
    # Known pixels have noise of their own; variances add up to the level.
    known = np.sqrt(max(level**2 - recipe.noise**2, 0.0))
    return np.where(unknown, level, known).astype(np.float32)


def _denoised(x: Plane, step: int, recipe: Recipe, denoise: Denoise, stride: int) -> Plane:
    """Denoise at the level of a step, turned differently at each, as the network prefers some directions."""
    level = recipe.levels[step]
    share = min(recipe.noise / level, 1.0) ** 2  # the error of filled pixels is taken as white
    rho_x, rho_y = (r * share for r in recipe.rho)
    way = step % WAYS
    rho = (rho_y, rho_x) if way % 2 else (rho_x, rho_y)
    # torch takes no arrays with negative strides, which turning makes.
    clean = turned_back(denoise(np.ascontiguousarray(turned(_padded(x, stride), way)), level, rho), way)
    # Padding is cut off after turning back, when it is at the bottom and the right again.
    return np.ascontiguousarray(clean[: x.shape[0], : x.shape[1]])


def _padded(x: Plane, stride: int) -> Plane:
    bottom, right = (-x.shape[0]) % stride, (-x.shape[1]) % stride
    return np.pad(x, ((0, bottom), (0, right)), mode="symmetric")
