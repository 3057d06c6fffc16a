"""Find blobs by Laplacians of Gaussians, in images or volumes whose noise has s.d. 1.

A Laplacian of Gaussian of s.d. ``s`` answers most to a Gaussian blob of s.d. ``s / sqrt(D + 1)`` beside its own noise,
where D is the number of dimensions (set the derivative of ``s**(D/2 + 2) / (w**2 + s**2)**(D/2 + 1)`` to 0). What noise
makes of it follows from the noise's own spectrum. The answers are given in s.d. of that: z values.

Lindeberg, Int. J. Comput. Vis. 30, 1998 (blobs in scale space); Lowe, Int. J. Comput. Vis. 60, 2004 (curvatures at a
maximum tell a blob from an edge).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from napari_genrecon.normal import FWHM, REACH
from napari_genrecon.numerics.blobs.maxima import find_maxima, highest_around, refined

__all__ = [
    "LEAST_Z",
    "STEP",
    "Blobs",
    "Filters",
    "filter_widths",
    "find_blobs",
    "heights_at",
    "joined",
    "noise_density",
    "noise_field",
    "widest_halo",
    "z_maps",
]

Floats = NDArray[np.floating]

LEAST_Z = 2.5  # maxima below it are not kept: even among 500 blobs on 256 x 256 pixels they would be mostly noise
# Chosen on spots among discs, ellipses and boxes with sharp edges (`tools/benchmark.py detect`).
_ROUND = 0.4  # least roundness: noise alone leaves 98 % of the spots at z 5 above it
_LONGEST = 3.0  # length along Z by width that a small object may have under a filter; rods that are longer are none
STEP = 1.3  # ratio of neighbouring widths: a blob half-way between two loses less than 1 % of its z
# z, and part of the height, by which it must fall: noise on a ridge rises by 2 to 3. What is lower than the fall itself
# is hardly ever kept: it is not looked at, as that takes time.
_FALL, _MOST_OF_IT = 3.5, 0.8
_WINDOW = {2: 5.0, 3: 3.0}  # widths around in which higher places are looked for; the price in 3D is the cube
# Part of z by which it falls per pixel from the middle of a side that is shorter than the filters are wide, as in thin
# stacks: all is alike along it, and rounding would make several maxima.
_SLOPE = 1e-5
_LEAST_EXCESS = 0.25  # noise that its mirror image cancels; next to nothing is left only in images of few pixels
_SPECTRUM = 64  # samples of the spectrum per dimension from which roughness is computed
_LAGS = _SPECTRUM // 2  # pixels over which correlated noise is followed: all that such a spectrum holds


@dataclass(frozen=True, slots=True)
class Filters:
    """Widths of the filters, and the noise that they meet.

    Attributes
    ----------
    widths : tuple of float
        S.d. of the Gaussians, in pixels along X, ascending. The last one only serves to judge the growth of the others.
    rho : tuple of float
        Correlation of the noise of neighbours along each dimension, in (-1, 1).
    spacing : tuple of float
        Distance of neighbours along each dimension, in pixels along X.
    """

    widths: tuple[float, ...]
    rho: tuple[float, ...]
    spacing: tuple[float, ...]

    @property
    def sizes(self) -> tuple[float, ...]:
        """Full width at half maximum, in pixels along X, of the blob that each filter answers most to."""
        return tuple(FWHM * width / math.sqrt(len(self.rho) + 1) for width in self.widths)


@dataclass(frozen=True, slots=True, eq=False)
class Blobs:
    """Maxima of the filtered images.

    Attributes
    ----------
    places : (N, D) ndarray of float64
        In pixels; the centre of the first pixel is 0.
    z : (N,) ndarray of float32
        Height in s.d. of the noise.
    level : (N,) ndarray of int
        Index of the filter.
    evidence : (N,) ndarray of float32
        How sure a network is that it is a spot; 0 where none was asked.
    """

    places: NDArray[np.float64]
    z: NDArray[np.float32]
    level: NDArray[np.intp]
    evidence: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    def __post_init__(self) -> None:
        if not len(self.evidence):
            object.__setattr__(self, "evidence", np.zeros(len(self.z), np.float32))

    def __len__(self) -> int:
        return len(self.z)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Blobs:
        return Blobs(*(getattr(self, each.name)[chosen] for each in fields(self)))


def joined(parts: Sequence[Blobs], ndim: int) -> Blobs:
    """Return the blobs of all parts; `ndim` is the number of dimensions where there is no part."""
    if not parts:
        return Blobs(np.zeros((0, ndim)), np.zeros(0, np.float32), np.zeros(0, np.intp))
    return Blobs(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Blobs)))


def filter_widths(smallest: float, largest: float, ndim: int) -> tuple[float, ...]:
    """Return the widths of filters for blobs of these full widths at half maximum, in pixels."""
    first, last = (math.sqrt(ndim + 1) / FWHM * size for size in (smallest, largest))
    count = 1 + max(1, math.ceil(math.log(last / first) / math.log(STEP) - 1e-9)) if last > first else 1
    widths = np.geomspace(first, last, count) if count > 1 else np.array([first])
    return tuple(map(float, [*widths, widths[-1] * STEP, widths[-1] * STEP**2]))


def widest_halo(filters: Filters) -> tuple[int, ...]:
    """Return how many pixels around count for a pixel, per dimension."""
    return tuple(math.ceil(REACH * filters.widths[-1] / step) for step in filters.spacing)


def find_blobs(
    values: Floats,
    filters: Filters,
    edges: Sequence[tuple[bool, bool]] | None = None,
    *,
    spots_only: bool = True,
) -> Blobs:
    """Return the maxima of a plane or volume under every filter.

    Parameters
    ----------
    values : (Y, X) or (Z, Y, X) ndarray
        Finite, with noise of s.d. 1.
    filters : Filters
        Filters of as many dimensions.
    edges : sequence of (bool, bool), optional
        Whether the image ends at the first and last pixel of each dimension, as it does by default, or was cut.
    spots_only : bool
        Leave out maxima with the shape of an edge: those that are not round, that grow with the width of the filter,
        or that lie on a ridge.
    """
    ends = edges or [(True, True)] * values.ndim
    maps = _Maps(values, filters)
    planes = [maps.filtered(index) for index in range(len(filters.widths) - (0 if spots_only else 2))]
    parts = []
    for index, z in enumerate(planes[: len(filters.widths) - 2]):
        found, roundness = _maxima(z, index, filters)
        if spots_only:
            growth = _around(planes[index + 2], found.places, filters, index) / found.z
            # On the edge of a large object z grows as the width of the filter, on a spot it does not: half-way between,
            # in the logarithm, for filters of two steps.
            found = found[(roundness > _ROUND) & (growth < STEP)]
        z_scale = np.sqrt(maps.mirrored(index, found.places, ends))
        found = replace(found, z=(found.z / z_scale).astype(np.float32))[found.z > LEAST_Z * z_scale]
        parts.append(found[_is_alone(z, found, filters, index)] if spots_only else found)
    return joined(parts, values.ndim)


def z_maps(values: Floats, filters: Filters) -> NDArray[np.float32]:
    """Return the image under every filter, (L, ..., Y, X), in s.d. of the noise."""
    maps = _Maps(values, filters)
    return np.stack([maps.filtered(index) for index in range(len(filters.widths))]).astype(np.float32, copy=False)


def heights_at(
    values: Floats, places: NDArray[np.float64], levels: NDArray[np.intp], filters: Filters
) -> NDArray[np.float32]:
    """Return the z of a few places (N, 2) of a plane, each under the filter of its level: not all z are computed."""
    z = np.zeros(len(places), np.float32)
    for index in np.unique(levels):
        here, reach = levels == index, math.ceil(REACH * filters.widths[index])
        grid = (fft.next_fast_len(2 * reach + 1, real=True),) * 2
        steps = np.arange(-reach, reach + 1)
        kernel = fft.irfftn(_transfer(grid, filters, int(index)), grid)[np.ix_(steps, steps)]
        kernel /= math.sqrt(_variance(grid, filters, int(index)))
        kernel -= kernel.mean()  # it was cut, and a background must not count
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, reach, mode="symmetric"), kernel.shape)
        z[here] = [np.vdot(windows[y, x], kernel) for y, x in np.round(places[here]).astype(int)]
    return z


def noise_density(filters: Filters, index: int, z: Floats) -> NDArray[np.float64]:
    """Return how many maxima above `z` noise alone has per pixel, under one filter.

    This is the density of the Euler characteristic of a Gaussian field above a high level (Worsley et al., Hum. Brain
    Mapp. 4, 1996, table 1), from its roughness, the second moments of the spectrum.
    """
    ndim = len(filters.rho)
    roughness = _roughness(filters, index)
    high = np.asarray(z, np.float64)
    shape = high if ndim == 2 else high**2 - 1
    return np.asarray(roughness * (2 * np.pi) ** (-(ndim + 1) / 2) * shape * np.exp(-(high**2) / 2))


@lru_cache(maxsize=64)
def _roughness(filters: Filters, index: int) -> float:
    """Return the product over dimensions of the s.d. of the slope of z, per pixel."""
    grid = (_SPECTRUM,) * len(filters.rho)
    squares = sum(_squares_along(grid, filters.spacing))
    power = (squares * np.exp(-squares * (filters.widths[index] ** 2 / 2))) ** 2 * _power(grid, filters.rho)
    power[..., 1:-1] *= 2  # of a real transform, the other half is the same
    moments = [
        float((power * waves.reshape([-1 if i == axis else 1 for i in range(len(grid))]) ** 2).sum() / power.sum())
        for axis, waves in enumerate(_waves(grid))
    ]
    return math.prod(map(math.sqrt, moments))


def noise_field(shape: tuple[int, ...], rho: Sequence[float], rng: np.random.Generator) -> Floats:
    """Return Gaussian noise of s.d. 1 with this correlation of neighbours."""
    white = rng.standard_normal(shape, np.float32)
    if not any(rho):
        return white
    power = _power(shape, tuple(rho))
    return np.asarray(fft.irfftn(fft.rfftn(white) * np.sqrt(power), shape))


class _Maps:
    """Filtered images, in s.d. of the noise. Beyond its edges an image is mirrored."""

    def __init__(self, values: Floats, filters: Filters) -> None:
        self._filters, self._shape = filters, values.shape
        halo = widest_halo(filters)
        # Noise is described on a grid that is as long as the image and the reach of the filters on both sides.
        self._grid = tuple(
            fft.next_fast_len(n + 2 * reach, real=True) for n, reach in zip(values.shape, halo, strict=True)
        )
        # Mirrored once, an image repeats itself, as it does in a Fourier transform, and needs nothing more beside it
        # where the filters reach further than its length, as along Z.
        once = [2 * n < whole for n, whole in zip(values.shape, self._grid, strict=True)]
        around = [(0, n) if one else (reach, reach) for n, reach, one in zip(values.shape, halo, once, strict=True)]
        padded = np.pad(values.astype(np.float32) - np.float32(values.mean()), around, mode="symmetric")
        self._work = tuple(n if one else whole for n, whole, one in zip(padded.shape, self._grid, once, strict=True))
        self._inside = tuple(slice(first, first + n) for (first, _), n in zip(around, values.shape, strict=True))
        self._spectrum = fft.rfftn(padded, self._work)
        self._weight = np.float32(1)
        for axis, (n, step, one) in enumerate(zip(values.shape, filters.spacing, once, strict=True)):
            if one and n * step < filters.widths[-1]:
                slope = 1 - _SLOPE * np.abs(np.arange(n) - n // 2)
                self._weight = self._weight * slope.astype(np.float32).reshape([-1, *(1,) * (values.ndim - 1 - axis)])

    def filtered(self, index: int) -> Floats:
        """Return the image under one filter."""
        transfer = _transfer(self._work, self._filters, index)
        found = fft.irfftn(self._spectrum * transfer, self._work)[self._inside]
        return np.asarray(found * self._weight / np.float32(math.sqrt(_variance(self._grid, self._filters, index))))

    def mirrored(self, index: int, places: NDArray[np.float64], ends: Sequence[tuple[bool, bool]]) -> Floats:
        """Return the variance of the noise at places, 1 far from the edges, where the image meets its mirror image.

        The noise at distance d from an edge is added to its mirror image at distance 2 d: for a filter of covariance R,
        the variance becomes ``R(0) + R(2 d)``, and likewise for several edges.
        """
        moments = _moments(self._grid, self._filters, index)
        seen: list[NDArray[np.float64]] = []
        for axis, ((first, last), length, n) in enumerate(zip(ends, self._shape, self._grid, strict=True)):
            at = np.round(places[:, axis]).astype(int)
            both = [(first, 2 * at + 1), (last, 2 * (length - 1 - at) + 1)]
            # To the place itself, and to its mirror images.
            lags = [0 * at, *(np.minimum(lag, n // 2) for is_end, lag in both if is_end)]
            seen.append(np.sum([moments[axis][:, lag] for lag in lags], axis=0))
        return np.maximum(_covariance(seen) / _variance(self._grid, self._filters, index), _LEAST_EXCESS)


@lru_cache(maxsize=24)  # filters of the tiles of one image, and of its last tiles
def _transfer(grid: tuple[int, ...], filters: Filters, index: int) -> Floats:
    """Return the transfer function of a filter."""
    along = _squares_along(grid, filters.spacing)
    # One exponential of all would take several times as long as the product.
    fall = math.prod(np.exp(-squares * (filters.widths[index] ** 2 / 2)) for squares in along)
    return np.asarray(sum(along) * fall, np.float32)


@lru_cache(maxsize=96)
def _moments(grid: tuple[int, ...], filters: Filters, index: int) -> list[NDArray[np.float64]]:
    """Return per dimension, by distance, what `_covariance` makes the covariance of the noise behind a filter of.

    The power of that noise is the square of a sum over dimensions times a product over them: its transform needs those
    along one dimension only, of the summands to the powers 0, 1 and 2.
    """
    found = []
    for n, step, near in zip(grid, filters.spacing, filters.rho, strict=True):
        (squares,) = _squares_along((n,), (step,))
        power = np.exp(-squares * filters.widths[index] ** 2) * _power((n,), (near,))
        found.append(fft.irfft([power, power * squares, power * squares**2], n)[:, : n // 2 + 1])
    return found


def _covariance(moments: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the covariance of the noise from its moments (3, ...) along every dimension."""
    # As by the binomial theorem: (a + b)**2 = a**2 + 2 a b + b**2
    none, one, two = moments[0]
    for more in moments[1:]:
        none, one, two = (
            none * more[0],
            one * more[0] + none * more[1],
            two * more[0] + 2 * one * more[1] + none * more[2],
        )
    return np.asarray(two)


