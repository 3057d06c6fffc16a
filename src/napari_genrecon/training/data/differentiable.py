"""Differentiable augmentation of real and generated pictures (Zhao et al. 2020).

Zhao et al.: Differentiable augmentation for data-efficient GAN training, NeurIPS 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["augment_differentiably"]

# Zhao et al. 2020 take a hole of half the side.
_SHIFT = 8  # largest shift: the side divided by this, as Zhao et al. 2020
_HOLE = 4  # side of the hole: that of the picture divided by this


def augment_differentiably(x: Tensor, draws: torch.Generator) -> Tensor:
    """Change brightness and contrast, shift, and cut a hole, at random for every picture.

    Parameters
    ----------
    x : (B, C, Y, X) Tensor
        Values in [-1, 1].
    draws : torch.Generator
        Random numbers, on the CPU.

    Returns
    -------
    (B, C, Y, X) Tensor
    """
    n, side = len(x), x.shape[-1]
    # On the CPU and then moved: generators of other devices give other numbers for the same seed.
    brightness, contrast = torch.rand(2, n, 1, 1, 1, generator=draws).to(x.device)
    middle = x.mean(dim=(1, 2, 3), keepdim=True)
    # Contrast from 0.5 to 1.5 around the picture's own mean, brightness by up to 0.5, of a range of 2.
    x = (x - middle) * (0.5 + contrast) + middle + (brightness - 0.5)
    return _cutout(_shifted(x, side // _SHIFT, draws), side // _HOLE, draws)


def _shifted(x: Tensor, most: int, draws: torch.Generator) -> Tensor:
    n, side = len(x), x.shape[-1]
    dy, dx = torch.randint(0, 2 * most + 1, (2, n, 1), generator=draws).to(x.device)
    rows = torch.arange(side, device=x.device) + dy  # (B, Y)
    columns = torch.arange(side, device=x.device) + dx
    # Zeros come in from the border, as in the paper: the middle of the range of -1 to 1.
    padded = pad(x, (most,) * 4).permute(0, 2, 3, 1)  # (B, Y + 2m, X + 2m, C)
    images = torch.arange(n, device=x.device)[:, None, None]
    return padded[images, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cutout(x: Tensor, hole: int, draws: torch.Generator) -> Tensor:
    n, side = len(x), x.shape[-1]
    # From one row or column inside at one border to one at the other: the hole may be cut off, and never misses.
    top, left = torch.randint(1 - hole, side, (2, n, 1), generator=draws).to(x.device)
    places = torch.arange(side, device=x.device)
    rows = (places >= top) & (places < top + hole)  # (B, Y)
    columns = (places >= left) & (places < left + hole)
    # By multiplication, as an assignment in place would break the gradient.
    return x * ~(rows[:, None, :, None] & columns[:, None, None, :])
