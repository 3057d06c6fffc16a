"""Read options from the text of a command line or of a file of steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_genrecon.errors import OptionError
from napari_genrecon.optics.objective import OPTICS_PREFIX, Optics
from napari_genrecon.options import is_number
from napari_genrecon.tasks import Task
from napari_genrecon.tasks.files import array_options

__all__ = ["options_from_text"]

# What to give instead of a file that does not exist, by kind of array.
_ADVICE = {
    "mask": ": give an image file that is anything but 0 in the pixels that are meant",
    "points": ": give a CSV file with the columns axis-0, axis-1 and so on, as napari saves points",
}


def options_from_text(
    task: Task, given: Mapping[str, Any], *, folder: Path | None = None, flag: str = ""
) -> tuple[Any, dict[str, Path]]:
    """Return the options of a task, and the files of those that are arrays.

    Parameters
    ----------
    task : Task
        The task.
    given : mapping
        Values by the name of the option. A mask is the path of an image; a point spread function, too, or a number or
        ``optics:...``; noise is a number or the path of a report.
    folder : Path, optional
        Folder that relative paths start from; by default the current one.
    flag : str
        What stands before the name of an option in messages, such as ``"--"``.

    Raises
    ------
    OptionError
        If a value cannot be read, or a file does not exist.
    """
    values, files = dict(given), {}
    # As text, whether it comes from a command line or as a number from a file of steps.
    if values.get("noise") is not None:
        values["noise"] = noise_from_text(str(values["noise"]), folder, flag)
    for name, kind in array_options(task).items():
        text = values.get(name)
        if text is None:
            continue
        # Whatever is neither optics nor a number is the path of a file.
        if kind == "psf" and str(text).startswith(OPTICS_PREFIX):
            values[name] = Optics.from_text(str(text))
        elif kind == "psf" and is_number(text):
            values[name] = float(text)
        # Calls from Python may bring an array, for which a record would have no path.
        elif not isinstance(text, str | Path):
            raise OptionError(f"{flag}{name}: give the path of a file, not {type(text).__name__} {np.shape(text)}")
        else:
            # Not read here: whoever runs the task reads it, and notes its path in the record.
            values[name], files[name] = None, (folder or Path()) / str(text)
            if not files[name].exists():
                raise OptionError(f"{flag}{name}: there is no file {text}{_ADVICE.get(kind, '')}")
    return task.options(**values), files


def noise_from_text(text: str, folder: Path | None, flag: str) -> Any:
    from napari_genrecon.noise import read_noise

    if is_number(text):
        return float(text)
    try:
        return read_noise((folder or Path()) / text)
    except OptionError as error:
        raise OptionError(
            f"{flag}noise takes a number or a file that 'genrecon noise --json' wrote: {error}"
        ) from error
