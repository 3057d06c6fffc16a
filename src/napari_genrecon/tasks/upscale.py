"""Upscale: enlarge every plane by a network that is told the noise, and say how well the result fits the image.

The network adds detail to a bicubic enlargement (see `models.srnet`). What it adds is the most likely detail, not a
measured one: the record says how closely the result, shrunk again, agrees with the image, and `consistent` makes it
agree.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import numpy as np

from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.intensity import measure_centre
from napari_genrecon.engine.lazy import is_lazy
from napari_genrecon.engine.memory import check_tile
from napari_genrecon.engine.resample import BACK_PROJECTION_REACH
from napari_genrecon.engine.run import Progress, Tiled, finish, run_tiles
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.errors import OptionError
from napari_genrecon.io.provenance import clipping_note, make_record
from napari_genrecon.models import ModelSpec, find_model, load_upscaler, resolve_device
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.consistency import ConsistencyAudit
from napari_genrecon.tasks.enlarging import UpscaledChannel, UpscalePlanes
from napari_genrecon.tasks.measure import Noise, as_source, input_facts, noise_per_channel, sample_channels
from napari_genrecon.tasks.plan import lazy_result, output_facts, plan_grid, tell_planes
from napari_genrecon.tasks.result import Result
from napari_genrecon.tasks.shared_options import AxesOption, DeviceOption, KeepDtypeOption, TileOption

__all__ = ["UpscaleOptions", "expected_seconds", "upscale", "upscale_steps"]

FACTORS = (2, 3, 4)
ROUNDS = 5  # of back-projection: what is left of a mismatch is a tenth of it at the finest scale, nothing elsewhere
# The network was trained on white noise. Measured noise beyond this lag-1 correlation is left in: as often as not it is
# fine texture, which a small image is full of.
_CORRELATED = 0.2
_BACK_PROJECTION_WORK = 0.5  # of the network's time


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleOptions:
    """What can be chosen.

    Attributes
    ----------
    factor, noise, model, consistent, axes, tile, device, keep_dtype
        See `upscale`.
    """

    factor: Annotated[
        int, {"choices": FACTORS, "tooltip": "How many times more pixels along X and along Y: 2, 3 or 4"}
    ] = 2
    noise: Annotated[
        Noise | float | None,
        {
            "form": False,
            "tooltip": "Noise s.d. in grey values (0: none), or a noise report saved as JSON; measured from the "
            "image if not given",
        },
    ] = None
    model: Annotated[str, {"choices": "models", "tooltip": "The network; 'auto' takes the default"}] = "auto"
    consistent: Annotated[
        bool, {"tooltip": "Correct the result so that, shrunk again, it gives the image back, noise included"}
    ] = False
    axes: AxesOption = None
    tile: TileOption = None
    device: DeviceOption = "auto"
    keep_dtype: KeepDtypeOption = False

    def __post_init__(self) -> None:
        if self.factor not in FACTORS:
            raise OptionError(f"factor must be 2, 3 or 4, got {self.factor}")
        if self.tile is not None:
            check_tile(self.tile, 1)
        if isinstance(self.noise, int | float) and not (math.isfinite(self.noise) and self.noise >= 0):
            raise OptionError(f"noise must be 0 or more grey values, got {self.noise}")


def upscale(
    image: Any,
    *,
    factor: int = 2,
    noise: Noise | float | None = None,
    model: str = "auto",
    consistent: bool = False,
    axes: str | None = None,
    tile: int | tuple[int, int] | None = None,
    device: str = "auto",
    keep_dtype: bool = False,
) -> Any:
    """Enlarge an image, with sharper edges and finer detail than interpolation gives.

    The result covers the same field of view. Where a pixel of the image measured ``scale``, one of the result measures
    ``scale / factor``, and the centre of its first pixel lies ``(scale / factor - scale) / 2`` from where that of the
    image lay: see `upscaled_transform`.

    Parameters
    ----------
    image : (..., Y, X) or (..., Y, X, S) array_like
        Any real dtype. Every YX plane is enlarged by itself, and so is every colour. A NaN or infinite pixel becomes
        ``factor**2`` such pixels, and so does one of the alpha channel of an RGBA image.
    factor : {2, 3, 4}
        How many times more pixels along Y and along X; no other dimension changes.
    noise : NoiseModel, tuple of NoiseModel, float or None
        A noise model (or one per channel), or the s.d. of white noise in grey values; it is removed on the way. None
        measures it from the image and removes it unless it is correlated; 0 says that there is none.
    model : str
        A name that `list_models` lists, or ``"auto"``.
    consistent : bool
        Correct the result by back-projection until, shrunk again by the rule of `engine.resample`, it gives the image
        back. What noise the image has then comes back as well.
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
        Of shape ``(..., Y * factor, X * factor)``, in the grey values of the input, float32 unless `keep_dtype`. A
        NumPy image (memmap included) gives a NumPy array; any other gives a lazy dask array.

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
    options = UpscaleOptions(
        factor=factor,
        noise=noise,
        model=model,
        consistent=consistent,
        axes=axes,
        tile=tile,
        device=device,
        keep_dtype=keep_dtype,
    )
    result = finish(upscale_steps(image, options))
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
    plan = _plan(as_source(image), options)
    yield Progress(0, 0, "loading the network")
    load_upscaler(plan.kernel.spec, options.device)
    if is_lazy(plan.source) if lazy is None else lazy:
        return lazy_result(plan.kernel, plan.source, plan.grid, plan.dtype, plan.axes, plan.record())
    audit = ConsistencyAudit(plan.kernel, plan.axes, options.factor, [c.centre for c in plan.kernel.channels])
    tiled = yield from tell_planes(
        run_tiles(audit, plan.source, plan.grid, plan.dtype), plan.axes.n_planes(plan.source.shape)
    )
    return Result(tiled.array, plan.axes, plan.record(tiled, audit, time.perf_counter() - started))


