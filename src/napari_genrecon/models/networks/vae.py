"""A variational autoencoder for crops of 32, 64 or 128 pixels, with likelihoods for real grey values.

An encoder gives a Gaussian over the latents of an image x, q(z|x) = N(m(x), diag s(x)^2); a decoder gives the
likelihood p(x|z) of the grey values. Trained is the evidence lower bound (Kingma & Welling 2013)

    log p(x)  >=  E_q log p(x|z) - beta * KL(q(z|x) || N(0, I)),
    KL = 1/2 sum_j (m_j^2 + s_j^2 - 1 - log s_j^2),

with z = m + s * eps, eps ~ N(0, I), and beta = 1 (other values: Higgins et al. 2017). The importance-weighted bound

    log p(x)  >=  E log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x)

is tighter the larger K (Burda et al. 2016).

Likelihoods, per pixel, on grey values mapped to [-1, 1], one grey value being `step` wide. All are in nats of *one grey
value*, so that they compare:

logistic
    The mass that a logistic distribution with mean c and the decoder's scale s puts on the bin of x,
    sigmoid((x + step/2 - c)/s) - sigmoid((x - step/2 - c)/s); the first and the last bin take what lies beyond
    (Salimans et al. 2017). It sums to one over the grey values.
gaussian
    The density of N(c, s^2) times `step`, at grey values spread evenly over their bins (Theis et al. 2016).
bernoulli
    The continuous Bernoulli density (Loaiza-Ganem & Cunningham 2019) of u, the place of x in the range of all bins,
    times the share of one bin: the cross entropy with its normaliser, without which it is no likelihood of grey values.

Optics, camera and resampling correlate the residual r = x - m of neighbouring pixels. With a likelihood of independent
pixels, the model would spend latents on this grain. So the first two likelihoods are those of the innovation of a
separable first-order autoregression of r, row by row from the top left,

    c[y, x] = m[y, x] + a r[y, x-1] + b r[y-1, x] - a b r[y-1, x-1],

with a and b of every pixel from the decoder, within +-0.7, so that m must still be the picture (Gulrajani et al. 2017
let a deep network do this, and found latents that were no longer used). r has mean zero, so m is the mean of x given z.

Kingma, Welling: Auto-encoding variational Bayes, ICLR 2014.
Burda, Grosse, Salakhutdinov: Importance weighted autoencoders, ICLR 2016.
Gulrajani et al.: PixelVAE, ICLR 2017.
Salimans et al.: PixelCNN++, ICLR 2017. Theis et al.: A note on the evaluation of generative models, ICLR 2016.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, pad, softplus

from napari_genrecon.models.networks.blocks import widths

__all__ = [
    "LIKELIHOODS",
    "VAE",
    "divergence",
    "evidence_lower_bound",
    "importance_weighted_bound",
    "log_likelihood",
    "mean_picture",
]

LIKELIHOODS = ("logistic", "gaussian", "bernoulli")

# Limits of the decoder's log s, in units of the range -1 to 1: below, constant crops drive the likelihood to infinity;
# above, a scale is wider than all grey values.
_LOG_SCALES = (-7.0, 1.5)
_MOST_CORRELATED = 0.7  # largest a and b; near 1, neighbours alone would explain a picture and latents would go unused
# |logit| below which the normaliser and the mean of the continuous Bernoulli are computed by their series: the fourth
# order, which these leave out, is lost in the rounding of float32 there.
_NEAR_HALF = math.sqrt(math.sqrt(torch.finfo(torch.float32).eps))


class VAE(nn.Module):
    """Encoder and decoder of a variational autoencoder.

    Parameters
    ----------
    size : int
        Side of the pictures in px: 32, 64 or 128.
    channels : int
        Channels of the pictures.
    latent : int
        Length of z.
    width : int
        Feature maps at half the size; twice as many at each halving.
    likelihood : {"logistic", "gaussian", "bernoulli"}
        Distribution of grey values about the decoder's mean.
    """

    def __init__(self, size: int, channels: int, latent: int, width: int, likelihood: str = "logistic") -> None:
        super().__init__()
        self.likelihood = likelihood
        up = widths(size, width)
        down = up[::-1]
        self.shrink = nn.ModuleList(
            nn.Conv2d(n, m, 4, stride=2, padding=1) for n, m in zip([channels, *down[:-1]], down, strict=True)
        )
        # All sizes end at 4 x 4 = 16 pixels.
        self.code = nn.Linear(down[-1] * 16, 2 * latent)
        self.first = nn.Linear(latent, up[0] * 16)
        self.grow = nn.ModuleList(
            nn.ConvTranspose2d(n, m, 4, stride=2, padding=1) for n, m in zip(up, [*up[1:], width], strict=True)
        )
        self.last = nn.Conv2d(width, 4 * channels, 3, padding=1)  # mean, log scale, a and b of each channel

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the Gaussian over the latents of pictures.

        Parameters
        ----------
        x : (B, C, Y, X) Tensor
            Values in [-1, 1].

        Returns
        -------
        (B, L) Tensor, (B, L) Tensor
            Mean and log variance.
        """
        for shrink in self.shrink:
            x = nn.functional.silu(shrink(x))  # (B, 2M, Y/2, X/2)
        mean, log_variance = self.code(x.flatten(1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-14.0, 6.0)  # s.d. between 0.001 and 20: the KL divergence stays finite

    def decode(self, z: Tensor) -> Tensor:
        """Return the parameters of the likelihood.

        Parameters
        ----------
        z : (B, L) Tensor
            Latents.

        Returns
        -------
        (B, 4 C, Y, X) Tensor
            Mean (or logit) of every channel, then log scale, then the two parameters of a and b; see `log_likelihood`.
        """
        x = self.first(z).view(len(z), -1, 4, 4)  # (B, M, 4, 4)
        for grow in self.grow:
            x = grow(nn.functional.silu(x))  # (B, M/2, 2Y, 2X)
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 has too few digits for grey values
            parameters: Tensor = self.last(nn.functional.silu(x.float()))
        return parameters

    def pictures(self, z: Tensor, step: Tensor) -> Tensor:
        """Return the mean pictures (B, C, Y, X) of latents (B, L), without pixel noise."""
        return mean_picture(self.likelihood, self.decode(z), step)

    def bound(self, x: Tensor, step: Tensor, k: int, draws: torch.Generator) -> Tensor:
        """Return the importance-weighted bound of pictures (B,), see `importance_weighted_bound`."""
        return importance_weighted_bound(self, x, step, k, draws)


def evidence_lower_bound(network: VAE, x: Tensor, step: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return both parts of the evidence lower bound (see the top of this file), from one draw.

    Parameters
    ----------
    network : VAE
        Encoder and decoder.
    x : (B, C, Y, X) Tensor
        Bin centres on the scale of -1 to 1.
    step : (C, 1, 1) Tensor
        Width of one grey value.
    draws : torch.Generator
        Random numbers, on the CPU.

    Returns
    -------
    (B,) Tensor, (B,) Tensor
        Reconstruction and KL divergence in nats.
    """
    x = spread_over_bins(network.likelihood, x, step, draws)
    mean, log_variance = network.encode(x)
    # Reparametrised (Kingma & Welling 2013), so that gradients pass the draw.
    z = mean + torch.exp(0.5 * log_variance) * _normal(mean.shape, draws, mean)
    return log_likelihood(network.likelihood, x, network.decode(z).float(), step), divergence(
        mean.float(), log_variance.float()
    )


def importance_weighted_bound(network: VAE, x: Tensor, step: Tensor, k: int, draws: torch.Generator) -> Tensor:
    """Return the bound of Burda et al. 2016 with `k` draws per picture; parameters as for `evidence_lower_bound`.

    Returns
    -------
    (B,) Tensor
        Bound of each picture in nats.
    """
    x = spread_over_bins(network.likelihood, x, step, draws)
    mean, log_variance = network.encode(x)
    weights = []
    # One draw after the other: the decoder on all k at once would take k times the memory.
    for _ in range(k):
        noise = _normal(mean.shape, draws, mean)
        z = mean + torch.exp(0.5 * log_variance) * noise
        # log p(z) - log q(z|x): the constants of both Gaussians cancel
        prior_over_posterior = 0.5 * (noise.square() + log_variance - z.square()).sum(1)
        weights.append(log_likelihood(network.likelihood, x, network.decode(z), step) + prior_over_posterior)
    # The log of a mean; the weights themselves, exp of thousands of nats, are no numbers of float32.
    return torch.logsumexp(torch.stack(weights), 0) - math.log(k)


def spread_over_bins(kind: str, x: Tensor, step: Tensor, draws: torch.Generator) -> Tensor:
    """Return grey values spread evenly over their bins, for likelihoods that are densities (Theis et al. 2016)."""
    if kind == "logistic":
        return x
    # Drawn on the CPU, here and below, so that all devices get the same numbers.
    return x + step * (torch.rand(x.shape, generator=draws).to(x.device) - 0.5)


def _normal(shape: torch.Size, draws: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(shape, generator=draws).to(like.device)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the KL divergence from N(0, I) in nats, (B,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


def log_likelihood(kind: str, x: Tensor, parameters: Tensor, step: Tensor) -> Tensor:
    """Return the log likelihood of pictures in nats of one grey value; the formulas are at the top of this file.

    Parameters
    ----------
    kind : {"logistic", "gaussian", "bernoulli"}
        Distribution of the grey values.
    x : (B, C, Y, X) Tensor
        Values in [-1, 1]; bin centres for the logistic, spread over their bins for the others.
    parameters : (B, 4 C, Y, X) Tensor
        Output of `VAE.decode`.
    step : (C, 1, 1) Tensor
        Width of one grey value in every channel.

    Returns
    -------
    (B,) Tensor
    """
    mean, log_scale, along_x, along_y = parameters.chunk(4, dim=1)
    log_scale = log_scale.clamp(*_LOG_SCALES)
    if kind == "bernoulli":
        u = (x + 1 + step / 2) / (2 + step)  # all bins lie side by side in [0, 1]
        # -softplus(-logit) is log p and -softplus(logit) is log(1 - p), without a logarithm of 0.
        each = -softplus(-mean) * u - softplus(mean) * (1 - u) + _log_normaliser(mean) + torch.log(step / (2 + step))
        return each.flatten(1).sum(1)
    expected = mean + _predicted_residual(x - mean, along_x, along_y)
    if kind == "logistic":
        each = _log_logistic_mass(x, expected, log_scale, step)
    else:
        each = -0.5 * ((x - expected) * torch.exp(-log_scale)).square() - log_scale - 0.5 * math.log(2 * math.pi)
        # From the density to the mass of one grey value.
        each = each + torch.log(step)
    return each.flatten(1).sum(1)


def mean_picture(kind: str, parameters: Tensor, step: Tensor) -> Tensor:
    """Return the mean of the grey values given the latent, on the scale of -1 to 1.

    Parameters
    ----------
    kind : str
        As for `log_likelihood`.
    parameters : (B, 4 C, Y, X) Tensor
        Output of `VAE.decode`.
    step : (C, 1, 1) Tensor
        Width of one grey value.

    Returns
    -------
    (B, C, Y, X) Tensor
    """
    # The autoregression has mean zero given the latent, so that only the first part is needed.
    mean = parameters.chunk(4, dim=1)[0]
    if kind == "bernoulli":
        mean = _bernoulli_mean(mean) * (2 + step) - 1 - step / 2
    return mean.clamp(-1, 1)


def _predicted_residual(rest: Tensor, along_x: Tensor, along_y: Tensor) -> Tensor:
    """Predict each residual from those to the left, above and diagonally between; zero beyond the edge."""
    a, b = _MOST_CORRELATED * torch.tanh(along_x), _MOST_CORRELATED * torch.tanh(along_y)
    # One column on the left and one row above, which are the zeros beyond the edge.
    room = pad(rest, (1, 0, 1, 0))  # (B, C, Y + 1, X + 1)
    return a * room[..., 1:, :-1] + b * room[..., :-1, 1:] - a * b * room[..., :-1, :-1]


def _log_logistic_mass(x: Tensor, mean: Tensor, log_scale: Tensor, step: Tensor) -> Tensor:
    """Return the log mass of the bins, without cancellation where both ends of a bin lie on one side of the mean.

    sigmoid(a) - sigmoid(b) = sigmoid(a) * sigmoid(-b) * (1 - exp(b - a)), a > b.
    """
    inverse = torch.exp(-log_scale)
    upper, lower = (x + step / 2 - mean) * inverse, (x - step / 2 - mean) * inverse
    inner = logsigmoid(upper) + logsigmoid(-lower) + torch.log(-torch.expm1(-step * inverse))
    # The first and the last bin reach to infinity.
    first, last = x < -1 + step / 2, x > 1 - step / 2
    return torch.where(first, logsigmoid(upper), torch.where(last, logsigmoid(-lower), inner))


def _log_normaliser(logit: Tensor) -> Tensor:
    """Return log(2 atanh(1 - 2p) / (1 - 2p)) with p = sigmoid(logit), which is log(logit / tanh(logit/2))."""
    near = logit.abs() < _NEAR_HALF
    # torch differentiates both branches of `where`: 0/0 in the one not taken would make the gradient NaN.
    safe = torch.where(near, torch.ones_like(logit), logit)
    return torch.where(near, math.log(2) + logit.square() / 12, torch.log(safe / torch.tanh(safe / 2)))


def _bernoulli_mean(logit: Tensor) -> Tensor:
    """Return the mean of u, p / (2p - 1) + 1 / (2 atanh(1 - 2p)) with p = sigmoid(logit)."""
    near = logit.abs() < _NEAR_HALF
    safe = torch.where(near, torch.ones_like(logit), logit)
    # p / (2p - 1) is 1 / (1 - exp(-logit)); both terms are large beside 0 and cancel, so that each must be exact.
    return torch.where(near, 0.5 + logit / 12, -1 / torch.expm1(-safe) - 1 / safe)
