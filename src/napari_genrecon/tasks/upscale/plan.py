"""Plan an enlargement: choose the network, the noise that it removes and the tiles."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from napari_genrecon.arrays import ImageArray
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.intensity import measure_centre
from napari_genrecon.engine.missing import find_missing, missing_note, without_missing
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import OptionError
from napari_genrecon.models import ModelCard, PerAxis, find_model, list_models, resolve_device
from napari_genrecon.noise import NoiseModel
from napari_genrecon.numerics.resample import BACK_PROJECTION_REACH
from napari_genrecon.numerics.symmetries import WAYS
from napari_genrecon.tasks.denoise import denoising_planes
from napari_genrecon.tasks.measure import input_facts, noise_per_channel, sample_channels
from napari_genrecon.tasks.others import check_views, grey_scale, notes_on_others
from napari_genrecon.tasks.plan import Plan, kernel_precision, lowest_precision, plan_grid, result_dtype, run_plan
from napari_genrecon.tasks.task import Result
from napari_genrecon.tasks.upscale.consistency import ConsistencyAudit, Enlarger
from napari_genrecon.tasks.upscale.options import EnlargingOptions, UpscaleOptions
from napari_genrecon.tasks.upscale.planes import UpscaledChannel, UpscalePlanes

__all__ = [
    "ROUNDS",
    "Measured",
    "geometry",
    "measure",
    "notes",
    "plan_planes",
    "run_audited",
    "noise_to_remove",
    "upscale_plan",
    "upscaled_channels",
]

ROUNDS = 5  # of back-projection: they reduce a mismatch to a tenth at the finest scale and remove it at coarser ones
_LEFT = 0.1  # share of the noise s.d. that the denoiser leaves; given it, the network corrects the softness as well
# Lag-1 correlation beyond which measured noise is left in: it is fine texture as often as noise. A smaller value leaves
# true noise of a camera in, a larger one removes texture.
_CORRELATED = 0.35
_CORRELATED_WORDS = "the noise looks correlated from pixel to pixel, as fine texture does"
# Contrast in noise s.d. beyond which removing the noise costs more sharpness than it is worth. Where no flat patch was
# found, the measured noise may be fine detail, so that the limit is lower.
_CLEAN_SNR, _CLEAN_SNR_TEXTURED = 150.0, 20.0
_BACK_PROJECTION_WORK = 0.5  # seconds of `ROUNDS` rounds in those of the network; only times and tiles follow from it


@dataclass(frozen=True, slots=True)
class Measured:
    """Axes, crops and noise of an image.

    Attributes
    ----------
    axes : Axes
        Axes of the image.
    sampled : tuple of lists of ndarray
        Crops of every channel.
    noise : tuple of NoiseModel
        Per channel, measured or given.
    input : dict
        The record's entry about the image.
    """

    axes: Axes
    sampled: tuple[list[Any], ...]
    noise: tuple[NoiseModel, ...]
    input: dict[str, Any]


def measure(source: ImageArray, options: EnlargingOptions) -> Measured:
    """Read the image once, as a lazy one may be slow, and measure its noise if none was given."""
    axes = resolve_axes(options.axes, source.shape)
    sampled = sample_channels(source, axes)
    # A white noise of 0 cannot be: no noise is a model of its own.
    noise = noise_per_channel(sampled, NoiseModel() if options.noise == 0 else options.noise)
    return Measured(axes, sampled, noise, input_facts(source, sampled))


def upscale_plan(
    task: str, source: ImageArray, options: EnlargingOptions, measured: Measured, kernel: Enlarger, **decided: Any
) -> Plan:
    """Return the plan of a task that gives an image more pixels.

    Further keywords (`decided`) are fields of `Plan`; its `facts` are extended by factor and output shape.
    """
    # Needed for the facts below, and passed on to `Plan` with the rest.
    grid = decided["grid"]
    facts = {"factor": list(grid.scale), "output": {"shape": list(grid.out_shape)}, **decided.pop("facts", {})}
    return Plan(
        task=task,
        nature="upscaled",
        source=source,
        axes=measured.axes,
        options=options,
        kernel=kernel,
        dtype=result_dtype(source.dtype, measured.sampled, measured.noise, keep=options.keep_dtype),
        noise=measured.noise,
        input=measured.input,
        device=resolve_device(options.device),
        facts=facts | {"consistency": {"rms": None, "rounds": kernel.rounds}},
        **decided,
    )


def run_audited(plan: Plan, *, lazy: bool, started: float) -> Generator[Progress, None, Result]:
    """Enlarge tile by tile, or return a lazy result, and record how well the result fits the image."""
    # A lazy result is computed plane by plane, much later and perhaps in part: nothing is audited then.
    audit = ConsistencyAudit(cast("Enlarger", plan.kernel), plan.axes)
    result = yield from run_plan(plan if lazy else replace(plan, kernel=audit), lazy=lazy, started=started)
    # The record was made before `audit` could be read, and is extended here.
    fit = result.record["consistency"] | {"rms": None if lazy else audit.rms()}
    return replace(result, record={**result.record, "consistency": fit})


def plan_planes(source: ImageArray, options: UpscaleOptions, measured: Measured) -> Plan:
    """Plan how to enlarge every YX plane."""
    spec, why = chosen_model(options, measured.noise)
    first = find_model(spec.denoiser, "denoise") if spec.denoiser else None
    # A network without a denoiser is told that there is no noise.
    noise = noise_to_remove(measured.noise, options) if first else (NoiseModel(),) * len(measured.noise)
    channels = upscaled_channels(measured, noise, _LEFT)
    if spec.scaling:
        channels = _scaled(channels, measured, spec)
    precision = lowest_precision(options, [spec])
    kernel = UpscalePlanes(
        spec,
        options.device,
        measured.axes,
        channels,
        options.factor,
        rounds=ROUNDS if options.consistent else 0,
        # In float32: an enlargement would double the error of bfloat16.
        denoise=denoising_planes(first, options.device, measured.axes, measured.sampled, noise) if first else None,
        views=WAYS if options.self_ensemble else 1,
        precision=kernel_precision(options, precision),
    )
    return upscale_plan(
        "upscale",
        source,
        options,
        measured,
        kernel,
        grid=plan_grid(source.shape, measured.axes, geometry(spec, options), tile=options.tile, device=options.device),
        model={**spec.facts(), "chosen": why, **({"denoiser": first.facts()} if first else {})},
        warnings=(
            *notes(measured.noise, options, bool(first or spec.scaling)),
            *missing_note([channel.missing for channel in channels]),
            *notes_on_others(spec),
        ),
        facts={"precision": precision},
        steps=lambda: kernel.steps,
    )


def upscaled_channels(
    measured: Measured, noise: Sequence[NoiseModel], left: float = 1.0
) -> tuple[UpscaledChannel, ...]:
    """Return the constants of every channel."""
    channels = []
    for crops, model in zip(measured.sampled, noise, strict=True):
        missing = find_missing(crops)
        # Padding lies far outside the rest, and would move a median if it were half of the image.
        centre = measure_centre([without_missing(crop, missing) for crop in crops])
        channels.append(UpscaledChannel(model, centre, left, missing))
    return tuple(channels)


def _scaled(channels: tuple[UpscaledChannel, ...], measured: Measured, spec: ModelCard) -> tuple[UpscaledChannel, ...]:
    """Return the channels with their grey values on the scale of a network of others."""
    found = []
    for channel, crops in zip(channels, measured.sampled, strict=True):
        zero, unit = grey_scale(spec, [without_missing(crop, channel.missing) for crop in crops])
        found.append(replace(channel, centre=zero, unit=unit))
    return tuple(found)


def geometry(spec: ModelCard, options: UpscaleOptions) -> ModelCard:
    """Return the model's card with the scale and the halo of this run, a denoiser and back-projection included."""
    halo, stride = spec.halo.x, spec.stride.x
    if spec.denoiser:
        first = find_model(spec.denoiser, "denoise")
        # Tiles begin on whole strides of the denoiser, which runs first.
        stride = first.stride.x
        halo = first.halo.x + -(-halo // stride) * stride  # rounded up: the denoiser needs whole strides
        spec = replace(spec, stride=first.stride, work=spec.work + first.work, tile_pixels=first.tile_pixels)
    if options.consistent:
        # Each round lets a pixel depend on others further out; rounded up to whole strides.
        halo += -(-ROUNDS * BACK_PROJECTION_REACH // stride) * stride
        # With such a wide halo small tiles are no faster any more: the halo is most of their work.
        spec = replace(spec, work=spec.work * (1 + _BACK_PROJECTION_WORK), tile_pixels=None)
    return replace(spec, halo=PerAxis.planes(halo, 0), scale=PerAxis.planes(options.factor, 1))


def noise_to_remove(noise: tuple[NoiseModel, ...], options: EnlargingOptions) -> tuple[NoiseModel, ...]:
    """Return the noise to remove, per channel: measured noise that is correlated only if a model was asked for."""
    if options.model != "auto":
        return noise
    return tuple(NoiseModel() if _correlated(model) and _was_measured(model) else model for model in noise)


def chosen_model(options: UpscaleOptions, noise: tuple[NoiseModel, ...]) -> tuple[ModelCard, str]:
    """Return the model, and a sentence that says why it was chosen."""
    if options.model != "auto":
        spec = find_model(options.model, "upscale")
        # Networks of others enlarge by one factor; ours do all of them.
        if spec.scaling and spec.scale.x != options.factor:
            raise OptionError(
                f"the model {spec.name!r} enlarges {spec.scale.x} times, and the factor is {options.factor}: set it to "
                f"{spec.scale.x} (factor), or choose another model"
            )
        check_views(spec, options.self_ensemble)
        return spec, "asked for"
    noisy = [model for model in noise_to_remove(noise, options) if _worth_removing(model)]
    # The model with a denoiser for a noisy image, that without one for a clean image; "auto" where there is none such.
    wanted = next((spec for spec in list_models("upscale") if bool(spec.denoiser) == bool(noisy)), None)
    spec = find_model("auto", "upscale") if wanted is None else wanted
    if noisy:
        sigma = max(model.sigma for model in noisy)  # 0 for photon counts, whose noise is that of the light alone
        return spec, "the image is noisy" + (f" (s.d. {sigma:.3g} grey values)" if sigma else "")
    if noise_to_remove(noise, options) != noise:
        return spec, f"{_CORRELATED_WORDS}, and was left in"
    return spec, "the image has no noise that is worth removing"


def _worth_removing(noise: NoiseModel) -> bool:
    if not _is_noisy(noise):
        return False
    # Noise that was given is taken at its word, and a contrast of 0 is an unknown one.
    if not _was_measured(noise) or not noise.snr:
        return True
    return noise.snr < (_CLEAN_SNR_TEXTURED if noise.textured else _CLEAN_SNR)


def _is_noisy(noise: NoiseModel) -> bool:
    return noise.sigma > 0 or noise.gain > 0


def _was_measured(noise: NoiseModel) -> bool:
    return noise.method != "given"


def _correlated(noise: NoiseModel) -> bool:
    return _is_noisy(noise) and max(abs(noise.rho_x), abs(noise.rho_y)) > _CORRELATED


def notes(noise: tuple[NoiseModel, ...], options: EnlargingOptions, removes: bool) -> list[str]:
    """Return notes for the user about the noise.

    Parameters
    ----------
    noise : tuple of NoiseModel
        Noise of the image, per channel.
    options : EnlargingOptions
        Options of the task.
    removes : bool
        Whether the chosen model removes noise.
    """
    found = []
    if noise_to_remove(noise, options) != noise and any(map(_worth_removing, noise)):
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
    if options.consistent and any(map(_is_noisy, noise)):
        found.append("the image is noisy and the result was made consistent with it, noise included: denoise first")
    return found
