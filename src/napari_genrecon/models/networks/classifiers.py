"""Classifiers of objects: a linear one of features, a small convolutional network for pictures, and both together.

The network is made of convolutions and halvings, then mean and maximum over the picture, as in "network in network"
(Lin, Chen & Yan, ICLR 2014): where in the picture something lies does not count. Groups of maps are normalised picture
by picture (Wu & He, "Group normalization", ECCV 2018), as batches of a few labelled objects have no steady statistics.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["CellNet", "FeatureClassifier", "JointClassifier"]

_WIDTHS = (32, 48, 64, 96)  # feature maps; each level has half the resolution of the one before
_GROUP = 8  # feature maps that are normalised together


class FeatureClassifier(nn.Module):
    """Return the logits of K classes from F features, each in standard deviations from its mean.

    Parameters
    ----------
    features, classes : int
        F and K.
    """

    mean: Tensor
    scale: Tensor
    weights: Tensor
    bias: Tensor

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        # Buffers and no parameters: they are fitted by logistic regression without torch, and only kept here.
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("weights", torch.zeros(features, classes))
        self.register_buffer("bias", torch.zeros(classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, K) logits of (N, F) features."""
        logits: Tensor = (x - self.mean) / self.scale @ self.weights + self.bias
        return logits


class CellNet(nn.Module):
    """Return the logits of K classes for pictures of objects.

    0.1 million parameters, 0.006 MFLOP per pixel.

    Parameters
    ----------
    channels : int
        Channels of the pictures; a further plane says where the object is.
    classes : int
        K.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        first, before = nn.Conv2d(channels + 1, _WIDTHS[0], 4, stride=2, padding=1, bias=False), _WIDTHS[0]
        # GroupNorm takes the number of groups, and not their size.
        levels: list[nn.Module] = [first, nn.GroupNorm(before // _GROUP, before), nn.ReLU()]
        for width in _WIDTHS[1:]:
            convolution = nn.Conv2d(before, width, 3, padding=1, bias=False)
            levels += [convolution, nn.GroupNorm(width // _GROUP, width), nn.ReLU(), nn.MaxPool2d(2)]
            before = width
        self.levels = nn.Sequential(*levels)
        self.tail = nn.Linear(2 * before, classes)

    def forward(self, planes: Tensor) -> Tensor:
        """Return the logits (B, K, 1, 1) of pictures and masks (B, C + 1, H, W)."""
        seen = self.levels(planes)  # (B, 96, H/16, W/16)
        logits: Tensor = self.tail(torch.cat([seen.mean(dim=(2, 3)), seen.amax(dim=(2, 3))], dim=1))
        # As images of one pixel, so that `runtime.Model` runs it as any other network.
        return logits[:, :, None, None]


class JointClassifier(nn.Module):
    """A linear classifier of features and a network for pictures of the same objects, in one file.

    Parameters
    ----------
    features, classes, channels : int
        As for `FeatureClassifier` and `CellNet`.
    """

    def __init__(self, features: int, classes: int, channels: int) -> None:
        super().__init__()
        self.features = FeatureClassifier(features, classes)
        self.pictures = CellNet(channels, classes)

    def forward(self, planes: Tensor) -> Tensor:
        """Return the logits of pictures, as `CellNet` does; features are read without torch."""
        logits: Tensor = self.pictures(planes)
        return logits
