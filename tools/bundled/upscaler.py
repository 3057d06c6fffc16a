"""The recipes of the bundled upscalers: loss and phases, a factor per batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from bundled.pairs import BICUBIC, MICROSCOPE, Mixture, draw_pairs
from bundled.patches import Sources
from bundled.phases import Loss, Settings, best_device, faster_in_bfloat16, fresh_state
from napari_genrecon.models.networks.srnet import UpscaleNet, UpscaleNets
from napari_genrecon.training.loop.state import State

__all__ = ["MicroscopeRecipe", "UpscalerRecipe", "loss_of", "new_state"]

_SMALLEST = 1e-8  # added to a patch's mean square error: one without error has no slope


@dataclass(frozen=True, kw_only=True)
class UpscalerRecipe(Settings):
    """Settings for the upscaler of noise-free images; see `Settings`. The patch is that of the small images.

    Parameters
    ----------
    factor : {2, 3, 4}, optional
        Train only the part for this factor.
    """

    patch: int = 48
    rate: float = 1e-3
    factor: int | None = None

    mixture: ClassVar[Mixture] = BICUBIC
    network: ClassVar[type[nn.Module]] = UpscaleNets


@dataclass(frozen=True, kw_only=True)
class MicroscopeRecipe(UpscalerRecipe):
    """Settings for the upscaler of blurred, binned and noisy images."""

    mixture: ClassVar[Mixture] = MICROSCOPE
    network: ClassVar[type[nn.Module]] = UpscaleNet


def new_state(recipe: UpscalerRecipe, init: Path | None = None) -> State:
    """Return a network with fresh moments on the best device, with the weights `init` or random ones."""
    torch.manual_seed(recipe.seed)
    return fresh_state(recipe.network(), recipe, init)


def loss_of(recipe: UpscalerRecipe, sources: Sources, _folder: Path) -> Loss:
    """Return the root mean square error of every patch, averaged over the patches.

    Within a patch this is the measure by which results are judged; between patches, as with L1, the few of highest
    contrast do not outweigh all others.
    """
    device = best_device()

    def loss_at(net: nn.Module, step: int, skipped: int) -> dict[str, Tensor]:
        pairs = draw_pairs(
            sources,
            recipe.mixture,
            recipe.seed + 1000 * skipped,
            step,
            size=recipe.size,
            patch=recipe.patch,
            factor=recipe.factor,
        )
        small, sigma, large = (torch.from_numpy(array).to(device) for array in (pairs.small, pairs.sigma, pairs.large))
        with torch.autocast(device.type, torch.bfloat16, enabled=faster_in_bfloat16(device)):
            estimate: Tensor = net(small, sigma, pairs.factor)
        error = (estimate.float() - large).square().mean(dim=(1, 2, 3)).add(_SMALLEST).sqrt()
        return {"loss": error.mean()}

    return loss_at
