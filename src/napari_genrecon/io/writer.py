"""Write OME-TIFF: axes, pixel size, units, channel names and the record inside the file, published atomically."""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon import __version__
from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import ImageError, OutputError
from napari_genrecon.io.provenance import RECORD_NAMESPACE
from napari_genrecon.io.publish import publishing

__all__ = ["write_tiff_steps"]

_SIZE_KEYS = {"X": "PhysicalSizeX", "Y": "PhysicalSizeY", "Z": "PhysicalSizeZ", "T": "TimeIncrement"}
_SYMBOLS = {
    "micrometer": "µm", "nanometer": "nm", "millimeter": "mm", "centimeter": "cm", "meter": "m", "pixel": "pixel",
    "second": "s", "millisecond": "ms", "minute": "min", "hour": "h",
}  # fmt: skip
_CLASSIC_LIMIT = 3 << 30  # bytes; above it, 32-bit TIFF offsets may not reach
_TILE = (256, 256)


def write_tiff_steps(
    path: str | Path,
    data: Any,
    axes: Axes,
    *,
    scale: tuple[float, ...] = (),
    units: tuple[str, ...] = (),
    channel_names: tuple[str, ...] = (),
    record: dict[str, Any] | None = None,
    overwrite: bool = False,
    sources: Iterable[Path] = (),
) -> Generator[Progress, None, Path]:
    """Write an image plane by plane, so that a lazy one is never in memory as a whole.

    Parameters
    ----------
    path : path-like
        Where to; ``.ome.tif`` is the usual ending.
    data : array_like
        NumPy, or lazy: every plane is computed when its turn comes.
    axes : Axes
        Of `data`. Dimensions OME does not know (P, say) are kept in the order they have.
    scale, units : tuple
        One per dimension, or empty.
    channel_names : tuple of str
        One per channel, or empty.
    record : dict, optional
        How the image was made.
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
    data, axes, order = _spatial_last(data, axes)
    metadata = _metadata(axes, _reordered(scale, order), _reordered(units, order), channel_names, record)
    expected = math.prod(data.shape) * dtype.itemsize
    with publishing(path, overwrite=overwrite, sources=sources, expected_bytes=expected) as part:
        if isinstance(data, np.ndarray):
            yield Progress(0, 1, "writing")
            _write_at_once(part, data.astype(dtype, copy=False), axes, metadata)
        else:
            yield from _write_in_planes(part, data, dtype, axes, metadata)
        _verify(part, data.shape, dtype)
    return path


def _storable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in the file: OME-TIFF has no 16-bit floats and no 64-bit integers."""
    if dtype == np.float16:
        return np.dtype("<f4")
    if dtype.kind in "iu" and dtype.itemsize == 8:
        raise ImageError(f"OME-TIFF cannot store {dtype}: leave keep_dtype off, or convert the image to 32 bits first")
    return dtype.newbyteorder("<")


def _spatial_last(data: Any, axes: Axes) -> tuple[Any, Axes, tuple[int, ...]]:
    """OME-TIFF stores planes: Y and X (and colour samples) come last."""
    last = [axes.y, axes.x, *([len(axes) - 1] if axes.rgb else [])]
    order = (*(i for i in range(len(axes)) if i not in last), *last)
    if order == tuple(range(len(axes))):
        return data, axes, order
    return data.transpose(order), Axes("".join(axes.letters[i] for i in order), axes.assumed), order


def _reordered(values: tuple[Any, ...], order: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple(values[i] for i in order) if values else ()


def _metadata(
    axes: Axes,
    scale: tuple[float, ...],
    units: tuple[str, ...],
    channel_names: tuple[str, ...],
    record: dict[str, Any] | None,
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": axes.letters}
    for letter, size, unit in zip(axes.letters, scale, units, strict=False):
        if letter in _SIZE_KEYS and unit in _SYMBOLS and size > 0:
            metadata[_SIZE_KEYS[letter]] = float(size)
            metadata[f"{_SIZE_KEYS[letter]}Unit"] = _SYMBOLS[unit]
    if channel_names and "C" in axes.letters:
        metadata["Channel"] = {"Name": list(channel_names)}
    if record is not None:
        entry = {"record": json.dumps(record)}
        metadata["MapAnnotation"] = {"Namespace": RECORD_NAMESPACE, "Value": entry}
    return metadata


def _tags(axes: Axes, metadata: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": metadata,
        "photometric": "rgb" if axes.rgb else "minisblack",
        "software": f"napari-genrecon {__version__}",
    }


def _write_at_once(part: Path, data: NDArray[Any], axes: Axes, metadata: dict[str, Any]) -> None:
    import tifffile

    height, width = data.shape[axes.y], data.shape[axes.x]
    tile = _TILE if height > _TILE[0] and width > _TILE[1] else None
    with tifffile.TiffWriter(part, ome=True, bigtiff=data.nbytes > _CLASSIC_LIMIT) as tif:
        # The horizontal predictor makes integers smaller; that for floats would need another package.
        tif.write(data, tile=tile, compression="zlib", predictor=data.dtype.kind in "iu", **_tags(axes, metadata))


def _write_in_planes(
    part: Path, data: Any, dtype: np.dtype[Any], axes: Axes, metadata: dict[str, Any]
) -> Generator[Progress, None, None]:
    import tifffile

    shape = tuple(int(n) for n in data.shape)
    size = math.prod(shape) * dtype.itemsize
    with tifffile.TiffWriter(part, ome=True, bigtiff=size > _CLASSIC_LIMIT) as tif:
        # Uncompressed, so that the place of every plane is known before its pixels are.
        offset, _ = tif.write(shape=shape, dtype=dtype, returnoffset=True, **_tags(axes, metadata))
    outer = shape[: axes.y]
    total = math.prod(outer)
    plane_bytes = size // total
    yield Progress(0, total)
    # Not a memory map: on a full disk, writing to one kills the process instead of raising an error.
    with part.open("rb+") as stream:
        for index, position in enumerate(np.ndindex(outer)):
            stream.seek(offset + index * plane_bytes)
            stream.write(np.ascontiguousarray(data[position], dtype=dtype).tobytes())
            yield Progress(index + 1, total, f"{index + 1} of {total} planes done")


def _verify(part: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Read the header back: what cannot be opened is not published."""
    import tifffile

    with tifffile.TiffFile(part) as tif:
        written = tif.series[0]
        if math.prod(written.shape) != math.prod(shape) or written.dtype != dtype:
            raise OutputError(f"{part.name} was not written completely: {written.shape} {written.dtype}")
