"""A bias-free residual U-Net that corrects a first fill of missing pixels.

The architecture is that of the denoiser, see `networks.unet`, because the task is nearly the same: the error of a
smooth fill is noise whose strength is known pixel by pixel, 0 where nothing is missing. Without biases
``f(a * planes) = a * f(planes)`` for ``a > 0`` (Mohan et al., ICLR 2020).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from napari_genrecon.models.networks.blocks import pad_to_stride
from napari_genrecon.models.networks.unet import STRIDE, DenoiseUNet

__all__ = ["FillUNet"]


class FillUNet(DenoiseUNet):
    """Estimate the image from a first fill and planes that describe its error.

    2.35 million parameters, 0.21 MFLOP per pixel.
    """

    def forward(self, planes: Tensor, *, coarse: bool = False) -> Tensor:  # type: ignore[override]
        """Correct a batch of fills.

        Parameters
        ----------
        planes : (B, 4, H, W) Tensor
            The fill and what is known about its error, as `numerics.inpaint_inputs.fill_planes` makes them.
        coarse : bool
            See `DenoiseUNet.forward`.

        Returns
        -------
        (B, 1, H, W) Tensor
            The estimate, in the units of the fill.
        """
        height, width = planes.shape[-2:]
        x = F.pixel_unshuffle(pad_to_stride(planes, STRIDE), 2)  # (B, 16, H'/2, W'/2)
        error = F.pixel_shuffle(self._noise(x, coarse=coarse), 2)  # (B, 1, H', W')
        return planes[:, :1] - error[..., :height, :width]
