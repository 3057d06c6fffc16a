"""Average the images of single beads to a measured point spread function; beads that do not fit are left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter, shift

from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.normal import robust_sigma
from napari_genrecon.optics.centre import CORE

__all__ = ["BeadPSF", "psf_from_beads"]

_REACH = 10  # pixels to each side; four times the FWHM of a PSF that is sampled well
_NEAR = 3  # pixels around a point within which the bead is looked for, as nobody clicks exactly
_BRIGHT = 8.0  # noise s.d. of the border that a smoothed bead must be above it: dimmer ones blur the average
_ALIKE = 0.9  # cosine with the median of all beads; single beads of one slide reach 0.95 and more
_FLAT = 3  # pixels of the highest value that one bead may have; more are saturated


@dataclass(frozen=True, slots=True, eq=False)
class BeadPSF:
    """Point spread function from beads.

    Attributes
    ----------
    pixels : (Y, X) or (Z, Y, X) ndarray of float32
        Average of the beads, of sum 1, its centre in the middle; on the pixels of the image.
    used : int
        Number of beads in it.
    rejected : tuple of str
        Why each other bead was left out.
    """

    pixels: NDArray[np.float32]
    used: int
    rejected: tuple[str, ...]

    def __str__(self) -> str:
        reasons = ", ".join(f"{count} {why}" for why, count in Counter(self.rejected).items())
        left_out = f"; left out: {reasons}" if reasons else ""
        return f"PSF of {self.used} bead{'s' if self.used > 1 else ''}{left_out}"


def psf_from_beads(image: ArrayLike, points: ArrayLike, *, reach: int = _REACH) -> BeadPSF:
    """Average the beads at some points of an image.

    Parameters
    ----------
    image : (Y, X) or (Z, Y, X) array_like
        Image of beads that are smaller than the PSF.
    points : (N, D) array_like
        Places of beads in pixels, one number per dimension; within 3 pixels of their brightest pixel.
    reach : int
        Pixels to each side of a bead that belong to the PSF, in every dimension.

    Returns
    -------
    BeadPSF
        Beads at the border, saturated, dim, with another bead beside them, or of another shape are left out.

    Raises
    ------
    OptionError
        If image and points do not fit each other.
    ImageError
        If no bead is left, with the reasons.
    """
    pixels, places = np.asarray(image, np.float64), np.atleast_2d(np.asarray(points, np.float64))
    if pixels.ndim not in (2, 3) or places.ndim != 2 or places.shape[1] != pixels.ndim:
        raise OptionError(
            f"beads need an image (Y, X) or (Z, Y, X) and points of as many numbers, got shapes {pixels.shape} and "
            f"{places.shape}"
        )
    if not np.isfinite(places).all():
        raise OptionError("a bead has a place that is not finite: leave out points with NaN")
    beads, rejected = list[NDArray[np.float64]](), list[str]()
    for place in places:
        found = _bead(pixels, place, reach)
        if isinstance(found, str):
            rejected.append(found)
        else:
            beads.append(found)
    kept, others = _alike(beads)
    rejected += ["of another shape"] * others
    if not kept:
        reasons = ", ".join(f"{count} {why}" for why, count in Counter(rejected).items())
        raise ImageError(f"no bead is left of {len(places)} ({reasons}): click on the middle of single, bright beads")
    # Noise around the bead is negative in places, and light is not.
    mean = np.maximum(np.mean(kept, axis=0), 0)
    return BeadPSF((mean / mean.sum()).astype(np.float32), len(kept), tuple(rejected))


def _bead(image: NDArray[np.float64], place: NDArray[np.float64], reach: int) -> NDArray[np.float64] | str:
    """Return a bead of sum 1 without its background, its centre in the middle, or why it is left out."""
    middle = _brightest(image, place)
    if middle is None or any(m < reach or m + reach >= n for m, n in zip(middle, image.shape, strict=True)):
        return "at the border"
    patch = image[tuple(slice(m - reach, m + reach + 1) for m in middle)]  # (2 * reach + 1,) * D
    if np.count_nonzero(patch == patch.max()) > _FLAT:
        return "saturated"
    # The median of the border is the background: little of the bead's own light reaches it.
    light = patch - np.median(patch[_edge(patch.shape)])
    smooth = gaussian_filter(light, 1.0)
    around = smooth[_edge(patch.shape)]
    if smooth.max() < _BRIGHT * robust_sigma(around):  # neighbours count nothing
        return "too dim"
    # A second bead as bright as the core of this one would blur the average. One that the patch cuts off has no peak.
    if _second(smooth, reach) > CORE * smooth.max() or smooth[_near(smooth.shape, reach)].max() < smooth.max():
        return "beside another"
    centre = _centre(smooth, reach)
    # Less than a pixel remains: the patch was cut out around the brightest one.
    moved = shift(light, reach - centre, order=3, mode="nearest")
    return np.asarray(moved / moved.sum())


def _brightest(image: NDArray[np.float64], place: NDArray[np.float64]) -> tuple[int, ...] | None:
    """Return the brightest pixel near a place, or None outside the image."""
    low = [max(round(float(p)) - _NEAR, 0) for p in place]
    near = tuple(slice(a, round(float(p)) + _NEAR + 1) for a, p in zip(low, place, strict=True))
    part = image[near]
    if not part.size:
        return None
    # Lightly smoothed: a single noisy pixel is no bead.
    found = np.unravel_index(int(gaussian_filter(part, 0.7).argmax()), part.shape)
    return tuple(int(a + i) for a, i in zip(low, found, strict=True))


def _edge(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a mask of the outermost pixels in Y and X."""
    edge = np.zeros(shape, bool)
    # Not the first and last planes of a stack: a bead is seen there, out of focus.
    edge[..., [0, -1], :] = edge[..., [0, -1]] = True
    return edge


