"""Parse the OME-XML of a TIFF file, after checks."""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from napari_genrecon.errors import ImageError
from napari_genrecon.io.foreign.metadata import parsed_xml
from napari_genrecon.io.image_file import ImageMeta, Sizes, unit_name

if TYPE_CHECKING:
    from tifffile import TiffFile

__all__ = ["channels_in", "image_in", "note_in", "ome_of", "positions_in", "sizes_in"]

_FILE_NAME = re.compile(r"FileName\s*=\s*[\"']([^\"']*)[\"']")
_OME_SIZES = (
    ("X", "PhysicalSizeX", "µm"),
    ("Y", "PhysicalSizeY", "µm"),
    ("Z", "PhysicalSizeZ", "µm"),
    ("T", "TimeIncrement", "s"),
)


def ome_of(tif: TiffFile) -> ElementTree.Element | None:
    """Return the OME-XML of a file, if it has any."""
    if not tif.is_ome:
        return None
    xml = tif.ome_metadata
    root = parsed_xml(xml, "the OME-XML of this file")
    # tifffile opens the files that the XML names for the planes of a data set: with a path in it, any file of the user.
    for name in _FILE_NAME.findall(xml):
        if re.search(r"[/\\:]", name) or name.startswith("."):
            raise ImageError(f"the OME-XML of this file names another file {name!r}: only files beside it are read")
    return root


def image_in(ome: ElementTree.Element, index: int, count: int) -> ElementTree.Element:
    """Return the element of one image of `count`; all of the XML if it does not list them one by one."""
    images = ome.findall("{*}Image")
    return images[index] if len(images) == count else ome


def sizes_in(ome: ElementTree.Element) -> Sizes:
    """Return size and unit per dimension, as far as they are stated."""
    # The first image of several, if `image_in` could not tell which.
    pixels = ome.find(".//{*}Pixels")
    if pixels is None:
        return {}
    sizes = {}
    for letter, key, default in _OME_SIZES:
        size = _number(pixels.get(key))
        if size is not None and size > 0:
            sizes[letter] = (size, unit_name(pixels.get(f"{key}Unit", default)))
    return sizes


def positions_in(ome: ElementTree.Element, about: ImageMeta) -> tuple[float, ...]:
    """Return the place of the first pixel, for axes whose stage position has the unit of their scale."""
    plane = ome.find(".//{*}Plane")
    if plane is None:
        return ()
    found = []
    for letter, unit in zip(about.axes.letters, about.units, strict=True):
        place = _number(plane.get(f"Position{letter}")) if letter in "XYZ" else None
        # Without a unit OME means the "reference frame", which counts as pixels here and fits no calibrated axis.
        same = unit_name(plane.get(f"Position{letter}Unit", "")) == unit
        found.append(place if place is not None and same else 0.0)
    return tuple(found) if any(found) else ()


def channels_in(ome: ElementTree.Element) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return names and colours of the channels; OME writes a colour as a signed 32-bit RGBA integer."""
    pixels = ome.find(".//{*}Pixels")
    channels = pixels.findall("{*}Channel") if pixels is not None else []
    names = [channel.get("Name", "") for channel in channels]
    # A missing colour gives a shorter list, which is then refused: colours must match their channels.
    numbers = [_number(channel.get("Color")) for channel in channels]
    # A shift of a negative number keeps its sign, and the mask takes the 24 bits of the colour; alpha falls off.
    colors = [f"#{(int(number) >> 8) & 0xFFFFFF:06x}" for number in numbers if number is not None]
    return (
        tuple(names) if any(names) else (),
        tuple(colors) if len(colors) == len(channels) else (),
    )


def _number(text: str | None) -> float | None:
    """Return a number, or None where a program wrote something else: the pixels are still usable."""
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def note_in(ome: ElementTree.Element, namespace: str) -> dict[str, Any] | None:
    """Return a JSON object that napari-genrecon wrote into the file, else None."""
    for note in ome.iterfind(".//{*}MapAnnotation"):
        entry = note.find(".//{*}M")
        if note.get("Namespace") == namespace and entry is not None and entry.text:
            with suppress(ValueError, RecursionError):  # text that is no JSON was changed by somebody else
                found = json.loads(entry.text)
                return found if isinstance(found, dict) else None
    return None
