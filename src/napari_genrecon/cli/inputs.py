"""Process the files that are given on the command line, each by itself."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Container
from pathlib import Path

from napari_genrecon.cli.terminal import say, warn
from napari_genrecon.errors import ExistsError, GenReconError

__all__ = ["add_folder_flags", "process_each", "sentence", "with_flags"]

# The name of an option in a message, perhaps with its value. Messages end with it, or go on behind a comma or the like,
# and not a space: a name such as "cells (model) 2.tif" stays as it is.
_OPTION = re.compile(r"(?<= )\(([a-z_]+)(=[\w.]+)?\)(?=$|[,:;])")


def add_folder_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what a folder is."""
    parser.add_argument("--stack", action="store_true", help="take a folder of planes as one stack, not as images")
    parser.add_argument("--recursive", action="store_true", help="take the images in subfolders of a folder, too")


def process_each(parsed: argparse.Namespace, process: Callable[[Path], str]) -> int:
    """Process all files of a command, report those that fail, and return how many failed."""
    failed = 0
    for path in parsed.inputs:
        try:
            text = process(path)
        except Exception as error:  # one bad file must not end a batch, nor show the user a traceback
            if parsed.debug:
                raise
            failed += 1
            warn(f"{path}: {sentence(error, path, options=vars(parsed))}")
        else:
            say(text)
    return failed


def sentence(error: Exception, path: Path = Path(), *, flags: str = "", options: Container[str] = ()) -> str:
    """Return the sentence of an error, for the command line.

    Parameters
    ----------
    error : Exception
        The error.
    path : Path
        The file that was read or written.
    flags : str
        Flags that help if a result exists already.
    options : container of str
        Names of the options that the command has flags for: one that a message names, as ``(held_out=0)``, is named as
        its flag, ``(--held-out 0)``.
    """
    from napari_genrecon.io.reader import file_sentence

    if isinstance(error, ExistsError) and flags:
        return f"{error} (or give {flags})"
    more = "" if isinstance(error, GenReconError | OSError) else " (--debug tells more)"
    return with_flags(file_sentence(error, path), options) + more


def with_flags(text: str, options: Container[str]) -> str:
    """Return a text with the options that it names as the flags that the command has for them; see `sentence`."""

    def named(found: re.Match[str]) -> str:
        name, value = found.groups(default="")
        return f"(--{name.replace('_', '-')}{value.replace('=', ' ')})" if name in options else found[0]

    return _OPTION.sub(named, text)
