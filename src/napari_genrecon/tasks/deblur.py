"""Deblur: undo a known point spread function without raising the noise.

By plug-and-play restoration with the bundled denoiser, or by Richardson-Lucy. The noise and every other constant are
measured once for the whole image; see `optics` for the numerics.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.lazy import is_lazy
from napari_genrecon.engine.memory import check_tile
from napari_genrecon.engine.run import Progress, Tiled, finish, run_tiles
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.io.provenance import clipping_note, make_record
from napari_genrecon.models import find_model, load_denoiser, resolve_device
from napari_genrecon.noise import NoiseModel
from napari_genrecon.optics import MeasuredPSF, Optics, as_psf
from napari_genrecon.tasks._deblur_constants import channel_constants, psf_notes
from napari_genrecon.tasks._deblur_grid import deblur_grid
from napari_genrecon.tasks._deblur_psf import psf_array, psf_facts, psf_given_notes, psf_is_image
from napari_genrecon.tasks._deblur_tiles import DeblurTiles, Method
from napari_genrecon.tasks.measure import Noise, as_source, input_facts, noise_per_channel, sample_channels
from napari_genrecon.tasks.plan import lazy_result, output_facts, result_dtype, tell_planes
from napari_genrecon.tasks.result import Result
from napari_genrecon.tasks.shared_options import AxesOption, DeviceOption, KeepDtypeOption, TileOption

__all__ = ["DeblurOptions", "deblur", "deblur_steps", "expected_seconds"]

_ITERATIONS = {"pnp": 8, "rl": 10}
_MAX_STRENGTH = 2.0  # beyond, total variation does not keep the light
_LEAST_STRENGTH = 0.1  # plug-and-play: without a prior, deconvolution blows the noise up without limit
_TRANSFORMS = {"pnp": 75, "rl": 4}  # of an iteration, counting passes over the pixels as well
_TRANSFORM_SECONDS = 4e-8  # per pixel


@dataclass(frozen=True, slots=True, kw_only=True)
class DeblurOptions:
    """What can be chosen.

    Attributes
    ----------
    psf : (Y, X) or (Z, Y, X) array_like, float, Optics or MeasuredPSF
        The point spread function; needed. Its centre is the pixel at half its shape. A number is the full width at half
        maximum of a Gaussian, in pixels; from `Optics` it is computed, a `MeasuredPSF` is resampled.
    noise : NoiseModel, tuple of NoiseModel, float or None
        One model, one per channel, or the s.d. of white noise in grey values; None measures it from the image.
    method, iterations, strength, model, axes, tile, device, keep_dtype
        See `deblur`.
    """

    psf: Annotated[
        Any,
        {
            "array": "psf",
            "tooltip": "The point spread function: an image of a bead, the full width at half maximum of a Gaussian in "
            "pixels, or computed from the optics",
            "flag": "FILE, pixels, or optics:na=1.4,wavelength=520 (in nm; also refractive_index=1.515, "
            "kind=widefield|confocal|two-photon, and pixel_size and z_step in micrometres, else those of the image)",
        },
    ] = field(default=None, compare=False)
    method: Annotated[
        Method,
        {
            "choices": get_args(Method),
            "tooltip": "'pnp' takes the bundled denoiser for what images look like; 'rl' is Richardson-Lucy",
        },
    ] = "pnp"
    iterations: Annotated[
        int | None, {"min": 1, "advanced": True, "tooltip": "Empty takes 8 for 'pnp', 10 for 'rl'"}
    ] = None
    strength: Annotated[
        float,
        {
            "min": 0.0,
            "max": _MAX_STRENGTH,
            "step": 0.05,
            "tooltip": "More gives a smoother, less a sharper and noisier result: the noise is taken for this many "
            "times what it is ('pnp'), or total variation weighs so much ('rl', 0 for none)",
        },
    ] = 1.0
    noise: Annotated[
        Noise | float | None,
        {
            "form": False,
            "tooltip": "Noise s.d. in grey values, or a noise report "
            "saved as JSON; measured from the image if not given",
        },
    ] = None
    model: Annotated[str, {"choices": "models", "tooltip": "The denoiser; 'auto' takes the default"}] = "auto"
    axes: AxesOption = None
    tile: TileOption = None
    device: DeviceOption = "auto"
    keep_dtype: KeepDtypeOption = False

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise OptionError(f"method must be one of {', '.join(get_args(Method))}; got {self.method!r}")
        least = _LEAST_STRENGTH if self.method == "pnp" else 0.0
        if not least <= self.strength <= _MAX_STRENGTH:
            raise OptionError(
                f"strength must lie between {least:g} and {_MAX_STRENGTH:g} for method {self.method!r}, "
                f"got {self.strength}"
            )
        if self.iterations is not None and self.iterations < 1:
            raise OptionError(f"iterations must be 1 or more, got {self.iterations}")
        if self.tile is not None:
            check_tile(self.tile, 1)
        if isinstance(self.noise, int | float):
            NoiseModel.white(float(self.noise))
        if self.psf is not None and not isinstance(self.psf, Optics | MeasuredPSF):  # they checked themselves
            as_psf(self.psf)


def deblur(
    image: Any,
    psf: ArrayLike | Optics | MeasuredPSF,
    *,
    method: Method = "pnp",
    iterations: int | None = None,
    strength: float = 1.0,
    noise: Noise | float | None = None,
    model: str = "auto",
    axes: str | None = None,
    tile: int | tuple[int, int] | None = None,
    device: str = "auto",
    keep_dtype: bool = False,
) -> Any:
    """Undo the blur of a known point spread function.

    Plug-and-play restoration (Zhang et al., IEEE TPAMI 2021) with the bundled denoiser, or Richardson-Lucy with total
    variation (Dey et al., Microsc. Res. Tech. 2006). Plug-and-play keeps the light that the image
    holds; Richardson-Lucy, which has no values below its offset, makes light of the noise where it is dark.

    Parameters
    ----------
    image : (..., Y, X) or (..., Y, X, S) array_like
        Any real dtype. NaN and infinite pixels stay where they are and count for nothing. The alpha channel of an RGBA
        image is copied.
    psf : (Y, X) or (Z, Y, X) array_like, float, Optics or MeasuredPSF
        Centred at the pixel at half its shape; scaled to sum 1. With two dimensions every YX plane is deblurred by
        itself, with three every ZYX stack. The pixels of an array are those of the image; a `MeasuredPSF` may have
        others and is resampled. A number is the full width at half maximum of a Gaussian, in pixels. `Optics` with a
        pixel size are computed. See `gaussian_psf` and `simulate_psf`.
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
    keep_dtype : bool
        Round and clip the result to the input's dtype; a `GenReconWarning` tells how many pixels were clipped.

    Returns
    -------
    ndarray or dask.array.Array
        Of the input's shape, in its grey values, float32 unless `keep_dtype`. A NumPy image (memmap included) gives a
        NumPy array; any other gives a lazy dask array, of which only the noise has been measured.

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
    options = DeblurOptions(
        psf=psf,
        method=method,
        iterations=iterations,
        strength=strength,
        noise=noise,
        model=model,
        axes=axes,
        tile=tile,
        device=device,
        keep_dtype=keep_dtype,
    )
    result = finish(deblur_steps(image, options))
    result.warn()
    return result.data


