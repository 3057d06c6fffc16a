"""Pixel sizes of a TIFF file without OME-XML: from its tags, ImageJ's description, or the notes of a microscope."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_genrecon.io.image_file import MICROMETRE, Sizes, in_unit, unit_name

if TYPE_CHECKING:
    from tifffile import TiffFile

__all__ = ["tiff_sizes"]

_PRINTED = (
    1, 50, 60, 72, 75, 90, 96, 100, 120, 144, 150, 160, 180, 192, 200, 216, 220, 240, 250, 288, 300, 320, 350, 360, 400,
    450, 480, 500, 600, 720, 800, 900, 1000, 1200, 1440, 1600, 1800, 2400, 2880, 3200, 3600, 4800,
)  # fmt: skip
"""Dots per inch of screens, printers and scanners: what programs write when they know no pixel size."""
_CENTIMETRES = 2.54  # per inch
_TOLERANCE = 1e-3  # relative; 300 dots per inch are also written as 118 per cm
_TAG_UNITS = {2: "inch", 3: "centimeter"}


def tiff_sizes(tif: TiffFile) -> Sizes:
    """Return size and unit per dimension as far as the file states them; only sizes that are finite and positive.

    Parameters
    ----------
    tif : tifffile.TiffFile
        Without OME-XML.
    """
    for known, sizes in (
        (tif.is_imagej, _imagej), (tif.is_stk, _metamorph), (tif.is_lsm, _zeiss_lsm), (tif.pages[0].is_svs, _aperio),
    ):  # fmt: skip
        # The notes of the program first: it may leave the resolution tags at a value for printers.
        found = _usable(sizes(tif)) if known else {}
        if found:
            return found
    return _usable(_tags(tif))


def _usable(sizes: Mapping[str, tuple[Any, str]]) -> Sizes:
    numbers = {letter: (_number(size), unit) for letter, (size, unit) in sizes.items()}
    return {letter: (size, unit) for letter, (size, unit) in numbers.items() if 0 < size < math.inf}


def _number(value: float | str | None) -> float:
    """Return a number, or 0 for what is none."""
    try:
        return float(value)  # type: ignore[arg-type]  # None is a TypeError
    except (TypeError, ValueError):
        return 0.0


# --- tags ---


def _resolutions(tif: TiffFile) -> dict[str, float]:
    """Return pixels per unit along X and Y; nothing where a tag is missing or 0."""
    found = {}
    for letter, name in (("X", "XResolution"), ("Y", "YResolution")):
        above, below = tif.pages[0].tags.valueof(name, (0, 1))
        if above and below:
            found[letter] = above / below
    return found


def _tags(tif: TiffFile) -> Sizes:
    # 1 means "no absolute unit": then the tags give only the proportion of the sides.
    unit = _TAG_UNITS.get(int(tif.pages[0].tags.valueof("ResolutionUnit", 1)))
    if unit is None:
        return {}
    return {letter: _length(1 / n, unit) for letter, n in _resolutions(tif).items() if not _is_printed(n, unit)}


def _is_printed(pixels: float, unit: str) -> bool:
    """Return whether a resolution is that of a screen or printer (rounded, too), and no pixel size."""
    if unit not in ("inch", "centimeter"):
        return False
    per_inch = pixels * (_CENTIMETRES if unit == "centimeter" else 1)
    rounded = {round(dots / _CENTIMETRES) for dots in _PRINTED} | {int(dots / _CENTIMETRES) for dots in _PRINTED}
    return (
        any(abs(per_inch / dots - 1) < _TOLERANCE for dots in _PRINTED)
        or pixels == 1
        # Only where they are few per centimetre: a whole number of many may be a real pixel size.
        or (unit == "centimeter" and per_inch < max(_PRINTED[:20]) and pixels in rounded)
    )


def _length(size: float, unit: str) -> tuple[float, str]:
    """Return micrometres instead of inches or centimetres: nobody images with pixels of a centimetre."""
    return in_unit(size, unit, MICROMETRE) if unit in ("inch", "centimeter") else (size, unit)


# --- ImageJ ---


def _imagej(tif: TiffFile) -> Mapping[str, tuple[Any, str]]:
    """Return the sizes in ImageJ's description; a depth that it leaves out is 1 in the unit of X."""
    meta = tif.imagej_metadata or {}
    sizes = _imagej_plane(tif, meta)
    if "X" in sizes and "Y" in sizes:
        sizes["Z"] = _imagej_depth(meta, sizes["X"][1])
    elif _number(meta.get("spacing")):
        sizes["Z"] = (abs(_number(meta.get("spacing"))), unit_name(str(meta.get("zunit", meta.get("unit", "")))))
    # ImageJ gives seconds per frame, or frames per second, or both.
    interval = _number(meta.get("finterval")) or (1 / _number(meta.get("fps")) if _number(meta.get("fps")) else 0)
    sizes["T"] = (interval, unit_name(str(meta.get("tunit", "s"))))
    return {letter: _length(size, unit) for letter, (size, unit) in sizes.items()}


