"""Run a function over the tiles of an image, one step at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial, wraps
from itertools import accumulate
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_genrecon.arrays import ImageArray, as_numpy
from napari_genrecon.engine.ahead import Ahead
from napari_genrecon.engine.intensity import count_nan, to_dtype
from napari_genrecon.engine.memory import allocate
from napari_genrecon.engine.tiles import Core, Region, Tile, TileGrid
from napari_genrecon.errors import InferenceError

__all__ = [
    "Progress",
    "TileFunction",
    "Tiled",
    "core_steps",
    "finish",
    "halves",
    "map_progress",
    "one_step",
    "region_steps",
    "run_tiles",
    "seconds_left",
]

P = TypeVar("P")
S = TypeVar("S")
T = TypeVar("T")

Block = NDArray[np.floating[Any]]

TileFunction = Callable[[NDArray[Any], Tile], Generator[None, None, Block]]
"""Generator function of what was read for a tile that returns the block of output pixels it covers (halo included).

A run can be cancelled wherever it yields: every second or two. See `one_step` for what is faster.
"""


def one_step(compute: Callable[..., Block]) -> Callable[..., Generator[None, None, Block]]:
    """Make a tile function of a function, or a method, that returns the block within a second or two."""

    @wraps(compute)
    def steps(*block_and_tile: Any) -> Generator[None, None, Block]:
        # Makes a generator of this function without a step of its own.
        yield from ()
        return compute(*block_and_tile)

    return steps


@dataclass(frozen=True, slots=True)
class Progress:
    """State of a run.

    Attributes
    ----------
    done, total : int
        Steps done and steps in all; `total` may grow when tiles have to be halved.
    note : str
        Description of the current step.
    work : float or None
        Share of the work done, in [0, 1], where steps do not take equally long.
    """

    done: int
    total: int
    note: str = ""
    work: float | None = field(default=None, compare=False)

    @property
    def fraction(self) -> float:
        """Share done, in [0, 1]; 0 while the total is not known."""
        if self.work is not None:
            return self.work
        return self.done / self.total if self.total else 0.0


def seconds_left(seconds: float, first: float, now: float) -> float | None:
    """Estimate how long a run still takes: as long for each share of the work as until now.

    Parameters
    ----------
    seconds : float
        Since the share `first` was done.
    first, now : float
        Shares of the work done then and now, in [0, 1].

    Returns
    -------
    float or None
        None while nothing has been done since, or nothing is left.
    """
    return seconds * (1 - now) / (now - first) if first < now < 1 else None


@dataclass(frozen=True, slots=True)
class Tiled:
    """Result of a tiled run.

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
    fn: TileFunction,
    source: ImageArray,
    grid: TileGrid,
    dtype: DTypeLike = np.float32,
    *,
    steps: int | Sequence[float] = 1,
    work: Callable[[Tile], float] | None = None,
    ahead: int = 1,
) -> Generator[Progress, None, Tiled]:
    """Compute `fn` on every tile and assemble the result.

    A tile that does not fit into memory is halved, and so are all that follow; the result is the same. Closing the
    generator waits for tiles that were begun ahead, at most until their next step.

    Parameters
    ----------
    fn : callable
        ``fn(block, tile)``, with all dimensions of the source; see `TileFunction`.
    source : array_like
        Anything that can be read by region: NumPy, memmap, Zarr, dask. Only one tile is read at a time.
    grid : TileGrid
        The geometry.
    dtype : dtype
        Type of the result; integers are rounded and clipped.
    steps : int or sequence of float
        Steps of progress that a tile counts for: how often `fn` yields, plus one. A sequence gives the time that each
        of them takes, in any unit.
    work : callable, optional
        Estimates the time that a tile takes, in any unit. By default proportional to its pixels, halo included.
    ahead : int
        Tiles that are computed at once, in threads. More than one is worth it where `fn` waits for a GPU.

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
    # Before all work: a result that cannot be held is refused at once.
    out = allocate(grid.out_shape, np.dtype(dtype))
    pending = deque(grid.cores())
    # The largest core that is still tried; it only shrinks.
    limit = tuple(max(sizes) for sizes in grid.chunks)
    costs = [1.0] * steps if isinstance(steps, int) else list(steps)
    account = _Account(work or _pixels_read, costs, grid)
    clipped, nan, note = 0, 0, ""
    # Tells the total before the first tile, which may take long.
    yield account.progress(note)
    begun: deque[tuple[Core, Callable[..., Generator[Progress, None, Block | None]]]] = deque()
    with Ahead(ahead) as tiles:
        while pending or begun:
            # At most `ahead` tiles are under way, and the oldest of them is finished first.
            while pending and len(begun) < ahead:
                core = pending.popleft()
                if any(b - a > n for (a, b), n in zip(core, limit, strict=True)):  # cut before the limit was lowered
                    parts = grid.split(core, limit)
                    # `extendleft` turns the order round: reversed, the parts stay in C order.
                    pending.extendleft(reversed(parts))
                    account.replace(grid.tile_of(core), [grid.tile_of(part) for part in parts])
                    continue
                begun.append((core, tiles.start(_compute(fn, source, grid.tile_of(core)))))
            core, follow = begun.popleft()
            tile = grid.tile_of(core)
            block = yield from follow(partial(account.progress, note, tile))
            if block is None:
                size = tuple(b - a for a, b in core)
                limit = _smaller(grid, size, limit)
                note = f"out of memory: tiles reduced to {'x'.join(map(str, limit))}"
                pending.appendleft(core)  # again, cut to the lower limit
                continue
            # Pixels are counted in the core only: halos overlap, and would count twice.
            out[tile.dst], n_clipped = to_dtype(block[tile.crop], out.dtype)
            clipped += n_clipped
            nan += count_nan(block[tile.crop])
            account.finish(tile)
            yield account.progress(note)
    return Tiled(out, clipped, limit, nan)


def region_steps(
    fn: TileFunction, source: ImageArray, grid: TileGrid, region: tuple[slice, ...], dtype: DTypeLike = np.float32
) -> Generator[Progress, None, NDArray[Any]]:
    """Compute a part of the result, and no more around it than it needs.

    Parameters
    ----------
    fn, source, grid, dtype
        See `run_tiles`.
    region : tuple of slice
        Part of the source, in its pixels.

    Yields
    ------
    Progress
        See `run_tiles`.

    Returns
    -------
    ndarray
        The part, with the scale of the grid. Pixels near the border of a tile may differ from those of the whole result
        by as much as tiles make a difference.
    """
    return (yield from run_tiles(fn, source, grid.within(region), dtype)).array


def core_steps(fn: TileFunction, block: NDArray[Any], grid: TileGrid, core: Core) -> Generator[object, None, Block]:
    """Compute the core of one tile; where memory runs out, in halves, and those in halves again.

    Parameters
    ----------
    fn, grid
        See `run_tiles`.
    block : ndarray
        What the tile of this core reads.
    core : tuple of (int, int)
        The core, in pixels of the source.

    Returns
    -------
    ndarray
        The output pixels of the core.

    Raises
    ------
    InferenceError
        If even the smallest tile does not fit into memory.
    """
    tile = grid.tile_of(core)
    # The retry must happen outside the except clause: its traceback would keep the failed tensors in memory.
    try:
        return (yield from fn(block, tile))[tile.crop]
    except MemoryError:
        pass
    out: NDArray[Any] | None = None
    for part in halves(grid, core):
        # A half reads no pixel that the whole did not, so it is cut out of the same block.
        inner = grid.tile_of(part)
        made = yield from core_steps(fn, block[_within(inner.src, tile.src)], grid, part)
        if out is None:
            # Only now is the dtype known in which `fn` computes.
            out = np.empty([place.stop - place.start for place in tile.dst], made.dtype)
        out[_within(inner.dst, tile.dst)] = made
    assert out is not None
    return out


def halves(grid: TileGrid, core: Core) -> list[Core]:
    """Return the halves of a core whose tile did not fit into memory.

    Raises
    ------
    InferenceError
        If it cannot be smaller.
    """
    # A core by itself, as dask computes it, knows no limit from other tiles: its own size is the limit.
    size = tuple(b - a for a, b in core)
    return grid.split(core, _smaller(grid, size, size))


def _within(inner: Region, outer: Region) -> Region:
    """Return a region of the image in the pixels of a region around it."""
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True))


def _pixels_read(tile: Tile) -> float:
    return float(math.prod(part.stop - part.start for part in tile.src))


class _Account:
    """Account of the steps of a tiled run that are done, and of their share of the work."""

    def __init__(self, work: Callable[[Tile], float], costs: list[float], grid: TileGrid) -> None:
        self._work, self._steps = work, len(costs)
        self._shares = [part / (sum(costs) or 1.0) for part in accumulate(costs)]  # of a tile, after each step
        self._done, self._total = 0, self._steps * grid.n_tiles
        self._worked, self._all = 0.0, sum(map(work, grid.tiles()))

    def replace(self, tile: Tile, parts: list[Tile]) -> None:
        """Count the parts of a tile instead of the tile."""
        # Every part takes all steps, and reads a halo of its own.
        self._total += (len(parts) - 1) * self._steps
        self._all += sum(map(self._work, parts)) - self._work(tile)

    def finish(self, tile: Tile) -> None:
        """Count all steps of a tile as done."""
        self._done += self._steps
        self._worked += self._work(tile)

    def progress(self, note: str, tile: Tile | None = None, steps: int = 0) -> Progress:
        """Return the progress after so many steps of a tile."""
        # A tile that yields more often than was stated stays at its end.
        inside = self._shares[min(steps, self._steps) - 1] * self._work(tile) if tile is not None and steps else 0.0
        # Sums of floats may exceed their total by a rounding error.
        share = min((self._worked + inside) / self._all, 1.0) if self._all > 0 else None
        return Progress(self._done + min(steps, self._steps), self._total, note, share)


def _compute(fn: TileFunction, source: ImageArray, tile: Tile) -> Generator[None, None, Block | None]:
    """Compute a tile; None if memory ran out."""
    # The retry must happen outside the except clause: its traceback would keep the failed tensors in memory.
    try:
        return (yield from fn(as_numpy(source[tile.src]), tile))
    except MemoryError:
        return None


def _smaller(grid: TileGrid, size: tuple[int, ...], limit: tuple[int, ...]) -> tuple[int, ...]:
    half = grid.halved(size)
    if half is None:
        # Halos included: what is read had no room.
        needed = math.prod(b + 2 * h for b, h in zip(size, grid.halo, strict=True))
        raise InferenceError(
            f"not enough memory even for a tile of {'x'.join(map(str, size))} ({needed} pixels with its border): "
            "close other programs, or choose device 'cpu'"
        )
    # One dimension is halved; in the others the limit may be below the size of this core.
    return tuple(map(min, limit, half))


def finish(steps: Generator[Any, None, T], on_progress: Callable[[Progress], object] | None = None) -> T:
    """Take all steps of a generator and return its result.

    Parameters
    ----------
    steps : generator of Progress
        Generator from a task's ``*_steps`` function.
    on_progress : callable, optional
        Called with every `Progress`.

    Returns
    -------
    object
        Result of the generator.
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


def map_progress(steps: Generator[S, None, T], tell: Callable[[S], P]) -> Generator[P, None, T]:
    """Map every step to another, such as a `Progress`. Closing it closes the source."""
    with closing(steps):
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                result: T = stop.value
                return result
            yield tell(step)
