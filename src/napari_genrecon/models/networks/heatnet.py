"""A small U-Net that draws a heat map with a maximum at the centre of every object.

Heat maps around centres instead of boxes follow Zhou, Wang & Krähenbühl, "Objects as points" (2019).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_genrecon.models.networks import RARE
from napari_genrecon.models.networks.blocks import SmallUNet, pad_to_stride

__all__ = ["HeatNet"]


class HeatNet(SmallUNet):
    """Find the centres of objects in planes.

    0.22 million parameters, 0.02 MFLOP per pixel.

    Parameters
    ----------
    channels : int
        Channels of the planes.
    """

    def __init__(self, channels: int) -> None:
        # Four outputs: the pixels of a 2x2 square, which are put side by side in the end.
        super().__init__(4 * channels, 4)
        assert self.tail.bias is not None
        with torch.no_grad():
            self.tail.bias.fill_(RARE)

    def forward(self, planes: Tensor) -> Tensor:
        """Return the logarithm of the odds (B, 1, H, W) of a centre in planes (B, C, H, W)."""
        height, width = planes.shape[-2:]
        halves = F.pixel_unshuffle(pad_to_stride(planes, self.STRIDE), 2)  # (B, 4 C, H'/2, W'/2)
        return F.pixel_shuffle(self.unet(halves), 2)[..., :height, :width]
