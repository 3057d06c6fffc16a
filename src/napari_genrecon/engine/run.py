"""Run a function over the tiles of an image, one step at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_genrecon.engine.intensity import count_nan, to_dtype
from napari_genrecon.engine.memory import allocate
from napari_genrecon.engine.tiles import Tile, TileGrid
from napari_genrecon.errors import InferenceError

__all__ = ["Progress", "TileFunction", "Tiled", "finish", "map_progress", "run_tiles"]

S = TypeVar("S")
T = TypeVar("T")

Block = NDArray[np.floating[Any]]

TileFunction = Callable[[NDArray[Any], Tile], Block | Generator[None, None, Block]]
"""Maps what was read for a tile to the block of output pixels it covers (halo included).

A function that takes more than a second or two returns a generator that returns the block; a run can be cancelled
wherever it yields.
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Attributes
    ----------
    done, total : int
        Steps done and steps in all; `total` may grow when tiles have to be halved.
    note : str
        What is being done, in words.
    """

    done: int
    total: int
    note: str = ""

    @property
    def fraction(self) -> float:
        """Share done, in [0, 1]; 0 while the total is not known."""
        return self.done / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Tiled:
    """The outcome of a tiled run.

    Attributes
    ----------
    array : ndarray
        The assembled output.
    clipped : int
        Pixels that had to be clipped to fit the output's dtype.
    tile : tuple of int
        The tile size the run ended with (smaller than asked for after running out of memory).
    nan : int
        Pixels that were NaN when they were computed; in an integer output they became 0 and count as clipped, too.
    """

    array: NDArray[Any]
    clipped: int
    tile: tuple[int, ...]
    nan: int


def run_tiles(
    fn: TileFunction, source: Any, grid: TileGrid, dtype: DTypeLike = np.float32, *, steps: int = 1
) -> Generator[Progress, None, Tiled]:
    """Compute `fn` on every tile and assemble the result.

    A tile that does not fit into memory is halved, and so are all that follow; the result is the same.

    Parameters
    ----------
    fn : callable
        ``fn(block, tile) -> block``, both with all dimensions of the source; see `TileFunction`.
    source : array_like
        Anything that can be read by region: NumPy, memmap, Zarr, dask. Only one tile is read at a time.
    grid : TileGrid
        The geometry.
    dtype : dtype
        Of the result; integers are rounded and clipped.
    steps : int
        How many steps of progress a tile counts for: how often `fn` yields, plus one.

    Yields
    ------
    Progress
        Before the first tile, wherever `fn` yields, and after each tile.

    Returns
    -------
    Tiled
        The assembled output and what happened on the way.

    Raises
    ------
    InferenceError
        If even the smallest tile does not fit into memory.
    """
    out = allocate(grid.out_shape, np.dtype(dtype))
    pending = deque(grid.cores())
    limit = tuple(max(sizes) for sizes in grid.chunks)
    total, done, clipped, nan, note = grid.n_tiles * steps, 0, 0, 0, ""
    yield Progress(0, total)
    while pending:
        core = pending.popleft()
        if any(b - a > n for (a, b), n in zip(core, limit, strict=True)):
            parts = grid.split(core, limit)
            pending.extendleft(reversed(parts))
            total += (len(parts) - 1) * steps
            continue
        tile = grid.tile_of(core)
        block = yield from _compute(fn, source, tile, Progress(done, total, note))
        if block is None:
            size = tuple(b - a for a, b in core)
            limit = _smaller(grid, size, limit)
            note = f"out of memory: tiles reduced to {'x'.join(map(str, limit))}"
            pending.appendleft(core)
            continue
        out[tile.dst], n_clipped = to_dtype(block[tile.crop], out.dtype)
        clipped += n_clipped
        nan += count_nan(block[tile.crop])
        done += steps
        yield Progress(done, total, note)
    return Tiled(out, clipped, limit, nan)


def _compute(fn: TileFunction, source: Any, tile: Tile, start: Progress) -> Generator[Progress, None, Block | None]:
    # Leaving the except clause before the retry matters: the traceback would keep the failed tensors alive.
    try:
        result = fn(np.asarray(source[tile.src]), tile)
        if not isinstance(result, Generator):
            return result
        done = count(start.done + 1)
        return (yield from map_progress(result, lambda _: replace(start, done=next(done))))
    except MemoryError:
        return None


def _smaller(grid: TileGrid, size: tuple[int, ...], limit: tuple[int, ...]) -> tuple[int, ...]:
    half = grid.halved(size)
    if half is None:
        needed = math.prod(b + 2 * h for b, h in zip(size, grid.halo, strict=True))
        raise InferenceError(
            f"not enough memory even for a tile of {'x'.join(map(str, size))} ({needed} pixels with its border): "
            "close other programs, or choose device 'cpu'"
        )
    return tuple(min(a, b) if a > 1 else a for a, b in zip(limit, half, strict=True))


def finish(steps: Generator[Any, None, T], on_progress: Callable[[Progress], object] | None = None) -> T:
    """Take all steps of a generator and return its result.

    Parameters
    ----------
    steps : generator of Progress
        What a task's ``*_steps`` function returns.
    on_progress : callable, optional
        Called with every `Progress`.

    Returns
    -------
    object
        What the generator returns.
    """
    with closing(steps):
        while True:
            try:
                progress = next(steps)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if on_progress is not None:
                on_progress(progress)


def map_progress(steps: Generator[S, None, T], tell: Callable[[S], Progress]) -> Generator[Progress, None, T]:
    """Map every step to a `Progress`. Closing it closes the source."""
    with closing(steps):
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                result: T = stop.value
                return result
            yield tell(step)
