"""Files that a training writes while it runs: a table of losses, a grid of samples, the best and last model."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_genrecon.errors import WeightsError
from napari_genrecon.io.publish import write_file
from napari_genrecon.models import find_model
from napari_genrecon.models.card import ModelCard
from napari_genrecon.models.files import read_card, save_model
from napari_genrecon.models.runtime import build_network, trained_network
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.loop.state import State
from napari_genrecon.training.recipe import Recipe, Score

__all__ = ["RunFolder"]

_LOG_EVERY = 2.0  # seconds between two lines of the log: more seldom leaves the window without news
_SHOW_EVERY = 10.0  # seconds between two previews
_SCORE_EVERY = 30.0  # seconds between two scores
_FIRST = 2.0  # seconds until the first samples
_SHARE = 0.02  # largest share of the seconds of a training for each of the three


class RunFolder:
    """The folder of one training.

    Parameters
    ----------
    folder : Path
        Folder of the run; created if missing.
    recipe : Recipe
        Recipe of the training.
    dataset : Dataset
        Crops that are trained on.
    card : ModelCard
        Card of the model, as known before training.
    device : torch.device
        Device of the networks.
    """

    def __init__(self, folder: Path, recipe: Recipe, dataset: Dataset, card: ModelCard, device: torch.device) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._recipe, self._dataset = folder, recipe, dataset
        self._card, self._device = card, device
        self._sums: dict[str, float] = {}
        self._count = 0
        self._shown: dict[str, float] = {}
        self._score: Score | None = None
        self._scored = -1  # step of it
        # A resumed run goes on to compare with what it saved before, and tells its warnings until better is found.
        self._best, beware = _best_so_far(folder)
        self._notes = {"kept": "; ".join(beware)} if beware else {}
        self._log_due, self._show_due, self._score_due = (
            _Due(_LOG_EVERY, 0.0),
            _Due(_SHOW_EVERY, _FIRST),
            _Due(_SCORE_EVERY),
        )

    def follow(self, state: State, losses: dict[str, float]) -> str:
        """Add the losses of a step, write the files that are due, and return sentences for the user."""
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        # The score first, so that the line of the log and the preview below are of the same weights.
        if self._score_due:
            with self._score_due:
                self._evaluate(state)
        if self._log_due:
            with self._log_due:
                self._log(state)
        if self._show_due:
            with self._show_due:
                self._show(self._model(state))
        # Over the whole run, also before it was resumed: the count is part of the checkpoint.
        if state.skipped:
            self._notes["diverged"] = (
                f"the loss became infinite {state.skipped} times: each time training went back to its last checkpoint"
            )
        return "; ".join(self._notes.values())

    def means(self) -> dict[str, float]:
        """Return the mean losses since the log was written last, and the last score."""
        return self._shown | (self._score.shown if self._score else {})

    def keep(self, state: State) -> None:
        """Score the weights, write samples and ``last.safetensors``; the loop writes the checkpoint."""
        # Stopped before the first step: there is nothing to score, and no model to save.
        if not state.average:
            return
        self._evaluate(state)
        # Else the last step is in the log already, and a line would be the mean of nothing.
        if self._count:
            self._log(state)
        model = self._model(state)
        self._show(model)
        self._save(model.card, model.weights(), "last")

    def finish(self, state: State) -> ModelCard:
        """Score the last weights, calibrate ``best.safetensors`` on held-out crops, and return its card."""
        self._evaluate(state)
        # From the file: the best weights may be those of an earlier step, or of an earlier process.
        found = find_model(self._folder / "best.safetensors")
        best = self._recipe.model(found, trained_network(found), str(self._device))
        card = self._recipe.finish(best, self._dataset)
        save_model(card, best.weights(), self._folder / "best.safetensors", overwrite=True)
        return card

    def _evaluate(self, state: State) -> None:
        """Score the weights, and save them, or what the score makes of them, if they are the best so far."""
        # The end of a training asks again for what `follow` may just have measured.
        if state.step == self._scored:
            return
        model = self._model(state)
        self._score = score = self._recipe.score(model, self._dataset)
        self._scored = state.step
        # A warning of the score before, such as of a collapse, need not hold any more.
        self._notes.pop("score", None)
        if score.note:
            self._notes["score"] = score.note
        if score.value < self._best:
            self._best = score.value
            beware = tuple(score.card.get("warnings", ()))  # of the weights that are kept, until better ones are found
            self._notes.pop("kept", None)
            card = self._trained(state)
            # Both kinds of warnings: those of the training, and those that the score has of these weights.
            card = replace(card, **{**score.card, "warnings": (*card.warnings, *beware)})
            self._save(card, model.weights() if score.weights is None else score.weights, "best")
            if beware:
                self._notes["kept"] = "; ".join(beware)

    def _model(self, state: State) -> Any:
        """Return a model with a copy of the averaged weights."""
        # A network of its own, so that scoring changes nothing of the one in training, as `settle` and `eval` would.
        network = build_network(self._card).to(self._device)
        # Names of weights begin with the child's name in the trained module, and without it in the finished model.
        part = f"{self._recipe.part}." if self._recipe.part else ""
        network.load_state_dict({k.removeprefix(part): v for k, v in state.average.items() if k.startswith(part)})
        card = self._trained(state)
        if self._recipe.settle is not None:
            self._recipe.settle(network, card, self._device)
        return self._recipe.model(card, network, str(self._device))

    def _trained(self, state: State) -> ModelCard:
        """Return the card with what is known now."""
        # The card is JSON, which has no NaN.
        losses = {name: float(value) for name, value in self.means().items() if np.isfinite(value)}
        return replace(
            self._card,
            losses=losses | ({"score": self._score.value} if self._score else {}),
            steps=state.step,
            seconds=round(state.seconds, 1),
            warnings=tuple(self._notes.values()),
        )

    def _save(self, card: ModelCard, weights: Mapping[str, NDArray[Any]], name: str) -> None:
        save_model(card, weights, self._folder / f"{name}.safetensors", overwrite=True)

    def _show(self, model: Any) -> None:
        # In memory first: the window reads the file while the training runs, and must find it whole.
        content = io.BytesIO()
        np.save(content, self._recipe.preview(model, self._dataset))
        write_file(self._folder / "samples.npy", content.getvalue())

    def _log(self, state: State) -> None:
        """Append the means since the last line."""
        self._shown = {name: total / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        measured = self._score.shown if self._score else {}
        # NaN before the first score: every line needs the same columns.
        row = self._shown | {name: measured.get(name, float("nan")) for name in self._recipe.measures}
        path = self._folder / "log.csv"
        with path.open("a", encoding="utf-8") as log:
            # A file opened for appending stands at its end: 0 is a new file, which needs the names of the columns.
            if not log.tell():
                log.write(",".join(["step", "seconds", *row]) + "\n")
            log.write(f"{state.step},{state.seconds:.1f}," + ",".join(f"{value:.6g}" for value in row.values()) + "\n")


class _Due:
    """A timer that is true when an action is due: every so many seconds, but for a small share of the time only.

    Used as a context around the action, whose duration it measures.
    """

    def __init__(self, every: float, first: float | None = None) -> None:
        self._every = every
        self._next = time.monotonic() + (every if first is None else first)
        self._began = 0.0

    def __bool__(self) -> bool:
        return time.monotonic() >= self._next

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        now = time.monotonic()
        # A slow score or preview, as of a large model on a CPU, comes less often.
        self._next = now + max(self._every, (now - self._began) / _SHARE)


def _best_so_far(folder: Path) -> tuple[float, tuple[str, ...]]:
    """Return the score of the weights that are kept, and their warnings."""
    try:
        card = read_card(folder / "best.safetensors")
    # There are none yet, or the file is damaged and is replaced by the next weights that are scored.
    except WeightsError:
        return np.inf, ()
    return card.losses.get("score", np.inf), card.warnings
