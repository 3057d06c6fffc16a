"""The metadata of an image, whatever the format of its file: axes, sizes, units, channels, record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.errors import MOST_LISTED, ImageError

__all__ = [
    "MICROMETRES", "UNIT_SYMBOLS", "ImageFile", "ImageMeta", "Series", "Sizes", "about_with", "chosen_series",
    "in_unit", "listed_series", "resolved_axes", "unit_name",
]  # fmt: skip

MICROMETRE = "micrometer"
_UNITS = {
    "µm": MICROMETRE,
    "\u03bcm": MICROMETRE,  # the Greek letter instead of the micro sign
    "\\u00b5m": MICROMETRE,  # as ImageJ escapes it
    "um": MICROMETRE,
    "micron": MICROMETRE,
    "nm": "nanometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "å": "angstrom",
    "pm": "picometer",
    "fm": "femtometer",
    "dm": "decimeter",
    "km": "kilometer",
    "in": "inch",
    "inches": "inch",
    "ft": "foot",
    "s": "second",
    "sec": "second",
    "ms": "millisecond",
    "msec": "millisecond",
    "µs": "microsecond",
    "\u03bcs": "microsecond",  # the Greek letter, as above
    "ns": "nanosecond",
    "ps": "picosecond",
    "h": "hour",
    "hr": "hour",
    "d": "day",
}  # lower case
# Looked up as they are written: "m" is a metre, and "M" is not.
_CASE_MATTERS = {"m": "meter", "M": "pixel", "min": "minute", "Min": "minute"}
UNIT_SYMBOLS = {
    "micrometer": "µm", "nanometer": "nm", "millimeter": "mm", "centimeter": "cm", "meter": "m", "pixel": "pixel",
    "angstrom": "Å", "picometer": "pm", "femtometer": "fm", "decimeter": "dm", "kilometer": "km", "inch": "in",
    "foot": "ft", "second": "s", "millisecond": "ms", "microsecond": "µs", "nanosecond": "ns", "picosecond": "ps",
    "minute": "min", "hour": "h", "day": "d",
}  # fmt: skip
"""napari's unit names and the symbols of OME-TIFF."""


MICROMETRES = {
    "meter": 1e6, "decimeter": 1e5, "centimeter": 1e4, "millimeter": 1e3, "micrometer": 1.0, "nanometer": 1e-3,
    "angstrom": 1e-4, "picometer": 1e-6, "femtometer": 1e-9, "kilometer": 1e9, "inch": 25_400.0, "foot": 304_800.0,
}  # fmt: skip
"""Units of length."""


def unit_name(text: str) -> str:
    """Return a unit as napari names it; ``"pixel"`` where there is none, or one that napari would not know."""
    text = text.strip()
    if text in _CASE_MATTERS:
        return _CASE_MATTERS[text]
    # Then without British spelling and plural; not at once, as "s" and "inches" would lose their last letter.
    for word in (text.lower(), text.lower().replace("metre", "meter").removesuffix("s")):
        unit = _UNITS.get(word, word)
        # napari refuses to show a layer with a unit that it does not know: anything else becomes pixels.
        if unit in UNIT_SYMBOLS:
            return unit
    return "pixel"


def in_unit(size: float, unit: str, wanted: str) -> tuple[float, str]:
    """Convert a length to another unit; what is no length in both stays as it is."""
    if unit == wanted or unit not in MICROMETRES or wanted not in MICROMETRES:
        return size, unit
    return size * (MICROMETRES[unit] / MICROMETRES[wanted]), wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMeta:
    """Metadata of an image: axes, pixel sizes, units, channels, and the record of how it was made.

    Attributes
    ----------
    axes : Axes
        Meaning of the dimensions; assumed by the rule in `axes` where the file does not say.
    scale : tuple of float
        Size of a pixel (or plane, or frame) per dimension; 1 where it is not known. Empty: 1 everywhere.
    units : tuple of str
        Unit per dimension, as napari names them: ``"micrometer"``, ``"second"``, ``"pixel"``. Empty: pixels.
    translate : tuple of float
        Place of the centre of the first pixel per dimension, in those units. Empty: 0 everywhere.
    channel_names, channel_colors : tuple of str
        Per channel; colours as ``"#rrggbb"``. Empty if the file has none.
    channel_luts : tuple of tuple of str
        Colours from dark to bright per channel, where one colour is not enough. Empty if the file has none.
    channel_limits : tuple of (float, float)
        Display limits per channel, in grey values. Empty if the file has none.
    record : dict or None
        Record of how the image was made, if napari-genrecon made it; see `provenance`.
    acquisition : dict or None
        How the image was acquired, as far as its file says: JSON values; see `io.tiff.acquisition`.
    layer : dict or None
        Display settings of the layer that was saved: JSON values, keywords of ``add_image``.
    """

    axes: Axes
    scale: tuple[float, ...] = ()
    units: tuple[str, ...] = ()
    translate: tuple[float, ...] = ()
    channel_names: tuple[str, ...] = ()
    channel_colors: tuple[str, ...] = ()
    channel_luts: tuple[tuple[str, ...], ...] = ()
    channel_limits: tuple[tuple[float, float], ...] = ()
    record: dict[str, Any] | None = field(default=None, repr=False)
    layer: dict[str, Any] | None = field(default=None, repr=False)
    acquisition: dict[str, Any] | None = field(default=None, repr=False)

    def filled(self) -> ImageMeta:
        """Return a copy with a scale, a unit and a place for every dimension."""
        n = len(self.axes)
        return replace(
            self,
            scale=self.scale or (1.0,) * n,
            units=self.units or ("pixel",) * n,
            translate=self.translate or (0.0,) * n,
        )

    def reordered(self, order: tuple[int, ...]) -> ImageMeta:
        """Return the metadata of the array whose dimensions are put into this order."""
        whole = self.filled()
        return replace(
            whole,
            axes=Axes("".join(self.axes.letters[i] for i in order), self.axes.assumed),
            scale=tuple(whole.scale[i] for i in order),
            units=tuple(whole.units[i] for i in order),
            translate=tuple(whole.translate[i] for i in order),
        )


