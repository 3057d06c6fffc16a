"""Train the network that finds spots: its loss, and some steps more on scenes like one image."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from napari_genrecon.models import ModelCard
from napari_genrecon.models.failures import plain_errors
from napari_genrecon.models.precision import bfloat16_is_native, mixed
from napari_genrecon.models.runtime import on_device, trained_network
from napari_genrecon.numerics.blobs.spot_scene import AT, AWAY
from napari_genrecon.training.adapt.fine_tune import fine_tune, saved

__all__ = ["SpotBatch", "spot_loss", "train_on_scenes"]

_NEAR = 3.0  # how much more a centre counts than a pixel without a spot: there are a hundred times fewer
_SIZE = 0.05  # weight of the error of the logarithm of the size


class SpotBatch(NamedTuple):
    """Scenes, and the answers to them.

    Attributes
    ----------
    planes : (B, 6, H, W) ndarray of float32
        What the network sees; see `numerics.blobs.spot_planes`.
    rho : (B, 2) ndarray of float32
        Correlation of the noise along x and y.
    heat, size : (B, 1, H, W) ndarray of float32
        Answers, see `numerics.blobs.spot_scene.answers`.
    """

    planes: NDArray[np.float32]
    rho: NDArray[np.float32]
    heat: NDArray[np.float32]
    size: NDArray[np.float32]


def spot_loss(net: nn.Module, batch: SpotBatch, device: str | torch.device, *, lower: bool) -> dict[str, Tensor]:
    """Return the cross-entropies of the heat, weighted up around the centres, and of the odds; the error of the sizes.

    Whether there is a spot at pixels a little off its centre is not asked. `lower` computes in bfloat16.
    """
    planes, told, heat, size = (torch.from_numpy(array).to(device) for array in batch)
    with mixed(str(device), lower=lower):
        hot, sizes, odds = net(planes, told).float().split(1, dim=1)
    weight, asked = 1 + _NEAR * heat, (heat > AT) | (heat < AWAY)
    near = (F.binary_cross_entropy_with_logits(hot, heat, reduction="none") * weight).sum() / weight.sum()
    off = (F.smooth_l1_loss(sizes, size, reduction="none") * heat).sum() / heat.sum().clamp(min=1)
    sure = F.binary_cross_entropy_with_logits(odds[asked], (heat > AT)[asked].float())
    return {"loss": near + _SIZE * off + sure, "heat": near, "size": off, "sure": sure}


def train_on_scenes(
    draw: Callable[[int], SpotBatch], spec: ModelCard, device: str, weights: bytes | None, steps: int, rate: float
) -> Generator[float, None, bytes]:
    """Train the bundled network on, one step at a time.

    Parameters
    ----------
    draw : callable
        ``draw(step)``: scenes of a step.
    spec : ModelCard
        Card of the network.
    device : str
        Where to compute.
    weights : bytes or None
        Those to start from, as safetensors; the card's if not given.
    steps : int
        Number of steps.
    rate : float
        Learning rate at the start; it falls to zero.

    Yields
    ------
    float
        The loss of every step.

    Returns
    -------
    bytes
        The weights, as safetensors.

    Raises
    ------
    InferenceError
        If the network fails while it is trained, or the memory runs out.
    """
    net = on_device(trained_network(spec, weights), spec.name, device).train()
    lower = bfloat16_is_native(device)

    def loss_at(step: int) -> Tensor:
        return spot_loss(net, draw(step), device, lower=lower)["loss"]

    with plain_errors(spec.name, device):
        yield from fine_tune(net, loss_at, steps=steps, rate=rate)
    return saved(net)
