"""Plan an enlargement along z: train a network on the planes of the stack, then choose tiles and kernel."""

from __future__ import annotations

import math
from collections.abc import Generator
from functools import partial

from napari_genrecon.arrays import ImageArray
from napari_genrecon.axes import Axes
from napari_genrecon.engine.memory import check_tile, fit_tile
from napari_genrecon.engine.missing import missing_note
from napari_genrecon.engine.run import Progress
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.models import ModelCard, find_model, free_memory, list_models, resolve_device
from napari_genrecon.models.card import FACTORS
from napari_genrecon.numerics.resample import BACK_PROJECTION_REACH
from napari_genrecon.tasks.measure import sample_channels
from napari_genrecon.tasks.plan import MEMORY_SHARE, Plan
from napari_genrecon.tasks.region import region_of
from napari_genrecon.tasks.upscale.plan import ROUNDS, Measured, noise_to_remove, notes, upscale_plan, upscaled_channels
from napari_genrecon.tasks.upscale_z.axial_training import SMALLEST_SIDE, AxialTrainer, train_axial
from napari_genrecon.tasks.upscale_z.axial_views import AxialUpscale
from napari_genrecon.tasks.upscale_z.fine_tune_cache import TRAINING_WORK, is_cached
from napari_genrecon.tasks.upscale_z.options import UpscaleZOptions

__all__ = ["check_stack", "plan_axial", "work_along_z"]

_SMALLEST, _LARGEST = min(FACTORS), max(FACTORS)
_VIEWS = 2  # every voxel goes through the network as part of an XZ and of a YZ plane
_DEEPEST = 64  # planes of a tile, to fit into memory; stacks up to twice as deep are not cut, which saves the halo
_TILE = 256  # largest tile side in pixels: the halo of 17 is little work beside it, and larger tiles need more memory
_BYTES_PER_VOXEL = 24  # bytes of a tile's result: both views, their mean, the corrected and the final stack, as floats


def plan_axial(
    source: ImageArray, options: UpscaleZOptions, measured: Measured, *, later: bool
) -> Generator[Progress, None, Plan]:
    """Train on the stack and plan how to enlarge it along z.

    Parameters
    ----------
    source : array_like
        The stack.
    options : UpscaleZOptions
        Options of the task.
    measured : Measured
        Axes, crops and noise of the stack.
    later : bool
        Whether the stack is enlarged right after the training, so that progress must count it.
    """
    factor, said = _factor_along_z(options)
    device = resolve_device(options.device)
    spec, noise = _start(options), noise_to_remove(measured.noise, options)
    # In pixels that go through the network, like the work of the training.
    after = _VIEWS * source.size if later else 0
    fine_tuned, before = yield from train_axial(
        AxialTrainer(spec, options, factor, device), measured.sampled, noise, after
    )
    # No denoiser runs before this network: it removes all of the noise.
    channels = upscaled_channels(measured, noise)
    rounds = ROUNDS if options.consistent else 0
    kernel = AxialUpscale(
        fine_tuned.weights, options.device, measured.axes, channels, factor, options.thickness, rounds
    )
    grid = _grid(source.shape, measured, options, spec, factor)
    return upscale_plan(
        "upscale_z",
        source,
        options,
        measured,
        kernel,
        grid=grid,
        model={**spec.facts(), "chosen": "it was trained further on this stack"},
        warnings=(*said, *notes(measured.noise, options, True), *missing_note([c.missing for c in channels])),
        facts={"seed": options.seed, "trained": fine_tuned.facts()},
        steps=partial(kernel.steps, _largest_read(grid, measured)),
        work=(before, after),
    )


def _factor_along_z(options: UpscaleZOptions) -> tuple[int, list[str]]:
    """Return how many times more planes there will be, and notes for the user.

    Raises
    ------
    OptionError
        If the voxels are hardly taller than wide.
    """
    spacing = options.spacing
    if spacing is None:
        return options.factor, []
    if round(spacing) < _SMALLEST:
        raise OptionError(
            f"upscale_z makes voxels as tall as wide, and these are {spacing:.2f} times as tall as wide: from "
            f"{_SMALLEST - 0.5} on it can help; 'upscale' enlarges the planes"
        )
    factor = min(_LARGEST, round(spacing))
    said = f"the voxels are {spacing:.3g} times as tall as wide, so there are {factor} times more planes"
    if factor < round(spacing):
        said += f"; they remain {spacing / factor:.2g} times as tall as wide"
    return factor, [said]


