"""Bounds on the log likelihood under a VAE, and what they are like on data that was held out."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from napari_genrecon.models.vae import VAE, divergence, log_likelihood

__all__ = ["evidence_lower_bound", "importance_weighted_bound", "spread_over_bins"]


def evidence_lower_bound(
    network: VAE, kind: str, x: Tensor, step: Tensor, draws: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Both parts of the bound on top of `models.vae`, with one draw.

    Parameters
    ----------
    network : VAE
        Encoder and decoder.
    kind : str
        Likelihood.
    x : (B, C, Y, X) Tensor
        Bin centres on the scale of -1 to 1.
    step : (C, 1, 1) Tensor
        Width of one grey value.
    draws : torch.Generator
        On the CPU.

    Returns
    -------
    (B,) Tensor, (B,) Tensor
        Reconstruction and KL divergence in nats.
    """
    x = spread_over_bins(kind, x, step, draws)
    mean, log_variance = network.encode(x)
    z = mean + torch.exp(0.5 * log_variance) * _normal(mean.shape, draws, mean)
    return log_likelihood(kind, x, network.decode(z).float(), step), divergence(mean.float(), log_variance.float())


def importance_weighted_bound(
    network: VAE, kind: str, x: Tensor, step: Tensor, k: int, draws: torch.Generator
) -> Tensor:
    """The bound of Burda et al. 2016 with `k` draws per picture; parameters as of `evidence_lower_bound`.

    Returns
    -------
    (B,) Tensor
        Nats.
    """
    x = spread_over_bins(kind, x, step, draws)
    mean, log_variance = network.encode(x)
    weights = []
    for _ in range(k):
        noise = _normal(mean.shape, draws, mean)
        z = mean + torch.exp(0.5 * log_variance) * noise
        # log p(z) - log q(z|x): the constants of both Gaussians cancel
        prior_over_posterior = 0.5 * (noise.square() + log_variance - z.square()).sum(1)
        weights.append(log_likelihood(kind, x, network.decode(z), step) + prior_over_posterior)
    return torch.logsumexp(torch.stack(weights), 0) - math.log(k)


def spread_over_bins(kind: str, x: Tensor, step: Tensor, draws: torch.Generator) -> Tensor:
    """Grey values spread evenly over their bins, for likelihoods that are densities (Theis et al. 2016)."""
    if kind == "logistic":
        return x
    return x + step * (torch.rand(x.shape, generator=draws).to(x.device) - 0.5)


def _normal(shape: torch.Size, draws: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(shape, generator=draws).to(like.device)
