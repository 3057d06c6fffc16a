"""A small bias-free residual network that enlarges an image by 2, 3 or 4.

Residual blocks at the input's resolution, then one convolution and a pixel shuffle per factor (Lim et al., "Enhanced
deep residual networks for single image super-resolution", CVPR Workshops 2017, whose multi-scale network also shares
one body; Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel convolutional
neural network", CVPR 2016). What comes out is added to the bicubic enlargement.

Without a bias anywhere the network is homogeneous of degree one (Mohan et al., ICLR 2020), and as the kernels that see
the image sum to zero it does not depend on the image's offset: ``f(a*y + b, a*sigma) = a*f(y, sigma) + b`` for
``a > 0``. So it serves grey values in any units, and a constant image stays constant.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_genrecon.models.card import FACTORS
from napari_genrecon.models.networks.blocks import ResidualBlock

__all__ = ["AxialNet", "UpscaleNet", "UpscaleNets"]

WIDTH = 48  # feature maps: 0.65 MFLOP per input pixel with 7 blocks; the bundled weights have this size
BLOCKS = 7
REACH = 17  # pixels of the input that one output pixel depends on, to each side: 3 + 2 * BLOCKS convolutions
_CUBIC_REACH = 2  # pixels: Keys' kernel is zero from a distance of 2


class UpscaleNet(nn.Module):
    """Enlarge an image whose noise is known.

    The body is shared by the factors; each has a head and a tail of its own. 0.33 million parameters, 0.65 MFLOP per
    pixel of the input.

    Parameters
    ----------
    factors : tuple of int
        Factors that it can enlarge by.
    """

    def __init__(self, factors: tuple[int, ...] = FACTORS) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({str(f): nn.Conv2d(2, WIDTH, 3, bias=False) for f in factors})
        self.body = nn.Sequential(*(ResidualBlock(WIDTH) for _ in range(BLOCKS)))
        self.fuse = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
        self.tails = nn.ModuleDict({str(f): nn.Conv2d(WIDTH, f * f, 3, padding=1, bias=False) for f in factors})
        for tail in self.tails.values():
            nn.init.normal_(tail.get_parameter("weight"), std=1e-3)  # starts as bicubic enlargement
        for f in factors:
            # Not among the weights: these are constants.
            self.register_buffer(f"cubic{f}", cubic_kernels(f), persistent=False)

    def forward(self, y: Tensor, sigma: Tensor, factor: int) -> Tensor:
        """Enlarge a batch.

        Parameters
        ----------
        y : (B, 1, H, W) Tensor
            Images in any units.
        sigma : (B, 1, H, W) or (B,) Tensor
            Standard deviation of the noise of every pixel, or of all, in the units of `y`.
        factor : {2, 3, 4}
            How many times more pixels along either side.

        Returns
        -------
        (B, 1, H*factor, W*factor) Tensor
            The enlarged images, free of noise, in the units of `y`.
        """
        sigma = sigma if sigma.ndim == 4 else sigma[:, None, None, None].expand_as(y)
        with torch.autocast(y.device.type, enabled=False):  # half precision would round the image itself
            base = F.conv2d(_pad(y, _CUBIC_REACH), getattr(self, f"cubic{factor}"))  # (B, f*f, H, W)
            x = _head(y, sigma, self.heads[str(factor)].get_parameter("weight"))  # (B, 48, H, W)
        x = x + self.fuse(self.body(x))
        return F.pixel_shuffle(base + self.tails[str(factor)](x), factor)  # (B, 1, H*f, W*f)

    def axial(self, factor: int) -> AxialNet:
        """Return an `AxialNet` to be fine-tuned; it shares the weights of the body."""
        return AxialNet(factor, self)


class UpscaleNets(nn.Module):
    """Two networks, one for factor 2 and one for 3 and 4: factor 2 adds finer detail and has a body of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.two = UpscaleNet((2,))
        self.more = UpscaleNet((3, 4))

    def forward(self, y: Tensor, sigma: Tensor, factor: int) -> Tensor:
        """Enlarge a batch; parameters as for `UpscaleNet`."""
        large: Tensor = self._part(factor)(y, sigma, factor)
        return large

    def axial(self, factor: int) -> AxialNet:
        """Return an `AxialNet` that shares the weights of the part for this factor."""
        return self._part(factor).axial(factor)

    def _part(self, factor: int) -> UpscaleNet:
        return self.two if factor == 2 else self.more


