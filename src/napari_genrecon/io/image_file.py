"""What a file says about its pixels, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_genrecon.axes import Axes

__all__ = ["UNIT_SYMBOLS", "About", "ImageFile", "known_unit", "unit_name"]

MICROMETRE = "micrometer"
_UNITS = {
    "µm": MICROMETRE,
    "\u03bcm": MICROMETRE,  # the Greek letter instead of the micro sign
    "\\u00B5m": MICROMETRE,  # as ImageJ escapes it
    "um": MICROMETRE,
    "micron": MICROMETRE,
    "microns": MICROMETRE,
    "nm": "nanometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "Å": "angstrom",
    "\u212b": "angstrom",  # the sign of the unit instead of the letter
    "pm": "picometer",
    "in": "inch",
    "pixels": "pixel",
    "s": "second",
    "sec": "second",
    "ms": "millisecond",
    "min": "minute",
    "h": "hour",
}
UNIT_SYMBOLS = {
    "micrometer": "µm", "nanometer": "nm", "millimeter": "mm", "centimeter": "cm", "meter": "m", "pixel": "pixel",
    "second": "s", "millisecond": "ms", "minute": "min", "hour": "h",
}  # fmt: skip
"""napari's unit names and the symbols of OME-TIFF."""
_OTHER_UNITS = {
    "angstrom", "picometer", "femtometer", "decimeter", "kilometer", "inch", "foot",
    "microsecond", "nanosecond", "picosecond", "day",
}  # fmt: skip


def unit_name(text: str) -> str:
    """A unit as napari names it; ``"pixel"`` where there is none, or one that napari would not know."""
    unit = _UNITS.get(text.strip(), text.strip())
    return unit if unit in UNIT_SYMBOLS or unit in _OTHER_UNITS else "pixel"


def known_unit(text: str) -> str | None:
    """The same for units of length and time that can be written again, else None."""
    unit = unit_name(text)
    return unit if unit in UNIT_SYMBOLS and unit != "pixel" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the pixels mean.

    Attributes
    ----------
    axes : Axes
        What the dimensions mean; assumed by the rule in `axes` where the file does not say.
    scale : tuple of float
        Size of a pixel (or plane, or frame) per dimension; 1 where it is not known. Empty: 1 everywhere.
    units : tuple of str
        Unit per dimension, as napari names them: ``"micrometer"``, ``"second"``, ``"pixel"``. Empty: pixels.
    translate : tuple of float
        Place of the centre of the first pixel per dimension, in those units. Empty: 0 everywhere.
    channel_names, channel_colors : tuple of str
        Per channel; colours as ``"#rrggbb"``. Empty if the file has none.
    record : dict or None
        How the image was made, if it is a result of ours; see `provenance`.
    layer : dict or None
        How napari showed the layer that was saved: JSON values, keywords of ``add_image``.
    """

    axes: Axes
    scale: tuple[float, ...] = ()
    units: tuple[str, ...] = ()
    translate: tuple[float, ...] = ()
    channel_names: tuple[str, ...] = ()
    channel_colors: tuple[str, ...] = ()
    record: dict[str, Any] | None = field(default=None, repr=False)
    layer: dict[str, Any] | None = field(default=None, repr=False)

    def filled(self) -> About:
        """The same with a scale, a unit and a place for every dimension."""
        n = len(self.axes)
        return replace(
            self,
            scale=self.scale or (1.0,) * n,
            units=self.units or ("pixel",) * n,
            translate=self.translate or (0.0,) * n,
        )

    def reordered(self, order: tuple[int, ...]) -> About:
        """The same for an array whose dimensions were put into this order."""
        whole = self.filled()
        return replace(
            whole,
            axes=Axes("".join(self.axes.letters[i] for i in order), self.axes.assumed),
            scale=tuple(whole.scale[i] for i in order),
            units=tuple(whole.units[i] for i in order),
            translate=tuple(whole.translate[i] for i in order),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """An opened image.

    Attributes
    ----------
    data : array_like
        A NumPy array, or for a large file something that is read by region.
    about : About
        What the pixels mean; its fields can also be asked of the image itself.
    name, path
        Name without ending, and where it is.
    levels : tuple of array_like
        Smaller copies of the data, each about half as large along Y and X as the one before; may be empty.
    unfinished : str
        Not empty if the file is a result that was not finished: how far it came.
    """

    data: Any
    about: About
    name: str
    path: Path
    levels: tuple[Any, ...] = ()
    unfinished: str = ""

    @property
    def axes(self) -> Axes:
        """What the dimensions mean."""
        return self.about.axes

    @property
    def scale(self) -> tuple[float, ...]:
        """Size of a pixel per dimension."""
        return self.about.scale

    @property
    def units(self) -> tuple[str, ...]:
        """Unit per dimension."""
        return self.about.units

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels, if known."""
        return self.about.channel_names

    @property
    def record(self) -> dict[str, Any] | None:
        """How the image was made, if it is a result of ours."""
        return self.about.record
