"""A residual U-Net that makes the channels of one image from those of another.

The architecture is that of the denoiser, see `networks.unet`, so that training can start from its weights. One more
plane of ones lets a network without biases shift grey values; a mixture of the channels is added at the end (as the
skip of Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017, but linear), so
that the network itself learns only what no mixture shows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_genrecon.models.networks.blocks import pad_to_stride
from napari_genrecon.models.networks.unet import STRIDE, WIDTHS, DenoiseUNet

__all__ = ["ImageUNet"]


class ImageUNet(DenoiseUNet):
    """Make an image from another one of the same place.

    Parameters
    ----------
    channels, outputs : int
        Channels of the image that is given, and of the one that is made.
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(4 * (channels + 1), WIDTHS[0], 3, padding=1, bias=False)
        self.tail = nn.Conv2d(WIDTHS[0], 4 * outputs, 3, padding=1, bias=False)
        self.mix = nn.Conv2d(channels + 1, outputs, 1, bias=False)

    def forward(self, y: Tensor) -> Tensor:  # type: ignore[override]
        """Make a batch of images.

        Parameters
        ----------
        y : (B, C, H, W) Tensor
            Grey values, of which -1 and 1 are the ends of the range that was trained on.

        Returns
        -------
        (B, outputs, H, W) Tensor
            Grey values on the same scale, of the images that were trained on.
        """
        height, width = y.shape[-2:]
        planes = pad_to_stride(torch.cat([y, torch.ones_like(y[:, :1])], dim=1), STRIDE)  # (B, C + 1, H', W')
        more = F.pixel_shuffle(self._noise(F.pixel_unshuffle(planes, 2)), 2)  # (B, outputs, H', W')
        made: Tensor = self.mix(planes) + more
        return made[..., :height, :width]

    def start_from(self, bundled: dict[str, Tensor], mix: Tensor) -> None:
        """Take the inner weights of the bundled denoiser and a mixture (outputs, C + 1); the rest begins with nothing.

        The head sees the mean of the channels as the denoiser sees its image, and the plane of ones as its noise.
        """
        # Pixel-unshuffling makes four inputs of each plane: the first four are the image, the next its noise level.
        channels, head = self.head.in_channels // 4 - 1, bundled["head.weight"]
        image, noise = head[:, :4], head[:, 4:8]
        inner = {name: weight for name, weight in bundled.items() if name.split(".")[0] not in ("head", "tail")}
        self.load_state_dict(
            {
                # The zero tail makes the mixture alone the first result, although the inner weights are there.
                **inner,
                "head.weight": torch.cat([image / channels] * channels + [_NOISE * noise], dim=1),
                "tail.weight": torch.zeros_like(self.tail.weight),
                "mix.weight": mix[..., None, None],
            }
        )


_NOISE = 0.05  # noise s.d. on the scale of -1 to 1 that the head begins with: that of images of moderate noise
