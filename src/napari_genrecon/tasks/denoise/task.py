"""Denoise: stabilise the noise, remove it with a network that is told its strength and correlation, and go back."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from napari_genrecon.arrays import ImageArray, ImageLike
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.lazy import is_lazy
from napari_genrecon.engine.memory import check_tile
from napari_genrecon.engine.missing import missing_note
from napari_genrecon.engine.run import Progress, finish
from napari_genrecon.errors import OptionError
from napari_genrecon.models import find_model, load_network, resolve_device, resolve_precision
from napari_genrecon.noise import NoiseModel
from napari_genrecon.options import check_types
from napari_genrecon.tasks.denoise.neighbours import plan_frames, work_per_pixel
from napari_genrecon.tasks.denoise.planes import Channel, DenoisePlanes, channel_constants
from napari_genrecon.tasks.given import given_image
from napari_genrecon.tasks.measure import Noise, as_source, input_facts, noise_per_channel, sample_channels
from napari_genrecon.tasks.model_fit import notes_on_model
from napari_genrecon.tasks.plan import Plan, plan_grid, result_dtype, run_plan
from napari_genrecon.tasks.shared_options import (
    AxesOption,
    DeviceOption,
    KeepDtypeOption,
    PrecisionOption,
    TileOption,
    check_precision,
)
from napari_genrecon.tasks.task import Result

__all__ = ["DenoiseOptions", "denoise", "denoise_steps", "expected_seconds"]

Frames = Literal["auto", "none", "T", "Z"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiseOptions:
    """What can be chosen.

    Attributes
    ----------
    noise : NoiseModel, tuple of NoiseModel, float or None
        One model, one per channel, or the s.d. of white noise in grey values; None measures it from the image.
    strength, blend, frames, model, pixel_size, axes, tile, device, precision, keep_dtype
        See `denoise`.
    """

    noise: Annotated[
        Noise | float | None,
        {
            "form": False,
            "tooltip": "Noise s.d. in grey values, or a noise report "
            "saved as JSON; measured from the image if not given",
        },
    ] = None
    strength: Annotated[
        float,
        {
            "min": 0.0,
            "max": 1.5,
            "step": 0.05,
            "tooltip": "How much of the measured noise to remove: 1 is all of it, "
            "less keeps some grain, more smooths harder",
        },
    ] = 1.0
    blend: Annotated[
        float,
        {"min": 0.0, "max": 1.0, "step": 0.05, "tooltip": "How much of the original to mix back in: 0 is none"},
    ] = 0.0
    frames: Annotated[
        Frames,
        {
            "choices": get_args(Frames),
            "tooltip": "Whether neighbouring frames help: 'auto' uses those of a movie where they do, "
            "'T' frames, 'Z' planes of a stack, 'none' takes every plane by itself",
        },
    ] = "auto"
    model: Annotated[str, {"choices": "models", "tooltip": "The network; 'auto' takes the default"}] = "auto"
    pixel_size: Annotated[
        float | None,
        {
            "form": False,
            "tooltip": "Pixel size in micrometres, only to tell whether a model of your own fits; "
            "from the file if not given",
        },
    ] = None
    axes: AxesOption = None
    tile: TileOption = None
    device: DeviceOption = "auto"
    precision: PrecisionOption = "auto"
    keep_dtype: KeepDtypeOption = False

    def __post_init__(self) -> None:
        check_types(self)
        check_precision(self.precision)
        if self.frames not in get_args(Frames):
            raise OptionError(f"frames must be 'auto', 'none', 'T' or 'Z', got {self.frames!r}")
        for name, low, high in (("strength", 0.0, 1.5), ("blend", 0.0, 1.0)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise OptionError(f"{name} must lie between {low:g} and {high:g}, got {value}")
        if self.tile is not None:
            check_tile(self.tile, 1)
        if self.pixel_size is not None and not 0 < self.pixel_size < math.inf:
            raise OptionError(f"pixel_size must be a positive number of micrometres, got {self.pixel_size}")
        if isinstance(self.noise, int | float):
            NoiseModel.white(float(self.noise))


def denoise(
    image: ImageLike,
    *,
    noise: Noise | float | None = None,
    strength: float = 1.0,
    blend: float = 0.0,
    frames: Frames = "auto",
    model: str = "auto",
    pixel_size: float | None = None,
    axes: str | None = None,
    tile: int | tuple[int, int] | None = None,
    device: str = "auto",
    precision: str = "auto",
    keep_dtype: bool = False,
) -> ImageArray:
    """Remove the noise of an image.

    Parameters
    ----------
    image : (..., Y, X) or (..., Y, X, S) array_like, or an image layer of napari
        Any real dtype; of a layer, its pixels and axes.
        Every channel is denoised by itself; NaN and infinite pixels stay where they are, and so do
        hot and dead ones, which stand alone far from their neighbours: they are left out, spoil nothing around them,
        and come back as they were, as do constant regions far outside the rest (padding, burnt-in bars). The alpha
        channel of RGBA is copied.
    noise : NoiseModel, tuple of NoiseModel, float or None
        A noise model (or one per channel), or the s.d. of white noise in grey values. None measures it from the image.
    strength : float
        Factor on the noise s.d. that is removed, in [0, 1.5].
    blend : float
        Share of the input mixed back into the result, in [0, 1].
    frames : {"auto", "none", "T", "Z"}
        The dimension along which neighbouring frames (or planes) are fused before they are denoised: in a movie they
        show the same scene again, with other noise. What moves, and events of a single frame, are left to the frame
        itself. ``"auto"`` takes T where there are several frames and a trial on them goes well, and says which;
        ``"none"`` denoises every plane by itself.
    model : str
        A name that `list_models` lists, or ``"auto"``. A model that you trained says where the image is unlike those it
        was trained on.
    pixel_size : float, optional
        Side of a pixel in micrometres, only to tell whether such a model fits; that of the layer if not given.
    axes : str, optional
        One letter per dimension, such as ``"TCYX"``; inferred from the shape if not given (see `napari_genrecon.axes`).
    tile : int or (int, int), optional
        Side of a tile in pixels, or height and width; chosen from the free memory if not given. Does not change the
        result.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    precision : {"auto", "float32"}
        ``"auto"`` lets the network compute in bfloat16 where the device is fast in it and the contrast of a tile beside
        the noise is small: pixels then differ by at most 0.05 noise s.d.; the record says so.
    keep_dtype : bool
        Round and clip the result to the input's dtype; a `GenReconWarning` tells how many pixels were clipped.

    Returns
    -------
    ndarray or dask.array.Array
        Of the input's shape, in its grey values; float32 unless `keep_dtype`, or float64 where float32 cannot
        hold the noise (on grey values of 3e9, say). A NumPy image (memmap included) gives a
        NumPy array; any other gives a lazy dask array, of which only the noise has been measured.

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
    >>> noisy = np.random.default_rng(0).normal(100, 5, (64, 64))
    >>> clean = denoise(noisy)
    >>> bool(clean.std() < 1)
    True
    """
    given = given_image(image, axes)
    options = DenoiseOptions(
        noise=noise,
        strength=strength,
        blend=blend,
        frames=frames,
        model=model,
        pixel_size=pixel_size,
        axes=given.axes,
        tile=tile,
        device=device,
        precision=precision,
        keep_dtype=keep_dtype,
    )
    result = finish(denoise_steps(given.pixels, given.calibrate(options)))
    result.warn()
    return result.data


def denoise_steps(
    image: ImageArray, options: DenoiseOptions, *, lazy: bool | None = None
) -> Generator[Progress, None, Result]:
    """The same as `denoise`, step by step.

    Parameters
    ----------
    image, options
        As for `denoise`.
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
    load_network(find_model(options.model, "denoise"), options.device, precision=options.precision)
    return (yield from run_plan(plan, lazy=is_lazy(plan.source) if lazy is None else lazy, started=started))


