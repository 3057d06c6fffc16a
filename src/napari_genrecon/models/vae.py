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
    The mass that a logistic distribution with the decoder's mean m and scale s puts on the bin of x,
    sigmoid((x + step/2 - m)/s) - sigmoid((x - step/2 - m)/s); the first and the last bin take what lies beyond
    (Salimans et al. 2017). It sums to one over the grey values.
gaussian
    The density of N(m, s^2) times `step`, at grey values spread evenly over their bins (Theis et al. 2016).
bernoulli
    The continuous Bernoulli density (Loaiza-Ganem & Cunningham 2019) of u, the place of x in the range of all bins,
    times the share of one bin: the cross entropy with its normaliser, without which it is no likelihood of grey values.

Kingma, Welling: Auto-encoding variational Bayes, ICLR 2014.
Burda, Grosse, Salakhutdinov: Importance weighted autoencoders, ICLR 2016.
Salimans et al.: PixelCNN++, ICLR 2017. Theis et al.: A note on the evaluation of generative models, ICLR 2016.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from napari_genrecon.models.dcgan import widths

__all__ = ["LIKELIHOODS", "VAE", "divergence", "log_likelihood", "mean_and_spread"]

LIKELIHOODS = ("logistic", "gaussian", "bernoulli")

_LOG_SCALES = (-7.0, 1.5)  # limits of the decoder's log s, in units of the range -1 to 1
_NEAR_HALF = 1e-3  # where the continuous Bernoulli's normaliser is 0/0 and its series is used


class VAE(nn.Module):
    """Encoder and decoder.

    Parameters
    ----------
    size : int
        Side of the pictures in px: 32, 64 or 128.
    channels : int
        Of the pictures.
    latent : int
        Length of z.
    width : int
        Feature maps at half the size; twice as many at a quarter, and so on.
    """

    def __init__(self, size: int, channels: int, latent: int, width: int) -> None:
        super().__init__()
        up = widths(size, width)
        down = up[::-1]
        self.shrink = nn.ModuleList(
            nn.Conv2d(n, m, 4, stride=2, padding=1) for n, m in zip([channels, *down[:-1]], down, strict=True)
        )
        self.code = nn.Linear(down[-1] * 16, 2 * latent)
        self.first = nn.Linear(latent, up[0] * 16)
        self.grow = nn.ModuleList(
            nn.ConvTranspose2d(n, m, 4, stride=2, padding=1) for n, m in zip(up, [*up[1:], width], strict=True)
        )
        self.last = nn.Conv2d(width, 2 * channels, 3, padding=1)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The Gaussian over the latents of pictures.

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
        return mean, log_variance.clamp(-14.0, 6.0)

    def decode(self, z: Tensor) -> Tensor:
        """The parameters of the likelihood.

        Parameters
        ----------
        z : (B, L) Tensor
            Latents.

        Returns
        -------
        (B, 2 C, Y, X) Tensor
            Mean (or logit) of every channel, then log scale of every channel; see `log_likelihood`.
        """
        x = self.first(z).view(len(z), -1, 4, 4)  # (B, M, 4, 4)
        for grow in self.grow:
            x = grow(nn.functional.silu(x))  # (B, M/2, 2Y, 2X)
        parameters: Tensor = self.last(nn.functional.silu(x))
        return parameters


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence from N(0, I) in nats, (B,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


def log_likelihood(kind: str, x: Tensor, parameters: Tensor, step: Tensor) -> Tensor:
    """Log likelihood of pictures in nats of one grey value, as the formulas on top say.

    Parameters
    ----------
    kind : {"logistic", "gaussian", "bernoulli"}
        Which.
    x : (B, C, Y, X) Tensor
        Values in [-1, 1]; bin centres for the logistic, spread over their bins for the others.
    parameters : (B, 2 C, Y, X) Tensor
        Of `VAE.decode`.
    step : (C, 1, 1) Tensor
        Width of one grey value in every channel.

    Returns
    -------
    (B,) Tensor
    """
    mean, log_scale = parameters.chunk(2, dim=1)
    log_scale = log_scale.clamp(*_LOG_SCALES)
    if kind == "logistic":
        each = _log_logistic_mass(x, mean, log_scale, step)
    elif kind == "gaussian":
        each = -0.5 * ((x - mean) * torch.exp(-log_scale)).square() - log_scale - 0.5 * math.log(2 * math.pi)
        each = each + torch.log(step)
    else:
        u = (x + 1 + step / 2) / (2 + step)  # all bins lie side by side in [0, 1]
        each = -softplus(-mean) * u - softplus(mean) * (1 - u) + _log_normaliser(mean) + torch.log(step / (2 + step))
    return each.flatten(1).sum(1)


def mean_and_spread(kind: str, parameters: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and s.d. of the grey values, on the scale of [-1, 1].

    Parameters
    ----------
    kind : str
        As for `log_likelihood`.
    parameters : (B, 2 C, Y, X) Tensor
        Of `VAE.decode`.
    step : (C, 1, 1) Tensor
        Width of one grey value.

    Returns
    -------
    (B, C, Y, X) Tensor, (B, C, Y, X) Tensor
    """
    mean, log_scale = parameters.chunk(2, dim=1)
    scale = log_scale.clamp(*_LOG_SCALES).exp()
    if kind == "bernoulli":
        place, spread = _bernoulli_moments(mean)
        return (place * (2 + step) - 1 - step / 2).clamp(-1, 1), spread * (2 + step)
    return mean.clamp(-1, 1), scale * (math.pi / math.sqrt(3) if kind == "logistic" else 1.0)


def _log_logistic_mass(x: Tensor, mean: Tensor, log_scale: Tensor, step: Tensor) -> Tensor:
    """Stable where both ends of the bin lie on one side: the difference is written by what the sigmoids share.

    sigmoid(a) - sigmoid(b) = sigmoid(a) * sigmoid(-b) * (1 - exp(b - a)), a > b.
    """
    inverse = torch.exp(-log_scale)
    upper, lower = (x + step / 2 - mean) * inverse, (x - step / 2 - mean) * inverse
    inner = logsigmoid(upper) + logsigmoid(-lower) + torch.log(-torch.expm1(-step * inverse))
    first, last = x < -1 + step / 2, x > 1 - step / 2
    return torch.where(first, logsigmoid(upper), torch.where(last, logsigmoid(-lower), inner))


def _log_normaliser(logit: Tensor) -> Tensor:
    """Logarithm of 2 atanh(1 - 2p) / (1 - 2p), p = sigmoid(logit); of the logit, logit / tanh(logit/2)."""
    near = logit.abs() < _NEAR_HALF
    safe = torch.where(near, torch.ones_like(logit), logit)
    return torch.where(near, math.log(2) + logit.square() / 12, torch.log(safe / torch.tanh(safe / 2)))


def _bernoulli_moments(logit: Tensor) -> tuple[Tensor, Tensor]:
    near = logit.abs() < 30 * _NEAR_HALF  # the variance cancels to its third order, so more room than above
    safe = torch.where(near, torch.ones_like(logit), logit)
    mean = torch.where(near, 0.5 + logit / 12, 1 / (1 - torch.exp(-safe)) - 1 / safe)
    variance = torch.where(near, torch.full_like(logit, 1 / 12), 1 / safe.square() - 0.25 / torch.sinh(safe / 2) ** 2)
    return mean, variance.clamp_min(0).sqrt()
