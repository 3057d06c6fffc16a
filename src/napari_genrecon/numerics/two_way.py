"""Combine what was fused from the frames up to now with what was fused from those after, as independent estimates."""

from __future__ import annotations

from typing import Any, TypeVar

__all__ = ["two_way"]

T = TypeVar("T", bound=Any)  # NumPy arrays in the product, tensors while the network is trained

_LEAST = 1e-3  # share of the frame itself: without a limit, rounding decides where it is next to nothing


def two_way(past: tuple[T, T], future: tuple[T, T], share: T) -> tuple[T, T]:
    """Return the average of two fused frames, weighted by their information, and its variance.

    Parameters
    ----------
    past : tuple of (...) array
        Frame that was fused from itself and those before, and its variance.
    future : tuple of (...) array
        What was fused from the frames after, without this one, and its variance.
    share : (...) array
        Share that the future had when the frame was added to it, in [0, 1].

    Notes
    -----
    The two-filter form of a smoother (Fraser & Potter, IEEE Trans. Autom. Control 14, 1969): the frame itself counts
    once.
    """
    before, after = 1 / past[1], share / (1 - share + _LEAST)
    total = before + after
    fused = (before * past[0] + after * future[0]) / total
    variance = (before * before * past[1] + after * after * future[1]) / (total * total)
    return fused, variance
