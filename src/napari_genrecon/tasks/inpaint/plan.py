"""All that is decided before the first pixel is filled in."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.intensity import measure_centre, sample_crops
from napari_genrecon.engine.lazy import Reader
from napari_genrecon.engine.memory import check_tile
from napari_genrecon.engine.missing import find_missing, missing_note, without_missing
from napari_genrecon.engine.run import Progress, map_progress
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.models import ModelCard, PerAxis, find_model, load_network, resolve_device
from napari_genrecon.noise import NoiseModel, stabiliser
from napari_genrecon.tasks.inpaint.damage import detect_damage, parse_kinds
from napari_genrecon.tasks.inpaint.fill import Recipe, find_recipe, first_error, hidden_error
from napari_genrecon.tasks.inpaint.findings import Findings, damage_once, digest, findings_once
from napari_genrecon.tasks.inpaint.missing_planes import find_neighbours, holds_enough, notes_on_missing
from napari_genrecon.tasks.inpaint.options import InpaintOptions
from napari_genrecon.tasks.inpaint.planes import Channel, InpaintPlanes, fill_with, to_values
from napari_genrecon.tasks.measure import input_facts, noise_per_channel, sample_channels
from napari_genrecon.tasks.plan import Plan, plan_grid

__all__ = ["InpaintPlan", "chosen_method", "find_spec", "fitted_mask", "make_grid", "plan_inpaint"]

S = TypeVar("S")

Crops = list[NDArray[Any]]
Mask = NDArray[np.bool_]

_HALO = 96  # pixels; see the notes of `make_grid`
_EXTRA_BYTES = 100  # per pixel of a tile, beyond the network's
_BIHARMONIC_TILE = 512
_BLOCK, _FEWEST_BLOCKS = 16, 16  # whole blocks of known pixels, from which noise can be measured
_NEGLIGIBLE = 0.2  # noise below this part of the error of an interpolation does not matter, and would only distort
_REHEARSAL = 160  # side of the crop on which the constants are found
_TRYING = "finding how to fill, on known pixels"
_TASKS = {"network": "inpaint", "pnp": "denoise", "auto": "denoise"}  # of the model that a method needs
_SAMPLE_LETTERS = "QPRNVWABDEFGHIJKLMOU"  # for the dimension of the samples: the first that is free; OME knows Q, P, R


@dataclass(frozen=True, slots=True, eq=False)
class InpaintPlan:
    """What `plan_inpaint` decided.

    Attributes
    ----------
    common : Plan
        What every task decides; its kernel makes the first sample.
    kernels : tuple of InpaintPlanes
        One per sample.
    limits : (float, float)
        Grey values beyond which there is only what was filled.
    """

    common: Plan
    kernels: tuple[InpaintPlanes, ...]
    limits: tuple[float, float]

    @property
    def filled(self) -> NDArray[np.uint8]:
        """1 where a pixel was filled in, of the image's shape; colours share one plane."""
        mask = self.kernels[0].mask
        return np.asarray(mask.any(axis=-1) if self.common.axes.rgb else mask, np.uint8)

    @property
    def out_axes(self) -> Axes:
        """Axes of the result: with a dimension for the samples, if there are several."""
        return _out_axes(self.common.axes, len(self.kernels))

    @property
    def counts(self) -> bool:
        """Whether it is known how many filled pixels do not fit into the dtype."""
        return self.kernels[0].dtype.kind == "f"


def _out_axes(axes: Axes, samples: int) -> Axes:
    if samples == 1:
        return axes
    letter = next(letter for letter in _SAMPLE_LETTERS if letter not in axes.letters)
    return Axes(letter + axes.letters, axes.assumed)


