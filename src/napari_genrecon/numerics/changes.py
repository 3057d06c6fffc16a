"""Find what a fused frame does not explain: events of a single frame, which must not be averaged away."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["unexplained"]

# Lower thresholds keep more of faint events, and give back more places where nothing but noise stands out. At 2.8 and
# 3.2, events of 10 electrons keep all of the height that they have in a frame by itself, and movies lose 0.6 dB; at
# 3.2 and 3.6 they keep 93 %, and movies gain 0.4 dB. `tools/benchmark.py sequence` measures both.
_WIDTH = 2.0  # px, s.d. of the spots that are looked for
_DOUBT, _SURE = 3.0, 3.4  # s.d. of a local mean from which a change may be real, and is taken as real
_REACH = 2  # px around a change that belong to it
_LEAST = 0.1  # variance that a difference has at least, where the frame itself is most of what was fused
_TRUNCATE = 3.0  # s.d. at which a Gaussian ends: 0.3 % of it lies beyond


def unexplained(
    frame: NDArray[np.float32], fused: NDArray[np.float32], variance: NDArray[np.float32], rho: tuple[float, float]
) -> NDArray[np.float32]:
    """Return how surely each pixel of a frame shows what the fused frame does not, in [0, 1].

    Parameters
    ----------
    frame, fused : (Y, X) ndarray
        The frame, with a noise s.d. of 1, and what was fused from it and its neighbours.
    variance : (Y, X) ndarray
        Variance of `fused`.
    rho : (float, float)
        Lag-1 correlation of the noise along x and y.

    Notes
    -----
    The frame is part of the fused one with the share `variance`, so that their difference has the variance ``1 -
    variance``. It is averaged under a Gaussian window, the matched filter of a spot.
    """
    rest = (frame - fused) / np.sqrt(np.maximum(1 - variance, _LEAST))
    mean = ndimage.gaussian_filter(rest, _WIDTH, mode="constant", truncate=_TRUNCATE)
    deviation = np.abs(mean) / (_spread(_WIDTH, rho[0]) * _spread(_WIDTH, rho[1]))
    sure = np.clip((deviation - _DOUBT) / (_SURE - _DOUBT), 0, 1)
    return _grown(sure, _REACH) if sure.any() else sure


def _spread(width: float, rho: float) -> float:
    """Return the s.d. along one dimension that a Gaussian filter leaves of noise that is white behind another."""
    own = math.sqrt(-1 / (4 * math.log(rho))) if rho > 0.01 else 0.0
    return _norm(math.hypot(width, own)) / (_norm(own) if own else 1.0)


def _norm(width: float) -> float:
    lags = np.arange(-math.ceil(5 * width), math.ceil(5 * width) + 1)
    weights = np.exp(-0.5 * (lags / width) ** 2)
    return float(np.linalg.norm(weights / weights.sum()))


def _grown(sure: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Spread every value over its neighbourhood, and soften the rim."""
    largest = ndimage.maximum_filter(sure, 2 * reach + 1, mode="nearest")
    return np.asarray(ndimage.uniform_filter(largest, reach + 1, mode="nearest"), np.float32)
