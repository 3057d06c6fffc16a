"""Training runs: each a folder in the user's data directory, worked on by a process of its own.

The process outlives the window that started it. All that is known about a run is in its folder, so a napari that was
closed and opened again finds it; nothing in the folder can be executed. Importing this loads no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_genrecon.training.crops import Crops

__all__ = ["STATES", "Run", "find_run", "find_runs", "runs_folder", "start_run"]

STATES = ("starting", "running", "finished", "stopped", "failed")


def runs_folder() -> Path:
    """Where the runs are: in the user's data directory, or where the variable ``GENRECON_RUNS`` says."""
    raise NotImplementedError


def start_run(crops: Crops, options: dict[str, Any], *, name: str) -> Run:
    """Start training in a process of its own.

    Parameters
    ----------
    crops : Crops
        What to train on; copied into the run's folder.
    options : dict
        JSON values: fields of `generative.TrainOptions`.
    name : str
        Of the model; a number is appended if a run or a model has it already.

    Raises
    ------
    OptionError
        If the name or an option cannot work.
    OutputError
        If the folder cannot be written.
    """
    raise NotImplementedError


def find_runs() -> list[Run]:
    """All runs, newest first."""
    raise NotImplementedError


def find_run(name: str) -> Run:
    """The run of this name.

    Raises
    ------
    UnknownModelError
        If there is none; names the nearest.
    """
    raise NotImplementedError


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
        When it was started, in UTC.
    options : dict
        Fields of `generative.TrainOptions`.
    """

    folder: Path
    name: str
    kind: str
    created: str
    options: dict[str, Any]

    def state(self) -> str:
        """One of `STATES`: ``failed`` also if the process is gone without having said why."""
        raise NotImplementedError

    def progress(self) -> Any:
        """The last `TrainProgress`, or None before the first step."""
        raise NotImplementedError

    def log(self) -> dict[str, NDArray[Any]]:
        """Columns of the log by name: ``step``, ``seconds`` and the losses, each (N,) float64; empty before any."""
        raise NotImplementedError

    def samples(self) -> NDArray[Any] | None:
        """(N, C, Y, X) samples of a fixed latent in grey values, or None before the first."""
        raise NotImplementedError

    def crops(self) -> Crops:
        """What it is trained on."""
        raise NotImplementedError

    def model(self) -> str:
        """Name of the model it has made; empty before."""
        raise NotImplementedError

    def error(self) -> str:
        """Why it failed, in a sentence; empty if it did not."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ask the process to save and to end; it does so after the step it is at."""
        raise NotImplementedError

    def resume(self) -> None:
        """Go on exactly where it was saved last.

        Raises
        ------
        OptionError
            If it is running or finished.
        """
        raise NotImplementedError

    def remove(self) -> None:
        """Delete its folder, for good; a model it has made stays.

        Raises
        ------
        OptionError
            If it is running.
        """
        raise NotImplementedError
