"""Check whether a denoised image can be trusted: what was removed, plane by plane, and a verdict over all planes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label, maximum_position

from napari_genrecon.checks.blur import Blur
from napari_genrecon.checks.expected import Expected
from napari_genrecon.checks.residual import limit, residual_z, sigma_of
from napari_genrecon.checks.verdict import Place, Together, Verdict
from napari_genrecon.errors import MOST_LISTED
from napari_genrecon.noise import NoiseModel
from napari_genrecon.noise.model import ERROR

__all__ = ["PlaneCheck", "check_plane", "strongest", "verdict"]


@dataclass(frozen=True, slots=True)
class PlaneCheck:
    """Figures of one plane.

    Attributes
    ----------
    worst, limit : float
        The largest deviation, and the one that noise alone explains, in standard deviations.
    places : tuple of Place
        Separate places beyond the limit, the strongest first.
    erased, added : int
        Number of places of either kind.
    pixels : int
        Pixels that were compared.
    energy, energy2, along_x, along_y : float
        Sums of the squared normalised residual, of its fourth power, and of its products with the right and the lower
        neighbour.
    removed, light, chance : float
        Sums of the residual, of the image above the camera's offset, and of the variance of the noise.
    noise : NoiseModel
        Noise of this plane.
    """

    worst: float
    limit: float
    places: tuple[Place, ...]
    erased: int
    added: int
    pixels: int
    energy: float
    energy2: float
    along_x: float
    along_y: float
    removed: float
    light: float
    chance: float
    noise: NoiseModel


def check_plane(
    noisy: NDArray[np.floating],
    restored: NDArray[np.floating],
    noise: NoiseModel,
    *,
    step: float,
    plane: tuple[int, ...],
    pixels: int | None = None,
) -> tuple[PlaneCheck, NDArray[np.float32]]:
    """Compare one plane of a result with the image.

    Parameters
    ----------
    noisy, restored : (Y, X) ndarray
        Image and result, in the same grey values. Pixels that are not finite are left out.
    noise : NoiseModel
        Noise of the image.
    step : float
        Grey values from one number that can be stored to the next; 0 for floats.
    plane : tuple of int
        Indices of the plane, for the places.
    pixels : int, optional
        Pixels of all planes that are checked, which set the limit; of this plane if not given.

    Returns
    -------
    PlaneCheck
        The figures.
    (Y, X) ndarray of float32
        Largest deviation among the window widths at every pixel, in standard deviations.
    """
    known = np.isfinite(noisy) & np.isfinite(restored)
    # Equal where one of them is unknown, so that windows nearby see no difference there.
    noisy, restored = (np.where(known, image, 0.0) for image in (noisy, restored))
    # With the s.d. of the noise every deviation may be wrong by as much.
    most = (1 + ERROR) * limit(pixels or noisy.size)
    z = _strongest(residual_z(noisy, restored, noise, step=step))
    erased, added = (_places(z, sign, most, noisy - restored, plane) for sign in (1, -1))
    # Rounding adds a variance of step**2 / 12; the tiny value avoids a division by 0 without noise.
    sigma = np.hypot(sigma_of(noise, restored), max(step / math.sqrt(12), np.finfo(float).tiny))
    # Other than in `residual_z`, differences that rounding explains count in full: `sigma` holds their variance.
    e = (noisy - restored) / sigma
    found = sorted([*erased, *added], key=lambda place: -abs(place.z))
    figures = PlaneCheck(
        worst=float(np.abs(z).max(initial=0.0)),
        limit=most,
        places=tuple(found[:MOST_LISTED]),
        erased=len(erased),
        added=len(added),
        pixels=int(known.sum()),
        energy=float((e**2).sum()),
        energy2=float((e**4).sum()),
        along_x=float((e[:, 1:] * e[:, :-1]).sum()),
        along_y=float((e[1:] * e[:-1]).sum()),
        removed=float((noisy - restored).sum()),
        # What the camera gives without light does not count.
        light=float((noisy - noise.offset)[known].sum()),
        chance=float((sigma**2)[known].sum()) * _spread_of_sums(noise),
        noise=noise,
    )
    return figures, z


def _spread_of_sums(noise: NoiseModel) -> float:
    """Return how much larger the variance of a sum of many pixels is than with white noise, for an even decay."""
    # The sum of rho**|lag| over all lags; the limit keeps a correlation near 1 from excusing any change of intensity.
    along = (min(max(rho, 0.0), 0.95) for rho in (noise.rho_x, noise.rho_y))
    return math.prod((1 + rho) / (1 - rho) for rho in along)


def _strongest(maps: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the value (Y, X) furthest from 0 among several maps (W, Y, X), at every pixel."""
    # (1, Y, X)
    index = np.abs(maps).argmax(axis=0)[None]
    return np.take_along_axis(maps, index, axis=0)[0].astype(np.float32)


