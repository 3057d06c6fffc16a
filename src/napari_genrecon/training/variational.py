"""The recipe of the VAE: the evidence lower bound of `models.vae`, per pixel, as a loss."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from napari_genrecon.models.networks.vae import VAE, evidence_lower_bound
from napari_genrecon.training.batches import draws_at
from napari_genrecon.training.loop import Loss, State
from napari_genrecon.training.train_options import TrainOptions

__all__ = ["vae_loss", "vae_state"]


def vae_state(size: int, channels: int, options: TrainOptions, device: torch.device) -> State:
    """Encoder and decoder with fresh moments (Adam)."""
    net = (
        VAE(size, channels, options.latent, options.width, options.likelihood)
        .to(device)
        .to(memory_format=torch.channels_last)
    )
    return State(net, torch.optim.Adam(net.parameters(), betas=(0.9, 0.99)))


def vae_loss(
    batch_at: Callable[[int, int], Tensor],
    options: TrainOptions,
    step_of_grey: Tensor,
    precision: Callable[[], AbstractContextManager[None]],
    seen: dict[str, Tensor],
) -> Loss:
    """Nats per pixel and channel of reconstruction error plus beta times the divergence.

    Parameters
    ----------
    batch_at : callable
        ``batch_at(step, skipped)`` is (B, C, Y, X) data on the scale of -1 to 1.
    options : TrainOptions
        How.
    step_of_grey : (C, 1, 1) Tensor
        Width of one grey value on that scale.
    precision : callable
        Gives the context in which the network runs.
    seen : dict
        Receives the divergence of the last step, in nats per picture.
    """

    def loss_at(net: nn.Module, step: int, skipped: int) -> Tensor:
        assert isinstance(net, VAE)
        x = batch_at(step, skipped)
        draws = draws_at(options.seed, skipped, step, turn=0)
        with precision():
            reconstruction, divergence = evidence_lower_bound(net, x, step_of_grey, draws)
        seen["divergence"] = divergence.detach().mean()
        return (options.beta * divergence - reconstruction).mean() / x[0].numel()

    return loss_at
