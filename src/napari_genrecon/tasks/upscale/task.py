"""Upscale: enlarge every plane with a network, remove its noise, and record how well the result fits the image.

The network adds detail to a bicubic enlargement (see `models.networks.srnet`). This detail is likely, not measured: the
record says how closely the result, shrunk again, agrees with the image, and `consistent` makes it agree.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Generator
from typing import Any

from napari_genrecon.arrays import ImageArray, ImageLike
from napari_genrecon.axes import resolve_axes
from napari_genrecon.engine.lazy import is_lazy
from napari_genrecon.engine.run import Progress, finish
from napari_genrecon.errors import OptionError
from napari_genrecon.models import find_model, load_network
from napari_genrecon.numerics.symmetries import WAYS
from napari_genrecon.tasks.given import given_image
from napari_genrecon.tasks.measure import Noise, as_source
from napari_genrecon.tasks.plan import plan_grid
from napari_genrecon.tasks.region import cut
from napari_genrecon.tasks.task import Result
from napari_genrecon.tasks.upscale.options import UpscaleOptions
from napari_genrecon.tasks.upscale.plan import chosen_model, geometry, measure, plan_planes, run_audited

__all__ = ["expected_seconds", "upscale", "upscale_steps"]


def upscale(
    image: ImageLike,
    *,
    factor: int = 2,
    noise: Noise | float | None = None,
    model: str = "auto",
    consistent: bool = False,
    self_ensemble: bool = False,
    axes: str | None = None,
    tile: int | tuple[int, int] | None = None,
    device: str = "auto",
    precision: str = "auto",
    keep_dtype: bool = False,
    region: str | tuple[Any, ...] | None = None,
    along: str = "YX",
    **along_z: Any,
) -> ImageArray:
    """Enlarge an image, with sharper edges and finer detail than interpolation gives.

    The result covers the same field of view. Pixels of size ``scale`` become pixels of size ``scale / factor``, and the
    centre of the first pixel moves by ``(scale / factor - scale) / 2``: see `upscaled_transform`.

    Parameters
    ----------
    image : (..., Y, X) or (..., Y, X, S) array_like, or an image layer of napari
        Any real dtype; of a layer, its pixels, axes and voxel size.
        Every YX plane is enlarged by itself, and so is every colour. A NaN or infinite pixel becomes
        ``factor**2`` such pixels, and so does one of the alpha channel of an RGBA image.
    factor : {2, 3, 4}
        How many times more pixels along Y and along X; no other dimension changes.
    noise : NoiseModel, tuple of NoiseModel, float or None
        A noise model (or one per channel), or the s.d. of white noise in grey values. None measures it from the image;
        0 says that there is none.
    model : str
        A name that `list_models` lists, or ``"auto"``: the model that removes noise for a noisy image, the sharper one
        for all others; the record says which and why. ``"auto"`` does not remove measured noise that is correlated, as
        it is fine texture as often as noise.
    consistent : bool
        Correct the result by back-projection until, shrunk again by the rule of `numerics.resample`, it gives the image
        back. The noise of the image then comes back as well.
    self_ensemble : bool
        Average the results of eight turned and mirrored views of every plane; eight times slower.
    axes : str, optional
        One letter per dimension, such as ``"TCYX"``; inferred from the shape if not given (see `napari_genrecon.axes`).
    tile : int, optional
        Side of a tile in pixels of the image; chosen from the free memory if not given. Does not change the result.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    precision : {"auto", "float32"}
        Number format of the networks; see `denoise`.
    keep_dtype : bool
        Round and clip the result to the input's dtype; a `GenReconWarning` tells how many pixels were clipped.
    along, **along_z
        Deprecated: ``along="Z"`` with its options is `upscale_z`.

    region : str or tuple of slice and int, optional
        Work on a part of the image only: ``"T=0:10, Y=100:300, X=50:250"``, ``"C=1"``, or one slice or index for each
        dimension, in pixels of the image. The pixels equal those of the whole result: what lies around the region is
        read, too, and what is measured is measured on the whole image. No dimension is dropped.

    Returns
    -------
    ndarray or dask.array.Array
        Image of shape ``(..., Y * factor, X * factor)``, in the grey values of the input, float32 unless `keep_dtype`.
        A NumPy image (memmap included) gives a NumPy array; any other gives a lazy dask array.

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
    shared: dict[str, Any] = {
        "factor": factor,
        "noise": noise,
        "model": model,
        "consistent": consistent,
        "axes": given.axes,
        "tile": tile,
        "device": device,
        "keep_dtype": keep_dtype,
        "region": region,
    }
    # Before the options of `upscale` are made: they would refuse what belongs to `upscale_z`.
    if along != "YX":
        return _along_z(image, along, {**shared, **along_z})
    # A slip of the pen, or an option of `upscale_z`: as Python says it where no further keywords are taken.
    if along_z:
        raise TypeError(f"upscale() got an unexpected keyword argument {next(iter(along_z))!r}")
    # These two have no counterpart in `upscale_z`.
    options = UpscaleOptions(self_ensemble=self_ensemble, precision=precision, **shared)
    result = finish(upscale_steps(given.pixels, given.calibrate(options)))
    result.warn()
    return result.data


def upscale_steps(
    image: ImageArray, options: UpscaleOptions, *, lazy: bool | None = None
) -> Generator[Progress, None, Result]:
    """Run `upscale` step by step.

    Parameters
    ----------
    image, options
        See `upscale`.
    lazy : bool, optional
        Return a dask array and compute nothing now. By default only for images that are not NumPy arrays.

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
    plan = plan_planes(source, options, measure(source, options))
    # The model that the plan chose, by the noise of the image; loaded before the first tile, so that what is wrong with
    # its weights is said at once.
    spec = find_model((plan.model or {})["name"], "upscale")
    yield Progress(0, 0, f"loading {spec.name}")
    load_network(spec, options.device, precision=options.precision)
    return (yield from run_audited(plan, lazy=wait, started=started))


def _along_z(image: ImageLike, along: str, options: dict[str, Any]) -> Any:
    """Warn that ``along="Z"`` is deprecated, and run `upscale_z`."""
    # Imported here: `upscale_z` builds on this package.
    from napari_genrecon.tasks.upscale_z import upscale_z

    if along != "Z":
        raise OptionError(f"upscale enlarges along Y and X, got along={along!r}; for planes between planes: upscale_z")
    # Level 3 is the line that called `upscale`.
    warnings.warn("upscale(along='Z') is deprecated: call upscale_z(...)", DeprecationWarning, stacklevel=3)
    return upscale_z(image, **options)


def expected_seconds(image: ImageArray, options: UpscaleOptions) -> float:
    """Return how long `upscale` will take for this image on this machine, from the time of one small tile.

    The first call loads the network and takes about a second.
    """
    source = as_source(image)
    axes = resolve_axes(options.axes, source.shape)
    # Measured only where the noise decides the model, as that reads the image.
    spec = chosen_model(options, measure(source, options).noise if options.model == "auto" else ())[0]
    planned = geometry(spec, options)
    grid = plan_grid(source.shape, axes, planned, tile=options.tile, device=options.device)
    views = WAYS if options.self_ensemble else 1
    # The timed network is that of the enlargement alone: `planned.work` holds the denoiser and back-projection, too.
    pixels = float(views * cut(grid, options, axes).pixels_read * planned.work / spec.work)
    return load_network(spec, options.device, precision=options.precision).seconds_per_pixel() * pixels
