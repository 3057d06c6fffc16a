"""Parse the XML in files of microscopes, after checks, and keep what they state of the acquisition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from napari_genrecon.errors import ImageError

__all__ = ["CHANNELS", "child_texts", "parsed_xml", "short_text", "stated"]

CHANNELS = 64
"""Channels whose acquisition is kept: every record of a later step holds it in memory and in its files again."""
_MAX_XML = 256 << 20  # characters; to parse it takes several times as much memory
_LONGEST = 200  # characters of a text, which anybody may have written


def stated(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file states, as texts that are not too long; see `io.tiff.acquisition` for the names."""
    found = {name: value if isinstance(value, dict | list) else short_text(value) for name, value in values.items()}
    return {name: value for name, value in found.items() if value}


def short_text(value: Any) -> str:
    """Return what a file states as a text that is not too long; empty where it is nothing."""
    # Otherwise a single-precision number would bring its rounding errors: 1.399999976 instead of 1.4.
    number = f"{value:g}" if isinstance(value, float) else value
    return "" if number is None else str(number).strip()[:_LONGEST]


def child_texts(element: ElementTree.Element | None, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the texts of children, by our names."""
    if element is None:
        return {}
    return stated({ours: element.findtext(f".//{{*}}{theirs}") for theirs, ours in names.items()})


def parsed_xml(text: str, what: str) -> ElementTree.Element:
    """Return the root element of what an error calls `what`; it needs no entities, so none are allowed.

    Raises
    ------
    ImageError
        If it declares entities, is too large, or is no XML.
    """
    # Entities that name each other can make gigabytes out of a few lines when they are expanded.
    if len(text) > _MAX_XML or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ImageError(f"{what} declares entities or is larger than 256 MB: it is not read")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ImageError(f"{what} is not XML, the file may be damaged: {error}") from error