def _imagej_plane(tif: TiffFile, meta: Mapping[str, Any]) -> dict[str, tuple[float, str]]:
    """Return the sizes along X and Y, Y in the unit of X."""
    tag = _TAG_UNITS.get(int(tif.pages[0].tags.valueof("ResolutionUnit", 1)), "pixel")
    found = {}
    for letter, n in _resolutions(tif).items():
        unit = unit_name(str(meta.get("unit", "")))
        if letter == "Y":
            unit = unit_name(str(meta.get("yunit", meta.get("unit", ""))))
        unit = tag if unit == "pixel" else unit
        if unit != "pixel" and not _is_printed(n, unit):
            found[letter] = (1 / n, unit)
    if "X" in found and "Y" in found:
        found["Y"] = in_unit(*found["Y"], found["X"][1])
    return found


def _imagej_depth(meta: Mapping[str, Any], unit: str) -> tuple[float, str]:
    # The spacing may be negative; the size of a pixel may not.
    own = unit_name(str(meta.get("zunit", "")))
    return in_unit(abs(_number(meta.get("spacing"))) or 1.0, unit if own == "pixel" else own, unit)


# --- microscopes ---


def _metamorph(tif: TiffFile) -> Mapping[str, tuple[Any, str]]:
    """Return the sizes of a MetaMorph stack; its z steps are in micrometres."""
    meta = tif.stk_metadata or {}
    found: dict[str, tuple[Any, str]] = {}
    unit = unit_name(str(meta.get("CalibrationUnits", "")))
    if meta.get("SpatialCalibration") and unit != "pixel":
        found = {letter: (meta.get(f"{letter}Calibration"), unit) for letter in "XY"}
    steps = np.ravel(meta.get("ZDistance", []))
    # Uneven steps have no single size.
    if steps.size and np.all(steps == steps[0]):
        found["Z"] = (abs(float(steps[0])), MICROMETRE)
    created = np.ravel(meta.get("TimeCreated", []))  # milliseconds since midnight
    if created.size > 1:
        # The median, as single frames may be late; signed, as the clock starts again at midnight.
        found["T"] = (float(np.median(np.diff(created.astype(np.int64)))) / 1000, "second")
    return found


def _zeiss_lsm(tif: TiffFile) -> Mapping[str, tuple[Any, str]]:
    """Return the sizes of an LSM file, which has metres."""
    meta = tif.lsm_metadata or {}
    sizes = {letter: (_number(meta.get(f"VoxelSize{letter}")) * 1e6, MICROMETRE) for letter in "XYZ"}
    return {**sizes, "T": (meta.get("TimeIntervall"), "second")}


def _aperio(tif: TiffFile) -> Mapping[str, tuple[Any, str]]:
    """Return the size in the description of a slide: ``MPP = 0.2520`` micrometres per pixel."""
    found = re.search(r"\bMPP\s*=\s*([\d.]+)", str(tif.pages[0].description))
    return dict.fromkeys("XY", (found[1], MICROMETRE)) if found else {}
