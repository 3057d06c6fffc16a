"""Tell of objects that are wider than the largest size that was asked for, and so were left out.

The size of an object is that of the Gaussian blob for which it stands highest: a maximum in the image and over all
widths (Lindeberg, Int. J. Comput. Vis. 30, 1998). A group of spots has none that is as high as its spots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_genrecon.noise import NoiseModel
from napari_genrecon.normal import FWHM
from napari_genrecon.numerics.blobs.filters import LEAST_Z, Blobs, Filters, find_blobs, widest_halo
from napari_genrecon.numerics.resample import binned
from napari_genrecon.plural import number_of
from napari_genrecon.tasks.detect.candidates import tried_sizes
from napari_genrecon.tasks.detect.finders import Finder, LogFinder
from napari_genrecon.tasks.detect.options import DetectOptions
from napari_genrecon.tasks.detect.planes import Found
from napari_genrecon.tasks.detect.selection import Selection, without_doubles

__all__ = ["WideFinder", "left_out", "wide_finders", "wide_note"]

Floats = NDArray[np.float64]

_STEP = math.sqrt(2)  # ratio of neighbouring sizes
_BEFORE = 2  # sizes up to the largest that was asked for: what stands highest under these is not wider
# Pixels along a side to which planes count, and times the largest size that was asked for to which objects in volumes
# do: wider filters take minutes, not seconds.
_SIDE, _IN_3D = 1024, 6.0
_FEW = 0.02  # of the points: so few wide objects say nothing, as touching spots look like one
_MOST = 0.9  # part of the wide objects that the size to try is for


@dataclass(frozen=True, slots=True)
class WideFinder:
    """Maxima under wide filters, in binned pixels: details do not count.

    Attributes
    ----------
    sizes : tuple of float
        Full widths at half maximum, in pixels along X, ascending.
    noise : NoiseModel
        Noise of the channel.
    spacing : tuple of float
        Distance of neighbours along each dimension, in pixels along X.
    """

    sizes: tuple[float, ...]
    noise: NoiseModel
    spacing: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Width of each filter by that of its blob, by which blobs are highest among all widths on one scale."""
        return math.sqrt(2 / len(self.spacing))

    @property
    def filters(self) -> Filters:
        """The filters, the last two only for their reach."""
        widths = tuple(self.ratio * size / FWHM for size in self.sizes)
        rho = (0.0, self.noise.rho_y, self.noise.rho_x)[-len(self.spacing) :]
        return Filters((*widths, widths[-1], widths[-1]), rho, self.spacing)

    @property
    def stride(self) -> int:
        """Pixels along either side of a plane that are binned to one."""
        # The narrowest filter keeps an s.d. of a pixel.
        return max(1, int(self.sizes[0] / FWHM))

    @property
    def halo(self) -> tuple[int, ...]:
        """Reach of the widest filter, in whole bins; nothing along Z, which is never cut."""
        *_, y, x = (self.stride * math.ceil(n / self.stride) for n in widest_halo(self.filters))
        return (y, x) if len(self.spacing) == 2 else (0, y, x)

    def tile(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the lengths of a part that takes less than two seconds, in whole bins."""
        *outer, y, x = LogFinder(self.filters).tile(shape)
        return (*outer, *(self.stride * math.ceil(n / self.stride) for n in (y, x)))

    def __call__(self, values: NDArray[np.float32], ends: Sequence[tuple[bool, bool]]) -> Blobs:
        """Return the maxima of a plane or volume that stand out by `LEAST_Z` noise s.d. of a pixel"""
        bins, full = self.stride, self.filters
        noise = [_binned_noise(near, bins) for near in full.rho[-2:]]
        filters = Filters(
            tuple(width / bins for width in full.widths),
            (*full.rho[:-2], *(near for _, near in noise)),
            (*(step / bins for step in full.spacing[:-2]), 1.0, 1.0),
        )
        coarse = binned(values, bins) / np.float32(math.prod(sigma for sigma, _ in noise))
        found = find_blobs(coarse, filters, ends, spots_only=False)
        places = found.places.copy()
        places[:, -2:] = bins * places[:, -2:] + (bins - 1) / 2
        return replace(found, places=places)[self.heights(found) > LEAST_Z]

    def heights(self, blobs: Blobs) -> Floats:
        """Return the heights of these blobs, in noise s.d. of a pixel."""
        return _heights(blobs.z, np.array(self.sizes)[blobs.level], self.ratio, len(self.spacing))


def wide_finders(options: DetectOptions, noise: Sequence[NoiseModel], plane: tuple[int, int]) -> list[WideFinder]:
    """Return what finds wider objects than were asked for, by channel; empty where no plane could hold any."""
    spacing = (options.spacing or 1.0, 1.0, 1.0) if options.volume else (1.0, 1.0)
    first, last = options.max_size / _STEP ** (_BEFORE - 1), tried_sizes((min(*plane, _SIDE),))[-1]
    last = min(last, _IN_3D * options.max_size) if options.volume else last
    count = 1 + math.floor(math.log(last / first) / math.log(_STEP)) if last > first else 0
    sizes = tuple(first * _STEP**i for i in range(count))
    return [WideFinder(sizes, each, spacing) for each in noise] if count > _BEFORE + 1 else []


def wide_note(options: DetectOptions, left: Floats, points: int) -> list[str]:
    """Say that wide objects were left out, and which size to try; nothing if they are few beside the points.

    Parameters
    ----------
    options : DetectOptions
        Options of the search.
    left : (N,) ndarray
        Sizes of the objects that were left out; see `left_out`.
    points : int
        Number of points that were found.
    """
    if len(left) <= _FEW * points:
        return []
    size = 2 * math.ceil(float(np.quantile(left, _MOST)) / 2)
    method = " with method 'log'" if options.method in ("net", "adapted") else ""
    objects = number_of(len(left), f"{options.objects} object", f"{options.objects} objects")
    return [
        f"{objects} wider than the largest size of {options.max_size:g} pixels got no point: try a largest size "
        f"of {size} pixels{method} (max_size={size})"
    ]


def left_out(wide: Found, finder: WideFinder, found: Found, points: Selection, own: Finder) -> Floats:
    """Return the sizes of objects that are wider than was asked for, as high as most points, and have none inside.

    Parameters
    ----------
    wide : Found
        Maxima of `finder` in a channel.
    finder : WideFinder
        Wide filters.
    found : Found
        Maxima among which the points of the channel were chosen.
    points : Selection
        The points.
    own : Finder
        What found them.

    Returns
    -------
    (N,) ndarray
        Full widths at half maximum in pixels.
    """
    ndim, heights = len(finder.spacing), finder.heights(wide.blobs)
    of_points = _heights(points.blobs.z, np.array(own.filters.sizes)[points.blobs.level], math.sqrt(ndim + 1), ndim)
    order = np.argsort(-heights, kind="stable")
    order = order[heights[order] >= (np.median(of_points) if len(points.blobs) else 0)]
    planes, their_planes = _plane_numbers(wide.outer, found.outer[points.chosen])
    # Within half the size of an object, lower maxima under other filters are parts of it.
    half = FWHM / 2 / finder.ratio * math.sqrt(ndim + 1)
    order = without_doubles(wide.blobs, planes, finder.filters, order, half, of_other_sizes=True)
    level = wide.blobs.level[order]
    # What stands highest under the last filter is wider still, and may be a background.
    order = order[(level >= _BEFORE) & (level < len(finder.sizes) - 1)]
    sizes = np.array(finder.sizes)[wide.blobs.level[order]]
    far = sizes.max(initial=1.0)
    tree = cKDTree(np.c_[points.blobs.places * finder.spacing, their_planes * far])
    gaps, _ = tree.query(np.c_[wide.blobs.places[order] * finder.spacing, planes[order] * far])
    return np.asarray(sizes[gaps > sizes / 2])


def _plane_numbers(*indices: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Return a number for the plane of every row of each of these arrays, the same in all."""
    # A column of zeros, as there is none in an image of one plane.
    rows = np.concatenate([np.c_[each, np.zeros(len(each), np.intp)] for each in indices])
    numbers = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)
    return np.split(numbers, np.cumsum([len(each) for each in indices])[:-1])


def _heights(z: NDArray[np.floating], sizes: Floats, ratio: float, ndim: int) -> Floats:
    """Return the heights of Gaussian blobs in s.d. of white noise, from their z under filters of `ratio` their width.

    The answer of a Laplacian of a Gaussian to a Gaussian, by the s.d. of its answer to white noise.
    """
    noise = math.sqrt(ndim * (ndim + 2) / 4 * (4 * math.pi) ** (-ndim / 2)) * ratio ** (-2 - ndim / 2)
    return np.asarray(z * noise * (1 + ratio**2) ** (ndim / 2 + 1) / ndim * (sizes / FWHM) ** (-ndim / 2))


def _binned_noise(near: float, bins: int) -> tuple[float, float]:
    """Return the s.d. of the mean of `bins` pixels, and the correlation of neighbouring means.

    The correlation of pixels falls with distance as a Gaussian does, from `near` at the first neighbour.
    """
    lags = np.abs(np.subtract.outer(np.arange(bins), np.arange(2 * bins)))
    correlation = np.sign(near) ** lags * np.abs(near) ** (lags**2.0)
    own, other = correlation[:, :bins].mean(), correlation[:, bins:].mean()
    return math.sqrt(own), float(np.clip(other / own, -0.99, 0.99))
