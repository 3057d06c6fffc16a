"""Plan a filling: mask, method, networks, tiles and the constants of every channel."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import ImageArray
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.intensity import sample_crops
from napari_genrecon.engine.lazy import Reader
from napari_genrecon.engine.memory import check_tile
from napari_genrecon.engine.missing import missing_note
from napari_genrecon.engine.run import Progress
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.errors import ImageError
from napari_genrecon.models import ModelCard, find_model, resolve_device
from napari_genrecon.tasks.inpaint.constants import find_constants, networks_of, used_methods, with_note
from napari_genrecon.tasks.inpaint.damage import detect_damage, parse_kinds
from napari_genrecon.tasks.inpaint.fill import Recipe
from napari_genrecon.tasks.inpaint.findings import Findings, damage_once, digest, findings_once
from napari_genrecon.tasks.inpaint.missing_planes import find_neighbours, holds_enough, notes_on_missing
from napari_genrecon.tasks.inpaint.options import InpaintOptions
from napari_genrecon.tasks.inpaint.planes import InpaintPlanes
from napari_genrecon.tasks.measure import input_facts, sample_channels
from napari_genrecon.tasks.plan import Plan, kernel_precision, lowest_precision, plan_grid
from napari_genrecon.tasks.region import region_of

__all__ = ["InpaintPlan", "chosen_method", "find_spec", "fitted_mask", "make_grid", "plan_inpaint"]

S = TypeVar("S")

Crops = list[NDArray[Any]]
Mask = NDArray[np.bool_]

_EXTRA_BYTES = 100  # per pixel of a tile, for interpolations, beyond those of the network: less would overfill memory
_BIHARMONIC_TILE = 512  # px; the solver's time grows faster than the number of unknown pixels
_TASKS = {"network": "inpaint", "pnp": "denoise", "auto": "denoise"}  # task of the model that `model` names, by method


@dataclass(frozen=True, slots=True, eq=False)
class InpaintPlan:
    """Plan of a filling.

    Attributes
    ----------
    common : Plan
        Plan as of every task; its kernel makes the first sample.
    kernels : tuple of InpaintPlanes
        One per sample.
    limits : (float, float)
        Grey values below and above which only filled pixels lie; see `Result`.
    """

    common: Plan
    kernels: tuple[InpaintPlanes, ...]
    limits: tuple[float, float]

    @property
    def filled(self) -> NDArray[np.uint8]:
        """Mask of the filled pixels (1), of the image's or the region's shape without its colours."""
        mask = self.kernels[0].mask[self.common.region or ...]
        return np.asarray(mask.any(axis=-1) if self.common.axes.rgb else mask, np.uint8)

    @property
    def out_axes(self) -> Axes:
        """Axes of the result, with a first dimension for the samples if there are several."""
        return self.common.axes.numbered(len(self.kernels))

    @property
    def counts(self) -> bool:
        """Whether filled pixels that do not fit into the dtype are counted; see `_working`."""
        return self.kernels[0].dtype.kind == "f"


def _facts(kernel: InpaintPlanes, method: str, options: InpaintOptions) -> dict[str, Any]:
    """Return the entries that only the record of this task has."""
    recipes = [channel.recipe for channel in kernel.channels]
    # Counted in the region only, as no other pixel is filled.
    part = kernel.mask[region_of(options.region, kernel.axes, kernel.mask.shape) or ...]
    return {
        "method": method,
        "mask": {"filled": int(np.count_nonzero(part)), "planes": len(kernel.neighbours)},
        "axes": {"letters": kernel.axes.numbered(options.n).letters},
        # Without a float to work in, clipped pixels are not counted: None says so in the record.
        "output": {} if kernel.dtype.kind == "f" else {"clipped": None, "nan": None},
        "steps": [None if recipe is None else _recipe_facts(recipe) for recipe in recipes],
        "seed": options.seed if options.n > 1 else None,
        **({"spread": [channel.spread for channel in kernel.channels]} if options.n > 1 else {}),
    }


def _recipe_facts(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe for the record; errors are in noise s.d. if there is noise, else in grey values."""
    # JSON knows no tuples: a record that is read again must equal this one.
    found = asdict(recipe)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def plan_inpaint(source: ImageArray, options: InpaintOptions) -> Generator[Progress, None, InpaintPlan]:
    """Check the mask, measure the noise of the known pixels, and find the constants of every channel.

    Raises
    ------
    ImageError, OptionError
        If mask, image or options do not fit.
    """
    options.require()
    axes = resolve_axes(options.axes, source.shape)
    method = chosen_method(options)
    spec = find_spec(options)
    mask = _whole_mask(source, axes, options)
    if not mask.any():  # the method that needs neither a network nor a search
        method, spec = "biharmonic", None
    # (…): an entry for each plane
    whole = np.asarray(mask.all(axis=(axes.y, axes.x)))
    if whole.all():
        raise ImageError("the mask covers the whole image: nothing is known to fill it from")
    enough = cache(partial(holds_enough, source, mask, axes))  # several missing planes may ask for the same plane
    neighbours = yield from with_note(find_neighbours(whole, axes, enough), "looking beside missing planes")
    yield Progress(0, 0, "measuring the noise" if options.noise is None and spec else "preparing")
    sampled = sample_channels(source, axes)
    masks = tuple(_crops_of(mask, axes, len(sampled)))
    networks = networks_of(method, spec, options.device, options.n)
    # All that the constants depend on: the region and the tiles are left out on purpose.
    key = digest((options.noise, networks), chain.from_iterable((*sampled, *masks)))
    found = yield from findings_once(key, find_constants(sampled, masks, options.noise, networks))
    dtype = np.dtype(source.dtype if options.keep_dtype else _exact(source.dtype))
    kernel = InpaintPlanes(
        read=Reader(source),
        mask=mask,
        neighbours=neighbours,
        filler=networks.filler,
        denoiser=networks.denoiser,
        device=options.device,
        axes=axes,
        channels=found.channels,
        halo=_halo(spec),
        stride=1 if spec is None else spec.stride.x,
        dtype=_working(dtype),
    )
    # Known only after the channels were found: exact pixels are always filled in float32.
    precision = _precision(kernel, options)
    kernel = replace(kernel, precision=kernel_precision(options, precision))
    # Where "auto" chose plug-and-play for all channels, its denoiser is the model of the record.
    used = used_methods(networks, found.channels)
    model = networks.filler if used.startswith("network") else spec
    common = Plan(
        task="inpaint",
        nature="inpainted",
        source=source,
        axes=axes,
        options=options,
        beside=("noise", "mask"),
        kernel=kernel,
        grid=make_grid(source.shape, axes, options, spec),
        dtype=dtype,
        noise=found.noise,
        input=input_facts(source, sampled),
        model=None if model is None else model.facts(),
        device="cpu" if model is None else resolve_device(options.device),
        warnings=(
            *_notes(mask, options, found),
            *notes_on_missing(neighbours, axes, enough),
        ),
        facts=_facts(kernel, used, options) | {"precision": precision},
    ).of_region()
    limits = _limits_of_known(source, mask, sampled, masks)
    samples = [(options.seed, i) for i in range(options.n)] if options.n > 1 else [None]
    return InpaintPlan(common, tuple(replace(kernel, sample=sample) for sample in samples), limits)


