"""A small bias-free residual U-Net that removes Gaussian noise of known strength and correlation.

Without a bias anywhere the network is homogeneous of degree one, ``f(a*y, a*sigma) = a*f(y, sigma)`` for ``a > 0``
(Mohan et al., "Robust and interpretable blind image denoising via bias-free convolutional neural networks",
ICLR 2020), so that it generalises over noise levels and grey-value units. The noise level enters as input planes, as
in FFDNet (Zhang, Zuo & Zhang, IEEE TIP 2018), and so do its correlations. Pixel-unshuffling first makes every
convolution work at half resolution, which is where the speed comes from.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_genrecon.models.networks.blocks import ResidualBlock, pad_to_stride

__all__ = ["LAGS", "DenoiseUNet", "GrainUNet"]

WIDTHS = (48, 96, 192)  # feature maps at 1/2, 1/4 and 1/8 of the resolution; the bundled weights have these
LAGS = (2, 3, 5)  # pixels: of the correlations beyond lag 1, those of a `NoiseModel`
STRIDE = 8  # pixels: unshuffled by 2, then halved twice


def _blocks(width: int) -> nn.Sequential:
    return nn.Sequential(ResidualBlock(width), ResidualBlock(width))


class DenoiseUNet(nn.Module):
    """Estimate the clean image from a noisy one, the noise level and its correlation.

    The network sees ``(y, sigma, sigma*rho_x, sigma*rho_y)`` and predicts the noise, which is subtracted from ``y``.
    2.35 million parameters, 0.21 MFLOP per pixel.
    """

    inputs = 16  # planes at half the resolution

    def __init__(self) -> None:
        super().__init__()
        w0, w1, w2 = WIDTHS
        self.head = nn.Conv2d(self.inputs, w0, 3, padding=1, bias=False)
        self.enc = nn.ModuleList([_blocks(w0), _blocks(w1)])
        self.down = nn.ModuleList(
            [nn.Conv2d(w0, w1, 2, stride=2, bias=False), nn.Conv2d(w1, w2, 2, stride=2, bias=False)]
        )
        self.mid = _blocks(w2)
        self.up = nn.ModuleList(
            [
                nn.ConvTranspose2d(w1, w0, 2, stride=2, bias=False),
                nn.ConvTranspose2d(w2, w1, 2, stride=2, bias=False),
            ]
        )
        self.dec = nn.ModuleList([_blocks(w0), _blocks(w1)])
        self.tail = nn.Conv2d(w0, 4, 3, padding=1, bias=False)

    def forward(self, y: Tensor, sigma: Tensor, rho: Tensor, *, coarse: bool = False) -> Tensor:
        """Denoise a batch.

        Parameters
        ----------
        y : (B, 1, H, W) Tensor
            Noisy images, a global centre subtracted, in any units.
        sigma : (B,) or (B, 1, H, W) Tensor
            Standard deviation of the noise, in the units of `y`; of every pixel where it differs.
        rho : (B, 2) or (B, 8) Tensor
            Correlation of the noise along x and along y, in (-1, 1): at lag 1, or at lag 1 and `LAGS` along x, then
            along y, of which this network sees lag 1.
        coarse : bool
            Whether `torch.autocast` serves the layers at 1/4 and 1/8 of the resolution only. They are three fifths of
            the work, and a tenth of the error.

        Returns
        -------
        (B, 1, H, W) Tensor
            The denoised images, in the units of `y`.
        """
        height, width = y.shape[-2:]
        noise = F.pixel_shuffle(self._noise(self._inputs(y, sigma, rho), coarse=coarse), 2)  # (B, 1, H', W')
        return y - noise[..., :height, :width]

    def features(self, y: Tensor, sigma: Tensor, rho: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the feature maps of the encoder, at 1/2, 1/4 and 1/8 of the resolution.

        Parameters
        ----------
        y, sigma, rho
            As for `forward`.

        Returns
        -------
        tuple of (B, 48, H'/2, W'/2), (B, 96, H'/4, W'/4) and (B, 192, H'/8, W'/8) Tensor
            H' and W' are H and W, raised to multiples of 8.
        """
        return self._encoded(self._inputs(y, sigma, rho))

    def _inputs(self, y: Tensor, sigma: Tensor, rho: Tensor) -> Tensor:
        padded = pad_to_stride(y, STRIDE)  # (B, 1, H', W'), multiples of 8
        levels = sigma[:, None, None, None] if sigma.ndim == 1 else pad_to_stride(sigma, STRIDE)
        along = rho.reshape(len(rho), 2, -1)  # (B, 2, K): along x and y
        planes = torch.cat([levels, levels * along[:, :1, :1, None], levels * along[:, 1:, :1, None]], dim=1)
        planes = planes.expand(-1, -1, *padded.shape[-2:])  # (B, 3, H', W')
        return F.pixel_unshuffle(torch.cat([padded, planes.to(y.dtype)], dim=1), 2)  # (B, 16, H'/2, W'/2)

    def _encoded(self, x: Tensor, *, coarse: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        with _float32(x):  # bfloat16 would round the image itself
            x = self.head(x)
        with _float32(x, coarse):
            x0 = self.enc[0](x)  # (B, 48, h, w)
        x1 = self.enc[1](self.down[0](x0))  # (B, 96, h/2, w/2)
        return x0, x1, self.mid(self.down[1](x1))  # (B, 192, h/4, w/4)

    def _noise(self, x: Tensor, *, coarse: bool = False) -> Tensor:
        x0, x1, x2 = self._encoded(x, coarse=coarse)
        x1 = self.dec[1](self.up[1](x2).add_(x1))
        with _float32(x, coarse):
            x0 = self.dec[0](self.up[0](x1.to(x0.dtype)).add_(x0))
            noise: Tensor = self.tail(x0)  # (B, 4, h, w)
        return noise


def _float32(x: Tensor, wanted: bool = True) -> AbstractContextManager[object]:
    return torch.autocast(x.device.type, enabled=False) if wanted else nullcontext()


class GrainUNet(DenoiseUNet):
    """The same, but told the correlations at `LAGS`, too: by how much they differ from those of Gaussian grains.

    What is not known is 0 then, and costs nothing; ``sigma`` times the difference enters at half the resolution.
    """

    inputs = 16 + 2 * len(LAGS)
    squares: Tensor

    def __init__(self) -> None:
        super().__init__()
        # On the device once: made anew, it would be a copy to the device for every tile.
        self.register_buffer("squares", torch.tensor(LAGS, dtype=torch.float32) ** 2, persistent=False)

    def _inputs(self, y: Tensor, sigma: Tensor, rho: Tensor) -> Tensor:
        seen = super()._inputs(y, sigma, rho)
        along = rho.reshape(len(rho), 2, -1)  # (B, 2, K): along x and y
        tail = along[:, :, :1].clamp(min=0) ** self.squares  # (B, 2, 3), of Gaussian grains
        lacking = (along[:, :, 1:] if along.shape[2] > 1 else tail) - tail
        level = seen[:, 4:8].mean(1, keepdim=True)  # sigma, (B, 1, H'/2, W'/2)
        return torch.cat([seen, level * lacking.flatten(1)[:, :, None, None].to(y.dtype)], dim=1)
