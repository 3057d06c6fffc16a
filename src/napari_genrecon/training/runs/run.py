"""One training run, known by its folder: how it stands, what it has made, and how to stop it and to go on."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import OptionError, OutputError
from napari_genrecon.io.publish import rename, write_file
from napari_genrecon.training import read_options
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.options import TrainOptions, TrainProgress
from napari_genrecon.training.runs.log import columns, exit_reason
from napari_genrecon.training.runs.status import (
    FINAL,
    Status,
    is_alive,
    note_process,
    read_json,
    read_status,
    write_status,
    writing,
)

__all__ = ["Run"]

_PATIENCE = 60.0  # seconds that a process may take until it is known
_children: dict[str, subprocess.Popen[bytes]] = {}  # of this process, so that their ends are noticed


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
        Name of the recipe.
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
        """One of `runs.STATES`: ``failed`` also if the process is gone without having said why."""
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
        """Return the last progress that was noted, or None before the first step."""
        try:
            return TrainProgress(**read_json(self.folder / "progress.json"))
        except TypeError:
            return None

    def is_loading(self) -> bool:
        """Return whether its process runs but has not made a step yet: what `progress` tells is of an earlier one."""
        if self.state() != "running":
            return False
        try:
            noted, begun = (os.stat(self.folder / name).st_mtime_ns for name in ("progress.json", "status.json"))
        except OSError:
            return True
        return noted < begun

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

    def crops(self) -> Dataset:
        """Return what it is trained on.

        Raises
        ------
        ImageError
            If the file is missing or damaged.
        """
        return Dataset.load(self.folder / "crops.npz")

    def model(self) -> str:
        """Name of the model it has put into the models folder; empty before."""
        return read_status(self.folder).model

    def error(self) -> str:
        """Return why it failed, in a sentence; empty if it did not."""
        if self.state() != "failed":
            return ""
        return read_status(self.folder).error or exit_reason(self.folder, self._returned())

    def stop(self) -> None:
        """Ask the process to save and to end; it does so after the step it is at."""
        with writing(self.folder):
            write_file(self.folder / "stop", b"")

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
        """Return the run, ready to be worked on again; see `resume`."""
        state = self.state()
        if state in ("starting", "running"):
            raise OptionError(f"{self.name!r} is {state} already: stop it first, or wait for its end")
        if state == "finished" and minutes is None:
            raise OptionError(
                f"{self.name!r} is finished: give more minutes than the {self.options['minutes']:g} it had to go on"
            )
        with writing(self.folder):
            run = (
                self
                if minutes is None
                else self._with(read_options({"kind": self.kind, **self.options}).continued(minutes))
            )
            for name in ("stop", "process.json"):
                (self.folder / name).unlink(missing_ok=True)
            write_status(self.folder, replace(read_status(self.folder), state="starting", error=""))
        return run

    def launch(self) -> None:
        """Start the process that works on it; see `start_run` and `resume`."""
        module = "napari_genrecon.training.runs.worker"
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
        rename(self.folder, gone / self.name)  # in one step: no run is seen half deleted
        shutil.rmtree(gone, ignore_errors=True)

    def _with(self, options: TrainOptions) -> Run:
        facts = read_json(self.folder / "run.json") | {"options": options.to_dict()}
        write_file(self.folder / "run.json", json.dumps(facts, indent=1).encode())
        return replace(self, options=options.to_dict())

    def _returned(self) -> int | None:
        """Return what its process returned, if it was a child of this one and has ended."""
        child = _children.get(str(self.folder))
        return None if child is None else child.poll()


if sys.platform == "win32":
    _DETACHED: dict[str, Any] = {
        "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW,
        "close_fds": True,
    }
else:
    _DETACHED: dict[str, Any] = {"start_new_session": True, "close_fds": True}