class Series(NamedTuple):
    """One image of several in a file: its name, which may be empty, and its shape if that is known without reading."""

    name: str
    shape: tuple[int, ...] = ()

    def __str__(self) -> str:
        size = " x ".join(map(str, self.shape))
        return " ".join(filter(None, [f"'{self.name}'" if self.name else "", size]))


def chosen_series(path: Path, series: Sequence[Series], wanted: int | str | None) -> int:
    """Return the index of the image that was asked for; the first if none was.

    Parameters
    ----------
    path : Path
        Path of the file, for the error message.
    series : sequence of Series
        The images that it holds.
    wanted : int, str or None
        The index of one, or its name.

    Raises
    ------
    ImageError
        If there is none such.
    """
    if wanted is None:
        return 0
    names = [one.name for one in series]
    # A name comes first: a series may be called "2".
    if str(wanted) in names:
        return names.index(str(wanted))
    # `isdecimal` also refuses negative numbers, which Python would count from the end.
    if str(wanted).isdecimal() and int(wanted) < len(series):
        return int(wanted)
    raise ImageError(f"{path.name} has no image {wanted!r}: it holds {listed_series(series)}")


def listed_series(series: Sequence[Series]) -> str:
    """Return a text that lists images with the numbers by which they are chosen."""
    shown = [f"{index}: {one}".rstrip(": ") for index, one in enumerate(series[:MOST_LISTED])]
    more = f", … {len(series) - 1}" if len(series) > MOST_LISTED else ""
    return ", ".join(shown) + more


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """An opened image.

    Attributes
    ----------
    data : array_like
        A NumPy array, or for a large file something that is read by region.
    about : ImageMeta
        Metadata of the pixels; its fields are also attributes of the image itself.
    name, path
        Name without ending, and where it is.
    levels : tuple of array_like
        Smaller copies of the data, each about half as large along Y and X as the one before; may be empty.
    unfinished : str
        Not empty if the file is a result that was not finished: how far it came.
    series : tuple of Series
        All images of the file, if it holds several.
    chosen : int
        Index of this image among them.
    """

    data: Any
    about: ImageMeta
    name: str
    path: Path
    levels: tuple[Any, ...] = ()
    unfinished: str = ""
    series: tuple[Series, ...] = ()
    chosen: int = 0

    @property
    def axes(self) -> Axes:
        """Meaning of the dimensions."""
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
        """Record of how the image was made, if napari-genrecon made it."""
        return self.about.record


# --- what a file says about its dimensions ---

Sizes = dict[str, tuple[float, str]]
"""Axis letter to (size, unit)."""

_UNKNOWN = "IQ"  # letters that tifffile gives to dimensions without a name in the file


def resolved_axes(axes: str | None, letters: str, shape: tuple[int, ...], *, stated: str = "") -> Axes:
    """Return the axes that were given, else those of the file if they mean something to us, else the rule's.

    `stated` are letters that the file itself writes, although tifffile also gives them to dimensions without a name.
    """
    if axes:
        return resolve_axes(axes, shape)
    try:
        known = letters and not set(_UNKNOWN) & (set(letters) - set(stated))
        # Checked with the shape, but not marked as assumed: the file says so.
        return Axes(resolve_axes(letters, shape).letters) if known else resolve_axes(None, shape)
    except ImageError:  # an order of dimensions that is not supported: the rule may still do
        return resolve_axes(None, shape)


def about_with(axes: Axes, sizes: Sizes, **more: Any) -> ImageMeta:
    """Return the metadata from the sizes a file states; pixels are square if it states one side only."""
    one = sizes.get("X") or sizes.get("Y")
    known = {"X": one, "Y": one, **sizes} if one else sizes
    # Some programs write 0 or infinity for a size that they do not know.
    usable = {letter: pair for letter, pair in known.items() if pair and 0 < pair[0] < math.inf}
    return ImageMeta(
        axes=axes,
        scale=tuple(float(usable.get(letter, (1.0, ""))[0]) for letter in axes.letters),
        units=tuple(usable.get(letter, (1.0, "pixel"))[1] for letter in axes.letters),
        **more,
    )