def expected_seconds(image: Any, options: UpscaleOptions) -> float:
    """How long `upscale` will take for this image on this machine, from the time of one small tile.

    The first call loads the network and takes about a second.
    """
    source = as_source(image)
    axes = resolve_axes(options.axes, source.shape)
    spec = find_model(options.model, "upscale")
    grid = plan_grid(source.shape, axes, _geometry(spec, options), tile=options.tile, device=options.device)
    return source.size * grid.read_share * load_upscaler(spec, options.device).seconds_per_pixel()


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that is decided before the first tile."""

    source: Any
    axes: Axes
    options: UpscaleOptions
    noise: tuple[NoiseModel, ...]
    kernel: UpscalePlanes
    grid: TileGrid
    dtype: np.dtype[Any]
    input: dict[str, Any]

    def record(
        self, tiled: Tiled | None = None, audit: ConsistencyAudit | None = None, seconds: float | None = None
    ) -> dict[str, Any]:
        options = asdict(replace(self.options, noise=None))
        del options["noise"]  # it stands in full beside the options
        clipped = None if tiled is None else tiled.clipped
        spec = self.kernel.spec
        return make_record(
            "upscale",
            "upscaled",
            options=options,
            model=spec.facts(),
            factor=list(self.grid.scale),
            noise=[model.to_dict() for model in self.noise],
            axes={"letters": self.axes.letters, "assumed": self.axes.assumed},
            input=self.input,
            output={"shape": list(self.grid.out_shape), **output_facts(self.dtype, tiled)},
            consistency={"rms": None if audit is None else audit.rms(), "rounds": self.kernel.rounds},
            tile={"size": list(tiled.tile if tiled else self.grid.tile), "halo": list(self.grid.halo)},
            device=resolve_device(self.options.device),
            seed=None,  # nothing is random
            seconds=None if seconds is None else round(seconds, 3),
            warnings=[*_notes(self.noise, self.options), *clipping_note(clipped, self.dtype)],
        )


def _plan(source: Any, options: UpscaleOptions) -> _Plan:
    axes = resolve_axes(options.axes, source.shape)
    spec = find_model(options.model, "upscale")
    resolve_device(options.device)
    sampled = sample_channels(source, axes)  # read once: a lazy source may be slow
    noise = noise_per_channel(sampled, NoiseModel() if options.noise == 0 else options.noise)
    told = (_left_in(model) if options.noise is None else model for model in noise)
    channels = tuple(UpscaledChannel(model, measure_centre(crops)) for crops, model in zip(sampled, told, strict=True))
    rounds = ROUNDS if options.consistent else 0
    geometry = _geometry(spec, options)
    return _Plan(
        source=source,
        axes=axes,
        options=options,
        noise=noise,
        kernel=UpscalePlanes(spec, options.device, axes, channels, options.factor, rounds),
        grid=plan_grid(source.shape, axes, geometry, tile=options.tile, device=options.device),
        dtype=source.dtype if options.keep_dtype else np.dtype(np.float32),
        input=input_facts(source, sampled),
    )


def _geometry(spec: ModelSpec, options: UpscaleOptions) -> ModelSpec:
    """The model with the scale of this run and as much border as this run needs."""
    if options.consistent:
        reach = ROUNDS * BACK_PROJECTION_REACH
        spec = replace(spec, halo=spec.halo + reach, work=spec.work * (1 + _BACK_PROJECTION_WORK))
    return replace(spec, scale=options.factor)


def _left_in(noise: NoiseModel) -> NoiseModel:
    """What the network is told of measured noise: nothing, where it was not trained for it."""
    return NoiseModel() if _correlated(noise) else noise


def _correlated(noise: NoiseModel) -> bool:
    return noise.sigma > 0 and max(abs(noise.rho_x), abs(noise.rho_y)) > _CORRELATED


def _notes(noise: tuple[NoiseModel, ...], options: UpscaleOptions) -> list[str]:
    notes = []
    if any(_correlated(model) for model in noise):
        left = "" if options.noise is not None else " and was left in"
        notes.append(
            f"the noise is correlated from pixel to pixel, which this network was not trained on{left}: denoise first"
        )
    if options.consistent and any(model.sigma for model in noise):
        notes.append("the image is noisy and the result was made consistent with it, noise included: denoise first")
    return notes
