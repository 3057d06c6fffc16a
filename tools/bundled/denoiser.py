"""The recipe of the bundled denoiser: loss and phases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bundled.patches import Batch, Sources, draw_batch
from bundled.phases import Loss, Settings, best_device, faster_in_bfloat16, fresh_state
from napari_genrecon.models.networks.unet import GrainUNet
from napari_genrecon.training.loop.state import State

__all__ = ["DenoiserRecipe", "loss_of", "new_state"]


@dataclass(frozen=True, kw_only=True)
class DenoiserRecipe(Settings):
    """Settings of the denoiser's training; see `Settings`.

    Parameters
    ----------
    loss : {"l1", "l2"}
        The absolute error trains fast; its optimum is the median of the possible values of a pixel. That of the squared
        error is their mean, which keeps the intensity of peaks and maximises PSNR: for the last phase.
    """

    loss: str = "l1"


def new_state(recipe: DenoiserRecipe, init: Path | None = None) -> State:
    """Return a network with fresh moments on the best device, with the weights `init` or random ones."""
    torch.manual_seed(recipe.seed)
    return fresh_state(GrainUNet(), recipe, init)


def loss_of(recipe: DenoiserRecipe, sources: Sources, _folder: Path) -> Loss:
    """Return the error against the clean patches, weighted so that weak noise counts like strong noise."""
    device, error_of = best_device(), _ERRORS[recipe.loss]

    def loss_at(net: nn.Module, step: int, skipped: int) -> dict[str, Tensor]:
        batch = draw_batch(sources, recipe.seed + 1000 * skipped, step, size=recipe.size, patch=recipe.patch)
        noisy, clean, sigma, rho = _tensors(batch, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=faster_in_bfloat16(device)):
            estimate = net(noisy, sigma, rho)
        return {"loss": error_of(estimate.float() - clean, sigma).mean()}

    return loss_at


def _absolute(error: Tensor, sigma: Tensor) -> Tensor:
    """Return the weighted absolute error (B,) of (B, 1, H, W).

    The remaining error grows about as ``sigma**0.6``; the weight takes back half of that exponent.
    """
    return error.abs().mean(dim=(1, 2, 3)) * _level(sigma) ** -0.3


def _squared(error: Tensor, sigma: Tensor) -> Tensor:
    """Return the weighted squared error (B,); the weight takes back all growth, so that a decibel counts the same."""
    return error.square().mean(dim=(1, 2, 3)) * _level(sigma) ** -1.2 / _TYPICAL


def _level(sigma: Tensor) -> Tensor:
    """Return the noise level relative to sigma = 25/255."""
    return (sigma + 4 / 255) / (29 / 255)


_TYPICAL = 0.04  # twice the absolute error of a trained network at sigma = 25/255: gradients as long as those of L1
_ERRORS = {"l1": _absolute, "l2": _squared}


def _tensors(batch: Batch, device: torch.device) -> tuple[Tensor, ...]:
    arrays = (batch.noisy, batch.clean, batch.sigma, batch.rho)
    return tuple(torch.from_numpy(array).to(device, non_blocking=True) for array in arrays)
