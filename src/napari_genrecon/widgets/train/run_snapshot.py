"""Read the folders of training runs, in a thread, and describe them for `run_view`."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import WeightsError
from napari_genrecon.models.card import few_steps
from napari_genrecon.models.files import ENDING, read_card
from napari_genrecon.models.registry import models_folder
from napari_genrecon.plural import duration
from napari_genrecon.training import find_recipe
from napari_genrecon.training.options import TrainProgress
from napari_genrecon.training.runs.store import Run, find_runs
from napari_genrecon.widgets.plot import load_plots
from napari_genrecon.widgets.words import ago, time_left

__all__ = ["Curves", "RunSnapshot", "curves", "snapshot_steps", "state_words"]

_POINTS = 1500  # points of a curve: more than pixels of the plot, so that nothing is lost on screen


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Curves that share one vertical axis.

    Attributes
    ----------
    title : str
        Meaning of the axis.
    lines : dict
        x (minutes) and y of each curve, by its name.
    """

    title: str
    lines: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSnapshot:
    """All training runs as they are now, and one of them in full.

    Attributes
    ----------
    runs : tuple of (Run, str)
        Runs with their states, newest first.
    chosen : Run or None
        The run that is shown; all further attributes are about it.
    loading : bool
        Whether its process has not made a step yet.
    summary : str
        What the card of its model says of it.
    device : str
        Why it trains on the processor although there is a GPU.
    """

    runs: tuple[tuple[Run, str], ...]
    chosen: Run | None = None
    state: str = ""
    progress: TrainProgress | None = None
    loading: bool = False
    log: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    samples: NDArray[np.float32] | None = None
    error: str = ""
    model: str = ""
    summary: str = ""
    device: str = ""


def snapshot_steps(name: str) -> Generator[Progress, None, RunSnapshot]:
    """Read all runs, and in full the one of this name, or else the newest."""
    yield Progress(0, 0, "")
    runs = tuple((run, run.state()) for run in find_runs())
    named = [(run, state) for run, state in runs if run.name == name] or list(runs[:1])
    if not named:
        return RunSnapshot(runs=runs)
    run, state = named[0]
    # Here, in a thread, before the window draws the first curve.
    load_plots()
    return RunSnapshot(
        runs=runs, chosen=run, state=state, progress=run.progress(), loading=run.is_loading(), log=run.log(),
        samples=run.samples(), error=run.error() if state == "failed" else "", model=run.model(),
        summary=_summary(run.model()), device=run.device_note(),
    )  # fmt: skip


def _summary(model: str) -> str:
    """Return what the card of a model says of it; empty if there is none any more."""
    try:
        return read_card(models_folder() / f"{model}{ENDING}").summary if model else ""
    except WeightsError:
        return ""


def state_words(snapshot: RunSnapshot) -> tuple[str, str]:
    """Return the state of a run in words, and their tone: plain, ``"good"`` or ``"bad"``."""
    if snapshot.chosen is None:
        return "No training yet. What you start goes on when napari is closed, and is found here again.", ""
    recipe = find_recipe(snapshot.chosen.kind)
    begun = f"{recipe.label}, started {ago(snapshot.chosen.created)}"
    progress = snapshot.progress
    done = _done(progress)
    if snapshot.state == "starting" or snapshot.loading:
        before = f"{done} so far; the" if progress else "The"
        return f"{begun}. {before} process that trains is starting (some seconds)…", ""
    ended = snapshot.state in ("stopped", "finished")
    # While it trains, few steps are no reason to warn.
    few = few_steps(progress.step) if progress and ended and recipe.generates else ""
    notes = [note for note in (progress.note if progress else "", few, snapshot.device) if note]
    beware = f" Beware: {'; '.join(notes)}." if notes else ""
    use = "can be sampled" if recipe.generates else f"can be chosen in the dock {recipe.serves.title()}"
    saved = f" The model '{snapshot.model}' {use}." if snapshot.model else ""
    saved += f" {snapshot.summary}." if snapshot.model and snapshot.summary else ""
    if snapshot.state == "running" and progress:
        left = time_left(progress.seconds, progress.step, progress.total)
        return f"{begun}. {done}{', ' + left if left else ''}. napari may be closed meanwhile.{beware}", _style(beware)
    if snapshot.state == "failed":
        return f"{begun}. It failed after {done}: {snapshot.error}. Resume goes on from what was saved last.", "bad"
    if snapshot.state == "stopped":
        planned = f", of about {progress.total} that were planned" if progress else ""
        return f"{begun}. Stopped after {done}{planned}; Resume goes on.{saved}{beware}", _style(beware, saved)
    return f"{begun}. Finished: {done}.{saved}{beware}", _style(beware, saved)


def _done(progress: TrainProgress | None) -> str:
    return f"{progress.step} steps in {duration(progress.seconds).removeprefix('about ')}" if progress else "0 steps"


def _style(beware: str, good: str = "") -> str:
    return "bad" if beware else "good" if good else ""


def curves(snapshot: RunSnapshot) -> list[Curves]:
    """Return the losses as curves with titles; none before the first line of the log."""
    if not snapshot.log or snapshot.chosen is None:
        return []
    found: list[Curves] = []
    for shown in find_recipe(snapshot.chosen.kind).curves:
        # A copy, as losses are changed below.
        log = dict(snapshot.log)
        for name in shown.per_pixel:
            if name in log and snapshot.samples is not None:
                # From nats per picture, of which more is better, to nats per pixel, of which less is better.
                log[name] = -log[name] / snapshot.samples[0].size
        found += _one(log, shown.title, shown.lines)
    return found


def _one(log: dict[str, Any], title: str, names: Mapping[str, str]) -> list[Curves]:
    lines: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    for name, words in names.items():
        # The log has NaN where a step did not measure this loss.
        known = np.isfinite(log[name]) if name in log else np.zeros(0, bool)
        if known.any():
            x, y = log["seconds"][known] / 60, log[name][known]
            every = max(1, len(x) // _POINTS)
            lines[words] = (x[::every], y[::every])
    return [Curves(title=title, lines=lines)] if lines else []
