"""Batches and random numbers that depend on the seed and the step only, so that a run resumes exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_genrecon.models.devices import conv_layout
from napari_genrecon.training.data.augment import augment
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.options import TrainOptions

__all__ = ["Batches", "draws_at", "scaled"]


def draws_at(seed: int, skipped: int, step: int, turn: int) -> torch.Generator:
    """Return the generator of random numbers for one loss of one step.

    Parameters
    ----------
    seed, skipped, step : int
        Seed of the run, its returns to a checkpoint so far (which then draw other numbers), and the step.
    turn : int
        Index of the loss within the step.
    """
    return torch.Generator().manual_seed(_entropy(seed, skipped, step, turn))


def scaled(x: NDArray[Any], dataset: Dataset) -> NDArray[np.float32]:
    """Scale (N, C, ...) grey values so that the dataset's range becomes -1 to 1; values beyond are clipped."""
    low, high = (_per_channel(values, x.ndim, np.float64) for values in (dataset.low, dataset.high))
    return np.clip(2 * (x - low) / (high - low) - 1, -1, 1).astype(np.float32)


class Batches:
    """Random training crops, augmented as the options say.

    Parameters
    ----------
    dataset : Dataset
        Dataset whose training crops are drawn, with replacement.
    options : TrainOptions
        Batch size, augmentation and seed.
    step_of_grey : tuple of float
        Per channel, the width of one grey value on the scale of -1 to 1.
    device : torch.device
        Device of the batches.
    """

    def __init__(
        self, dataset: Dataset, options: TrainOptions, step_of_grey: tuple[float, ...], device: torch.device
    ) -> None:
        # All crops at once, as float32: a batch is then one look-up.
        self._x = scaled(dataset.training, dataset)
        self._options, self.device = options, device
        self._step = _per_channel(step_of_grey, self._x.ndim, np.float32)
        # Flips only move pixels. Brightness and bending make grey values between whole ones.
        between = options.intensity > 0 or options.elastic > 0
        self._snaps = between and dataset.x.dtype.kind in "ui"

    def __call__(self, step: int, skipped: int) -> Tensor:
        """Return the batch (B, C, Y, X) or (B, C, Z, Y, X) of a step, with whole grey values if the crops have them."""
        options = self._options
        rng = np.random.default_rng([options.seed, skipped, step])
        batch = self._x[rng.integers(0, len(self._x), options.batch)]
        batch = augment(rng, batch, low=-1.0, flips=options.flips, intensity=options.intensity, elastic=options.elastic)
        # Brighter crops can leave the range; `scaled` clips at it, too.
        batch = np.clip(batch, -1, 1)
        if self._snaps:
            # The likelihood of a VAE is one of whole grey values, and a discriminator would see those between.
            batch = np.round((batch + 1) / self._step) * self._step - 1
        layout = conv_layout(self.device, batch.ndim)
        return torch.from_numpy(batch).to(self.device).contiguous(memory_format=layout)


def _per_channel(values: Sequence[float], ndim: int, dtype: type) -> NDArray[Any]:
    """Return one number per channel, in the shape of an item of a batch with so many dimensions."""
    return np.array(values, dtype).reshape(-1, *(1,) * (ndim - 2))


def _entropy(*numbers: int) -> int:
    # Mixed into 64 bits: neighbouring steps get numbers that have nothing in common.
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
