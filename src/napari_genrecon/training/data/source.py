"""An image as numbered planes of channels, read by region."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import ImageArray, as_numpy
from napari_genrecon.axes import RGB, Axes, resolve_axes
from napari_genrecon.engine.intensity import require_real_image
from napari_genrecon.errors import ImageError

__all__ = ["CropSource", "outer_letters", "read_crops"]

# Bytes up to which a lazy image or plane is read at once; a larger one is read crop by crop, to bound the memory.
_AT_ONCE = 256 << 20


def outer_letters(axes: Axes) -> str:
    """Return the letters of the dimensions that are neither channels nor Y nor X."""
    return "".join(letter for letter in axes.letters if letter not in "CSYX")


class CropSource:
    """An image whose planes are numbered in C order over all dimensions but channels, Y and X.

    Parameters
    ----------
    image : (..., Y, X) array_like
        NumPy array, memmap, dask or Zarr array.
    axes : str, Axes or None
        Meaning of the dimensions.

    Attributes
    ----------
    axes : Axes
        Meaning of the dimensions.
    outer : tuple of int
        Lengths of the dimensions that are looped over.
    channels : int
        Number of channels, without alpha; 1 if there is no channel dimension.
    """

    def __init__(self, image: ImageArray, axes: str | Axes | None) -> None:
        # A lazy array stays as it is; a list, or an array of another library without a NumPy dtype, is converted.
        known = hasattr(image, "shape") and isinstance(getattr(image, "dtype", None), np.dtype)
        self.data = image if known else np.asarray(image)
        require_real_image(tuple(self.data.shape), self.data.dtype)
        self.axes = resolve_axes(axes, self.data.shape)
        self._looped = [i for i in self.axes.outer if i != self.axes.channel]
        self.outer = tuple(int(self.data.shape[i]) for i in self._looped)
        count = self.axes.n_channels(self.data.shape)
        # Alpha is no light of the sample.
        self.channels = min(count, RGB) if self.axes.rgb else count
        # Once in memory, each crop is a slice and not a read of whole chunks.
        if not isinstance(self.data, np.ndarray) and self._bytes(self.data.shape) <= _AT_ONCE:
            self.data = np.asarray(self.data)

    @property
    def n_planes(self) -> int:
        """Number of planes."""
        return math.prod(self.outer)

    @property
    def planes_along_z(self) -> int:
        """Number of planes along Z.

        Raises
        ------
        ImageError
            If there is no Z.
        """
        return self.outer[self._along_z()[0]]

    @property
    def height(self) -> int:
        """Number of rows of a plane."""
        return int(self.data.shape[self.axes.y])

    @property
    def width(self) -> int:
        """Number of columns of a plane."""
        return int(self.data.shape[self.axes.x])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the pixels in the byte order of this machine."""
        # TIFF files may be big-endian, and torch refuses arrays of a foreign byte order.
        return np.dtype(self.data.dtype).newbyteorder("=")

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return the (C, Y, X) pixels of a region of one plane."""
        region: list[slice] = [slice(None)] * len(self.axes)
        # Not strict: a single plane has no outer dimension, and `unravel_index` needs one.
        for dimension, index in zip(self._looped, np.unravel_index(plane, self.outer or (1,)), strict=False):
            # A slice of length 1: an integer would drop the dimension, and move the axes after it.
            region[dimension] = slice(int(index), int(index) + 1)
        region[self.axes.y], region[self.axes.x] = rows, columns
        if self.axes.channel is not None:
            region[self.axes.channel] = slice(0, self.channels)
        block = as_numpy(self.data[tuple(region)])
        channel = [] if self.axes.channel is None else [self.axes.channel]
        # The dimensions may come in any order, such as YXC or TYXZ.
        ordered = block.transpose(*self._looped, *channel, self.axes.y, self.axes.x)
        return ordered.reshape(self.channels, *ordered.shape[-2:]).astype(self.dtype, copy=False)

    def first_planes(self, depth: int | None, every: int = 1) -> NDArray[np.int64]:
        """Return the numbers of the planes at which blocks of `depth` planes along Z begin, `every` planes apart.

        Raises
        ------
        ImageError
            If blocks are wanted and there is no Z.
        """
        planes = np.arange(self.n_planes)
        if depth is None:
            return planes
        z, _ = self._along_z()
        # A block must not run from the end of one stack into the next time point, whose planes follow in number.
        index = np.unravel_index(planes, self.outer)[z]
        return planes[(index <= self.outer[z] - depth) & (index % every == 0)]

    def centred_planes(self, planes: NDArray[np.int64], depth: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the first planes of blocks of `depth` planes around `planes`, and which lie within the stack."""
        z, apart = self._along_z()
        first = np.unravel_index(planes, self.outer)[z] - depth // 2
        return planes - depth // 2 * apart, (first >= 0) & (first <= self.outer[z] - depth)

    def block(self, plane: int, rows: slice, columns: slice, depth: int) -> NDArray[Any]:
        """Return the (C, Z, Y, X) pixels of a region of `depth` planes along Z, starting at plane number `plane`."""
        apart = self._along_z()[1]
        # Z need not be the last of the outer dimensions: its planes are `apart` numbers from each other.
        return np.stack([self.read(plane + k * apart, rows, columns) for k in range(depth)], axis=1)

    def _along_z(self) -> tuple[int, int]:
        """Return which of the outer dimensions is Z, and how far apart the numbers of its planes are."""
        letters = outer_letters(self.axes)
        if "Z" not in letters:
            raise ImageError(
                f"blocks are cut from stacks, and this image has the axes {self.axes}: say which dimension is Z "
                "(axes), or leave out the depth"
            )
        # In C order, neighbours along Z lie as far apart as all dimensions after Z have places.
        z = letters.index("Z")
        return z, math.prod(self.outer[z + 1 :])

    def plane(self, index: int) -> NDArray[Any]:
        """Return the (C, Y, X) pixels of one plane."""
        return self.read(index, slice(0, self.height), slice(0, self.width))

    def crops(self, place: NDArray[np.int64], size: int, depth: int | None = None) -> Iterator[NDArray[Any]]:
        """Yield (C, size, size) or (C, depth, size, size) pixels at places (plane, y, x) that are sorted by plane."""
        # A lazy plane is read once for all its crops, if it fits: a chunk of a file would be decoded for each of them.
        at_once = self._bytes((self.channels, self.height, self.width)) <= _AT_ONCE
        last, pixels = -1, None
        for plane, y, x in place.tolist():
            rows, columns = slice(y, y + size), slice(x, x + size)
            if depth is not None:
                yield self.block(plane, rows, columns, depth)
                continue
            if isinstance(self.data, np.ndarray) or not at_once:
                yield self.read(plane, rows, columns)
                continue
            # Places are sorted by plane, so one plane in memory is enough.
            if plane != last or pixels is None:
                last, pixels = plane, self.plane(plane)
            yield pixels[:, rows, columns]

    def _bytes(self, shape: tuple[int, ...]) -> int:
        return math.prod(int(n) for n in shape) * self.data.dtype.itemsize


def read_crops(
    sources: list[CropSource],
    source: NDArray[np.int64],
    place: NDArray[np.int64],
    size: int,
    depth: int | None = None,
) -> NDArray[Any]:
    """Return (N, C, size, size) or (N, C, depth, size, size) pixels of all crops, sorted by source and plane.

    Raises
    ------
    ImageError
        If the crops do not fit into memory.
    """
    shape = (len(place), sources[0].channels, *(() if depth is None else (depth,)), size, size)
    try:
        # Filled crop by crop: a list that is stacked at the end would take the memory twice.
        x = np.empty(shape, sources[0].dtype)
    except MemoryError:
        raise ImageError(f"{len(place)} crops of {size} pixels do not fit into memory: ask for fewer (n)") from None
    for index, image in enumerate(sources):
        (mine,) = np.nonzero(source == index)
        for row, pixels in zip(mine, image.crops(place[mine], size, depth), strict=True):
            x[row] = pixels
    return x