class AxialNet(nn.Module):
    """Give an image several times more rows and no more columns: one factor of an `UpscaleNet`, narrowed to that.

    Parameters
    ----------
    factor : {2, 3, 4}
        How many times more rows.
    source : UpscaleNet, optional
        Network whose weights to start from: a new row is at first the mean over the columns that `source` gives.
    """

    def __init__(self, factor: int, source: UpscaleNet | None = None) -> None:
        super().__init__()
        source = UpscaleNet((factor,)) if source is None else source
        self.factor = factor
        self.head, self.body, self.fuse = source.heads[str(factor)], source.body, source.fuse
        self.tail = nn.Conv2d(WIDTH, factor, 3, padding=1, bias=False)
        weight = source.tails[str(factor)].get_parameter("weight").detach()  # (f*f, 48, 3, 3)
        self.tail.weight.data = weight.reshape(factor, factor, *weight.shape[1:]).mean(dim=1)
        columns = cubic_kernels(factor).reshape(factor, factor, 1, 5, 5).mean(dim=1).sum(dim=-1, keepdim=True)
        self.register_buffer("cubic", columns.to(weight), persistent=False)  # (f, 1, 5, 1)

    def forward(self, y: Tensor, sigma: Tensor) -> Tensor:
        """Enlarge a batch.

        Parameters
        ----------
        y, sigma : (B, 1, H, W) Tensor
            As for `UpscaleNet`.

        Returns
        -------
        (B, 1, H*factor, W) Tensor
        """
        rows = F.pad(y, (0, 0, _CUBIC_REACH, _CUBIC_REACH), mode="replicate")
        with torch.autocast(y.device.type, enabled=False):
            base = F.conv2d(rows, self.get_buffer("cubic"))  # (B, f, H, W)
            x = _head(y, sigma, self.head.get_parameter("weight"))  # (B, 48, H, W)
        added = self.tail(x + self.fuse(self.body(x)))  # (B, f, H, W)
        return (base + added).transpose(1, 2).flatten(1, 2).unsqueeze(1)


def cubic_kernels(factor: int) -> Tensor:
    """Return the kernels (f*f, 1, 5, 5) of bicubic enlargement, one for each output pixel within an input pixel.

    Cubic convolution with a = -1/2 (Keys, IEEE Trans. ASSP 29, 1981, eq. 8), pixel centres aligned: output pixel ``p``
    of ``factor`` lies ``(p + 1/2) / factor - 1/2`` pixels from the centre of its input pixel.
    """
    place = (torch.arange(factor, dtype=torch.float64) + 0.5) / factor - 0.5
    distance = (torch.arange(-_CUBIC_REACH, _CUBIC_REACH + 1)[None, :] - place[:, None]).abs()  # (f, 5)
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = torch.where(distance <= 1, near, torch.where(distance < 2, far, 0.0))
    kernels = torch.einsum("pi,qj->pqij", weights, weights)  # (f, f, 5, 5)
    return kernels.reshape(factor * factor, 1, *kernels.shape[2:]).float()


def _head(y: Tensor, sigma: Tensor, weight: Tensor) -> Tensor:
    """Return features (B, 48, H, W) of an image and its noise; the kernel for the image sums to zero."""
    image, noise = weight[:, :1], weight[:, 1:]  # (48, 1, 3, 3) each
    image = image - image.mean(dim=(2, 3), keepdim=True)
    planes = torch.cat([_pad(y, 1), _pad(sigma, 1)], dim=1)  # (B, 2, H+2, W+2)
    return F.conv2d(planes, torch.cat([image, noise], dim=1))


def _pad(y: Tensor, width: int) -> Tensor:
    """Repeat the edges."""
    return F.pad(y, (width,) * 4, mode="replicate")
