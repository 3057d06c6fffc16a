"""Write OME-TIFF: axes, pixel size, units, channels, the record and the look of the layer, published atomically."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon import __version__
from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import ImageError, OutputError
from napari_genrecon.io.image_file import UNIT_SYMBOLS, About
from napari_genrecon.io.provenance import LAYER_NAMESPACE, RECORD_NAMESPACE, combined, digest_pixels, sealed
from napari_genrecon.io.publish import publishing

__all__ = ["write_tiff_steps"]

_SIZE_KEYS = {"X": "PhysicalSizeX", "Y": "PhysicalSizeY", "Z": "PhysicalSizeZ", "T": "TimeIncrement"}
_CLASSIC_LIMIT = 3 << 30  # bytes; above it, 32-bit TIFF offsets may not reach
_TILE = (256, 256)
# Stands in the record for the checksum of the pixels until they are written; as long as the checksum.
_NOT_YET = hashlib.sha256(b"the pixels are not written yet").hexdigest()


def write_tiff_steps(
    path: str | Path, data: Any, about: About, *, overwrite: bool = False, sources: Iterable[Path] = ()
) -> Generator[Progress, None, Path]:
    """Write an image plane by plane, so that a lazy one is never in memory as a whole.

    Parameters
    ----------
    path : path-like
        Where to; ``.ome.tif`` is the usual ending.
    data : array_like
        NumPy, or lazy: every plane is computed when its turn comes.
    about : About
        What the pixels mean. Dimensions OME does not know (P, say) are kept in the order they have.
    overwrite, sources
        As for `io.publish.publishing`.

    Yields
    ------
    Progress
        After every plane.

    Returns
    -------
    Path
        Of the finished file.

    Raises
    ------
    OutputError
        If the file cannot be written; nothing was changed then.
    ImageError
        If the dtype or the order of the dimensions cannot be stored.
    """
    path, dtype = Path(path), _storable(data.dtype)
    order = _spatial_last(about.axes)
    layer = None if about.layer is None else {**about.layer, "axes": about.axes.letters}
    data, about = data.transpose(order), about.reordered(order)
    tags = _tags(about, _metadata(about, tuple(data.shape), layer))
    expected = math.prod(data.shape) * dtype.itemsize
    with publishing(path, overwrite=overwrite, sources=sources, expected_bytes=expected) as part:
        yield Progress(0, 1, "writing")
        if isinstance(data, np.ndarray):
            digests: Iterable[str] = _write_at_once(part, data.astype(dtype, copy=False), about.axes, tags)
        else:
            digests = yield from _write_in_planes(part, data, dtype, about.axes, tags)
        if about.record is not None:
            _fill_in(part, combined(digests))
        _verify(part, data.shape, dtype)
    return path


def _storable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in the file: OME-TIFF has no 16-bit floats and no 64-bit integers."""
    if dtype == np.float16:
        return np.dtype("<f4")
    if dtype.kind in "iu" and dtype.itemsize == 8:
        raise ImageError(f"OME-TIFF cannot store {dtype}: leave keep_dtype off, or convert the image to 32 bits first")
    return dtype.newbyteorder("<")


def _spatial_last(axes: Axes) -> tuple[int, ...]:
    """OME-TIFF stores planes: Y and X (and colour samples) come last."""
    last = [axes.y, axes.x, *([len(axes) - 1] if axes.rgb else [])]
    return (*(i for i in range(len(axes)) if i not in last), *last)


