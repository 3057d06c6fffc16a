"""Find what a fused frame does not explain, events of a single frame, and put it back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_genrecon.models import weighted_planes
from napari_genrecon.normal import MEDIAN, REACH, gaussian_taps

__all__ = [
    "Change",
    "Pair",
    "compare",
    "far_correlation",
    "put_back",
    "still_variance",
    "unexplained",
    "variance_of_movement",
]

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]

# `tools/benchmark.py sequence` measures what follows from these: a lower threshold keeps more of faint events, and puts
# more noise back into still movies.
_WIDTH = 2.0  # px, s.d. of the spots that are looked for
# Evidence from which a change may be real, and is taken as real. Far apart, as an event gains with the share that is
# put back, and what noise costs goes with its square.
_DOUBT, _SURE = 3.7, 5.3
_WEIGHT = 0.25  # of what the denoiser shows as evidence
_DARKER = 0.5  # s.d. by which a loss of light stands out more: a single frame has flashes rather
_STEADY = 0.03  # noise s.d. that what the denoiser shows varies by at least
_RIM = 2  # px around a change that belong to it
_LEAST = 0.1  # variance that a difference has at least, where the frame itself is most of what was fused
_BLUR = 1.2  # px, s.d. of the filter on what is put back: it leaves a quarter of white noise
_PEAK = 1 + (_BLUR / _WIDTH) ** 2  # by which it lowers a spot of that width; what is missed of wider ones is little

_MOVED = 3.0  # px, s.d. of the window over which movement is looked for

_CORRELATED = 0.1  # lag-1 correlation from which noise may be correlated farther
_BLOCK = 32  # px a side of the parts of frames in which it is measured: some of them stand still
_STILL = 0.5  # quantile of the parts
_FEWEST = 64  # pixels of a part that tell something
_WIDEST = 3.0  # largest factor on the width of the correlation


class Change(NamedTuple):
    """What a frame shows and the fused frame does not, in local means of (Y, X) each."""

    deviation: NDArray[np.float32]  # in s.d. of its noise, more light or less
    shown: NDArray[np.float32]  # by the denoiser, for the same direction


def compare(
    frames: Pair,
    denoised: Pair,
    variance: NDArray[np.float32],
    rho: tuple[float, float],
    spread: NDArray[Any] | np.floating | float = 1.0,
) -> Change:
    """Return how a frame differs from what was fused from it and its neighbours.

    Parameters
    ----------
    frames : pair of (Y, X) ndarray
        The frame, stabilised, and the fused one.
    denoised : pair of (Y, X) ndarray
        The same of the frames that were denoised one by one: this one, and the mean of them with the same weights.
    variance : (Y, X) ndarray
        Variance of the fused frame.
    rho : (float, float)
        Lag-1 correlation of the noise along x and y.
    spread : (Y, X) ndarray or float
        S.d. of the noise of a frame.

    Notes
    -----
    The frame is part of the fused one with the share `variance`, so that their difference has the variance ``1 -
    variance``. It is averaged under a Gaussian window, the matched filter of a spot.
    """
    share = spread * np.sqrt(np.maximum(1 - variance, _LEAST))
    change, shown = (_smooth(np.asarray((now - mean) / share, np.float32)) for now, mean in (frames, denoised))
    return Change(np.asarray(change / _left(rho), np.float32), np.asarray(np.sign(change) * shown, np.float32))


def unexplained(changes: Sequence[Change]) -> Iterator[NDArray[np.float32]]:
    """Yield how surely each pixel of each frame of a movie shows what its neighbours do not, in [0, 1].

    Notes
    -----
    Noise alone stands out in a pixel of a hundred or so, and the denoiser tells it from an event: of that it shows a
    good part, of noise next to nothing. How much it shows of noise depends on the place (more at an edge), and is known
    from the other frames.
    """
    squares = sum((change.shown**2 for change in changes), np.float32(0))
    others = max(len(changes) - 1, 1)
    for change in changes:
        spread = np.sqrt(np.maximum(squares - change.shown**2, 0) / others + _STEADY**2)
        stands_out = np.maximum(change.deviation, -change.deviation - _DARKER)
        sure = np.clip((stands_out + _WEIGHT * change.shown / spread - _DOUBT) / (_SURE - _DOUBT), 0, 1) ** 2
        yield _grown(sure, _RIM) if sure.any() else sure


def put_back(clean: NDArray[Any], frame: NDArray[Any], sure: NDArray[np.float32]) -> NDArray[Any]:
    """Return a denoised plane with what it misses of the frame, as a local mean, where that is surely more than noise.

    Parameters
    ----------
    clean, frame : (Y, X) ndarray
        The fused frame, denoised; and the frame as it was: both in grey values, whose local means are right even
        where there are few photons.
    sure : (Y, X) ndarray
        What `unexplained` says.

    Notes
    -----
    The denoiser takes most of a faint event for noise, in a frame as in what was fused. What is known from the other
    frames is that it is none, so that its height is taken from the frame itself.
    """
    if not sure.any():
        return clean
    missed = _filtered((frame - clean)[None], _BLUR)[0]
    return np.asarray(clean + sure * _PEAK * missed, clean.dtype)


def variance_of_movement(surprises: NDArray[Any]) -> NDArray[np.float32]:
    """Return the variance (Y, X) that movement adds to what other frames say, in that of the noise of a frame.

    Parameters
    ----------
    surprises : (2, Y, X) ndarray
        Sum over the frames around of the square of how they differ from the past, as the gate tells it; and how many
        they are, in parts of which frames may count, too.

    Notes
    -----
    A filter whose innovations are larger than it expects trusts its past too much (Mehra, IEEE Trans. Autom. Control
    15, 1970). ``1 / sqrt(frames)`` is two s.d. of the local mean of the squares of white noise.
    """
    total, count = _filtered(surprises, _MOVED)
    count = np.maximum(count, np.finfo(np.float32).eps)
    return np.asarray(np.maximum(total / count - 1 - 1 / np.sqrt(count), 0), np.float32)


def far_correlation(differences: Sequence[NDArray[np.float32]], rho: tuple[float, float]) -> tuple[float, float]:
    """Return the lag-1 correlation of noise of a Gaussian spectrum with as large local means as the noise of a movie.

    Noise of the same correlation between adjacent pixels may be correlated over more or less of the others.

    Parameters
    ----------
    differences : sequence of (Y, X) ndarray
        Differences of frames that show the same, their noise brought to a s.d. of 1.
    rho : (float, float)
        Lag-1 correlation of the noise along x and y, which is returned if it is enough.
    """
    if max(rho) < _CORRELATED:
        return rho
    parts = [np.median(np.abs(part)) for plane in differences for part in _blocks(_smooth(plane))]
    measured = float(np.quantile(parts, _STILL)) / MEDIAN
    wider = [(_widened(rho[0], factor), _widened(rho[1], factor)) for factor in np.linspace(1, _WIDEST, 81)]
    return min(wider, key=lambda wide: abs(_left(wide) - measured))


def still_variance(differences: Sequence[NDArray[np.float32]], known: Sequence[NDArray[np.bool_]]) -> float:
    """Return the mean square of differences of frames in the parts that stand still; 1 if nothing can be told.

    Parameters
    ----------
    differences : sequence of (Y, X) ndarray
        Differences of frames, their noise brought to a s.d. of 1.
    known : sequence of (Y, X) ndarray of bool
        Where the strength of their noise is known.
    """
    pairs = zip(map(_blocks, differences), map(_blocks, known), strict=True)
    parts = [part[sure] for planes in pairs for part, sure in zip(*planes, strict=True)]
    found = [float(np.square(part).mean()) for part in parts if part.size >= _FEWEST]
    return float(np.quantile(found, _STILL)) if found else 1.0


def _blocks(plane: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield parts of a plane; its border is left out, where it is that of a filtered one."""
    edge = math.ceil(REACH * _WIDTH)
    inner = plane[edge:-edge, edge:-edge] if min(plane.shape) > 2 * edge + _BLOCK else plane
    for rows in np.array_split(inner, max(inner.shape[0] // _BLOCK, 1), axis=0):
        yield from np.array_split(rows, max(inner.shape[1] // _BLOCK, 1), axis=1)


def _smooth(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return _filtered(image[None], _WIDTH, outside=0.0)[0]


def _filtered(planes: NDArray[Any], width: float, outside: float | None = None) -> NDArray[np.float32]:
    """Return planes (N, Y, X) under a Gaussian window of this s.d. in pixels."""
    taps = gaussian_taps(width)
    return weighted_planes(planes, (taps, taps), outside)


def _left(rho: tuple[float, float]) -> float:
    """Return the s.d. of local means of noise of s.d. 1."""
    return _spread(_WIDTH, rho[0]) * _spread(_WIDTH, rho[1])


def _spread(width: float, rho: float) -> float:
    """Return the s.d. along one dimension that a Gaussian filter leaves of noise that is white behind another."""
    own = _own(rho)
    return _norm(math.hypot(width, own)) / (_norm(own) if own else 1.0)


def _own(rho: float) -> float:
    """Return the width of the Gaussian filter behind which white noise has this lag-1 correlation."""
    return math.sqrt(-1 / (4 * math.log(rho))) if rho > 0.01 else 0.0


def _widened(rho: float, factor: float) -> float:
    width = factor * _own(rho)
    return math.exp(-1 / (4 * width * width)) if width else rho


def _norm(width: float) -> float:
    lags = np.arange(-math.ceil(5 * width), math.ceil(5 * width) + 1)
    weights = np.exp(-0.5 * (lags / width) ** 2)
    return float(np.linalg.norm(weights / weights.sum()))


def _grown(sure: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Spread every value over its neighbourhood, and soften the rim."""
    largest = ndimage.maximum_filter(sure, 2 * reach + 1, mode="nearest")
    return np.asarray(ndimage.uniform_filter(largest, reach + 1, mode="nearest"), np.float32)
