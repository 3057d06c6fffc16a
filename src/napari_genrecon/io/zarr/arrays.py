"""Arrays of a Zarr store, opened after their metadata were checked."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from napari_genrecon.errors import ImageError
from napari_genrecon.io.zarr.places import MAX_CHUNK, Place

__all__ = ["open_array"]

# Those that are read. A list of what is allowed, as a store can name codecs that run code (pickle) or that are new.
_CODECS = {
    "blosc", "zstd", "gzip", "zlib", "lz4", "bytes", "transpose", "sharding_indexed", "crc32c", "shuffle", "delta",
    "bz2", "lzma", "fixedscaleoffset", "bitround",
}  # fmt: skip
_METADATA = ("zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata")


def open_array(place: Place) -> Any:
    """Open an array for reading, after its metadata were checked.

    Raises
    ------
    ImageError
        If it is damaged, or holds what is not safe to read.
    """
    _check_array(place)
    try:
        array = place.array()
    except Exception as error:  # zarr raises nearly anything for damaged metadata
        raise ImageError(f"{place} cannot be opened as a Zarr array, it may be damaged: {error}") from error
    if array.dtype.kind not in "iuf":
        raise ImageError(f"{place} holds {array.dtype}: real numbers are needed")
    return array


def _check_array(place: Place) -> None:
    # The JSON is read here and not by zarr, which would set up the codecs that it names.
    metadata = {name: place.json(name) for name in _METADATA if place.has(name)}
    found = metadata.get("zarr.json") or metadata.get(".zarray")
    if found is None:
        raise ImageError(f"{place} holds no Zarr array")
    # "data_type" is the name of version 3, "dtype" of version 2, which writes byte order, kind and size ("<u2").
    kind = found.get("data_type", found.get("dtype"))
    if not re.fullmatch(r"[<>|]?[iuf][1248]|u?int(8|16|32|64)|float(16|32|64)", str(kind)):
        raise ImageError(f"{place} holds the data type {kind!r}: only real numbers are read")
    for codec in _codecs(found):
        if codec not in _CODECS:
            raise ImageError(f"{place} is stored with the codec {codec!r}, which is not read as it may run code")
    _check_chunks(place, found, str(kind))


def _codecs(metadata: dict[str, Any]) -> list[str]:
    """Return the names of all codecs, also of those within shards."""
    # Version 3 has one list; version 2 has filters and a compressor. `index_codecs` are those of the table in a shard.
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


def _check_chunks(place: Place, metadata: dict[str, Any], kind: str) -> None:
    # A chunk with shards is the whole shard: the size that is read at once at most.
    grid = metadata.get("chunk_grid") or {}
    chunks = (grid.get("configuration") or {}).get("chunk_shape") or metadata.get("chunks") or []
    shape = metadata.get("shape") or []
    whole = all(isinstance(n, int) and n > 0 for n in [*chunks, *shape])
    if not whole or len(chunks) != len(shape) or not shape:
        raise ImageError(f"{place} has the shape {shape} in chunks of {chunks}: positive whole numbers are needed")
    # A few bytes on disk can unpack to a chunk of any size: the declared size counts, not that of the file.
    if math.prod(chunks) * np.dtype(kind).itemsize > MAX_CHUNK:
        raise ImageError(f"{place} is stored in chunks of {chunks} pixels, over 1 GB each: too large to read")
