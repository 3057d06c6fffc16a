"""Denoise: stabilise the noise, remove it with a network that is told its strength and correlation, and go back."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args, overload

import numpy as np

from napari_genrecon.arrays import ImageArray, ImageLike
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.lazy import is_lazy
from napari_genrecon.engine.missing import missing_note
from napari_genrecon.engine.run import Progress, finish
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.errors import OptionError
from napari_genrecon.models import ModelCard, find_model, load_network, resolve_device
from napari_genrecon.noise import NoiseModel
from napari_genrecon.noise.defects import CROWDS
from napari_genrecon.numerics.symmetries import WAYS
from napari_genrecon.tasks.denoise.camera import CameraMaps, Corrected, camera_facts, camera_maps
from napari_genrecon.tasks.denoise.neighbours import plan_frames, trial_pixels, work_per_pixel
from napari_genrecon.tasks.denoise.planes import Channel, DenoisePlanes, channel_constants, planned, scaled_channel
from napari_genrecon.tasks.denoise.uncertainty import TITLE, ErrorPlanes, check_uncertainty
from napari_genrecon.tasks.given import given_image, given_mask
from napari_genrecon.tasks.measure import Noise, as_source, input_facts, noise_per_channel, sample_channels
from napari_genrecon.tasks.model_fit import notes_on_model
from napari_genrecon.tasks.others import check_views, notes_on_others
from napari_genrecon.tasks.plan import (
    Companion,
    Plan,
    kernel_precision,
    lowest_precision,
    plan_grid,
    result_dtype,
    run_plan,
)
from napari_genrecon.tasks.region import cut
from napari_genrecon.tasks.shared_options import (
    AxesOption,
    DeviceOption,
    KeepDtypeOption,
    NoiseOption,
    PixelSizeOption,
    PrecisionOption,
    RegionOption,
    SelfEnsembleOption,
    TileOption,
    WholeOption,
    check_common,
)
from napari_genrecon.tasks.task import Result

__all__ = ["DenoiseOptions", "denoise", "denoise_steps", "expected_seconds"]

Frames = Literal["auto", "none", "T", "Z"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiseOptions:
    """What can be chosen.

    Attributes
    ----------
    camera : (3, Y, X) array_like or None
        Offset, gain and variance of every pixel, see `denoise`.
    noise : NoiseModel, tuple of NoiseModel, float or None
        One model, one per channel, or the s.d. of white noise in grey values; None measures it from the image.
    strength, blend, frames, self_ensemble, uncertainty, model, pixel_size, axes, tile, device, precision, keep_dtype,
    region, whole
        See `denoise`.
    """

    noise: NoiseOption = None
    camera: Annotated[
        Any,
        {
            "array": "maps",
            "advanced": True,
            "tooltip": "Measured maps of an sCMOS camera, three planes of the image's size: offset (grey "
            "values), gain (grey values per electron) and variance of the read noise (grey values "
            "squared) of every pixel. With them, noisy pixels of the camera are trusted less",
            "flag": "FILE",
        },
    ] = field(default=None, compare=False)
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
        {
            "min": 0.0,
            "max": 1.0,
            "step": 0.05,
            "advanced": True,
            "tooltip": "How much of the original to mix back in: 0 is none, more looks more familiar and is noisier",
        },
    ] = 0.0
    frames: Annotated[
        Frames,
        {
            "choices": get_args(Frames),
            "needs_axis": "TZ",
            "tooltip": "Use neighbouring frames, too: less noise, but slower. 'auto' does so in movies where it "
            "helps, 'T' uses frames, 'Z' planes of a stack, 'none' takes every plane by itself",
        },
    ] = "auto"
    self_ensemble: SelfEnsembleOption = False
    uncertainty: Annotated[
        bool,
        {
            "advanced": True,
            "tooltip": "Also make an image of the expected error at every pixel, a standard deviation in grey values; "
            "takes 6 times as long",
        },
    ] = False
    model: Annotated[
        str,
        {
            "choices": "models",
            "tooltip": "What removes the noise: 'auto' is the bundled network, others were trained or imported",
        },
    ] = "auto"
    pixel_size: PixelSizeOption = None
    axes: AxesOption = None
    tile: TileOption = None
    device: DeviceOption = "auto"
    precision: PrecisionOption = "auto"
    keep_dtype: KeepDtypeOption = False
    region: RegionOption = None
    whole: WholeOption = False

    def __post_init__(self) -> None:
        check_common(self)
        if self.camera is not None and self.whole:
            raise OptionError(
                "whole puts the result into a copy of the image, whose grey values the camera maps do not correct: "
                "leave one of the two out"
            )
        # Its size can be checked only with the image, see `camera_maps`.
        if self.camera is not None and np.ndim(self.camera) != 3:
            raise OptionError(f"camera must be a (3, Y, X) array: offset, gain, variance; got {_shape_of(self.camera)}")
        # Refuses a number that is no s.d. where the option is set.
        if isinstance(self.noise, int | float):
            NoiseModel.white(float(self.noise))
        if self.uncertainty and self.strength == 0:
            raise OptionError("uncertainty is that of a denoised image, and strength 0 removes no noise: raise it")


def _shape_of(given: object) -> str:
    shape = np.shape(given)  # type: ignore[call-overload]
    return f"one of shape {shape}" if shape else repr(given)


@overload
def denoise(image: ImageLike, *, uncertainty: Literal[True], **options: Any) -> tuple[ImageArray, ImageArray]: ...


@overload
def denoise(
    image: ImageLike,
    *,
    noise: Noise | float | None = ...,
    camera: ImageLike | None = ...,
    strength: float = ...,
    blend: float = ...,
    frames: Frames = ...,
    self_ensemble: bool = ...,
    uncertainty: Literal[False] = ...,
    model: str = ...,
    pixel_size: float | None = ...,
    axes: str | None = ...,
    tile: int | tuple[int, int] | None = ...,
    device: str = ...,
    precision: str = ...,
    keep_dtype: bool = ...,
    region: str | tuple[Any, ...] | None = ...,
    whole: bool = ...,
) -> ImageArray: ...


def denoise(  # type: ignore[misc]  # mypy wants the keywords of the first signature by name
    image: ImageLike,
    *,
    noise: Noise | float | None = None,
    camera: ImageLike | None = None,
    strength: float = 1.0,
    blend: float = 0.0,
    frames: Frames = "auto",
    self_ensemble: bool = False,
    uncertainty: bool = False,
    model: str = "auto",
    pixel_size: float | None = None,
    axes: str | None = None,
    tile: int | tuple[int, int] | None = None,
    device: str = "auto",
    precision: str = "auto",
    keep_dtype: bool = False,
    region: str | tuple[Any, ...] | None = None,
    whole: bool = False,
) -> ImageArray | tuple[ImageArray, ImageArray]:
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
    camera : (3, Y, X) array_like or image layer, optional
        Calibration of an sCMOS camera: offset in DN, gain in DN per electron, and variance of the read noise in DN**2
        of every pixel. All pixels are brought to the mean offset and gain, and those of more read noise than usual are
        mixed with their neighbours, before the noise is measured (a noise model that is given is that of the corrected
        image).
    strength : float
        Factor on the noise s.d. that is removed, in [0, 1.5].
    blend : float
        Share of the input mixed back into the result, in [0, 1].
    frames : {"auto", "none", "T", "Z"}
        The dimension along which neighbouring frames (or planes) are fused before they are denoised: in a movie they
        show the same scene again, with other noise. What moves is left to the frame itself, and events of one frame are
        put back from it. Frames of one value, or without a finite pixel, come back as they are. ``"auto"`` takes T
        where there are several frames and a trial on them goes well, and says which; ``"none"`` denoises every plane by
        itself.
    self_ensemble : bool
        Average the results of eight turned and mirrored views of every plane: a little better, eight times slower.
    uncertainty : bool
        Also estimate how far the result is from the truth, which takes another five runs of the network. Not for models
        that are not told the noise, nor for frames that are denoised with their neighbours.
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

    region : str or tuple of slice and int, optional
        Work on a part of the image only: ``"T=0:10, Y=100:300, X=50:250"``, ``"C=1"``, or one slice or index for each
        dimension. The pixels equal those of the whole result: what lies around the region is read, too, and what is
        measured is measured on the whole image; where frames help each other, they may differ by a part of the noise,
        as those far away are not read. No dimension is dropped.
    whole : bool
        Return a copy of the whole image in which only the region is changed.

    Returns
    -------
    ndarray or dask.array.Array
        The result in the input's shape and grey values; float32 unless `keep_dtype`, or float64 where float32 cannot
        hold the noise (on grey values of 3e9, say). A NumPy image (memmap included) gives a
        NumPy array; any other gives a lazy dask array, of which only the noise has been measured.
    ndarray or dask.array.Array
        Only with `uncertainty`: the expected error of every pixel, float32, a standard deviation in grey values (the
        estimate of the posterior variance by Manor & Michaeli, ICLR 2024, arXiv:2309.13598, averaged over a few
        pixels). 0 where there was no noise to remove, NaN at pixels that were not denoised. It knows nothing of an
        error of the noise measurement, nor of structures unlike all that the network was trained on.

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
        camera=given_mask(camera, ("image",)),
        strength=strength,
        blend=blend,
        frames=frames,
        self_ensemble=self_ensemble,
        uncertainty=uncertainty,
        model=model,
        pixel_size=pixel_size,
        axes=given.axes,
        tile=tile,
        device=device,
        precision=precision,
        keep_dtype=keep_dtype,
        region=region,
        whole=whole,
    )
    result = finish(denoise_steps(given.pixels, given.calibrate(options)))
    result.warn()
    return (result.data, result.companions[TITLE]) if uncertainty else result.data


def denoise_steps(
    image: ImageArray, options: DenoiseOptions, *, lazy: bool | None = None
) -> Generator[Progress, None, Result]:
    """Run `denoise` step by step.

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
    source = as_source(image)
    plan = yield from _plan(source, options)
    yield Progress(0, 0, "loading the network")
    # Under its own note, as this may take seconds; the tiles find it loaded.
    load_network(find_model(options.model, "denoise"), options.device, precision=options.precision)
    return (yield from run_plan(plan, lazy=is_lazy(source) if lazy is None else lazy, started=started))


