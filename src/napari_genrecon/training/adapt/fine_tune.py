"""Fine-tune a network on one image, one step at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator

import torch
from safetensors.torch import save
from torch import Tensor, nn

from napari_genrecon.training.loop.muon import move

__all__ = ["fine_tune", "saved"]

_WARMUP = 10  # steps until the full rate: at once, it would undo some of the trained weights


def fine_tune(
    net: nn.Module, loss_at: Callable[[int], Tensor], *, steps: int, rate: float
) -> Generator[float, None, None]:
    """Train a network in place with Muon, the rate falling to zero.

    Parameters
    ----------
    net : Module
        Network of convolutions.
    loss_at : callable
        ``loss_at(step)``: loss of a step, with gradients. Weights that it does not depend on stay unchanged.
    steps : int
        Number of steps.
    rate : float
        Learning rate after the first ten steps.

    Yields
    ------
    float
        The loss of every step.
    """
    weights = list(net.parameters())
    moments = [torch.zeros_like(weight) for weight in weights]
    for step in range(steps):
        now = rate * min(1.0, (step + 1) / _WARMUP) * (1 - step / steps)
        # The caller may run in inference mode, in which no gradients are computed.
        with torch.inference_mode(False), torch.enable_grad():
            loss = loss_at(step)
            # Not `backward`: the gradients are returned, and none stays behind on the weights.
            gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        for weight, gradient, moment in zip(weights, gradients, moments, strict=True):
            if gradient is not None:
                move(weight, gradient, moment, now)
        yield float(loss.detach())


def saved(net: nn.Module) -> bytes:
    """Return a copy of the weights as the content of a safetensors file."""
    # Cloned, as safetensors refuses tensors that share memory.
    return save({name: weight.detach().cpu().contiguous().clone() for name, weight in net.state_dict().items()})
