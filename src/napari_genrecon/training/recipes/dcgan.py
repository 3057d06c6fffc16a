"""The recipe of the GAN: losses, penalties and augmentation.

With D the discriminator's number and T a random augmentation of the same kind for real and generated pictures:

non-saturating (Goodfellow et al. 2014)
    discriminator  E softplus(-D(T(x))) + E softplus(D(T(G(z)))),  generator  E softplus(-D(T(G(z)))).
hinge (Lim & Ye 2017)
    discriminator  E max(0, 1 - D(T(x))) + E max(0, 1 + D(T(G(z)))),  generator  -E D(T(G(z))).
R1 penalty (Mescheder et al. 2018)
    adds  r1/2 E |grad_x D(x)|^2 on data to the discriminator's loss, without which the game need not settle; every 16th
    step with 16 times the weight (Karras et al. 2020).
T, differentiable augmentation (Zhao et al. 2020)
    brightness, contrast, shift and a hole. The discriminator never sees a picture unchanged, so it cannot memorise the
    crops; generated pictures are augmented as well, so they do not look augmented.

Mescheder, Geiger, Nowozin: Which training methods for GANs do actually converge? ICML 2018.
Zhao et al.: Differentiable augmentation for data-efficient GAN training, NeurIPS 2020.
Heusel et al.: GANs trained by a two time-scale update rule, NIPS 2017.
Lim, Ye: Geometric GAN, arXiv:1705.02894. Karras et al.: StyleGAN2, CVPR 2020.

torch is imported inside the functions, so that reading the options does not load it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from napari_genrecon.models import ModelCard
from napari_genrecon.models.card import ENOUGH_STEPS
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.options import TrainOptions
from napari_genrecon.training.recipe import Curves, Recipe, Score
from napari_genrecon.training.recipes.pictures import (
    PICTURES,
    LatentOption,
    WidthOption,
    sample_grid,
    some,
    with_neighbour_distances,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from napari_genrecon.models.generative import GenerativeModel
    from napari_genrecon.training.data.batches import Batches
    from napari_genrecon.training.loop.loop import Loss, State

__all__ = ["RECIPE", "DCGANOptions", "gan_losses"]

COLLAPSED = 0.4
"""Variety of samples, as a share of that of data, below which a collapse is reported. Larger, and sound trainings of
few crops would be warned about; smaller, and samples of a handful of pictures would pass."""

_PACE = {"discriminator": 2.0, "generator": 0.5}  # factors of the learning rate; see `_state`
_PENALISED_EVERY = 16  # steps, as Karras et al. 2020; the penalty takes a second backward pass
_SETTLED = ENOUGH_STEPS  # before, samples are alike because the generator is hardly trained


@dataclass(frozen=True, kw_only=True)
class DCGANOptions(TrainOptions):
    """Options of a GAN; see `TrainOptions`.

    Attributes
    ----------
    latent, width : int
        Length of the latent; feature maps at half the size of the pictures.
    loss, r1, spectral, augment
        Losses and penalties; see the top of this file.
    """

    recipe = "dcgan"

    latent: LatentOption = 100
    width: WidthOption = 32
    loss: Annotated[
        str,
        {
            "choices": ("non-saturating", "hinge"),
            "advanced": True,
            "tooltip": "What the GAN's two networks compete by: try 'hinge' where a training does not get better"
            " with 'non-saturating'",
        },
    ] = "non-saturating"
    r1: Annotated[
        float,
        {
            "label": "steadiness",
            "min": 0.0,
            "max": 1000.0,
            "step": 0.01,
            "advanced": True,
            "tooltip": "More keeps the training steadier and makes it slower; too little, and it may break down "
            "(R1, a penalty on the slope of the discriminator)",
        },
    ] = 0.02
    spectral: Annotated[
        bool,
        {
            "label": "extra steady",
            "advanced": True,
            "tooltip": "Keep the training steady in a second way (spectral norm): for one that breaks down; it "
            "learns slower",
        },
    ] = False
    augment: Annotated[
        bool,
        {
            "advanced": True,
            "tooltip": "Change real and made pictures alike while they are compared: better with few crops, of "
            "no use with very many",
        },
    ] = True


def _shape(dataset: Dataset, options: DCGANOptions) -> dict[str, Any]:
    return {"size": dataset.size, "latent": options.latent, "width": options.width}


def _network(card: ModelCard, options: DCGANOptions) -> nn.Module:
    from torch import nn

    from napari_genrecon.models.networks.dcgan import Discriminator
    from napari_genrecon.models.runtime import build_network

    generator = build_network(card)
    # Only the generator is on the card: the discriminator is thrown away after the training.
    discriminator = Discriminator(card.size, card.channels, options.width, options.spectral)
    return nn.ModuleDict({"generator": generator, "discriminator": discriminator})


def _state(network: nn.Module, options: DCGANOptions) -> State:
    """Return generator and discriminator with fresh moments (Adam, beta1 = 0.5 as Radford et al. 2015).

    The discriminator has four times the rate (Heusel et al. 2017: two time scales): at one rate for both it fell
    behind and could no longer distinguish samples from data, which leaves the generator without gradients.
    """
    from torch.optim import Adam

    from napari_genrecon.training.loop.loop import State

    def adam(name: str, scale: float) -> Adam:
        weights = network.get_submodule(name).parameters()
        # The group's scale multiplies the rate of a step, so that both paces follow one warm-up.
        return Adam([{"params": list(weights), "scale": scale}], betas=(0.5, 0.99))

    # Only the generator becomes the model, so only it is averaged.
    return State(network, tuple(adam(name, scale) for name, scale in _PACE.items()), averaged="generator.")


def gan_losses(
    batches: Batches,
    card: ModelCard,
    options: DCGANOptions,
    precision: Callable[[], AbstractContextManager[None]],
) -> tuple[Loss, ...]:
    """Return the losses of the discriminator and of the generator."""
    import torch
    from torch.nn.functional import relu, softplus

    from napari_genrecon.training.data.batches import draws_at

    hinge = options.loss == "hinge"

    def discriminator_at(net: nn.Module, step: int, skipped: int) -> dict[str, Tensor]:
        generator, discriminator = _networks(net, trained="discriminator")
        draws = draws_at(options.seed, skipped, step, turn=0)
        real = batches(step, skipped)
        with precision():
            with torch.no_grad():
                # The generator does not learn in this turn: no gradients, and no memory for them.
                fake = generator(_latents(len(real), options.latent, draws, real.device))
            on_real, on_fake = (_scores(discriminator, x, options.augment, draws) for x in (real, fake))
        if hinge:
            loss = relu(1 - on_real).mean() + relu(1 + on_fake).mean()
        else:
            loss = softplus(-on_real).mean() + softplus(on_fake).mean()
        # Outside of `precision`, so in float32, and on data as they are, not augmented.
        if options.r1 and step % _PENALISED_EVERY == 0:
            loss = loss + _PENALISED_EVERY * 0.5 * options.r1 * _r1_penalty(discriminator, real)
        return {"discriminator": loss}

    def generator_at(net: nn.Module, step: int, skipped: int) -> dict[str, Tensor]:
        generator, discriminator = _networks(net, trained="generator")
        # Other latents than in the discriminator's turn of this step.
        draws = draws_at(options.seed, skipped, step, turn=1)
        z = _latents(options.batch, options.latent, draws, next(net.parameters()).device)
        with precision():
            on_fake = _scores(discriminator, generator(z), options.augment, draws)
        return {"generator": -on_fake.mean() if hinge else softplus(-on_fake).mean()}

    return discriminator_at, generator_at


def _settle_norms(network: nn.Module, card: ModelCard, device: torch.device) -> None:
    """Measure the statistics of batch normalisation for averaged weights, which those of training do not fit."""
    import torch

    draws = torch.Generator().manual_seed(0)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        # Those of training belong to weights that change from step to step; averaged weights give other feature maps.
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over the batches
    # In this mode the norms measure; without gradients nothing else changes.
    network.train()
    with torch.no_grad():
        for _ in range(4):
            network(_latents(PICTURES // 2, card.latent, draws, device))
    network.eval()


def _score(model: GenerativeModel, dataset: Dataset) -> Score:
    """Score samples by their distance from held-out crops, and measure their variety."""
    from napari_genrecon.checks.samples import sliced_wasserstein, variety

    data = some(dataset.judging, PICTURES)
    # As many as there are crops, for a fair distance, and never a handful.
    samples = model.sample(max(len(data), 64), seed=0).reshape(-1, *data.shape[1:])
    distance, varied = float(np.mean(sliced_wasserstein(samples, data))), variety(samples, data)
    collapsed = model.card.steps >= _SETTLED and varied < COLLAPSED
    note = (
        f"the samples have {100 * varied:.0f} % of the variety of the crops: the generator has collapsed to a few "
        "pictures; a larger r1, a lower rate or more crops may help"
    )
    return Score(value=distance, shown={"distance": distance, "variety": varied}, note=note if collapsed else "")


def _finish(model: GenerativeModel, dataset: Dataset) -> ModelCard:
    return with_neighbour_distances(model.card, dataset)


def _networks(net: nn.Module, trained: str) -> tuple[nn.Module, nn.Module]:
    """Return generator and discriminator; gradients are computed for the weights of the `trained` one only."""
    for name, child in net.named_children():
        # The generator's turn needs gradients through the discriminator, but none of its weights.
        child.requires_grad_(name == trained)
    return net.get_submodule("generator"), net.get_submodule("discriminator")


def _scores(discriminator: nn.Module, x: Tensor, augment: bool, draws: torch.Generator) -> Tensor:
    """Return the discriminator's number (B,) for each picture, augmented or not."""
    from napari_genrecon.training.data.differentiable import augment_differentiably

    scores: Tensor = discriminator(augment_differentiably(x, draws) if augment else x)
    # Losses are computed in float32 also where the network runs in bfloat16.
    return scores.float()