def expected_seconds(image: ImageArray, options: DenoiseOptions) -> float:
    """Return how long `denoise` will take for this image on this machine, from the time of one small tile.

    The first call loads the network and takes about a second.
    """
    source = as_source(image)
    axes = resolve_axes(options.axes, source.shape)
    spec = find_model(options.model, "denoise")
    views = _views(spec, options)
    grid = plan_grid(source.shape, axes, planned(spec, views), tile=options.tile, device=options.device)
    frames = _frames(spec, options)
    work = work_per_pixel(source.shape, axes, frames, views)
    pixels = cut(grid, options, axes).pixels_read * work
    if options.uncertainty:
        planes = DenoisePlanes(spec, options.device, axes, (), options.strength, options.blend, views=views)
        # The kernel is made only for its tiles and its passes: no channel was measured.
        more = _expected_error(grid, planes)
        # Every pass runs the network once for each view.
        pixels += cut(more.grid, options, axes).pixels_read * views * more.steps
    took = pixels * load_network(spec, options.device, precision=options.precision).seconds_per_pixel()
    # What decides is computed in float32, which takes several times as long on some processors.
    trial = trial_pixels(source.shape, axes, frames)
    return took + (trial * load_network(spec, options.device).seconds_per_pixel() if trial else 0.0)


