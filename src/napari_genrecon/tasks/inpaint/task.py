"""Inpaint: fill in masked pixels and change no other.

The masked pixels of every plane are filled by a network that corrects a smooth fill, by plug-and-play with the bundled
denoiser (see `tasks.inpaint.fill`) or by scikit-image's biharmonic equation. A plane of a stack that is masked as a
whole is mixed from its neighbours. All constants are found once per channel, on a crop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import ImageArray, ImageLike, as_numpy
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.intensity import as_plane
from napari_genrecon.engine.lazy import is_lazy, lazy_stack, lazy_tiles
from napari_genrecon.engine.memory import allocate
from napari_genrecon.engine.run import Progress, Tiled, finish, map_progress, run_tiles
from napari_genrecon.tasks.given import given_image, given_mask
from napari_genrecon.tasks.inpaint.cost import PROBE, search_seconds, seconds_per_filled, steps_per_pixel
from napari_genrecon.tasks.inpaint.damage import detect_damage
from napari_genrecon.tasks.inpaint.options import InpaintOptions
from napari_genrecon.tasks.inpaint.plan import (
    InpaintPlan,
    chosen_method,
    find_spec,
    fitted_mask,
    make_grid,
    plan_inpaint,
)
from napari_genrecon.tasks.inpaint.planes import pixels_computed
from napari_genrecon.tasks.measure import Noise, as_source
from napari_genrecon.tasks.plan import borrowed, tell_planes
from napari_genrecon.tasks.region import cut
from napari_genrecon.tasks.task import Result

__all__ = ["expected_seconds", "inpaint", "inpaint_steps"]


def inpaint(
    image: ImageLike,
    mask: ImageLike | None = None,
    *,
    method: str = "auto",
    detect: str = "",
    n: int = 1,
    seed: int = 0,
    noise: Noise | float | None = None,
    model: str = "auto",
    axes: str | None = None,
    tile: int | tuple[int, int] | None = None,
    device: str = "auto",
    precision: str = "auto",
    keep_dtype: bool = False,
    region: str | tuple[Any, ...] | None = None,
    whole: bool = False,
) -> ImageArray:
    """Fill in masked or damaged pixels, and leave every other pixel as it is.

    Parameters
    ----------
    image : (..., Y, X) or (..., Y, X, S) array_like, or an image layer of napari
        Any real dtype; of a layer, its pixels and axes.
        NaN and infinite pixels outside the mask stay as they are and are treated as unknown. The alpha channel of an
        RGBA image is copied.
    mask : array_like, or a labels or image layer of napari
        Pixels to fill in are not 0. It has the image's shape, the same without the colours (S), or the shape of a YX
        plane (then it holds for all planes), and is held in memory, a byte per pixel. A plane that is masked as a whole
        is mixed from the nearest planes along T, else Z, of which at least a tenth is known. Along T a drift of the
        whole frame is followed; what moves by itself appears twice, faintly. If there is such a plane on one side only,
        that one is taken.
    method : {"auto", "network", "pnp", "biharmonic"}
        A network that was trained to fill in, plug-and-play with the denoiser as the prior, or scikit-image's
        biharmonic equation. ``"auto"`` takes the better of the first two, found by filling known pixels that it hides
        on a crop of each channel, and plug-and-play if `n` is more than 1; the record says which.
    detect : str
        Kinds of damage to find and fill besides the mask, separated by commas; see `detect_damage`. The whole image is
        read for it.
    n : int
        Number of fillings. 1 gives the best estimate; more gives as many plausible fillings, which differ inside the
        mask only. ``result.std(axis=0)``, their spread, is a lower bound of the error: they differ less than they miss
        the truth. The layer of the spread is scaled to the error at known pixels that were hidden, and the record holds
        the factors (``spread``). (Planes missing as a whole are the same in all.)
    seed : int
        Seed of the fillings if `n` is more than 1.
    noise : NoiseModel, tuple of NoiseModel, float or None
        Noise of the known pixels: a model (or one per channel), or the s.d. of white noise in grey values. None
        measures it. Filled pixels have no noise.
    model : str
        A name that ``list_models("inpaint")`` lists (plug-and-play: ``list_models("denoise")``), or ``"auto"``.
    axes : str, optional
        One letter per dimension, such as ``"TCYX"``; inferred from the shape if not given (see `napari_genrecon.axes`).
    tile : int, optional
        Side of a tile in pixels; chosen from the free memory if not given. A tile without a masked pixel is copied.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    precision : {"auto", "float32"}
        Number format of the networks; see `denoise`.
    keep_dtype : bool
        Round and clip the filled pixels to the input's dtype; a `GenReconWarning` tells how many were clipped (64-bit
        integers: not counted).

    region : str or tuple of slice and int, optional
        Work on a part of the image only: ``"T=0:10, Y=100:300, X=50:250"``, ``"C=1"``, or one slice or index for each
        dimension. The pixels equal those of the whole result: what lies around the region is read, too, and what is
        measured is measured on the whole image. No dimension is dropped.
    whole : bool
        Return a copy of the whole image in which only the region is changed.

    Returns
    -------
    ndarray or dask.array.Array
        Image of the input's shape (behind a first dimension of length `n` if that is more than 1), in its grey values,
        float32 unless `keep_dtype`; float64 for float64 and 32-bit integers, and 64-bit integers as they are, as no
        float holds them. Pixels outside the mask are those of the input bit by bit.
        A NumPy image (memmap included) gives a NumPy array; any other gives a lazy dask array.

    Raises
    ------
    ImageError
        If the image or the mask does not fit, or nothing is known to fill from.
    OptionError, UnknownModelError
        If an option cannot work.
    WeightsError, MissingPackageError
        If the model cannot be loaded.

    Notes
    -----
    Steps and sampling follow Zhang et al. (IEEE TPAMI 44, 2022) and Kadkhodaie & Simoncelli (NeurIPS 2021); see
    `tasks.inpaint.fill` for what is different here.

    Examples
    --------
    >>> import numpy as np
    >>> y, x = np.indices((64, 64))
    >>> clean = 100 + 20 * np.sin(x / 5) * np.cos(y / 7)
    >>> mask = np.random.default_rng(0).random(clean.shape) < 0.3
    >>> filled = inpaint(np.where(mask, 0, clean), mask, noise=0.1)
    >>> bool(np.abs(filled - clean).max() < 5)
    True
    """
    given = given_image(image, axes)
    options = InpaintOptions(
        mask=given_mask(mask),
        method=method,
        detect=detect,
        n=n,
        seed=seed,
        noise=noise,
        model=model,
        axes=given.axes,
        tile=tile,
        device=device,
        precision=precision,
        keep_dtype=keep_dtype,
        region=region,
        whole=whole,
    )
    result = finish(inpaint_steps(given.pixels, options))
    result.warn()
    return result.data


def inpaint_steps(
    image: ImageArray, options: InpaintOptions, *, lazy: bool | None = None
) -> Generator[Progress, None, Result]:
    """Run `inpaint` step by step.

    Parameters
    ----------
    image, options
        See `inpaint`.
    lazy : bool, optional
        Return a dask array and compute nothing now. By default only for images that are not NumPy arrays.

    Yields
    ------
    Progress
        While the constants are found, and after every run of the network.

    Returns
    -------
    Result
        The pixels and the record of how they were made.
    """
    started = time.perf_counter()
    yield Progress(0, 0, "preparing")
    # The plan is of the region already; measured was the whole image.
    plan = yield from plan_inpaint(as_source(image), options)
    common = plan.common
    if is_lazy(common.source) if lazy is None else lazy:
        # Only integers are rounded, and only if a float holds what they are made from.
        unrounded = _lazy_samples(plan, None) if plan.counts and common.dtype.kind in "iu" else None
        tiles = (plan.kernels[0], common.source, common.grid)
        data = _lazy_samples(plan, common.dtype)
        made = Result(data, plan.out_axes, common.record(), unrounded=unrounded, tiles=tiles, limits=plan.limits)
        return common.placed(made)
    with borrowed(common.device):
        tiled = yield from _compute(plan)
    companions: dict[str, NDArray[Any]] = {"filled pixels": plan.filled}
    if options.n > 1:
        companions["spread"] = _spread(tiled.array, plan)
    record = common.record(tiled, time.perf_counter() - started)
    return common.placed(Result(tiled.array, plan.out_axes, record, companions, limits=plan.limits))


def _spread(samples: NDArray[Any], plan: InpaintPlan) -> NDArray[np.float32]:
    """Return the s.d. of the fillings, scaled in every channel to the error at known pixels that were hidden."""
    spread = np.asarray(samples.std(axis=0), np.float32)  # narrowed only now, so that equal values give 0
    axis, channels = plan.common.axes.channel, plan.kernels[0].channels
    if axis is None:
        return spread * np.float32(channels[0].spread)
    of_channels = np.moveaxis(spread, axis, 0)  # a view; an alpha channel comes last and has no fillings
    for index, channel in enumerate(channels):
        of_channels[index] *= np.float32(channel.spread)
    return spread


def _lazy_samples(plan: InpaintPlan, dtype: np.dtype[Any] | None) -> Any:
    samples = [lazy_tiles(kernel, plan.common.source, plan.common.grid, dtype) for kernel in plan.kernels]
    return samples[0] if len(samples) == 1 else lazy_stack(samples)


def _compute(plan: InpaintPlan) -> Generator[Progress, None, Tiled]:
    """Compute all samples one after the other into one array; return it with the last tile size."""
    common, count = plan.common, len(plan.kernels)
    each = _steps(plan)
    # Progress counts the same steps for every tile: those of the channel that takes most.
    steps, per_pixel = max(each, key=len), [sum(steps) for steps in each]
    works = (partial(kernel.work, per_pixel=per_pixel) for kernel in plan.kernels)
    runs = (
        run_tiles(kernel, common.source, common.grid, common.dtype, steps=steps, work=work, ahead=common.ahead)
        for kernel, work in zip(plan.kernels, works, strict=True)
    )
    if count == 1:
        # Without the copy that several samples need.
        return (yield from tell_planes(next(runs), common.n_planes))
    out, clipped, nan = allocate((count, *common.grid.out_shape), common.dtype), 0, 0
    for index, run in enumerate(runs):
        tiled = yield from map_progress(run, partial(_of_samples, index, count))
        out[index], clipped, nan = tiled.array, clipped + tiled.clipped, nan + tiled.nan
    return Tiled(out, clipped, tiled.tile, nan)


def _steps(plan: InpaintPlan) -> list[list[float]]:
    """Return how long each step of a tile takes per pixel, for every channel."""
    kernel, device = plan.kernels[0], plan.common.options.device
    if kernel.denoiser is None:
        # The biharmonic equation yields once and is solved in one step; only shares matter.
        return [[0.0, 1.0]] * len(kernel.channels)
    drawn = len(plan.kernels) > 1
    return [
        steps_per_pixel("network", device)
        if recipe is None
        else steps_per_pixel("pnp", device, len(recipe.levels) if drawn else recipe.best)
        for recipe in (channel.recipe for channel in kernel.channels)
    ]


def _of_samples(index: int, count: int, progress: Progress) -> Progress:
    """Count the steps of all samples as one run."""
    note = f"sample {index + 1} of {count}"
    done, total = index * progress.total + progress.done, count * progress.total
    note = f"{note}; {progress.note}" if progress.note else note
    return Progress(done, total, note, (index + progress.fraction) / count)


def expected_seconds(image: ImageArray, options: InpaintOptions) -> float:
    """Return how long `inpaint` will take for this image on this machine, in seconds.

    If damage is to be detected, all pixels count as damaged. The first call loads the network and takes about a second.
    """
    source = as_source(image)
    axes = resolve_axes(options.axes, source.shape)
    method, spec = chosen_method(options), find_spec(options)
    mask = None if options.mask is None else fitted_mask(np.asarray(options.mask), source.shape, axes)
    detecting = _detecting_seconds(source, axes, options) if options.detect else 0.0
    if spec is None:
        filled = source.size if mask is None else np.count_nonzero(np.broadcast_to(mask, source.shape))
        return float(detecting + filled * seconds_per_filled())
    grid = cut(make_grid(source.shape, axes, replace(options, mask=None), spec), options, axes)
    pixels = grid.pixels_read
    if mask is not None and not options.detect:
        whole = np.broadcast_to(mask, source.shape)
        pixels = sum(pixels_computed(whole, tile, axes, grid.halo[axes.y], spec.stride.x) for tile in grid.tiles())
    # Which of the two "auto" will take is not known yet: the geometric mean is wrong by the same factor either way.
    either = ("network", "pnp") if method == "auto" else (method,)
    per_pixel = math.prod(sum(steps_per_pixel(one, options.device)) for one in either) ** (1 / len(either))
    search = axes.n_channels(source.shape) * search_seconds(method, options.device, options.n)
    return float(detecting + search + options.n * pixels * per_pixel)


def _detecting_seconds(source: ImageArray, axes: Axes, options: InpaintOptions) -> float:
    """Return the seconds of detecting damage in the whole image, from the time of a small part."""
    part = as_plane(as_numpy(source[tuple(slice(0, n) for n in axes.spread(PROBE, PROBE, 1))]), axes)
    started = time.perf_counter()
    detect_damage(part, kinds=options.detect, axes="YX")
    return (time.perf_counter() - started) * source.size / part.size
