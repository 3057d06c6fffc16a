"""Describe the outline of an object by its size, how long and how round it is, its dents and its necks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["outline_features"]

_SMOOTH = 1.0  # pixels by which a distance map is smoothed before its maxima are counted: rough edges make more


def outline_features(mask: NDArray[np.bool_], zoom: float = 1.0) -> NDArray[np.float32]:
    """Return features of an object that do not depend on how it lies.

    Parameters
    ----------
    mask : (Y, X) ndarray of bool
        Its pixels, at least one.
    zoom : float
        Factor on all lengths.

    Returns
    -------
    (17,) ndarray of float32
        Logarithms of lengths and areas, and ratios.
    """
    from skimage.measure import regionprops

    (region,) = regionprops(np.pad(mask, 1).astype(np.uint8))
    # A single pixel has a perimeter and axes of 0, of which there is no logarithm: lengths are at least a pixel.
    area, perimeter = float(region.area), max(float(region.perimeter), 1.0)
    major, minor = max(float(region.axis_major_length), 1.0), max(float(region.axis_minor_length), 1.0)
    solidity = area / float(_convex_area(region))
    radius, peaks = _inscribed(region.image)
    hu = np.asarray(region.moments_hu[:4])
    return np.array(
        [
            math.log(area * zoom**2), math.log(perimeter * zoom), math.log(major * zoom), math.log(minor * zoom),
            math.log(radius * zoom), minor / major, region.eccentricity, region.extent, region.euler_number,
            # The logarithm spreads values near 1, where a small dent is all that tells a clump from a single cell.
            4 * math.pi * area / perimeter**2, math.log(1.02 - min(solidity, 1.0)),
            radius / math.sqrt(area / math.pi), 2 * radius / minor, min(peaks, 4),
            *np.log(np.abs(hu[:3]) + 1e-4),
        ],
        np.float32,
    )  # fmt: skip


def _convex_area(region: Any) -> float:
    """Return the area of the convex hull; that of the object itself where it is too thin to have one."""
    if min(region.image.shape) < 3 or region.area < 4:
        return float(region.area)
    # The hull of pixels in a diagonal line may have no area either.
    return float(region.area_convex) or float(region.area)


def _inscribed(mask: NDArray[np.bool_]) -> tuple[float, int]:
    """Return the radius of the largest disc inside, and the number of places where discs are locally largest."""
    from scipy import ndimage

    # The frame of background counts: an object fills its box up to the edge, and the transform sees no end there.
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))
    smooth = ndimage.gaussian_filter(distance, _SMOOTH)
    # In a window that grows with the object, so that one disc has one maximum whatever its size.
    size = 2 * max(1, round(float(distance.max()) / 2)) + 1
    # Maxima lower than half the highest lie in thin arms, and are no parts of their own.
    peaks = (smooth == ndimage.maximum_filter(smooth, size)) & (distance > 0.5 * distance.max())
    # Pixels of one plateau touch, across corners too: they are one maximum.
    return float(distance.max()), int(ndimage.label(peaks, np.ones((3, 3)))[1])