def measured_planes(image: ImageArray, axes: Axes) -> DenoisePlanes:
    """Return the tile function of `denoise` with all that it measures: training must see what the network will see."""
    # The plan measures all that the network is told; the rest of it is dropped.
    kernel = finish(_plan(as_source(image), DenoiseOptions(axes=axes.letters, frames="none"))).kernel
    assert isinstance(kernel, DenoisePlanes)
    return kernel


def _plan(source: ImageArray, options: DenoiseOptions) -> Generator[Progress, None, Plan]:
    axes = resolve_axes(options.axes, source.shape)
    spec = find_model(options.model, "denoise")
    device = resolve_device(options.device)
    sampled = sample_channels(source, axes)  # read once: a lazy source may be slow
    # The fingerprint is that of the recorded pixels, not of the corrected ones: files hold the former.
    facts, camera = input_facts(source, sampled), _camera(source, axes, options.camera)
    seen: Any = source if camera is None else Corrected(source, axes, camera)
    # Noise is measured on what the network will see.
    if camera is not None:
        sampled = sample_channels(seen, axes)
    noise = noise_per_channel(sampled, options.noise)
    # None for a strength of 0: every channel comes back as it is.
    channels = tuple(
        None
        if not options.strength
        else scaled_channel(crops, spec)
        if spec.scaling
        else channel_constants(crops, model)
        for crops, model in zip(sampled, noise, strict=True)
    )
    precision = lowest_precision(options, [spec])
    most = kernel_precision(options, precision)
    planes = DenoisePlanes(
        spec, options.device, axes, channels, options.strength, options.blend, most, _views(spec, options)
    )
    # After the channels, whose transforms it changes, and before frames, which use these.
    planes = planes.conserving_light(sampled)
    # May run a trial on some frames, if the choice is "auto".
    fused = yield from plan_frames(seen, planes, _frames(spec, options), tile=options.tile)
    if options.uncertainty:
        check_uncertainty(spec, fused=fused.kernel is not None)
    # Neighbouring frames take memory of their own, so that their plan brings its tiles.
    grid = fused.grid or plan_grid(source.shape, axes, planes.planned, tile=options.tile, device=device)
    error = {TITLE: _expected_error(grid, planes)} if options.uncertainty else {}
    return Plan(
        task="denoise",
        nature="restored",
        source=seen,
        axes=axes,
        options=options,
        beside=("noise", "camera"),
        kernel=fused.kernel if fused.kernel else planes,
        grid=grid,
        # Of the recorded image: the corrected one is float32 and would hide an integer dtype to keep.
        dtype=result_dtype(source.dtype, sampled, noise, keep=options.keep_dtype),
        noise=noise,
        input=facts,
        model=spec.facts(),
        device=device,
        warnings=(
            *_notes(channels, options),
            *notes_on_model(spec, noise, options.pixel_size),
            *notes_on_others(spec),
            *fused.notes,
        ),
        facts={"precision": precision}
        | ({"frames": fused.facts} if fused.facts else {})
        | ({} if camera is None else {"camera": camera_facts(camera)})
        | {TITLE.replace(" ", "_"): ErrorPlanes(planes).facts() for _ in error},
        steps=fused.steps,
        companions=error,
    )


