"""Find places that may be objects of the size of those that were clicked on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_genrecon.normal import FWHM
from napari_genrecon.numerics.blobs.filters import STEP, Filters, find_blobs
from napari_genrecon.numerics.blobs.maxima import thinned
from napari_genrecon.numerics.blobs.ring_features import ring_features

__all__ = [
    "AROUND",
    "HIT",
    "Candidates",
    "Size",
    "best_size",
    "click_answers",
    "filters_around",
    "plane_candidates",
    "told_apart",
    "tried_sizes",
]

Floats = NDArray[np.float64]

AROUND = (0.6, 0.8, 1.0, 1.25)
"""Sizes of the candidates, in that of the clicked objects."""
HIT = 0.4
"""Sizes from a click within which a candidate is the object."""
_SIZES = (1.5, 0.25)  # tried: from so many pixels to this part of the shorter side, from filter to filter
_APART = 0.6  # sizes within which two findings are one


@dataclass(frozen=True, slots=True)
class Size:
    """What the clicked objects look like to a filter: full width at half maximum in pixels, and dark or bright."""

    fwhm: float
    dark: bool


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Places that may be objects.

    Attributes
    ----------
    places : (N, 2) ndarray
        In pixels.
    planes : (N,) ndarray of int
        Plane of each.
    z : (N, L) ndarray
        Height under the filter of each size of `AROUND`, 0 for the sizes under which it is no maximum.
    features : (N, F) ndarray
        See `numerics.blobs.ring_features`.
    """

    places: Floats
    planes: NDArray[np.intp]
    z: Floats
    features: Floats

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> Candidates:
        return Candidates(self.places[chosen], self.planes[chosen], self.z[chosen], self.features[chosen])

    @staticmethod
    def joined(parts: list[Candidates]) -> Candidates:
        """Return the candidates of all planes."""
        names = ("places", "planes", "z", "features")
        return Candidates(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def tried_sizes(shape: tuple[int, ...]) -> tuple[float, ...]:
    """Return the sizes that clicked objects may have in planes of this shape, in pixels."""
    smallest, part = _SIZES
    largest = max(part * min(shape), 2 * smallest)
    return tuple(smallest * STEP**i for i in range(1 + int(math.log(largest / smallest) / math.log(STEP))))


def click_answers(
    values: NDArray[np.float32], clicks: Floats, sizes: tuple[float, ...], rho: tuple[float, float]
) -> Floats:
    """Return how well every size fits the clicks of a plane, as bright objects.

    Parameters
    ----------
    values : (Y, X) ndarray
        The plane with noise of s.d. 1, turned over for dark objects.
    clicks : (N, 2) ndarray
        In pixels.
    sizes : tuple of float
        See `tried_sizes`.
    rho : (float, float)
        Correlation of the noise along y and x.

    Returns
    -------
    (L,) ndarray
        Sum over the clicks of the scale-normalised answer of the maximum that is near. A blob of s.d. w has the
        greatest under the Laplacian of a Gaussian of s.d. w (Lindeberg, Int. J. Comput. Vis. 30, 1998).
    """
    answers = np.zeros(len(sizes))
    found = find_blobs(values, _filters(sizes, rho), spots_only=False)
    for level, size in enumerate(sizes):
        here = found[found.level == level]
        if len(here):
            gaps, nearest = cKDTree(here.places).query(clicks)
            answers[level] = np.where(gaps < HIT * size + 1, here.z[nearest] / size, 0.0).sum()
    return answers


def best_size(answers: Floats, sizes: tuple[float, ...]) -> Size:
    """Return the size that fits best, and whether as dark objects.

    Parameters
    ----------
    answers : (2, L) ndarray
        Sums of the answers of all planes, as bright and as dark objects.
    sizes : tuple of float
        See `tried_sizes`.
    """
    dark, best = np.unravel_index(int(np.argmax(answers)), answers.shape)
    return Size(float(sizes[best]), bool(dark))


def _filters(sizes: tuple[float, ...], rho: tuple[float, float]) -> Filters:
    widths = tuple(size / FWHM for size in sizes)
    return Filters((*widths, widths[-1], widths[-1]), rho, (1.0, 1.0))  # the last two only judge growth


def filters_around(size: Size, rho: tuple[float, float]) -> Filters:
    """Return the filters of the sizes `AROUND` that of the objects."""
    return _filters(tuple(part * size.fwhm for part in AROUND), rho)


def plane_candidates(
    values: NDArray[np.float32],
    channels: NDArray[np.floating],
    size: Size,
    rho: tuple[float, float],
    plane: int,
) -> Candidates:
    """Return the candidates of one plane, each once, with their features.

    Parameters
    ----------
    values : (Y, X) ndarray
        The plane with noise of s.d. 1.
    channels : (C, Y, X) ndarray
        Its colours.
    size : Size
        Size of the objects.
    rho : (float, float)
        Correlation of the noise along y and x.
    plane : int
        Number of the plane.
    """
    found = find_blobs(-values if size.dark else values, filters_around(size, rho), spots_only=False)
    order = np.argsort(-found.z)
    kept = _each_once(found.places[order], np.zeros(len(found)), _APART * size.fwhm / 2)
    places = found.places[order][kept]
    heights = np.zeros((len(places), len(AROUND)))
    for level in range(len(AROUND)):
        here = found[found.level == level]
        if len(here) and len(places):
            gaps, nearest = cKDTree(here.places).query(places)
            heights[:, level] = np.where(gaps < HIT * size.fwhm, here.z[nearest], 0.0)
    features = np.c_[np.log1p(heights), ring_features(channels, places, size.fwhm)]
    return Candidates(places, np.full(len(places), plane), heights, features)


def told_apart(candidates: Candidates, chance: Floats, threshold: float, size: Size) -> NDArray[np.intp]:
    """Return the indices of objects, surest first, each once."""
    order = np.argsort(-chance, kind="stable")
    order = order[chance[order] >= threshold]
    return np.asarray(order[_each_once(candidates.places[order], candidates.planes[order], _APART * size.fwhm)])


def _each_once(places: Floats, planes: NDArray[np.floating] | NDArray[np.intp], radius: float) -> NDArray[np.intp]:
    """Return the indices of places that are not within `radius` of one before them that is kept."""
    if not len(places):
        return np.zeros(0, np.intp)
    far = 4 * radius + float(np.ptp(places))
    tree = cKDTree(np.c_[places, planes * far])
    return np.flatnonzero(thinned(tree.query_pairs(radius, output_type="ndarray"), len(places)))
