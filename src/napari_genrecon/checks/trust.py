"""Check whether a denoised image can be trusted: what was removed, plane by plane, and a verdict over all planes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label, maximum_position

from napari_genrecon.checks.residual import residual_z
from napari_genrecon.noise import NoiseModel

__all__ = ["LIMIT", "PlaneCheck", "Verdict", "check_plane", "verdict"]

LIMIT = 6.0
"""Standard deviations beyond which noise alone is no explanation: it gets there in about one pixel in 10^9."""

_MOST_PLACES = 20  # listed, per plane and in a verdict
_WEAK = 0.8  # removed variance, in that of the noise, below which some noise was left
_STRONG = 1.25  # removed variance, in that of the noise, above which more than noise was removed
_STRUCTURED = 0.1  # correlation of what was removed, beyond that of the noise, from which it may hold structure


@dataclass(frozen=True, slots=True)
class Place:
    """Place where a result is further from the image than noise explains.

    Attributes
    ----------
    plane : tuple of int
        Indices of the plane.
    y, x : int
        Pixel with the largest deviation.
    z : float
        Deviation in standard deviations: positive where something was erased, negative where something was added.
    difference : float
        Image minus result at that pixel, in grey values.
    """

    plane: tuple[int, ...]
    y: int
    x: int
    z: float
    difference: float


@dataclass(frozen=True, slots=True)
class PlaneCheck:
    """Figures of one plane.

    Attributes
    ----------
    worst : float
        The largest deviation, in standard deviations.
    places : tuple of Place
        Separate places beyond the limit, the strongest first.
    erased, added : int
        Number of places of either kind.
    pixels : int
        Pixels that were compared.
    energy, along_x, along_y : float
        Sums of the squared normalised residual and of its products with the right and the lower neighbour.
    removed, light, chance : float
        Sums of the residual, of the image above the camera's offset, and of the variance of the noise.
    noise : NoiseModel
        Noise of this plane.
    """

    worst: float
    places: tuple[Place, ...]
    erased: int
    added: int
    pixels: int
    energy: float
    along_x: float
    along_y: float
    removed: float
    light: float
    chance: float
    noise: NoiseModel


@dataclass(frozen=True, slots=True)
class Verdict:
    """Figures of all planes together.

    Attributes
    ----------
    erased, added : int
        Places where the result is darker, or brighter, than the image by more than noise explains.
    worst : float
        The largest deviation, in standard deviations.
    variance : float
        Variance of what was removed, over that of the noise: 1 if it was all the noise and nothing else.
    correlation, expected : (float, float)
        Correlation of neighbours along x and y in what was removed, and in the noise.
    light, chance : float
        Sum of what was removed, as a share of the light in the image above the camera's offset: 0 if the intensity
        is kept; and how large that share becomes by chance, as three standard deviations.
    places : tuple of Place
        The strongest places.
    """

    erased: int
    added: int
    worst: float
    variance: float
    correlation: tuple[float, float]
    expected: tuple[float, float]
    light: float
    chance: float
    places: tuple[Place, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing exceeds the noise."""
        return not self.places

    def __str__(self) -> str:
        return "\n".join([self._structures(), self._amount(), *self._pattern(), f"intensity: {self._intensity()}"])

    def _structures(self) -> str:
        if self.passed:
            return f"structures: none was erased or added (largest deviation {self.worst:.1f} s.d., limit {LIMIT:g})"
        first = self.places[0]
        where = f"plane {', '.join(map(str, first.plane))}, " if first.plane else ""
        return (
            f"structures: {self.erased} places look erased or weakened, {self.added} added; the strongest at {where}"
            f"y {first.y}, x {first.x}: {first.z:+.0f} s.d. (limit {LIMIT:g}), {first.difference:+.3g} grey values\n"
            "→ Compare them with the image; if they are structures, lower the strength."
        )

    def _amount(self) -> str:
        text = f"removed: {self.variance:.2f} times the variance of the noise"
        if self.variance < _WEAK:
            return f"{text}; some noise is left in"
        return f"{text}; more than the noise" if self.variance > _STRONG else text

    def _pattern(self) -> list[str]:
        beyond = max(found - known for found, known in zip(self.correlation, self.expected, strict=True))
        if beyond <= _STRUCTURED:
            return []
        x, y = self.correlation
        return [
            f"→ What was removed is more correlated ({x:.2f} along x, {y:.2f} along y) than the noise "
            f"({self.expected[0]:.2f}, {self.expected[1]:.2f}): structure may be in it."
        ]

    def _intensity(self) -> str:
        if not math.isfinite(self.light):
            return "there is no light above the offset to compare"
        change, chance = -100 * self.light, 100 * self.chance
        return f"the light above the offset changed by {change:+.2f} % (noise alone explains {chance:.2f} %)"


