"""Open TIFF files with their axes, pixel size and record; large ones without reading them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.memory import available_memory
from napari_genrecon.errors import ImageError
from napari_genrecon.io.provenance import RECORD_NAMESPACE

__all__ = ["TIFF_ENDINGS", "ImageFile", "image_name", "is_tiff", "open_image"]

TIFF_ENDINGS = (".tif", ".tiff")

_UNKNOWN = set("IQ")  # what tifffile calls dimensions that the file does not name
_LAZY_ABOVE = 256 << 20  # bytes; smaller files are read at once, and so are those below a share of the memory
_LAZY_SHARE = 16
_MAX_XML = 64 << 20
_MICROMETRE = "micrometer"
_UNITS = {
    "µm": _MICROMETRE,
    "\u03bcm": _MICROMETRE,  # the Greek letter instead of the micro sign
    "\\u00B5m": _MICROMETRE,  # as ImageJ escapes it
    "um": _MICROMETRE,
    "micron": _MICROMETRE,
    "microns": _MICROMETRE,
    "nm": "nanometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "pixels": "pixel",
    "s": "second",
    "sec": "second",
    "ms": "millisecond",
    "min": "minute",
    "h": "hour",
}

_OME_SIZES = (
    ("X", "PhysicalSizeX", "µm"),
    ("Y", "PhysicalSizeY", "µm"),
    ("Z", "PhysicalSizeZ", "µm"),
    ("T", "TimeIncrement", "s"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """An opened image.

    Attributes
    ----------
    data : array_like
        A NumPy array, or for a large file something that is read by region.
    axes : Axes
        What its dimensions mean; assumed by the rule in `axes` where the file does not say.
    scale : tuple of float
        Size of a pixel (or plane, or frame) per dimension; 1 where it is not known.
    units : tuple of str
        Unit per dimension, as napari names them: ``"micrometer"``, ``"second"``, ``"pixel"``.
    channel_names : tuple of str
        Empty if the file has none.
    name, path
        Name without ending, and where it is.
    record : dict or None
        How the image was made, if it is a result of ours.
    """

    data: Any
    axes: Axes
    scale: tuple[float, ...]
    units: tuple[str, ...]
    name: str
    path: Path
    channel_names: tuple[str, ...] = ()
    record: dict[str, Any] | None = field(default=None, repr=False)


def is_tiff(path: Path) -> bool:
    """Whether the name ends as that of a TIFF file."""
    return path.name.lower().endswith(TIFF_ENDINGS)


def image_name(path: Path) -> str:
    """The name of a file without the ending of a TIFF or OME-TIFF."""
    return re.sub(r"(\.ome)?\.tiff?$", "", path.name, flags=re.IGNORECASE)


def open_image(path: str | Path, *, axes: str | None = None) -> ImageFile:
    """Open the first image of a TIFF file.

    Parameters
    ----------
    path : path-like
        An OME-TIFF, ImageJ TIFF or any other TIFF.
    axes : str, optional
        What the dimensions mean, if the file is wrong or silent about it.

    Raises
    ------
    ImageError
        If the file is missing, is not a TIFF, is damaged, or does not fit the axes.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"there is no file {path}")
    if not is_tiff(path):
        raise ImageError(f"{path.name} is not a TIFF file: only {' and '.join(TIFF_ENDINGS)} files can be opened here")
    try:
        return _open_tiff(path, axes)
    except ImageError:
        raise
    except Exception as error:  # a damaged file makes tifffile raise nearly anything
        raise ImageError(f"{path.name} cannot be read as a TIFF file, it may be damaged: {error}") from error


def _open_tiff(path: Path, axes: str | None) -> ImageFile:
    import tifffile

    with tifffile.TiffFile(path) as tif:
        if not tif.series:
            raise ImageError(f"{path.name} holds no image")
        series = tif.series[0]
        _check_size(path, series.shape, series.dtype)
        ome = _ome(tif)
        data, letters = _read(tif, series, path)
        found = _resolve(axes, letters, data.shape)
        sizes = _imagej_sizes(tif) if ome is None else _ome_sizes(ome)
        names = () if ome is None else _channel_names(ome)
    scale = tuple(sizes.get(letter, (1.0, ""))[0] for letter in found.letters)
    units = tuple(sizes.get(letter, (1.0, "pixel"))[1] for letter in found.letters)
    return ImageFile(
        data=data,
        axes=found,
        scale=scale,
        units=units,
        name=image_name(path),
        path=path,
        channel_names=names,
        record=None if ome is None else _record(ome),
    )


def _check_size(path: Path, shape: tuple[int, ...], dtype: Any) -> None:
    """A header may declare any size; what it declares is compared with the file before anything is allocated."""
    declared = int(np.prod([int(n) for n in shape], dtype=object)) * np.dtype(dtype).itemsize
    if declared > 10_000 * max(1, path.stat().st_size):
        raise ImageError(
            f"{path.name} declares {declared / 1e9:.1f} GB of pixels {tuple(shape)} "
            f"but has {path.stat().st_size} bytes: its header is damaged"
        )


