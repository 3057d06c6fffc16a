"""Measure how a frame differs from the one before as a whole, by a shift and a change of light."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_genrecon.engine.intensity import CROP_SIDE
from napari_genrecon.numerics.resample import binned, lanczos

__all__ = ["FAR", "LOOK", "STILL", "Motion", "measure_motion", "measure_motions"]

Plane = NDArray[np.float32]

LOOK = CROP_SIDE
"""Pixels a side, in the middle of frames, from which their motion is measured: those of a crop that stands for more."""
FAR = 4
"""Frames over which a drift is measured that is too slow to be seen in the noise of two consecutive ones."""
_BIN = 2  # px a side that are averaged before frames are compared: a quarter of the work
_BLUR = 0.75  # s.d. of the filter after that: with the binning, it leaves a fifth of white noise
_EDGE = 4  # binned pixels left out at every side, where the shifted frame has nothing
_ROUNDS = 3  # of the least squares; shifts of a pixel converge to 0.01 px
_OUTLIER = 3.0  # robust s.d. from which a difference counts no more: objects that move by themselves are few
_SHIFT_PRICE = 1.1  # factor by which the difference must fall for a shift, which interpolates and may be wrong ...
_LIGHT_PRICE = math.sqrt(_SHIFT_PRICE)  # ... and for a change of light, which costs less
# S.d. by which a shift must stand out of what noise brings by chance, in the best of some thousand places.
_SHIFT_SURE = 4.2
_LARGEST_SHIFT = 0.25  # of a side: further, too little of the frame is left
_MOST_LIGHT = 1.5  # times brighter or darker: more is another scene
_SMALLEST = 64  # px a side below which nothing is measured: noise alone would look as if it moved


class Motion(NamedTuple):
    """A frame as a function of the one before: moved by (dy, dx) px, times `gain`, plus `offset`."""

    dy: float = 0.0
    dx: float = 0.0
    gain: float = 1.0
    offset: float = 0.0

    @property
    def back(self) -> Motion:
        """The motion from the frame to the one before."""
        return Motion(-self.dy, -self.dx, 1 / self.gain, -self.offset / self.gain)


STILL = Motion()


def measure_motion(before: Plane, after: Plane) -> Motion:
    """Return the shift and the change of light from one frame to the next, each only if it makes them more alike.

    Parameters
    ----------
    before, after : (Y, X) ndarray
        Frames with noise of one s.d. everywhere.

    Notes
    -----
    The shift to a whole pixel is the highest place of the cross-correlation; Gauss-Newton steps (Lucas & Kanade, IJCAI
    1981) refine it. Gain and offset are those of a total least squares fit (Golub & Van Loan, SIAM J. Numer. Anal. 17,
    1980), as both frames are noisy.
    """
    return _between(_Look.of(before), _Look.of(after)) if min(before.shape) >= _SMALLEST else STILL


def _between(before: _Look, after: _Look) -> Motion:
    first, second = before.plane, after.plane
    # 1 where the two frames are equal: a limit of 0 would exclude every pixel.
    limit = _OUTLIER * 1.4826 * float(np.median(np.abs(_inner(second - first)))) or 1.0
    light = _refined(first, second, Motion(), limit, shift=False)
    both = _refined(first, second, _whole_shift(before, after), limit, shift=True)
    # The shift without the change of light, as a candidate of its own.
    moved = both._replace(gain=1.0, offset=0.0)
    for_shift = max(_SHIFT_PRICE, 1 + _SHIFT_SURE * _chance(before, after, both))
    # From the dearest to the cheapest: where two candidates are equal, the last price counts.
    prices = {both: for_shift * _LIGHT_PRICE, moved: for_shift, light: _LIGHT_PRICE, STILL: 1.0}
    best = min(prices, key=lambda motion: prices[motion] * _difference(first, second, motion, limit))
    # From binned pixels back to those of the frame.
    return best._replace(dy=_BIN * best.dy, dx=_BIN * best.dx)


def measure_motions(frames: Sequence[Plane]) -> Generator[None, None, list[Motion]]:
    """Return the motion to each frame from the one before, still for the first; yields after each measurement.

    A step in which no shift is found gets its part of the shift between frames that lie farther apart.
    """
    if not frames or min(frames[0].shape) < _SMALLEST:
        return [STILL] * len(frames)
    looks = [_Look.of(frame) for frame in frames]
    steps = [STILL]
    for before, after in pairwise(looks):
        steps.append(_between(before, after))
        yield
    far = []
    for before, after in zip(looks, looks[FAR:], strict=False):
        motion = _between(before, after)
        far.append(np.array([motion.dy, motion.dx]))
        yield
    return [_with_drift(step, drift) for step, drift in zip(steps, _drifts(steps, far), strict=True)]


def _drifts(steps: Sequence[Motion], far: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Return the shift (dy, dx) that is missing in every step: the median of what the longer ones that cover it say."""
    found = np.array([[step.dy, step.dx] for step in steps])
    open_ = np.array([not (step.dy or step.dx) for step in steps])
    # The zero is for steps about which no longer one says anything, and is left out elsewhere.
    told: list[list[NDArray[np.float64]]] = [[np.zeros(2)] for _ in steps]
    for first, whole in enumerate(far):
        covered = np.arange(first + 1, first + 1 + FAR)
        missing = covered[open_[covered]]
        # A longer step in which no shift was found says that nothing is missing, and not that the steps were wrong.
        rest = (whole - found[covered].sum(axis=0)) * bool(whole.any())
        for step in missing:
            # A slow drift is even: steps without a shift of their own get equal parts.
            told[step].append(rest / len(missing))
    return [np.median(parts[1:] or parts, axis=0) for parts in told]


