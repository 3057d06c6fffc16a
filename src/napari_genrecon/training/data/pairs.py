"""Batches of noisy planes and their targets, turned and mirrored together."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_genrecon.models import ModelCard
from napari_genrecon.models.devices import conv_layout
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.options import TrainOptions

__all__ = ["PairBatches"]


class PairBatches:
    """Random training pairs; the batch of a step depends on the seed and the step alone, so that a run resumes exactly.

    Parameters
    ----------
    dataset : Dataset
        Planes of one channel, with targets and with the strength and correlation of their noise in `Dataset.told`.
    options : TrainOptions
        Batch size, flips and seed.
    card : ModelCard
        Card of the model.
    device : torch.device
        Device of the batches.
    """

    def __init__(self, dataset: Dataset, options: TrainOptions, card: ModelCard, device: torch.device) -> None:
        assert dataset.targets is not None
        assert dataset.told is not None
        train = ~dataset.held_out
        self._x, self._targets, self._told = dataset.x[train], dataset.targets[train], dataset.told[train]
        self._options, self.device = options, device

    def __call__(self, step: int, skipped: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return noisy planes and targets (B, 1, Y, X), and the told numbers (B, K), of a step."""
        rng = np.random.default_rng([self._options.seed, skipped, step])
        chosen = rng.integers(0, len(self._x), self._options.batch)
        ways = rng.integers(0, 8, len(chosen)) if self._options.flips else np.zeros(len(chosen), int)
        told = self._told[chosen].copy()
        told[ways % 2 == 1, 1:] = told[ways % 2 == 1, :0:-1]  # a quarter turn exchanges rho along x and y
        pair = (np.stack([_turned(of[i], way) for i, way in zip(chosen, ways, strict=True)]) for of in self._both)
        x, targets = (torch.from_numpy(part).to(self.device) for part in pair)
        return x.contiguous(memory_format=conv_layout(self.device)), targets, torch.from_numpy(told).to(self.device)

    @property
    def _both(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return self._x, self._targets


def _turned(plane: NDArray[Any], way: int) -> NDArray[Any]:
    """Apply one of the eight symmetries of a square."""
    turned = np.rot90(plane, way % 4, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if way >= 4 else turned)
