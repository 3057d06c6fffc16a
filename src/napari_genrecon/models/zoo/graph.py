"""Put a network and all that happens around it into one graph: grey values in, grey values out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["DenoiseGraph", "Transform", "UpscaleGraph"]


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """Constants of the noise of a camera; see `noise.stabilise.Stabiliser`, whose names these are.

    Attributes
    ----------
    offset, gain, k, below : float
        Constants of the square root.
    tangent_below : float
        Part of ``k**2`` under which the square root goes on as its tangent.
    correction : (2, M) ndarray of float64
        What makes its inverse unbiased.
    rho : tuple of float
        Correlations of the noise, see `NoiseModel.correlations`.
    farthest : float
        Noise s.d. that are taken away at most.
    """

    offset: float
    gain: float
    k: float
    below: float
    tangent_below: float
    correction: NDArray[np.float64]
    rho: tuple[float, ...]
    farthest: float


class DenoiseGraph(nn.Module):
    """Stabilise the noise, denoise, and come back: `denoise` as one network without options.

    Parameters
    ----------
    network : Module
        Denoiser, called with the plane, the noise s.d. and its correlation.
    transform : Transform
        Constants of the noise.
    """

    def __init__(self, network: nn.Module, transform: Transform) -> None:
        super().__init__()
        self.network, self.t = network, transform
        self._tangent = max(math.sqrt(transform.tangent_below) * transform.k, transform.below)
        levels, values = transform.correction
        # A piecewise linear table as a sum of ramps: each corner adds the change of slope there.
        slopes = np.diff(values) / np.diff(levels) if transform.gain else np.zeros(len(levels) - 1)
        bends = np.diff(np.concatenate([[0.0], slopes, [0.0]]))  # of a line that is level before and after the table
        self.first = float(values[0])
        self.register_buffer("levels", torch.from_numpy(-levels).float())
        self.register_buffer("bends", torch.from_numpy(bends).float()[None, :, None, None])
        self.register_buffer("ones", torch.ones(len(levels), 1, 1, 1))
        self.register_buffer("sigma", torch.ones(1))
        self.register_buffer("rho", torch.tensor([transform.rho], dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Denoise grey values (1, 1, H, W), whose sides are multiples of 8."""
        y = self._forward(x - self.t.offset)
        # The network takes planes with a global centre subtracted.
        centre = y.mean(dim=(2, 3), keepdim=True)
        clean = self.network(y - centre, self.sigma, self.rho) + centre
        clean = torch.minimum(torch.maximum(clean, y - self.t.farthest), y + self.t.farthest)
        return self._inverse(clean) + self.t.offset

    def _forward(self, above: Tensor) -> Tensor:
        gain, k = self.t.gain, self.t.k
        if gain == 0:
            return above / k
        # Where gain * x + k**2 falls to this part of k**2.
        start = (self.t.tangent_below - 1) * k * k / gain
        inside = above.clamp(min=start)
        # 2 / gain * (sqrt(gain * x + k**2) - k), without a difference in which float32 would lose its digits.
        y = 2 * inside / (torch.sqrt(gain * inside + k * k) + k)
        return y + (above - start).clamp(max=0.0) / self._tangent

    def _inverse(self, y: Tensor) -> Tensor:
        gain, k = self.t.gain, self.t.k
        if gain == 0:
            return y * k
        start = 2 * (math.sqrt(self.t.tangent_below) - 1) * k / gain
        inside = y.clamp(min=start)
        # The algebraic inverse; the table below adds what makes it unbiased.
        above = inside * (gain / 4 * inside + k) + (y - start).clamp(max=0.0) * self._tangent
        # A table by convolutions of one pixel, which every runtime knows: a sum of bends.
        corners = F.relu(F.conv2d(y, self.get_buffer("ones"), self.get_buffer("levels")))  # (1, M, H, W)
        return above + F.conv2d(corners, self.get_buffer("bends")) + self.first


class UpscaleGraph(nn.Module):
    """Enlarge without removing noise: `upscale` as one network without options.

    Parameters
    ----------
    network : Module
        Upscaler, called with the plane, the noise s.d. and the factor.
    factor : {2, 3, 4}
        How many times larger.
    """

    def __init__(self, network: nn.Module, factor: int) -> None:
        super().__init__()
        self.network, self.factor = network, factor
        # Noise of 0: none is removed.
        self.register_buffer("sigma", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge grey values (1, 1, H, W)."""
        centre = x.mean(dim=(2, 3), keepdim=True)
        large: Tensor = self.network(x - centre, self.sigma, self.factor)
        return large + centre