def _places(
    z: NDArray[np.float32], sign: int, most: float, difference: NDArray[np.float64], plane: tuple[int, ...]
) -> list[Place]:
    """Return the separate regions beyond the limit on one side, each by its most deviating pixel."""
    regions, count = label(sign * z > most)
    # Label 0 is what lies within the limit.
    peaks = maximum_position(sign * z, regions, range(1, count + 1)) if count else []
    return [Place(plane, int(y), int(x), float(z[y, x]), float(difference[y, x])) for y, x in peaks]


def verdict(
    planes: Iterable[PlaneCheck],
    blur: Blur | None = None,
    uncertainty: Expected | None = None,
    together: Together | None = None,
) -> Verdict:
    """Return the verdict over all planes; sums are used, so that every pixel counts the same."""
    found = list(planes)
    pixels, energy = sum(p.pixels for p in found), sum(p.energy for p in found)
    # A correlation is a sum of products by a sum of squares.
    share = 1 / energy if energy else 0.0
    light = sum(p.light for p in found)
    return Verdict(
        erased=sum(p.erased for p in found),
        added=sum(p.added for p in found),
        worst=max((p.worst for p in found), default=0.0),
        # The planes have one limit, that of the whole stack.
        limit=max((p.limit for p in found), default=limit(0)),
        variance=energy / pixels if pixels else math.nan,
        variance_chance=_chance_of_variance(found) if pixels else math.nan,
        correlation=(share * sum(p.along_x for p in found), share * sum(p.along_y for p in found)),
        expected=(_mean(found, "rho_x"), _mean(found, "rho_y")),
        light=sum(p.removed for p in found) / light if light > 0 else math.nan,
        chance=3 * math.sqrt(sum(p.chance for p in found)) / light if light > 0 else math.nan,
        places=strongest(found),
        blur=blur,
        together=together,
        uncertainty=uncertainty,
    )


def strongest(planes: Iterable[PlaneCheck]) -> tuple[Place, ...]:
    """Return the strongest places of several planes."""
    places = sorted((place for p in planes for place in p.places), key=lambda place: -abs(place.z))
    return tuple(places[:MOST_LISTED])


def _chance_of_variance(planes: list[PlaneCheck]) -> float:
    """Return how far the mean squared residual gets from the variance of the noise by chance: 3 standard errors."""
    pixels = sum(p.pixels for p in planes)
    mean = sum(p.energy for p in planes) / pixels
    # Variance of the squared residual.
    spread = sum(p.energy2 for p in planes) / pixels - mean**2
    grain = max(_spread_of_sums(p.noise) for p in planes)  # correlated pixels count less
    return 3 * math.sqrt(max(spread, 0.0) * grain / pixels)


def _mean(planes: list[PlaneCheck], name: str) -> float:
    pixels = sum(p.pixels for p in planes)
    # Channels may have noise of their own, and planes unknown pixels: each plane counts by its pixels.
    return sum(p.pixels * float(getattr(p.noise, name)) for p in planes) / pixels if pixels else 0.0
