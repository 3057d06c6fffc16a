"""Pixel sizes that an option leaves to the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from napari_genrecon.errors import OptionError
from napari_genrecon.io.image_file import About
from napari_genrecon.optics import Optics
from napari_genrecon.tasks.placement import plane_spacing

__all__ = ["calibrated"]

_MICROMETRES = {
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
    "angstrom": 1e-4,
}
_SQUARE = 0.01  # part by which the sides of a pixel may differ


def calibrated(options: Any, about_of: Callable[[], About]) -> Any:
    """The same options, with what they leave to the image's calibration: pixel size and z step of optics, and, to
    upscale along z, the distance of two planes in pixels.

    Parameters
    ----------
    options
        Of any task.
    about_of : callable
        What the pixels of the image mean; only asked where it is needed.

    Raises
    ------
    OptionError
        If the image does not say them.
    """
    given = {field.name: getattr(options, field.name) for field in fields(options)}
    found: dict[str, Any] = {
        name: _filled(value, about_of()) for name, value in given.items() if isinstance(value, Optics)
    }
    if given.get("along") == "Z" and given["spacing"] is None:
        whole = about_of().filled()
        found["spacing"] = plane_spacing(str(options.axes), whole.scale, whole.units)
    return replace(options, **found) if found else options


def _filled(optics: Optics, about: About) -> Optics:
    letters = about.axes.letters
    if optics.pixel_size is None:
        x, y = _length(about, "X", "pixel_size"), _length(about, "Y", "pixel_size")
        if abs(x - y) > _SQUARE * max(x, y):
            raise OptionError(f"the pixels are {x:g} x {y:g} micrometres, and a computed PSF needs square ones")
        optics = replace(optics, pixel_size=(x + y) / 2)
    if optics.z_step is None:
        optics = replace(optics, z_step=_length(about, "Z", "z_step") if "Z" in letters else 0.0)
    return optics


def _length(about: About, letter: str, name: str) -> float:
    """Size of a pixel along one dimension, in micrometres."""
    whole, index = about.filled(), about.axes.letters.index(letter)
    unit = whole.units[index]
    if unit not in _MICROMETRES:
        raise OptionError(
            f"the image does not say how large a pixel is along {letter} (its unit is {unit}): give the "
            f"{name.replace('_', ' ')} ({name}) in micrometres"
            + (", or 0 to treat every plane by itself" if name == "z_step" else "")
        )
    return float(whole.scale[index]) * _MICROMETRES[unit]
