"""The recipe of the bundled spot network: loss and phases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bundled.phases import Loss, Settings, best_device, faster_in_bfloat16, fresh_state
from bundled.spot_scenes import draw_correlation, draw_scene
from napari_genrecon.models.networks.spotnet import SpotNet
from napari_genrecon.numerics.blobs.spot_planes import spot_planes
from napari_genrecon.training.adapt.spots import SpotBatch, spot_loss
from napari_genrecon.training.loop.state import State

__all__ = ["SpotRecipe", "loss_of", "new_state"]


@dataclass(frozen=True, kw_only=True)
class SpotRecipe(Settings):
    """Settings of the spot network's training; see `Settings`. Its scenes need no images: `pool` is 0."""

    size: int = 8
    rate: float = 2e-3
    ema: float = 0.995
    pool: int = 0


def new_state(recipe: SpotRecipe, init: Path | None = None) -> State:
    """Return a network with fresh moments on the best device, with the weights `init` or random ones."""
    torch.manual_seed(recipe.seed)
    return fresh_state(SpotNet(), recipe, init)


def loss_of(recipe: SpotRecipe, _sources: object, _folder: Path) -> Loss:
    """Return the loss of scenes that are simulated for the step; see `spot_loss`."""
    device = best_device()

    def loss_at(net: nn.Module, step: int, skipped: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([recipe.seed + 1000 * skipped, 9, step])
        rho = draw_correlation(rng)  # one for half of the batch, as filters for each take their time
        scenes = [draw_scene(rng, recipe.patch, rho if i % 2 else (0.0, 0.0)) for i in range(recipe.size)]
        batch = SpotBatch(
            np.stack([spot_planes(scene.image, scene.rho) for scene in scenes]),
            np.array([scene.rho[::-1] for scene in scenes], np.float32),
            *(np.stack([getattr(scene, name) for scene in scenes])[:, None] for name in ("heat", "size")),
        )
        return spot_loss(net, batch, device, lower=faster_in_bfloat16(device))

    return loss_at
