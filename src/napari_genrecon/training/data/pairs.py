"""Batches of items and their targets, or of planes with hidden pixels, turned and mirrored together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_genrecon.models import ModelCard
from napari_genrecon.models.devices import conv_layout
from napari_genrecon.training.data.blind import distance, hide
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.options import TrainOptions

__all__ = ["BlindBatches", "PairBatches", "untold"]


def untold(dataset: Dataset) -> Dataset:
    """Return a dataset for a network that sees the planes alone and is told nothing."""
    return replace(dataset, told=np.zeros((len(dataset), 0), np.float32))


class PairBatches:
    """Random training pairs; the batch of a step depends on the seed and the step alone, so that a run resumes exactly.

    Parameters
    ----------
    dataset : Dataset
        Planes or blocks, with targets and, in `Dataset.told`, with what the network is told of each, such as the
        strength and correlation of the noise.
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

    def __call__(self, step: int, skipped: int) -> tuple[Tensor, ...]:
        """Return the parts (B, C, ...), of which the first is the network's input, and the told numbers (B, K)."""
        rng = np.random.default_rng([self._options.seed, skipped, step])
        chosen = rng.integers(0, len(self._x), self._options.batch)
        ways = rng.integers(0, 8, len(chosen)) if self._options.flips else np.zeros(len(chosen), int)
        told = self._told[chosen].copy()
        # (B, 2, K): a view of the correlations along x and along y, which a quarter turn exchanges.
        along = told[:, 1:].reshape(len(told), 2, told.shape[1] // 2)
        along[ways % 2 == 1] = along[ways % 2 == 1, ::-1]
        # Input and target are turned alike, and so is all else that a subclass draws.
        turned = (
            np.stack([_turned(plane, way) for plane, way in zip(part, ways, strict=True)])
            for part in self._parts(chosen, rng)
        )
        x, *others, numbers = (torch.from_numpy(part).to(self.device) for part in (*turned, told))
        # Only the input is laid out for convolutions; the others are just compared with.
        return x.contiguous(memory_format=conv_layout(self.device, x.ndim)), *others, numbers

    def _parts(self, chosen: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
        """Return items and targets (B, C, ...)."""
        return self._x[chosen], self._targets[chosen]


class BlindBatches(PairBatches):
    """Random training planes with hidden pixels; see `PairBatches`.

    A batch is the planes with filled blind spots, the planes as they are, 1 at the centres of the blind spots, and the
    told numbers. The dataset has no targets; ``measured["blind"]`` is the reach of its blind spots.
    """

    def __init__(self, dataset: Dataset, options: TrainOptions, card: ModelCard, device: torch.device) -> None:
        # The planes are their own targets: what keeps the network from copying them is that the centres are hidden.
        super().__init__(replace(dataset, targets=dataset.x), options, card, device)
        self._reach = dataset.measured["blind"]

    def _parts(self, chosen: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
        # Another offset in every batch: over a training every pixel is hidden about as often.
        first = [int(rng.integers(distance(each))) for each in self._reach]
        x = self._x[chosen]
        hidden, centres = hide(x, self._reach, first)
        return hidden, x, centres


def _turned(plane: NDArray[Any], way: int) -> NDArray[Any]:
    """Apply one of the eight symmetries of a square along Y and X."""
    turned = np.rot90(plane, way % 4, axes=(-2, -1))
    # torch takes no negative strides, which turning and mirroring make.
    return np.ascontiguousarray(turned[..., ::-1] if way >= 4 else turned)
