"""How a generative model in training does, on crops that it is not trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_genrecon.checks.memorisation import nearest
from napari_genrecon.checks.samples import sliced_wasserstein, variety
from napari_genrecon.models.card import ModelCard
from napari_genrecon.models.generative import GenerativeModel
from napari_genrecon.models.networks.dcgan import Generator
from napari_genrecon.training.crops import Crops

__all__ = ["COLLAPSED", "calibrated", "judge", "settle_norms"]

COLLAPSED = 0.4
"""Variety of samples, as a share of that of data, below which a GAN is said to have collapsed."""

_PICTURES = 256  # that are compared; enough to rank, few enough not to slow training
_SEED = 6


def judge(model: GenerativeModel, crops: Crops) -> dict[str, float]:
    """Measures of a model: of a VAE the held-out bound in nats per picture, of a GAN distance and variety of samples.

    Parameters
    ----------
    model : GenerativeModel
        With the averaged weights.
    crops : Crops
        Judged by those held out, or by the training crops if there are none.

    Returns
    -------
    dict of str to float
        ``score`` (lower is better) and what the log names.
    """
    data = _some(crops.testing if crops.held_out.any() else crops.training, _PICTURES)
    if model.card.network == "vae":
        nats = float(model.bound(_pictures(data), k=1).mean())
        return {"score": -nats, "held_out": nats}
    samples = model.sample(max(len(data), 64), seed=_SEED).reshape(-1, *data.shape[1:])
    distance = float(np.mean(sliced_wasserstein(samples, data)))
    return {"score": distance, "distance": distance, "variety": variety(samples, data)}


@torch.no_grad()
def settle_norms(network: nn.Module, latent: int, device: torch.device) -> nn.Module:
    """Measure the statistics of a generator's batch normalisation anew: those of averaged weights are no average."""
    if not isinstance(network, Generator):
        return network.eval()
    draws = torch.Generator().manual_seed(_SEED)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over the batches
    network.train()
    for _ in range(4):
        network(torch.randn(_PICTURES // 2, latent, generator=draws).to(device))
    return network.eval()


def calibrated(model: GenerativeModel, crops: Crops) -> ModelCard:
    """The card with what held-out crops are like to the model, by which pictures are scored later."""
    if not crops.held_out.any():
        return model.card
    held_out = _some(crops.testing, 4 * _PICTURES)
    distances = nearest(_some(held_out, _PICTURES), _some(crops.training, 16 * _PICTURES))[1]
    found: dict[str, Any] = {"neighbour_distances": np.percentile(distances, range(101)).round(5).tolist()}
    if model.card.network == "vae":
        pictures = _pictures(held_out)
        errors = np.abs(model.reconstruct(pictures) - pictures.astype(np.float32)).reshape(held_out.shape)
        bounds = model.bound(pictures, k=8)
        quartiles = np.percentile(bounds, [25, 50, 75])
        # 1.349 s.d. lie between the quartiles of a normal distribution
        found["bound"] = [float(quartiles[1]), max(float(quartiles[2] - quartiles[0]) / 1.349, 1e-3)]
        levels = np.percentile(errors, 99, axis=(0, 2, 3))
        found["pixel_error_99"] = np.maximum(levels, 1e-6 * (np.array(crops.high) - crops.low)).tolist()
    return replace(model.card, calibration=found)


def _some(x: NDArray[Any], n: int) -> NDArray[Any]:
    return x[np.linspace(0, len(x) - 1, min(n, len(x))).astype(int)]


def _pictures(x: NDArray[Any]) -> NDArray[Any]:
    return x[:, 0] if x.shape[1] == 1 else x
