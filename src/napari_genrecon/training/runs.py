"""Training runs: each a folder in the user's data directory, worked on by a process of its own.

The process outlives the window that started it. All that is known about a run is in its folder, so a napari that was
closed and opened again finds it; nothing in the folder can be executed. Importing this loads no torch.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import GenReconError, OptionError, OutputError, UnknownModelError
from napari_genrecon.io.publish import sentence
from napari_genrecon.models.card import check_name
from napari_genrecon.training.child import free_name
from napari_genrecon.training.crops import Crops
from napari_genrecon.training.publish import publish
from napari_genrecon.training.run_log import columns, last_words
from napari_genrecon.training.run_status import (
    FINAL,
    Status,
    is_alive,
    note_process,
    read_json,
    read_status,
    write_status,
)
from napari_genrecon.training.train_options import TrainOptions, TrainProgress

__all__ = ["STATES", "Run", "create_run", "find_run", "find_runs", "runs_folder", "start_run"]

STATES = ("starting", "running", "finished", "stopped", "failed")
_FORMAT = "genrecon-run/1"
_PATIENCE = 60.0  # seconds that a process may take until it is known
_children: dict[str, subprocess.Popen[bytes]] = {}  # of this process, so that their ends are noticed


def runs_folder() -> Path:
    """Where the runs are: in the user's data directory, or where the variable ``GENRECON_RUNS`` says."""
    chosen = os.environ.get("GENRECON_RUNS")
    if chosen:
        return Path(chosen)
    from platformdirs import user_data_path

    return user_data_path("napari-genrecon", appauthor=False) / "runs"


def start_run(crops: Crops, options: dict[str, Any] | TrainOptions, *, name: str) -> Run:
    """Start training in a process of its own, which goes on when this one ends.

    Parameters
    ----------
    crops : Crops
        What to train on; copied into the run's folder.
    options : TrainOptions or dict of its fields
        How to train.
    name : str
        Of the model; a number is appended if a run or a model has it already.

    Returns
    -------
    Run
        The `Run.name` tells the name that was free.

    Raises
    ------
    OptionError, WeightsError
        If an option or the name cannot work.
    OutputError
        If the folder cannot be written.
    """
    run = create_run(crops, options, name=name)
    run.launch()
    return run