def _read(tif: Any, series: Any, path: Path) -> tuple[Any, str]:
    """The pixels, and the axes as the file names them."""
    if series.nbytes <= max(_LAZY_ABOVE, available_memory() // _LAZY_SHARE):
        return series.asarray(), series.axes
    if series.dataoffset is not None and series.keyframe.is_contiguous:
        return _memmap(path), series.axes
    return _zarr(path), series.axes


def _memmap(path: Path) -> Any:
    import tifffile

    return tifffile.memmap(path, mode="r")


def _zarr(path: Path) -> Any:
    import tifffile
    import zarr

    opened = zarr.open(tifffile.imread(path, aszarr=True), mode="r")
    return opened if isinstance(opened, zarr.Array) else opened["0"]


def _resolve(axes: str | None, letters: str, shape: tuple[int, ...]) -> Axes:
    """The axes that were given, else those of the file if they mean something to us, else the rule."""
    if axes:
        return resolve_axes(axes, shape)
    try:
        return Axes(resolve_axes(letters, shape).letters) if not _UNKNOWN & set(letters) else resolve_axes(None, shape)
    except ImageError:  # an order of dimensions that we cannot use: the rule may still do
        return resolve_axes(None, shape)


def _imagej_sizes(tif: Any) -> dict[str, tuple[float, str]]:
    """Axis letter to (size, unit), as far as the tags and ImageJ's notes tell."""
    sizes = _resolution(tif)
    if tif.is_imagej:
        meta = tif.imagej_metadata or {}
        unit = sizes["X"][1] if "X" in sizes else _unit(meta.get("unit", ""))
        if meta.get("spacing"):
            sizes["Z"] = (abs(float(meta["spacing"])), unit)
        if meta.get("finterval"):
            sizes["T"] = (float(meta["finterval"]), _unit(meta.get("tunit", "s")))
    return {letter: (size, unit) for letter, (size, unit) in sizes.items() if size > 0}


def _unit(text: str) -> str:
    return _UNITS.get(text.strip(), text.strip() or "pixel")


def _known(text: str) -> str | None:
    unit = _unit(text)
    return unit if unit in _UNITS.values() and unit != "pixel" else None


def _resolution(tif: Any) -> dict[str, tuple[float, str]]:
    page = tif.pages[0]
    unit = _known(str((tif.imagej_metadata or {}).get("unit", ""))) if tif.is_imagej else None
    if unit is None:
        unit = {2: "inch", 3: "centimeter"}.get(int(page.tags.valueof("ResolutionUnit", 1)))
    sizes = {}
    for letter, name in (("X", "XResolution"), ("Y", "YResolution")):
        above, below = page.tags.valueof(name, (1, 1))
        # 72 and 96 per inch are what programs write when they know nothing.
        if unit and above and below and not (unit == "inch" and above / below in (1, 72, 96, 300)):
            sizes[letter] = _sensible(below / above, unit)
    return sizes


def _sensible(size: float, unit: str) -> tuple[float, str]:
    """Micrometres instead of inches or centimetres: nobody images with pixels of a centimetre."""
    if unit == "inch":
        return size * 25_400.0, _MICROMETRE
    return (size * 10_000.0, _MICROMETRE) if unit == "centimeter" else (size, unit)


def _ome(tif: Any) -> ElementTree.Element | None:
    """The OME-XML of a file, if it has any; it needs no entities, so none are allowed."""
    if not tif.is_ome:
        return None
    xml = tif.ome_metadata
    if len(xml) > _MAX_XML or "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise ImageError("the OME-XML of this file declares entities or is larger than 64 MB: it is not read")
    return ElementTree.fromstring(xml)


def _ome_sizes(ome: ElementTree.Element) -> dict[str, tuple[float, str]]:
    pixels = ome.find(".//{*}Pixels")
    if pixels is None:
        return {}
    sizes = {}
    for letter, key, default in _OME_SIZES:
        size = float(pixels.get(key) or 0)
        if size > 0:
            sizes[letter] = (size, _unit(pixels.get(f"{key}Unit", default)))
    return sizes


def _channel_names(ome: ElementTree.Element) -> tuple[str, ...]:
    pixels = ome.find(".//{*}Pixels")
    names = [c.get("Name", "") for c in pixels.findall("{*}Channel")] if pixels is not None else []
    return tuple(names) if any(names) else ()


def _record(ome: ElementTree.Element) -> dict[str, Any] | None:
    """The record that our writer put into the file."""
    for note in ome.iterfind(".//{*}MapAnnotation"):
        entry = note.find(".//{*}M[@K='record']")
        if note.get("Namespace") == RECORD_NAMESPACE and entry is not None and entry.text:
            record = json.loads(entry.text)
            return record if isinstance(record, dict) else None
    return None