def deblur_steps(image: Any, options: DeblurOptions, *, lazy: bool | None = None) -> Generator[Progress, None, Result]:
    """The same as `deblur`, step by step.

    Parameters
    ----------
    image, options
        As for `deblur`.
    lazy : bool, optional
        Whether to return a dask array of which nothing has been computed, rather than compute it now. By default
        only for images that are not NumPy arrays.

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
    if plan.kernel.method == "pnp":
        yield Progress(0, 0, "loading the network")
        load_denoiser(plan.kernel.spec, options.device)
    if is_lazy(plan.source) if lazy is None else lazy:
        return lazy_result(plan.kernel, plan.source, plan.grid, plan.dtype, plan.axes, plan.record())
    steps = run_tiles(plan.kernel, plan.source, plan.grid, plan.dtype, steps=plan.steps_per_tile)
    tiled = yield from tell_planes(steps, plan.axes.n_planes(plan.source.shape))
    return Result(tiled.array, plan.axes, plan.record(tiled, time.perf_counter() - started))


def expected_seconds(image: Any, options: DeblurOptions) -> float:
    """About how long `deblur` will take for this image on this machine.

    For ``"pnp"`` one small tile is timed; the first call loads the network and takes about a second.
    """
    source = as_source(image)
    axes, psf = _fitting(source, options)
    spec = find_model(options.model, "denoise")
    grid = deblur_grid(source.shape, axes, psf.shape, spec, tile=options.tile)
    seconds = _TRANSFORMS[options.method] * _TRANSFORM_SECONDS
    if options.method == "pnp":
        seconds += load_denoiser(spec, options.device).seconds_per_pixel()
    return source.size * grid.read_share * _iterations(options) * seconds


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that is decided before the first tile."""

    source: Any
    axes: Axes
    options: DeblurOptions
    kernel: DeblurTiles
    noise: tuple[NoiseModel, ...]
    grid: TileGrid
    dtype: np.dtype[Any]
    warnings: tuple[str, ...]
    unchecked: tuple[str, ...]  # why it could not be told whether the PSF fits the image
    input: dict[str, Any]

    @property
    def steps_per_tile(self) -> int:
        depth = self.source.shape[self.axes.letters.index("Z")] + len(self.kernel.psf) - 1 if self.in_3d else 1
        return 1 + self.kernel.iterations * (1 + depth if self.kernel.method == "pnp" else 1)

    @property
    def in_3d(self) -> bool:
        return self.kernel.psf.ndim == 3

    def record(self, tiled: Tiled | None = None, seconds: float | None = None) -> dict[str, Any]:
        options = asdict(replace(self.options, noise=None, psf=None, iterations=self.kernel.iterations))
        del options["noise"], options["psf"]  # they stand beside the options
        clipped = None if tiled is None else tiled.clipped
        spec = self.kernel.spec
        used = spec.facts()
        return make_record(
            "deblur",
            "deblurred",
            options=options,
            psf=psf_facts(self.options.psf, self.kernel.psf) | {"unchecked": list(self.unchecked)},
            model=used if self.kernel.method == "pnp" else None,
            noise=[model.to_dict() for model in self.noise],
            axes={"letters": self.axes.letters, "assumed": self.axes.assumed},
            input=self.input,
            output=output_facts(self.dtype, tiled),
            tile={"size": list(tiled.tile if tiled else self.grid.tile), "halo": list(self.grid.halo)},
            device=resolve_device(self.options.device) if self.kernel.method == "pnp" else "cpu",
            seed=None,  # nothing is random
            seconds=None if seconds is None else round(seconds, 3),
            warnings=[*self.warnings, *clipping_note(clipped, self.dtype)],
        )


