"""Parse the XML in files of microscopes, after checks."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from napari_genrecon.errors import ImageError

__all__ = ["parsed_xml"]

_MAX_XML = 256 << 20  # characters; to parse it takes several times as much memory


def parsed_xml(path: Path, text: str) -> ElementTree.Element:
    """Return the root element; it needs no entities, so none are allowed.

    Raises
    ------
    ImageError
        If it declares entities, is too large, or is no XML.
    """
    if len(text) > _MAX_XML or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ImageError(f"the XML of {path.name} declares entities or is larger than 256 MB: it is not read")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ImageError(f"the XML of {path.name} is not XML, the file may be damaged: {error}") from error
