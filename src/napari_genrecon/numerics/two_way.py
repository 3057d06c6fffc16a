"""Combine what was fused from the frames up to now with what was fused from those after, as independent estimates."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_genrecon.numerics.changes import Pair, left

__all__ = ["agreed_share", "agreement", "two_way"]

T = TypeVar("T", bound=Any)  # NumPy arrays in the product, tensors while the network is trained

_WIDTHS = (0.7, 1.4, 2.8)  # px, s.d. of the windows in which past and future are compared
# S.d. of their noise up to which they agree, and from which they do not; and the side of the window in which all must
# agree, in pixels. With 2.2, 3.2 and 5 still movies gain 0.03 dB, and objects that move 3 px a frame lose 0.1
# (`tools/benchmark.py sequence`).
_ALIKE, _OTHER, _NEAR = 2.0, 3.0, 7
_TRUNCATE = 3.0  # s.d. at which a Gaussian ends: 0.3 % of it lies beyond
_LEAST = 1e-3  # share of the frame itself: without a limit, rounding decides where it is next to nothing


def two_way(past: tuple[T, T], future: tuple[T, T], share: T, own: T | None = None) -> tuple[T, T]:
    """Return the average of two fused frames, weighted by their information, and its variance.

    Parameters
    ----------
    past : tuple of (...) array
        Frame that was fused from itself and those before, and its variance.
    future : tuple of (...) array
        What was fused from the frames after, without this one, and its variance.
    share : (...) array
        Share that the future had when the frame was added to it, in [0, 1].
    own : (...) array, optional
        Share that the frames before have in `past`, as much less than their variance allows as the gate doubts them;
        without it, `past` counts as much as its variance allows.

    Notes
    -----
    The two-filter form of a smoother (Fraser & Potter, IEEE Trans. Autom. Control 14, 1969): the frame itself counts
    once.
    """
    before = 1 / past[1] if own is None else 1 / (1 - own + _LEAST)
    after = share / (1 - share + _LEAST)
    total = before + after
    fused = (before * past[0] + after * future[0]) / total
    variance = (before * before * past[1] + after * after * future[1]) / (total * total)
    return fused, variance


def agreement(past: Pair, future: Pair, rho: tuple[float, float]) -> NDArray[np.float32]:
    """Return how far what was fused from the frames before and from those after a frame shows the same, in [0, 1].

    Where it does, the scene has not changed: a frame that differs from both is noise, or an event of a single frame,
    which `changes` puts back. The frame alone cannot tell, as it has all of its noise.

    Parameters
    ----------
    past, future : pair of (Y, X) ndarray
        Fused frames in the place of the frame between them, without it, and their variances.
    rho : (float, float)
        Lag-1 correlation of the noise along x and y.
    """
    difference = (past[0] - future[0]) / np.sqrt(past[1] + future[1])
    found = np.ones_like(difference)
    for width in _WIDTHS:
        mean = ndimage.gaussian_filter(difference, width, mode="nearest", truncate=_TRUNCATE)
        found = np.minimum(found, (_OTHER - np.abs(mean) / left(width, rho)) / (_OTHER - _ALIKE))
    return np.asarray(ndimage.minimum_filter(np.maximum(found, 0), _NEAR, mode="nearest"), np.float32)


def agreed_share(
    share: NDArray[np.float32], variance: NDArray[np.float32], agreed: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the share of a fused frame in the next one, all that its variance allows where past and future agree.

    Parameters
    ----------
    share, variance : (Y, X) ndarray
        Share that the gate gave it, in [0, 1], and its variance, where that of a frame is 1.
    agreed : (Y, X) ndarray
        See `agreement`.
    """
    information = share / (1 - share + _LEAST)
    information += agreed * np.maximum(1 / variance - information, 0)
    return np.asarray(information / (1 + information), np.float32)
