"""A small recurrent network that says, pixel by pixel, how much of the past frames of a movie still holds.

A convolutional gated recurrent unit (Ballas et al., "Delving deeper into convolutional networks for learning video
representations", ICLR 2016) compares every frame with what was fused before. Its answer is a factor in [0, 1] on the
information of the past; past and present are then averaged as in a Kalman filter (Kalman, J. Basic Eng. 82, 1960), so
that the variance of every pixel is known. It never makes grey values of its own: what it returns is a weighted mean of
measured ones. It works at half resolution, where a convolution costs a quarter. What it learns is added to a rule
made by hand: a pixel whose differences stand out of the noise, at any of a few scales, has changed.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_genrecon.models.filters.windows import weighted
from napari_genrecon.models.networks.blocks import pad_to_stride
from napari_genrecon.normal import Taps, gaussian_taps

__all__ = ["FrameGate"]

WIDTH = 24  # feature maps, and channels of the state, at half resolution
LEAST_VARIANCE = 1 / 24  # of a fused pixel: more frames gain little, and a slow change must not pile up
_BOXES = (1, 3, 7)  # sides of the windows over which differences are averaged, in pixels
_ENERGY = 5  # side of the window over which squared differences are averaged
_MOVED = 1.5  # px, s.d. of the window over which a frame is compared with the past
_FEATURES = 2 * len(_BOXES)
# Noise s.d. at which the rule is in doubt, and how fast it makes up its mind. At 2.7 still movies lose 0.2 to 0.5 dB,
# and objects that move 3 px a frame gain 0.1; at 3.6 these lose 0.4, and still movies gain less than 0.1
# (`tools/benchmark.py sequence`, other seeds).
_CHANGED, _STEEP = 3.2, 2.5
_CLEAN = 2.2  # s.d. of noise for one of a difference of denoised frames, which have little noise left
_UNKNOWN = 2.0  # variance that the network takes for any larger one
_CLIP = 12.0  # noise s.d. beyond which a difference tells no more


class FrameGate(nn.Module):
    """Fuse one frame with the state of the frames before it.

    42,460 parameters, 0.02 MFLOP per pixel. All values have a noise s.d. of 1.
    """

    picks: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(4 * _FEATURES, WIDTH, 3, padding=1)
        self.body = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.gates = nn.Conv2d(2 * WIDTH, 2 * WIDTH, 3, padding=1)
        self.candidate = nn.Conv2d(2 * WIDTH, WIDTH, 3, padding=1)
        self.tail = nn.Conv2d(WIDTH, 4, 3, padding=1)
        # One of four neighbours each, as by `F.pixel_unshuffle`, in a quarter of its time, and in the order of memory
        # and the format (bfloat16 under autocast) of what it meets: mixed ones take twice the time.
        picks = torch.eye(4 * _FEATURES).reshape(4 * _FEATURES, _FEATURES, 2, 2)
        self.register_buffer("picks", picks, persistent=False)
        nn.init.zeros_(self.tail.weight)  # the rule alone at first
        assert self.tail.bias is not None
        nn.init.zeros_(self.tail.bias)

    def forward(self, planes: Tensor, rho: Tensor) -> Tensor:
        """Fuse a batch of frames.

        Parameters
        ----------
        planes : (B, 11, H, W) Tensor
            The frame, the frame denoised by itself, and the state: fused frame, its variance, mean of the denoised
            frames with the same weights, and six planes of memory, 0 at first.
        rho : (B, 2) Tensor
            Lag-1 correlation of the noise along x and along y.

        Returns
        -------
        (B, 11, H, W) Tensor
            The next state (nine planes), the share of the past in it, and the square of how the frame differs from the
            past: 1 on average where all is noise.
        """
        height, width = planes.shape[-2:]
        padded = pad_to_stride(planes, 2)
        frame, clean, fused, variance, mean = torch.split(padded[:, :5], 1, dim=1)  # (B, 1, H', W') each
        variance = variance.clamp(min=LEAST_VARIANCE)
        memory = F.conv2d(padded[:, 5:], self.picks, stride=2)  # (B, 24, H'/2, W'/2)
        raw, spread = (frame - fused) / torch.sqrt(1 + variance), _spread(rho, (*_BOXES, _ENERGY))
        means = _means(raw, spread)
        shown = (clean - mean).abs()
        rule = _unchanged(raw, means, shown, spread)
        differences = (0.3 * each.clamp(max=_CLIP) for each in (means, 2 * shown))
        # Where nothing is known the variance is large; in training none was.
        features = torch.cat([*differences, variance.clamp(max=_UNKNOWN), 0.05 * mean], dim=1)
        learned, memory = self._recur(features, memory)
        keep = torch.sigmoid(rule + learned)
        weight = keep / (keep + variance)  # the past counts keep / variance, the frame 1
        fused = weight * fused + (1 - weight) * frame
        variance = weight.square() * variance + (1 - weight).square()
        state = [fused, variance.clamp(min=LEAST_VARIANCE), weight * mean + (1 - weight) * clean]
        b, _, h, w = memory.shape
        # `F.pixel_shuffle` by 2, in the order of planes whatever that of the memory is: four times as fast.
        memory = memory.view(b, -1, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(b, -1, 2 * h, 2 * w)
        surprise = _local_mean(raw, rho).square_()
        return torch.cat([*state, memory.to(fused.dtype), weight, surprise], dim=1)[..., :height, :width]

    def _recur(self, features: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return what to add to the rule (B, 1, H, W), and the next memory."""
        x = F.relu(self.head(F.conv2d(features, self.picks, stride=2)), inplace=True)  # (B, 24, h, w)
        x = F.relu(self.body(x), inplace=True)
        update, reset = self.gates(torch.cat([x, memory], dim=1)).sigmoid_().chunk(2, dim=1)
        # In float32, as the hyperbolic tangent takes twice the time in bfloat16.
        candidate = self.candidate(torch.cat([x, reset * memory], dim=1)).float().tanh_().to(memory.dtype)
        memory = torch.addcmul(memory, update, candidate - memory)
        return F.pixel_shuffle(self.tail(memory), 2).to(features.dtype), memory


