"""Find what a fused frame does not explain: events of a single frame, which must not be averaged away."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Pair", "unexplained"]

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]

# Lower thresholds keep more of faint events, and give back more places where nothing but noise stands out. At 2.5 and
# 2.9, events of 64 grey values at 10 electrons keep 94 % of the height that they have in a frame by itself, and still
# movies lose 0.1 dB (0.6 dB at 30 electrons); at 3.0 and 3.4 they keep 88 %, and still movies gain 0.3 dB.
# `tools/benchmark.py sequence` measures both.
_WIDTH = 2.0  # px, s.d. of the spots that are looked for
_DOUBT, _SURE = 2.75, 3.15  # s.d. of a local mean from which a change may be real, and is taken as real
# Share of a change that the denoiser shows, up to which it is taken for noise, and from which for real: of events it
# shows two thirds or more, of noise on an even background next to nothing.
_UNSEEN, _SEEN = 0.4, 0.55
_REACH = 2  # px around a change that belong to it
_LEAST = 0.1  # variance that a difference has at least, where the frame itself is most of what was fused
_TRUNCATE = 3.0  # s.d. at which a Gaussian ends: 0.3 % of it lies beyond


def unexplained(
    frames: Pair, denoised: Pair, variance: NDArray[np.float32], rho: tuple[float, float]
) -> NDArray[np.float32]:
    """Return how surely each pixel of a frame shows what the fused frame does not, in [0, 1].

    Parameters
    ----------
    frames : pair of (Y, X) ndarray
        The frame, with a noise s.d. of 1, and what was fused from it and its neighbours.
    denoised : pair of (Y, X) ndarray
        The same of the frames that were denoised one by one: this one, and the mean of them with the same weights.
    variance : (Y, X) ndarray
        Variance of the fused frame.
    rho : (float, float)
        Lag-1 correlation of the noise along x and y.

    Notes
    -----
    The frame is part of the fused one with the share `variance`, so that their difference has the variance ``1 -
    variance``. It is averaged under a Gaussian window, the matched filter of a spot. Noise alone stands out in a pixel
    of a hundred or so, and the denoiser tells it from an event: of that it shows a good part, of noise next to nothing.
    """
    share = np.sqrt(np.maximum(1 - variance, _LEAST))
    change, shown = (_smooth((now - mean) / share) for now, mean in (frames, denoised))
    deviation = np.abs(change) / (_spread(_WIDTH, rho[0]) * _spread(_WIDTH, rho[1]))
    seen = np.sign(change) * shown / np.maximum(np.abs(change), 1e-6)
    sure = _ramp(deviation, _DOUBT, _SURE) * _ramp(seen, _UNSEEN, _SEEN)
    return _grown(sure, _REACH) if sure.any() else sure


def _smooth(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(ndimage.gaussian_filter(image, _WIDTH, mode="constant", truncate=_TRUNCATE))


def _ramp(value: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    return np.clip((value - low) / (high - low), 0, 1)


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
