"""A linear classifier of features, each in standard deviations from its mean."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["FeatureClassifier"]


class FeatureClassifier(nn.Module):
    """Return the logits of K classes from F features.

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
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("weights", torch.zeros(features, classes))
        self.register_buffer("bias", torch.zeros(classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, K) logits of (N, F) features."""
        logits: Tensor = (x - self.mean) / self.scale @ self.weights + self.bias
        return logits