def _precision(kernel: InpaintPlanes, options: InpaintOptions) -> str:
    noisy = any(channel.noise for channel in kernel.channels)
    networks = [card for card in (kernel.filler, kernel.denoiser) if card is not None]
    return lowest_precision(options, networks if noisy else [])


def _limits_of_known(
    source: ImageArray, mask: Mask, sampled: tuple[Crops, ...], masks: tuple[list[Mask], ...]
) -> tuple[float, float]:
    """Return the least and the greatest known grey value, infinite where no masked pixel has a value beyond it."""
    pairs = list(zip(chain.from_iterable(sampled), chain.from_iterable(masks), strict=True))
    known = [crop[~unknown & np.isfinite(crop)] for crop, unknown in pairs]
    # All masked pixels where they are in memory; else those of the crops stand for them.
    filled = [source[mask]] if isinstance(source, np.ndarray) else [crop[unknown] for crop, unknown in pairs]
    (low, high), (least, greatest) = _range(known), _range([part[np.isfinite(part)] for part in filled])
    return low if least < low else -np.inf, high if greatest > high else np.inf


def _range(parts: list[NDArray[Any]]) -> tuple[float, float]:
    some = [part for part in parts if part.size]
    return min((float(part.min()) for part in some), default=np.inf), max(
        (float(part.max()) for part in some), default=-np.inf
    )


