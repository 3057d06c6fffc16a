"""Read the pixels of a large TIFF file by region."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import ImageError
from napari_genrecon.io.levels import CHUNK

__all__ = ["TiffPixels"]

_OPEN_FILES = 16  # files kept open: to open one for every region is slow, and systems allow some hundreds at once


class TiffPixels:
    """One level of an image of a TIFF file, read by region.

    Holds only the path and the geometry, and opens the file when a region is read: it can be sent to other processes,
    which then read their own regions.

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

    def __init__(
        self,
        path: Path,
        level: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        chunks: tuple[int, ...],
        *,
        series: int = 0,
    ) -> None:
        # Absolute, as a worker may have another working folder.
        self._path, self._series, self._level, self._stamp = path.absolute(), series, level, _stamp(path)
        self.shape, self.dtype = tuple(int(n) for n in shape), np.dtype(dtype)
        # A file in one strip would have one chunk of the whole plane: too large a block for a lazy task.
        self.chunks = tuple(min(int(n), CHUNK) for n in chunks)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels."""
        # Python's integers: 64 bits may overflow for sizes that a damaged file declares.
        return int(np.prod([1, *self.shape], dtype=object))

    @property
    def nbytes(self) -> int:
        """Bytes in memory, if it was read as a whole."""
        return self.size * self.dtype.itemsize

    def __getitem__(self, region: Any) -> NDArray[Any]:
        # Otherwise a result could be computed half from the old pixels and half from the new ones.
        if _stamp(self._path) != self._stamp:
            raise ImageError(f"{self._path} was changed since it was opened: open it again")
        try:
            opened = _opened(self._path, self._series, self._level, self._stamp)
            if tuple(opened.shape) != self.shape:
                raise ImageError(f"{self._path} declares {self.shape} but holds {opened.shape}: its header is damaged")
            return np.asarray(opened[region]).astype(self.dtype, copy=False)  # a map has the byte order of the file
        # IndexError passes: it ends the iteration over an array by Python's old protocol.
        except (IndexError, ImageError):
            raise
        except Exception as error:  # damaged pieces make tifffile and the codecs raise nearly anything
            raise ImageError(f"a part of {self._path} cannot be read, it may be damaged: {error}") from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<{self._path.name}, level {self._level}, {self.shape} {self.dtype}>"

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        # dask names its blocks by this: the same file gives the same names, a changed file others.
        return (str(self._path), self._series, self._level, self._stamp)


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
