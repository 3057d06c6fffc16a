"""The recipe of the bundled inpainting network: loss and phases. It starts from the packaged denoiser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bundled.fills import draw_fills
from bundled.patches import Sources
from bundled.phases import Loss, Settings, best_device, faster_in_bfloat16, fresh_state
from napari_genrecon.models import find_model
from napari_genrecon.models.networks.fillnet import FillUNet
from napari_genrecon.models.runtime import read_weights
from napari_genrecon.training.loop.state import State

__all__ = ["InpainterRecipe", "loss_of", "new_state"]

_SHARED = 8  # input channels with the same meaning for the denoiser: image and s.d., unshuffled by 2
_FLOOR = 0.1  # of the error of the first fill: patches that are filled better than that weigh no more


@dataclass(frozen=True, kw_only=True)
class InpainterRecipe(Settings):
    """Settings of the inpainting network's training; see `Settings`."""

    size: int = 8
    rate: float = 5e-4
    optimiser: str = "muon"
    ema: float = 0.99  # a short run must not average over its untrained first weights


def new_state(recipe: InpainterRecipe, init: Path | None = None) -> State:
    """Return a network on the best device, with the weights `init`, or else those of the packaged denoiser."""
    net = FillUNet()
    if init is None:
        known = read_weights(find_model("auto", "denoise"))
        head = known["head.weight"][:, : net.inputs].clone()
        head[:, _SHARED:] = 0  # in these channels the denoiser has the correlation of the noise
        net.load_state_dict({**known, "head.weight": head})
    return fresh_state(net, recipe, init)


def loss_of(recipe: InpainterRecipe, sources: Sources, _folder: Path) -> Loss:
    """Return the log of the squared error at missing pixels, relative to the first fill, averaged over the patches.

    That is what PSNR measures: a patch that is hard to fill weighs as much as an easy one.
    """
    device = best_device()

    def loss_at(net: nn.Module, step: int, skipped: int) -> dict[str, Tensor]:
        fills = draw_fills(sources, recipe.seed + 1000 * skipped, step, size=recipe.size, patch=recipe.patch)
        planes, clean, missing = (torch.from_numpy(a).to(device) for a in (fills.planes, fills.clean, fills.missing))
        with torch.autocast(device.type, torch.bfloat16, enabled=faster_in_bfloat16(device)):
            estimate = net(planes)
        ours, start = (_squared(image, clean, missing) for image in (estimate.float(), planes[:, :1]))
        return {"loss": torch.log(ours / (start + 1e-9) + _FLOOR).mean()}

    return loss_at


def _squared(image: Tensor, clean: Tensor, missing: Tensor) -> Tensor:
    """Return the mean squared error (B,) at missing pixels."""
    return ((image - clean) ** 2 * missing).sum(dim=(1, 2, 3)) / missing.sum(dim=(1, 2, 3)).clamp(min=1)
