"""Find the constants of every channel for filling: noise, transform, and how plug-and-play fills a crop best."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from napari_genrecon.engine.intensity import measure_centre
from napari_genrecon.engine.missing import find_missing, without_missing
from napari_genrecon.engine.run import Progress, map_progress
from napari_genrecon.models import ModelCard, find_model, load_network
from napari_genrecon.noise import NoiseModel, stabiliser
from napari_genrecon.noise.blocks import FEWEST, SIZE
from napari_genrecon.tasks.inpaint.fill import find_recipe, first_error, hidden_error, spread_factor
from napari_genrecon.tasks.inpaint.findings import Findings
from napari_genrecon.tasks.inpaint.planes import Channel, fill_with, to_values
from napari_genrecon.tasks.measure import noise_per_channel
from napari_genrecon.tasks.plan import TRIAL_SIDE

__all__ = ["Networks", "find_constants", "networks_of", "used_methods", "with_note"]

S = TypeVar("S")

Crops = list[NDArray[Any]]
Mask = NDArray[np.bool_]

# Share of the pixels up to which single ones are replaced before noise is measured: the measured s.d. then changes by
# about 1 % (tests/tasks/test_inpaint.py).
_FEW_SINGLE = 0.03
_NEGLIGIBLE = 0.2  # noise s.d. in errors of an interpolation below which stabilising it would only distort the values
_SEARCHING = "finding how to fill, on known pixels"


def find_constants(
    sampled: tuple[Crops, ...], masks: tuple[list[Mask], ...], given: Any, networks: Networks
) -> Generator[Progress, None, Findings]:
    """Measure the noise of the known pixels, load the networks and find the constants of every channel."""
    needed = networks.denoiser is not None
    noise, notes = _noise(sampled, masks, given, measured=needed)
    if needed:
        # Loaded now, so that the seconds that this takes have a note of their own.
        yield Progress(0, 0, "loading the network")
        networks.load()
    channels = []
    for crops, unknown, model in zip(sampled, masks, noise, strict=True):
        channels.append((yield from _channel(crops, unknown, model, networks)))
    return Findings(noise, tuple(channels), tuple(notes))


def _noise(
    sampled: tuple[Crops, ...], masks: tuple[list[Mask], ...], given: Any, *, measured: bool
) -> tuple[tuple[NoiseModel, ...], list[str]]:
    """Return the noise of the known pixels and notes for the user; no noise where the mask leaves too few patches."""
    if given is not None:
        return noise_per_channel(sampled, given), []
    if not measured:
        return (NoiseModel(),) * len(sampled), []
    pairs = [_without_single(crops, unknown) for crops, unknown in zip(sampled, masks, strict=True)]
    enough = [_is_enough(unknown) for _, unknown in pairs]
    found = tuple(
        noise_per_channel([_known(*pair)], None)[0] if seen else NoiseModel()
        for pair, seen in zip(pairs, enough, strict=True)
    )
    sentence = (
        "the mask leaves too few whole patches of 16 x 16 pixels to measure the noise, so known pixels are taken as "
        "exact: give the noise if they are noisy"
    )
    return found, [] if all(enough) else [sentence]


def _known(crops: Crops, masks: list[Mask]) -> Crops:
    pairs = zip(crops, masks, strict=True)
    # NaN counts for nothing in a measurement; integers cannot hold it.
    return [np.where(mask, np.nan, crop.astype(np.float64)) if mask.any() else crop for crop, mask in pairs]


def _without_single(crops: Crops, masks: list[Mask]) -> tuple[Crops, list[Mask]]:
    """Return crops and masks where single masked pixels, as hot ones, have the value of a known pixel beside them.

    Few of them change the noise that is measured by less than its error; as holes they would leave no whole block.
    """
    pairs = [_fill_single(crop, mask) for crop, mask in zip(crops, masks, strict=True)]
    return [crop for crop, _ in pairs], [mask for _, mask in pairs]


def _fill_single(crop: NDArray[Any], mask: Mask) -> tuple[NDArray[Any], Mask]:
    if not 0 < np.count_nonzero(mask) <= _FEW_SINGLE * mask.size:
        return crop, mask
    # (2, Y, X): row and column of the nearest known pixel
    nearest = distance_transform_edt(mask, return_distances=False, return_indices=True)
    # Single means that one of the eight neighbours is known.
    single = mask & (np.abs(nearest - np.indices(mask.shape)).max(axis=0) <= 1)
    return np.where(single, crop[tuple(nearest)], crop), mask & ~single


def _is_enough(masks: list[Mask]) -> bool:
    """Return whether enough whole blocks of pixels are known to measure the noise, or a crop has no masked pixel."""
    return any(not mask.any() for mask in masks) or sum(map(_whole_blocks, masks)) >= FEWEST


def _whole_blocks(mask: Mask) -> int:
    rows, columns = (length // SIZE for length in mask.shape)
    # (blocks along Y, SIZE, blocks along X, SIZE)
    blocks = mask[: rows * SIZE, : columns * SIZE].reshape(rows, SIZE, columns, SIZE)
    return int(np.count_nonzero(~blocks.any(axis=(1, 3))))


@dataclass(frozen=True, slots=True)
class Networks:
    """Networks that a method needs.

    Attributes
    ----------
    filler : ModelCard or None
        The network that was trained to fill in.
    denoiser : ModelCard or None
        The prior of plug-and-play; it also denoises planes that are mixed from their neighbours.
    choose : bool
        Whether the better of both is chosen for every channel.
    device : str
        Where they run.
    draws : int
        Number of fillings.
    """

    filler: ModelCard | None
    denoiser: ModelCard | None
    choose: bool
    device: str
    draws: int = 1

    def load(self) -> None:
        if self.filler is not None:
            load_network(self.filler, self.device)
        # The network needs the denoiser only for planes that are missing as a whole: it is loaded when one comes.
        if self.denoiser is not None and (self.choose or self.filler is None):
            load_network(self.denoiser, self.device)


def networks_of(method: str, spec: ModelCard | None, device: str, draws: int = 1) -> Networks:
    if method == "network":
        return Networks(spec, find_model("auto", "denoise"), False, device)  # planes from neighbours are denoised
    return Networks(find_model("auto", "inpaint") if method == "auto" else None, spec, method == "auto", device, draws)


def used_methods(networks: Networks, channels: tuple[Channel, ...]) -> str:
    """Return the methods that fill, of all channels, in words."""
    if networks.denoiser is None:
        return "biharmonic"
    return " and ".join(sorted({"network" if channel.recipe is None else "pnp" for channel in channels}))


def _channel(
    crops: Crops, masks: list[Mask], noise: NoiseModel, networks: Networks
) -> Generator[Progress, None, Channel]:
    """Find the constants of one channel; yields `Progress` before every run of a network."""
    # Of the known pixels, as masked ones often have a constant value that looks like padding.
    missing = find_missing(_known(crops, masks))
    crops = [without_missing(crop, missing) for crop in crops]
    known = [crop[~mask] for crop, mask in zip(crops, masks, strict=True)]
    fill = measure_centre(known)
    # For pixels without noise: no transform, so fill and centre are the same grey value.
    exact = Channel(None, fill, fill, missing=missing)
    if networks.denoiser is None:
        return exact
    window, unknown = _search_window(crops, masks)
    # Noise far below the error of an interpolation does not matter, and stabilising it would bend the grey values.
    noisy = _strongest(noise) > _NEGLIGIBLE * first_error(to_values(window, unknown, exact), unknown)
    channel = replace(_stabilised(noise, fill), missing=missing) if noisy else exact
    # The network has no recipe: the transform is all that it needs.
    if networks.filler is not None and not networks.choose:
        return channel
    values = to_values(window, unknown, channel)
    denoise = load_network(networks.denoiser, networks.device)
    rho, stride = (noise.rho_x, noise.rho_y), networks.denoiser.stride.x
    search = find_recipe(values, unknown, channel.noise, rho, denoise, stride)
    # For plug-and-play, or for the choice between it and the network.
    recipe = yield from with_note(search, _SEARCHING)
    if networks.filler is None:
        spread = 1.0
        if networks.draws > 1:
            drawing = spread_factor(values, unknown, recipe, denoise, stride, networks.draws)
            spread = yield from with_note(drawing, "finding how far fillings are from the truth, on known pixels")
        return replace(channel, recipe=recipe, spread=spread)
    # Both methods fill the same hidden pixels; the smaller error decides.
    with_network = fill_with(load_network(networks.filler, networks.device), channel.noise, networks.filler.stride.x)
    error = yield from with_note(hidden_error(values, unknown, with_network), _SEARCHING)
    return replace(channel, recipe=None if error < recipe.errors[recipe.best] else recipe)


def with_note(steps: Generator[Any, None, S], note: str) -> Generator[Progress, None, S]:
    """Run steps and yield `Progress` with the note for each."""
    return map_progress(steps, lambda _: Progress(0, 0, note))


def _strongest(noise: NoiseModel) -> float:
    """Return the largest noise s.d. at any grey value."""
    return float(noise.sigma if noise.levels is None else noise.sigma_at(noise.levels).max())


def _stabilised(noise: NoiseModel, fill: float) -> Channel:
    """Return a channel whose values are transformed to noise of s.d. 1."""
    # Where the noise is the same at every level the offset is free: near the data, float32 loses nothing.
    transform = stabiliser(noise if noise.gain or not noise.affine else replace(noise, offset=fill))
    # Subtracted from the values, so that they lie about 0, as the network knows them.
    centre = float(transform.forward(np.array([fill]))[0])
    return Channel(transform, fill, centre, noise=1.0, rho=(noise.rho_x, noise.rho_y))


def _search_window(crops: Crops, masks: list[Mask]) -> tuple[NDArray[Any], Mask]:
    """Return the window of the crops that suits a search best, and its unknown pixels."""
    windows = [
        (crop[y : y + TRIAL_SIDE, x : x + TRIAL_SIDE], mask[y : y + TRIAL_SIDE, x : x + TRIAL_SIDE])
        for crop, mask in zip(crops, masks, strict=True)
        for y in _starts(crop.shape[0])
        for x in _starts(crop.shape[1])
    ]
    # Padding is NaN here, and as unknown as the mask.
    pairs = [(window, mask | ~np.isfinite(window)) for window, mask in windows]
    return max(pairs, key=lambda pair: _suitability(*pair))


def _starts(side: int) -> list[int]:
    # Rounded up: neighbouring windows overlap, and together they see every pixel.
    pieces = -(-side // TRIAL_SIDE)
    return sorted({int(v) for v in np.linspace(0, max(0, side - TRIAL_SIDE), pieces).round()})


def _suitability(window: NDArray[Any], unknown: Mask) -> tuple[bool, bool, float]:
    """Return a key to sort windows by: known pixels, unknown pixels, then the mean step between known pixels."""
    # Steps from and to unknown pixels are NaN and drop out. The strongest structure tells ways to fill apart best.
    steps = np.diff(np.where(unknown, np.nan, window.astype(np.float64)), axis=1)
    steps = np.abs(steps[np.isfinite(steps)])
    return not unknown.all(), bool(unknown.any()), float(steps.mean()) if steps.size else 0.0