def _second(smooth: NDArray[np.float64], reach: int) -> float:
    """Return the highest value of a peak that is not that in the middle."""
    highest = 0.0
    for index in product(*(range(1, n - 1) for n in smooth.shape)):
        # A second maximum nearer than this is that of the bead itself, by noise.
        if max(abs(i - reach) for i in index) > _NEAR and smooth[index] > highest:
            # A peak is as high as all its neighbours: slopes of the bead in the middle do not count.
            around = smooth[tuple(slice(i - 1, i + 2) for i in index)]
            highest = float(smooth[index]) if smooth[index] == around.max() else highest
    return highest


def _centre(smooth: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Return the centre of mass of the bright part around the middle."""
    weight = np.where(_near(smooth.shape, reach), np.maximum(smooth - CORE * smooth.max(), 0), 0)
    return np.asarray((np.indices(smooth.shape) * weight).reshape(smooth.ndim, -1).sum(axis=1) / weight.sum())


def _near(shape: tuple[int, ...], reach: int) -> NDArray[np.bool_]:
    """Return a mask of the middle half of a patch: a weaker bead at its rim would pull the centre."""
    return np.asarray(np.abs(np.indices(shape) - reach).max(axis=0) <= reach // 2)


def _alike(beads: list[NDArray[np.float64]]) -> tuple[list[NDArray[np.float64]], int]:
    """Return the beads that look like the median of all, and the number of others."""
    if not beads:
        return [], 0
    # The median, as beads that are none are still among them; smoothed, as noise lowers the cosine of single beads.
    typical = gaussian_filter(np.median(beads, axis=0), 1.0)
    kept = [bead for bead in beads if _cosine(gaussian_filter(bead, 1.0), typical) >= _ALIKE]
    return kept, len(beads) - len(kept)


def _cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.vdot(one, other) / np.sqrt(np.vdot(one, one) * np.vdot(other, other)))
