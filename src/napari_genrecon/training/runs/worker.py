"""The process that trains: ``python -m napari_genrecon.training.runs.worker FOLDER``.

`work_steps` is the whole of it, so that a run in the same process (a script, the command line) does exactly the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Generator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from napari_genrecon.errors import GenReconError, InferenceError, OptionError, OutputError
from napari_genrecon.io.publish import DISK_FULL, write_file
from napari_genrecon.models.registry import BUNDLED, import_model, models_folder, remove_model
from napari_genrecon.training import read_options
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.options import TrainProgress
from napari_genrecon.training.runs.status import (
    Status,
    heartbeat,
    lock,
    note_process,
    read_json,
    read_status,
    reserve,
    write_status,
)

__all__ = ["free_name", "main", "work_steps"]

_EVERY = 0.5  # seconds between two notes of the progress
_NICE = 5  # the window, and all else that is being done here, goes first


def work_steps(folder: Path) -> Generator[TrainProgress, None, str]:
    """Train what a run's folder says, from where it was saved last.

    Closing the generator saves, and keeps the best weights as a model.

    Parameters
    ----------
    folder : Path
        Of the run, as `runs.start_run` makes it.

    Yields
    ------
    TrainProgress

    Returns
    -------
    str
        Name of the model that is now in the models folder.

    Raises
    ------
    OptionError
        If another process works on the run.
    OutputError
        If the disk is full; what was saved last is still there.
    InferenceError
        If the training broke in another way.
    """
    with lock(folder):
        note_process(folder, os.getpid())
        _tidy(folder)
        reserve(folder)
        write_status(folder, dataclasses.replace(read_status(folder), state="running", error=""))
        try:
            with heartbeat(folder):
                yield from _noted(folder, _training(folder))
        except GeneratorExit:
            _end(folder, "stopped")
            raise
        except BaseException as error:
            sentence = _sentence(error)
            write_status(folder, dataclasses.replace(read_status(folder), state="failed", error=sentence))
            if isinstance(error, GenReconError) or not isinstance(error, Exception):
                raise
            raise (OutputError if isinstance(error, OSError) else InferenceError)(sentence) from error
        return _end(folder, "finished")


def _tidy(folder: Path) -> None:
    """Remove what a process that was killed had half written."""
    for pattern in (".*.tmp", ".*.part"):
        for left in folder.glob(pattern):
            left.unlink(missing_ok=True)


def _training(folder: Path) -> Generator[TrainProgress, None, Any]:
    from napari_genrecon.training.session import train_steps

    run = read_json(folder / "run.json")
    crops = Dataset.load(folder / "crops.npz")
    return train_steps(crops, read_options({"kind": run["kind"], **run["options"]}), folder, name=run["name"])


def _noted(folder: Path, steps: Generator[TrainProgress, None, Any]) -> Generator[TrainProgress, None, None]:
    """The same steps, with the last one on disk for whoever watches."""
    noted, last = 0.0, None
    with closing(steps):
        try:
            for progress in steps:
                last = progress
                if time.monotonic() - noted > _EVERY:
                    _note(folder, progress)
                    noted = time.monotonic()
                yield progress
        finally:
            if last is not None:
                _note(folder, last)


def _note(folder: Path, progress: TrainProgress) -> None:
    with suppress(OSError):  # only for those who watch; what must not be lost is saved elsewhere
        write_file(folder / "progress.json", json.dumps(dataclasses.asdict(progress)).encode(), sync=False)


# --- the end ---


def _end(folder: Path, state: str) -> str:
    """Keep the best weights as a model, and write how the run ended."""
    status = read_status(folder)
    try:
        model, sha256 = _keep(folder, status)
    except GenReconError as error:
        sentence = f"the model was trained but not put into the models folder: {error}"
        write_status(folder, dataclasses.replace(status, state="failed", error=sentence))
        raise OutputError(sentence) from error
    write_status(folder, dataclasses.replace(status, state=state, error="", model=model, sha256=sha256))
    return model


def _keep(folder: Path, status: Status) -> tuple[str, str]:
    """Name and checksum of the run's model in the models folder: in place of its own older one, never of another."""
    files = [folder / name for name in ("best.safetensors", "last.safetensors") if (folder / name).is_file()]
    if not files:  # stopped before the first weights were worth keeping
        return status.model, status.sha256
    if status.model and _sha256(_file(status.model)) == status.sha256:
        remove_model(status.model)
    while True:
        name = free_name(status.model or str(read_json(folder / "run.json")["name"]))
        try:
            import_model(files[0], name=name)
        except OutputError:
            if _file(name).exists():  # taken meanwhile
                continue
            raise
        return name, _sha256(_file(name))


def free_name(name: str, taken: tuple[str, ...] = ()) -> str:
    """Return the name, with a number if a model has it already, or if it is `taken`."""
    number, free = 1, name
    while free in BUNDLED or free in taken or _file(free).exists():
        number += 1
        free = f"{name}-{number}"
    return free


def _file(name: str) -> Path:
    return models_folder() / f"{name}.safetensors"


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _sentence(error: BaseException) -> str:
    """Return why it failed, in words a biologist can act on."""
    if isinstance(error, GenReconError):
        return str(error)
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return "the disk is full: what was saved last is still there; free some space, then resume"
    if isinstance(error, OSError):
        return f"a file of the run could not be written ({error.strerror or error}): what was saved last is still there"
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "the memory ran out: choose a smaller batch or size, or close other programs, then resume"
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted; what was saved last can be resumed"
    return f"it broke with {type(error).__name__}: {error}"


# --- the process ---


def main(arguments: list[str] | None = None) -> int:
    """Train until it is finished, until ``stop`` lies in the folder, or until the process is asked to end.

    Returns
    -------
    int
        0 if it finished or was stopped, 1 if it failed.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1:
        raise OptionError(f"one folder of a run is needed, got {len(given)} arguments")
    folder, asked = Path(given[0]), []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    _step_back()
    with closing(work_steps(folder)) as steps:
        for _ in steps:
            if asked or (folder / "stop").exists():
                break
    return 0


def _step_back() -> None:
    import psutil

    with suppress(psutil.Error, OSError):
        process = psutil.Process()
        process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else process.nice() + _NICE)


if __name__ == "__main__":
    sys.exit(main())
