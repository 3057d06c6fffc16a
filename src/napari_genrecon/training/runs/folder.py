"""What a training leaves in its folder while it runs: a table of losses, a grid of samples, the best and last model."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from napari_genrecon.errors import WeightsError
from napari_genrecon.io.publish import write_file
from napari_genrecon.models.card import ModelCard
from napari_genrecon.models.files import read_card, save_model
from napari_genrecon.models.generative import GenerativeModel, load_generative
from napari_genrecon.models.registry import find_model
from napari_genrecon.models.runtime import build_network
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.loop.state import State
from napari_genrecon.training.recipe import Recipe, Score

__all__ = ["RunFolder"]

_LOG_EVERY = 2.0  # seconds
_SHOW_EVERY = 10.0
_JUDGE_EVERY = 30.0
_FIRST = 2.0  # seconds until the first samples
_SHARE = 0.02  # of all time, for each of the above


class RunFolder:
    """The folder of one training.

    Parameters
    ----------
    folder : Path
        Where; made if it is not there.
    recipe : Recipe
        How it is trained.
    dataset : Dataset
        What is trained on.
    card : ModelCard
        Of the model, as far as it is known before training.
    device : torch.device
        Where the networks are.
    """

    def __init__(self, folder: Path, recipe: Recipe, dataset: Dataset, card: ModelCard, device: torch.device) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._recipe, self._dataset = folder, recipe, dataset
        self._card, self._device = card, device
        self._sums: dict[str, float] = {}
        self._count = 0
        self._shown: dict[str, float] = {}
        self._score: Score | None = None
        self._notes: dict[str, str] = {}
        self._best = _best_so_far(folder)
        self._log_due, self._show_due, self._judge_due = (
            _Due(_LOG_EVERY, 0.0),
            _Due(_SHOW_EVERY, _FIRST),
            _Due(_JUDGE_EVERY),
        )

    def follow(self, state: State, losses: dict[str, float]) -> str:
        """Note the losses of a step, and write what is due; returns what the user should know, in words."""
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        if self._judge_due:
            with self._judge_due:
                self._judge(state)
        if self._log_due:
            with self._log_due:
                self._log(state)
        if self._show_due:
            with self._show_due:
                self._show(self._model(state))
        if state.skipped:
            self._notes["diverged"] = (
                f"the loss became infinite {state.skipped} times: each time training went back to its last checkpoint"
            )
        return "; ".join(self._notes.values())

    def means(self) -> dict[str, float]:
        """Mean losses of the last while, and the last judgement."""
        return self._shown | (self._score.shown if self._score else {})

    def keep(self, state: State) -> None:
        """Write samples and ``last.safetensors``; the checkpoint is the loop's."""
        if not state.average:
            return
        if self._count:
            self._log(state)
        model = self._model(state)
        self._show(model)
        self._save(model, "last")

    def finish(self, state: State) -> ModelCard:
        """Judge once more, calibrate ``best.safetensors`` on held-out crops, and return its card."""
        self._judge(state)
        best = load_generative(find_model(self._folder / "best.safetensors"), str(self._device))
        card = self._recipe.finish(best, self._dataset)
        save_model(card, best.weights(), self._folder / "best.safetensors", overwrite=True)
        return card

    def _judge(self, state: State) -> None:
        self._score = score = self._recipe.score(self._model(state), self._dataset)
        self._notes.pop("score", None)
        if score.note:
            self._notes["score"] = score.note
        if score.value < self._best:
            self._best = score.value
            self._save(self._model(state), "best")

    def _model(self, state: State) -> GenerativeModel:
        """Return the model with the averaged weights, apart from what is trained."""
        network = build_network(self._card).to(self._device)
        part = f"{self._recipe.part}." if self._recipe.part else ""
        network.load_state_dict({k.removeprefix(part): v for k, v in state.average.items() if k.startswith(part)})
        losses = {name: float(value) for name, value in self.means().items() if np.isfinite(value)}
        card = replace(
            self._card,
            losses=losses | ({"score": self._score.value} if self._score else {}),
            steps=state.step,
            seconds=round(state.seconds, 1),
            warnings=tuple(self._notes.values()),
        )
        if self._recipe.settle is not None:
            self._recipe.settle(network, card, self._device)
        return GenerativeModel(card, network, str(self._device))

    def _save(self, model: GenerativeModel, name: str) -> None:
        save_model(model.card, model.weights(), self._folder / f"{name}.safetensors", overwrite=True)

    def _show(self, model: GenerativeModel) -> None:
        content = io.BytesIO()
        np.save(content, self._recipe.preview(model))
        write_file(self._folder / "samples.npy", content.getvalue())

    def _log(self, state: State) -> None:
        """Append the means since the last line."""
        self._shown = {name: total / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        measured = self._score.shown if self._score else {}
        row = self._shown | {name: measured.get(name, float("nan")) for name in self._recipe.measures}
        path = self._folder / "log.csv"
        with path.open("a") as log:
            if not log.tell():
                log.write(",".join(["step", "seconds", *row]) + "\n")
            log.write(f"{state.step},{state.seconds:.1f}," + ",".join(f"{value:.6g}" for value in row.values()) + "\n")


class _Due:
    """True when something is to be done again: every so many seconds, but never for more than a small share of time.

    Used as a context around doing it.
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
        self._next = now + max(self._every, (now - self._began) / _SHARE)


def _best_so_far(folder: Path) -> float:
    path = folder / "best.safetensors"
    try:
        return read_card(path).losses.get("score", np.inf) if path.is_file() else np.inf
    except WeightsError:
        return np.inf
