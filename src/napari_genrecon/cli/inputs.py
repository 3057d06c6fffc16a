"""Process the files that are given on the command line, each by itself."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from napari_genrecon.cli.terminal import say, warn
from napari_genrecon.errors import ExistsError, GenReconError

__all__ = ["add_folder_flags", "process_each", "sentence"]


def add_folder_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what a folder is."""
    parser.add_argument("--stack", action="store_true", help="take a folder of planes as one stack, not as images")
    parser.add_argument("--recursive", action="store_true", help="take the images in subfolders of a folder, too")


def process_each(paths: list[Path], process: Callable[[Path], str], *, debug: bool) -> int:
    """Process all files, report those that fail, and return how many failed."""
    failed = 0
    for path in paths:
        try:
            say(process(path))
        except Exception as error:  # one bad file must not end a batch, nor show the user a traceback
            if debug:
                raise
            failed += 1
            warn(f"{path}: {sentence(error, path)}")
    return failed


def sentence(error: Exception, path: Path = Path(), *, flags: str = "") -> str:
    """Return the sentence of an error, with the flags that help if a result exists already."""
    from napari_genrecon.io.reader import file_sentence

    if isinstance(error, ExistsError) and flags:
        return f"{error} (or give {flags})"
    more = "" if isinstance(error, GenReconError | OSError) else " (--debug tells more)"
    return file_sentence(error, path) + more
