"""What every task that runs a model over an image decides alike: the tiles, and what to say on the way."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.engine.lazy import lazy_tiles
from napari_genrecon.engine.memory import available_memory, check_tile, fit_tile
from napari_genrecon.engine.run import Progress, Tiled, TileFunction, retold
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.models import ModelSpec, resolve_device
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.result import Result

__all__ = ["lazy_result", "output_facts", "plan_grid", "result_dtype", "tell_planes"]

# A run can be cancelled between tiles: a tile of this much work takes about 1.5 seconds on two CPU cores.
_MAX_TILE_WORK = {"cpu": 231_000}  # MFLOP
_MAX_TILE_WORK_ELSEWHERE = 840_000
_FINE = 16  # steps of float32 within a noise s.d., with which rounding is 0.02 of it
_STEPS = 1000  # of the range of grey values, where there is no noise
_MEMORY_SHARE = 4  # a tile may take a quarter of the memory that is free


def plan_grid(
    shape: tuple[int, ...], axes: Axes, spec: ModelSpec, *, tile: int | tuple[int, int] | None, device: str
) -> TileGrid:
    """The tiles on which a model runs over an image, plane by plane.

    Parameters
    ----------
    shape : tuple of int
        Of the image.
    axes : Axes
        Of the image.
    spec : ModelSpec
        Tells halo, stride, scale and memory.
    tile : int, (int, int) or None
        Side of a tile in pixels, or (Y, X), or None to choose it.
    device : str
        Where the model runs.
    """
    if tile is None:
        height, width = fit_tile(
            (shape[axes.y], shape[axes.x]),
            halo=spec.halo,
            stride=spec.stride,
            bytes_per_pixel=spec.bytes_per_pixel,
            budget=available_memory() // _MEMORY_SHARE,
            max_pixels=_most_pixels(spec, resolve_device(device)),
        )
    else:
        height, width = check_tile(tile, spec.stride)
    return TileGrid(
        shape=tuple(shape),
        tile=axes.spread(height, width, 1),
        halo=axes.spread(spec.halo, spec.halo, 0),
        scale=axes.spread(spec.scale, spec.scale, 1),
        stride=axes.spread(spec.stride, spec.stride, 1),
    )


def _most_pixels(spec: ModelSpec, device: str) -> int:
    most = int(_MAX_TILE_WORK.get(device, _MAX_TILE_WORK_ELSEWHERE) / spec.work)
    return most if device != "cpu" or spec.tile_pixels is None else min(most, spec.tile_pixels)


def tell_planes(steps: Generator[Progress, None, Tiled], n_planes: int) -> Generator[Progress, None, Tiled]:
    """Say in every step of a tiled run how many planes are done."""

    def tell(progress: Progress) -> Progress:
        planes = f"{n_planes * progress.done // progress.total} of {n_planes} planes done"
        return replace(progress, note=f"{planes}; {progress.note}" if progress.note else planes)

    return retold(steps, tell)


def output_facts(dtype: np.dtype[Any], tiled: Tiled | None) -> dict[str, Any]:
    """What a record says of the result's pixels.

    How many were NaN and how many had to be clipped is None where they are not computed yet; who writes them to a file
    counts them then. Floats but float16 are never clipped.
    """
    if tiled is None:
        return {"dtype": str(dtype), "clipped": None if _can_clip(dtype) else 0, "nan": None}
    return {"dtype": str(dtype), "clipped": tiled.clipped, "nan": tiled.nan}


def _can_clip(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "iu" or dtype.itemsize < 4


def result_dtype(
    dtype: np.dtype[Any], sampled: Sequence[list[NDArray[Any]]], noise: Sequence[NoiseModel], *, keep: bool
) -> np.dtype[Any]:
    """The dtype of a result: float32, or float64 where float32 cannot hold what the image resolves.

    Parameters
    ----------
    dtype : dtype
        Of the image.
    sampled : sequence of lists of ndarray
        Crops of every channel.
    noise : sequence of NoiseModel
        Of every channel; where there is none, a thousandth of the range of grey values is resolved.
    keep : bool
        Whether the image's dtype was asked for.
    """
    if keep:
        return dtype
    wide = dtype.itemsize > 4 or (dtype.kind in "iu" and dtype.itemsize == 4)
    fits = not wide or all(_float32_holds(crops, model) for crops, model in zip(sampled, noise, strict=True))
    return np.dtype(np.float32 if fits else np.float64)


def _float32_holds(crops: list[NDArray[Any]], noise: NoiseModel) -> bool:
    values = np.concatenate([crop[np.isfinite(crop)].astype(np.float64) for crop in crops])
    low, high = np.quantile(values, (0.01, 0.99))
    seen = float(np.min(noise.sigma_at([low, high]))) or float(high - low) / _STEPS
    step = float(np.spacing(np.float32(max(abs(low), abs(high)))))
    return step <= seen / _FINE or bool(low == high == np.float32(high))


def lazy_result(
    fn: TileFunction, source: Any, grid: TileGrid, dtype: np.dtype[Any], axes: Axes, record: dict[str, Any]
) -> Result:
    """A result of which nothing has been computed; see `engine.lazy.lazy_tiles`."""
    unrounded = lazy_tiles(fn, source, grid, None) if _can_clip(dtype) else None
    return Result(lazy_tiles(fn, source, grid, dtype), axes, record, unrounded=unrounded)
