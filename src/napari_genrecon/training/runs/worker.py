"""The process that trains: ``python -m napari_genrecon.training.runs.worker FOLDER``.

It only drives `work_steps`, so that a run in the same process (a script, the command line) does exactly the same.
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

from napari_genrecon.errors import GenReconError, InferenceError, OptionError, OutOfMemoryError, OutputError
from napari_genrecon.io.publish import DISK_FULL, remove, write_file
from napari_genrecon.models import device_note
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

_EVERY = 0.5  # seconds between two writings of the progress, which a window polls
_NICE = 5  # added to the niceness of the process: the window and other programs have priority


def work_steps(folder: Path) -> Generator[TrainProgress, None, str]:
    """Train a run from its last checkpoint.

    Closing the generator saves, and puts the best weights into the models folder.

    Parameters
    ----------
    folder : Path
        Folder of the run, as `create_run` makes it.

    Yields
    ------
    TrainProgress

    Returns
    -------
    str
        Name of the model in the models folder.

    Raises
    ------
    OptionError
        If another process works on the run.
    OutputError
        If the disk is full; what was saved last is still there.
    InferenceError
        If the training fails for another reason.
    """
    with lock(folder):
        # Inside the lock: only the process that has it may write in the folder.
        note_process(folder, os.getpid())
        _remove_leftovers(folder)
        reserve(folder)
        write_status(folder, dataclasses.replace(read_status(folder), state="running", error=""))
        try:
            # Before torch is loaded, which takes long: another computer may look meanwhile.
            with heartbeat(folder):
                yield from _with_progress_file(folder, _training(folder))
        # The generator was closed: a stop, which is no failure. It must be raised on, and may yield nothing more.
        except GeneratorExit:
            _end(folder, "stopped")
            raise
        # Also Ctrl-C and `SystemExit`: without a last status the run would look alive, or killed for no reason.
        except BaseException as error:
            sentence = _sentence(error)
            write_status(folder, dataclasses.replace(read_status(folder), state="failed", error=sentence))
            # Errors with a sentence go on as they are, and so does what is no error: a Ctrl-C must stay one.
            if isinstance(error, GenReconError) or not isinstance(error, Exception):
                raise
            raise (OutputError if isinstance(error, OSError) else InferenceError)(sentence) from error
        return _end(folder, "finished")


def _remove_leftovers(folder: Path) -> None:
    """Remove files that a killed process left half written."""
    for pattern in (".*.tmp", ".*.part"):
        for left in folder.glob(pattern):
            remove(left)


def _training(folder: Path) -> Generator[TrainProgress, None, Any]:
    # Here and not above: this module is imported by the window, which must not load torch for it.
    from napari_genrecon.training.session import train_steps

    run = read_json(folder / "run.json")
    options = read_options({"kind": run["kind"], **run["options"]})
    write_status(folder, dataclasses.replace(read_status(folder), device="; ".join(device_note(options.device))))
    return train_steps(Dataset.load(folder / "crops.npz"), options, folder, name=run["name"])


def _with_progress_file(
    folder: Path, steps: Generator[TrainProgress, None, Any]
) -> Generator[TrainProgress, None, None]:
    """Yield the steps, and write the last progress to disk for those who watch the run."""
    written, last = 0.0, None
    with closing(steps):
        try:
            for progress in steps:
                # Kept, since the last step of a training must be seen although it comes soon after another.
                last = progress
                if time.monotonic() - written > _EVERY:
                    _write_progress(folder, progress)
                    written = time.monotonic()
                yield progress
        finally:
            if last is not None:
                _write_progress(folder, last)


def _write_progress(folder: Path, progress: TrainProgress) -> None:
    with suppress(OSError):  # only shown; a training need not stop because of it
        write_file(folder / "progress.json", json.dumps(dataclasses.asdict(progress)).encode(), sync=False)


# --- the end ---


def _end(folder: Path, state: str) -> str:
    """Put the best weights into the models folder, and write how the run ended."""
    status = read_status(folder)
    try:
        model, sha256 = _publish_model(folder, status)
    except GenReconError as error:
        sentence = f"the model was trained but not put into the models folder: {error}"
        write_status(folder, dataclasses.replace(status, state="failed", error=sentence))
        raise OutputError(sentence) from error
    write_status(folder, dataclasses.replace(status, state=state, error="", model=model, sha256=sha256))
    return model


def _publish_model(folder: Path, status: Status) -> tuple[str, str]:
    """Copy the model into the models folder, over its own older one only, and return its name and checksum."""
    # The best weights, or the last where no score was made.
    files = [folder / name for name in ("best.safetensors", "last.safetensors") if (folder / name).is_file()]
    if not files:  # stopped before the first weights were saved
        return status.model, status.sha256
    # By its checksum: a model of this name that the user has put there since is not ours to remove.
    if status.model and _sha256(_file(status.model)) == status.sha256:
        remove_model(status.model)
    while True:
        name = free_name(status.model or str(read_json(folder / "run.json")["name"]))
        try:
            import_model(files[0], name=name)
        # The models folder refuses to overwrite: a free name may be taken before the file is there.
        except OutputError:
            if _file(name).exists():  # taken meanwhile
                continue
            raise
        return name, _sha256(_file(name))


def free_name(name: str, taken: tuple[str, ...] = ()) -> str:
    """Return the name, with a number appended if a model has it already or if it is `taken`."""
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
    """Return the reason of a failure, in words that a biologist can act on."""
    if isinstance(error, OutOfMemoryError):
        return f"{error}, or take a smaller batch or size"
    if isinstance(error, GenReconError):
        return str(error)
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return "the disk is full: what was saved last is still there; free some space, then resume"
    if isinstance(error, OSError):
        return f"a file of the run could not be written ({error.strerror or error}): what was saved last is still there"
    if isinstance(error, MemoryError):
        return "the memory ran out: choose a smaller batch or size, or close other programs, then resume"
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted; what was saved last can be resumed"
    return f"the training failed with {type(error).__name__}: {error}"


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
    # A request like the file ``stop``: the step is finished and saved, where the default would end the process at once.
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    _lower_priority()
    with closing(work_steps(folder)) as steps:
        for _ in steps:
            if asked or (folder / "stop").exists():
                break
    return 0


def _lower_priority() -> None:
    import psutil

    # Some systems refuse to change priorities; the training goes on with the usual one.
    with suppress(psutil.Error, OSError):
        process = psutil.Process()
        process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else process.nice() + _NICE)


if __name__ == "__main__":
    sys.exit(main())
