"""Read OME-Zarr 0.4 and 0.5: checked before a chunk is touched, opened without loading it.

The metadata are parsed by yaozarrs. A store can name codecs that run code when they are read (pickle), dimensions that
no memory holds, and paths that lead out of the folder: all of that is looked for in the JSON first.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import About, ImageFile, unit_name
from napari_genrecon.io.json_file import read_json
from napari_genrecon.io.zarr import journal

__all__ = ["ATTRIBUTE", "HIDDEN_METADATA", "METADATA", "is_zarr", "open_level", "open_omezarr"]

ATTRIBUTE = "genrecon"
"""Name of our own attribute beside OME's."""

_MAX_CHUNK = 1 << 30  # bytes in memory
_CODECS = {
    "blosc", "zstd", "gzip", "zlib", "lz4", "bytes", "transpose", "sharding_indexed", "crc32c", "shuffle", "delta",
    "bz2", "lzma", "fixedscaleoffset", "bitround",
}  # fmt: skip
_METADATA = ("zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata")
METADATA, HIDDEN_METADATA = "zarr.json", "zarr.json.part"
"""Name of the metadata of a store, and as long as we have not finished it."""


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr store."""
    return any((path / name).is_file() for name in (METADATA, HIDDEN_METADATA, ".zgroup", ".zarray"))


def open_omezarr(path: Path, axes: str | None) -> ImageFile:
    """Open the first image of an OME-Zarr store; see `reader.open_image`.

    Raises
    ------
    ImageError
        If it is not OME-Zarr, is damaged, or holds what is not safe to read.
    """
    attributes, unfinished = _attributes(path), _how_far(path)
    image = _parse(path, attributes.get("ome") or attributes)
    multiscale = image.multiscales[0]
    levels = _in_order(path, [open_level(path, dataset.path) for dataset in multiscale.datasets])
    about = _about(multiscale, getattr(image, "omero", None), levels[0].shape, axes)
    ours = attributes.get(ATTRIBUTE)
    about = _with_ours(about, ours if isinstance(ours, dict) else {})
    return ImageFile(
        data=levels[0],
        about=about,
        name=re.sub(r"(\.ome)?\.zarr$", "", path.name, flags=re.IGNORECASE),
        path=path,
        levels=() if unfinished else tuple(levels[1:]),
        unfinished=unfinished,
    )


def _how_far(path: Path) -> str:
    """How far a result has come that was not finished; empty for any other store."""
    if not (path / HIDDEN_METADATA).exists():
        return ""
    header, done = journal.read(path)
    return f"{len(done)} of {math.prod(header.regions)} regions done"


def open_level(store: Path, name: str) -> Any:
    """One array of a store, for reading, after its metadata were checked."""
    import zarr

    folder = _inside(store, name)
    _check_array(folder)
    try:
        array = zarr.open_array(folder, mode="r")
    except Exception as error:  # zarr raises nearly anything for damaged metadata
        raise ImageError(f"{folder} cannot be opened as a Zarr array, it may be damaged: {error}") from error
    if array.dtype.kind not in "iuf":
        raise ImageError(f"{folder} holds {array.dtype}: real numbers are needed")
    return array


def _in_order(path: Path, levels: list[Any]) -> list[Any]:
    """The levels, each of which must be smaller than the one before: the first is taken for the measured pixels."""
    first = levels[0]
    kept = [first]
    for level in levels[1:]:
        if level.dtype != first.dtype or level.ndim != first.ndim or any(np.greater(level.shape, kept[-1].shape)):
            raise ImageError(
                f"the levels of {path} do not go from large to small: one of shape {level.shape} {level.dtype} follows "
                f"{kept[-1].shape} {kept[-1].dtype}, so that it is not clear which is the image"
            )
        kept += [level] if level.shape != kept[-1].shape else []
    return kept


def _attributes(path: Path) -> dict[str, Any]:
    for name in (METADATA, HIDDEN_METADATA, ".zattrs"):
        if (path / name).exists():
            found = read_json(path / name)
            attributes = found if name == ".zattrs" else found.get("attributes", {})
            return attributes if isinstance(attributes, dict) else {}
    raise ImageError(f"{path} holds no Zarr metadata: it is not a Zarr store, or it was not finished")


def _parse(path: Path, ome: dict[str, Any]) -> Any:
    import yaozarrs

    if "multiscales" not in ome:
        kinds = "a plate, a well or a bare array" if ome else "a store without OME metadata"
        raise ImageError(f"{path} is not an OME-Zarr image but {kinds}: give the folder of one image inside it")
    try:
        return yaozarrs.validate_ome_object(ome)
    except Exception as error:
        raise ImageError(f"the OME metadata of {path} are not valid: {_first_problem(error)}") from error


def _first_problem(error: Exception) -> str:
    """What a validation found first, and where: its whole text lists every kind of metadata that was tried."""
    listed = error.errors() if hasattr(error, "errors") else []
    if not listed:
        return str(error)
    where = ".".join(str(part) for part in listed[0]["loc"][1:])
    return f"{where}: {listed[0]['msg'].removeprefix('Value error, ')}"


def _inside(store: Path, name: str) -> Path:
    """The folder of an array named in the metadata, which must lie in the store and be no link."""
    parts = str(name).split("/")
    if not name or "\\" in name or ":" in name or any(part in ("", ".", "..") for part in parts):
        raise ImageError(f"{store} names an array {name!r}: only folders inside the store are read")
    folder = store
    for part in parts:
        folder = folder / part
        if folder.is_symlink():
            raise ImageError(f"{folder} is a link: a Zarr store that leads elsewhere is not read")
    if not folder.is_dir():
        raise ImageError(f"{store} names an array {name!r} that is not there")
    return folder


def _check_array(folder: Path) -> None:
    present = [folder / name for name in _METADATA if (folder / name).exists()]
    metadata = {path.name: read_json(path) for path in present}
    found = metadata.get("zarr.json") or metadata.get(".zarray")
    if found is None:
        raise ImageError(f"{folder} holds no Zarr array")
    kind = found.get("data_type", found.get("dtype"))
    if not re.fullmatch(r"[<>|]?[iuf][1248]|u?int(8|16|32|64)|float(16|32|64)", str(kind)):
        raise ImageError(f"{folder} holds the data type {kind!r}: only real numbers are read")
    for codec in _codecs(found):
        if codec not in _CODECS:
            raise ImageError(f"{folder} is stored with the codec {codec!r}, which is not read as it may run code")
    _check_chunks(folder, found, str(kind))


def _codecs(metadata: dict[str, Any]) -> list[str]:
    """Names of all codecs, also of those within shards."""
    listed = [*(metadata.get("codecs") or []), *(metadata.get("filters") or []), metadata.get("compressor")]
    listed += metadata.get("index_codecs") or []
    names = []
    for codec in listed:
        if not isinstance(codec, dict):
            names += [str(codec)] if codec is not None else []
            continue
        names.append(str(codec.get("id") or codec.get("name")))
        configuration = codec.get("configuration")
        names += _codecs(configuration) if isinstance(configuration, dict) else []
    return names


def _check_chunks(folder: Path, metadata: dict[str, Any], kind: str) -> None:
    grid = metadata.get("chunk_grid") or {}
    chunks = (grid.get("configuration") or {}).get("chunk_shape") or metadata.get("chunks") or []
    shape = metadata.get("shape") or []
    whole = all(isinstance(n, int) and n > 0 for n in [*chunks, *shape])
    if not whole or len(chunks) != len(shape) or not shape:
        raise ImageError(f"{folder} has the shape {shape} in chunks of {chunks}: positive whole numbers are needed")
    if math.prod(chunks) * np.dtype(kind).itemsize > _MAX_CHUNK:
        raise ImageError(f"{folder} is stored in chunks of {chunks} pixels, over 1 GB each: too large to read")


# --- what the pixels mean ---


def _about(multiscale: Any, omero: Any, shape: tuple[int, ...], axes: str | None) -> About:
    letters = "".join(str(axis.name)[:1].upper() for axis in multiscale.axes)
    found = resolve_axes(axes or letters, tuple(shape))
    units = tuple(unit_name(str(getattr(axis, "unit", None) or "pixel")) for axis in multiscale.axes)
    scale, translate = _transforms(multiscale, len(shape))
    channels = list(getattr(omero, "channels", None) or [])
    names = tuple(str(channel.label or "") for channel in channels)
    colors = tuple(f"#{channel.color}".lower() if channel.color else "" for channel in channels)
    return About(
        axes=Axes(found.letters),
        scale=scale,
        units=units,
        translate=translate if any(translate) else (),
        channel_names=names if any(names) else (),
        channel_colors=colors if all(colors) else (),
    )


def _transforms(multiscale: Any, n: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scale and translation of the first level: its own, then those of all levels."""
    scale, translate = np.ones(n), np.zeros(n)
    for group in (multiscale.datasets[0].coordinateTransformations, multiscale.coordinateTransformations or []):
        for transform in group:
            if transform.type == "scale":
                scale, translate = scale * transform.scale, translate * transform.scale
            elif transform.type == "translation":
                translate = translate + transform.translation
    return tuple(map(float, scale)), tuple(map(float, translate))


def _with_ours(about: About, ours: dict[str, Any]) -> About:
    record, layer = ours.get("record"), ours.get("layer")
    return replace(
        about,
        record=record if isinstance(record, dict) else None,
        layer=layer if isinstance(layer, dict) else None,
    )