def _with_drift(step: Motion, drift: NDArray[np.float64]) -> Motion:
    if not drift.any():
        return step
    return step._replace(dy=float(drift[0]), dx=float(drift[1]))


class _Look(NamedTuple):
    """What is compared of a frame."""

    plane: Plane  # (Y / 2, X / 2), binned and smoothed
    spectrum: NDArray[np.complexfloating]

    @classmethod
    def of(cls, frame: Plane) -> _Look:
        plane = np.asarray(ndimage.gaussian_filter(binned(frame, _BIN), _BLUR), np.float32)
        # Without a window the borders of the frames, which do not move, would correlate best.
        window = np.outer(*(np.hanning(n) for n in plane.shape)).astype(np.float32)
        return cls(plane, np.fft.rfft2((plane - plane.mean()) * window))


def _inner(plane: Plane) -> Plane:
    return plane[_EDGE:-_EDGE, _EDGE:-_EDGE]


def _chance(first: _Look, second: _Look, motion: Motion) -> float:
    """Return the s.d. of what a shift brings by chance, as a share of the difference of frames that are but noise.

    It is that of the difference of two places of their cross-correlation, with the width of a Gaussian spectrum of
    noise. As an s.d. it falls with the root of the number of independent pixels.
    """
    power = np.abs(second.spectrum - first.spectrum) ** 2
    total, count = float(np.square(power).sum()), _inner(first.plane).size
    if not total:
        return 0.0
    # Twice, as the power of noise varies by as much as it is.
    independent = 2 * count / power.size * float(power.sum()) ** 2 / total
    distance = math.pi / 4 * (motion.dy**2 + motion.dx**2) * independent / count
    return math.sqrt(2 * -math.expm1(-distance) / independent)


def _whole_shift(first: _Look, second: _Look) -> Motion:
    alike = np.fft.irfft2(second.spectrum * first.spectrum.conj(), s=first.plane.shape)
    place = np.unravel_index(int(alike.argmax()), alike.shape)
    # The correlation is periodic: places beyond the middle are negative shifts.
    dy, dx = (float(p - n if p > n // 2 else p) for p, n in zip(place, alike.shape, strict=True))
    return Motion(dy, dx)


def _refined(first: Plane, second: Plane, motion: Motion, limit: float, *, shift: bool) -> Motion:
    """Refine a motion by least squares over the pixels that follow it; `STILL` where that leads nowhere."""
    moved = _shifted(first, motion)
    for round_ in range(_ROUNDS):
        # The least squares can run away where frames have little in common.
        if not _is_possible(motion, first.shape):
            return STILL
        rest = _inner(second - (motion.gain * moved + motion.offset))
        # Before the first step all pixels differ, and none counts as an outlier.
        known = np.abs(rest) < limit if round_ else np.ones(rest.shape, bool)
        if shift:
            slopes = np.stack([motion.gain * _inner(slope)[known] for slope in np.asarray(np.gradient(moved))], axis=1)
            # A shift by s changes a value by minus s times its slope.
            step = -np.linalg.lstsq(slopes.astype(np.float64), rest[known].astype(np.float64), rcond=None)[0]
            motion = motion._replace(dy=motion.dy + float(step[0]), dx=motion.dx + float(step[1]))
            if not _is_possible(motion, first.shape):
                return STILL
            moved = _shifted(first, motion)
        motion = motion._replace(**_light(_inner(moved)[known], _inner(second)[known]))
    return motion if _is_possible(motion, first.shape) else STILL


def _light(before: Plane, after: Plane) -> dict[str, float]:
    """Return gain and offset between pixels that are equally noisy: those of the main axis of their scatter.

    Ordinary least squares would take noise in `before` for a loss of light.
    """
    (own, mixed), (_, other) = np.cov(before.astype(np.float64), after.astype(np.float64))
    # Frames that do not rise and fall together tell no gain.
    if mixed <= 0:
        return {"gain": 1.0, "offset": 0.0}
    gain = float((other - own + np.hypot(other - own, 2 * mixed)) / (2 * mixed))
    return {"gain": gain, "offset": float(after.mean() - gain * before.mean())}


def _is_possible(motion: Motion, shape: tuple[int, ...]) -> bool:
    near = abs(motion.dy) <= _LARGEST_SHIFT * shape[0] and abs(motion.dx) <= _LARGEST_SHIFT * shape[1]
    return near and 1 / _MOST_LIGHT <= motion.gain <= _MOST_LIGHT


def _difference(first: Plane, second: Plane, motion: Motion, limit: float) -> float:
    """Return the mean squared difference that is left, outliers counted as `limit`, for the noise it has."""
    rest = _inner(second - (motion.gain * _shifted(first, motion) + motion.offset))
    # `second - gain * first` has the variance 1 + gain**2, in that of a frame: candidates of different gain compare.
    return float(np.minimum(rest * rest, limit * limit).mean()) * 2 / (1 + motion.gain**2)


def _shifted(plane: Plane, motion: Motion) -> Plane:
    for axis, by in enumerate((motion.dy, motion.dx)):
        whole, n = math.floor(by), plane.shape[axis]
        if whole:
            plane = plane.take(np.clip(np.arange(n) - whole, 0, n - 1), axis=axis)
        if by > whole:
            plane = np.asarray(ndimage.correlate1d(plane, lanczos(by - whole), axis=axis, mode="nearest"), np.float32)
    return plane