def _exact(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of the result: the smallest float that holds every known pixel, else (64 bits) the same."""
    # float32 holds integers of up to 24 bits: those of 16 bits fit, those of 32 bits need float64.
    if dtype.itemsize <= (4 if dtype.kind == "f" else 2):
        return np.dtype(np.float32)
    return np.dtype(np.float64) if dtype.itemsize == 4 else dtype


def _working(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of filled tiles: a float that holds every known pixel, so that clipped pixels can be counted.

    No float holds 64-bit integers: for them, filled pixels are clipped at once and not counted.
    """
    return np.dtype(np.float64) if dtype.kind in "iu" and dtype.itemsize < 8 else dtype


def chosen_method(options: InpaintOptions) -> str:
    """Return the method as far as the options decide; ``"auto"`` is decided per channel, by hidden known pixels."""
    if options.method != "auto":
        return options.method
    if options.n > 1:  # only plug-and-play can draw several fillings
        return "pnp"
    return "auto" if options.model == "auto" else "network"


def find_spec(options: InpaintOptions) -> ModelCard | None:
    """Return the network that the option `model` names, or None for the biharmonic method."""
    method = chosen_method(options)
    return None if method == "biharmonic" else find_model(options.model, _TASKS[method], others=False)


def make_grid(shape: tuple[int, ...], axes: Axes, options: InpaintOptions, spec: ModelCard | None) -> TileGrid:
    """Return the tiles on which an image is filled in.

    Notes
    -----
    The receptive field of one pass of the network reaches 96 pixels, that of ten passes much farther, but the known
    pixels are put back after each. With a halo of 96 pixels, tiles of 104 pixels and half of the pixels missing at
    random, the tiled result differs from the whole by less than 0.1 % of the r.m.s. error of the filling (at most 0.06
    of 255 grey values) on a photograph, and by 9 % of the then tiny error (0.01 grey values) on noise-free simulated
    waves. In holes wider than the halo it differs more, as a tile then lacks known pixels that it would use.
    """
    if spec is not None:
        wider = replace(spec, bytes_per_pixel=spec.bytes_per_pixel + _EXTRA_BYTES)
        return plan_grid(shape, axes, wider, tile=options.tile, device=options.device)
    # There is no network here, so its memory and its stride do not matter.
    halo = _halo(spec)
    height, width = check_tile(options.tile or _BIHARMONIC_TILE, 1)
    return TileGrid(
        shape=tuple(shape),
        tile=axes.spread(height, width, 1),
        halo=axes.spread(halo, halo, 0),
        scale=(1,) * len(shape),
        stride=(1,) * len(shape),
    )


def _halo(spec: ModelCard | None) -> int:
    """Return the pixels around masked ones that count; without a network as many as with the bundled one."""
    return (spec or find_model("auto", "inpaint")).halo.x


def _whole_mask(source: ImageArray, axes: Axes, options: InpaintOptions) -> Mask:
    """Return the mask together with the detected damage, in the shape of the image."""
    mask = np.zeros(1, bool) if options.mask is None else fitted_mask(np.asarray(options.mask), source.shape, axes)
    # Cached, as a preview detects the same damage again with every change of an option.
    if options.detect:
        find = partial(detect_damage, source, kinds=options.detect, axes=axes)
        mask = mask | damage_once(source, (parse_kinds(options.detect), axes), find)
    # A view: a mask of one plane takes no memory for a whole stack.
    return np.broadcast_to(mask, source.shape)


def fitted_mask(mask: NDArray[Any], shape: tuple[int, ...], axes: Axes) -> Mask:
    """Return the mask as one that can be broadcast to an image.

    Raises
    ------
    ImageError
        If it fits neither the image nor one plane of it.
    """
    plane = (shape[axes.y], shape[axes.x])
    if mask.shape == tuple(shape):
        return np.asarray(mask != 0)
    if axes.rgb and mask.shape == tuple(shape[:-1]):
        # (…, Y, X, 1): the same for all colours
        return np.asarray(mask != 0)[..., None]
    if mask.shape != plane:
        colourless = f", {tuple(shape[:-1])} to hold for all colours" if axes.rgb and len(shape) > 3 else ""
        raise ImageError(
            f"mask has shape {mask.shape} but image has shape {tuple(shape)}: "
            f"the mask must have this shape{colourless}, or {plane} to hold for all planes"
        )
    return np.asarray(mask != 0).reshape(axes.spread(plane[0], plane[1], 1))


def _crops_of(mask: Mask, axes: Axes, n_channels: int) -> list[list[Mask]]:
    """Return the crops of the mask at the places where `sample_channels` crops the image."""
    return [sample_crops(mask, axes, channel) for channel in range(n_channels)]


def _notes(mask: Mask, options: InpaintOptions, found: Findings) -> list[str]:
    nothing = [] if mask.any() else [_nothing_to_fill(options)]
    return [*found.notes, *nothing, *missing_note([channel.missing for channel in found.channels])]


def _nothing_to_fill(options: InpaintOptions) -> str:
    found = [] if options.mask is None else ["the mask marks no pixel"]
    kinds = parse_kinds(options.detect)
    if kinds:
        found.append(f"looking for {', '.join(kinds)} found nothing")
    return f"{' and '.join(found)}, so the image is unchanged"
