"""Predict: make the image that a trained model learnt to make of others, such as another stain, or a sharper image."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import ImageArray, ImageLike
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.lazy import is_lazy
from napari_genrecon.engine.run import Progress, finish
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.models import ModelCard, find_model, load_network, resolve_device
from napari_genrecon.noise.model import LEVELS
from napari_genrecon.tasks import find_task
from napari_genrecon.tasks.given import given_image
from napari_genrecon.tasks.measure import as_source, input_facts, sample_channels
from napari_genrecon.tasks.model_fit import note_on_pixels
from napari_genrecon.tasks.plan import Plan, plan_grid, run_plan
from napari_genrecon.tasks.predict.options import PredictOptions
from napari_genrecon.tasks.predict.planes import ByPlaces, PredictPlanes
from napari_genrecon.tasks.region import cut, region_of, region_text
from napari_genrecon.tasks.task import Result

__all__ = ["expected_seconds", "predict", "predict_steps"]

_TASK = "predict"
_INFERRED = "the result shows what was inferred from other images, not measured: see how good that is on held-out pairs"
_BEYOND = 0.25  # of the range of the training: further out, the network has seen nothing like it
_NARROW = 0.1  # of that range that an image must span: with less light, it shows little of what was learnt from


def predict(
    image: ImageLike,
    *,
    model: str = "auto",
    pixel_size: float | None = None,
    axes: str | None = None,
    tile: int | tuple[int, int] | None = None,
    device: str = "auto",
    keep_dtype: bool = False,
    region: str | tuple[Any, ...] | None = None,
) -> ImageArray:
    """Make the image that a model learnt to make of others: another stain, or a sharper image.

    Parameters
    ----------
    image : (..., Y, X) or (..., C, Y, X) array_like, or an image layer of napari
        Any real dtype, with the channels that the model was trained on, in their order and in their grey values.
        Where a channel is NaN or infinite, the result is NaN. The alpha channel of RGBA is left out.
    model : str
        A model that was trained with the recipe image to image, by `train`; ``"auto"`` takes the only one there is.
        One that was trained on stacks makes each plane from those above and below it, too, and needs a Z in the image.
    pixel_size : float, optional
        Side of a pixel in micrometres, only to tell whether the model fits; that of the layer if not given.
    axes : str, optional
        One letter per dimension, such as ``"TCYX"``; inferred from the shape if not given (see `napari_genrecon.axes`).
    tile : int or (int, int), optional
        Side of a tile in pixels, or height and width; chosen from the free memory if not given, as are its planes for a
        model that was trained on stacks. Does not change the result.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    keep_dtype : bool
        Round and clip the result to the input's dtype; a `GenReconWarning` tells how many pixels were clipped.
    region : str or tuple of slice and int, optional
        Work on a part of the image only: ``"T=0:10, Y=100:300, X=50:250"``, or one slice or index for each dimension.
        The pixels equal those of the whole result. The channels are predicted together: all are taken.

    Returns
    -------
    ndarray or dask.array.Array
        float32 unless `keep_dtype`, in the grey values of the targets that were trained on, with their channels. Of an
        image without a channel dimension, several channels become a new first one. A NumPy image gives a NumPy array;
        any other gives a lazy dask array.

    Raises
    ------
    ImageError
        If the image has other channels than those that the model was trained on, lacks the Z that it needs, or does not
        fit the axes.
    OptionError, UnknownModelError
        If an option cannot work, or there is no such model.
    WeightsError
        If the model cannot be loaded.
    """
    # A layer brings axes and pixel size along.
    given = given_image(image, axes)
    options = PredictOptions(
        model=model,
        pixel_size=pixel_size,
        axes=given.axes,
        tile=tile,
        device=device,
        keep_dtype=keep_dtype,
        region=region,
    )
    result = finish(predict_steps(given.pixels, given.calibrate(options)))
    result.warn()
    return result.data


def predict_steps(
    image: ImageArray, options: PredictOptions, *, lazy: bool | None = None
) -> Generator[Progress, None, Result]:
    """Run `predict` step by step.

    Parameters
    ----------
    image, options
        As for `predict`.
    lazy : bool, optional
        Whether to return a dask array of which nothing has been computed; by default only for images that are not
        NumPy arrays.

    Yields
    ------
    Progress

    Returns
    -------
    Result
    """
    started = time.perf_counter()
    yield Progress(0, 0, "preparing")
    source = as_source(image)
    plan = _plan(source, options)
    yield Progress(0, 0, "loading the network")
    # Loaded here for its errors and its progress; the tiles get it from the cache.
    load_network(find_model(plan.options.model, _TASK), options.device)
    result = yield from run_plan(plan, lazy=is_lazy(source) if lazy is None else lazy, started=started)
    # The region is that of the input, which lacks the dimension that the result has gained.
    new = len(plan.axes) - source.ndim
    return replace(result, region=None if result.region is None else result.region[new:])


def expected_seconds(image: ImageArray, options: PredictOptions) -> float:
    """Return how long `predict` will take for this image on this machine, from the time of one small tile."""
    plan = _plan(as_source(image), options)
    network = load_network(find_model(plan.options.model, _TASK), options.device)
    # The network takes all channels at once: its pixels are those of one channel of the result.
    pixels = cut(plan.grid, plan.options, plan.axes).pixels_read / plan.axes.n_channels(plan.grid.shape)
    return pixels * network.seconds_per_pixel()


def _plan(source: Any, options: PredictOptions) -> Plan:
    axes = resolve_axes(options.axes, source.shape)
    spec = find_task(_TASK).card(options.model)
    _check_channels(source, axes, spec)
    sampled = sample_channels(source, axes)
    seen = ByPlaces(source, axes, len(spec.result_low))
    # For the record and the size of tiles. `PredictPlanes` gets the option: other processes resolve it themselves.
    device = resolve_device(options.device)
    return Plan(
        task=_TASK,
        nature="predicted",
        source=seen,
        axes=seen.axes,
        options=replace(options, model=spec.name, region=_region(options.region, axes, source.shape)),
        # No noise is measured, so no option of it is left out of the record.
        beside=(),
        kernel=PredictPlanes(spec, options.device, seen.axes),
        grid=_grid(seen, spec, options, device),
        dtype=source.dtype if options.keep_dtype else np.dtype(np.float32),
        noise=(),
        input=input_facts(source, sampled),
        model=spec.facts(),
        device=device,
        warnings=(_INFERRED, *spec.warnings, *_notes(spec, sampled, options.pixel_size)),
        facts={"output": {"channel_names": list(spec.result_names)}},
        steps=lambda: spec.about.parts,
    )


def _check_channels(source: Any, axes: Axes, spec: ModelCard) -> None:
    count = axes.n_channels(source.shape)
    # Alpha is left out.
    count = min(count, 3) if axes.rgb else count
    if count != spec.channels:
        raise ImageError(
            f"the image has {count} channel{'s' if count > 1 else ''} (axes {axes}), and {spec.name!r} was trained on "
            f"{spec.channels}: give those, in the same order"
        )
    # The result takes the axes of the image, and three colours cannot hold another number of channels.
    if axes.rgb and len(spec.result_low) != 3:
        raise ImageError(
            f"the image is RGB and {spec.name!r} makes {len(spec.result_low)} channels: give the image as channels "
            "(axes 'CYX')"
        )


def _region(region: Any, axes: Axes, shape: Sequence[int]) -> str | None:
    """Return a region as text without channels, which are predicted together."""
    found = region_of(region, axes, shape)
    if found is None:
        return None
    if axes.channel is not None:
        channels = found[axes.channel]
        # A region that names all channels is allowed: that is how slices are given.
        if (channels.start, channels.stop) != (0, shape[axes.channel]):
            raise OptionError("the channels of an image are predicted together: leave C out of the region")
    return region_text(found, axes, shape) or None


def _grid(seen: ByPlaces, spec: ModelCard, options: PredictOptions, device: str) -> TileGrid:
    """Return the tiles, each of which holds all channels of the result."""
    grid = plan_grid(seen.shape, seen.axes, spec, tile=options.tile, device=device)
    if seen.axes.channel is None:
        return grid
    # As long as the result along C; 1 changes no other dimension.
    whole = [seen.shape[i] if i == seen.axes.channel else 1 for i in range(len(seen.shape))]
    tile, stride = (tuple(map(max, sizes, whole)) for sizes in (grid.tile, grid.stride))
    return replace(grid, tile=tile, stride=stride)


def _notes(spec: ModelCard, sampled: Sequence[list[NDArray[Any]]], pixel_size: float | None) -> list[str]:
    """Return what the user should know about an image that is unlike those of the training."""
    found = [_on_levels(spec, channel, crops) for channel, crops in enumerate(sampled)]
    unlike = [each for each in (*found, note_on_pixels(spec, pixel_size)) if each]
    if not unlike:
        return []
    return [
        f"the image is unlike those that {spec.name!r} was trained on ({'; '.join(unlike)}): the result may be wrong"
    ]


def _on_levels(spec: ModelCard, channel: int, crops: Sequence[NDArray[Any]]) -> str:
    values = np.concatenate([crop[np.isfinite(crop)].astype(np.float64) for crop in crops])
    # The dark and the bright level, as a noise report has them, and not the extremes, which hot pixels set.
    low, high = np.quantile(values, (LEVELS[0], LEVELS[-1]))
    first, last = spec.low[channel], spec.high[channel]
    span = last - first
    if first - _BEYOND * span <= low and high <= last + _BEYOND * span and high - low >= _NARROW * span:
        return ""
    return (
        f"the grey values of channel {channel} go from {low:.4g} to {high:.4g}, theirs from {first:.4g} to {last:.4g}"
    )