def _variance(grid: tuple[int, ...], filters: Filters, index: int) -> float:
    """Return the variance of the noise behind a filter."""
    return float(_covariance([each[:, 0] for each in _moments(grid, filters, index)]))


def _squares_along(grid: tuple[int, ...], spacing: tuple[float, ...]) -> list[NDArray[np.float64]]:
    """Return the squared angular frequencies, per pixel along X, of a real Fourier transform along each dimension."""
    shapes = [[-1 if i == axis else 1 for i in range(len(grid))] for axis in range(len(grid))]
    along = zip(_waves(grid), spacing, shapes, strict=True)
    return [(waves / step).reshape(shape) ** 2 for waves, step, shape in along]


def _waves(grid: tuple[int, ...]) -> list[NDArray[np.float64]]:
    return [2 * np.pi * fft.fftfreq(n) for n in grid[:-1]] + [2 * np.pi * fft.rfftfreq(grid[-1])]


def _power(grid: tuple[int, ...], rho: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the power spectrum of noise of variance 1 whose correlation falls with distance as a Gaussian does."""
    total, lags = np.ones(1), np.arange(1, _LAGS)
    for axis, (waves, near) in enumerate(zip(_waves(grid), rho, strict=True)):
        series = np.sign(near) ** lags * np.abs(near) ** (lags**2.0)
        power = 1 + 2 * series @ np.cos(np.outer(lags, waves))
        total = total * np.maximum(power, 0).reshape([-1 if i == axis else 1 for i in range(len(grid))])
    return total


def _maxima(z: Floats, index: int, filters: Filters) -> tuple[Blobs, Floats]:
    """Return the pixels that no neighbour exceeds, to a fraction of a pixel, and how round each maximum is.

    Roundness is the least curvature divided by the largest: 1 for a round blob, about 0 on a straight edge. In volumes,
    length along Z does not count.
    """
    where = find_maxima(z, LEAST_Z)
    places, bend = refined(z, where, filters.spacing)
    curvatures = np.linalg.eigvalsh(-(bend if z.ndim == 2 else _shortened(bend)))
    roundness = np.maximum(curvatures[:, 0], 0) / np.maximum(curvatures[:, -1], 1e-12)
    return Blobs(places, z[tuple(where.T)].astype(np.float32), np.full(len(where), index, np.intp)), roundness


def _shortened(bend: Floats) -> Floats:
    """Return the second derivatives (N, 3, 3) that maxima would have if they were as long along Z as they are wide.

    A microscope blurs two to five times more along Z than across, so that small objects are long, and not round.
    """
    across, along = np.trace(bend[:, 1:, 1:], axis1=1, axis2=2) / 2, np.minimum(bend[:, 0, 0], -1e-12)
    scale = np.ones((len(bend), 3))
    scale[:, 0] = np.sqrt(np.clip(across / along, 1, _LONGEST**2))
    return bend * scale[:, :, None] * scale[:, None, :]


def _around(z: Floats, places: NDArray[np.float64], filters: Filters, index: int) -> Floats:
    """Return the highest value within half a filter's width of each place."""
    sides = [2 * math.ceil(filters.widths[index] / 2 / step) + 1 for step in filters.spacing]
    return np.asarray(highest_around(z, sides)[tuple(np.round(places).astype(int).T)])


def _is_alone(z: Floats, blobs: Blobs, filters: Filters, index: int) -> NDArray[np.bool_]:
    """Return which blobs are separated from every higher place around by a fall, as one on a ridge is not."""
    reach = [math.ceil(_WINDOW[z.ndim] * filters.widths[index] / step) for step in filters.spacing]
    alone = np.ones(len(blobs), bool)
    centres = np.round(blobs.places).astype(int)
    for i in np.flatnonzero(blobs.z >= _FALL):
        around = tuple(slice(max(0, at - n), at + n + 1) for at, n in zip(centres[i], reach, strict=True))
        part, centre = z[around], tuple(min(at, n) for at, n in zip(centres[i], reach, strict=True))
        if part.max() <= part[centre]:
            continue
        parts, _ = ndimage.label(part > part[centre] - min(_FALL, _MOST_OF_IT * part[centre]))
        alone[i] = part[parts == parts[centre]].max() <= part[centre]
    return alone
