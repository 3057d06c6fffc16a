"""The recipe of the bundled spot network: loss and phases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bundled.phases import Loss, Settings, best_device, faster_in_bfloat16, fresh_state
from bundled.spot_scenes import AT, AWAY, draw_correlation, draw_scene
from napari_genrecon.models.networks.spotnet import SpotNet
from napari_genrecon.numerics.blobs.spot_planes import spot_planes
from napari_genrecon.training.loop.state import State

__all__ = ["SpotRecipe", "loss_of", "new_state"]

_NEAR = 3.0  # how much more a centre counts than a pixel without a spot: there are a hundred times fewer
_SIZE = 0.05  # weight of the error of the logarithm of the size


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
    """Return the cross-entropies of the heat, weighted up around the centres, and of the odds; the error of the sizes.

    Whether there is a spot at pixels a little off its centre is not asked.
    """
    device = best_device()

    def loss_at(net: nn.Module, step: int, skipped: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([recipe.seed + 1000 * skipped, 9, step])
        rho = draw_correlation(rng)  # one for half of the batch, as filters for each take their time
        scenes = [draw_scene(rng, recipe.patch, rho if i % 2 else (0.0, 0.0)) for i in range(recipe.size)]
        planes = torch.from_numpy(np.stack([spot_planes(scene.image, scene.rho) for scene in scenes])).to(device)
        heat, size = (
            torch.from_numpy(np.stack([getattr(scene, name) for scene in scenes])[:, None]).to(device)
            for name in ("heat", "size")
        )
        told = torch.tensor([scene.rho[::-1] for scene in scenes], dtype=torch.float32, device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=faster_in_bfloat16(device)):
            hot, sizes, odds = net(planes, told).float().split(1, dim=1)
        weight, asked = 1 + _NEAR * heat, (heat > AT) | (heat < AWAY)
        near = (F.binary_cross_entropy_with_logits(hot, heat, reduction="none") * weight).sum() / weight.sum()
        off = (F.smooth_l1_loss(sizes, size, reduction="none") * heat).sum() / heat.sum().clamp(min=1)
        sure = F.binary_cross_entropy_with_logits(odds[asked], (heat > AT)[asked].float())
        return {"loss": near + _SIZE * off + sure, "heat": near, "size": off, "sure": sure}

    return loss_at
