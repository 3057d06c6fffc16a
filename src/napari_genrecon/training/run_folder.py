"""What a training leaves in its folder while it runs: a table of losses, a grid of samples, the best and last model."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from napari_genrecon.errors import WeightsError
from napari_genrecon.models.card import ENOUGH_STEPS, ModelCard
from napari_genrecon.models.files import read_card, save_model
from napari_genrecon.models.generative import GenerativeModel, load_generative
from napari_genrecon.models.registry import find_model
from napari_genrecon.models.runtime import build_network
from napari_genrecon.training.crops import Crops
from napari_genrecon.training.judge import COLLAPSED, calibrated, judge, settle_norms
from napari_genrecon.training.loop import State
from napari_genrecon.training.publish import publish

__all__ = ["RunFolder"]

GRID = 36  # samples that are shown
_LOG_EVERY = 2.0  # seconds
_SHOW_EVERY = 10.0
_JUDGE_EVERY = 30.0
_FIRST = 2.0  # seconds until the first samples
_SHARE = 0.02  # of all time, for each of the above
_SETTLED = ENOUGH_STEPS  # before, samples are alike because the generator knows nothing yet
_SEED_OF_GRID = 36


class RunFolder:
    """The folder of one training.

    Parameters
    ----------
    folder : Path
        Where; made if it is not there.
    crops : Crops
        What is trained on.
    card : ModelCard
        Of the model, as far as it is known before training.
    device : torch.device
        Where the networks are.
    """

    def __init__(self, folder: Path, crops: Crops, card: ModelCard, device: torch.device) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._crops, self._card, self._device = folder, crops, card, device
        self._sums: dict[str, float] = {}
        self._count = 0
        self._shown: dict[str, float] = {}
        self._judged: dict[str, float] = {}
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
        return self._shown | {name: value for name, value in self._judged.items() if name != "score"}

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
        card = calibrated(best, self._crops)
        save_model(card, best.weights(), self._folder / "best.safetensors", overwrite=True)
        return card

    def _judge(self, state: State) -> None:
        model = self._model(state)
        self._judged = judge(model, self._crops)
        self._notes.pop("collapsed", None)
        if state.step >= _SETTLED and self._judged.get("variety", 1.0) < COLLAPSED:
            self._notes["collapsed"] = (
                f"the samples have {100 * self._judged['variety']:.0f} % of the variety of the crops: the generator "
                "has collapsed to a few pictures; a larger r1, a lower rate or more crops may help"
            )
        if self._judged["score"] < self._best:
            self._best = self._judged["score"]
            self._save(self._model(state), "best")

    def _model(self, state: State) -> GenerativeModel:
        """The model with the averaged weights, apart from what is trained."""
        network = build_network(self._card).to(self._device)
        prefix = "generator." if self._card.network == "dcgan" else ""
        own = {k.removeprefix(prefix): v for k, v in state.average.items() if k.startswith(prefix)}
        network.load_state_dict(own)
        losses = {name: float(value) for name, value in self.means().items() if np.isfinite(value)}
        card = replace(
            self._card,
            losses=losses | ({"score": self._judged["score"]} if self._judged else {}),
            steps=state.step,
            seconds=round(state.seconds, 1),
            warnings=tuple(self._notes.values()),
        )
        return GenerativeModel(card, settle_norms(network, card.latent, self._device), str(self._device))

    def _save(self, model: GenerativeModel, name: str) -> None:
        save_model(model.card, model.weights(), self._folder / f"{name}.safetensors", overwrite=True)

    def _show(self, model: GenerativeModel) -> None:
        samples = model.sample(GRID, seed=_SEED_OF_GRID)
        content = io.BytesIO()
        np.save(content, samples.reshape(GRID, self._card.channels, self._card.size, self._card.size))
        publish(self._folder / "samples.npy", content.getvalue())

    def _log(self, state: State) -> None:
        """Append the means since the last line."""
        self._shown = {name: total / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        judged = ("held_out",) if self._card.network == "vae" else ("distance", "variety")
        row = self._shown | {name: self._judged.get(name, float("nan")) for name in judged}
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
