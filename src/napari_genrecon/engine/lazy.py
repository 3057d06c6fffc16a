"""Tiles as a dask array: computing one plane of the result computes only that plane's tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_genrecon.arrays import ImageArray, as_numpy
from napari_genrecon.engine.intensity import to_dtype
from napari_genrecon.engine.run import TileFunction, core_steps, finish
from napari_genrecon.engine.tiles import Core, TileGrid

if TYPE_CHECKING:
    from dask.array import Array as DaskArray

__all__ = [
    "Reader",
    "as_transposable",
    "computed",
    "is_dask",
    "is_lazy",
    "lazy_copy",
    "lazy_full",
    "lazy_stack",
    "lazy_tiles",
]


def is_dask(source: ImageArray) -> TypeGuard[DaskArray]:
    """Return whether an array is one of dask, without importing dask."""
    # By the modules of its classes: an import of dask takes long, and no dask array exists before one.
    return any(kind.__module__.split(".")[0] == "dask" for kind in type(source).__mro__)


def is_lazy(source: ImageArray) -> bool:
    """Return whether reading this array may be expensive: True for anything that is not a NumPy array."""
    return not isinstance(source, np.ndarray)


def computed(lazy: Any) -> Any:
    """Compute a dask object here, one block at a time, so that memory stays bounded; return anything else as it is.

    Nothing is taken from the cache of earlier results that napari gives dask: what is written, or made again to be
    compared, has really been computed.
    """
    import dask

    (made,) = dask.compute(lazy, scheduler="synchronous", callbacks=())
    return made


def as_transposable(source: ImageArray) -> Any:
    """Wrap an array so that it can be transposed and indexed like a NumPy array, without loading it."""
    if isinstance(source, np.ndarray) or is_dask(source):
        return source
    import dask.array as da

    # Zarr arrays can be read by region, but not transposed.
    return da.from_array(source)


def lazy_tiles(fn: TileFunction, source: ImageArray, grid: TileGrid, dtype: DTypeLike | None = np.float32) -> Any:
    """Return a dask array whose blocks are the tiles of `grid`.

    A source that can be read by region (NumPy, memmap, Zarr) is read tile by tile, with nothing else in the graph. A
    dask source is brought onto the grid and overlapped, so that the graph also runs on a cluster. Either way the
    result equals that of `run_tiles`.

    Parameters
    ----------
    fn : callable
        See `run_tiles`. Must be picklable to run in other processes.
    source : array_like
        See `run_tiles`.
    grid : TileGrid
        The geometry; its tiles become the chunks, whatever the chunks of the source. (For a dask source, tiles
        smaller than the halo are enlarged to it.)
    dtype : dtype or None
        Type of the result. None leaves every block as `fn` returns it, whatever dtype the array states: for callers
        that convert it and count what does not fit.

    Returns
    -------
    dask.array.Array
        Array of shape ``grid.out_shape``.
    """
    import dask.array as da

    wanted = None if dtype is None else np.dtype(dtype)
    # dask wants a dtype for its graph; whoever asked for None does not rely on it.
    claimed = np.dtype(np.float64) if wanted is None else wanted
    if is_dask(source):
        grid = grid.coarse()
    # With a `meta`, dask does not call the function on an empty array to learn the dtype.
    options = {"chunks": grid.out_chunks, "dtype": claimed, "meta": np.empty((0,) * len(grid.shape), claimed)}
    if not is_dask(source):
        return da.map_blocks(_ReadBlock(fn, grid, wanted, source), **options)
    # The chunks of a window do not add up to the source, so that the source cannot be cut into them.
    if grid.window is not None:
        return _dask_window(fn, source, grid, wanted, claimed)
    on_grid = source.rechunk(grid.chunks)
    # A dimension in one piece needs no neighbours, and dask refuses a halo larger than the piece.
    depth = {i: h if len(grid.chunks[i]) > 1 else 0 for i, h in enumerate(grid.halo)}
    overlapped = da.overlap.overlap(on_grid, depth=depth, boundary="none", allow_rechunk=False)
    return overlapped.map_blocks(_OverlapBlock(fn, grid, wanted), **options)


def _dask_window(
    fn: TileFunction, source: DaskArray, grid: TileGrid, dtype: np.dtype[Any] | None, claimed: np.dtype[Any]
) -> Any:
    """Return the tiles of the window of a grid; each one takes what it reads from the source as one piece."""
    import dask.array as da

    # Filled by index, then nested by `tolist`: `da.block` takes lists as deep as there are dimensions.
    blocks = np.empty([len(sizes) for sizes in grid.chunks], object)
    for place, core in zip(np.ndindex(blocks.shape), grid.cores(), strict=True):
        # In one chunk, so that the function gets all that the tile reads in one call.
        read = source[grid.tile_of(core).src].rechunk(-1)
        sizes = tuple(((b - a) * s,) for (a, b), s in zip(core, grid.scale, strict=True))
        meta = np.empty((0,) * read.ndim, claimed)
        blocks[place] = read.map_blocks(_CoreBlock(fn, grid, dtype, core), chunks=sizes, dtype=claimed, meta=meta)
    return da.block(blocks.tolist())


@dataclass(frozen=True)
class _OverlapBlock:
    """Function of one block and its halo; a plain value, so that it can be sent to a worker."""

    fn: TileFunction
    grid: TileGrid
    dtype: np.dtype[Any] | None

    def __call__(self, block: NDArray[Any], block_info: dict[Any, Any]) -> NDArray[Any]:
        return self.compute(np.asarray(block), self.core(block_info))

    def core(self, block_info: dict[Any, Any]) -> Core:
        # The entry None is about the output: its location is in output pixels, counted from the start of the window.
        location, grid = block_info[None]["array-location"], self.grid
        starts = zip(location, grid.scale, grid.core, strict=True)
        return tuple((a // s + start, b // s + start) for (a, b), s, (start, _) in starts)

    def compute(self, block: NDArray[Any], core: Core) -> NDArray[Any]:
        made = finish(core_steps(self.fn, block, self.grid, core))
        # The number of clipped pixels is lost here: a block can return nothing but pixels.
        return made if self.dtype is None else to_dtype(made, self.dtype)[0]


@dataclass(frozen=True)
class _ReadBlock(_OverlapBlock):
    """Function that reads a block and its halo from the source and computes the block."""

    source: Any

    def __call__(self, block_info: dict[Any, Any]) -> NDArray[Any]:  # type: ignore[override]
        core = self.core(block_info)
        return self.compute(np.asarray(self.source[self.grid.tile_of(core).src]), core)


@dataclass(frozen=True)
class _CoreBlock(_OverlapBlock):
    """Function of what the tile of one core reads."""

    at: Core

    def __call__(self, block: NDArray[Any]) -> NDArray[Any]:  # type: ignore[override]
        return self.compute(np.asarray(block), self.at)


class Reader:
    """Reader of regions of an image, for use within a tile function.

    Not a dataclass on purpose: dask searches those, and would compute a whole dask array that it finds in one.

    Parameters
    ----------
    source : array_like
        Anything that can be read by region.
    """

    def __init__(self, source: ImageArray) -> None:
        self._source = source
        self.shape = tuple(int(n) for n in source.shape)

    def __call__(self, region: tuple[slice, ...]) -> NDArray[Any]:
        return as_numpy(self._source[region])


def lazy_copy(source: ImageArray, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
    """Return a copy of an image as a dask array of another dtype, repeated along new dimensions in front."""
    import dask.array as da

    whole = source if is_dask(source) else da.from_array(source)
    # Where nothing changes both return the source itself, and who writes into the copy would write into that.
    return da.broadcast_to(whole, shape).astype(dtype).copy()


def lazy_full(shape: tuple[int, ...], value: float, dtype: DTypeLike) -> Any:
    """Return a dask array of one value."""
    import dask.array as da

    return da.full(shape, value, dtype)


def lazy_stack(arrays: Sequence[Any]) -> Any:
    """Stack dask arrays of one shape along a new first dimension."""
    import dask.array as da

    return da.stack(arrays)
