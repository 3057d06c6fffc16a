"""Find the images in a Zarr store: one image, those of a plate, well or converted file, or bare arrays."""

from __future__ import annotations

from typing import Any

from napari_genrecon.errors import ImageError
from napari_genrecon.io.zarr.places import HIDDEN_METADATA, METADATA, Place

__all__ = ["OLD_VERSIONS", "attributes_of", "images_in_store", "is_array"]

OLD_VERSIONS = {"0.1": "TCZYX", "0.2": "TCZYX", "0.3": "that its metadata name"}
"""Versions of OME-Zarr that are not read, and the axes of their arrays."""


def attributes_of(place: Place) -> dict[str, Any]:
    """Return the attributes of a group or array.

    Raises
    ------
    ImageError
        If it is neither.
    """
    # Version 3 before version 2: a store may have the metadata of both.
    for name in (METADATA, HIDDEN_METADATA, ".zattrs"):
        if place.has(name):
            found = place.json(name)
            if name != ".zattrs" and found.get("node_type") not in ("group", "array"):
                raise ImageError(f"{place}/{name} says neither group nor array: it is damaged")
            attributes = found if name == ".zattrs" else found.get("attributes", {})
            return attributes if isinstance(attributes, dict) else {}
    # A node of version 2 without attributes has no ".zattrs" at all.
    if place.has(".zgroup") or place.has(".zarray"):
        return {}
    raise ImageError(f"{place} holds no Zarr metadata: it is not a Zarr store, or it was not finished")


def is_array(place: Place) -> bool:
    """Return whether a node is an array."""
    return place.has(".zarray") or (place.has(METADATA) and place.json(METADATA).get("node_type") == "array")


def images_in_store(root: Place) -> dict[str, Place]:
    """Return the images of a store with their names, which are their places in it.

    Raises
    ------
    ImageError
        If there is none.
    """
    if is_array(root):
        return {"": root}
    attributes = attributes_of(root)
    # OME-Zarr 0.5 puts its metadata under "ome", 0.4 among the other attributes.
    ome = attributes.get("ome") if isinstance(attributes.get("ome"), dict) else attributes
    assert isinstance(ome, dict)
    if "multiscales" in ome:
        return {"": root}
    # From the outside in: a plate has wells, a well has fields, a field is an image.
    if isinstance(ome.get("plate"), dict):
        return _of_plate(root, ome["plate"])
    if isinstance(ome.get("well"), dict):
        return _of_well(root, "", ome["well"])
    return _of_group(root)


def _of_plate(root: Place, plate: dict[str, Any]) -> dict[str, Place]:
    found: dict[str, Place] = {}
    for well in _named(plate.get("wells")):
        attributes = attributes_of(root.at(well))
        inside = (attributes.get("ome") or attributes).get("well")
        found |= _of_well(root.at(well), f"{well}/", inside if isinstance(inside, dict) else {})
    return found or _refuse(root)


def _of_well(place: Place, prefix: str, well: dict[str, Any]) -> dict[str, Place]:
    return {f"{prefix}{name}": place.at(name) for name in _named(well.get("images"))} or _refuse(place)


def _named(listed: Any) -> list[str]:
    return [str(one["path"]) for one in listed or [] if isinstance(one, dict) and "path" in one]


def _of_group(root: Place) -> dict[str, Place]:
    """Return the images that bioformats2raw numbers, or arrays and images that lie in a group."""
    found = {}
    for name in root.folders():
        # Folders without metadata are no nodes of the store.
        if any((root.at(name)).has(file) for file in (METADATA, ".zattrs", ".zgroup", ".zarray")):
            place = root.at(name)
            attributes = attributes_of(place)
            if is_array(place) or "multiscales" in (attributes.get("ome") or attributes):
                found[name] = place
    return found or _refuse(root)


def _refuse(place: Place) -> dict[str, Place]:
    inside = place.folders()
    more = f": give one of the folders inside it ({', '.join(inside[:8])})" if inside else ""
    raise ImageError(f"{place} holds no OME-Zarr image and no array{more}")
