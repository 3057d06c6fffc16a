"""Choose among the maxima of all filters those that are objects, with a given share of false ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_genrecon.numerics.blobs.false_discovery import false_shares
from napari_genrecon.numerics.blobs.filters import Blobs, Filters, noise_density
from napari_genrecon.numerics.blobs.maxima import thinned
from napari_genrecon.tasks.detect.spot_noise import SpotNoise

__all__ = ["Selection", "select", "select_spots", "without_doubles"]

_MOST = 0.97  # part of the most findings that a finer filter must have: it takes fewer pairs of objects for one
_WEIGHT = 0.8  # share of the false ones that are allowed which the filter gets that finds most
_CROWDED = (0.001, 0.006)  # spots per pixel
_APART = 2.0  # s.d. of the larger of two objects, within which a second one is taken for the same
_SPOTS_APART = 1.2  # the same for spots that a network finds: nearer to each other, two of them look like one


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Objects.

    Attributes
    ----------
    blobs : Blobs
        The maxima that are kept.
    shares : (N,) ndarray of float64
        Expected share of false ones among those that are at least as sure.
    chosen : (N,) ndarray of int
        Their indices among the maxima that were given.
    level : int or None
        The filter that found most; None if nothing was found.
    """

    blobs: Blobs
    shares: NDArray[np.float64]
    chosen: NDArray[np.intp]
    level: int | None


def select(blobs: Blobs, planes: NDArray[np.intp], filters: Filters, pixels: int, fdr: float) -> Selection:
    """Choose the objects among the maxima of all filters.

    Parameters
    ----------
    blobs : Blobs
        Maxima of all planes or volumes.
    planes : (N,) ndarray of int
        The plane or volume of each.
    filters : Filters
        The filters.
    pixels : int
        Number of pixels that were searched.
    fdr : float
        Share of false ones that is acceptable, in (0, 1).

    Notes
    -----
    Objects of one image mostly have one size, and a filter of that size finds the most of them: it gets most of the
    false ones that are allowed, and its findings come first. What other filters find elsewhere shares the rest (weights
    for hypotheses: Genovese, Roeder & Wasserman, Biometrika 93, 2006). If nothing stands out from the noise under all
    filters together, nothing is an object: the choice of a filter must not lead to findings in noise.
    """
    by_level = [pixels * noise_density(filters, index, blobs.z) for index in range(len(filters.widths) - 2)]
    chance = np.sum(by_level, axis=0)
    any_sure = _sure(blobs, planes, filters, chance, fdr)[0]
    hits = [int((false_shares(own[blobs.level == index]) <= fdr).sum()) for index, own in enumerate(by_level)]
    best = int(np.argmax(np.array(hits) >= _MOST * max(hits, default=0)))
    weighted = np.where(blobs.level == best, by_level[best] / _WEIGHT, (chance - by_level[best]) / (1 - _WEIGHT))
    kept, shares = _sure(blobs, planes, filters, weighted, fdr, best)
    if not len(any_sure):
        kept, shares = kept[:0], shares[:0]
    return Selection(blobs[kept], shares, kept, best if len(kept) else None)


def select_spots(
    blobs: Blobs, planes: NDArray[np.intp], filters: Filters, noise: SpotNoise, pixels: int, fdr: float
) -> Selection:
    """Choose the spots among the maxima of a network's answer.

    Parameters
    ----------
    blobs : Blobs
        Maxima with their evidence.
    planes : (N,) ndarray of int
        The plane of each.
    filters : Filters
        The filters that their sizes are given by.
    noise : SpotNoise
        How many maxima noise alone has.
    pixels : int
        Number of pixels that were searched.
    fdr : float
        Share of false ones that is acceptable, in (0, 1).

    """
    order = np.argsort(-blobs.evidence, kind="stable")
    order = without_doubles(blobs, planes, filters, order, _SPOTS_APART)
    crowding = np.log(np.arange(1, len(order) + 1) / pixels)
    among = np.interp(crowding, np.log(_CROWDED), noise.among)
    shares = false_shares(np.maximum.accumulate(among * pixels * noise.density(blobs.evidence[order])))
    kept, shares = order[shares <= fdr], shares[shares <= fdr]
    level = int(np.bincount(blobs.level[kept]).argmax()) if len(kept) else None
    return Selection(blobs[kept], shares, kept, level)


def _sure(
    found: Blobs,
    planes: NDArray[np.intp],
    filters: Filters,
    chance: NDArray[np.float64],
    fdr: float,
    first: int | None = None,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the indices of objects, each once, and the expected share of false ones for each.

    Of several maxima of one object the surest is kept, those of the filter `first` before all others. An object has a
    maximum under several filters: only when each is counted once is the share of false ones right.
    """
    candidates = np.flatnonzero(false_shares(chance) <= fdr)
    later = found.level[candidates] != first
    ordered = candidates[np.lexsort((chance[candidates], later))]
    candidates = without_doubles(found, planes, filters, ordered, _APART, of_other_sizes=True)
    shares = false_shares(chance[candidates])
    return candidates[shares <= fdr], shares[shares <= fdr]


def without_doubles(
    found: Blobs,
    planes: NDArray[np.intp],
    filters: Filters,
    ordered: NDArray[np.intp],
    apart: float,
    *,
    of_other_sizes: bool = False,
) -> NDArray[np.intp]:
    """Return those of the indices that are not near one before them."""
    radius = apart * np.array(filters.widths)[found.level[ordered]] / np.sqrt(len(filters.rho) + 1)
    places = found.places[ordered] * np.array(filters.spacing)
    far = 4 * radius.max(initial=1.0) + np.ptp(places, axis=0).max(initial=1.0) if len(places) else 1.0
    tree = cKDTree(np.c_[places, planes[ordered] * far])
    pairs = tree.query_pairs(radius.max(initial=0.0), output_type="ndarray")  # the first comes before the second
    gaps = np.linalg.norm(np.subtract(*(tree.data[pairs[:, i]] for i in (0, 1))), axis=1)
    near = gaps < radius[pairs].max(axis=1, initial=0.0)
    if of_other_sizes:
        near &= np.diff(found.level[ordered][pairs], axis=1)[:, 0] != 0
    return ordered[thinned(pairs[near], len(ordered))]
