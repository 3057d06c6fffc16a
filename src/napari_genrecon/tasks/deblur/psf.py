"""Bring the point spread function (PSF) of `deblur` into one form, check it, and describe it for the record."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import ImageArray, as_numpy
from napari_genrecon.axes import Axes
from napari_genrecon.optics import MeasuredPSF, Optics, as_psf
from napari_genrecon.optics.centre import centred_psf
from napari_genrecon.optics.psf_check import measured_notes, size_notes

__all__ = ["psf_array", "psf_facts", "psf_given_notes", "psf_is_image"]


def psf_array(given: Any) -> NDArray[np.float64]:
    """Return the PSF on the pixels of the image, with sum 1 and its centre at half its shape."""
    return given.psf() if isinstance(given, Optics | MeasuredPSF) else centred_psf(as_psf(given))


def psf_given_notes(given: Any, psf: NDArray[np.float64], axes: Axes, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return notes for the user about a PSF that was given as an array, and about its resampling."""
    array = _array(given)
    if array is None:
        return ()
    letters = "ZYX"[-psf.ndim :]
    sides = tuple(shape[axes.letters.index(letter)] for letter in letters)
    # An image given as the PSF is the larger mistake; what its border looks like would only distract from it.
    notes = size_notes(psf, sides) or measured_notes(centred_psf(as_psf(array)))
    resampled = given.note() if isinstance(given, MeasuredPSF) else ""
    return (*([resampled] if resampled else []), *notes)


def _array(given: Any) -> Any:
    """Return the array that a PSF was given as; None if it is computed."""
    if isinstance(given, MeasuredPSF):
        return given.pixels
    return None if isinstance(given, Optics) or np.ndim(given) == 0 else given


def psf_is_image(given: Any, source: ImageArray) -> bool:
    """Return whether the image itself was given as the PSF."""
    psf = _array(given)
    # Sizes first: only then is a lazy image read.
    if psf is None or np.size(psf) != source.size:
        return False
    # Axes of length 1 do not make it another image.
    return bool(np.array_equal(np.squeeze(psf), np.squeeze(as_numpy(source))))


def psf_facts(given: Any, psf: NDArray[np.float64]) -> dict[str, Any]:
    """Return the record's entry about a PSF: what it was computed from, or a digest of the array."""
    if isinstance(given, Optics):
        # Left out where they are not given, as records of earlier versions have none: both must compare as equal.
        unset = {name for name in ("pinhole", "excitation") if getattr(given, name) is None}
        return {"shape": list(psf.shape), "optics": {k: v for k, v in asdict(given).items() if k not in unset}}
    array = _array(given)
    if array is None:
        return {"shape": list(psf.shape), "gaussian_fwhm_px": float(given)}
    # In little-endian float64, so that dtype and machine do not change the digest.
    digest = hashlib.sha256(np.ascontiguousarray(as_psf(array), "<f8").tobytes()).hexdigest()
    found = {"shape": list(psf.shape), "sha256": digest}
    if not isinstance(given, MeasuredPSF):
        return found
    image = given.image_pixel_size or (None,) * psf.ndim
    sizes = {"pixel_size": list(given.pixel_size), "image_pixel_size": list(image), "resampled": given.resampled}
    return found | sizes
