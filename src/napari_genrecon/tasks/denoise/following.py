"""Move what is known of a movie with its frames."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.models import weighted_planes
from napari_genrecon.normal import Taps
from napari_genrecon.numerics.motion import STILL, Motion
from napari_genrecon.numerics.resample import lanczos

__all__ = ["follow", "moved"]

Planes = NDArray[np.float32]

_ABSENT = 1e3  # variance of what came in from outside: it counts for nothing


def moved(planes: Planes, motion: Motion, outside: float = 0.0) -> Planes:
    """Return planes of squares (N, Y, X) as the next frame would show them, with a value for what comes into it."""
    if not (motion.dy or motion.dx):
        return planes
    # Linearly: what is smooth overshoots beside the edge, and a square below 0 cannot be.
    return weighted_planes(planes, [_moving(by, [by % 1, 1 - by % 1]) for by in (motion.dy, motion.dx)], outside)


def follow(state: Planes, motion: Motion) -> Planes:
    """Return the state of a gate (see `models.networks.frame_gate`) as the next frame would show it.

    Parameters
    ----------
    state : (9 or 10, Y, X) ndarray
        Fused frame, variance, mean of the denoised frames, and six planes of memory in blocks of 2 x 2; after them, if
        it is there, the mean of the squared frames with the same weights as the fused one.
    motion : Motion
        To the next frame.
    """
    if motion == STILL:
        return state
    state = state.copy()
    grey, variance, memory, squares = [0, 2, *range(9, len(state))], state[1:2], state[3:9], state[9:]
    if motion.dy or motion.dx:
        smooth = [_moving(by, lanczos(by % 1).tolist()) for by in (motion.dy, motion.dx)]
        state[grey] = weighted_planes(state[grey], smooth)
        state[1:2] = moved(variance, motion, _ABSENT)
        blocks = [2 * round(part / 2) for part in (motion.dy, motion.dx)]  # the memory moves by whole blocks
        state[3:9] = np.roll(memory, blocks, axis=(1, 2))
    # A variance follows the square of the gain, and no offset.
    variance *= motion.gain**2
    squares *= motion.gain**2
    squares += 2 * motion.gain * motion.offset * state[0] + motion.offset**2
    for plane in (state[0], state[2]):
        plane *= motion.gain
        plane += motion.offset
    return state


def _moving(by: float, weights: Sequence[float]) -> Taps:
    """Return the weights, which are those of part of a pixel, for a move by so many pixels."""
    first = -(len(weights) // 2) - math.floor(by)
    return [(step, weight) for step, weight in enumerate(weights, first) if weight]