def _metadata(about: About, shape: tuple[int, ...], layer: dict[str, Any] | None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": about.axes.letters}
    for letter, size, unit in zip(about.axes.letters, about.scale, about.units, strict=True):
        if letter in _SIZE_KEYS and unit in UNIT_SYMBOLS and size > 0:
            metadata[_SIZE_KEYS[letter]] = float(size)
            metadata[f"{_SIZE_KEYS[letter]}Unit"] = UNIT_SYMBOLS[unit]
    if any(about.translate):
        metadata["Plane"] = _positions(about, shape)
    if "C" in about.axes.letters and (about.channel_names or about.channel_colors):
        metadata["Channel"] = _channels(about)
    notes = []
    if about.record is not None:
        regions = [1] * about.axes.y + list(shape[about.axes.y :])
        notes.append((RECORD_NAMESPACE, {"record": json.dumps(sealed(about.record, about, regions, _NOT_YET))}))
    if layer is not None:
        notes.append((LAYER_NAMESPACE, {"layer": json.dumps(layer)}))
    if notes:
        metadata["MapAnnotation"] = [{"Namespace": namespace, "Value": value} for namespace, value in notes]
    return metadata


def _positions(about: About, shape: tuple[int, ...]) -> dict[str, Any]:
    """The place of the first pixel, for every plane."""
    planes = math.prod(n for n, letter in zip(shape, about.axes.letters, strict=True) if letter not in "YXS")
    found: dict[str, Any] = {}
    for letter, place, unit in zip(about.axes.letters, about.translate, about.units, strict=True):
        if letter in "XYZ" and unit in UNIT_SYMBOLS:
            found[f"Position{letter}"] = [float(place)] * planes
            found[f"Position{letter}Unit"] = [UNIT_SYMBOLS[unit]] * planes
    return found


def _channels(about: About) -> dict[str, Any]:
    found: dict[str, Any] = {"Name": list(about.channel_names)} if about.channel_names else {}
    if about.channel_colors:
        # A signed 32-bit RGBA integer, opaque.
        numbers = [int(color.lstrip("#"), 16) << 8 | 0xFF for color in about.channel_colors]
        found["Color"] = [n - (1 << 32) if n >= 1 << 31 else n for n in numbers]
    return found


def _tags(about: About, metadata: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": metadata,
        "photometric": "rgb" if about.axes.rgb else "minisblack",
        "software": f"napari-genrecon {__version__}",
    }


def _write_at_once(part: Path, data: NDArray[Any], axes: Axes, tags: dict[str, Any]) -> Iterator[str]:
    import tifffile

    height, width = data.shape[axes.y], data.shape[axes.x]
    tile = _TILE if height > _TILE[0] and width > _TILE[1] else None
    with tifffile.TiffWriter(part, ome=True, bigtiff=data.nbytes > _CLASSIC_LIMIT) as tif:
        # The horizontal predictor makes integers smaller; that for floats would need another package.
        tif.write(data, tile=tile, compression="zlib", predictor=data.dtype.kind in "iu", **tags)
    return (digest_pixels(data[position]) for position in np.ndindex(data.shape[: axes.y]))


def _write_in_planes(
    part: Path, data: Any, dtype: np.dtype[Any], axes: Axes, tags: dict[str, Any]
) -> Generator[Progress, None, list[str]]:
    import tifffile

    shape = tuple(int(n) for n in data.shape)
    size = math.prod(shape) * dtype.itemsize
    with tifffile.TiffWriter(part, ome=True, bigtiff=size > _CLASSIC_LIMIT) as tif:
        # Uncompressed, so that the place of every plane is known before its pixels are.
        offset, _ = tif.write(shape=shape, dtype=dtype, returnoffset=True, **tags)
    outer = shape[: axes.y]
    total = math.prod(outer)
    digests = []
    # Not a memory map: on a full disk, writing to one kills the process instead of raising an error.
    with part.open("rb+") as stream:
        for index, position in enumerate(np.ndindex(outer)):
            plane = np.ascontiguousarray(data[position], dtype=dtype)
            stream.seek(offset + index * (size // total))
            stream.write(plane.tobytes())
            digests.append(digest_pixels(plane))
            yield Progress(index + 1, total, f"{index + 1} of {total} planes done")
    return digests


def _fill_in(part: Path, pixels: str) -> None:
    """Put the checksum of the pixels into the record, which was written before them."""
    import tifffile

    with tifffile.TiffFile(part) as tif:
        tag = tif.pages[0].tags["ImageDescription"]
        offset, count = tag.valueoffset, tag.count
    with part.open("rb+") as stream:
        stream.seek(offset)
        text = stream.read(count)
        stream.seek(offset + text.index(_NOT_YET.encode()))
        stream.write(pixels.encode())


def _verify(part: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Read the header back: what cannot be opened is not published."""
    import tifffile

    with tifffile.TiffFile(part) as tif:
        written = tif.series[0]
        if math.prod(written.shape) != math.prod(shape) or written.dtype != dtype:
            raise OutputError(f"{part.name} was not written completely: {written.shape} {written.dtype}")
