"""A training run, identified by its folder: state, progress and results; stop, resume, remove."""

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
from napari_genrecon.io.publish import remove, rename, write_file
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

_PATIENCE = 60.0  # seconds until a new process must have written its number: importing torch takes most of them
_children: dict[str, subprocess.Popen[bytes]] = {}  # processes that this one started: only it can see how they ended


@dataclass(frozen=True, slots=True)
class Run:
    """A training run; every method reads the current state from its folder.

    Attributes
    ----------
    folder : Path
        Folder of the run.
    name : str
        Name of the run and of its model.
    kind : str
        Name of the recipe.
    created : str
        Time of its creation, in UTC.
    options : dict
        Fields of its `TrainOptions`.
    """

    folder: Path
    name: str
    kind: str
    created: str
    options: dict[str, Any]

    def state(self) -> str:
        """Return ``starting``, ``running``, ``finished``, ``stopped``, or ``failed``: also if the process is gone."""
        status = read_status(self.folder)
        if status.state in FINAL:
            return status.state
        # A child that ended is a zombie until it is asked for its status, and would count as alive.
        self._exit_status()
        if is_alive(self.folder):
            return status.state
        # Between `launch` and the first lines of the new process there is no number to look for.
        unknown = not (self.folder / "process.json").exists()
        if unknown and time.time() - status.time < _PATIENCE:
            return "starting"
        last = read_status(self.folder).state  # it may have ended since the first reading
        return last if last in FINAL else "failed"

    def progress(self) -> TrainProgress | None:
        """Return the last progress that was written, or None before the first step."""
        try:
            return TrainProgress(**read_json(self.folder / "progress.json"))
        # The file is missing, which `read_json` makes an empty object, or of another version.
        except TypeError:
            return None

    def is_loading(self) -> bool:
        """Return whether its process has not made a step yet; `progress` is then that of an earlier process."""
        if self.state() != "running":
            return False
        try:
            # A process writes its status before its first progress: older progress is that of another process.
            noted, begun = (os.stat(self.folder / name).st_mtime_ns for name in ("progress.json", "status.json"))
        except OSError:
            return True
        return noted < begun

    def log(self) -> dict[str, NDArray[np.float64]]:
        """Return the columns of the log, (N,) each, by name: ``step``, ``seconds``, losses; empty before the first."""
        try:
            text = (self.folder / "log.csv").read_text(encoding="utf-8")
        except OSError:
            return {}
        return columns(text)

    def samples(self) -> NDArray[np.float32] | None:
        """Return (N, C, Y, X) samples of fixed latents in grey values, or None before the first."""
        try:
            # Read at once and closed: Windows would not let the training replace a file that is open here.
            return np.load(io.BytesIO((self.folder / "samples.npy").read_bytes()), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None

    def crops(self) -> Dataset:
        """Return the dataset it is trained on.

        Raises
        ------
        ImageError
            If the file is missing or damaged.
        """
        return Dataset.load(self.folder / "crops.npz")

    def model(self) -> str:
        """Return the name of its model in the models folder; empty before there is one."""
        return read_status(self.folder).model

    def device_note(self) -> str:
        """Return why it trains on the processor although there is a GPU; empty if there is none, or it is used."""
        return read_status(self.folder).device

    def error(self) -> str:
        """Return why it failed, in a sentence; empty if it did not."""
        if self.state() != "failed":
            return ""
        return read_status(self.folder).error or exit_reason(self.folder, self._exit_status())

    def stop(self) -> None:
        """Ask the process to save and to end after the current step."""
        with writing(self.folder):
            write_file(self.folder / "stop", b"")

    def resume(self, *, minutes: float | None = None) -> Run:
        """Continue exactly from the last checkpoint, in a new process.

        Parameters
        ----------
        minutes : float, optional
            New total training time; a finished run needs one to continue.

        Returns
        -------
        Run
            The same run with its current options.

        Raises
        ------
        OptionError
            If the run is active, or finished and no more minutes were given.
        """
        run = self.prepared(minutes=minutes)
        run.launch()
        return run

    def prepared(self, *, minutes: float | None = None) -> Run:
        """Return the run, ready for a new process; see `resume`."""
        state = self.state()
        if state in ("starting", "running"):
            raise OptionError(f"{self.name!r} is {state} already: stop it first, or wait for its end")
        if state == "finished" and minutes is None:
            raise OptionError(
                f"{self.name!r} is finished: to continue, give more minutes than the {self.options['minutes']:g} it had"
            )
        with writing(self.folder):
            run = (
                self
                if minutes is None
                else self._with(read_options({"kind": self.kind, **self.options}).continued(minutes))
            )
            # An old request would stop the new process at once; an old number would make it look dead at first.
            for name in ("stop", "process.json"):
                remove(self.folder / name)
            # This also sets the time from which `state` counts its patience.
            write_status(self.folder, replace(read_status(self.folder), state="starting", error=""))
        return run

    def launch(self) -> None:
        """Start the process that trains; see `start_run` and `resume`."""
        module = "napari_genrecon.training.runs.worker"
        # -P: a module that lies in the current folder is not imported.
        command = [sys.executable, "-P", "-X", "faulthandler", "-m", module, str(self.folder.absolute())]
        try:
            # No pipes: nobody reads them once the window is closed, and a full pipe blocks the training.
            with (self.folder / "child.log").open("ab") as log:
                child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **_DETACHED)
        except OSError as error:
            words = f"the process that trains could not be started: {error.strerror or error}"
            write_status(self.folder, Status(state="failed", error=words))
            raise OutputError(words) from error
        _children[str(self.folder)] = child
        with suppress(OSError):  # the process also writes this itself
            note_process(self.folder, child.pid)

    def remove(self) -> None:
        """Delete its folder for good; its model in the models folder stays.

        Raises
        ------
        OptionError
            If it is running.
        """
        if self.state() in ("starting", "running"):
            raise OptionError(f"{self.name!r} is being trained: stop it first")
        self._exit_status()
        # Beside it, so on the same disk; names with a dot are passed over by `find_runs`.
        gone = Path(tempfile.mkdtemp(prefix=".old-", dir=self.folder.parent))
        rename(self.folder, gone / self.name)  # in one step: no run is seen half deleted
        shutil.rmtree(gone, ignore_errors=True)

    def _with(self, options: TrainOptions) -> Run:
        # All other facts stay, also those that a newer version may have added.
        facts = read_json(self.folder / "run.json") | {"options": options.to_dict()}
        write_file(self.folder / "run.json", json.dumps(facts, indent=1).encode())
        return replace(self, options=options.to_dict())

    def _exit_status(self) -> int | None:
        """Return the exit status of its process, if this process started it and it has ended."""
        child = _children.get(str(self.folder))
        return None if child is None else child.poll()


if sys.platform == "win32":
    _DETACHED: dict[str, Any] = {
        # Without a console window, and out of reach of Ctrl-C in that of napari.
        "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW,
        "close_fds": True,
    }
else:
    # A session of its own: Ctrl-C in the terminal of napari, or closing it, does not end the training.
    _DETACHED: dict[str, Any] = {"start_new_session": True, "close_fds": True}
