"""Fill missing pixels with a denoiser as the prior.

Plug-and-play half-quadratic splitting (Zhang et al., "Plug-and-play image restoration with deep denoiser prior", IEEE
TPAMI 44, 2022, 6360-6376, eq. 6) takes turns: denoise at a falling level, then put the known pixels back. Here the
second step also carries what the denoiser got wrong at the known pixels over to the unknown ones, as residual
interpolation does in demosaicking (Kiku et al., ICIP 2013): ``x = d + K(y - d)``, where K is kriging with the
correlation that this residual has. A white residual (texture) carries nothing over, which is plain splitting; a smooth
one (blurred cells) is corrected everywhere. On smooth scenes that is worth several dB.

Samples come from the same steps with fresh noise of the present level added before each denoising (Kadkhodaie &
Simoncelli, "Stochastic solutions for linear inverse problems using the prior implicit in a denoiser", NeurIPS 2021,
algorithm 2): coarse structure is drawn first, detail later.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.numerics.gaussian_field import SMOOTHEST, interpolate, lag_one, shortness

__all__ = ["Denoise", "Draw", "Recipe", "apply_recipe", "find_recipe", "first_error", "hidden_error"]

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

Denoise = Callable[[Plane, float, tuple[float, float]], Plane]
"""``denoise(plane, sigma, rho)``, as `models.load_network` gives it."""

Draw = Callable[[int], Plane]
"""``draw(step)``: white noise of s.d. 1 for every pixel of the plane, another at every step."""

STEPS = 10
_FIRST, _LAST = 4.0, 0.1  # levels of the first and the last step, in errors of the start
_DENSE = 0.3  # part of the pixels from which a shifted mask would leave too few
_HIDDEN = 0.1  # of the known pixels, in a dense mask
_HIDING_SEED = 20_260_711  # unlike any that a mask was drawn with: equal numbers would hide nothing
_ROUNDS, _TOLERANCE = 80, 3e-4  # of a residual: looser ones make the result depend on the tiles
_CLEARLY, _FAR_CLEARLY = 0.98, 0.9  # of an error


@dataclass(frozen=True, slots=True)
class Recipe:
    """The constants of the steps, found once per channel, so that every tile and plane is filled alike.

    Attributes
    ----------
    start : float
        Of the first interpolation, see `kriging.interpolate`.
    levels : tuple of float
        What the denoiser is told at each step, in units of the values.
    residuals : tuple of float
        The shortness of the residual at each step.
    best : int
        After how many steps the estimate is best.
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
    """Find the constants on a crop that stands for the channel, by filling known pixels that are hidden.

    Yields before every run of the network.

    Parameters
    ----------
    values : (Y, X) ndarray of float32
        A crop, its mean about 0; of any value where it is unknown.
    unknown : (Y, X) ndarray of bool
        Its mask; some pixels must be known. The hidden pixels have its shape.
    noise, rho
        S.d. and lag-1 correlation (x, y) of the noise of known pixels; 0 where they are exact.
    denoise : callable
        The network.
    stride : int
        Of the network, in pixels: turned planes must lie on its grid as the plane itself does.
    """
    held = _hold(values, unknown)
    x, start = _first(held, unknown)
    plain = Recipe(start, _levels(held.error(x), noise), (), 0, noise, rho, (held.error(x),))
    smooth = yield from _rehearse(x, held, plain, denoise, stride, smoothest=True)
    measured = yield from _rehearse(x, held, plain, denoise, stride, smoothest=False)
    # Taking texture for smooth costs more elsewhere than the reverse, so that a near tie is none.
    clear = smooth.errors[smooth.best] < _FAR_CLEARLY * measured.errors[measured.best]
    return smooth if clear else measured


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """A crop of which some known pixels are hidden."""

    values: Plane
    missing: Mask  # unknown or hidden
    hidden: Mask

    def error(self, x: Plane) -> float:
        """R.m.s. error at the hidden pixels."""
        wrong = (x - self.values)[self.hidden]
        return float(np.sqrt(np.mean(wrong**2, dtype=np.float64))) if wrong.size else 0.0


def _hold(values: Plane, unknown: Mask) -> _Held:
    hidden = _hidden(unknown)
    return _Held(values, unknown | hidden, hidden)


def _first(held: _Held, unknown: Mask) -> tuple[Plane, float]:
    """The better of two interpolations: nearly biharmonic, or with the memory that the image itself has."""
    starts = (SMOOTHEST, shortness(lag_one(held.values, ~unknown)))
    found = [(interpolate(held.values, held.missing, k), k) for k in starts]
    return min(found, key=lambda pair: held.error(pair[0]))


def first_error(values: Plane, unknown: Mask) -> float:
    """R.m.s. error of the first interpolation, before any network runs."""
    held = _hold(values, unknown)
    return held.error(_first(held, unknown)[0])


def hidden_error(
    values: Plane, unknown: Mask, fill: Callable[[Plane, Mask], Generator[None, None, Plane]]
) -> Generator[None, None, float]:
    """R.m.s. error of a way to fill, at the known pixels that `find_recipe` hides."""
    held = _hold(values, unknown)
    return held.error((yield from fill(np.where(held.missing, 0, values), held.missing)))


