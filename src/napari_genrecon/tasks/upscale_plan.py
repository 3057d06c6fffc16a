"""All that is decided before the first tile is enlarged: which network, which noise it is told, which tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.intensity import find_missing, measure_centre, missing_note, without_missing
from napari_genrecon.engine.resample import BACK_PROJECTION_REACH
from napari_genrecon.engine.run import Progress, Tiled
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.io.provenance import clipping_note, make_record
from napari_genrecon.models import ModelSpec, find_model, list_models, resolve_device
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.consistency import ConsistencyAudit
from napari_genrecon.tasks.denoise import denoising_planes
from napari_genrecon.tasks.enlarging import VIEWS, UpscaledChannel, UpscalePlanes
from napari_genrecon.tasks.measure import input_facts, noise_per_channel, sample_channels
from napari_genrecon.tasks.plan import output_facts, plan_grid, result_dtype
from napari_genrecon.tasks.side_views import UpscaleSides
from napari_genrecon.tasks.upscale_options import UpscaleOptions

__all__ = [
    "ROUNDS",
    "Measured",
    "UpscalePlan",
    "chosen_model",
    "geometry",
    "measure",
    "plan_planes",
    "told",
    "upscaled_channels",
]

ROUNDS = 5  # of back-projection: what is left of a mismatch is a tenth of it at the finest scale, nothing elsewhere
_LEFT = 0.1  # share of the noise s.d. that the denoiser leaves; told so, the network corrects its softness as well
# Measured noise beyond this lag-1 correlation is left in: as often as not it is fine texture, which a small image is
# full of.
_CORRELATED = 0.35
_CORRELATED_WORDS = "the noise looks correlated from pixel to pixel, as fine texture does"
# Contrast in noise s.d. beyond which noise is not worth the sharpness that removing it costs. Where no flat patch was
# found, what was measured may be the finest detail instead.
_CLEAN_SNR, _CLEAN_SNR_TEXTURED = 150.0, 20.0
_BACK_PROJECTION_WORK = 0.5  # of the network's time


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found out about an image.

    Attributes
    ----------
    axes : Axes
        Of the image.
    sampled : tuple of lists of ndarray
        Crops of every channel.
    noise : tuple of NoiseModel
        Per channel, measured or given.
    input : dict
        What the record says about it.
    """

    axes: Axes
    sampled: tuple[list[Any], ...]
    noise: tuple[NoiseModel, ...]
    input: dict[str, Any]


def measure(source: Any, options: UpscaleOptions) -> Measured:
    """Read the image once, as a lazy one may be slow, and measure its noise if none was given."""
    axes = resolve_axes(options.axes, source.shape)
    sampled = sample_channels(source, axes)
    noise = noise_per_channel(sampled, NoiseModel() if options.noise == 0 else options.noise)
    return Measured(axes, sampled, noise, input_facts(source, sampled))


