"""Conserve the light of images of few photons.

Below about one photo-electron per pixel, one image cannot tell whether the noise of its darkest parts is read noise or
the shot noise of a faint background. The inverse transforms of the two differ by up to a quarter of such a background,
and a network's error of a thousandth of the noise s.d. is a few percent of it. But noise has no mean: over many pixels
of about one brightness the denoised image must hold the light of the noisy one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..model import NoiseModel
from ..second_look import PIECES, SIDE
from ..stabilise import Stabiliser

__all__ = ["conserve_light", "is_low_light"]

Floats = NDArray[np.floating]

# The figures are those of `python tools/benchmark.py light`.
_LOW = 1.2  # electrons of noise s.d. in the dark; from 1 on the inverse is within 1 % as it is, but not the gain
_ABOVE = (0.1, 0.4, 1.0, 3.0)  # electrons above the background where ranges of brightness end
_RIGHT = 6.0  # ... and from where the inverse is right without a correction
_FLANKS = 33  # pixels: the reach of what denoising makes of an object's edge
_BACKGROUND = 0.25  # quantile of the grey values that is taken as background
_FEWEST = 4096  # pixels whose mean tells anything


def is_low_light(model: NoiseModel) -> bool:
    """Return whether the noise of the darkest parts is that of less than a photo-electron."""
    return model.affine and model.gain > 0 and model.read_noise < _LOW * model.gain


def conserve_light(
    transform: Stabiliser, gain: float, planes: Sequence[Floats], denoise: Callable[[Floats], Floats]
) -> Stabiliser:
    """Return the transform with an inverse that conserves the light of these planes, range by range of brightness.

    Parameters
    ----------
    transform : Stabiliser
        Transform of noise that follows a straight line.
    gain : float
        Grey values per photo-electron.
    planes : sequence of (Y, X) ndarray
        Finite grey values, without hot pixels.
    denoise : callable
        Stabilised values to denoised stabilised values.
    """
    pairs = _before_and_after(transform, planes, denoise)
    restored = [transform.inverse(clean, dtype=np.float64) for _noisy, clean in pairs]
    background = float(np.quantile(np.concatenate([plane.ravel() for plane in restored]), _BACKGROUND))
    ends = background + gain * np.array(_ABOVE)
    which = np.concatenate([_ranges(plane, ends).ravel() for plane in restored])
    noisy, clean = (np.concatenate([np.ravel(pair[i]) for pair in pairs]).astype(np.float64) for i in (0, 1))
    lost = noisy - np.concatenate([plane.ravel() for plane in restored])
    inside = [which == i for i in range(len(_ABOVE))]
    knots = [(clean[part].mean(), lost[part].mean()) for part in inside if np.count_nonzero(part) >= _FEWEST]
    if not knots:
        return transform
    right = float(transform.forward(np.array([background + gain * _RIGHT]))[0])
    # From `right` on nothing is added, as np.interp goes on with its last value.
    places, missing = np.array([*knots, (right, 0.0)]).T
    # Both corrections are piecewise linear: on the knots of both, their sum is exact.
    grid = np.union1d(transform.correction[0], places)
    added = np.interp(grid, *transform.correction) + np.interp(grid, places, missing)
    return dataclasses.replace(transform, correction=np.stack([grid, added]))


def _ranges(restored: Floats, ends: Floats) -> NDArray[np.intp]:
    """Return the range of each pixel, 0 for background; flanks of objects, which denoising broadens, are in none."""
    from scipy.ndimage import maximum_filter  # a third of the start-up time, and seldom needed

    found = np.searchsorted(ends, restored)
    flanks = (found == 0) & (maximum_filter(found, _FLANKS) > 0)
    # `len(ends)` is the range of all brighter pixels, which gets no correction.
    return np.where(flanks, len(ends), found)


def _before_and_after(
    transform: Stabiliser, planes: Sequence[Floats], denoise: Callable[[Floats], Floats]
) -> list[tuple[Floats, Floats]]:
    """Cut pieces spread over the planes: their grey values, and their denoised stabilised values."""
    pieces = [
        plane[top : top + SIDE, left : left + SIDE]
        for plane in planes
        for top in range(0, plane.shape[0], SIDE)
        for left in range(0, plane.shape[1], SIDE)
    ]
    chosen = np.unique(np.linspace(0, len(pieces) - 1, 2 * PIECES).round().astype(int))
    return [(pieces[i], denoise(transform.forward(pieces[i]))) for i in chosen]
