"""Add and run the commands of the tasks; their flags come from the tasks' options."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Generator
from dataclasses import fields
from pathlib import Path
from typing import Any

from napari_genrecon.cli.inputs import add_folder_flags, process_each
from napari_genrecon.cli.terminal import (
    FAILED,
    IMAGES,
    Subparsers,
    add_command,
    add_flags,
    add_series,
    say,
    warn,
    watch,
)
from napari_genrecon.engine.run import Progress
from napari_genrecon.tasks import Task, find_task

__all__ = ["add_file_flags", "add_task", "run_batch"]


def add_task(commands: Subparsers, task: Task, *, flags: bool) -> None:
    """Add the command of a task; `flags` adds those of its options, which imports the task."""
    parser = add_command(commands, task.name, _run_task, f"{task.summary}.")
    parser.set_defaults(task=task.name)
    add_file_flags(parser, images=task.makes == "image")
    if flags:
        add_flags(parser, task.options)


def add_file_flags(parser: argparse.ArgumentParser, *, images: bool = True) -> None:
    """Add the images, and the flags that say where and how their results, perhaps images, are written."""
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
    if images:
        _add_image_flags(parser)
    else:
        parser.set_defaults(pyramid=False, sidecar=True, resume=False, scheduler=None, workers=0)


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
    from napari_genrecon.tasks.files import file_steps
    from napari_genrecon.tasks.from_text import options_from_text

    task = find_task(parsed.task)
    values = {option.name: getattr(parsed, option.name) for option in fields(task.options)}
    options, arrays = options_from_text(task, values, flag="--")

    def process(path: Path, target: Path, more: dict[str, Any]) -> Generator[Progress, None, dict[str, Any]]:
        return file_steps(task, path, target, options, arrays=arrays, **more)

    return run_batch(parsed, task.name, process)


def run_batch(
    parsed: argparse.Namespace,
    name: str,
    process: Callable[[Path, Path, dict[str, Any]], Generator[Progress, None, dict[str, Any]]],
) -> int:
    """Process the images of the command line, each into a file of its own.

    Parameters
    ----------
    parsed : argparse.Namespace
        Arguments from the flags of `add_file_flags`.
    name : str
        Name of the task, by which the results are named.
    process : callable
        ``process(image, result, keywords)``, which are those of `file_steps`, returns steps that return the record.
    """
    from napari_genrecon.engine.cluster import connected
    from napari_genrecon.io.saving import Saving
    from napari_genrecon.tasks.batch import make_folders, plan_batch

    places = {"stack": parsed.stack, "recursive": parsed.recursive, "series": parsed.series}
    batch = plan_batch(parsed.inputs, name, parsed.output, **places)
    for note in batch.notes:
        warn(note)
    make_folders(batch)
    targets = dict(batch.jobs)
    saving = Saving(overwrite=parsed.overwrite, pyramid=parsed.pyramid, sidecar=parsed.sidecar)
    with connected(parsed.scheduler, parsed.workers) as client:
        more = {"saving": saving, "resume": parsed.resume, "client": client, "series": parsed.series}
        failed = process_each(
            list(targets),
            lambda path: _told(path, targets[path], process(path, targets[path], more)),
            debug=parsed.debug,
            replaces=True,
        )
    if len(targets) > 1:
        say(f"{len(targets) - failed} of {len(targets)} images done" + (f", {failed} failed" if failed else ""))
    return FAILED if failed else 0


def _told(path: Path, target: Path, steps: Generator[Progress, None, dict[str, Any]]) -> str:
    """Process a file, print what is to be known of the result, and return its name."""
    from napari_genrecon.io.record.check import choice_text
    from napari_genrecon.io.record.frames import frames_text
    from napari_genrecon.io.record.history import steps_of_run

    for record in steps_of_run(watch(steps, path.name)):
        if choice_text(record):
            warn(f"{path}: model {choice_text(record)}")
        if frames_text(record):
            warn(f"{path}: {frames_text(record)}")
        for sentence in record["warnings"]:
            warn(f"{path}: note: {sentence}")
    return str(target)
