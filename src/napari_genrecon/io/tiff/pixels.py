"""Read the pixels of a large TIFF file by region."""

from __future__ import annotations

import os
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import ImageError
from napari_genrecon.io.lazy import Regions
from napari_genrecon.io.levels import CHUNK

__all__ = ["tiff_pixels"]

_OPEN_FILES = 16  # files kept open: to open one for every region is slow, and systems allow some hundreds at once


def tiff_pixels(
    path: Path, level: int, shape: tuple[int, ...], dtype: np.dtype[Any], chunks: tuple[int, ...], *, series: int = 0
) -> Regions:
    """Return one level of an image of a TIFF file, which is read by region.

    Parameters
    ----------
    path : Path
        Path of the file.
    level : int
        0 is the full resolution.
    shape, dtype
        Shape and type of the level.
    chunks : tuple of int
        The shape of the pieces in which it is stored.
    series : int
        Index of the image in the file.
    """
    # Absolute, as a worker may have another working folder.
    read = partial(_region, path.absolute(), series, level, _stamp(path), shape)
    # A file in one strip would have one chunk of the whole plane: too large a block for a lazy task.
    return Regions(read, shape, dtype, tuple(min(int(n), CHUNK) for n in chunks))


def _region(
    path: Path, series: int, level: int, stamp: tuple[int, int], shape: tuple[int, ...], region: Any
) -> NDArray[Any]:
    # Otherwise a result could be computed half from the old pixels and half from the new ones.
    if _stamp(path) != stamp:
        raise ImageError(f"{path} was changed since it was opened: open it again")
    try:
        opened = _opened(path, series, level, stamp)
        if tuple(opened.shape) != shape:
            raise ImageError(f"{path} declares {shape} but holds {opened.shape}: its header is damaged")
        return np.asarray(opened[region])
    # IndexError passes: it ends the iteration over an array by Python's old protocol.
    except (IndexError, ImageError):
        raise
    except Exception as error:  # damaged pieces make tifffile and the codecs raise nearly anything
        raise ImageError(f"a part of {path} cannot be read, it may be damaged: {error}") from error


def _stamp(path: Path) -> tuple[int, int]:
    """Return modification time and size of a file: they change when it is overwritten."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise ImageError(f"{path} is no longer there: {error.strerror}") from error
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=_OPEN_FILES)
def _opened(path: Path, index: int, level: int, stamp: tuple[int, int]) -> Any:
    """Return something that reads by region; a file that was changed is another one."""
    import tifffile
    import zarr

    with tifffile.TiffFile(path) as tif:
        series = tif.series[index].levels[level]
        # Uncompressed and in one piece: the system reads only the pages of memory that are touched.
        if level == 0 and series.dataoffset is not None and series.keyframe.is_contiguous:
            return tifffile.memmap(path, series=index, mode="r")
    return zarr.open(tifffile.imread(path, aszarr=True, series=index, level=level), mode="r")