@dataclass(frozen=True, slots=True)
class UpscalePlan:
    """All that is decided before the first tile.

    Attributes
    ----------
    source, options
        The image and what was asked for.
    measured : Measured
        What was found out about the image.
    kernel : UpscalePlanes or UpscaleSides
        What is done to a tile.
    grid : TileGrid
        The tiles.
    dtype : dtype
        Of the result.
    model : dict
        What the record says about the network, and why it was chosen.
    notes : tuple of str
        What the user should know.
    facts : dict
        More for the record.
    steps : int
        Of progress per tile.
    work : (int, int)
        Of the training before the first tile and of all tiles, in one unit.
    """

    source: Any
    options: UpscaleOptions
    measured: Measured
    kernel: UpscalePlanes | UpscaleSides
    grid: TileGrid
    dtype: np.dtype[Any]
    model: dict[str, Any]
    notes: tuple[str, ...]
    facts: dict[str, Any]
    steps: int = 1
    work: tuple[int, int] = (0, 0)

    def of_all(self, progress: Progress) -> Progress:
        """Progress in the tiles as progress in all that was and is to be done."""
        before, tiles = self.work
        if not before:
            return progress
        return replace(progress, done=before + tiles * progress.done // progress.total, total=before + tiles)

    def record(
        self, tiled: Tiled | None = None, audit: ConsistencyAudit | None = None, seconds: float | None = None
    ) -> dict[str, Any]:
        """The record of the run, or of one that is computed later."""
        options = asdict(replace(self.options, noise=None))
        del options["noise"]  # it stands in full beside the options
        clipped = None if tiled is None else tiled.clipped
        axes = self.measured.axes
        return make_record(
            "upscale",
            "upscaled",
            options=options,
            model=self.model,
            factor=list(self.grid.scale),
            noise=[model.to_dict() for model in self.measured.noise],
            axes={"letters": axes.letters, "assumed": axes.assumed},
            input=self.measured.input,
            output={"shape": list(self.grid.out_shape), **output_facts(self.dtype, tiled)},
            consistency={"rms": None if audit is None else audit.rms(), "rounds": self.kernel.rounds},
            tile={"size": list(tiled.tile if tiled else self.grid.tile), "halo": list(self.grid.halo)},
            device=resolve_device(self.options.device),
            seconds=None if seconds is None else round(seconds, 3),
            warnings=[*self.notes, *clipping_note(clipped, self.dtype)],
            **self.facts,
        )


def plan_planes(source: Any, options: UpscaleOptions, measured: Measured) -> UpscalePlan:
    """The plan for enlarging every YX plane."""
    device = resolve_device(options.device)
    spec, why = chosen_model(options, measured.noise)
    first = find_model(spec.denoiser, "denoise") if spec.denoiser else None
    noise = told(measured.noise, options) if first else (NoiseModel(),) * len(measured.noise)
    channels = upscaled_channels(measured, noise, _LEFT)
    kernel = UpscalePlanes(
        spec,
        options.device,
        measured.axes,
        channels,
        options.factor,
        rounds=ROUNDS if options.consistent else 0,
        denoise=denoising_planes(first, device, measured.axes, measured.sampled, noise) if first else None,
        views=len(VIEWS) if options.self_ensemble else 1,
    )
    return UpscalePlan(
        source=source,
        options=options,
        measured=measured,
        kernel=kernel,
        grid=plan_grid(source.shape, measured.axes, geometry(spec, options), tile=options.tile, device=options.device),
        dtype=result_dtype(source.dtype, measured.sampled, measured.noise, keep=options.keep_dtype),
        model={**spec.facts(), "chosen": why, **({"denoiser": first.facts()} if first else {})},
        notes=(*notes(measured.noise, options, bool(first)), *missing_note([channel.missing for channel in channels])),
        facts={"seed": None},  # nothing is random
        steps=kernel.steps,
    )


def upscaled_channels(
    measured: Measured, noise: Sequence[NoiseModel], left: float = 1.0
) -> tuple[UpscaledChannel, ...]:
    """The constants of every channel."""
    channels = []
    for crops, model in zip(measured.sampled, noise, strict=True):
        missing = find_missing(crops)
        centre = measure_centre([without_missing(crop, missing) for crop in crops])
        channels.append(UpscaledChannel(model, centre, left, missing))
    return tuple(channels)


def geometry(spec: ModelSpec, options: UpscaleOptions) -> ModelSpec:
    """The model with the scale of this run and as much border as this run needs, that of a denoiser included."""
    if spec.denoiser:
        first = find_model(spec.denoiser, "denoise")
        halo = first.halo + -(-spec.halo // first.stride) * first.stride
        spec = replace(spec, halo=halo, stride=first.stride, work=spec.work + first.work, tile_pixels=first.tile_pixels)
    if options.consistent:
        reach = -(-ROUNDS * BACK_PROJECTION_REACH // spec.stride) * spec.stride
        # With a border that wide, small tiles lose what they gain.
        spec = replace(spec, halo=spec.halo + reach, work=spec.work * (1 + _BACK_PROJECTION_WORK), tile_pixels=None)
    return replace(spec, scale=options.factor)


def told(noise: tuple[NoiseModel, ...], options: UpscaleOptions) -> tuple[NoiseModel, ...]:
    """The noise that is to be removed; what was measured and is correlated, only if a model was asked for."""
    if options.model != "auto":
        return noise
    return tuple(NoiseModel() if _correlated(model) and _was_measured(model) else model for model in noise)


def chosen_model(options: UpscaleOptions, noise: tuple[NoiseModel, ...]) -> tuple[ModelSpec, str]:
    """The model, and why it was taken, in words."""
    if options.model != "auto":
        return find_model(options.model, "upscale"), "asked for"
    noisy = [model for model in told(noise, options) if _worth_removing(model)]
    wanted = next((spec for spec in list_models("upscale") if bool(spec.denoiser) == bool(noisy)), None)
    spec = find_model("auto", "upscale") if wanted is None else wanted
    if noisy:
        return spec, f"the image is noisy (s.d. {max(model.sigma for model in noisy):.3g} grey values)"
    if told(noise, options) != noise:
        return spec, f"{_CORRELATED_WORDS}, and was left in"
    return spec, "the image has no noise that is worth removing"


def _worth_removing(noise: NoiseModel) -> bool:
    if not noise.sigma > 0:
        return False
    if not _was_measured(noise) or not noise.snr:
        return True
    return noise.snr < (_CLEAN_SNR_TEXTURED if noise.textured else _CLEAN_SNR)


def _was_measured(noise: NoiseModel) -> bool:
    return noise.method != "given"


def _correlated(noise: NoiseModel) -> bool:
    return noise.sigma > 0 and max(abs(noise.rho_x), abs(noise.rho_y)) > _CORRELATED


def notes(noise: tuple[NoiseModel, ...], options: UpscaleOptions, removes: bool) -> list[str]:
    """What the user should know about the noise.

    Parameters
    ----------
    noise : tuple of NoiseModel
        Of the image.
    options : UpscaleOptions
        What was asked for.
    removes : bool
        Whether noise is removed.
    """
    found = []
    if told(noise, options) != noise:
        remover = next(
            (
                f"choose the model {spec.name!r} instead of 'auto', or "
                for spec in list_models("upscale")
                if spec.denoiser
            ),
            "",
        )
        found.append(f"{_CORRELATED_WORDS}, and was left in: if it is noise, {remover}denoise first")
    elif not removes and any(_worth_removing(model) for model in noise):
        found.append(f"the image is noisy and {options.model} does not remove noise: choose another, or denoise first")
    if options.consistent and any(model.sigma for model in noise):
        found.append("the image is noisy and the result was made consistent with it, noise included: denoise first")
    return found
