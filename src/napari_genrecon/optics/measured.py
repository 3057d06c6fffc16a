"""Resample a measured point spread function, such as the image of a bead, to the pixels of the image it is for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_genrecon.errors import OptionError
from napari_genrecon.optics.centre import CUBIC, centred_psf, light_in_pixels
from napari_genrecon.optics.psf import as_psf

__all__ = ["SAME", "MeasuredPSF"]

Sizes = tuple[float | None, ...]

SAME = 0.02  # relative difference of sizes that is ignored: half a pixel at the rim of a PSF that reaches 25 px


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasuredPSF:
    """A PSF and the size of its pixels, which need not be those of the image.

    Attributes
    ----------
    pixels : (Y, X) or (Z, Y, X) array_like
        PSF with its centre at the pixel at half its shape, or near it: see `optics.centre.centred_psf`.
    pixel_size : tuple of float or None
        Size of the PSF's pixels in micrometres, one for each of its dimensions; None for one that is not known.
    image_pixel_size : tuple of float or None
        Size of the image's pixels along the same dimensions. None as a whole: to be read from the image, where known.

    Raises
    ------
    OptionError
        If it is no valid PSF, a size is not positive, or the sizes differ by more times than the PSF is wide in pixels.

    Examples
    --------
    >>> bead = np.outer(*[np.hanning(41)] * 2)
    >>> MeasuredPSF(pixels=bead, pixel_size=(0.05, 0.05), image_pixel_size=(0.1, 0.1)).psf().shape
    (21, 21)
    """

    pixels: ArrayLike
    pixel_size: Sizes
    image_pixel_size: Sizes | None = None

    def __post_init__(self) -> None:
        shape = as_psf(self.pixels).shape
        dimensions, widest = len(shape), max(shape)
        for sizes in (self.pixel_size, self.image_pixel_size or (None,) * dimensions):
            if len(sizes) != dimensions:
                raise OptionError(f"the PSF has {dimensions} dimensions, but {len(sizes)} pixel sizes were given")
            for size in sizes:
                if size is not None and not (math.isfinite(size) and size > 0):
                    raise OptionError(f"the size of a pixel must be a positive number of micrometres, got {size}")
        # All of the PSF would lie in one pixel of the image, or the reverse: one of the two is wrong (a unit, say).
        if max(max(ratio, 1 / ratio) for ratio in self._ratios()) > widest:
            raise OptionError(
                f"the pixels of the PSF are {sizes_text(self.pixel_size)}, those of the image "
                f"{sizes_text(self.image_pixel_size or ())}, which differ by more times than the PSF has "
                f"pixels ({widest}): correct the pixel size (and z step) that is wrong"
            )

    @property
    def resampled(self) -> bool:
        """Whether the PSF is resampled, as its pixels are not those of the image."""
        return any(abs(ratio - 1) > SAME for ratio in self._ratios())

    def psf(self) -> NDArray[np.float64]:
        """Return the PSF on the pixels of the image, of sum 1.

        Along a dimension with an unknown size, or with equal sizes, the pixels stay as they are.
        """
        # Centred before it is resampled, which keeps the middle pixel the middle one.
        psf = centred_psf(as_psf(self.pixels))
        # A measured PSF may have values below 0, which stay; only lower ones are new.
        lowest = min(float(psf.min()), 0.0)
        for axis, ratio in enumerate(self._ratios()):
            if abs(ratio - 1) > SAME:
                # A pixel collects the light over its area: sum it. A plane shows one depth: interpolate.
                resample = _planes if psf.ndim == 3 and axis == 0 else _pixels
                psf = np.moveaxis(resample(np.moveaxis(psf, axis, 0), ratio), 0, axis)
        return as_psf(np.maximum(psf, lowest))  # interpolation overshoots below 0

    def note(self) -> str:
        """Return a sentence if the PSF was resampled, or could not be as sizes are unknown; else an empty one."""
        of_psf, of_image = sizes_text(self.pixel_size), sizes_text(self.image_pixel_size or ())
        if self.resampled:
            return f"the PSF was resampled from its pixels of {of_psf} to those of the image, {of_image}"
        image = self.image_pixel_size or (None,) * len(self.pixel_size)
        if any(size is not None and other is None for size, other in zip(self.pixel_size, image, strict=True)):
            return (
                f"the PSF has pixels of {of_psf}, but those of the image are not known, so that it was used pixel "
                "for pixel: set the pixel size of the image"
            )
        return ""

    def _ratios(self) -> list[float]:
        """Return the size of the image's pixels in those of the PSF; 1 where that is not known."""
        image = self.image_pixel_size or (None,) * len(self.pixel_size)
        pairs = zip(self.pixel_size, image, strict=True)
        return [1.0 if own is None or other is None else other / own for own, other in pairs]


def sizes_text(sizes: Sizes) -> str:
    """Return the sizes of a pixel as text."""
    return " x ".join("?" if size is None else f"{size:.4g}" for size in sizes) + " micrometres"


def _pixels(psf: NDArray[np.float64], ratio: float) -> NDArray[np.float64]:
    return light_in_pixels(psf, ratio, len(psf) // 2 + 0.5)


def _planes(psf: NDArray[np.float64], ratio: float) -> NDArray[np.float64]:
    """Return planes `ratio` times as far apart, one of them the middle one."""
    from scipy.interpolate import make_interp_spline

    n, middle = len(psf), len(psf) // 2
    # The last plane is kept where rounding puts it just outside.
    below, above = (math.floor(side / ratio + 1e-6) for side in (middle, n - 1 - middle))
    reach = min(below, above + 1)  # the middle must be at half the new depth
    depths = middle + np.arange(-reach, min(above, reach) + 1) * ratio
    return np.asarray(make_interp_spline(np.arange(float(n)), psf, k=min(CUBIC, n - 1), axis=0)(depths))
