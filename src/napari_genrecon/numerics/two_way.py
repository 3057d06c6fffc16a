"""Combine a frame with what was fused from the frames before it and from those after, as independent estimates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

__all__ = ["average", "information", "variance_left"]

T = TypeVar("T", bound=Any)  # NumPy arrays in the product, tensors while the network is trained

_LEAST = 1e-3  # share of the frame itself: without a limit, rounding decides where it is next to nothing


def information(share: T) -> T:
    """Return the information of one side in times of that of the frame, from its share when the frame was added."""
    return share / (1 - share + _LEAST)


def average(frame: T, sides: Sequence[T], known: Sequence[T]) -> T:
    """Return the average of a frame and its two sides, or one, weighted by their information.

    Parameters
    ----------
    frame : (...) array
        The frame.
    sides, known : sequence of (...) array
        What was fused from the frames of either side, without this one, and its `information`.

    Notes
    -----
    The two-filter form of a smoother (Fraser & Potter, IEEE Trans. Autom. Control 14, 1969): the frame itself counts
    once.
    """
    return sum((weight * side for side, weight in zip(sides, known, strict=True)), frame) / (1 + sum(known))


def variance_left(sides: Sequence[T], known: Sequence[T]) -> T:
    """Return the variance of `average`, from the variances of the sides; that of the frame is 1."""
    squares = (weight * weight * side for side, weight in zip(sides, known, strict=True))
    return (1 + sum(squares)) / (1 + sum(known)) ** 2
