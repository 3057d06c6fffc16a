"""Laws of the likelihoods and of the bounds."""

from __future__ import annotations

import math

import pytest
import torch

from napari_genrecon.models.networks.vae import (
    LIKELIHOODS,
    VAE,
    evidence_lower_bound,
    importance_weighted_bound,
    log_likelihood,
    mean_picture,
)

LEVELS = 41
STEP = torch.full((1, 1, 1), 2 / (LEVELS - 1))


def _parameters(n: int) -> torch.Tensor:
    """(n, 4, 1, 1): means within and beyond the range, narrow and wide scales, any correlation."""
    draws = torch.Generator().manual_seed(0)
    mean, log_scale, a, b = torch.randn(4, n, generator=draws)
    return torch.stack([1.5 * mean, log_scale - 2, a, b], 1)[..., None, None]


def _likelihoods(kind: str, grid: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """(G, n) likelihood of every value of a grid under every parameter."""
    n = len(parameters)
    values = grid.repeat_interleave(n)[:, None, None, None]
    every = parameters.double().repeat(len(grid), 1, 1, 1)
    return log_likelihood(kind, values, every, STEP.double()).view(len(grid), n).exp()


def test_logistic_likelihood_sums_to_one_over_the_grey_values() -> None:
    grid = torch.linspace(-1, 1, LEVELS, dtype=torch.float64)
    total = _likelihoods("logistic", grid, _parameters(60)).sum(0)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-6)


def test_logistic_likelihood_of_whole_pictures_sums_to_one_with_correlated_neighbours() -> None:
    """All pictures of 2 x 2 pixels with 7 grey values."""
    step = torch.full((1, 1, 1), 2 / 6, dtype=torch.float64)
    values = torch.linspace(-1, 1, 7, dtype=torch.float64)
    pictures = torch.cartesian_prod(values, values, values, values).view(-1, 1, 2, 2)
    torch.manual_seed(0)
    parameters = torch.randn(1, 4, 2, 2, dtype=torch.float64).expand(len(pictures), -1, -1, -1)
    total = log_likelihood("logistic", pictures, parameters, step).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("kind", ["gaussian", "bernoulli"])
def test_density_integrates_to_one_over_all_bins(kind: str) -> None:
    half = float(STEP) / 2
    end = 12.0 if kind == "gaussian" else 1 + half
    n = 40_000
    grid = -end + 2 * end * (torch.arange(n, dtype=torch.float64) + 0.5) / n
    total = _likelihoods(kind, grid, _parameters(10)).sum(0) * (2 * end / n) / float(STEP)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=2e-3)


def test_bernoulli_mean_is_that_of_its_density() -> None:
    logits = torch.tensor([-8.0, -1.0, -0.02, 0.0, 0.003, 0.5, 6.0])
    parameters = torch.stack([logits, *torch.zeros(3, len(logits))], 1)[..., None, None]
    end, n = 1 + float(STEP) / 2, 20_000
    grid = -end + 2 * end * (torch.arange(n, dtype=torch.float64) + 0.5) / n
    weight = _likelihoods("bernoulli", grid, parameters)
    weight = weight / weight.sum(0)
    mean = (weight * grid[:, None]).sum(0)
    found = mean_picture("bernoulli", parameters, STEP).flatten().double()
    torch.testing.assert_close(found, mean.clamp(-1, 1), rtol=0, atol=1e-3)


def test_mean_of_a_bernoulli_is_exact_in_float32_beside_a_half() -> None:
    """Two large terms cancel there: with 1 - exp(-logit) instead of expm1 it was off by 1e-4."""
    logit = torch.logspace(-6, 1, 3000, dtype=torch.float64)
    parameters = torch.zeros(6000, 4, 1, 1, dtype=torch.float64)
    parameters[:, 0, 0, 0] = torch.cat([logit, -logit])
    found = mean_picture("bernoulli", parameters.float(), STEP)
    torch.testing.assert_close(found.double(), mean_picture("bernoulli", parameters, STEP.double()), rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_importance_weighted_bound_is_above_the_evidence_lower_bound(kind: str) -> None:
    torch.manual_seed(0)
    network = VAE(32, 1, 4, 4, kind)
    network.first.weight.data *= 30  # so that the latents matter
    x = torch.randint(0, LEVELS, (24, 1, 32, 32)) * STEP - 1
    with torch.no_grad():
        reconstruction, divergence = evidence_lower_bound(network, x, STEP, torch.Generator().manual_seed(1))
        bounds = [
            float(importance_weighted_bound(network, x, STEP, k, torch.Generator().manual_seed(1)).mean())
            for k in (1, 8, 64)
        ]
    assert bounds[0] < bounds[1] < bounds[2]
    assert float((reconstruction - divergence).mean()) < bounds[2]


@pytest.mark.slow
def test_bound_with_one_draw_is_the_evidence_lower_bound_on_average() -> None:
    torch.manual_seed(0)
    network, x = VAE(32, 1, 2, 4), torch.randint(0, LEVELS, (4000, 1, 32, 32)) * STEP - 1
    with torch.no_grad():
        reconstruction, divergence = evidence_lower_bound(network, x, STEP, torch.Generator().manual_seed(1))
        one = importance_weighted_bound(network, x, STEP, 1, torch.Generator().manual_seed(2))
    difference = one - (reconstruction - divergence)
    assert abs(float(difference.mean())) < 4 * float(difference.std()) / math.sqrt(len(x))


def test_grey_values_are_computed_in_float32_where_the_rest_is_in_bfloat16() -> None:
    """bfloat16 has 8 bits: neighbouring grey values would become one."""
    net, seen = VAE(size=32, latent=4, width=4, channels=1, likelihood="logistic"), []
    for layer in (net.grow[-1], net.last):
        layer.register_forward_hook(lambda _, __, made: seen.append(made.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        net.decode(torch.zeros(1, 4))
    assert seen == [torch.bfloat16, torch.float32]