def create_run(crops: Crops, options: dict[str, Any] | TrainOptions, *, name: str) -> Run:
    """Make the folder of a run, which then waits to be worked on; see `start_run`."""
    chosen = options if isinstance(options, TrainOptions) else _options(options)
    check_name(name)
    root = runs_folder()
    facts = {
        "format": _FORMAT,
        "kind": chosen.kind,
        "created": datetime.now(UTC).isoformat(),
        "options": chosen.to_dict(),
    }
    with _writing(root):
        root.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".new-", dir=root))
        try:
            crops.save(part / "crops.npz")
            write_status(part, Status(state="starting"))
            folder = _named(part, name, facts)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    run = _open(folder)
    assert run is not None
    return run


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say in a sentence why something could not be written."""
    try:
        yield
    except OSError as error:
        if isinstance(error, GenReconError):
            raise
        raise OutputError(sentence(path, error)) from error


def _options(options: dict[str, Any]) -> TrainOptions:
    unknown = sorted(set(options) - set(TrainOptions.__dataclass_fields__))
    if unknown:
        known = ", ".join(TrainOptions.__dataclass_fields__)
        raise OptionError(f"there is no training option {unknown[0]!r}; known: {known}")
    return TrainOptions(**options)


def _named(part: Path, name: str, facts: dict[str, Any]) -> Path:
    """Give the finished folder a name that no run and no model has; in one step, so that two starts cannot share it."""
    taken: tuple[str, ...] = ()
    while True:
        free = free_name(name, taken)
        taken = (*taken, free)
        if (part.parent / free).exists():
            continue
        publish(part / "run.json", json.dumps({**facts, "name": free}, indent=1).encode())
        try:
            os.rename(part, part.parent / free)
        except OSError:
            if (part.parent / free).exists():  # another start was quicker
                continue
            raise
        return part.parent / free


def find_runs() -> list[Run]:
    """All runs, newest first."""
    root = runs_folder()
    folders = [path for path in root.iterdir() if not path.name.startswith(".")] if root.is_dir() else []
    found = [run for folder in folders if (run := _open(folder)) is not None]
    return sorted(found, key=lambda run: run.created, reverse=True)


def find_run(name: str) -> Run:
    """The run of this name.

    Raises
    ------
    UnknownModelError
        If there is none; names the nearest.
    """
    runs = {run.name: run for run in find_runs()}
    if name in runs:
        return runs[name]
    close = get_close_matches(name, runs, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UnknownModelError(f"no training run named {name!r}; {hint}Known: {', '.join(runs) or 'none'}")


def _open(folder: Path) -> Run | None:
    """The run in a folder; None if it is not one of ours."""
    found = read_json(folder / "run.json")
    try:
        if found["format"] != _FORMAT or found["name"] != folder.name:
            return None
        options = _options(found["options"])
        return Run(folder, check_name(found["name"]), options.kind, str(found["created"]), options.to_dict())
    except (KeyError, TypeError, GenReconError):
        return None


@dataclass(frozen=True, slots=True)
class Run:
    """A run, by its folder; every method reads what the folder says now.

    Attributes
    ----------
    folder : Path
        Of the run.
    name : str
        Of the run, and of the model it makes.
    kind : str
        ``"dcgan"`` or ``"vae"``.
    created : str
        When it was made, in UTC.
    options : dict
        Fields of `TrainOptions`.
    """

    folder: Path
    name: str
    kind: str
    created: str
    options: dict[str, Any]

    def state(self) -> str:
        """One of `STATES`: ``failed`` also if the process is gone without having said why."""
        status = read_status(self.folder)
        if status.state in FINAL:
            return status.state
        self._returned()
        if is_alive(self.folder):
            return status.state
        unknown = not (self.folder / "process.json").exists()
        if unknown and time.time() - status.time < _PATIENCE:
            return "starting"
        last = read_status(self.folder).state  # it may have ended between the two looks
        return last if last in FINAL else "failed"

    def progress(self) -> TrainProgress | None:
        """The last progress that was noted, or None before the first step."""
        try:
            return TrainProgress(**read_json(self.folder / "progress.json"))
        except TypeError:
            return None

    def log(self) -> dict[str, NDArray[np.float64]]:
        """Columns of the log by name: ``step``, ``seconds`` and the losses, each (N,); empty before there are any."""
        try:
            text = (self.folder / "log.csv").read_text()
        except OSError:
            return {}
        return columns(text)

    def samples(self) -> NDArray[np.float32] | None:
        """(N, C, Y, X) samples of a fixed latent in grey values, or None before the first."""
        try:
            return np.load(io.BytesIO((self.folder / "samples.npy").read_bytes()), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None

    def crops(self) -> Crops:
        """What it is trained on.

        Raises
        ------
        ImageError
            If the file is missing or damaged.
        """
        return Crops.load(self.folder / "crops.npz")

    def model(self) -> str:
        """Name of the model it has put into the models folder; empty before."""
        return read_status(self.folder).model

    def error(self) -> str:
        """Why it failed, in a sentence; empty if it did not."""
        if self.state() != "failed":
            return ""
        return read_status(self.folder).error or last_words(self.folder, self._returned())

    def stop(self) -> None:
        """Ask the process to save and to end; it does so after the step it is at."""
        with _writing(self.folder):
            publish(self.folder / "stop", b"")

    def resume(self, *, minutes: float | None = None) -> Run:
        """Go on exactly where it was saved last, in a new process.

        Parameters
        ----------
        minutes : float, optional
            Another training time in all; a finished run goes on only with one.

        Returns
        -------
        Run
            The same, with its options as they are now.

        Raises
        ------
        OptionError
            If it is running, or finished and no more minutes were given.
        """
        run = self.prepared(minutes=minutes)
        run.launch()
        return run

    def prepared(self, *, minutes: float | None = None) -> Run:
        """The run, ready to be worked on again; see `resume`."""
        state = self.state()
        if state in ("starting", "running"):
            raise OptionError(f"{self.name!r} is {state} already: stop it first, or wait for its end")
        if state == "finished" and minutes is None:
            raise OptionError(
                f"{self.name!r} is finished: give more minutes than the {self.options['minutes']:g} it had to go on"
            )
        with _writing(self.folder):
            run = self if minutes is None else self._with(TrainOptions(**self.options).continued(minutes))
            for name in ("stop", "process.json"):
                (self.folder / name).unlink(missing_ok=True)
            write_status(self.folder, replace(read_status(self.folder), state="starting", error=""))
        return run

    def launch(self) -> None:
        """Start the process that works on it; see `start_run` and `resume`."""
        module = "napari_genrecon.training.child"
        # -P: a module that lies in the current folder is not imported.
        command = [sys.executable, "-P", "-X", "faulthandler", "-m", module, str(self.folder.absolute())]
        try:
            with (self.folder / "child.log").open("ab") as log:
                child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **_DETACHED)
        except OSError as error:
            words = f"the process that trains could not be started: {error.strerror or error}"
            write_status(self.folder, Status(state="failed", error=words))
            raise OutputError(words) from error
        _children[str(self.folder)] = child
        with suppress(OSError):  # the process writes the same about itself
            note_process(self.folder, child.pid)

    def remove(self) -> None:
        """Delete its folder, for good; a model it has made stays.

        Raises
        ------
        OptionError
            If it is running.
        """
        if self.state() in ("starting", "running"):
            raise OptionError(f"{self.name!r} is being trained: stop it first")
        self._returned()
        gone = Path(tempfile.mkdtemp(prefix=".old-", dir=self.folder.parent))
        os.rename(self.folder, gone / self.name)  # in one step: no run is seen half deleted
        shutil.rmtree(gone, ignore_errors=True)

    def _with(self, options: TrainOptions) -> Run:
        facts = read_json(self.folder / "run.json") | {"options": options.to_dict()}
        publish(self.folder / "run.json", json.dumps(facts, indent=1).encode())
        return replace(self, options=options.to_dict())

    def _returned(self) -> int | None:
        """What its process returned, if it was a child of this one and has ended."""
        child = _children.get(str(self.folder))
        return None if child is None else child.poll()


if sys.platform == "win32":
    _DETACHED: dict[str, Any] = {
        "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW,
        "close_fds": True,
    }
else:
    _DETACHED: dict[str, Any] = {"start_new_session": True, "close_fds": True}
