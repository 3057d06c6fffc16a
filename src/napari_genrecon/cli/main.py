"""Run the ``genrecon`` command, whose sub-commands and flags come from TASKS and the tasks' options."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from napari_genrecon import __version__
from napari_genrecon.cli import advise, augment, classify, machine, pipeline, records, training
from napari_genrecon.cli.inputs import sentence
from napari_genrecon.cli.restore import add_task
from napari_genrecon.cli.terminal import FAILED, INTERRUPTED, add_command, warn, warnings_as_sentences
from napari_genrecon.errors import GenReconError
from napari_genrecon.tasks import TASKS

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Arguments without the program's name; those of the process if not given.

    Returns
    -------
    int
        0 if all went well, 1 if something failed, 130 if interrupted. Wrong usage exits with 2.
    """
    # What is wrong with a file is said in a sentence that names it; tifffile would print its own words before it.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    given = sys.argv[1:] if arguments is None else arguments
    parsed = _parser(given).parse_args(given)
    try:
        with warnings_as_sentences():
            code: int = parsed.run(parsed)
        return code
    except GenReconError as error:
        # With --debug, the traceback says where; without it, a user sees a sentence.
        if parsed.debug:
            raise
        # Only commands that know --overwrite may name it as a remedy.
        flags = "--overwrite" if hasattr(parsed, "overwrite") else ""
        warn(sentence(error, flags=flags, options=vars(parsed)))
        return FAILED
    # Long runs have closed their steps by now, and removed what was half written.
    except KeyboardInterrupt:
        warn("interrupted; no file was left half written (a .zarr.part folder can be continued with --resume)")
        return INTERRUPTED


def _parser(given: list[str]) -> argparse.ArgumentParser:
    """Return the parser. Only the given task gets its flags, as reading them imports the task."""
    parser = argparse.ArgumentParser(
        prog="genrecon", description="Restore microscopy images, and train models that make synthetic ones."
    )
    parser.add_argument("--version", action="version", version=f"napari-genrecon {__version__}")
    # Each command adds --debug itself: it is then accepted behind the command, where people put it.
    parser.set_defaults(debug=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for task in TASKS:
        add_task(commands, task, flags=task.name in given)
    pipeline.add_commands(commands)
    records.add_commands(commands)
    training.add_commands(commands, given)
    augment.add_commands(commands, given)
    advise.add_commands(commands)
    machine.add_commands(commands)
    classify.add_commands(commands, given)
    demo = add_command(commands, "demo", _demo, "Denoise the samples that ship with the package.")
    demo.add_argument("--output", type=Path, default=Path("genrecon-demo"), help="folder for the results")
    return parser


def _demo(parsed: argparse.Namespace) -> int:
    # Imports of tasks stand inside functions throughout: --help must not wait for what it does not need.
    from napari_genrecon.cli.demo import run

    run(parsed.output)
    return 0
