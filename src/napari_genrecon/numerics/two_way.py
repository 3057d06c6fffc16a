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
# S.d. of their noise up to which past and future agree, and from which they do not; the same for the frame and both.
# Without the latter, small spots that move fast (vesicles, in a real movie) lost 40 % of their height.
_UNCHANGED, _NO_EVENT = (2.0, 3.0), (3.0, 4.0)
_NEAR = 7  # side of the window in which all must agree, in pixels
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


def agreement(frame: NDArray[np.float32], past: Pair, future: Pair, rho: tuple[float, float]) -> NDArray[np.float32]:
    """Return how far nothing but noise tells a frame, what was fused before it and what after it apart, in [0, 1].

    What was fused has little noise, so that a change of the scene shows better in it than in the frame. Where the frame
    differs from both beyond doubt, it shows an event of its own.

    Parameters
    ----------
    frame : (Y, X) ndarray
        The frame, with a noise s.d. of 1.
    past, future : pair of (Y, X) ndarray
        Fused frames in its place, without it, and their variances.
    rho : (float, float)
        Lag-1 correlation of the noise along x and y.
    """
    variance = past[1] * future[1] / (past[1] + future[1])
    both = variance * (past[0] / past[1] + future[0] / future[1])
    changed = (past[0] - future[0]) / np.sqrt(past[1] + future[1])
    apart = (frame - both) / np.sqrt(1 + variance)
    found = np.ones_like(frame)
    for width in _WIDTHS:
        for difference, (alike, other) in ((changed, _UNCHANGED), (apart, _NO_EVENT)):
            mean = ndimage.gaussian_filter(difference, width, mode="nearest", truncate=_TRUNCATE)
            found = np.minimum(found, (other - np.abs(mean) / left(width, rho)) / (other - alike))
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
