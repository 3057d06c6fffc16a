"""Upscale: enlarge every plane by a network, free of noise if it is noisy, and say how well the result fits the image.

The network adds detail to a bicubic enlargement (see `models.srnet`). What it adds is the most likely detail, not a
measured one: the record says how closely the result, shrunk again, agrees with the image, and `consistent` makes it
agree. Along z, a network is trained for the very stack first (see `training.isotropic`).
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from napari_genrecon.arrays import ImageArray, ImageLike
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.lazy import is_lazy
from napari_genrecon.engine.run import Progress, finish, retold, run_tiles
from napari_genrecon.models import ModelSpec, find_model, load_upscaler
from napari_genrecon.tasks.given import given_image
from napari_genrecon.tasks.measure import Noise, as_source
from napari_genrecon.tasks.plan import lazy_result, plan_grid, tell_planes
from napari_genrecon.tasks.task import Result
from napari_genrecon.tasks.upscale.consistency import ConsistencyAudit
from napari_genrecon.tasks.upscale.options import UpscaleOptions
from napari_genrecon.tasks.upscale.plan import UpscalePlan, geometry, measure, plan_planes
from napari_genrecon.tasks.upscale.planes import VIEWS
from napari_genrecon.tasks.upscale_z.plan import plan_sides, work_along_z

__all__ = ["UpscaleOptions", "expected_seconds", "upscale", "upscale_steps"]


def upscale(
    image: ImageLike,
    *,
    factor: int = 2,
    along: str = "YX",
    noise: Noise | float | None = None,
    model: str = "auto",
    consistent: bool = False,
    self_ensemble: bool = False,
    spacing: float | None = None,
    thickness: float = 1.0,
    train_steps: int = 150,
    seed: int = 0,
    axes: str | None = None,
    tile: int | tuple[int, int] | None = None,
    device: str = "auto",
    keep_dtype: bool = False,
) -> ImageArray:
    """Enlarge an image, with sharper edges and finer detail than interpolation gives.

    The result covers the same field of view. Where a pixel of the image measured ``scale``, one of the result measures
    ``scale / factor``, and the centre of its first pixel lies ``(scale / factor - scale) / 2`` from where that of the
    image lay: see `upscaled_transform`.

    Parameters
    ----------
    image : (..., Y, X) or (..., Y, X, S) array_like, or an image layer of napari
        Any real dtype; of a layer, its pixels, axes and voxel size.
        Every YX plane is enlarged by itself, and so is every colour. A NaN or infinite pixel becomes
        ``factor**2`` such pixels, and so does one of the alpha channel of an RGBA image.
    factor : {2, 3, 4}
        How many times more pixels along Y and along X; no other dimension changes. With ``along="Z"``, how many times
        more planes, where `spacing` does not say it.
    along : {"YX", "Z"}
        ``"Z"`` gives a z-stack more planes and leaves Y and X as they are: a network is trained on the planes of the
        stack, which show what sharp voxels look like, and looks at the stack from both sides. It takes minutes.
    noise : NoiseModel, tuple of NoiseModel, float or None
        A noise model (or one per channel), or the s.d. of white noise in grey values. None measures it from the image;
        0 says that there is none.
    model : str
        A name that `list_models` lists, or ``"auto"``: for a noisy image the one that removes the noise on the way,
        for all others the sharper one; the record says which, and why. Measured noise that is correlated is fine
        texture as often as not: ``"auto"`` leaves it in.
    consistent : bool
        Correct the result by back-projection until, shrunk again by the rule of `numerics.resample` (along z, of
        `numerics.slices`), it gives the image back. What noise the image has then comes back as well.
    self_ensemble : bool
        Average the results of eight turned and mirrored views of every plane; eight times slower. Not along z.
    spacing : float, optional
        Along z: the distance of two planes in pixels, 1.5 or more. The factor is this rounded, 4 at most. From the
        voxel size of a file or layer where there is one.
    thickness : float
        Along z: full width at half maximum of what one plane shows, in distances of planes; 0.3 to 3.
    train_steps, seed : int
        Along z: how long the network is trained, and what decides the order of what it sees. On the
        same machine, with as many threads, the same seed gives the same pixels. The last trainings are kept in memory:
        the same planes and options are not learnt twice.
    axes : str, optional
        One letter per dimension, such as ``"TCYX"``; inferred from the shape if not given (see `napari_genrecon.axes`).
    tile : int, optional
        Side of a tile in pixels of the image; chosen from the free memory if not given. Does not change the result.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    keep_dtype : bool
        Round and clip the result to the input's dtype; a `GenReconWarning` tells how many pixels were clipped.

    Returns
    -------
    ndarray or dask.array.Array
        Of shape ``(..., Y * factor, X * factor)``, or ``(..., Z * factor, Y, X)`` along z, in the grey values of the
        input, float32 unless `keep_dtype`. A NumPy image (memmap included) gives a NumPy array; any other gives a lazy
        dask array.

    Raises
    ------
    ImageError
        If the image is empty, not real, has no finite pixel, or does not fit the axes.
    OptionError, UnknownModelError
        If an option cannot work.
    WeightsError, MissingPackageError
        If the model cannot be loaded.

    Examples
    --------
    >>> import numpy as np
    >>> upscale(np.full((3, 20, 30), 7), factor=3).shape
    (3, 60, 90)
    """
    given = given_image(image, axes)
    options = UpscaleOptions(
        factor=factor,
        along=along,
        noise=noise,
        model=model,
        consistent=consistent,
        self_ensemble=self_ensemble,
        spacing=spacing,
        thickness=thickness,
        train_steps=train_steps,
        seed=seed,
        axes=given.axes,
        tile=tile,
        device=device,
        keep_dtype=keep_dtype,
    )
    result = finish(upscale_steps(given.pixels, given.calibrate(options)))
    result.warn()
    return result.data


def upscale_steps(
    image: Any, options: UpscaleOptions, *, lazy: bool | None = None
) -> Generator[Progress, None, Result]:
    """The same as `upscale`, step by step.

    Parameters
    ----------
    image, options
        As for `upscale`.
    lazy : bool, optional
        Whether to return a dask array of which nothing has been computed, rather than compute it now. By default
        only for images that are not NumPy arrays.

    Yields
    ------
    Progress
        After the noise was measured and after every tile.

    Returns
    -------
    Result
        The pixels and the record of how they were made.
    """
    started = time.perf_counter()
    yield Progress(0, 0, "measuring the noise" if options.noise is None else "preparing")
    source = as_source(image)
    wait = is_lazy(source) if lazy is None else lazy
    plan = yield from _plan(source, options, later=not wait)
    axes = plan.measured.axes
    if wait:
        return lazy_result(plan.kernel, plan.source, plan.grid, plan.dtype, axes, plan.record())
    audit = ConsistencyAudit(plan.kernel, axes, len(plan.kernel.channels))
    steps = run_tiles(audit, plan.source, plan.grid, plan.dtype, steps=plan.steps)
    tiled = yield from retold(tell_planes(steps, axes.n_planes(plan.source.shape)), plan.of_all)
    return Result(tiled.array, axes, plan.record(tiled, audit, time.perf_counter() - started))


def _plan(source: Any, options: UpscaleOptions, *, later: bool) -> Generator[Progress, None, UpscalePlan]:
    measured = measure(source, options)
    if options.along == "Z":
        return (yield from plan_sides(source, options, measured, later=later))
    plan = plan_planes(source, options, measured)
    spec = find_model(plan.model["name"], "upscale")
    yield Progress(0, 0, f"loading {spec.name}")
    load_upscaler(spec, options.device)
    return plan


def expected_seconds(image: Any, options: UpscaleOptions) -> float:
    """How long `upscale` will take for this image on this machine, from the time of one small tile.

    The first call loads the network and takes about a second. What was learnt before counts as done.
    """
    source = as_source(image)
    axes = resolve_axes(options.axes, source.shape)
    spec = find_model(options.model, "upscale")
    per_pixel = load_upscaler(spec, options.device).seconds_per_pixel()
    if options.along == "Z":
        return per_pixel * work_along_z(source, axes, options)
    return per_pixel * _work_of_planes(source, axes, spec, options)


def _work_of_planes(source: Any, axes: Axes, spec: ModelSpec, options: UpscaleOptions) -> float:
    """Pixels that could go through the network in the time that all planes take."""
    planned = geometry(spec, options)
    grid = plan_grid(source.shape, axes, planned, tile=options.tile, device=options.device)
    views = len(VIEWS) if options.self_ensemble else 1
    return float(views * source.size * grid.read_share * planned.work / spec.work)
