"""Add and run the commands of the tasks; their flags come from the tasks' options."""

from __future__ import annotations

import argparse
from collections.abc import Container
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_genrecon.cli.inputs import add_folder_flags, sentence, with_flags
from napari_genrecon.cli.terminal import (
    FAILED,
    IMAGES,
    Subparsers,
    add_command,
    add_flags,
    add_series,
    beside_bar,
    say,
    warn,
    watch,
)
from napari_genrecon.tasks import Task, find_task

if TYPE_CHECKING:
    from napari_genrecon.tasks.batch import BatchProgress, Work

__all__ = ["add_file_flags", "add_task", "run_batch"]


def add_task(commands: Subparsers, task: Task, *, flags: bool) -> None:
    """Add the command of a task; `flags` adds those of its options, which imports the task."""
    parser = add_command(commands, task.name, _run_task, f"{task.summary}.")
    # All tasks share one function, which reads from here which one was given.
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
    parser.add_argument(
        "--name",
        default="",
        metavar="PATTERN",
        help="names of the results, with {name} where that of the image shall stand, such as '{name}_clean.ome.zarr' "
        "(default: {name}_{task})",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing results (never an input)")
    add_series(parser)
    add_folder_flags(parser)
    if images:
        _add_image_flags(parser)
    else:
        # Tables of points cannot be continued or written by workers. Their record always lies beside them.
        parser.set_defaults(pyramid=False, sidecar=True, resume=None, scheduler=None, workers=0)


def _add_image_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how images are written."""
    parser.add_argument(
        "--pyramid",
        action="store_true",
        help="put smaller copies into .tif results, for viewers (.zarr has them anyway)",
    )
    parser.add_argument("--sidecar", action="store_true", help="write the record beside the result, too, as JSON")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with an earlier run: skip results that are done, continue .zarr results that were left unfinished",
    )
    parser.add_argument("--scheduler", help="dask scheduler whose workers write a .zarr result, or 'local'")
    parser.add_argument("--workers", type=int, default=2, help="processes to start for --scheduler local (default 2)")


def _run_task(parsed: argparse.Namespace) -> int:
    from napari_genrecon.tasks.batch import task_work
    from napari_genrecon.tasks.from_text import options_from_text

    task = find_task(parsed.task)
    values = {option.name: getattr(parsed, option.name) for option in fields(task.options)}
    # Masks, PSFs and noise arrive as text: a path, a number or a description.
    return run_batch(parsed, task_work(task, *options_from_text(task, values, flag="--")))


def run_batch(parsed: argparse.Namespace, work: Work) -> int:
    """Process the images of the command line, each into a file of its own.

    Parameters
    ----------
    parsed : argparse.Namespace
        Arguments from the flags of `add_file_flags`.
    work : Work
        What is done to every image.
    """
    from napari_genrecon.io.saving import Saving
    from napari_genrecon.tasks.batch import batch_steps, make_folders, plan_batch

    places = {"stack": parsed.stack, "recursive": parsed.recursive, "series": parsed.series, "pattern": parsed.name}
    batch = plan_batch(parsed.inputs, work.name, parsed.output, **places)
    for note in batch.notes:
        warn(note)
    # After the plan was accepted: a refused batch leaves no empty folders.
    make_folders(batch)
    steps = batch_steps(
        batch,
        work,
        saving=Saving(overwrite=parsed.overwrite, pyramid=parsed.pyramid, sidecar=parsed.sidecar),
        resume=parsed.resume,
        scheduler=parsed.scheduler,
        workers=parsed.workers,
        series=parsed.series,
        # With --debug, the first error ends the batch with its traceback.
        strict=parsed.debug,
    )
    # A result that --resume does not take is not taken by giving it again.
    flags = "--resume or --overwrite" if parsed.resume is False else "--overwrite"
    rows = watch(steps, work.name, partial(_tell, flags=flags, options=vars(parsed)))
    # Each failure was reported when it happened; here they only count for the exit status.
    failed = sum(row.error is not None for row in rows)
    if len(rows) > 1:
        say(f"{len(rows) - failed} of {len(rows)} images done" + (f", {failed} failed" if failed else ""))
    return FAILED if failed else 0


def _tell(progress: BatchProgress, flags: str, options: Container[str]) -> None:
    """Print what is to be known of an image that has ended, and the name of its result."""
    row = progress.row
    # A row is reported at every step; only its end is printed.
    if not row.ended:
        return
    with beside_bar():
        if row.error is not None:
            warn(f"{row.image}: {sentence(row.error, row.image, flags=flags, options=options)}")
            return
        for note in row.notes:
            warn(f"{row.image}: {with_flags(note, options)}")
        say(f"{row.result}" + (" (done before)" if row.state == "done before" else ""))
