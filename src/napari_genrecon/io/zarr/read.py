"""Read OME-Zarr 0.4 and 0.5 and bare Zarr arrays: checked before a chunk is touched, opened without loading them.

The metadata of OME are parsed by yaozarrs. A store can name codecs that run code when they are read (pickle),
dimensions that no memory holds, and paths that lead out of the folder: all of that is looked for in the JSON first.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import (
    ImageFile,
    ImageMeta,
    Series,
    about_with,
    chosen_series,
    resolved_axes,
    unit_name,
)
from napari_genrecon.io.layer_display import saved_colours, saved_limits
from napari_genrecon.io.zarr import journal
from napari_genrecon.io.zarr.arrays import open_array
from napari_genrecon.io.zarr.images import OLD_VERSIONS, attributes_of, images_in_store, is_array
from napari_genrecon.io.zarr.omero import channels_of
from napari_genrecon.io.zarr.places import ATTRIBUTE, HIDDEN_METADATA, Place, place_of

__all__ = ["open_zarr"]


def open_zarr(path: Path, axes: str | None, series: int | str | None = None) -> ImageFile:
    """Open an image of a Zarr store; see `reader.open_image`.

    Raises
    ------
    ImageError
        If there is none, the store is damaged, or holds what is not safe to read.
    """
    root = place_of(path)
    images = images_in_store(root)
    listed = tuple(Series(name) for name in images)
    chosen = chosen_series(path, listed, series)
    place = list(images.values())[chosen]
    image = (_level(place, axes) or _bare(place, axes)) if is_array(place) else _multiscale(place, axes)
    return replace(image, path=path, series=listed if len(listed) > 1 else (), chosen=chosen)


def _level(place: Place, axes: str | None) -> ImageFile | None:
    """Open an array with its pixel size and channels if the folder above is an image that lists it as a level."""
    if place.zipped or place.inner:
        return None
    folder = place.root.absolute()
    above = Place(folder.parent)
    try:
        attributes = attributes_of(above)
        ome = attributes.get("ome") or attributes
        multiscale = _parse(above, ome).multiscales[0] if "multiscales" in ome else None
    except ImageError:  # no store, or one that is not read: the array alone still is
        return None
    names = [] if multiscale is None else [dataset.path for dataset in multiscale.datasets]
    if folder.name not in names:
        return None
    array = open_array(place)
    about = _about(multiscale, ome.get("omero"), array, axes, names.index(folder.name))
    # Without the record, which is that of the pixels of the whole.
    return ImageFile(data=array, about=about, name="", path=place.root)


def _bare(place: Place, axes: str | None) -> ImageFile:
    """Open an array without OME metadata; names of its dimensions are used if they are letters that we know."""
    array = open_array(place)
    # Version 3, then the attribute that xarray writes in version 2.
    names = getattr(array.metadata, "dimension_names", None) or dict(array.attrs).get("_ARRAY_DIMENSIONS") or ()
    letters = "".join(str(name).upper() for name in names)
    return ImageFile(
        data=array, about=about_with(resolved_axes(axes, letters, array.shape), {}), name="", path=place.root
    )


def _multiscale(place: Place, axes: str | None) -> ImageFile:
    attributes, unfinished = attributes_of(place), _how_far(place)
    ome = attributes.get("ome") or attributes
    # The specification: without a choice by name, the first of several multiscales is taken.
    multiscale = _parse(place, ome).multiscales[0]
    levels = _in_order(place, [open_array(place.at(dataset.path)) for dataset in multiscale.datasets])
    about = _about(multiscale, ome.get("omero"), levels[0], axes)
    ours = attributes.get(ATTRIBUTE)
    return ImageFile(
        data=levels[0],
        about=_with_ours(about, about.axes.n_channels(levels[0].shape), ours if isinstance(ours, dict) else {}),
        name="",
        path=place.root,
        # The smaller levels are made when the full one is complete: until then they are zeros.
        levels=() if unfinished else tuple(levels[1:]),
        unfinished=unfinished,
    )


def _how_far(place: Place) -> str:
    """Return how far a result has come that was not finished; empty for any other store."""
    if place.zipped or not place.has(HIDDEN_METADATA):
        return ""
    # The journal, as the chunks of an array that was only begun read as zeros and look complete.
    header, done = journal.read(place.root / place.inner)
    return f"{len(done)} of {math.prod(header.regions)} regions done"


def _in_order(place: Place, levels: list[Any]) -> list[Any]:
    """Return the levels, each of which must be smaller than the one before: the first is the measured pixels."""
    first = levels[0]
    kept = [first]
    for level in levels[1:]:
        if level.dtype != first.dtype or level.ndim != first.ndim or any(np.greater(level.shape, kept[-1].shape)):
            raise ImageError(
                f"the levels of {place} do not go from large to small: one of shape {level.shape} {level.dtype} "
                f"follows {kept[-1].shape} {kept[-1].dtype}, so that it is not clear which is the image"
            )
        # A level of the same size adds nothing for a viewer.
        kept += [level] if level.shape != kept[-1].shape else []
    return kept


def _parse(place: Place, ome: dict[str, Any]) -> Any:
    """Return the image that the metadata describe; how it is shown (omero) is looked at apart and may be incomplete."""
    import yaozarrs

    # Asked before the validation, which would only say that the version is none of those it knows.
    scales = ome.get("multiscales")
    version = scales[0].get("version") if isinstance(scales, list) and scales and isinstance(scales[0], dict) else None
    if version in OLD_VERSIONS:
        axes = OLD_VERSIONS[version]
        raise ImageError(
            f"{place} is OME-Zarr {version}; 0.4 and 0.5 are read. Give its array instead, {place}/0, with the axes "
            f"{axes} (without pixel sizes), or convert it to OME-Zarr 0.4"
        )
    try:
        return yaozarrs.validate_ome_object({key: value for key, value in ome.items() if key != "omero"})
    # yaozarrs reports through pydantic; what else damaged metadata raise there is told the same way.
    except Exception as error:
        raise ImageError(f"the OME metadata of {place} are not valid: {_first_problem(error)}") from error


def _first_problem(error: Exception) -> str:
    """Return what a validation found first, and where: its whole text lists every kind of metadata that was tried."""
    listed = error.errors() if hasattr(error, "errors") else []
    if not listed:
        return str(error)
    where = ".".join(str(part) for part in listed[0]["loc"][1:])
    return f"{where}: {listed[0]['msg'].removeprefix('Value error, ')}"


# --- what the pixels mean ---


def _about(multiscale: Any, omero: Any, level: Any, axes: str | None, index: int = 0) -> ImageMeta:
    letters = "".join(str(axis.name)[:1].upper() for axis in multiscale.axes)
    found = resolve_axes(axes or letters, tuple(level.shape))
    units = tuple(unit_name(str(getattr(axis, "unit", None) or "pixel")) for axis in multiscale.axes)
    scale, translate = _transforms(multiscale, index, level.ndim)
    return ImageMeta(
        axes=Axes(found.letters),
        scale=scale,
        units=units,
        # Empty stands for 0 everywhere, as for a file that names no place.
        translate=translate if any(translate) else (),
        **channels_of(omero, found.n_channels(level.shape), level.dtype),
    )


def _transforms(multiscale: Any, level: int, n: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return scale and translation of a level: its own, then those of all levels."""
    scale, translate = np.ones(n), np.zeros(n)
    for group in (multiscale.datasets[level].coordinateTransformations, multiscale.coordinateTransformations or []):
        for transform in group:
            if transform.type == "scale":
                # Transforms act in the order in which they stand: a later scale also scales an earlier translation.
                scale, translate = scale * transform.scale, translate * transform.scale
            elif transform.type == "translation":
                translate = translate + transform.translation
    return tuple(map(float, scale)), tuple(map(float, translate))


def _with_ours(about: ImageMeta, n_channels: int, ours: dict[str, Any]) -> ImageMeta:
    record, layer = ours.get("record"), ours.get("layer")
    layer = layer if isinstance(layer, dict) else None
    return replace(
        about,
        channel_limits=about.channel_limits or saved_limits(layer or {}, n_channels),
        record=record if isinstance(record, dict) else None,
        layer=layer,
        **saved_colours(layer or {}, n_channels),
    )
