"""Compare the steps per second of the training loop with those of a minimal loop on one fixed batch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_genrecon.models import ModelCard
from napari_genrecon.models.card import step_of
from napari_genrecon.training import find_recipe
from napari_genrecon.training.data.batches import Batches
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.options import TrainOptions
from napari_genrecon.training.session import train_steps

__all__ = ["steps_per_second"]


def steps_per_second(
    options: TrainOptions, crops: Dataset, card: ModelCard, steps: int, turn: int = 10
) -> tuple[float, float, float]:
    """Run both loops in turns of some steps; the ratio is of CPU time, as other programs change wall time."""
    bare = _bare_loop(options, crops, card)
    with tempfile.TemporaryDirectory() as folder:
        ours = train_steps(crops, options, Path(folder), name="bench")
        spent = {"ours": np.zeros(2), "bare": np.zeros(2)}
        for loop in (ours, bare):
            next(loop)
        for _ in range(0, steps, turn):
            for name, loop in (("ours", ours), ("bare", bare)):
                before = np.array([time.perf_counter(), time.process_time()])
                for _ in range(turn):
                    next(loop)
                spent[name] += np.array([time.perf_counter(), time.process_time()]) - before
        ours.close()
    done = -(-steps // turn) * turn
    return done / spent["ours"][0], done / spent["bare"][0], spent["bare"][1] / spent["ours"][1]


def _bare_loop(options: TrainOptions, crops: Dataset, card: ModelCard) -> Iterator[int]:
    """Train the same networks with the same losses on one fixed batch, in a minimal loop."""
    recipe, device = find_recipe(options.recipe), torch.device("cpu")
    if recipe.batches is None:
        batches: Any = Batches(crops, options, step_of(card), device)
    else:
        batches = recipe.batches(crops, options, card, device)
    state = recipe.state(recipe.network(card, options), options)
    turns = recipe.losses(_ready(batches(0, 0)), card, options, torch.enable_grad)
    step = 0
    while True:
        for optimiser, loss_at in zip(state.optimisers, turns, strict=True):
            optimiser.zero_grad()
            next(iter(loss_at(state.net, step, 0).values())).backward()
            optimiser.step()
        step += 1
        yield step


def _ready(batch: Any) -> Any:
    """Return a stand-in for batches that always gives the same one."""

    class Ready:
        device = torch.device("cpu")

        def __call__(self, step: int, skipped: int) -> Any:
            return batch

    return Ready()
