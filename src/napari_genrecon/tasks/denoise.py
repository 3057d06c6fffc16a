"""Denoise: stabilise the noise, remove it with a network that is told its strength and correlation, and go back.

The pipeline per plane is a variance-stabilising transform, a Gaussian denoiser, and the exact unbiased inverse
(Makitalo & Foi, IEEE TIP 2013). The noise model and the centre of each channel are measured once for the whole image.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.intensity import (
    as_plane,
    fill_non_finite,
    find_missing,
    measure_centre,
    missing_note,
    without_missing,
)
from napari_genrecon.engine.lazy import is_lazy
from napari_genrecon.engine.memory import check_tile
from napari_genrecon.engine.run import Progress, Tiled, finish, run_tiles
from napari_genrecon.engine.tiles import Tile, TileGrid
from napari_genrecon.errors import OptionError
from napari_genrecon.io.provenance import clipping_note, make_record
from napari_genrecon.models import ModelSpec, find_model, load_denoiser, resolve_device
from napari_genrecon.noise import NoiseModel, Stabiliser, fill_hot, measure_hot_fraction, stabiliser
from napari_genrecon.tasks.measure import Noise, as_source, input_facts, noise_per_channel, sample_channels
from napari_genrecon.tasks.plan import lazy_result, output_facts, plan_grid, result_dtype, tell_planes
from napari_genrecon.tasks.result import Result
from napari_genrecon.tasks.shared_options import AxesOption, DeviceOption, KeepDtypeOption, TileOption

__all__ = ["DenoiseOptions", "denoise", "denoise_steps", "expected_seconds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiseOptions:
    """What can be chosen.

    Attributes
    ----------
    noise : NoiseModel, tuple of NoiseModel, float or None
        One model, one per channel, or the s.d. of white noise in grey values; None measures it from the image.
    strength, blend, model, axes, tile, device, keep_dtype
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
    model: Annotated[str, {"choices": "models", "tooltip": "The network; 'auto' takes the default"}] = "auto"
    axes: AxesOption = None
    tile: TileOption = None
    device: DeviceOption = "auto"
    keep_dtype: KeepDtypeOption = False

    def __post_init__(self) -> None:
        for name, low, high in (("strength", 0.0, 1.5), ("blend", 0.0, 1.0)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise OptionError(f"{name} must lie between {low:g} and {high:g}, got {value}")
        if self.tile is not None:
            check_tile(self.tile, 1)
        if isinstance(self.noise, int | float):
            NoiseModel.white(float(self.noise))


def denoise(
    image: Any,
    *,
    noise: Noise | float | None = None,
    strength: float = 1.0,
    blend: float = 0.0,
    model: str = "auto",
    axes: str | None = None,
    tile: int | tuple[int, int] | None = None,
    device: str = "auto",
    keep_dtype: bool = False,
) -> Any:
    """Remove the noise of an image.

    Parameters
    ----------
    image : (..., Y, X) or (..., Y, X, S) array_like
        Any real dtype. Every YX plane is denoised by itself; NaN and infinite pixels stay where they are, and so do
        hot and dead ones, which stand alone far from their neighbours: they are left out, spoil nothing around them,
        and come back as they were, as do constant regions far outside the rest (padding, burnt-in bars). The alpha
        channel of RGBA is copied.
    noise : NoiseModel, tuple of NoiseModel, float or None
        A noise model (or one per channel), or the s.d. of white noise in grey values. None measures it from the image.
    strength : float
        Factor on the noise s.d. that is removed, in [0, 1.5].
    blend : float
        Share of the input mixed back into the result, in [0, 1].
    model : str
        A name that `list_models` lists, or ``"auto"``.
    axes : str, optional
        One letter per dimension, such as ``"TCYX"``; inferred from the shape if not given (see `napari_genrecon.axes`).
    tile : int or (int, int), optional
        Side of a tile in pixels, or height and width; chosen from the free memory if not given. Does not change the
        result.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
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
    options = DenoiseOptions(
        noise=noise,
        strength=strength,
        blend=blend,
        model=model,
        axes=axes,
        tile=tile,
        device=device,
        keep_dtype=keep_dtype,
    )
    result = finish(denoise_steps(image, options))
    result.warn()
    return result.data


def denoise_steps(
    image: Any, options: DenoiseOptions, *, lazy: bool | None = None
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
    load_denoiser(plan.spec, options.device)
    if is_lazy(plan.source) if lazy is None else lazy:
        return lazy_result(plan.kernel, plan.source, plan.grid, plan.dtype, plan.axes, plan.record())
    tiled = yield from tell_planes(run_tiles(plan.kernel, plan.source, plan.grid, plan.dtype), plan.n_planes)
    return Result(tiled.array, plan.axes, plan.record(tiled, time.perf_counter() - started))


def expected_seconds(image: Any, options: DenoiseOptions) -> float:
    """How long `denoise` will take for this image on this machine, from the time of one small tile.

    The first call loads the network and takes about a second.
    """
    source = as_source(image)
    axes = resolve_axes(options.axes, source.shape)
    spec = find_model(options.model, "denoise")
    grid = plan_grid(source.shape, axes, spec, tile=options.tile, device=options.device)
    return source.size * grid.read_share * load_denoiser(spec, options.device).seconds_per_pixel()


# Noise s.d. that are taken away at most: noise is never larger. Where there is next to none, the error of the network
# at a strong edge is.
_FARTHEST = 8.0
_MANY_HOT = 3e-4  # of the pixels, from which it is worth a word


@dataclass(frozen=True, slots=True)
class _Channel:
    """The constants of one channel, measured over the whole image."""

    noise: NoiseModel
    transform: Stabiliser
    fill: float  # grey value for pixels that are not finite
    centre: float  # of the stabilised values
    rho: tuple[float, float]
    missing: tuple[float, ...]  # grey values of padding, which count for nothing


@dataclass(frozen=True, slots=True)
class DenoisePlanes:
    """Denoises the one plane of a tile: a plain value, so that it can be sent to other processes."""

    spec: ModelSpec
    device: str
    axes: Axes
    channels: tuple[_Channel | None, ...]  # None: nothing to remove
    strength: float
    blend: float

    def __call__(self, block: NDArray[Any], tile: Tile) -> NDArray[Any]:
        """Denoise a block of one plane; `tile` tells which channel it belongs to."""
        index = 0 if self.axes.channel is None else int(tile.src[self.axes.channel].start)
        channel = self.channels[index] if index < len(self.channels) else None
        if channel is None:
            return block
        plane = as_plane(block, self.axes)
        return self._denoise(plane, channel).reshape(block.shape)

    def _denoise(self, plane: NDArray[Any], channel: _Channel) -> NDArray[Any]:
        # Python floats keep float32 as it is; integers need float64, of which large ones lose nothing.
        plane = plane.astype(np.float32 if plane.dtype.itemsize <= 2 else np.float64, copy=False)
        # A hot pixel is no noise, and would be smeared over its neighbours: it is left out, and comes back as it was.
        even, hot = fill_hot(without_missing(plane, channel.missing), channel.noise)
        even, bad = fill_non_finite(even, channel.fill)
        stabilised = channel.transform.forward(even) - channel.centre
        clean = load_denoiser(self.spec, self.device)(stabilised, self.strength, channel.rho)
        farthest = _FARTHEST * self.strength
        clean = np.clip(clean, stabilised - farthest, stabilised + farthest)
        restored = channel.transform.inverse(clean + channel.centre, dtype=plane.dtype)
        kept = hot if bad is None else hot | bad
        if self.blend:
            restored = (1 - self.blend) * restored + self.blend * even
        return np.where(kept, plane, restored)


def denoising_planes(
    spec: ModelSpec, device: str, axes: Axes, sampled: Sequence[list[NDArray[Any]]], noise: Sequence[NoiseModel]
) -> DenoisePlanes:
    """The tile function that removes all of this noise, for a task that denoises before it does something else.

    Parameters
    ----------
    spec, device : ModelSpec, str
        The denoiser, and where it runs.
    axes : Axes
        Of the image.
    sampled : sequence of lists of ndarray
        Crops of every channel.
    noise : sequence of NoiseModel
        Of every channel.
    """
    channels = tuple(_channel(crops, model, DenoiseOptions()) for crops, model in zip(sampled, noise, strict=True))
    return DenoisePlanes(spec, device, axes, channels, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that is decided before the first tile."""

    source: Any
    axes: Axes
    options: DenoiseOptions
    spec: ModelSpec
    noise: tuple[NoiseModel, ...]
    kernel: DenoisePlanes
    grid: TileGrid
    dtype: np.dtype[Any]
    warnings: tuple[str, ...]
    input: dict[str, Any]

    @property
    def n_planes(self) -> int:
        return self.axes.n_planes(self.source.shape)

    def record(self, tiled: Tiled | None = None, seconds: float | None = None) -> dict[str, Any]:
        options = asdict(replace(self.options, noise=None))
        del options["noise"]  # it stands in full beside the options
        clipped = None if tiled is None else tiled.clipped
        return make_record(
            "denoise",
            "restored",
            options=options,
            model=self.spec.facts(),
            noise=[model.to_dict() for model in self.noise],
            axes={"letters": self.axes.letters, "assumed": self.axes.assumed},
            input=self.input,
            output=output_facts(self.dtype, tiled),
            tile={"size": list(tiled.tile if tiled else self.grid.tile), "halo": list(self.grid.halo)},
            device=resolve_device(self.options.device),
            seed=None,  # nothing is random
            seconds=None if seconds is None else round(seconds, 3),
            warnings=[*self.warnings, *clipping_note(clipped, self.dtype)],
        )


def _plan(source: Any, options: DenoiseOptions) -> _Plan:
    axes = resolve_axes(options.axes, source.shape)
    spec = find_model(options.model, "denoise")
    resolve_device(options.device)
    sampled = sample_channels(source, axes)  # read once: a lazy source may be slow
    noise = noise_per_channel(sampled, options.noise)
    channels = tuple(_channel(crops, model, options) for crops, model in zip(sampled, noise, strict=True))
    kernel = DenoisePlanes(spec, options.device, axes, channels, options.strength, options.blend)
    return _Plan(
        source=source,
        axes=axes,
        options=options,
        spec=spec,
        noise=noise,
        kernel=kernel,
        grid=plan_grid(source.shape, axes, spec, tile=options.tile, device=options.device),
        dtype=result_dtype(source.dtype, sampled, noise, keep=options.keep_dtype),
        warnings=tuple(_notes(channels, options)),
        input=input_facts(source, sampled),
    )


def _channel(crops: list[NDArray[Any]], noise: NoiseModel, options: DenoiseOptions) -> _Channel | None:
    missing = find_missing(crops)
    crops = [without_missing(crop, missing) for crop in crops]
    fill = measure_centre(crops)
    if noise.sigma == 0 or options.strength == 0:
        return None
    noise = replace(noise, hot_fraction=measure_hot_fraction(crops, noise))  # of this image, whoever gave the model
    # Where the noise is the same at every level the offset is free: near the data, float32 loses nothing.
    transform = stabiliser(noise if noise.gain or not noise.affine else replace(noise, offset=fill))
    centre = float(transform.forward(np.array([fill]))[0])
    return _Channel(noise, transform, fill, centre, (noise.rho_x, noise.rho_y), missing)


def _notes(channels: tuple[_Channel | None, ...], options: DenoiseOptions) -> list[str]:
    notes = [_note_on_noise(channels, options), _note_on_hot(channels)]
    notes += missing_note([channel.missing for channel in channels if channel])
    return [note for note in notes if note]


def _note_on_noise(channels: tuple[_Channel | None, ...], options: DenoiseOptions) -> str:
    untouched = [i for i, channel in enumerate(channels) if channel is None]
    if options.strength == 0 or not untouched:
        return ""
    which = "the image" if len(channels) == 1 else f"channel {', '.join(map(str, untouched))}"
    return f"no noise was found in {which}, so it comes back unchanged"


def _note_on_hot(channels: tuple[_Channel | None, ...]) -> str:
    hot = max((channel.noise.hot_fraction for channel in channels if channel), default=0.0)
    if hot < _MANY_HOT:
        return ""
    return (
        f"{100 * hot:.2g} % of the pixels are hot or dead ones, which are no noise: they were left out and come back "
        "as they are; inpaint with detect 'hot' fills them in"
    )