def _r1_penalty(discriminator: nn.Module, real: Tensor) -> Tensor:
    """Return the mean squared length of the discriminator's gradient on data."""
    from torch.autograd import grad

    # Detached, so that the gradient begins at the pictures themselves.
    real = real.detach().requires_grad_()
    # The sum gives each picture its own gradient; `create_graph`, as the penalty is differentiated once more.
    (slope,) = grad(discriminator(real).sum(), real, create_graph=True)
    return slope.square().sum(dim=(1, 2, 3)).mean()


def _latents(n: int, latent: int, draws: torch.Generator, device: torch.device) -> Tensor:
    import torch

    return torch.randn(n, latent, generator=draws).to(device)


RECIPE = Recipe(
    name="dcgan",
    label="GAN",
    title="GAN: sharper, makes new ones only",
    paper="Goodfellow et al. 2014, doi:10.48550/arXiv.1406.2661",
    serves="sample",
    options=DCGANOptions,
    rate=5e-4,
    kept="dcgan",
    shape=_shape,
    network=_network,
    state=_state,
    losses=gan_losses,
    score=_score,
    preview=sample_grid,
    finish=_finish,
    part="generator",
    settle=_settle_norms,
    measures=("distance", "variety"),
    curves=(
        Curves(title="Distance of samples to held-out crops (lower is better)", lines={"distance": "distance"}),
        Curves(title="Variety of the samples (1: as varied as real crops)", lines={"variety": "variety"}),
        Curves(
            title="Losses of both networks (neither should win)",
            lines={"discriminator": "discriminator", "generator": "generator"},
        ),
    ),
)