def _rehearse(
    x: Plane, held: _Held, plain: Recipe, denoise: Denoise, stride: int, *, smoothest: bool
) -> Generator[None, None, Recipe]:
    """All steps, with the residual taken as smooth or as what it looks like, and what error they lead to."""
    residuals: list[float] = []
    errors = list(plain.errors)
    for step in range(len(plain.levels)):
        yield
        clean = _denoised(x, step, plain, denoise, stride)
        rest = np.where(held.missing, 0, held.values - clean)
        residuals.append(SMOOTHEST if smoothest else shortness(lag_one(rest, ~held.missing)))
        rest = interpolate(rest, held.missing, residuals[-1], rounds=_ROUNDS, tolerance=_TOLERANCE)
        x = np.where(held.missing, clean + rest, held.values)
        errors.append(held.error(x))
    return replace(plain, residuals=tuple(residuals), best=_best(errors), errors=tuple(errors))


def _best(errors: list[float]) -> int:
    """After how many steps to stop: all of them, unless stopping earlier is clearly better."""
    best = int(np.argmin(errors))
    return best if errors[best] < _CLEARLY * errors[-1] else len(errors) - 1


def _levels(error: float, noise: float) -> tuple[float, ...]:
    """Falling levels, from well above the error of the start to well below it, but not below the noise."""
    missing = float(np.sqrt(max(error**2 - noise**2, 0.0)))
    last = max(_LAST * missing, noise)
    if not last > 0:
        return ()
    return tuple(float(level) for level in np.geomspace(max(_FIRST * missing, 2 * last), last, STEPS))


def _hidden(unknown: Mask) -> Mask:
    """Known pixels to hide: the mask itself, shifted; of a dense mask some single pixels."""
    height, width = unknown.shape
    shifted = np.roll(unknown, (height // 3 + 1, width // 3 + 1), (0, 1)) & ~unknown
    if shifted.any() and unknown.mean() < _DENSE:
        return shifted
    return (np.random.default_rng(_HIDING_SEED).random(unknown.shape) < _HIDDEN) & ~unknown


def apply_recipe(
    values: Plane, unknown: Mask, recipe: Recipe, denoise: Denoise, stride: int, draw: Draw | None = None
) -> Generator[None, None, Plane]:
    """Fill the unknown pixels of a plane; yields before every run of the network.

    Parameters
    ----------
    values, unknown
        As for `find_recipe`.
    recipe : Recipe
        The constants of the channel.
    denoise, stride
        The network, and its stride in pixels.
    draw : callable, optional
        Where a sample is wanted instead of the best estimate.

    Returns
    -------
    (Y, X) ndarray of float32
        Equal to `values` where they are known.
    """
    x = interpolate(values, unknown, recipe.start)
    rest: Plane | None = None
    for step, k in enumerate(recipe.residuals[: recipe.best] if draw is None else recipe.residuals):
        yield
        noisy = x if draw is None else x + _missing_noise(unknown, recipe, step) * draw(step)
        clean = _denoised(noisy, step, recipe, denoise, stride)
        rest = interpolate(values - clean, unknown, k, start=rest, rounds=_ROUNDS, tolerance=_TOLERANCE)
        x = np.where(unknown, clean + rest, values)
    return x


def _missing_noise(unknown: Mask, recipe: Recipe, step: int) -> Plane:
    """(Y, X) s.d. of what must be added for the noise to have the level of this step everywhere."""
    level = recipe.levels[step]
    known = np.sqrt(max(level**2 - recipe.noise**2, 0.0))
    return np.where(unknown, level, known).astype(np.float32)


def _denoised(x: Plane, step: int, recipe: Recipe, denoise: Denoise, stride: int) -> Plane:
    """Denoise at the level of a step, turned another way at each: what the network prefers in one way averages out."""
    level = recipe.levels[step]
    share = min(recipe.noise / level, 1.0) ** 2  # the error of filled pixels is taken as white
    rho_x, rho_y = (r * share for r in recipe.rho)
    sideways = step % 2 == 1
    turned = np.ascontiguousarray(_turned(_padded(x, stride), step))
    clean = _turned_back(denoise(turned, level, (rho_y, rho_x) if sideways else (rho_x, rho_y)), step)
    return np.ascontiguousarray(clean[: x.shape[0], : x.shape[1]])


def _padded(x: Plane, stride: int) -> Plane:
    bottom, right = (-x.shape[0]) % stride, (-x.shape[1]) % stride
    return np.pad(x, ((0, bottom), (0, right)), mode="symmetric")


def _turned(x: Plane, step: int) -> Plane:
    turned = np.rot90(x, step % 4)
    return turned[:, ::-1] if step // 4 % 2 else turned


def _turned_back(x: Plane, step: int) -> Plane:
    return np.rot90(x[:, ::-1] if step // 4 % 2 else x, -(step % 4))
