"""Name the files that results are written to, one for each layer, before anything is computed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from napari_genrecon.errors import OptionError
from napari_genrecon.io.formats import is_written_by_region, written_endings
from napari_genrecon.io.points import ENDING as POINTS
from napari_genrecon.io.publish import check_target
from napari_genrecon.tasks import find_task

__all__ = ["NAME", "plan_targets"]

NAME = "{name}"
"""Placeholder for the name of the layer in the name of a file."""


def plan_targets(given: Path | None, names: Sequence[str], task: str) -> list[Path | None]:
    """Name the result of every layer.

    Parameters
    ----------
    given : Path, optional
        A file; a file with ``{name}`` in its name; or a folder that exists, in which results are named as on the
        command line. None keeps the results in memory.
    names : sequence of str
        Names of the layers.
    task : str
        Name of the task.

    Returns
    -------
    list of Path or None
        One for each layer.

    Raises
    ------
    OptionError
        If several results would have the same name.
    OutputError
        If a file of this name exists.
    """
    if given is None:
        return [None] * len(names)
    ending = POINTS if find_task(task).makes == "points" else written_endings(folder=False)[0]
    # A Zarr store is a folder as well, and as a target it is one result.
    if given.is_dir() and not is_written_by_region(given):
        given = given / f"{NAME}_{task}{ending}"
    if len(names) > 1 and NAME not in given.name:
        raise OptionError(
            f"{len(names)} images need a file each, and 'write to' names one, {given.name}: put {NAME} where the names "
            f"of the images shall stand, such as {NAME}_{task}{ending}, or name a folder that exists"
        )
    targets = [given.with_name(given.name.replace(NAME, _file_name(name))) for name in names]
    taken: dict[str, str] = {}
    for name, target in zip(names, targets, strict=True):
        # Windows and macOS take names for one file that differ in case, or in how their accents are encoded.
        other = taken.setdefault(unicodedata.normalize("NFD", target.name).casefold(), name)
        if other != name:
            raise OptionError(f"'{other}' and '{name}' would both be written to {target.name}: rename one of them")
        check_target(target, folder=is_written_by_region(target))
    return list(targets)


def _file_name(name: str) -> str:
    """Return the name of a layer without characters that some system does not allow in file names."""
    # Windows drops dots and spaces at the end of a name, and a dot in front hides a file.
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]+', "_", name).strip(". ") or "image"