def _means(raw: Tensor, spread: Tensor) -> Tensor:
    """Return the absolute local means (B, 3, H, W) of the differences, in their s.d. without any change."""
    return torch.cat([_box(raw, side) / spread[:, i, None, None, None] for i, side in enumerate(_BOXES)], dim=1).abs()


def _unchanged(raw: Tensor, means: Tensor, clean: Tensor, spread: Tensor) -> Tensor:
    """Return the rule (B, 1, H, W): positive where nothing stands out of the noise, as a logarithm of odds."""
    energy = (_box(raw.square(), _ENERGY) - 1) / (2**0.5 * spread[:, 3, None, None, None])
    softer = _BOXES[2] * spread[:, 2, None, None, None]  # 1 for white noise; more is left of correlated noise
    largest = torch.maximum(means[:, 1:].amax(dim=1, keepdim=True), torch.maximum(energy, _CLEAN / softer * clean))
    return _STEEP * (_CHANGED - largest).clamp(min=-_CLIP)


def _local_mean(image: Tensor, rho: Tensor) -> Tensor:
    """Return the means of (B, 1, H, W) under a Gaussian window, zeros beyond the edge, in their s.d. if it is noise."""
    taps = gaussian_taps(_MOVED)
    return weighted(image, (taps, taps), outside=0.0) / _left(rho, taps)[:, None, None, None]


def _box(image: Tensor, side: int) -> Tensor:
    """Return the local means of (B, 1, H, W) over squares of an odd side, the edge repeated."""
    taps = _even(side)
    return weighted(image, (taps, taps)) if side > 1 else image


def _spread(rho: Tensor, sides: tuple[int, ...]) -> Tensor:
    """Return the s.d. (B, N) of the local means of noise over squares."""
    return torch.stack([_left(rho, _even(side)) for side in sides], dim=1)


def _even(side: int) -> Taps:
    return [(step, 1 / side) for step in range(-(side // 2), side // 2 + 1)]


def _left(rho: Tensor, taps: Taps) -> Tensor:
    """Return the s.d. (B,) of the means, along Y and X, of noise of s.d. 1 that is white behind a Gaussian filter."""
    # Numbers and sums: a tensor of weights would be a copy to a graphics card, and products of matrices are rounded
    # under autocast. Steps follow each other, so that the weights of pixels a lag apart are their autocorrelation.
    weights = [weight for _, weight in taps]
    shared, rho = np.correlate(weights, weights, "full").tolist(), rho.clamp(0, 0.99)
    covariance = [share * rho ** (lag * lag) for lag, share in enumerate(shared, 1 - len(weights))]  # (B, 2) each
    return torch.stack(covariance).sum(dim=0).sqrt().prod(dim=1)