def work_along_z(source: ImageArray, axes: Axes, options: UpscaleZOptions) -> int:
    """Return the work in pixels that go through the network; training counts unless its result is cached."""
    check_stack(source.shape, axes, options)
    trainer = AxialTrainer(_start(options), options, _factor_along_z(options)[0], resolve_device(options.device))
    # The key reads the sampled planes of the image, which `is_cached` asks for only if there is a cached training.
    training = (
        0 if is_cached(lambda: trainer.key(sample_channels(source, axes))) else TRAINING_WORK * options.train_steps
    )
    region = region_of(options.region, axes, source.shape)
    share = 1.0 if region is None else math.prod(part.stop - part.start for part in region) / source.size
    return training + round(_VIEWS * share * source.size)


def check_stack(shape: tuple[int, ...], axes: Axes, options: UpscaleZOptions) -> None:
    """Refuse what cannot be upscaled along z.

    Raises
    ------
    ImageError
        If the image is no z-stack.
    OptionError
        If the voxels are not taller than wide.
    """
    _factor_along_z(options)
    if "Z" not in axes.letters:
        raise ImageError(
            f"upscale_z needs a z-stack, and this image has the axes {axes}: say which dimension is Z (axes), for "
            "example 'ZYX', or take 'upscale'"
        )
    planes, side = shape[axes.letters.index("Z")], min(shape[axes.y], shape[axes.x])
    if planes < 2 or side < SMALLEST_SIDE:
        raise ImageError(
            f"upscale_z needs two planes of at least {SMALLEST_SIDE} pixels a side to train on; got {planes} "
            f"planes of {shape[axes.y]} x {shape[axes.x]}: take 'upscale'"
        )


def _start(options: UpscaleZOptions) -> ModelCard:
    """Return the network to start from: if none was asked for, the one that expects denoised planes."""
    if options.model != "auto":
        return find_model(options.model, "upscale", others=False)
    return next((spec for spec in list_models("upscale") if spec.denoiser), find_model("auto", "upscale"))


def _grid(
    shape: tuple[int, ...], measured: Measured, options: UpscaleZOptions, spec: ModelCard, factor: int
) -> TileGrid:
    """Return the tiles, with a halo along Z, Y and X; a stack that is not deep is not cut along Z."""
    axes = measured.axes
    # Only along Z: slicing and its back-projection leave Y and X alone.
    reach = ROUNDS * BACK_PROJECTION_REACH if options.consistent else 0
    z = axes.letters.index("Z")
    # Each plane of a halo is computed twice; a stack in one piece needs none.
    depth = shape[z] if shape[z] <= 2 * _DEEPEST else _DEEPEST
    height, width = _sides(shape, measured, options, spec, depth * factor)
    tile, halo, scale = (
        tuple({"Z": a, "Y": b, "X": c}.get(letter, other) for letter in axes.letters)
        for a, b, c, other in (
            (depth, height, width, 1),
            (spec.halo.x + reach, spec.halo.y, spec.halo.x, 0),
            (factor, 1, 1, 1),
        )
    )
    return TileGrid(shape=tuple(shape), tile=tile, halo=halo, scale=scale, stride=(1,) * len(shape))


def _sides(
    shape: tuple[int, ...], measured: Measured, options: UpscaleZOptions, spec: ModelCard, depth: int
) -> tuple[int, int]:
    if options.tile is not None:
        # A stride of 1: the network looks at side views, and any cut along Y and X does.
        return check_tile(options.tile, 1)
    axes = measured.axes
    return fit_tile(
        (shape[axes.y], shape[axes.x]),
        halo=spec.halo.x,
        stride=1,
        bytes_per_pixel=_BYTES_PER_VOXEL * depth,
        budget=free_memory(resolve_device(options.device)) // MEMORY_SHARE,
        # `fit_tile` counts the halo, `_TILE` does not.
        max_pixels=(_TILE + 2 * spec.halo.x) ** 2,
    )


def _largest_read(grid: TileGrid, measured: Measured) -> tuple[int, int, int]:
    """Return how many pixels (Z, Y, X) the largest tile reads, halo included."""

    def read(letter: str) -> int:
        i = measured.axes.letters.index(letter)
        return min(max(grid.chunks[i]) + 2 * grid.halo[i], grid.shape[i])

    return read("Z"), read("Y"), read("X")
