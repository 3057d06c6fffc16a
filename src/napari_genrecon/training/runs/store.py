"""Start, list and find training runs: each has a folder in the user's data directory and a process of its own.

The process outlives the window that started it. The folder holds all that is known about a run, so that a napari that
was closed and opened again finds it; nothing in the folder can be executed. Importing this loads no torch.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from napari_genrecon.errors import GenReconError, UnknownModelError
from napari_genrecon.io.publish import rename, write_file
from napari_genrecon.models.card import check_name
from napari_genrecon.training import find_recipe, read_options
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.options import TrainOptions
from napari_genrecon.training.runs.run import Run
from napari_genrecon.training.runs.status import Status, read_json, write_status, writing
from napari_genrecon.training.runs.worker import free_name

__all__ = ["Run", "create_run", "find_run", "find_runs", "runs_folder", "start_run"]

_FORMAT = "genrecon-run/1"


def runs_folder() -> Path:
    """Return the folder of all runs: the variable ``GENRECON_RUNS``, or one in the user's data directory."""
    # The tests set it, so that they touch no run of the user.
    chosen = os.environ.get("GENRECON_RUNS")
    if chosen:
        return Path(chosen)
    from platformdirs import user_data_path

    return user_data_path("napari-genrecon", appauthor=False) / "runs"


def start_run(crops: Dataset, options: dict[str, Any] | TrainOptions, *, name: str) -> Run:
    """Start training in a process of its own, which continues when this one ends.

    Parameters
    ----------
    crops : Dataset
        Crops to train on; copied into the run's folder.
    options : TrainOptions or dict of its fields
        Options of the training.
    name : str
        Name of the model; a number is appended if a run or a model has it already.

    Returns
    -------
    Run
        The run; `Run.name` is the name that was free.

    Raises
    ------
    OptionError, WeightsError
        If an option or the name is not allowed.
    OutputError
        If the folder cannot be written.
    """
    run = create_run(crops, options, name=name)
    run.launch()
    return run


def create_run(crops: Dataset, options: dict[str, Any] | TrainOptions, *, name: str) -> Run:
    """Create the folder of a run without starting its process; see `start_run`."""
    chosen = options if isinstance(options, TrainOptions) else read_options(options)
    check_name(name)
    find_recipe(chosen.recipe).check(crops)
    root = runs_folder()
    facts = {
        "format": _FORMAT,
        "kind": chosen.recipe,
        "created": datetime.now(UTC).isoformat(),
        "options": chosen.to_dict(),
    }
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
        # In the folder of the runs, so that giving it its name is one step on one disk.
        part = Path(tempfile.mkdtemp(prefix=".new-", dir=root))
        try:
            # All that may fill the disk happens before the folder has its name: no half run is ever listed.
            crops.save(part / "crops.npz")
            write_status(part, Status(state="starting"))
            folder = _named(part, name, facts)
        finally:
            # Nothing is there any more if it was renamed.
            shutil.rmtree(part, ignore_errors=True)
    run = _open(folder)
    assert run is not None
    return run


def _named(part: Path, name: str, facts: dict[str, Any]) -> Path:
    """Rename the complete folder to a name that no run and no model has; atomic, so that two starts cannot share it."""
    taken: tuple[str, ...] = ()
    while True:
        free = free_name(name, taken)
        # Names of models are looked up in their own folder, those of runs here: one may be free in one of them only.
        taken = (*taken, free)
        if (part.parent / free).exists():
            continue
        # Before the renaming: a folder without it is no run.
        write_file(part / "run.json", json.dumps({**facts, "name": free}, indent=1).encode())
        try:
            rename(part, part.parent / free)
        except OSError:
            if (part.parent / free).exists():  # another process took the name meanwhile
                continue
            raise
        return part.parent / free


def find_runs() -> list[Run]:
    """Return all runs, newest first."""
    root = runs_folder()
    folders = [path for path in root.iterdir() if not path.name.startswith(".")] if root.is_dir() else []
    found = [run for folder in folders if (run := _open(folder)) is not None]
    return sorted(found, key=lambda run: run.created, reverse=True)


def find_run(name: str) -> Run:
    """Return the run of this name.

    Raises
    ------
    UnknownModelError
        If there is none; the message names the nearest.
    """
    runs = {run.name: run for run in find_runs()}
    if name in runs:
        return runs[name]
    close = get_close_matches(name, runs, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UnknownModelError(f"no training run named {name!r}; {hint}Known: {', '.join(runs) or 'none'}")


def _open(folder: Path) -> Run | None:
    """Return the run in a folder; None if the folder holds no run."""
    found = read_json(folder / "run.json")
    try:
        # A folder that was copied or renamed by hand is no run: name and folder must be one.
        if found["format"] != _FORMAT or found["name"] != folder.name:
            return None
        options = read_options({"kind": found["kind"], **found["options"]})
        return Run(folder, check_name(found["name"]), options.recipe, str(found["created"]), options.to_dict())
    # Of another version, or damaged: the other runs must still be listed.
    except (KeyError, TypeError, GenReconError):
        return None
