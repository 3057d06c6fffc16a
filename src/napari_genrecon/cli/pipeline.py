"""Add the command that runs several tasks in a row, and the one that reads such steps from a result."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from napari_genrecon.cli.restore import add_file_flags, run_batch
from napari_genrecon.cli.terminal import Subparsers, add_command, say

if TYPE_CHECKING:
    from napari_genrecon.tasks.pipeline import Pipeline

__all__ = ["add_commands"]


def add_commands(commands: Subparsers) -> None:
    """Add ``run`` and ``steps``."""
    run = add_command(commands, "run", _run, "Run several tasks in a row, or those that made a result, on images.")
    run.add_argument(
        "steps", type=Path, metavar="STEPS", help="a JSON file of steps, or a result whose steps are to be run again"
    )
    add_file_flags(run)
    run.add_argument("--axes", help="what the dimensions mean, such as TCYX")
    run.add_argument("--keep-steps", action="store_true", help="write the results of all steps, not only of the last")
    steps = add_command(commands, "steps", _steps, "Write the steps that made a result as JSON, for 'genrecon run'.")
    steps.add_argument("result", type=Path, metavar="FILE", help="a result of this program")
    steps.add_argument("output", type=Path, metavar="JSON", help="the file to write")
    steps.add_argument("--overwrite", action="store_true", help="replace an existing file")


def _run(parsed: argparse.Namespace) -> int:
    from napari_genrecon.tasks.batch import pipeline_work

    steps = _read(parsed.steps)
    # A name for the results: that of the file of steps, or that of the steps of another result.
    name = parsed.steps.stem if parsed.steps.suffix == ".json" else steps.name
    return run_batch(parsed, pipeline_work(steps, name, axes=parsed.axes, keep=parsed.keep_steps))


def _steps(parsed: argparse.Namespace) -> int:
    found = _read(parsed.result)
    say(f"{found.save(parsed.output, overwrite=parsed.overwrite)}: {found}")
    return 0


def _read(path: Path) -> Pipeline:
    from napari_genrecon.io.reader import open_image
    from napari_genrecon.io.record.check import record_of
    from napari_genrecon.tasks.pipeline import read_pipeline, steps_of

    return read_pipeline(path) if path.suffix == ".json" else steps_of(record_of(open_image(path)))
