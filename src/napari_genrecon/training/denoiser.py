"""The recipe of the bundled denoiser: loss, optimiser and phases."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from napari_genrecon.models._weights import read_tensors
from napari_genrecon.models.unet import DenoiseUNet
from napari_genrecon.training.loop import State, Step, load_latest, publish, train_steps, warm_up
from napari_genrecon.training.muon import Muon
from napari_genrecon.training.patches import Batch, Sources, draw_batch

__all__ = ["DenoiserRecipe", "decay_phase", "new_state", "stable_phase"]


@dataclass(frozen=True, kw_only=True)
class DenoiserRecipe:
    """How the denoiser is trained.

    Parameters
    ----------
    seed : int
        Decides the data.
    size, patch : int
        Patches per batch and their side, in px.
    rate : float
        Learning rate of the constant phase.
    warmup : int
        Steps over which the rate rises.
    optimiser : {"adamw", "muon"}
        How all kernels are moved.
    """

    seed: int = 0
    size: int = 16
    patch: int = 96
    rate: float = 8e-4
    warmup: int = 100
    optimiser: str = "adamw"


def new_state(recipe: DenoiserRecipe, init: Path | None = None) -> State:
    """A network with fresh moments on the best device, with the weights `init` or random ones."""
    torch.manual_seed(recipe.seed)
    net = DenoiseUNet()
    if init is not None:
        net.load_state_dict(read_tensors(init))
    net = net.to(_device()).to(memory_format=torch.channels_last)
    return State(net, _optimiser(net, recipe))


def stable_phase(
    state: State, recipe: DenoiserRecipe, sources: Sources, folder: Path, minutes: float
) -> Iterator[Step]:
    """Warm up and train at the constant rate; continues what `folder` holds."""
    load_latest(state, folder)
    steps = train_steps(state, _loss(recipe, sources), _constant(recipe), folder, options=asdict(recipe))
    yield from _for_minutes(steps, minutes)


def decay_phase(state: State, recipe: DenoiserRecipe, sources: Sources, folder: Path, minutes: float) -> Iterator[Step]:
    """Branch off the constant phase, let the rate fall to zero, and write the moving average as ``final.safetensors``.

    The checkpoints of the constant phase stay as they are, so that a later run continues from them.
    """
    began = time.monotonic()

    def rate_at(step: int) -> float:
        return recipe.rate * max(0.0, 1 - (time.monotonic() - began) / (60 * minutes))

    options = asdict(recipe)
    steps = train_steps(state, _loss(recipe, sources), rate_at, folder / "decay", options=options)
    yield from _for_minutes(steps, minutes)
    publish(folder / "final.safetensors", save(_average(state)))


def _for_minutes(steps: Iterator[Step], minutes: float) -> Iterator[Step]:
    end = time.monotonic() + 60 * minutes
    try:
        yield from takewhile(lambda _: time.monotonic() < end, steps)
    finally:
        close = getattr(steps, "close", None)
        if close is not None:
            close()  # saves


def _average(state: State) -> dict[str, Tensor]:
    return {name: mean.detach().float().cpu().contiguous().clone() for name, mean in state.average.items()}


def _constant(recipe: DenoiserRecipe) -> Callable[[int], float]:
    return lambda step: warm_up(step, recipe.rate, recipe.warmup)


def _optimiser(net: nn.Module, recipe: DenoiserRecipe) -> torch.optim.Optimizer:
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(net.parameters(), lr=recipe.rate, betas=(0.9, 0.99), weight_decay=1e-4)
    return Muon(net.parameters(), lr=recipe.rate, weight_decay=1e-4)


def _loss(recipe: DenoiserRecipe, sources: Sources) -> Callable[[nn.Module, int, int], Tensor]:
    """L1 distance to the clean patches, so weighted that weak noise counts as well as strong noise."""
    device = _device()

    def loss_at(net: nn.Module, step: int, skipped: int) -> Tensor:
        batch = draw_batch(sources, recipe.seed + 1000 * skipped, step, size=recipe.size, patch=recipe.patch)
        noisy, clean, sigma, rho = _tensors(batch, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=_bfloat16(device)):
            estimate = net(noisy, sigma, rho)
        error = (estimate.float() - clean).abs().mean(dim=(1, 2, 3))  # (B,)
        return (error * _weight(sigma)).mean()

    return loss_at


def _weight(sigma: Tensor) -> Tensor:
    """The error left grows about as ``sigma**0.6``; half of that is taken back. 1 at sigma = 25/255."""
    return ((sigma + 4 / 255) / (29 / 255)) ** -0.3


def _tensors(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    noisy, clean, sigma, rho = (
        torch.from_numpy(array).to(device, non_blocking=True)
        for array in (batch.noisy, batch.clean, batch.sigma, batch.rho)
    )
    return noisy, clean, sigma, rho


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 here, not merely possible."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    supported: bool = torch.cpu._is_avx512_bf16_supported()
    return supported
