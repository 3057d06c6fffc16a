"""Plan a batch: find the images and name the results. Nothing is written, and only headers are read.

**Where results go.** By default they are put beside their images, as ``NAME_TASK.ome.tif`` (``.ome.zarr`` for an
OME-Zarr, ``.csv`` for points). An output is a folder if it is one already, ends in a slash, or has no ending; it
is created if needed, and results keep the subfolders of a folder that was searched. Any other output is the name of one
file.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_genrecon.errors import OptionError, OutputError
from napari_genrecon.io.folders import Found, find_images
from napari_genrecon.io.formats import image_name, is_written_by_region, result_ending, written_format
from napari_genrecon.io.points import ENDING as POINTS
from napari_genrecon.io.record.check import find_record
from napari_genrecon.io.record.history import steps_of_run
from napari_genrecon.tasks import TASKS

__all__ = ["PATTERN", "Batch", "make_folders", "name_results", "plan_batch"]

NAME = "{name}"
PATTERN = "{name}_{task}"
"""Names of results, without their ending."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Images and the names of their results.

    Attributes
    ----------
    jobs : tuple of (Path, Path)
        Image and result; all results have different names, and none has that of an image.
    folders : tuple of Path
        Folders of the results, if an output folder was given; see `make_folders`.
    notes : tuple of str
        Notes for the user: which files were left out and why.
    """

    jobs: tuple[tuple[Path, Path], ...]
    folders: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def plan_batch(
    inputs: Iterable[Path],
    task: str,
    output: str | Path | None = None,
    *,
    stack: bool = False,
    recursive: bool = False,
    series: str | None = None,
    pattern: str = "",
) -> Batch:
    """Find the images and name their results.

    Results of earlier runs in a searched folder are left out: those of the same task, and those whose image is also
    found.

    Parameters
    ----------
    inputs : iterable of Path
        Images, and folders of images.
    task : str
        Name of the task.
    output : str or Path, optional
        A file for one result, or a folder; see the module's text. A slash at its end counts, so a `Path` loses it.
    stack : bool
        Take a folder as one image, a stack of planes.
    recursive : bool
        Also search subfolders.
    series : str, optional
        Which image of files that hold several; it becomes a part of the names.
    pattern : str
        Names of the results, with ``{name}`` where that of the image shall stand, and perhaps ``{task}``. An ending
        such as .ome.zarr chooses the format. By default ``{name}_{task}``.

    Raises
    ------
    ImageError
        If a folder cannot be read or holds no image.
    OptionError
        If two results would have the same name or one that of an image, if the output for several images is no folder,
        or if its name is that of neither a folder nor an image.
    """
    found, notes = find_images(inputs, stack=stack, recursive=recursive)
    # Results beside their images would be processed again by a second run.
    kept = _without_results(found, task)
    if not kept:
        results = "the image is a result" if len(found) == 1 else f"all {len(found)} images are results"
        raise OptionError(f"{results} of '{task}' already: name the files themselves to process them again")
    if len(kept) < len(found):
        count = len(found) - len(kept)
        notes.append(f"left out as results of earlier runs: {count} (name one itself to process it all the same)")
    _check_pattern(pattern, task)
    folder = None if output is None else _folder(output, _ending(task), several=len(kept) > 1)
    # The output is one file.
    if output is not None and folder is None:
        if pattern:
            raise OptionError(f"{output} names the result, and {pattern!r} does too: give one of the two")
        return Batch(((kept[0].path, Path(output)),), notes=tuple(notes))
    targets = name_results(kept, task, folder, series, pattern)
    # A dict keeps the order and drops repetitions.
    folders = () if folder is None else tuple(dict.fromkeys(target.parent for target in targets))
    return Batch(tuple(zip((item.path for item in kept), targets, strict=True)), folders, tuple(notes))


def make_folders(batch: Batch) -> None:
    """Make the folders of the results.

    Raises
    ------
    OutputError
        If one cannot be made.
    """
    for folder in batch.folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"the folder {folder} cannot be made ({error.strerror}): choose a folder you may write to"
            ) from error


def name_results(
    found: Sequence[Found], task: str, folder: Path | None, series: str | None = None, pattern: str = ""
) -> list[Path]:
    """Name the result of every image; reads no file.

    Names that differ only in upper and lower case or in the encoding of accents count as equal: on some systems they
    are the same file.

    Parameters
    ----------
    found : sequence of Found
        The images, none twice.
    task : str
        Name of the task.
    folder : Path or None
        Folder of the results; None puts each beside its image.
    series : str, optional
        Which image of files that hold several.
    pattern : str
        See `plan_batch`.

    Raises
    ------
    OptionError
        If two results would have the same name, or one that of an image.
    """
    # All inputs and not only those before: a result must not replace an image that is still to be read.
    images = {_key(item.path): item.path for item in found}
    taken: dict[str, Path] = {}
    targets = []
    for item in found:
        target = _target(item, task, folder, series, pattern or PATTERN)
        key = _key(target)
        if key in images:
            raise OptionError(
                f"the result of {item.path} would be {target} and replace the input {images[key]}: choose another "
                "folder for the results (-o)"
            )
        if key in taken:
            raise OptionError(
                f"{taken[key]} and {item.path} would both become {target}: rename one of them, process them into "
                "different folders (-o), or give the folder above them with --recursive, which keeps its subfolders"
            )
        taken[key] = item.path
        targets.append(target)
    return targets


def _target(item: Found, task: str, folder: Path | None, series: str | None, pattern: str) -> Path:
    path = item.path if item.path.name not in ("", "..") else item.path.resolve()  # "." has no name
    if not path.name:
        raise OptionError(f"{path} is the root of the file system, and a result cannot be named after it: name a file")
    # Names of series may hold slashes and other characters that file names cannot.
    chosen = "" if series is None else "_" + re.sub(r"[^\w.-]+", "-", series)
    # {name} last, as the name of an image may hold the text {task}.
    name = _with_ending(pattern, task, path).replace("{task}", task).replace(NAME, image_name(path) + chosen)
    return path.with_name(name) if folder is None else folder / (item.within or Path()) / name


def _with_ending(pattern: str, task: str, path: Path) -> str:
    """Return a pattern that ends in the ending of a format."""
    ending = _ending(task)
    if ending:
        # Points have one format: another ending is a part of the name.
        return pattern if pattern.lower().endswith(ending) else pattern + ending
    return pattern if _has_ending(pattern) else pattern + result_ending(path)


def _has_ending(pattern: str) -> bool:
    """Return whether a pattern ends in the ending of a format, of images that are written or others."""
    # Not Path.suffix, which takes what follows any dot for an ending.
    return image_name(Path(pattern)) != pattern


def _check_pattern(pattern: str, task: str) -> None:
    if not pattern:
        return
    others = [part for part in re.findall(r"\{.*?\}", pattern) if part not in (NAME, "{task}")]
    if NAME not in pattern or others or set(pattern) & {"/", "\\"}:
        raise OptionError(
            f"{pattern!r} cannot name the results: it needs {NAME}, where the name of the image shall stand, may hold "
            f"{{task}}, and is no path (-o chooses the folder), such as {PATTERN} or {NAME}_clean.ome.zarr"
        )
    # Refuses formats that are read only.
    if _has_ending(pattern) and not _ending(task):
        written_format(Path(pattern))


def _key(path: Path) -> str:
    """Return a form of the name that is equal for all names of one file, on any system."""
    # Case folding may give letters that can be decomposed again, hence twice (Unicode, section 3.13, D145).
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", str(path.resolve())).casefold())


def _ending(task: str) -> str:
    """Return the ending of the results of a task that makes no images; empty for images."""
    known = {each.name: each for each in TASKS}  # a name of several steps is none of a task
    return POINTS if task in known and known[task].makes == "points" else ""


def _folder(output: str | Path, ending: str, *, several: bool) -> Path | None:
    """Return the folder that an output is, or None if it is the name of one file."""
    path = Path(output)
    # Windows takes both slashes.
    slash = str(output).endswith(("/", os.sep))
    # An OME-Zarr is a folder on the disk, and one file to the user.
    named = is_written_by_region(path) or (not slash and not path.is_dir() and path.suffix != "")
    if named and several:
        raise OptionError(
            f"several inputs need a folder for their results, and {output} is the name of a file: end it in a slash if "
            "it is a folder, or give another name"
        )
    if named and not (ending and path.suffix.lower() == ending):
        try:
            if ending:
                raise OptionError(f"{path.name} names no format of points that is written: end it in {ending}")
            written_format(path)
        except OptionError as error:
            # Whoever gave a name without a known ending may have meant a folder.
            raise OptionError(f"{error}, or in a slash for a folder") from error
    if not named and path.exists() and not path.is_dir():
        raise OptionError(f"{path} is a file, and a folder is needed for the results: choose another name")
    return None if named else path


def _without_results(found: Sequence[Found], task: str) -> list[Found]:
    """Leave out files in searched folders that are results of this task or of the other images."""
    images = {_key(item.path) for item in found}
    names = {(item.path.parent, image_name(item.path)) for item in found}
    # `within` is None for a file that the user named: it is taken whatever made it.
    return [item for item in found if item.within is None or not _is_result(item.path, task, images, names)]


def _is_result(path: Path, task: str, images: set[str], names: set[tuple[Path, str]]) -> bool:
    """Return whether a file's record says that the same task made it, or any task from one of these images."""
    record = find_record(path)
    if record is None:
        return False
    ending = f"_{record.get('task')}"
    # The image before the first step, if several were run in a row.
    origin = str((steps_of_run(record)[0].get("input") or {}).get("path", ""))
    name = image_name(path)
    # The path in the record is out of date if the result was moved together with its image: their names still tell.
    moved = name.endswith(ending) and (path.parent, name.removesuffix(ending)) in names
    return record.get("task") == task or moved or (origin != "" and _key(Path(origin)) in images)
