"""Deblur: undo the blur of a known point spread function without amplifying the noise.

It is plug-and-play restoration with the bundled denoiser, or Richardson-Lucy. The noise and every other constant are
measured once for the whole image; see `numerics` for the algorithms.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_genrecon.arrays import ImageArray, ImageLayer, ImageLike
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.lazy import is_lazy
from napari_genrecon.engine.run import Progress, finish
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.models import ModelCard, find_model, fourier_filter, load_network, resolve_device
from napari_genrecon.optics import MeasuredPSF, Optics
from napari_genrecon.tasks.deblur.constants import channel_constants, psf_notes
from napari_genrecon.tasks.deblur.cost import Cost, measure_cost
from napari_genrecon.tasks.deblur.grid import deblur_grid
from napari_genrecon.tasks.deblur.options import DeblurOptions
from napari_genrecon.tasks.deblur.psf import psf_array, psf_facts, psf_given_notes, psf_is_image
from napari_genrecon.tasks.deblur.tiles import DeblurTiles, Method
from napari_genrecon.tasks.given import given_image, given_psf
from napari_genrecon.tasks.measure import Noise, as_source, input_facts, noise_per_channel, sample_channels
from napari_genrecon.tasks.plan import Plan, kernel_precision, lowest_precision, read_shapes, result_dtype, run_plan
from napari_genrecon.tasks.region import cut
from napari_genrecon.tasks.task import Result

__all__ = ["ITERATIONS", "deblur", "deblur_steps", "expected_seconds"]

ITERATIONS = {"pnp": 8, "rl": 10}
"""Default iterations. For ``"rl"`` more make the result sharper and noisier, fewer leave it blurred."""


def deblur(
    image: ImageLike,
    psf: ArrayLike | Optics | MeasuredPSF | ImageLayer,
    *,
    method: Method = "pnp",
    iterations: int | None = None,
    strength: float = 1.0,
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
    """Undo the blur of a known point spread function.

    Plug-and-play restoration (Zhang et al., IEEE TPAMI 44, 2022) with the bundled denoiser, or Richardson-Lucy with
    total variation (Dey et al., Microsc. Res. Tech. 2006). Plug-and-play keeps the total light of the image.
    Richardson-Lucy has no values below its offset, so that noise in dark areas becomes light.

    Parameters
    ----------
    image : (..., Y, X) or (..., Y, X, S) array_like, or an image layer of napari
        Any real dtype; of a layer, its pixels, axes and pixel size.
        NaN and infinite pixels stay where they are and count for nothing. The alpha channel of an RGBA
        image is copied.
    psf : (Y, X) or (Z, Y, X) array_like, float, Optics, MeasuredPSF, or an image layer of napari
        The PSF. Its centre is the pixel at half its shape; it is scaled to sum 1. A symmetric PSF whose centre is up to
        1.5 px away from there, as it is if its sides are even, is moved there, so that the image does not shift.
        With two dimensions every YX plane is deblurred by itself, with three every ZYX stack. The pixels of an array
        are those of the image; a `MeasuredPSF` (and a layer) may have others and is resampled. A number is the full
        width at half maximum of a Gaussian, in pixels. For `Optics` the PSF is computed, with their own pixel size or
        that of the image layer. See `gaussian_psf` and `simulate_psf`.
    method : {"pnp", "rl"}
        Plug-and-play, or Richardson-Lucy.
    iterations : int, optional
        8 for ``"pnp"``, 10 for ``"rl"``, where more makes the result sharper and noisier.
    strength : float
        Factor on the noise s.d. that the result is guarded against, in [0.1, 2] (``"pnp"``), or on the weight of total
        variation, in [0, 2] (``"rl"``; 0 is plain Richardson-Lucy).
    noise : NoiseModel, tuple of NoiseModel, float or None
        A noise model (or one per channel), or the s.d. of white noise in grey values. None measures it from the image.
        For Richardson-Lucy its `offset` is the grey value of no light.
    model : str
        The denoiser: a name that ``list_models("denoise")`` lists, or ``"auto"``.
    axes : str, optional
        One letter per dimension, such as ``"TCYX"``; inferred from the shape if not given (see `napari_genrecon.axes`).
    tile : int, optional
        Side of a tile in pixels; chosen from the free memory if not given. Changes the result by less than 0.05 noise
        s.d.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; where the denoiser runs.
    precision : {"auto", "float32"}
        Number format of the networks; see `denoise`.
    keep_dtype : bool
        Round and clip the result to the input's dtype; a `GenReconWarning` tells how many pixels were clipped.

    region : str or tuple of slice and int, optional
        Work on a part of the image only: ``"T=0:10, Y=100:300, X=50:250"``, ``"C=1"``, or one slice or index for each
        dimension. The pixels equal those of the whole result: what lies around the region is read, too, and what is
        measured is measured on the whole image. No dimension is dropped.
    whole : bool
        Return a copy of the whole image in which only the region is changed.

    Returns
    -------
    ndarray or dask.array.Array
        Image of the input's shape, in its grey values, float32 unless `keep_dtype`. A NumPy image (memmap included)
        gives a NumPy array; any other gives a lazy dask array, of which only the noise has been measured.

    Raises
    ------
    ImageError
        If the image is empty, not real, has no finite pixel, or does not fit the axes or the PSF.
    OptionError, UnknownModelError
        If an option cannot work, or the PSF is the image itself.
    WeightsError, MissingPackageError
        If the model cannot be loaded.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.ndimage import gaussian_filter
    >>> sharp = np.zeros((64, 64))
    >>> sharp[20:40, 30] = 1000
    >>> seen = np.random.default_rng(0).poisson(gaussian_filter(sharp, 2) + 20)
    >>> bool(deblur(seen, 4.7).max() > 1.5 * seen.max())
    True
    """
    given = given_image(image, axes)
    options = DeblurOptions(
        psf=given_psf(psf),
        method=method,
        iterations=iterations,
        strength=strength,
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
    # The pixel size of a layer is put into optics and PSFs that lack it.
    result = finish(deblur_steps(given.pixels, given.calibrate(options)))
    result.warn()
    return result.data


def deblur_steps(
    image: ImageArray, options: DeblurOptions, *, lazy: bool | None = None
) -> Generator[Progress, None, Result]:
    """Run `deblur` step by step.

    Parameters
    ----------
    image, options
        See `deblur`.
    lazy : bool, optional
        Return a dask array and compute nothing now. By default only for images that are not NumPy arrays.

    Yields
    ------
    Progress
        After the noise was measured, in every iteration, and after every tile.

    Returns
    -------
    Result
        The pixels and the record of how they were made.
    """
    started = time.perf_counter()
    yield Progress(0, 0, "measuring the noise" if options.noise is None else "preparing")
    plan = _plan(as_source(image), options)
    if options.method == "pnp":
        yield Progress(0, 0, "loading the network")
        # Loaded here, once, and found in a cache by every tile: what is wrong with the weights is said before the first
        # tile, and of a lazy result before anything is computed.
        load_network(find_model(options.model, "denoise", others=False), options.device, precision=options.precision)
    return (yield from run_plan(plan, lazy=is_lazy(plan.source) if lazy is None else lazy, started=started))


def expected_seconds(image: ImageArray, options: DeblurOptions) -> float:
    """Return about how long `deblur` will take for this image on this machine, in seconds.

    One Fourier transform of a tile and, for ``"pnp"``, one run of the network are timed; the first call loads the
    network and takes about a second.
    """
    source = as_source(image)
    axes, psf = _fitting(source, options)
    spec = find_model(options.model, "denoise", others=False)
    # The tiles of the whole image, of which a region computes those that touch it: a region has the same pixels.
    full = deblur_grid(source.shape, axes, psf.shape, spec, tile=options.tile, device=options.device)
    grid = cut(full, options, axes)
    cost = _cost(grid, axes, psf, options, spec)
    # Tiles at the borders read less than others: each shape counts as often as it occurs.
    return sum(count * cost.seconds(_spatial(read, axes, psf.ndim)) for read, count in read_shapes(grid).items())


def _cost(grid: TileGrid, axes: Axes, psf: NDArray[np.float64], options: DeblurOptions, spec: ModelCard) -> Cost:
    return measure_cost(
        psf.shape,
        _largest(grid, axes, psf.ndim),
        options.method,
        _iterations(options),
        spec,
        options.device,
        options.precision,
    )


def _steps(grid: TileGrid, kernel: DeblurTiles, options: DeblurOptions) -> list[float]:
    """Return how long each step of a tile takes."""
    cost = _cost(grid, kernel.axes, kernel.psf, options, kernel.spec)
    return cost.steps(_largest(grid, kernel.axes, kernel.psf.ndim))


def _largest(grid: TileGrid, axes: Axes, ndim: int) -> tuple[int, ...]:
    # Most tiles have the largest shape; only those at the borders read less.
    return _spatial(max(read_shapes(grid), key=math.prod), axes, ndim)


def _spatial(read: tuple[int, ...], axes: Axes, ndim: int) -> tuple[int, ...]:
    """Return the lengths along the dimensions of the PSF of what a tile reads."""
    return tuple(read[axes.letters.index(letter)] for letter in "ZYX"[-ndim:])


def _plan(source: ImageArray, options: DeblurOptions) -> Plan:
    axes, psf = _fitting(source, options)
    spec = find_model(options.model, "denoise", others=False)
    device = resolve_device(options.device)
    sampled = sample_channels(source, axes)  # read once: a lazy source may be slow
    noise = noise_per_channel(sampled, options.noise)
    channels, notes = channel_constants(sampled, noise)
    if any(channels):  # a constant image comes back unchanged, whatever its size
        _check_width(options.psf, source.shape[axes.y], source.shape[axes.x])
    # What is wrong with the PSF itself, and, if the image tells it, that it cannot be the PSF of this image.
    notes += psf_given_notes(options.psf, psf, axes, source.shape)
    about_psf, unchecked = psf_notes(sampled, noise, psf)
    # The record states the iterations that were made, not None.
    options, uses_network = replace(options, iterations=_iterations(options)), options.method == "pnp"
    precision = lowest_precision(options, [spec] if uses_network else [])
    kernel = DeblurTiles(
        axes,
        channels,
        psf,
        options.method,
        _iterations(options),
        options.strength,
        spec,
        options.device,
        kernel_precision(options, precision),
    )
    grid = deblur_grid(source.shape, axes, psf.shape, spec, tile=options.tile, device=options.device)
    return Plan(
        task="deblur",
        nature="deblurred",
        source=source,
        axes=axes,
        options=options,
        beside=("noise", "psf"),
        kernel=kernel,
        grid=grid,
        dtype=result_dtype(source.dtype, sampled, noise, keep=options.keep_dtype),
        noise=noise,
        input=input_facts(source, sampled),
        # Richardson-Lucy runs no network, but a GPU may compute its Fourier transforms.
        model=spec.facts() if uses_network else None,
        device=device if uses_network or fourier_filter(device) else "cpu",
        warnings=(*notes, *about_psf),
        facts={
            "psf": psf_facts(options.psf, psf) | {"unchecked": list(unchecked)},
            "precision": precision,
        },
        steps=partial(_steps, grid, kernel, options),
    )


def _fitting(source: ImageArray, options: DeblurOptions) -> tuple[Axes, NDArray[np.float64]]:
    """Return the axes and the PSF, and refuse them if they do not fit each other or the image."""
    if options.psf is None:
        raise OptionError(
            "psf is needed: an array such as the image of a bead, the full width at half maximum of a Gaussian in "
            "pixels, or the optics"
        )
    axes, psf = resolve_axes(options.axes, source.shape), psf_array(options.psf)
    # In napari both are layers, and the wrong one is soon chosen.
    if psf_is_image(options.psf, source):
        raise OptionError(
            "the psf is the image itself: give the image of a point, such as a bead, the width of a Gaussian in "
            "pixels, or the optics"
        )
    if psf.ndim == 3 and "Z" not in axes.letters:
        flat = "give optics a z_step of 0"
        if not isinstance(options.psf, Optics):
            peaks = psf.max(axis=(1, 2))
            flat = f"give a psf of two dimensions, such as its plane {int(peaks.argmax())}, which is the brightest"
        raise ImageError(
            f"psf has shape {psf.shape} (Z, Y, X) but the image, of axes {axes}, has no Z: name it (axes), or {flat}"
        )
    return axes, psf


def _check_width(given: Any, height: int, width: int) -> None:
    """Refuse the width of a Gaussian that the image cannot show, and that would take minutes; often of nanometres."""
    if np.ndim(given) == 0 and not isinstance(given, Optics | MeasuredPSF) and given > max(height, width):
        raise OptionError(
            f"psf is a Gaussian {given:g} pixels wide, and the image has {height} x {width} pixels: give the full "
            "width at half maximum in pixels"
        )


def _iterations(options: DeblurOptions) -> int:
    return ITERATIONS[options.method] if options.iterations is None else options.iterations
