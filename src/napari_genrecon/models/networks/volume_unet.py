"""A residual U-Net that makes the channels of one volume from those of another.

Planes go through the network for planes, see `networks.image_unet`, and after each of its levels a convolution along Z
lets a plane see its neighbours: factorised convolutions (Qiu et al., "Learning spatio-temporal representation with
pseudo-3D residual networks", ICCV 2017). These begin as the identity, so that training starts from the weights of a
network for planes; and as nothing is halved along Z, planes may lie any distance apart.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_genrecon.engine.run import finish
from napari_genrecon.models.networks.blocks import pad_to_stride
from napari_genrecon.models.networks.image_unet import ImageUNet
from napari_genrecon.models.networks.unet import STRIDE, WIDTHS

__all__ = ["VolumeUNet"]


class VolumeUNet(ImageUNet):
    """Make a volume from another one of the same place.

    A plane sees `REACH` planes above and below it. 2.53 million parameters for one channel.

    Parameters
    ----------
    channels, outputs : int
        Channels of the volume that is given, and of the one that is made.
    """

    REACH = 5  # planes: one for each convolution along Z
    COST = 1.08  # work, in that of the network for planes: that of the convolutions along Z is added

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__(channels, outputs)
        w0, w1, w2 = WIDTHS
        self.along = nn.ModuleList([_AlongZ(width) for width in (w0, w1, w2, w1, w0)])

    def forward(self, y: Tensor) -> Tensor:  # type: ignore[override]
        """Make a batch of volumes.

        Parameters
        ----------
        y : (B, C, D, H, W) Tensor
            Grey values, of which -1 and 1 are the ends of the range that was trained on.

        Returns
        -------
        (B, outputs, D, H, W) Tensor
            Grey values on the same scale, of the volumes that were trained on.
        """
        return finish(self.parts(y))

    def parts(self, y: Tensor) -> Generator[None, None, Tensor]:
        """Make a batch of volumes as `forward`, in parts of about equal work; a run can be cancelled between them."""
        depth, height, width = y.shape[-3:]
        planes = y.transpose(1, 2).flatten(0, 1)  # (B D, C, H, W)
        planes = pad_to_stride(torch.cat([planes, torch.ones_like(planes[:, :1])], dim=1), STRIDE)  # (B D, C+1, H', W')
        with torch.autocast(y.device.type, enabled=False):  # bfloat16 would round the image itself
            x = self.head(F.pixel_unshuffle(planes, 2))
        x0 = yield from self._level(0, self.enc[0], x, depth)  # (B D, 48, h, w), at half the resolution
        x1 = yield from self._level(1, self.enc[1], self.down[0](x0), depth)  # (B D, 96, h/2, w/2)
        x2 = yield from self._level(2, self.mid, self.down[1](x1), depth)  # (B D, 192, h/4, w/4)
        x1 = yield from self._level(3, self.dec[1], self.up[1](x2).add_(x1), depth)
        x0 = yield from self._level(4, self.dec[0], self.up[0](x1).add_(x0), depth)
        made = self.mix(planes) + F.pixel_shuffle(self.tail(x0), 2)  # (B D, outputs, H', W')
        made = made[..., :height, :width]
        return made.reshape(-1, depth, *made.shape[1:]).transpose(1, 2)

    def _level(self, index: int, blocks: Any, x: Tensor, depth: int) -> Generator[None, None, Tensor]:
        """Run the blocks of a level one by one, then its convolution along Z."""
        for block in blocks:
            x = block(x)
            yield
        found: Tensor = self.along[index](x, depth)
        return found

    def start_from(self, bundled: dict[str, Tensor], mix: Tensor) -> None:
        """Take the weights as `ImageUNet.start_from` does; each plane begins alone."""
        own = {name: torch.zeros_like(weight) for name, weight in self.along.named_parameters("along")}
        super().start_from({**bundled, **own}, mix)


class _AlongZ(nn.Module):
    """Add to every plane a mixture of the features of three planes: x + a(x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(width, width, (3, 1), padding=(1, 0), bias=False)

    def forward(self, x: Tensor, depth: int) -> Tensor:
        """Return (B D, width, h, w) of the same."""
        # One image of D rows and h w columns for each volume: a view, where the channels are last in memory.
        rows = x.reshape(-1, depth, *x.shape[1:]).transpose(1, 2).flatten(3)  # (B, width, D, h w)
        return x + self.a(rows).transpose(1, 2).reshape(x.shape)
