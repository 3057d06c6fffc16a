"""Add and run the commands of the tasks; their flags come from the tasks' options."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from napari_genrecon.cli.inputs import add_folder_flags, process_each
from napari_genrecon.cli.terminal import FAILED, IMAGES, add_command, add_flags, add_series, say, warn, watch
from napari_genrecon.errors import OptionError
from napari_genrecon.tasks import Task, find_task

__all__ = ["add_task"]


def add_task(commands: Any, task: Task, *, flags: bool) -> None:
    """Add the command of a task; `flags` adds those of its options, which imports the task."""
    parser = add_command(commands, task.name, _run_task, f"{task.summary}.")
    parser.set_defaults(task=task.name)
    parser.add_argument("inputs", nargs="+", type=Path, metavar="IN", help=f"{IMAGES}, or folders of them")
    parser.add_argument(
        "-o",
        "--output",
        help="file (for one input), or folder for the results: one that exists, a name that ends in a slash, or one "
        "without an ending such as .tif; it is created if needed",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing results (never an input)")
    add_series(parser)
    add_folder_flags(parser)
    if task.makes == "image":
        _add_image_flags(parser)
    else:
        parser.set_defaults(pyramid=False, sidecar=True, resume=False, scheduler=None, workers=0)
    if flags:
        add_flags(parser, task.options)


def _add_image_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how images are written."""
    parser.add_argument(
        "--pyramid",
        action="store_true",
        help="put smaller copies into .tif results, for viewers (.zarr has them anyway)",
    )
    parser.add_argument("--sidecar", action="store_true", help="write the record beside the result, too, as JSON")
    parser.add_argument("--resume", action="store_true", help="continue .zarr results that were left unfinished")
    parser.add_argument("--scheduler", help="dask scheduler whose workers write a .zarr result, or 'local'")
    parser.add_argument("--workers", type=int, default=2, help="processes to start for --scheduler local (default 2)")


def _run_task(parsed: argparse.Namespace) -> int:
    from napari_genrecon.engine.cluster import connected
    from napari_genrecon.tasks.batch import make_folders, plan_batch

    task = find_task(parsed.task)
    values = {option.name: getattr(parsed, option.name) for option in fields(task.options)}
    values["noise"] = _noise_argument(values.get("noise"))
    arrays = _array_arguments(task, values)
    options = task.options(**values)
    batch = plan_batch(
        parsed.inputs,
        task.name,
        parsed.output,
        stack=parsed.stack,
        recursive=parsed.recursive,
        series=parsed.series,
    )
    for note in batch.notes:
        warn(note)
    make_folders(batch)
    targets = dict(batch.jobs)
    with connected(parsed.scheduler, parsed.workers) as client:
        failed = process_each(
            list(targets),
            lambda path: _process(task, path, targets[path], options, parsed, client, arrays),
            debug=parsed.debug,
            replaces=True,
        )
    if len(targets) > 1:
        say(f"{len(targets) - failed} of {len(targets)} images done" + (f", {failed} failed" if failed else ""))
    return FAILED if failed else 0


# What to give instead of a file that does not exist, by kind of array.
_ADVICE = {
    "psf": "",
    "mask": ": give an image file that is anything but 0 in the pixels that are meant",
    "points": ": give a CSV file with the columns axis-0, axis-1 and so on, as napari saves points",
}


def _array_arguments(task: Task, values: dict[str, Any]) -> dict[str, Path]:
    """Return the files of array options, and set these options to None; numbers and optics are parsed in place."""
    from napari_genrecon.optics.objective import OPTICS_PREFIX, Optics
    from napari_genrecon.tasks.files import array_options

    found = {}
    for name, kind in array_options(task).items():
        text = values[name]
        if text is None:
            continue
        if kind == "psf" and text.startswith(OPTICS_PREFIX):
            values[name] = Optics.from_text(text)
        elif kind == "psf" and _is_number(text):
            values[name] = float(text)
        else:
            values[name], found[name] = None, Path(text)
            if not found[name].exists():
                raise OptionError(f"--{name}: there is no file {text}{_ADVICE[kind]}")
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _noise_argument(text: str | None) -> Any:
    if text is None:
        return None
    from napari_genrecon.noise import read_noise

    if _is_number(text):
        return float(text)
    try:
        return read_noise(text)
    except OptionError as error:
        raise OptionError(f"--noise takes a number or a file that 'genrecon noise --json' wrote: {error}") from error


def _process(
    task: Task,
    path: Path,
    target: Path,
    options: Any,
    parsed: argparse.Namespace,
    client: Any,
    arrays: dict[str, Path],
) -> str:
    from napari_genrecon.io.record.check import choice_text
    from napari_genrecon.io.saving import Saving
    from napari_genrecon.tasks.files import file_steps

    saving = Saving(overwrite=parsed.overwrite, pyramid=parsed.pyramid, sidecar=parsed.sidecar)
    more = {"resume": parsed.resume, "client": client, "arrays": arrays, "series": parsed.series}
    steps = file_steps(task, path, target, options, saving=saving, **more)
    record = watch(steps, path.name)
    if choice_text(record):
        warn(f"{path}: model {choice_text(record)}")
    for sentence in record["warnings"]:
        warn(f"{path}: note: {sentence}")
    return str(target)
