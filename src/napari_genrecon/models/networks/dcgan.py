"""A generative adversarial network for crops of 32, 64 or 128 pixels, convolutional as in Radford et al. 2015.

The generator turns a latent z ~ N(0, I) into a picture by one linear layer and transposed convolutions, each of which
doubles the side; the discriminator halves it again and ends in one number. They play the minimax game of Goodfellow et
al. 2014,

    min_G max_D  E_x log D(x) + E_z log(1 - D(G(z))),

where D is the sigmoid of that number; `training.recipes.dcgan` has the losses in the form in which they are trained.

The kernels of 4 pixels at a stride of 2 cover every pixel equally often, which leaves no checkerboard (Odena et al.
2016). The generator has batch normalisation; the discriminator has none, because the gradient penalty is defined for
one image at a time, but sees how much its batch varies (Karras et al. 2018), so that it can reject pictures which are
all alike.

Radford, Metz, Chintala: Unsupervised representation learning with deep convolutional GANs, ICLR 2016.
Goodfellow et al.: Generative adversarial nets, NIPS 2014.
Miyato et al.: Spectral normalization for GANs, ICLR 2018.
Karras et al.: Progressive growing of GANs, ICLR 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from napari_genrecon.models.networks.blocks import widths

__all__ = ["Discriminator", "Generator"]

_GROUP = 16  # images over which the discriminator sees the variation; fewer give a noisier estimate


class Generator(nn.Module):
    """Turn a latent into a picture with values in [-1, 1].

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
    """

    def __init__(self, size: int, channels: int, latent: int, width: int) -> None:
        super().__init__()
        maps = widths(size, width)
        self.first = nn.Linear(latent, maps[0] * 16, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in maps)
        self.grow = nn.ModuleList(
            nn.ConvTranspose2d(n, m, 4, stride=2, padding=1, bias=m == channels)
            for n, m in zip(maps, [*maps[1:], channels], strict=True)
        )

    def forward(self, z: Tensor) -> Tensor:
        """Make pictures.

        Parameters
        ----------
        z : (B, L) Tensor
            Latents.

        Returns
        -------
        (B, C, Y, X) Tensor
        """
        x = self.first(z).view(len(z), -1, 4, 4)  # (B, M, 4, 4)
        for norm, grow in zip(self.norms, self.grow, strict=True):
            x = grow(torch.relu(norm(x)))  # (B, M/2, 2Y, 2X)
        return torch.tanh(x)  # (B, C, Y, X)

    def pictures(self, z: Tensor, step: Tensor) -> Tensor:
        """Return the pictures (B, C, Y, X) of latents (B, L); the width of a grey value makes no difference."""
        pictures: Tensor = self(z)
        return pictures


class Discriminator(nn.Module):
    """Turn a picture into one number: high for data, low for pictures of the generator.

    Parameters
    ----------
    size, channels, width : int
        As for `Generator`.
    spectral : bool
        Whether to divide every weight by its largest singular value, so that the number changes at most as fast as the
        picture (Miyato et al. 2018).
    """

    def __init__(self, size: int, channels: int, width: int, spectral: bool) -> None:
        super().__init__()
        maps = widths(size, width)[::-1]
        limit = spectral_norm if spectral else lambda layer: layer
        self.shrink = nn.ModuleList(
            limit(nn.Conv2d(n, m, 4, stride=2, padding=1)) for n, m in zip([channels, *maps[:-1]], maps, strict=True)
        )
        self.mix = limit(nn.Conv2d(maps[-1] + 1, maps[-1], 3, padding=1))
        self.last = limit(nn.Linear(maps[-1] * 16, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the discriminator's number for each picture.

        Parameters
        ----------
        x : (B, C, Y, X) Tensor
            Values in [-1, 1].

        Returns
        -------
        (B,) Tensor
        """
        for shrink in self.shrink:
            x = nn.functional.leaky_relu(shrink(x), 0.2)  # (B, 2M, Y/2, X/2)
        x = torch.cat([x, _variation(x)], dim=1)  # (B, M + 1, 4, 4)
        x = nn.functional.leaky_relu(self.mix(x), 0.2)  # (B, M, 4, 4)
        score: Tensor = self.last(x.flatten(1))[:, 0]  # (B,)
        return score


def _variation(x: Tensor) -> Tensor:
    """Return how much the features vary over groups of the batch, as one constant feature map (Karras et al. 2018)."""
    group = min(_GROUP, len(x))
    groups = x[: len(x) // group * group].view(-1, group, *x.shape[1:])  # (G, 16, M, 4, 4)
    spread = (groups.var(1, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # (G,)
    each = spread.repeat_interleave(group)  # (16 G,)
    each = torch.cat([each, each[-1:].expand(len(x) - len(each))])  # (B,): images left over belong to the last group
    return each.view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