def check_plane(
    noisy: NDArray[np.floating],
    restored: NDArray[np.floating],
    noise: NoiseModel,
    *,
    step: float,
    plane: tuple[int, ...],
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

    Returns
    -------
    PlaneCheck
        The figures.
    (Y, X) ndarray of float32
        Largest deviation among the window widths at every pixel, in standard deviations.
    """
    known = np.isfinite(noisy) & np.isfinite(restored)
    noisy, restored = (np.where(known, image, 0.0) for image in (noisy, restored))
    z = _strongest(residual_z(noisy, restored, noise, step=step))
    erased, added = (_places(z, sign, noisy - restored, plane) for sign in (1, -1))
    # Rounding adds a variance of step**2 / 12; the tiny value avoids a division by 0 without noise.
    sigma = np.hypot(noise.sigma_at(restored), max(step / math.sqrt(12), np.finfo(float).tiny))
    e = (noisy - restored) / sigma
    found = sorted([*erased, *added], key=lambda place: -abs(place.z))
    figures = PlaneCheck(
        worst=float(np.abs(z).max(initial=0.0)),
        places=tuple(found[:_MOST_PLACES]),
        erased=len(erased),
        added=len(added),
        pixels=int(known.sum()),
        energy=float((e**2).sum()),
        along_x=float((e[:, 1:] * e[:, :-1]).sum()),
        along_y=float((e[1:] * e[:-1]).sum()),
        removed=float((noisy - restored).sum()),
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
    index = np.abs(maps).argmax(axis=0)[None]
    return np.take_along_axis(maps, index, axis=0)[0].astype(np.float32)


def _places(z: NDArray[np.float32], sign: int, difference: NDArray[np.float64], plane: tuple[int, ...]) -> list[Place]:
    """Return the separate regions beyond the limit on one side, each by its most deviating pixel."""
    regions, count = label(sign * z > LIMIT)
    peaks = maximum_position(sign * z, regions, range(1, count + 1)) if count else []
    return [Place(plane, int(y), int(x), float(z[y, x]), float(difference[y, x])) for y, x in peaks]


def verdict(planes: Iterable[PlaneCheck]) -> Verdict:
    """Return the verdict over all planes; sums are used, so that every pixel counts the same."""
    found = list(planes)
    pixels, energy = sum(p.pixels for p in found), sum(p.energy for p in found)
    share = 1 / energy if energy else 0.0
    light = sum(p.light for p in found)
    places = sorted((place for p in found for place in p.places), key=lambda place: -abs(place.z))
    return Verdict(
        erased=sum(p.erased for p in found),
        added=sum(p.added for p in found),
        worst=max((p.worst for p in found), default=0.0),
        variance=energy / pixels if pixels else math.nan,
        correlation=(share * sum(p.along_x for p in found), share * sum(p.along_y for p in found)),
        expected=(_mean(found, "rho_x"), _mean(found, "rho_y")),
        light=sum(p.removed for p in found) / light if light > 0 else math.nan,
        chance=3 * math.sqrt(sum(p.chance for p in found)) / light if light > 0 else math.nan,
        places=tuple(places[:_MOST_PLACES]),
    )


def _mean(planes: list[PlaneCheck], name: str) -> float:
    pixels = sum(p.pixels for p in planes)
    return sum(p.pixels * float(getattr(p.noise, name)) for p in planes) / pixels if pixels else 0.0