def expected_seconds(image: ImageArray, options: DenoiseOptions) -> float:
    """How long `denoise` will take for this image on this machine, from the time of one small tile.

    The first call loads the network and takes about a second.
    """
    source = as_source(image)
    axes = resolve_axes(options.axes, source.shape)
    spec = find_model(options.model, "denoise")
    grid = plan_grid(source.shape, axes, spec, tile=options.tile, device=options.device)
    work = work_per_pixel(source.shape, axes, options.frames)
    network = load_network(spec, options.device, precision=options.precision)
    return source.size * grid.read_share * work * network.seconds_per_pixel()


_MANY_HOT = 3e-4  # of the pixels, from which it is worth a word


def measured_planes(image: ImageArray, axes: Axes) -> DenoisePlanes:
    """The tile function of `denoise` with all that it measures: a training must see what the network sees in use."""
    kernel = _plan(as_source(image), DenoiseOptions(axes=axes.letters, frames="none")).kernel
    assert isinstance(kernel, DenoisePlanes)
    return kernel


def _plan(source: ImageArray, options: DenoiseOptions) -> Plan:
    axes = resolve_axes(options.axes, source.shape)
    spec = find_model(options.model, "denoise")
    device = resolve_device(options.device)
    sampled = sample_channels(source, axes)  # read once: a lazy source may be slow
    noise = noise_per_channel(sampled, options.noise)
    channels = tuple(
        channel_constants(crops, model) if options.strength else None
        for crops, model in zip(sampled, noise, strict=True)
    )
    precision = resolve_precision(options.precision, spec, device)
    # Workers that are faster in bfloat16 use it only if the plan, and so the record, says so.
    most = "float32" if precision == "float32" else options.precision
    planes = DenoisePlanes(spec, options.device, axes, channels, options.strength, options.blend, most)
    planes = planes.conserving_light(sampled)
    fused = plan_frames(source, planes, options.frames, tile=options.tile)
    return Plan(
        task="denoise",
        nature="restored",
        source=source,
        axes=axes,
        options=options,
        kernel=fused.kernel if fused.kernel else planes,
        grid=fused.grid if fused.grid else plan_grid(source.shape, axes, spec, tile=options.tile, device=device),
        dtype=result_dtype(source.dtype, sampled, noise, keep=options.keep_dtype),
        noise=noise,
        input=input_facts(source, sampled),
        model=spec.facts(),
        device=device,
        warnings=(*_notes(channels, options), *notes_on_model(spec, noise, options.pixel_size), *fused.notes),
        facts={"precision": precision} | ({"frames": fused.facts} if fused.facts else {}),
        steps=fused.steps,
    )


def _notes(channels: tuple[Channel | None, ...], options: DenoiseOptions) -> list[str]:
    notes = [_note_on_noise(channels, options), _note_on_hot(channels)]
    notes += missing_note([channel.missing for channel in channels if channel])
    return [note for note in notes if note]


def _note_on_noise(channels: tuple[Channel | None, ...], options: DenoiseOptions) -> str:
    untouched = [i for i, channel in enumerate(channels) if channel is None]
    if options.strength == 0 or not untouched:
        return ""
    which = "the image" if len(channels) == 1 else f"channel {', '.join(map(str, untouched))}"
    return f"no noise was found in {which}, so it comes back unchanged"


def _note_on_hot(channels: tuple[Channel | None, ...]) -> str:
    hot = max((channel.noise.hot_fraction for channel in channels if channel), default=0.0)
    if hot < _MANY_HOT:
        return ""
    return (
        f"{100 * hot:.2g} % of the pixels are hot or dead ones, which are no noise: they were left out and come back "
        "as they are; inpaint with detect 'hot' fills them in"
    )
