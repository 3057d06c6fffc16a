"""A small U-Net that says where spots have their centres, how sure each is, and how large it is.

Heat maps around centres instead of boxes follow Zhou, Wang & Krähenbühl, "Objects as points" (2019); that simulated
spots, dense and dim, can teach it, Speiser et al., Nat. Methods 18, 2021. Pixel-unshuffling first makes every
convolution work at half resolution, which is where the speed comes from.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_genrecon.models.networks import RARE
from napari_genrecon.models.networks.blocks import SmallUNet, pad_to_stride

__all__ = ["SpotNet"]

STRIDE = SmallUNet.STRIDE  # pixels; also the side of the squares of the background
PLANES = 6  # the image, and the image under five filters
_CLIP, _SCALE = 30.0, 0.25  # noise s.d. beyond which only the logarithm of a height counts; its scale in the network


class SpotNet(SmallUNet):
    """Find spots in planes whose noise has s.d. 1.

    0.22 million parameters, 0.02 MFLOP per pixel. What it sees is the difference to a smooth background, as it is and
    on a logarithmic scale; the filtered images, on such a scale; and the correlation of the noise.
    """

    def __init__(self) -> None:
        super().__init__(4 * (1 + PLANES) + 2, 12)
        assert self.tail.bias is not None
        with torch.no_grad():
            self.tail.bias.copy_(torch.tensor([RARE] * 4 + [0.0] * 4 + [RARE] * 4))

    def forward(self, planes: Tensor, rho: Tensor) -> Tensor:
        """Look for spots in a batch.

        Parameters
        ----------
        planes : (B, 6, H, W) Tensor
            Planes with noise of s.d. 1: the image, and the image under filters of several widths.
        rho : (B, 2) Tensor
            Lag-1 correlation of the noise along x and along y.

        Returns
        -------
        (B, 3, H, W) Tensor
            Heat, with a maximum at the centre of every bright spot; the logarithm of the spot's Gaussian s.d. in
            pixels; and the logarithm of the odds that it is there. The height of the heat depends on where in its pixel
            the centre is; the sum of both ranks spots best.
        """
        height, width = planes.shape[-2:]
        padded = pad_to_stride(planes, STRIDE)  # (B, 6, H', W'), multiples of 8
        above, filtered = _above_background(padded[:, :1]), padded[:, 1:]
        seen = [_SCALE * above.clamp(-_CLIP, _CLIP), torch.asinh(above), 2 * torch.asinh(_SCALE * filtered)]
        halves = F.pixel_unshuffle(torch.cat(seen, dim=1), 2)  # (B, 28, H'/2, W'/2)
        noise = rho[:, :, None, None].to(halves.dtype).expand(-1, -1, *halves.shape[-2:])
        found = self.unet(torch.cat([halves, noise], dim=1))
        return F.pixel_shuffle(found, 2)[..., :height, :width]


def _above_background(y: Tensor) -> Tensor:
    """Subtract the means of squares of 8 pixels, smoothed and interpolated."""
    squares = F.avg_pool2d(y, STRIDE)  # (B, 1, H'/8, W'/8)
    smooth = F.avg_pool2d(F.pad(squares, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return y - F.interpolate(smooth, scale_factor=STRIDE, mode="bilinear", align_corners=False)
