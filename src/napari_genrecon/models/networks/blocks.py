"""Blocks and sizes that several networks share."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ResidualBlock", "pad_to_stride", "widths"]

_WIDEST = 256  # feature maps: without a limit, they would double with every halving of the side


class ResidualBlock(nn.Module):
    """Add the output of two 3x3 convolutions to the input: x + b(relu(a(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.b = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # In place, here and below: allocating the sums takes a twentieth of the network's time on a CPU.
        changed: Tensor = self.b(F.relu(self.a(x), inplace=True))
        return changed.add_(x)


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
    return [min(_WIDEST, width * size // (2 * side)) for side in sides]
