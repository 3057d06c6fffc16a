"""Pixels that are read when they are needed: plane by plane, or by region. Small images are read at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.engine.memory import available_memory

__all__ = ["Regions", "at_once", "from_planes", "whole_or_regions"]

_ABOVE = 256 << 20  # bytes; smaller images are read at once: it takes a second or so, and every later step is faster
_SHARE = 16  # larger ones too, up to 1/16 of the free memory: results and intermediate arrays need several times that

Index = tuple[int, ...]


def at_once(nbytes: int) -> bool:
    """Return whether an image of so many bytes is read when it is opened."""
    return nbytes <= max(_ABOVE, available_memory() // _SHARE)


def from_planes(read: Callable[[Index], NDArray[Any]], outer: Index, plane: Index, dtype: np.dtype[Any]) -> Any:
    """Return an image that is read plane by plane.

    Parameters
    ----------
    read : callable
        Gives the plane at an index of the outer dimensions. It opens the file by itself: it may run in other processes.
    outer, plane : tuple of int
        Shape of the outer dimensions, and of a plane.
    dtype : dtype
        Type of the pixels.

    Returns
    -------
    ndarray or dask.array.Array
        NumPy if it is small.
    """
    if at_once(math.prod((*outer, *plane)) * dtype.itemsize):
        planes = [np.asarray(read(index)) for index in np.ndindex(*outer)]
        # Without outer dimensions there is one plane, and reshape takes the stacked axis away again.
        return np.stack(planes).reshape(*outer, *plane).astype(dtype, copy=False)
    import dask.array as da

    # One block per plane, as `read` gives whole planes: a smaller block would read its plane again for every piece.
    chunks = (*((1,) * n for n in outer), *((n,) for n in plane))
    return da.map_blocks(_plane, read, len(outer), dtype=dtype, chunks=chunks)


def _plane(read: Callable[[Index], NDArray[Any]], n: int, block_info: dict[Any, Any]) -> NDArray[Any]:
    # `block_info[None]` describes the block of the result; there is no input array whose block could be described.
    return np.asarray(read(tuple(block_info[None]["chunk-location"][:n])))[(None,) * n]


class Regions:
    """Pixels that a function reads region by region, as an array that is indexed.

    Parameters
    ----------
    read : callable
        Gives the pixels at an index as NumPy takes it. It opens the file by itself.
    shape, dtype
        Shape and type of the image.
    chunks : tuple of int
        The shape of the pieces in which it is stored.
    """

    def __init__(self, read: Callable[[Any], NDArray[Any]], shape: Index, dtype: np.dtype[Any], chunks: Index) -> None:
        # The file itself is not kept: an open file cannot be pickled for the workers.
        self._read, self.shape, self.dtype, self.chunks = read, tuple(map(int, shape)), np.dtype(dtype), chunks
        self.ndim, self.size = len(self.shape), math.prod(self.shape)
        self.nbytes = self.size * self.dtype.itemsize

    def __getitem__(self, region: Any) -> NDArray[Any]:
        # Files may be big-endian; torch and many compiled filters take the byte order of the machine only.
        return np.asarray(self._read(region)).astype(self.dtype, copy=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)

    def __len__(self) -> int:
        return self.shape[0]


def whole_or_regions(read: Callable[[Any], NDArray[Any]], shape: Index, dtype: np.dtype[Any], chunks: Index) -> Any:
    """Return all pixels if they are few, else something that reads them by region."""
    found = Regions(read, shape, dtype.newbyteorder("="), chunks)
    return found[...] if at_once(found.nbytes) else found