def _facts(kernel: InpaintPlanes, method: str, options: InpaintOptions) -> dict[str, Any]:
    """Return what the record of this task says beside what all records say."""
    recipes = [channel.recipe for channel in kernel.channels]
    return {
        "method": method,
        "mask": {"filled": int(np.count_nonzero(kernel.mask)), "planes": len(kernel.neighbours)},
        "axes": {"letters": _out_axes(kernel.axes, options.n).letters},
        "output": {} if kernel.dtype.kind == "f" else {"clipped": None, "nan": None},
        "steps": [None if recipe is None else _told(recipe) for recipe in recipes],
        "seed": options.seed if options.n > 1 else None,
    }


def _told(recipe: Recipe) -> dict[str, Any]:
    """A recipe in the record; errors are in units of the noise s.d. where there is noise, else in grey values."""
    found = asdict(recipe)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def plan_inpaint(source: Any, options: InpaintOptions) -> Generator[Progress, None, InpaintPlan]:
    """Check the mask, measure the noise of the known pixels, and find the constants of every channel.

    Raises
    ------
    ImageError, OptionError
        If mask, image or options do not fit.
    """
    axes = resolve_axes(options.axes, source.shape)
    method = chosen_method(options)
    spec = find_spec(options)
    mask = _whole_mask(source, axes, options)
    if not mask.any():  # no network is needed, nor a search for how to fill
        method, spec = "biharmonic", None
    whole = np.asarray(mask.all(axis=(axes.y, axes.x)))
    if whole.all():
        raise ImageError("the mask covers the whole image: nothing is known to fill it from")
    enough = cache(partial(holds_enough, source, mask, axes))  # a plane may lie beside several
    neighbours = yield from _saying(find_neighbours(whole, axes, enough), "looking beside missing planes")
    yield Progress(0, 0, "measuring the noise" if options.noise is None and spec else "preparing")
    sampled = sample_channels(source, axes)
    masks = tuple(_crops_of(mask, axes, len(sampled)))
    networks = _networks(method, spec, options.device)
    key = digest((options.noise, networks), chain.from_iterable((*sampled, *masks)))
    found = yield from findings_once(key, _find(sampled, masks, options.noise, networks))
    used = _used(networks, found.channels)
    dtype = source.dtype if options.keep_dtype else _exact(source.dtype)
    kernel = InpaintPlanes(
        read=Reader(source),
        mask=mask,
        neighbours=neighbours,
        filler=networks.filler,
        denoiser=networks.denoiser,
        device=options.device,
        axes=axes,
        channels=found.channels,
        halo=_HALO,
        stride=1 if spec is None else spec.stride.x,
        dtype=_working(np.dtype(dtype)),
    )
    samples = [(options.seed, i) for i in range(options.n)] if options.n > 1 else [None]
    filler = networks.filler if used.startswith("network") else spec
    common = Plan(
        task="inpaint",
        nature="inpainted",
        source=source,
        axes=axes,
        options=options,
        beside=("noise", "mask"),
        kernel=kernel,
        grid=make_grid(source.shape, axes, options, spec),
        dtype=np.dtype(dtype),
        noise=found.noise,
        input=input_facts(source, sampled),
        model=None if filler is None else filler.facts(),
        device="cpu" if filler is None else resolve_device(options.device),
        warnings=(
            *found.notes,
            *_notes(mask, options),
            *missing_note([channel.missing for channel in found.channels]),
            *notes_on_missing(neighbours, axes, enough),
        ),
        facts=_facts(kernel, used, options),
    )
    limits = _limits_of_known(source, mask, sampled, masks)
    return InpaintPlan(common, tuple(replace(kernel, sample=sample) for sample in samples), limits)


def _find(
    sampled: tuple[Crops, ...], masks: tuple[list[Mask], ...], given: Any, networks: _Networks
) -> Generator[Progress, None, Findings]:
    """Measure the noise of the known pixels, load the networks and find the constants of every channel."""
    needed = networks.denoiser is not None
    noise, notes = _noise(sampled, masks, given, measured=needed)
    if needed:
        yield Progress(0, 0, "loading the network")
        networks.load()
    channels = []
    for crops, unknown, model in zip(sampled, masks, noise, strict=True):
        channels.append((yield from _channel(crops, unknown, model, networks)))
    return Findings(noise, tuple(channels), tuple(notes))