def _expected_error(tiles: TileGrid, planes: DenoisePlanes) -> Companion:
    """Return how the expected error is computed, in tiles of the same size as the image."""
    kernel, axes = ErrorPlanes(planes), planes.axes
    side = tiles.tile[axes.y], tiles.tile[axes.x]
    grid = plan_grid(tiles.shape, axes, kernel.spec, tile=side, device=planes.device)
    return Companion(kernel=kernel, grid=grid, steps=kernel.passes, outside=math.nan)


def _views(spec: ModelCard, options: DenoiseOptions) -> int:
    check_views(spec, options.self_ensemble)
    return WAYS if options.self_ensemble else 1


def _frames(spec: ModelCard, options: DenoiseOptions) -> Frames:
    """Return the option ``frames`` for a model, and refuse what a model of others cannot do."""
    if not spec.scaling:
        return options.frames
    if options.frames not in ("auto", "none"):
        raise OptionError(
            f"frames must be 'none' for the model {spec.name!r}, got {options.frames!r}: made by others, it takes one "
            "plane at a time"
        )
    # 0 needs no network, and 1 is what the network does.
    if options.strength not in (0.0, 1.0):
        raise OptionError(
            f"strength must be 1 for the model {spec.name!r}, got {options.strength:g}: made by others, it cannot be "
            "told how strong the noise is; to keep some of it, set blend"
        )
    return "none"


def _camera(source: ImageArray, axes: Axes, given: Any) -> CameraMaps | None:
    if given is None:
        return None
    if axes.rgb:
        raise OptionError("camera maps are those of a monochrome sensor, and the image is RGB: give one without")
    return camera_maps(given, (source.shape[axes.y], source.shape[axes.x]))


def _notes(channels: tuple[Channel | None, ...], options: DenoiseOptions) -> list[str]:
    notes = [_note_on_noise(channels, options), _note_on_hot(channels)]
    notes += missing_note([channel.missing for channel in channels if channel])
    return [note for note in notes if note]


def _note_on_noise(channels: tuple[Channel | None, ...], options: DenoiseOptions) -> str:
    # The user asked for nothing with a strength of 0, so that nothing has to be explained.
    untouched = [i for i, channel in enumerate(channels) if channel is None]
    if options.strength == 0 or not untouched:
        return ""
    which = "the image" if len(channels) == 1 else f"channel {', '.join(map(str, untouched))}"
    return f"no noise was found in {which}, so it comes back unchanged"


def _note_on_hot(channels: tuple[Channel | None, ...]) -> str:
    hot = max((channel.noise.hot_fraction for channel in channels if channel), default=0.0)
    # Single ones are hardly worth a word, unlike so many that some of them touch.
    if hot < CROWDS[1].fraction:
        return ""
    return (
        f"{100 * hot:.2g} % of the pixels are hot or dead ones, which are no noise: they were left out and come back "
        "as they are; inpaint with detect 'hot' fills them in"
    )
