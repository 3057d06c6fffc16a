"""Upscale along z: train a network on the planes of the stack, then let it see between them."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_genrecon.engine.intensity import measure_centre
from napari_genrecon.engine.memory import available_memory, check_tile, fit_tile
from napari_genrecon.engine.resample import BACK_PROJECTION_REACH
from napari_genrecon.engine.run import Progress
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.models import ModelSpec, find_model, list_models, resolve_device
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.denoise import denoise
from napari_genrecon.tasks.enlarging import UpscaledChannel
from napari_genrecon.tasks.side_views import UpscaleSides
from napari_genrecon.tasks.upscale_plan import ROUNDS, Measured, UpscalePlan, notes, told

if TYPE_CHECKING:
    from napari_genrecon.tasks.upscale import UpscaleOptions
    from napari_genrecon.training.isotropic import SharpPlane

__all__ = ["TRAINING_WORK", "factor_along_z", "plan_sides"]

TRAINING_WORK = 50_000
"""A step of training takes as long as the network takes for so many pixels."""

_SMALLEST, _LARGEST = 2, 4
_ISOTROPIC = 1.5  # times as tall as wide; below it no whole factor brings voxels nearer to isotropic
_MOST_PLANES = 12  # to learn from, per channel
_SMALLEST_SIDE = 8  # pixels of a plane; with less there is nothing to learn from
_DEEPEST = 64  # planes of a tile
_TILE = 256  # pixels, along Y and along X
_MEMORY_SHARE = 4  # a tile may take a quarter of the memory that is free


def plan_sides(source: Any, options: UpscaleOptions, measured: Measured) -> Generator[Progress, None, UpscalePlan]:
    """Train for this stack and plan how to enlarge it along z.

    Raises
    ------
    ImageError
        If the image is no z-stack.
    OptionError
        If the voxels are not taller than wide.
    """
    factor, said = factor_along_z(options)
    _check_stack(source.shape, measured, options)
    device = resolve_device(options.device)
    spec, noise = _start(options), told(measured.noise, options)
    planes = yield from _sharp_planes(measured, noise, device)
    weights, losses = yield from _trained(planes, spec, options, factor, device)
    channels = tuple(
        UpscaledChannel(model, measure_centre(crops)) for crops, model in zip(measured.sampled, noise, strict=True)
    )
    rounds = ROUNDS if options.consistent else 0
    kernel = UpscaleSides(weights, options.device, measured.axes, channels, factor, options.thickness, rounds)
    grid = _grid(source.shape, measured, options, spec, factor)
    return UpscalePlan(
        source=source,
        options=options,
        measured=measured,
        kernel=kernel,
        grid=grid,
        dtype=source.dtype if options.keep_dtype else np.dtype(np.float32),
        model={**spec.facts(), "chosen": "it was trained further on this stack"},
        notes=(*said, *notes(measured.noise, options, True)),
        facts={"seed": options.seed, "trained": _told(weights, losses, options, len(planes))},
        steps=kernel.steps(_largest_read(grid, measured)),
    )


def factor_along_z(options: UpscaleOptions) -> tuple[int, list[str]]:
    """How many times more planes there will be, and what to say about it.

    Raises
    ------
    OptionError
        If the voxels are hardly taller than wide.
    """
    spacing = options.spacing
    if spacing is None:
        return options.factor, []
    if spacing < _ISOTROPIC:
        raise OptionError(
            f"along Z makes voxels as tall as wide, and these are {spacing:.2f} times as tall as wide: from "
            f"{_ISOTROPIC} on it can help; choose along YX to enlarge the planes"
        )
    factor = min(_LARGEST, max(_SMALLEST, round(spacing)))
    said = f"the voxels are {spacing:.3g} times as tall as wide, so there are {factor} times more planes"
    if factor < round(spacing):
        said += f"; they remain {spacing / factor:.2g} times as tall as wide"
    return factor, [said]


def _check_stack(shape: tuple[int, ...], measured: Measured, options: UpscaleOptions) -> None:
    axes = measured.axes
    if "Z" not in axes.letters:
        raise ImageError(
            f"along Z needs a z-stack, and this image has the axes {axes}: say in axes which dimension is Z, for "
            "example 'ZYX', or choose along YX"
        )
    planes, side = shape[axes.letters.index("Z")], min(shape[axes.y], shape[axes.x])
    if planes < 2 or side < _SMALLEST_SIDE:
        raise ImageError(
            f"along Z needs two planes of at least {_SMALLEST_SIDE} pixels a side to learn from; got {planes} "
            f"planes of {shape[axes.y]} x {shape[axes.x]}: choose along YX"
        )


def _start(options: UpscaleOptions) -> ModelSpec:
    """The network to start from: if none was asked for, the one that removes noise."""
    if options.model != "auto":
        return find_model(options.model, "upscale")
    return next((spec for spec in list_models("upscale") if spec.denoiser), find_model("auto", "upscale"))


def _sharp_planes(
    measured: Measured, noise: tuple[NoiseModel, ...], device: str
) -> Generator[Progress, None, list[SharpPlane]]:
    """Planes of every channel, spread evenly over the stack, without their noise."""
    from napari_genrecon.training.isotropic import SharpPlane

    planes: list[SharpPlane] = []
    for crops, model in zip(measured.sampled, noise, strict=True):
        finite = [crop for crop in crops if np.isfinite(crop).all() and np.ptp(crop) > 0]
        chosen = (
            [finite[i] for i in np.unique(np.linspace(0, len(finite) - 1, _MOST_PLANES).astype(int))] if finite else []
        )
        spread = float(np.sqrt(np.mean([np.var(crop.astype(np.float64)) for crop in chosen]))) if chosen else 0.0
        for count, crop in enumerate(chosen):
            yield Progress(count, len(chosen), "denoising planes to learn from" if model.sigma else "reading planes")
            clean = denoise(crop, noise=model, axes="YX", device=device) if model.sigma else crop.astype(np.float32)
            planes.append(SharpPlane(clean, model, measure_centre(crops), spread))
    if not planes:
        raise ImageError("along Z learns from the planes of the stack, and none of them shows anything: all are flat")
    return planes


def _trained(
    planes: list[SharpPlane], spec: ModelSpec, options: UpscaleOptions, factor: int, device: str
) -> Generator[Progress, None, tuple[bytes, list[float]]]:
    from napari_genrecon.training.isotropic import Lesson, train_on_planes

    lesson = Lesson(
        factor=factor,
        thickness=options.thickness,
        steps=options.train_steps,
        seed=options.seed,
        stretch=1.0 if options.spacing is None else options.spacing / factor,
    )
    steps, losses = train_on_planes(planes, spec, lesson, device), list[float]()
    try:
        while True:
            losses.append(next(steps))
            yield Progress(
                len(losses), lesson.steps, f"learning from the planes: {len(losses)} of {lesson.steps} steps"
            )
    except StopIteration as stop:
        return stop.value, losses
    finally:
        steps.close()


def _told(weights: bytes, losses: list[float], options: UpscaleOptions, planes: int) -> dict[str, Any]:
    """What the record says about the training."""
    first, last = (float(np.mean(part)) if part else None for part in (losses[:20], losses[-20:]))
    return {
        "planes": planes,
        "steps": len(losses),
        "loss": [first, last],
        "thickness": options.thickness,
        "sha256": hashlib.sha256(weights).hexdigest(),
    }


def _grid(
    shape: tuple[int, ...], measured: Measured, options: UpscaleOptions, spec: ModelSpec, factor: int
) -> TileGrid:
    """Tiles of all Z where that is little, with a border along all three dimensions."""
    axes = measured.axes
    reach = ROUNDS * BACK_PROJECTION_REACH if options.consistent else 0
    z = axes.letters.index("Z")
    depth = shape[z] if shape[z] <= 2 * _DEEPEST else _DEEPEST
    height, width = _sides(shape, measured, options, spec, depth * factor)
    tile, halo, scale = (
        tuple({"Z": a, "Y": b, "X": c}.get(letter, other) for letter in axes.letters)
        for a, b, c, other in (
            (depth, height, width, 1),
            (spec.halo + reach, spec.halo, spec.halo, 0),
            (factor, 1, 1, 1),
        )
    )
    return TileGrid(shape=tuple(shape), tile=tile, halo=halo, scale=scale, stride=(1,) * len(shape))


def _sides(
    shape: tuple[int, ...], measured: Measured, options: UpscaleOptions, spec: ModelSpec, depth: int
) -> tuple[int, int]:
    if options.tile is not None:
        return check_tile(options.tile, 1)
    axes = measured.axes
    return fit_tile(
        (shape[axes.y], shape[axes.x]),
        halo=spec.halo,
        stride=1,
        bytes_per_pixel=24 * depth,
        budget=available_memory() // _MEMORY_SHARE,
        max_pixels=(_TILE + 2 * spec.halo) ** 2,
    )


def _largest_read(grid: TileGrid, measured: Measured) -> tuple[int, int, int]:
    def read(letter: str) -> int:
        i = measured.axes.letters.index(letter)
        return min(max(grid.chunks[i]) + 2 * grid.halo[i], grid.shape[i])

    return read("Z"), read("Y"), read("X")
