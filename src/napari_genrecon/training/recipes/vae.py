"""The recipe of the VAE: minimise the negative evidence lower bound per pixel.

torch is imported inside the functions, so that reading the options does not load it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from napari_genrecon.models import ModelCard
from napari_genrecon.models.card import step_of
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.options import TrainOptions
from napari_genrecon.training.recipe import Curves, Recipe, Score
from napari_genrecon.training.recipes.pictures import (
    PICTURES,
    LatentOption,
    WidthOption,
    pictures_of,
    sample_grid,
    some,
    with_neighbour_distances,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_genrecon.models.generative import GenerativeModel
    from napari_genrecon.training.data.batches import Batches
    from napari_genrecon.training.loop.loop import Loss, State

__all__ = ["RECIPE", "VAEOptions"]


@dataclass(frozen=True, kw_only=True)
class VAEOptions(TrainOptions):
    """Options of a VAE; see `TrainOptions`.

    Attributes
    ----------
    latent, width : int
        Length of the latent; feature maps at half the size of the pictures.
    beta, likelihood
        Weight of the divergence, and distribution of grey values; see `models.networks.vae`.
    """

    recipe = "vae"

    latent: LatentOption = 100
    width: WidthOption = 32
    beta: Annotated[
        float,
        {
            "label": "regularity",
            "min": 0.0,
            "max": 100.0,
            "step": 0.1,
            "advanced": True,
            "tooltip": "More makes new pictures more like real ones as a whole, and blurrier; less makes them "
            "sharper, and some of them odd (weight of the divergence)",
        },
    ] = 1.0
    likelihood: Annotated[
        str,
        {
            "label": "grey values",
            "choices": ("logistic", "gaussian", "bernoulli"),
            "advanced": True,
            "tooltip": "How grey values may differ from the model's picture: 'logistic' suits most images, "
            "'gaussian' those with even noise, 'bernoulli' black and white ones",
        },
    ] = "logistic"


def _shape(dataset: Dataset, options: VAEOptions) -> dict[str, Any]:
    return {
        "size": dataset.size,
        "latent": options.latent,
        "width": options.width,
        "likelihood": options.likelihood,
    }


def _state(network: nn.Module, options: VAEOptions) -> State:
    """Return the network with fresh moments (Adam)."""
    from torch.optim import Adam

    from napari_genrecon.training.loop.loop import State

    return State(network, Adam(network.parameters(), betas=(0.9, 0.99)))


def vae_losses(
    batches: Batches,
    card: ModelCard,
    options: VAEOptions,
    precision: Callable[[], AbstractContextManager[None]],
) -> tuple[Loss, ...]:
    """Return the loss: nats per pixel and channel of reconstruction error plus beta times the divergence."""
    import torch

    from napari_genrecon.models.networks.vae import evidence_lower_bound
    from napari_genrecon.training.data.batches import draws_at

    step_of_grey = torch.tensor(step_of(card), device=batches.device)[:, None, None]  # (C, 1, 1)

    def loss_at(net: Any, step: int, skipped: int) -> dict[str, Tensor]:
        x = batches(step, skipped)
        draws = draws_at(options.seed, skipped, step, turn=0)
        with precision():
            reconstruction, divergence = evidence_lower_bound(net, x, step_of_grey, draws)
        # Per pixel and channel, so that a learning rate suits crops of every size.
        nats = (options.beta * divergence - reconstruction).mean() / x[0].numel()
        return {"nats": nats, "divergence": divergence.detach().mean()}

    return (loss_at,)


def _score(model: GenerativeModel, dataset: Dataset) -> Score:
    """Return the bound on held-out crops, in nats per picture."""
    # One latent for each picture is enough to rank models, as the draws are the same at every score.
    nats = float(model.bound(pictures_of(some(dataset.judging, PICTURES)), k=1).mean())
    # A bound on the log likelihood: high is good, and a score ranks low as best.
    return Score(value=-nats, shown={"held_out": nats})


def _finish(model: GenerativeModel, dataset: Dataset) -> ModelCard:
    """Return the card with errors and bounds of held-out crops, the scale on which pictures are scored."""
    card = with_neighbour_distances(model.card, dataset)
    if not dataset.held_out.any():
        return card
    held_out = some(dataset.testing, 4 * PICTURES)
    pictures = pictures_of(held_out)
    errors = np.abs(model.reconstruct(pictures) - pictures.astype(np.float32)).reshape(held_out.shape)
    bounds = model.bound(pictures, k=8)
    quartiles = np.percentile(bounds, [25, 50, 75])
    # 1.349 s.d. lie between the quartiles of a normal distribution
    # Median and robust s.d.: a few odd crops must not widen the scale on which odd pictures are found.
    bound = [float(quartiles[1]), max(float(quartiles[2] - quartiles[0]) / 1.349, 1e-3)]
    # Per channel. At least a millionth of the range: `anomaly_map` divides by it.
    levels = np.percentile(errors, 99, axis=(0, 2, 3))
    usual = np.maximum(levels, 1e-6 * (np.array(dataset.high) - dataset.low)).tolist()
    return replace(card, calibration={**card.calibration, "bound": bound, "pixel_error_99": usual})


RECIPE = Recipe(
    name="vae",
    label="VAE",
    title="VAE: steady, can score real cells",
    paper="Kingma & Welling 2014, doi:10.48550/arXiv.1312.6114",
    serves="sample",
    options=VAEOptions,
    rate=1e-3,
    kept="vae",
    shape=_shape,
    state=_state,
    losses=vae_losses,
    score=_score,
    preview=sample_grid,
    finish=_finish,
    measures=("held_out",),
    curves=(
        Curves(
            title="Error (lower is better)",
            lines={"nats": "training crops", "held_out": "held-out crops"},
            per_pixel=("held_out",),
        ),
        Curves(title="Information in the latents (KL divergence, nats per crop)", lines={"divergence": "divergence"}),
    ),
)
