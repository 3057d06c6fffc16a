"""The recipe of the bundled upscaler: loss and phases. One network for all factors, a factor per batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from napari_genrecon.models.srnet import UpscaleNet
from napari_genrecon.training.loop import State, Step
from napari_genrecon.training.pairs import draw_pairs
from napari_genrecon.training.patches import Sources
from napari_genrecon.training.phases import (
    Loss,
    Recipe,
    best_device,
    constant_rate,
    falling_rate,
    faster_in_bfloat16,
    fresh_state,
)

__all__ = ["UpscalerRecipe", "decay_phase", "new_state", "stable_phase"]


@dataclass(frozen=True, kw_only=True)
class UpscalerRecipe(Recipe):
    """How the upscaler is trained; see `Recipe`. The patch is that of the small images."""

    patch: int = 48
    rate: float = 1e-3


def new_state(recipe: UpscalerRecipe, init: Path | None = None) -> State:
    """A network with fresh moments on the best device, with the weights `init` or random ones."""
    torch.manual_seed(recipe.seed)
    return fresh_state(UpscaleNet(), recipe, init)


def stable_phase(
    state: State, recipe: UpscalerRecipe, sources: Sources, folder: Path, minutes: float
) -> Iterator[Step]:
    """Warm up and train at the constant rate; continues what `folder` holds."""
    return constant_rate(state, recipe, _loss(recipe, sources), folder, minutes)


def decay_phase(state: State, recipe: UpscalerRecipe, sources: Sources, folder: Path, minutes: float) -> Iterator[Step]:
    """Let the rate fall to zero and write ``final.safetensors``; see `falling_rate`."""
    return falling_rate(state, recipe, _loss(recipe, sources), folder, minutes)


def _loss(recipe: UpscalerRecipe, sources: Sources) -> Loss:
    """L1 distance to the large images."""
    device = best_device()

    def loss_at(net: nn.Module, step: int, skipped: int) -> Tensor:
        pairs = draw_pairs(sources, recipe.seed + 1000 * skipped, step, size=recipe.size, patch=recipe.patch)
        small, sigma, large = (torch.from_numpy(array).to(device) for array in (pairs.small, pairs.sigma, pairs.large))
        with torch.autocast(device.type, torch.bfloat16, enabled=faster_in_bfloat16(device)):
            estimate: Tensor = net(small, sigma, pairs.factor)
        return (estimate.float() - large).abs().mean()

    return loss_at
