"""The recipe of the detector: learn from clicks to draw a heat map with a maximum at the centre of every object.

Targets are heat maps, Gaussians around the centres (Zhou, Wang & Krähenbühl, "Objects as points", 2019), and where they
are known: pixels of which nobody said whether an object lies there do not count.

torch is imported inside the functions, so that reading the options does not load it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.models import ModelCard, PerAxis
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.options import TrainOptions
from napari_genrecon.training.recipe import Recipe, Score, one_loss
from napari_genrecon.training.recipes.restoration import plain_model

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from napari_genrecon.training.data.pairs import PairBatches
    from napari_genrecon.training.loop.loop import State

__all__ = ["RECIPE", "DetectorOptions", "adamw_state"]

_CENTRES = 10.0  # weight of a centre over that of background, which is nearly everywhere


@dataclass(frozen=True, kw_only=True)
class DetectorOptions(TrainOptions):
    """Options of the detector; see `TrainOptions`. Steps and not minutes: the same clicks give the same points."""

    recipe = "click-detector"

    steps: Annotated[int, {"min": 0, "max": 100_000_000, "advanced": True}] = 150
    batch: Annotated[int, {"min": 2, "max": 4096, "advanced": True}] = 8
    ema: Annotated[float, {"min": 0.0, "max": 0.99999, "step": 0.001, "advanced": True}] = 0.95


def adamw_state(network: nn.Module, options: TrainOptions) -> State:
    """Return a network with fresh moments of AdamW (Loshchilov & Hutter, ICLR 2019)."""
    import torch

    from napari_genrecon.training.loop.state import State

    return State(network, torch.optim.AdamW(network.parameters()))


def _batches(dataset: Dataset, options: DetectorOptions, card: ModelCard, device: torch.device) -> PairBatches:
    from napari_genrecon.training.data.pairs import PairBatches, untold

    return PairBatches(untold(dataset), options, card, device)


def _card(card: ModelCard, dataset: Dataset) -> ModelCard:
    """Complete the card with the tiles on which the network runs."""
    from napari_genrecon.models.networks.heatnet import HeatNet

    return replace(card, halo=PerAxis.planes(HeatNet.REACH, 0), stride=PerAxis.planes(HeatNet.STRIDE, 1))


def _cross_entropy(odds: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of the heat where it is known, centres weighted up."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    # (B, 1, Y, X) each: the heat map, and 1 where it is known.
    heat, known = targets[:, :1], targets[:, 1:]
    weight = (1 + _CENTRES * heat) * known
    each = binary_cross_entropy_with_logits(odds, heat, reduction="none")
    # At least 1: a batch of crops in which nothing is known would divide by zero.
    return (each * weight).sum() / weight.sum().clamp_min(1.0)


def _score(model: Any, dataset: Dataset) -> Score:
    import torch

    assert dataset.targets is not None
    odds = model(dataset.x[dataset.held_out])
    error = float(_cross_entropy(torch.from_numpy(odds), torch.from_numpy(dataset.targets[dataset.held_out])))
    return Score(value=error, shown={"held-out error": error})


def _preview(model: Any, dataset: Dataset) -> NDArray[np.float32]:
    return np.asarray(model(dataset.x[dataset.held_out][:4]), np.float32)


RECIPE = Recipe(
    name="click-detector",
    label="Detector",
    title="Detector: a heat map from clicks",
    paper="Zhou et al. 2019, doi:10.48550/arXiv.1904.07850",
    serves="detect",
    needs=("images", "targets"),
    by_task=True,
    options=DetectorOptions,
    rate=2e-3,
    kept="heatnet",
    state=adamw_state,
    losses=one_loss(lambda made, x, targets, _: _cross_entropy(made(x), targets)),
    score=_score,
    preview=_preview,
    model=plain_model,
    card=_card,
    batches=_batches,
    warm_up=10,
)
