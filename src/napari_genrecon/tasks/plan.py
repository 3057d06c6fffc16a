"""Hold all that a task decides before the first tile, and carry it out."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import ImageArray
from napari_genrecon.axes import Axes
from napari_genrecon.engine.lazy import lazy_tiles
from napari_genrecon.engine.memory import check_tile, fit_block, fit_tile
from napari_genrecon.engine.run import Progress, Tiled, TileFunction, map_progress, run_tiles
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.errors import ImageError
from napari_genrecon.io.record.provenance import clipping_note, machine, make_record, note_device
from napari_genrecon.models import (
    ModelCard,
    PerAxis,
    device_note,
    device_words,
    free_memory,
    release_memory,
    resolve_device,
    resolve_precision,
)
from napari_genrecon.noise import NoiseModel
from napari_genrecon.noise.stabilise import NOISE_FREE
from napari_genrecon.tasks.region import Region, cut, in_blank, in_whole, recorded
from napari_genrecon.tasks.task import Result

__all__ = [
    "MEMORY_SHARE",
    "TRIAL_SIDE",
    "Companion",
    "Plan",
    "borrowed",
    "kernel_precision",
    "lowest_precision",
    "plan_grid",
    "read_shapes",
    "result_dtype",
    "run_plan",
    "tell_planes",
]

# A run can be cancelled between tiles: a tile of this much work, in MFLOP, takes about 1.6 seconds on two CPU cores. A
# plane of 2048 x 2048 pixels is then denoised in four, which read 1.2 times its pixels.
_MAX_TILE_WORK = {"cpu": 264_000}
_MAX_TILE_WORK_ELSEWHERE = 840_000  # on a GPU, where a pixel takes fewer seconds in larger tiles
# Times that work, in as many seconds: it is done in parts, and smaller tiles would be little but halos in 3 dimensions.
_MORE_FOR_VOLUMES = 8
_LEAST_CORE = 128  # pixels of a tile beside its halo, of a network of others, however many seconds it takes
_FINE = 16  # steps of float32 that a noise s.d. must span: rounding then adds an s.d. of 1 / (16 * sqrt(12)) = 0.02
# While a GPU works on one tile, threads transform others, at 12 to 20 megapixels a second each; more would wait for
# it, and hold memory.
_AHEAD = 8
_AHEAD_PIXELS = 16_000_000  # of all tiles at once: about a gigabyte of the CPU's memory
TRIAL_SIDE = 160
"""Pixels a side of the part of an image on which ways to work are compared: larger ones take longer, smaller ones show
too little."""
MEMORY_SHARE = 4  # a tile may use a quarter of the free memory: other programs and dask workers need the rest


class WithPrecision(Protocol):
    """Options of a task whose networks can compute in more than one number format."""

    @property
    def device(self) -> str:
        """Where they run."""

    @property
    def precision(self) -> str:
        """One of `shared_options.PRECISIONS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """A further image of the pixels of a result, in float32, that is computed after it.

    Attributes
    ----------
    kernel : TileFunction
        Function that computes a tile; it returns a generator.
    grid : TileGrid
        The tiles.
    steps : int
        Steps of a tile, each of which takes as long as a tile of the result.
    outside : float
        Value of the pixels outside a region, in a copy of the whole image.
    """

    kernel: TileFunction
    grid: TileGrid
    steps: int
    outside: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """All that a task decides before the first tile.

    Attributes
    ----------
    task, nature : str
        Name of the task, and nature of its results, such as ``"restored"``.
    source : array_like
        The image.
    axes : Axes
        Axes of the image.
    options : dataclass
        Options of the task.
    beside : tuple of str
        Options that are left out of the record's options: they have an entry of their own, or are arrays.
    kernel : TileFunction
        Function that processes a tile.
    grid : TileGrid
        The tiles.
    dtype : dtype
        Dtype of the result.
    noise : tuple of NoiseModel
        Noise per channel, measured or given.
    input, model : dict
        The record's entries about the image and the network; None for no network.
    device : str
        Device of the network, resolved.
    warnings : tuple of str
        Notes for the user.
    facts : dict
        Further entries of the record.
    steps : callable
        Returns the steps of progress per tile, as `run_tiles` takes them; called only if tiles are computed now.
    work : (int, int)
        Work before the first tile and work of all tiles, in the same unit.
    companions : dict of str to Companion
        Further images by title.
    """

    task: str
    nature: str
    source: Any
    axes: Axes
    options: Any
    beside: tuple[str, ...] = ("noise",)
    kernel: TileFunction
    grid: TileGrid
    dtype: np.dtype[Any]
    noise: tuple[NoiseModel, ...]
    input: dict[str, Any]
    model: dict[str, Any] | None
    device: str
    warnings: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    steps: Callable[[], int | Sequence[float]] = lambda: 1
    work: tuple[int, int] = (0, 0)
    companions: dict[str, Companion] = field(default_factory=dict)

    @property
    def region(self) -> Region | None:
        """Part of the image that is computed; None is all of it."""
        return None if self.grid.window is None else tuple(slice(*ends) for ends in self.grid.window)

    def of_region(self) -> Plan:
        """Return the plan for the region of the options. What was measured stays that of the whole image.

        Raises
        ------
        OptionError
            If the region does not fit the image.
        """
        grid = cut(self.grid, self.options, self.axes)
        output = self.facts.get("output", {})
        # Tasks that change the shape state it in the record; it is that of the region now.
        shape = {"shape": list(grid.out_shape)} if "shape" in output else {}
        companions = {
            title: replace(each, grid=cut(each.grid, self.options, self.axes))
            for title, each in self.companions.items()
        }
        return replace(self, grid=grid, companions=companions, facts={**self.facts, "output": {**output, **shape}})

    def placed(self, result: Result) -> Result:
        """Return the result of a region with its place, or in a copy of the whole image if that was asked for."""
        if self.region is None:
            return result
        if not getattr(self.options, "whole", False):  # tasks that make more pixels lack it
            return replace(result, region=self.region)
        whole = partial(in_whole, source=self.source, region=self.region)
        unrounded = None if result.unrounded is None else whole(result.unrounded)
        companions = {
            title: in_blank(made, self.source.shape[: made.ndim], self.region[: made.ndim], self._outside(title))
            # Companions of colour images may lack the colours: they have the first dimensions only.
            for title, made in result.companions.items()
        }
        # Without `tiles`: they compute the region, and no longer fit the copy of the whole.
        return replace(result, data=whole(result.data), companions=companions, unrounded=unrounded, tiles=None)

    def _outside(self, title: str) -> float:
        return self.companions[title].outside if title in self.companions else 0

    @property
    def n_planes(self) -> int:
        """Number of YX planes that are computed."""
        return self.axes.n_planes(self.grid.lengths)

    @property
    def ahead(self) -> int:
        """Number of tiles to compute at once: one on the CPU, of which a tile uses every core."""
        if self.device == "cpu":
            return 1
        # In pixels, halos included, as these are held in memory, too.
        largest = max(map(math.prod, read_shapes(self.grid)))
        return max(1, min(_AHEAD, _AHEAD_PIXELS // largest))

    def of_all(self, progress: Progress) -> Progress:
        """Return the progress of the tiles as progress of all work, that before the first tile included."""
        before, tiles = self.work
        if not before:
            return progress
        # Without `work`, the share of the tiles alone: the fraction then follows from `done` and `total`.
        return replace(progress, done=before + round(tiles * progress.fraction), total=before + tiles, work=None)

    def of_parts(self, part: int, progress: Progress) -> Progress:
        """Return the progress of the result (part 0), or of a companion, as progress of them all."""
        # Pixels that are computed, times how often the network runs over them.
        work = [self.grid.pixels_read, *(each.steps * each.grid.pixels_read for each in self.companions.values())]
        if len(work) == 1 or not sum(work):
            return progress
        done = sum(work[:part]) + progress.fraction * work[part]
        return Progress(round(done), round(sum(work)), progress.note, done / sum(work))

    def record(self, tiled: Tiled | None = None, seconds: float | None = None) -> dict[str, Any]:
        """Return the record of a run; without `tiled` that of a lazy result."""
        # Arrays are taken out first: `asdict` would copy them.
        options = asdict(replace(self.options, **dict.fromkeys(self.beside)))
        if self.region is not None:
            options |= recorded(self.region, self.axes, self.source.shape, options)
        # Facts of the task win, such as the shape of an enlarged image.
        output = output_facts(self.dtype, tiled) | self.facts.get("output", {})
        precision = self.facts.get("precision", "float32")
        facts = {
            # Before the facts, in which a task that draws states its seed.
            "seed": None,  # nothing is random
            "precision": precision,
            **self.facts,
            "options": {name: value for name, value in options.items() if name not in self.beside},
            "model": self.model,
            "noise": [model.to_dict() for model in self.noise],
            "axes": {"letters": self.axes.letters, "assumed": self.axes.assumed} | self.facts.get("axes", {}),
            "input": self.input,
            "output": output,
            "tile": {"size": list(tiled.tile if tiled else self.grid.tile), "halo": list(self.grid.halo)},
            "device": self.device,
            "machines": [machine(device_words(self.device, precision))],
            "seconds": None if seconds is None else round(seconds, 3),
            "warnings": [*self.warnings, *self._passed_over(), *clipping_note(output["clipped"], self.dtype)],
        }
        return make_record(self.task, self.nature, **facts)

    def _passed_over(self) -> list[str]:
        # A GPU that was passed over is worth a note only if a network ran.
        return [] if self.model is None else device_note(self.options.device)


def run_plan(plan: Plan, *, lazy: bool, started: float) -> Generator[Progress, None, Result]:
    """Carry out a plan tile by tile, or return a lazy result.

    Parameters
    ----------
    plan : Plan
        The plan.
    lazy : bool
        Return a result of which nothing has been computed.
    started : float
        `time.perf_counter` at the start of the task.
    """
    plan = plan.of_region()
    if lazy:
        made = _lazy_result(plan.kernel, plan.source, plan.grid, plan.dtype, plan.axes, plan.record())
        # Lazy like the result: nothing runs before someone reads them.
        more = {title: lazy_tiles(each.kernel, plan.source, each.grid) for title, each in plan.companions.items()}
        return plan.placed(replace(made, companions=more))
    # `plan.steps` may time a network, so it is called only here, where tiles are computed now.
    steps = run_tiles(plan.kernel, plan.source, plan.grid, plan.dtype, steps=plan.steps(), ahead=plan.ahead)
    with borrowed(plan.device):
        # First the planes are named, then the shares of earlier work and of companions are taken into account.
        own = map_progress(tell_planes(steps, plan.n_planes), plan.of_all)
        tiled = yield from map_progress(own, partial(plan.of_parts, 0))
        companions = yield from _companions(plan)
    record = plan.record(tiled, time.perf_counter() - started)
    return plan.placed(Result(tiled.array, plan.axes, record, companions))


def _companions(plan: Plan) -> Generator[Progress, None, dict[str, Any]]:
    """Compute the companions one after the other."""
    made = {}
    for part, (title, each) in enumerate(plan.companions.items(), start=1):
        steps = run_tiles(each.kernel, plan.source, each.grid, steps=each.steps, ahead=plan.ahead)
        named = map_progress(tell_planes(steps, plan.n_planes), partial(_of_companion, title))
        made[title] = (yield from map_progress(named, partial(plan.of_parts, part))).array
    return made


def _of_companion(title: str, progress: Progress) -> Progress:
    return replace(progress, note=f"{title}: {progress.note}")


def kernel_precision(options: WithPrecision, recorded: str) -> str:
    """Return the precision for the workers: one that is faster in bfloat16 uses it only if the record says so."""
    return options.precision if recorded == "bfloat16" else "float32"


def lowest_precision(options: WithPrecision, networks: Sequence[ModelCard]) -> str:
    """Return ``"bfloat16"`` if any of the networks may compute in it, for the record; else ``"float32"``."""
    device = resolve_device(options.device)
    found = {resolve_precision(options.precision, card, device) for card in networks}
    return "bfloat16" if "bfloat16" in found else "float32"


@contextmanager
def borrowed(device: str) -> Iterator[None]:
    """Give a device's memory back at the end of a job, however it ends."""
    try:
        yield
    finally:
        # The next job in this thread may use no network, and its record must not name this device.
        note_device("")
        # torch keeps freed memory of a device for later, and other programs could not use it.
        if device != "cpu":
            release_memory(device)


def plan_grid(
    shape: tuple[int, ...], axes: Axes, spec: ModelCard, *, tile: int | tuple[int, int] | None, device: str
) -> TileGrid:
    """Return the tiles on which a model runs over an image, plane by plane or, if it takes volumes, stack by stack.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image.
    axes : Axes
        Axes of the image.
    spec : ModelCard
        Card of the model: halo, stride, scale and memory.
    tile : int, (int, int) or None
        Side of a tile in pixels, or (Y, X), or None to choose it.
    device : str
        Device of the model.

    Raises
    ------
    ImageError
        If the model takes volumes and the image has no Z.
    """
    halo, stride, planes = spec.halo, spec.stride, 1
    if spec.about.volumes:
        # Volumes are cut along Z, too, so that a tile of a thick stack fits into memory.
        planes, height, width = _block(shape, axes, spec, tile, resolve_device(device))
    # A network that looks at a whole plane at once cannot be tiled.
    elif spec.whole:
        height, width = shape[axes.y], shape[axes.x]
        # A stride of a whole plane: no tile can be smaller, not even where memory runs out.
        halo, stride = PerAxis.planes(0, 0), PerAxis(1, 1, height, width)
    elif tile is None:
        where = resolve_device(device)
        height, width = fit_tile(
            (shape[axes.y], shape[axes.x]),
            halo=spec.halo.x,
            stride=spec.stride.x,
            bytes_per_pixel=spec.bytes_per_pixel,
            budget=free_memory(where) // MEMORY_SHARE,
            max_pixels=_most_pixels(spec, where),
        )
    else:
        # What was asked for is kept, rounded to the stride, whatever the memory: it is halved where it runs out.
        height, width = check_tile(tile, spec.stride.x)
    return TileGrid(
        shape=tuple(shape),
        tile=PerAxis(1, planes, height, width).along(axes.letters, 1),
        halo=halo.along(axes.letters, 0),
        scale=spec.scale.along(axes.letters, 1),
        stride=stride.along(axes.letters, 1),
    )


def _block(
    shape: tuple[int, ...], axes: Axes, spec: ModelCard, tile: int | tuple[int, int] | None, device: str
) -> tuple[int, int, int]:
    """Return planes, height and width of a tile of a model that takes volumes, and refuse an image without Z."""
    if "Z" not in axes.letters:
        raise ImageError(
            f"{spec.name!r} was trained on stacks, and the image has the axes {axes}: say which dimension is Z (axes), "
            "or take a model that was trained on planes"
        )
    return fit_block(
        (shape[axes.letters.index("Z")], shape[axes.y], shape[axes.x]),
        halo=(spec.halo.z, spec.halo.x),
        stride=spec.stride.x,
        bytes_per_pixel=spec.bytes_per_pixel,
        budget=free_memory(device) // MEMORY_SHARE,
        max_pixels=_MORE_FOR_VOLUMES * _most_pixels(spec, device),
        tile=None if tile is None else check_tile(tile, spec.stride.x),
    )


def _most_pixels(spec: ModelCard, device: str) -> int:
    # `spec.work` is per pixel. Every device but the CPU is a GPU, whatever its name and number.
    most = int(_MAX_TILE_WORK.get(device, _MAX_TILE_WORK_ELSEWHERE) / spec.work)
    if spec.scaling:  # networks of others can be so slow that tiles would be next to nothing but halo
        most = max(most, (2 * spec.halo.x + _LEAST_CORE) ** 2)
    # Some networks are faster in tiles that stay in the CPU's cache.
    return most if device != "cpu" or spec.tile_pixels is None else min(most, spec.tile_pixels)


def read_shapes(grid: TileGrid) -> Counter[tuple[int, ...]]:
    """Count the tiles by the shape that they read, halo included."""
    # The product over the dimensions: n tiles of one height and m of one width make n * m of both.
    found: Counter[tuple[int, ...]] = Counter({(): 1})
    for spans, halo, length in zip(grid.spans, grid.halo, grid.shape, strict=True):
        reads = Counter(min(b + halo, length) - max(a - halo, 0) for a, b in spans)
        found = Counter({(*shape, n): m * k for shape, m in found.items() for n, k in reads.items()})
    return found


def tell_planes(steps: Generator[Progress, None, Tiled], n_planes: int) -> Generator[Progress, None, Tiled]:
    """Add to every step of a tiled run how many planes are done."""

    def tell(progress: Progress) -> Progress:
        planes = f"{n_planes * progress.done // progress.total} of {n_planes} planes done"
        return replace(progress, note=f"{planes}; {progress.note}" if progress.note else planes)

    return map_progress(steps, tell)


def output_facts(dtype: np.dtype[Any], tiled: Tiled | None) -> dict[str, Any]:
    """Return the record's entry about the result's pixels.

    The numbers of NaN and of clipped pixels are None for a lazy result; they are counted when it is written. Only
    integers and float16 are ever clipped.
    """
    if tiled is None:
        return {"dtype": str(dtype), "clipped": None if _can_clip(dtype) else 0, "nan": None}
    return {"dtype": str(dtype), "clipped": tiled.clipped, "nan": tiled.nan}


def _can_clip(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "iu" or dtype.itemsize < 4


def result_dtype(
    dtype: np.dtype[Any], sampled: Sequence[list[NDArray[Any]]], noise: Sequence[NoiseModel], *, keep: bool
) -> np.dtype[Any]:
    """Return the dtype of a result: float32, or float64 if the steps of float32 are coarse compared with the noise.

    Parameters
    ----------
    dtype : dtype
        Dtype of the image.
    sampled : sequence of lists of ndarray
        Crops of every channel.
    noise : sequence of NoiseModel
        Noise of every channel; without noise a thousandth of the range of grey values takes its place.
    keep : bool
        Keep the image's dtype.
    """
    if keep:
        return dtype
    # float32 has 24 bits of mantissa: integers of 16 bits always fit.
    wide = dtype.itemsize > 4 or (dtype.kind in "iu" and dtype.itemsize == 4)
    fits = not wide or all(_float32_holds(crops, model) for crops, model in zip(sampled, noise, strict=True))
    return np.dtype(np.float32 if fits else np.float64)


def _float32_holds(crops: list[NDArray[Any]], noise: NoiseModel) -> bool:
    """Return whether float32 has finer steps than the least noise needs, or the channel is constant and exact."""
    values = np.concatenate([crop[np.isfinite(crop)].astype(np.float64) for crop in crops])
    low, high = np.quantile(values, (0.01, 0.99))  # a few outliers must not decide
    # The end with less noise decides: it needs the finer steps.
    seen = float(np.min(noise.sigma_at([low, high]))) or NOISE_FREE * float(high - low)
    # Distance of float32 numbers at the largest grey value, where it is widest.
    step = float(np.spacing(np.float32(max(abs(low), abs(high)))))
    return step <= seen / _FINE or bool(low == high == np.float32(high))


def _lazy_result(
    fn: TileFunction, source: ImageArray, grid: TileGrid, dtype: np.dtype[Any], axes: Axes, record: dict[str, Any]
) -> Result:
    """Return a result of which nothing has been computed; see `engine.lazy.lazy_tiles`."""
    # Blocks before rounding; computed instead of the others, not beside them.
    unrounded = lazy_tiles(fn, source, grid, None) if _can_clip(dtype) else None
    return Result(lazy_tiles(fn, source, grid, dtype), axes, record, unrounded=unrounded, tiles=(fn, source, grid))
