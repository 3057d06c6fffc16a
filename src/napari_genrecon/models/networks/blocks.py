"""Blocks and sizes that several networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_genrecon.models.networks import WIDEST

__all__ = ["ResidualBlock", "SmallUNet", "pad_to_stride", "widths"]


class ResidualBlock(nn.Module):
    """Add the output of two 3x3 convolutions to the input: x + b(relu(a(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.b = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # In place, here and below: allocating the sums takes a twentieth of the network's time on a CPU.
        changed: Tensor = self.b(F.relu(self.a(x), inplace=True))
        # Of one dtype: where bfloat16 begins they differ, and a mixed sum takes seven times as long.
        return changed.add_(x.to(changed.dtype))


class SmallUNet(nn.Module):
    """A U-Net of three levels (Ronneberger et al., MICCAI 2015) for planes whose pixels were unshuffled by 2.

    Pixel-unshuffling makes every convolution work at half resolution, which is where the speed comes from.

    Parameters
    ----------
    inputs, outputs : int
        Feature maps that come in and go out.
    """

    WIDTHS = (16, 32, 64)  # feature maps at 1/2, 1/4 and 1/8 of the resolution; the bundled weights have these
    STRIDE = 8  # pixels: unshuffled by 2, then halved twice
    REACH = 48  # pixels; what lies farther away changes a pixel by less than 1e-4 (`tests/models/test_laws.py`)

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        w0, w1, w2 = self.WIDTHS
        self.head = nn.Conv2d(inputs, w0, 3, padding=1)
        self.enc = nn.ModuleList([ResidualBlock(w0), ResidualBlock(w1)])
        self.down = nn.ModuleList([nn.Conv2d(w0, w1, 2, stride=2), nn.Conv2d(w1, w2, 2, stride=2)])
        self.mid = nn.Sequential(ResidualBlock(w2), ResidualBlock(w2))
        self.up = nn.ModuleList([nn.ConvTranspose2d(w1, w0, 2, stride=2), nn.ConvTranspose2d(w2, w1, 2, stride=2)])
        self.dec = nn.ModuleList([ResidualBlock(w0), ResidualBlock(w1)])
        self.tail = nn.Conv2d(w0, outputs, 3, padding=1)

    def unet(self, x: Tensor) -> Tensor:
        """Return (B, outputs, h, w) of unshuffled planes (B, inputs, h, w), whose sides are multiples of 4."""
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 would round the image itself
            x = self.head(x)
        x0 = self.enc[0](x)  # (B, 16, h, w)
        x1 = self.enc[1](self.down[0](x0))  # (B, 32, h/2, w/2)
        x2 = self.mid(self.down[1](x1))  # (B, 64, h/4, w/4)
        x1 = self.dec[1](self.up[1](x2).add_(x1))
        x0 = self.dec[0](self.up[0](x1).add_(x0))
        found: Tensor = self.tail(x0)
        return found


def pad_to_stride(y: Tensor, stride: int) -> Tensor:
    """Mirror the right and bottom edges of (B, C, H, W) until both sides are multiples of the stride."""
    bottom, right = (-y.shape[-2]) % stride, (-y.shape[-1]) % stride
    if not bottom and not right:
        return y
    # Mirroring needs more pixels than it adds; an image of a few pixels repeats its edge instead.
    mode = "reflect" if y.shape[-2] > bottom and y.shape[-1] > right else "replicate"
    return F.pad(y, (0, right, 0, bottom), mode=mode)


def widths(size: int, width: int) -> list[int]:
    """Return the numbers of feature maps at 4, 8, … pixels a side, up to half the size.

    Examples
    --------
    >>> widths(32, 32), widths(128, 32)
    ([128, 64, 32], [256, 256, 128, 64, 32])
    """
    sides = [4 << level for level in range((size // 4).bit_length() - 1)]
    return [min(WIDEST, width * size // (2 * side)) for side in sides]
