"""What `deblur` knows of the point spread function (PSF) that it was given."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.optics import MeasuredPSF, Optics, as_psf
from napari_genrecon.optics.centre import centred_psf
from napari_genrecon.optics.psf_check import measured_notes, size_notes

__all__ = ["psf_array", "psf_facts", "psf_given_notes", "psf_is_image"]


def psf_array(given: Any) -> NDArray[np.float64]:
    """The PSF on the pixels of the image, of sum 1 and with its centre at half its shape, however it was given."""
    return given.psf() if isinstance(given, Optics | MeasuredPSF) else centred_psf(as_psf(given))


def psf_given_notes(given: Any, psf: NDArray[np.float64], axes: Axes, shape: tuple[int, ...]) -> tuple[str, ...]:
    """What the user should know about a PSF that was given as an array, and what became of it."""
    array = _array(given)
    if array is None:
        return ()
    letters = "ZYX"[-psf.ndim :]
    sides = tuple(shape[axes.letters.index(letter)] for letter in letters)
    notes = size_notes(psf, sides) or measured_notes(centred_psf(as_psf(array)))
    resampled = given.note() if isinstance(given, MeasuredPSF) else ""
    return (*([resampled] if resampled else []), *notes)


def _array(given: Any) -> Any:
    """The array that a PSF was given as; None where it was not."""
    if isinstance(given, MeasuredPSF):
        return given.pixels
    return None if isinstance(given, Optics) or np.ndim(given) == 0 else given


def psf_is_image(given: Any, source: Any) -> bool:
    """Whether the image itself was given as the PSF."""
    psf = _array(given)
    if psf is None or np.size(psf) != source.size:
        return False
    return bool(np.array_equal(np.squeeze(psf), np.squeeze(np.asarray(source))))


def psf_facts(given: Any, psf: NDArray[np.float64]) -> dict[str, Any]:
    """A PSF for the record: what it was made from, or what tells it from others."""
    if isinstance(given, Optics):
        return {"shape": list(psf.shape), "optics": asdict(given)}
    array = _array(given)
    if array is None:
        return {"shape": list(psf.shape), "gaussian_fwhm_px": float(given)}
    digest = hashlib.sha256(np.ascontiguousarray(as_psf(array), "<f8").tobytes()).hexdigest()
    found = {"shape": list(psf.shape), "sha256": digest}
    if not isinstance(given, MeasuredPSF):
        return found
    image = given.image_pixel_size or (None,) * psf.ndim
    sizes = {"pixel_size": list(given.pixel_size), "image_pixel_size": list(image), "resampled": given.resampled}
    return found | sizes
