"""Correct every pixel of an sCMOS camera by its own offset, gain and read noise, before anything else is done.

Offset and gain of a pixel are undone (Huang et al., "Video-rate nanoscopy using sCMOS camera-specific single-molecule
localization algorithms", Nat. Methods 10, 2013, 653-658). What is left is read noise that differs from pixel to pixel.
A denoiser that is told one level would keep the grains of the noisy pixels, so these are mixed with the mean of their
neighbours, weighted by the inverse variance, until they are as noisy as the usual pixel.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_genrecon.arrays import ImageArray, as_numpy
from napari_genrecon.axes import Axes
from napari_genrecon.errors import OptionError
from napari_genrecon.noise.model import SMOOTH
from napari_genrecon.normal import REACH

__all__ = ["CameraMaps", "Corrected", "camera_facts", "camera_maps"]

Floats = NDArray[np.float64]

_NEAR = 1.0  # pixels, s.d. of the window for the neighbours
_REACH = round(REACH * (SMOOTH + _NEAR))  # pixels


@dataclass(frozen=True, slots=True, eq=False)
class CameraMaps:
    """Offset in DN, gain in DN per electron, and variance of the read noise in DN**2 of every pixel, (Y, X) each."""

    offset: Floats
    gain: Floats
    variance: Floats

    def part(self, rows: slice, columns: slice) -> CameraMaps:
        """Return the maps of a region."""
        return CameraMaps(*(values[rows, columns] for values in (self.offset, self.gain, self.variance)))


def camera_maps(given: Any, shape: tuple[int, int]) -> CameraMaps:
    """Return the maps of a camera, checked.

    Parameters
    ----------
    given : (3, Y, X) array_like
        Offset, gain and variance.
    shape : (int, int)
        Sides of the image.

    Raises
    ------
    OptionError
        If the shape is not that of the image, or a value is impossible.
    """
    values = np.asarray(given)
    if values.shape != (3, *shape):
        raise OptionError(
            f"camera has shape {values.shape} but the image has planes of {shape}: it must be (3, {shape[0]}, "
            f"{shape[1]}), the offset, gain and variance of every pixel of the part of the camera that was read"
        )
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise OptionError("camera must hold finite numbers: offset (DN), gain (DN per electron), variance (DN²)")
    maps = CameraMaps(*values.astype(np.float64))
    if maps.gain.min() <= 0 or maps.variance.min() < 0:
        raise OptionError(
            f"camera has a gain of {maps.gain.min():g} and a variance of {maps.variance.min():g} at the least: gains "
            "must be above 0 and variances not below; the three planes are offset, gain, variance, in this order"
        )
    return maps


def camera_facts(maps: CameraMaps) -> dict[str, Any]:
    """Return the record's entry about the maps: a digest, and the usual pixel that all were brought to."""
    # Little-endian, so that the digest is the same on every machine.
    values = np.stack([maps.offset, maps.gain, maps.variance])
    digest = hashlib.sha256(np.ascontiguousarray(values, "<f8").tobytes()).hexdigest()
    usual = {"offset": float(maps.offset.mean()), "gain": float(maps.gain.mean())}
    return {
        "shape": list(values.shape),
        "sha256": digest,
        **usual,
        "read_noise": float(np.median(maps.variance)) ** 0.5,
    }


class Corrected:
    """An image of the camera as one with equal pixels would have recorded it; read by region, each corrected then.

    Parameters
    ----------
    source : (..., Y, X) array_like
        Image as it was recorded.
    axes : Axes
        Axes of the image; not RGB.
    maps : CameraMaps
        Maps of its pixels.
    """

    # With dtype, shape and reading by region this passes for an array; nothing is corrected before it is read.
    dtype = np.dtype(np.float32)

    def __init__(self, source: ImageArray, axes: Axes, maps: CameraMaps) -> None:
        self._source, self._axes, self._maps = source, axes, maps
        self.shape = tuple(int(n) for n in source.shape)
        self.ndim, self.size = len(self.shape), int(np.prod(self.shape))
        # The usual pixel, which all others are brought to: corrected values keep the image's grey values.
        self._offset, self._gain = float(maps.offset.mean()), float(maps.gain.mean())
        # The read noise of the usual pixel, in DN**2 of the corrected image; a few noisy pixels do not move the median.
        self._usual = float(np.median(maps.variance * (self._gain / maps.gain) ** 2))

    def __getitem__(self, region: tuple[slice, ...]) -> NDArray[np.float32]:
        """Return a corrected region; one more margin is read than its windows reach, so that regions fit together."""
        wide, inner = list(region), [slice(None)] * self.ndim
        # Windows lie within planes: no other dimension needs a margin.
        for axis in (self._axes.y, self._axes.x):
            start, stop, _ = region[axis].indices(self.shape[axis])
            first = max(0, start - _REACH)
            wide[axis] = slice(first, min(self.shape[axis], stop + _REACH))
            inner[axis] = slice(start - first, stop - first)
        block = as_numpy(self._source[tuple(wide)]).astype(np.float64)
        return self._corrected(block, self._maps.part(wide[self._axes.y], wide[self._axes.x]))[tuple(inner)]

    def _corrected(self, block: Floats, maps: CameraMaps) -> NDArray[np.float32]:
        factor = self._gain / maps.gain
        # Offset and gain are undone, and those of the usual pixel put in their place. (..., Y, X)
        even = (block - maps.offset) * factor + self._offset
        read = np.broadcast_to(maps.variance * factor**2, block.shape)
        known = np.isfinite(even)
        # Weights are inverse read noises; the usual one is added, so that no quiet pixel outweighs all others.
        level = _weighted_mean(even, known / (read + self._usual + np.finfo(float).tiny), SMOOTH)
        # Variance in DN**2: the gain times the light, in DN above the offset.
        shot = self._gain * np.maximum(level - self._offset, 0)
        usual, own = shot + self._usual, shot + read + np.finfo(float).tiny
        # Part of its own value that a pixel keeps: its noise s.d. then is the usual one. Quiet pixels keep all.
        share = np.sqrt(np.minimum(usual / own, 1.0))
        near = _weighted_mean(even, known / own, _NEAR)
        # NaN and infinities stay: the task treats them as it does without maps.
        return np.where(known, share * even + (1 - share) * near, even).astype(np.float32)


def _weighted_mean(values: Floats, weights: Floats, width: float) -> Floats:
    """Return the mean of the neighbours in a plane; 0 where all weights are."""
    # A width of 0 leaves a dimension as it is.
    widths = (*(0.0,) * (values.ndim - 2), width, width)
    # A weight of 0 does not remove NaN, as 0 * NaN is NaN: the value is replaced as well.
    sums = gaussian_filter(np.where(weights > 0, values, 0.0) * weights, widths)
    total = gaussian_filter(weights, widths)
    return np.divide(sums, total, out=np.zeros(values.shape), where=total > 0)