def _plan(source: Any, options: DeblurOptions) -> _Plan:
    axes, psf = _fitting(source, options)
    spec = find_model(options.model, "denoise")
    resolve_device(options.device)
    sampled = sample_channels(source, axes)  # read once: a lazy source may be slow
    noise = noise_per_channel(sampled, options.noise)
    channels, notes = channel_constants(sampled, noise)
    notes += psf_given_notes(options.psf, psf, axes, source.shape)
    about_psf, unchecked = psf_notes(sampled, noise, psf)
    kernel = DeblurTiles(
        axes, channels, psf, options.method, _iterations(options), options.strength, spec, options.device
    )
    return _Plan(
        source=source,
        axes=axes,
        options=options,
        kernel=kernel,
        noise=noise,
        grid=deblur_grid(source.shape, axes, psf.shape, spec, tile=options.tile),
        dtype=result_dtype(source.dtype, sampled, noise, keep=options.keep_dtype),
        warnings=(*notes, *about_psf),
        unchecked=unchecked,
        input=input_facts(source, sampled),
    )


def _fitting(source: Any, options: DeblurOptions) -> tuple[Axes, NDArray[np.float64]]:
    """The axes and the PSF, which must fit each other."""
    if options.psf is None:
        raise OptionError("psf is needed: an array, or the full width at half maximum in pixels")
    axes, psf = resolve_axes(options.axes, source.shape), psf_array(options.psf)
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
            f"psf has shape {psf.shape} (Z, Y, X) but the image, of axes {axes}, has no Z: name it in axes, or {flat}"
        )
    return axes, psf


def _iterations(options: DeblurOptions) -> int:
    return _ITERATIONS[options.method] if options.iterations is None else options.iterations
