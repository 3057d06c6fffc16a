"""The recipe of the GAN: what generator and discriminator try to do.

With D the discriminator's number and T a random change of pictures, the same for real and made ones in kind:

non-saturating (Goodfellow et al. 2014)
    discriminator  E softplus(-D(T(x))) + E softplus(D(T(G(z)))),  generator  E softplus(-D(T(G(z)))).
hinge (Lim & Ye 2017)
    discriminator  E max(0, 1 - D(T(x))) + E max(0, 1 + D(T(G(z)))),  generator  -E D(T(G(z))).
R1 penalty (Mescheder et al. 2018)
    adds  r1/2 E |grad_x D(x)|^2 on data to the discriminator's loss, without which the game need not settle; every 16th
    step with 16 times the weight (Karras et al. 2020).
T, differentiable augmentation (Zhao et al. 2020)
    brightness, contrast, shift and a hole. What the discriminator never sees unchanged, it cannot learn by heart, and
    what is done to made pictures alike does not leak into them.

Mescheder, Geiger, Nowozin: Which training methods for GANs do actually converge? ICML 2018.
Zhao et al.: Differentiable augmentation for data-efficient GAN training, NeurIPS 2020.
Heusel et al.: GANs trained by a two time-scale update rule, NIPS 2017.
Lim, Ye: Geometric GAN, arXiv:1705.02894. Karras et al.: StyleGAN2, CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu, softplus

from napari_genrecon.models.networks.dcgan import Discriminator, Generator
from napari_genrecon.training.batches import draws_at
from napari_genrecon.training.loop import Loss, State
from napari_genrecon.training.train_options import TrainOptions

__all__ = ["augment_differentiably", "gan_losses", "gan_state"]

_PACE = {"discriminator": 2.0, "generator": 0.5}  # times the learning rate; see `gan_state`
_PENALISED_EVERY = 16  # steps
_SHIFT = 8  # shifts by up to this part of the side
_HOLE = 4  # and a hole of this part


def gan_state(size: int, channels: int, options: TrainOptions, device: torch.device) -> State:
    """Generator and discriminator with fresh moments (Adam, beta1 = 0.5 as Radford et al. 2015).

    The discriminator learns four times as fast (Heusel et al. 2017: two time scales): at one rate for both it fell
    behind, could no longer tell samples from data, and had nothing left to teach.
    """
    net = nn.ModuleDict(
        {
            "generator": Generator(size, channels, options.latent, options.width),
            "discriminator": Discriminator(size, channels, options.width, options.spectral),
        }
    )
    net = net.to(device).to(memory_format=torch.channels_last)
    return State(net, tuple(_adam(net[name], scale) for name, scale in _PACE.items()), averaged="generator.")


def gan_losses(
    batch_at: Callable[[int, int], Tensor],
    options: TrainOptions,
    precision: Callable[[], AbstractContextManager[None]],
) -> tuple[Loss, Loss]:
    """The losses of the discriminator's and of the generator's turn.

    Parameters
    ----------
    batch_at : callable
        ``batch_at(step, skipped)`` is (B, C, Y, X) data on the scale of -1 to 1.
    options : TrainOptions
        How.
    precision : callable
        Gives the context in which networks run.
    """
    hinge = options.loss == "hinge"

    def discriminator_at(net: nn.Module, step: int, skipped: int) -> Tensor:
        made, judge = _players(net, learns="discriminator")
        draws = draws_at(options.seed, skipped, step, turn=0)
        real = batch_at(step, skipped)
        with precision():
            with torch.no_grad():
                fake = made(_latents(len(real), options.latent, draws, real.device))
            on_real, on_fake = (_judged(judge, x, options.augment, draws) for x in (real, fake))
        if hinge:
            loss = relu(1 - on_real).mean() + relu(1 + on_fake).mean()
        else:
            loss = softplus(-on_real).mean() + softplus(on_fake).mean()
        if options.r1 and step % _PENALISED_EVERY == 0:
            loss = loss + _PENALISED_EVERY * 0.5 * options.r1 * _steepness(judge, real)
        return loss

    def generator_at(net: nn.Module, step: int, skipped: int) -> Tensor:
        made, judge = _players(net, learns="generator")
        draws = draws_at(options.seed, skipped, step, turn=1)
        z = _latents(options.batch, options.latent, draws, next(net.parameters()).device)
        with precision():
            on_fake = _judged(judge, made(z), options.augment, draws)
        return -on_fake.mean() if hinge else softplus(-on_fake).mean()

    return discriminator_at, generator_at


def augment_differentiably(x: Tensor, draws: torch.Generator) -> Tensor:
    """Brightness, contrast, shift and a hole, other ones for every picture.

    Parameters
    ----------
    x : (B, C, Y, X) Tensor
        Values in [-1, 1].
    draws : torch.Generator
        On the CPU.

    Returns
    -------
    (B, C, Y, X) Tensor
    """
    n, side = len(x), x.shape[-1]
    brightness, contrast = torch.rand(2, n, 1, 1, 1, generator=draws).to(x.device)
    middle = x.mean(dim=(1, 2, 3), keepdim=True)
    x = (x - middle) * (0.5 + contrast) + middle + (brightness - 0.5)
    return _punched(_shifted(x, side // _SHIFT, draws), side // _HOLE, draws)


def _shifted(x: Tensor, most: int, draws: torch.Generator) -> Tensor:
    n, side = len(x), x.shape[-1]
    dy, dx = torch.randint(0, 2 * most + 1, (2, n, 1), generator=draws).to(x.device)
    rows = torch.arange(side, device=x.device) + dy  # (B, Y)
    columns = torch.arange(side, device=x.device) + dx
    room = pad(x, (most,) * 4).permute(0, 2, 3, 1)  # (B, Y + 2m, X + 2m, C)
    images = torch.arange(n, device=x.device)[:, None, None]
    return room[images, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _punched(x: Tensor, hole: int, draws: torch.Generator) -> Tensor:
    n, side = len(x), x.shape[-1]
    top, left = torch.randint(1 - hole, side, (2, n, 1), generator=draws).to(x.device)
    places = torch.arange(side, device=x.device)
    rows = (places >= top) & (places < top + hole)  # (B, Y)
    columns = (places >= left) & (places < left + hole)
    return x * ~(rows[:, None, :, None] & columns[:, None, None, :])


def _adam(player: nn.Module, scale: float) -> torch.optim.Optimizer:
    return torch.optim.Adam([{"params": list(player.parameters()), "scale": scale}], betas=(0.5, 0.99))


def _players(net: nn.Module, learns: str) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator, of which one gets gradients: those of the other need not be computed."""
    assert isinstance(net, nn.ModuleDict)
    for name, player in net.items():
        player.requires_grad_(name == learns)
    return net["generator"], net["discriminator"]


def _judged(judge: nn.Module, x: Tensor, changed: bool, draws: torch.Generator) -> Tensor:
    judged: Tensor = judge(augment_differentiably(x, draws) if changed else x)
    return judged.float()


def _steepness(judge: nn.Module, real: Tensor) -> Tensor:
    """Mean squared length of the discriminator's gradient on data."""
    real = real.detach().requires_grad_()
    (slope,) = torch.autograd.grad(judge(real).sum(), real, create_graph=True)
    return slope.square().sum(dim=(1, 2, 3)).mean()


def _latents(n: int, latent: int, draws: torch.Generator, device: torch.device) -> Tensor:
    return torch.randn(n, latent, generator=draws).to(device)
