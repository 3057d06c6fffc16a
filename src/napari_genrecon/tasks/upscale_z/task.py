"""Upscale z: give a stack more planes.

A network is trained on the planes of the stack, which are sharp along both sides (see `training.adapt.axial`), and then
enlarges the XZ and YZ planes of the stack.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from napari_genrecon.arrays import ImageArray, ImageLike
from napari_genrecon.axes import resolve_axes
from napari_genrecon.engine.lazy import is_lazy
from napari_genrecon.engine.run import Progress, finish
from napari_genrecon.models import find_model, load_network
from napari_genrecon.tasks.given import given_image
from napari_genrecon.tasks.measure import Noise, as_source
from napari_genrecon.tasks.task import Result
from napari_genrecon.tasks.upscale.plan import measure, run_audited
from napari_genrecon.tasks.upscale_z.options import UpscaleZOptions
from napari_genrecon.tasks.upscale_z.plan import check_stack, plan_axial, work_along_z

__all__ = ["expected_seconds", "upscale_z", "upscale_z_steps"]


def upscale_z(
    image: ImageLike,
    *,
    factor: int = 2,
    noise: Noise | float | None = None,
    model: str = "auto",
    consistent: bool = False,
    spacing: float | None = None,
    thickness: float = 1.0,
    train_steps: int = 150,
    seed: int = 0,
    axes: str | None = None,
    tile: int | tuple[int, int] | None = None,
    device: str = "auto",
    keep_dtype: bool = False,
    region: str | tuple[Any, ...] | None = None,
) -> ImageArray:
    """Give a z-stack more planes, so that its voxels are as tall as wide.

    It takes minutes: a network is trained on the stack first (Zhao et al., "SMORE", IEEE Trans. Med. Imaging 2021). The
    last trainings are kept in memory: a second run with the same planes and options does not train again.

    Parameters
    ----------
    image : (..., Z, Y, X) array_like, or an image layer of napari
        Any real dtype; of a layer, its pixels, axes and voxel size. Every channel and time point is enlarged by itself;
        Y and X stay as they are.
    factor : {2, 3, 4}
        How many times more planes, where `spacing` does not say it.
    noise : NoiseModel, tuple of NoiseModel, float or None
        A noise model (or one per channel), or the s.d. of white noise in grey values. None measures it from the image;
        0 says that there is none. Noise is removed, unless it was measured and is correlated.
    model : str
        The upscaler whose weights the training starts from; a name that `list_models` lists, or ``"auto"``.
    consistent : bool
        Correct the result by back-projection until, averaged again by the rule of `numerics.slices`, it gives the image
        back. The noise of the image then comes back as well.
    spacing : float, optional
        Distance of two planes in pixels, 1.5 or more; by default from the voxel size of the layer, if it has one. It
        replaces `factor`, which becomes this rounded, 4 at most.
    thickness : float
        Thickness of the layer that one plane shows (full width at half maximum), in distances of planes; 0.3 to 3.
    train_steps : int
        Steps of training.
    seed : int
        Seed of the training batches. On the same machine, with as many threads, the same seed gives the same pixels.
    axes : str, optional
        One letter per dimension, such as ``"TCZYX"``; inferred from the shape if not given.
    tile : int, optional
        Side of a tile in pixels of the image; chosen from the free memory if not given. Does not change the result.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    keep_dtype : bool
        Round and clip the result to the input's dtype; a `GenReconWarning` tells how many pixels were clipped.

    region : str or tuple of slice and int, optional
        Work on a part of the image only: ``"T=0:10, Y=100:300, X=50:250"``, ``"C=1"``, or one slice or index for each
        dimension, in pixels of the image. The pixels equal those of the whole result: what lies around the region is
        read, too, and what is measured is measured on the whole image. No dimension is dropped.

    Returns
    -------
    ndarray or dask.array.Array
        Stack of shape ``(..., Z * factor, Y, X)``, in the grey values of the input, float32 unless `keep_dtype`. A
        NumPy image (memmap included) gives a NumPy array; any other gives a lazy dask array, for which only the network
        is trained now.

    Raises
    ------
    ImageError
        If the image is no stack, is too small, flat, empty, not real, or does not fit the axes.
    OptionError, UnknownModelError
        If an option cannot work, or the voxels are not taller than wide.
    WeightsError, MissingPackageError
        If the model cannot be loaded.

    Examples
    --------
    >>> import numpy as np
    >>> stack = np.random.default_rng(0).random((3, 24, 24))
    >>> upscale_z(stack, factor=2, noise=0, train_steps=0).shape
    (6, 24, 24)
    """
    given = given_image(image, axes)
    options = UpscaleZOptions(
        factor=factor,
        noise=noise,
        model=model,
        consistent=consistent,
        spacing=spacing,
        thickness=thickness,
        train_steps=train_steps,
        seed=seed,
        axes=given.axes,
        tile=tile,
        device=device,
        keep_dtype=keep_dtype,
        region=region,
    )
    result = finish(upscale_z_steps(given.pixels, given.calibrate(options)))
    result.warn()
    return result.data


def upscale_z_steps(
    image: ImageArray, options: UpscaleZOptions, *, lazy: bool | None = None
) -> Generator[Progress, None, Result]:
    """Run `upscale_z` step by step.

    Parameters
    ----------
    image, options
        See `upscale_z`.
    lazy : bool, optional
        Return a dask array and compute only the training now. By default only for images that are not NumPy arrays.

    Yields
    ------
    Progress
        After the noise was measured, after every step of the training and after every tile.

    Returns
    -------
    Result
        The pixels and the record of how they were made.
    """
    started, source = time.perf_counter(), as_source(image)
    # What cannot be done is refused before the noise is measured and a network trained.
    check_stack(source.shape, resolve_axes(options.axes, source.shape), options)
    yield Progress(0, 0, "measuring the noise" if options.noise is None else "preparing")
    wait = is_lazy(source) if lazy is None else lazy
    # The training is part of the plan: a lazy result has its network before it is returned.
    plan = yield from plan_axial(source, options, measure(source, options), later=not wait)
    return (yield from run_audited(plan, lazy=wait, started=started))


def expected_seconds(image: ImageArray, options: UpscaleZOptions) -> float:
    """Return how long `upscale_z` will take for this image on this machine, from the time of one small tile.

    The first call loads the network and takes about a second. A cached training takes no time.
    """
    source = as_source(image)
    axes = resolve_axes(options.axes, source.shape)
    # Networks of others are refused: they cannot be trained further here.
    spec = find_model(options.model, "upscale", others=False)
    return load_network(spec, options.device).seconds_per_pixel() * work_along_z(source, axes, options)