def _limits_of_known(
    source: Any, mask: Mask, sampled: tuple[Crops, ...], masks: tuple[list[Mask], ...]
) -> tuple[float, float]:
    """The least and the greatest known grey value, where that of what is filled lies beyond; else infinite."""
    pairs = list(zip(chain.from_iterable(sampled), chain.from_iterable(masks), strict=True))
    known = [crop[~unknown & np.isfinite(crop)] for crop, unknown in pairs]
    filled = [source[mask]] if isinstance(source, np.ndarray) else [crop[unknown] for crop, unknown in pairs]
    (low, high), (least, greatest) = _range(known), _range([part[np.isfinite(part)] for part in filled])
    return low if least < low else -np.inf, high if greatest > high else np.inf


def _range(parts: list[NDArray[Any]]) -> tuple[float, float]:
    some = [part for part in parts if part.size]
    return min((float(part.min()) for part in some), default=np.inf), max(
        (float(part.max()) for part in some), default=-np.inf
    )


def _exact(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that holds every known pixel: a float where there is one, as what is filled in has fractions."""
    if dtype.itemsize <= (4 if dtype.kind == "f" else 2):
        return np.dtype(np.float32)
    return np.dtype(np.float64) if dtype.itemsize == 4 else dtype


def _working(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """In what tiles are filled: floats that hold every known pixel exactly, so that what does not fit can be counted.

    64-bit integers have no such float: there, filled pixels are clipped at once and nobody counts them.
    """
    return np.dtype(np.float64) if dtype.kind in "iu" and dtype.itemsize < 8 else dtype


def chosen_method(options: InpaintOptions) -> str:
    """The method as far as the options decide: ``"auto"`` stays where hidden known pixels do, channel by channel."""
    if options.method != "auto":
        return options.method
    if options.n > 1:  # only plug-and-play can draw several
        return "pnp"
    return "auto" if options.model == "auto" else "network"


def find_spec(options: InpaintOptions) -> ModelCard | None:
    """The network that fills, if the method has one."""
    method = chosen_method(options)
    return None if method == "biharmonic" else find_model(options.model, _TASKS[method])


def make_grid(shape: tuple[int, ...], axes: Axes, options: InpaintOptions, spec: ModelCard | None) -> TileGrid:
    """The tiles on which an image is filled in.

    Notes
    -----
    One pass of the network looks 96 pixels far, ten of them much farther, but what comes from known pixels is put back
    after each. With a halo of 96 pixels, tiles of 104 pixels and half of the pixels missing at random, the tiled result
    differs from the whole by less than 0.1 % of the r.m.s. error of the filling (at most 0.06 of 255 grey values) on a
    photograph, and by 9 % of the then tiny error (0.01 grey values) on noise-free simulated waves. In holes wider
    than the halo it differs more: what is filled in there depends on what can be seen from the tile.
    """
    if spec is not None:
        wider = replace(spec, halo=PerAxis.planes(_HALO, 0), bytes_per_pixel=spec.bytes_per_pixel + _EXTRA_BYTES)
        return plan_grid(shape, axes, wider, tile=options.tile, device=options.device)
    height, width = check_tile(options.tile or _BIHARMONIC_TILE, 1)
    return TileGrid(
        shape=tuple(shape),
        tile=axes.spread(height, width, 1),
        halo=axes.spread(_HALO, _HALO, 0),
        scale=(1,) * len(shape),
        stride=(1,) * len(shape),
    )


def _whole_mask(source: Any, axes: Axes, options: InpaintOptions) -> Mask:
    """The mask, brought to the shape of the image, with what was detected."""
    if options.mask is None and not parse_kinds(options.detect):
        raise OptionError("no mask: give one that is 1 where pixels are to be filled in, or choose what to detect")
    mask = np.zeros(1, bool) if options.mask is None else fitted_mask(np.asarray(options.mask), source.shape, axes)
    if options.detect:
        find = partial(detect_damage, source, kinds=options.detect, axes=axes)
        mask = mask | damage_once(source, (parse_kinds(options.detect), axes), find)
    return np.broadcast_to(mask, source.shape)


def fitted_mask(mask: NDArray[Any], shape: tuple[int, ...], axes: Axes) -> Mask:
    """The mask as one that can be broadcast to an image.

    Raises
    ------
    ImageError
        If it fits neither the image nor one plane of it.
    """
    plane = (shape[axes.y], shape[axes.x])
    if mask.shape == tuple(shape):
        return np.asarray(mask != 0)
    if axes.rgb and mask.shape == tuple(shape[:-1]):
        return np.asarray(mask != 0)[..., None]
    if mask.shape != plane:
        colourless = f", {tuple(shape[:-1])} to hold for all colours" if axes.rgb and len(shape) > 3 else ""
        raise ImageError(
            f"mask has shape {mask.shape} but image has shape {tuple(shape)}: "
            f"the mask must have this shape{colourless}, or {plane} to hold for all planes"
        )
    return np.asarray(mask != 0).reshape(axes.spread(plane[0], plane[1], 1))


def _crops_of(mask: Mask, axes: Axes, n_channels: int) -> list[list[Mask]]:
    """The same crops of the mask as `sample_channels` takes from the image."""
    return [sample_crops(mask, axes, channel) for channel in range(n_channels)]


def _noise(
    sampled: tuple[Crops, ...], masks: tuple[list[Mask], ...], given: Any, *, measured: bool
) -> tuple[tuple[NoiseModel, ...], list[str]]:
    """The noise of the known pixels; none where it cannot be seen between the masked ones."""
    if given is not None:
        return noise_per_channel(sampled, given), []
    if not measured:
        return (NoiseModel(),) * len(sampled), []
    known = [_known(crops, unknown) for crops, unknown in zip(sampled, masks, strict=True)]
    enough = [_is_enough(crops, unknown) for crops, unknown in zip(sampled, masks, strict=True)]
    found = tuple(
        noise_per_channel([crops], None)[0] if seen else NoiseModel() for crops, seen in zip(known, enough, strict=True)
    )
    sentence = (
        "the mask leaves too few whole patches of 16 x 16 pixels to measure the noise, so known pixels are taken as "
        "exact: give the noise if they are noisy"
    )
    return found, [] if all(enough) else [sentence]


def _known(crops: Crops, masks: list[Mask]) -> Crops:
    pairs = zip(crops, masks, strict=True)
    return [np.where(mask, np.nan, crop.astype(np.float64)) if mask.any() else crop for crop, mask in pairs]


def _is_enough(crops: Crops, masks: list[Mask]) -> bool:
    """Whether whole blocks are left, or as many as there would be without a mask."""
    return any(not mask.any() for mask in masks) or sum(map(_whole_blocks, masks)) >= _FEWEST_BLOCKS


def _whole_blocks(mask: Mask) -> int:
    rows, columns = (length // _BLOCK for length in mask.shape)
    blocks = mask[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)
    return int(np.count_nonzero(~blocks.any(axis=(1, 3))))


@dataclass(frozen=True, slots=True)
class _Networks:
    """Those that a method needs: that which fills, and the denoiser; with both, the better one fills."""

    filler: ModelCard | None
    denoiser: ModelCard | None
    choose: bool
    device: str

    def load(self) -> None:
        if self.filler is not None:
            load_network(self.filler, self.device)
        if self.denoiser is not None and (self.choose or self.filler is None):
            load_network(self.denoiser, self.device)


def _networks(method: str, spec: ModelCard | None, device: str) -> _Networks:
    if method == "network":
        return _Networks(spec, find_model("auto", "denoise"), False, device)  # planes from neighbours are denoised
    return _Networks(find_model("auto", "inpaint") if method == "auto" else None, spec, method == "auto", device)


def _used(networks: _Networks, channels: tuple[Channel, ...]) -> str:
    """The methods that fill, of all channels."""
    if networks.denoiser is None:
        return "biharmonic"
    return " and ".join(sorted({"network" if channel.recipe is None else "pnp" for channel in channels}))


def _channel(
    crops: Crops, masks: list[Mask], noise: NoiseModel, networks: _Networks
) -> Generator[Progress, None, Channel]:
    missing = find_missing(_known(crops, masks))
    crops = [without_missing(crop, missing) for crop in crops]
    known = [crop[~mask] for crop, mask in zip(crops, masks, strict=True)]
    fill = measure_centre(known)
    exact = Channel(None, fill, fill, missing=missing)
    if networks.denoiser is None:
        return exact
    window, unknown = _rehearsal(crops, masks)
    noisy = _strongest(noise) > _NEGLIGIBLE * first_error(to_values(window, unknown, exact), unknown)
    channel = replace(_stabilised(noise, fill), missing=missing) if noisy else exact
    if networks.filler is not None and not networks.choose:
        return channel
    values = to_values(window, unknown, channel)
    denoise = load_network(networks.denoiser, networks.device)
    rho, stride = (noise.rho_x, noise.rho_y), networks.denoiser.stride.x
    trying = find_recipe(values, unknown, channel.noise, rho, denoise, stride)
    recipe = yield from _saying(trying, _TRYING)
    if networks.filler is None:
        return replace(channel, recipe=recipe)
    with_network = fill_with(load_network(networks.filler, networks.device), channel.noise, networks.filler.stride.x)
    error = yield from _saying(hidden_error(values, unknown, with_network), _TRYING)
    return replace(channel, recipe=None if error < recipe.errors[recipe.best] else recipe)


def _saying(steps: Generator[Any, None, S], note: str) -> Generator[Progress, None, S]:
    return map_progress(steps, lambda _: Progress(0, 0, note))


def _strongest(noise: NoiseModel) -> float:
    return float(noise.sigma if noise.levels is None else noise.sigma_at(noise.levels).max())


def _stabilised(noise: NoiseModel, fill: float) -> Channel:
    # Where the noise is the same at every level the offset is free: near the data, float32 loses nothing.
    transform = stabiliser(noise if noise.gain or not noise.affine else replace(noise, offset=fill))
    centre = float(transform.forward(np.array([fill]))[0])
    return Channel(transform, fill, centre, noise=1.0, rho=(noise.rho_x, noise.rho_y))


def _rehearsal(crops: Crops, masks: list[Mask]) -> tuple[NDArray[Any], Mask]:
    """The window with most to fill in and most detail around it, and what is unknown in it."""
    windows = [
        (crop[y : y + _REHEARSAL, x : x + _REHEARSAL], mask[y : y + _REHEARSAL, x : x + _REHEARSAL])
        for crop, mask in zip(crops, masks, strict=True)
        for y in _starts(crop.shape[0])
        for x in _starts(crop.shape[1])
    ]
    pairs = [(window, mask | ~np.isfinite(window)) for window, mask in windows]
    return max(pairs, key=lambda pair: _promise(*pair))


def _starts(side: int) -> list[int]:
    pieces = -(-side // _REHEARSAL)
    return sorted({int(v) for v in np.linspace(0, max(0, side - _REHEARSAL), pieces).round()})


def _promise(window: NDArray[Any], unknown: Mask) -> tuple[bool, bool, float]:
    steps = np.diff(np.where(unknown, np.nan, window.astype(np.float64)), axis=1)
    steps = np.abs(steps[np.isfinite(steps)])
    return not unknown.all(), bool(unknown.any()), float(steps.mean()) if steps.size else 0.0


def _notes(mask: Mask, options: InpaintOptions) -> list[str]:
    return [] if mask.any() else [_nothing_to_fill(options)]


def _nothing_to_fill(options: InpaintOptions) -> str:
    found = [] if options.mask is None else ["the mask marks no pixel"]
    kinds = parse_kinds(options.detect)
    if kinds:
        found.append(f"looking for {', '.join(kinds)} found nothing")
    return f"{' and '.join(found)}, so the image is unchanged"
