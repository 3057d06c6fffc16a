"""The two training phases of every bundled network, a constant rate and then a falling one, and their device."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from napari_genrecon.io.publish import write_file
from napari_genrecon.models.tensors import read_tensors
from napari_genrecon.training.loop.checkpoint import load_latest
from napari_genrecon.training.loop.loop import Loss, Step, train_steps
from napari_genrecon.training.loop.muon import Muon
from napari_genrecon.training.loop.schedule import warm_up
from napari_genrecon.training.loop.state import State

__all__ = ["Loss", "Settings", "best_device", "constant_rate", "falling_rate", "faster_in_bfloat16", "fresh_state"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training of a network.

    Parameters
    ----------
    seed : int
        Seed of the data.
    size, patch : int
        Patches per batch and their side, in px.
    rate : float
        Learning rate of the constant phase.
    warmup : int
        Steps over which the rate rises.
    optimiser : {"adamw", "muon"}
        Optimiser of all kernels.
    ema : float
        Factor of the moving average of the weights, which are shipped: over about ``1 / (1 - ema)`` steps.
    """

    seed: int = 0
    size: int = 16
    patch: int = 96
    rate: float = 8e-4
    warmup: int = 100
    optimiser: str = "adamw"
    ema: float = 0.999


def fresh_state(net: nn.Module, recipe: Settings, init: Path | None = None) -> State:
    """Return the network on the best device, with the weights `init` if given, and fresh moments."""
    if init is not None:
        net.load_state_dict(read_tensors(init))
    net = net.to(best_device()).to(memory_format=torch.channels_last)
    return State(net, _optimiser(net, recipe))


def constant_rate(state: State, recipe: Settings, loss: Loss, folder: Path, minutes: float) -> Iterator[Step]:
    """Warm up and train at the constant rate; continues what `folder` holds."""
    load_latest(state, folder)

    def rate_at(step: int) -> float:
        return warm_up(step, recipe.rate, recipe.warmup)

    yield from _for_minutes(train_steps(state, loss, rate_at, folder, ema=recipe.ema, options=asdict(recipe)), minutes)


def falling_rate(state: State, recipe: Settings, loss: Loss, folder: Path, minutes: float) -> Iterator[Step]:
    """Branch off the constant phase, let the rate fall to zero, and write the moving average as ``final.safetensors``.

    The checkpoints of the constant phase stay as they are, so that a later run continues from them.
    """
    began = time.monotonic()

    def rate_at(step: int) -> float:
        return recipe.rate * max(0.0, 1 - (time.monotonic() - began) / (60 * minutes))

    steps = train_steps(state, loss, rate_at, folder / "decay", ema=recipe.ema, options=asdict(recipe))
    yield from _for_minutes(steps, minutes)
    write_file(folder / "final.safetensors", save(_average(state)))


def best_device() -> torch.device:
    """Return the device that training runs on."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def faster_in_bfloat16(device: torch.device) -> bool:
    """Return whether bfloat16 is faster than float32 here, not merely possible."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    supported: bool = torch.cpu._is_avx512_bf16_supported()
    return supported


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


def _optimiser(net: nn.Module, recipe: Settings) -> torch.optim.Optimizer:
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(net.parameters(), lr=recipe.rate, betas=(0.9, 0.99), weight_decay=1e-4)
    return Muon(net.parameters(), lr=recipe.rate, weight_decay=1e-4)
