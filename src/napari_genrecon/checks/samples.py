"""Measure how like and how varied pictures are: distances between sets of pictures that need no network."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import correlate1d
from scipy.spatial.distance import cdist

from napari_genrecon.errors import ImageError

__all__ = ["sliced_wasserstein", "variety"]

_PATCH = 7  # px, side of a patch, as in Karras et al. 2018
_PATCHES = 16  # per picture and level: fewer make the distance noisy, more only slow
_DIRECTIONS = 128  # random projections: fewer make the distance depend on the seed, more only slow
_SMALLEST = 16  # px, side of the pyramid's last level, as in Karras et al. 2018
_BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16  # smoothing of the pyramid, Burt & Adelson 1983


def sliced_wasserstein(a: ArrayLike, b: ArrayLike) -> tuple[float, ...]:
    """Return the sliced Wasserstein distance of the patches of two sets, on every level of a Laplacian pyramid.

    The patches of a level are scaled by mean and s.d. of those of `b`, the reference; Karras et al. (Progressive
    growing of GANs, ICLR 2018, section 5) scale each set by its own, which does not see a wrong contrast.

    Parameters
    ----------
    a, b : (N, C, Y, X) or (N, Y, X) array_like
        Sets of pictures of one shape; as many of each are compared as the smaller set has.

    Returns
    -------
    tuple of float
        One distance per level, the finest first; 1 is one s.d. of the reference.
    """
    first, second = _sets(a, b)
    rng = np.random.default_rng(0)
    levels = zip(_pyramid(first), _pyramid(second), strict=True)
    return tuple(_sliced(_patches(x, rng), _patches(y, rng), rng) for x, y in levels)


def variety(samples: ArrayLike, data: ArrayLike) -> float:
    """Return the mean distance of samples to the nearest other sample, relative to that of data.

    Parameters
    ----------
    samples, data : (N, C, Y, X) or (N, Y, X) array_like
        As many of each are compared as the smaller set has, on means over blocks of a quarter of 32 px.

    Returns
    -------
    float
        About 1 for data, 0 if all samples are alike.
    """
    first, second = _sets(samples, data)
    usual = _mean_nearest(_coarse(second))
    return _mean_nearest(_coarse(first)) / max(usual, 1e-12)


def _sets(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return two sets (N, C, Y, X) of one size, evenly thinned."""
    first, second = np.asarray(a, np.float32), np.asarray(b, np.float32)
    if first.shape[1:] != second.shape[1:] or min(len(first), len(second)) < 2:
        raise ImageError(
            f"two sets of at least two pictures of one shape are needed, got {first.shape}, {second.shape}"
        )
    n = min(len(first), len(second))
    shape = (n, -1, *first.shape[-2:])
    thinned = (s[np.linspace(0, len(s) - 1, n).astype(int)].reshape(shape) for s in (first, second))
    return next(thinned), next(thinned)


def _pyramid(x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the detail that every halving removes, and what is left."""
    levels = []
    while x.shape[-1] > _SMALLEST:
        smooth = correlate1d(correlate1d(x, _BINOMIAL, -1, mode="reflect"), _BINOMIAL, -2, mode="reflect")
        small = smooth[..., ::2, ::2]
        spread = np.zeros_like(x)
        # One pixel in four holds a value: times 4, smoothing gives the brightness back.
        spread[..., ::2, ::2] = 4 * small
        back = correlate1d(correlate1d(spread, _BINOMIAL, -1, mode="reflect"), _BINOMIAL, -2, mode="reflect")
        levels.append(x - back)
        x = small
    return [*levels, x]


def _patches(x: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return (N * 16, C, 7, 7) patches at random places."""
    n, side = len(x), x.shape[-1] - _PATCH + 1
    rows, columns = rng.integers(0, side, (2, n, _PATCHES))
    views = np.lib.stride_tricks.sliding_window_view(x, (_PATCH, _PATCH), axis=(-2, -1))  # (N, C, y, x, 7, 7)
    found = views[np.arange(n)[:, None], :, rows, columns]  # (N, 16, C, 7, 7)
    return found.reshape(-1, *found.shape[2:])


def _sliced(a: NDArray[np.float32], b: NDArray[np.float32], rng: np.random.Generator) -> float:
    mean, sd = b.mean(axis=(0, 2, 3), keepdims=True), b.std(axis=(0, 2, 3), keepdims=True)
    scale = np.where(sd > 0, sd, 1)
    x, y = (((s - mean) / scale).reshape(len(s), -1) for s in (a, b))
    directions = rng.standard_normal((x.shape[1], _DIRECTIONS)).astype(np.float32)
    # Normal vectors scaled to length 1 point in all directions alike.
    directions /= np.linalg.norm(directions, axis=0)
    # In one dimension the Wasserstein distance pairs the values in ascending order.
    return float(np.abs(np.sort(x @ directions, axis=0) - np.sort(y @ directions, axis=0)).mean())


def _coarse(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (N, D) means over blocks, 8 a side."""
    block = x.shape[-1] // 8
    means = x.reshape(*x.shape[:2], 8, block, 8, block).mean(axis=(3, 5), dtype=np.float64)
    return means.reshape(len(x), -1)


def _mean_nearest(x: NDArray[np.float64]) -> float:
    distances = cdist(x, x)
    np.fill_diagonal(distances, np.inf)
    return float(distances.min(1).mean())
