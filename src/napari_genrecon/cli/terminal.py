"""Build flags from options, show progress, and print sentences: the parts that all commands share."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import typing
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, Field, fields
from typing import Any, TypeAlias

__all__ = [
    "FAILED", "IMAGES", "INTERRUPTED", "Subparsers", "add_command", "add_flags", "add_series", "beside_bar",
    "say", "warn", "warnings_as_sentences", "watch",
]  # fmt: skip

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

FAILED, INTERRUPTED = 1, 130  # exit statuses; wrong usage is 2, by argparse

IMAGES = "image files (TIFF, OME-Zarr, CZI, ND2, LIF and others)"


def add_command(
    commands: Subparsers, name: str, run: Callable[[argparse.Namespace], int], summary: str
) -> argparse.ArgumentParser:
    """Add a sub-command; `run` gets the parsed arguments and returns the exit status."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)
    return parser


def add_series(parser: argparse.ArgumentParser) -> None:
    """Add the flag that chooses an image of a file that holds several."""
    parser.add_argument(
        "--series",
        "--scene",
        metavar="N|NAME",
        help="which image of a file that holds several: its number, from 0, or its name (default: the first)",
    )


def add_flags(parser: argparse.ArgumentParser, options: type, *, without: tuple[str, ...] = ()) -> None:
    """Add one flag per field of an options dataclass."""
    # `include_extras` keeps the metadata of `Annotated`; annotations are texts until they are evaluated here.
    hints = typing.get_type_hints(options, include_extras=True)
    for option in fields(options):
        if option.name not in without:
            _add_flag(parser, option, hints[option.name])


def _add_flag(parser: argparse.ArgumentParser, option: Field[Any], hint: Any) -> None:
    """Add the flag of one field, with its default, its limits and its tooltip as help."""
    kind, metadata = typing.get_args(hint)[:2]
    assert option.default is not MISSING  # options are keyword-only and have defaults
    # "flag" says what only the command line needs, such as the form of a text.
    text = ": ".join(metadata[key] for key in ("tooltip", "flag") if key in metadata)
    if {"min", "max"} <= set(metadata) and option.default is not None:
        text += f" ({metadata['min']:g} to {metadata['max']:g}; default {option.default:g})"
    choices = metadata.get("choices")
    if isinstance(choices, tuple):
        text += f" ({', '.join(map(str, choices))}; default {option.default})"
    flag = f"--{option.name.replace('_', '-')}"
    # On by default: --x and --no-x, as it could not be switched off otherwise.
    if kind is bool:
        action = argparse.BooleanOptionalAction if option.default else "store_true"
        parser.add_argument(flag, action=action, default=option.default, help=text)
        return
    parser.add_argument(flag, type=_converter(kind, metadata), default=option.default, help=text)


def _converter(kind: Any, metadata: dict[str, Any]) -> Any:
    """Return the converter from text to an option's type; an option of several types stays text and is read later."""
    # An optional number is a number here: None is what stands if the flag is not given.
    kinds = (set(typing.get_args(kind)) or {kind}) - {type(None)}
    return float if kinds == {float} else int if int in kinds and "array" not in metadata else str


def say(text: str) -> None:
    """Print a result to the standard output."""
    print(text)


def warn(text: str) -> None:
    """Print a note for the user to the standard error."""
    print(f"genrecon: {text}", file=sys.stderr)


@contextmanager
def warnings_as_sentences() -> Iterator[None]:
    """Print this package's warnings as sentences, without the line of code that raised them."""
    from napari_genrecon.errors import GenReconWarning

    with warnings.catch_warnings():
        # Warnings of other packages keep their usual form.
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *more: Any, **others: Any) -> None:
            if issubclass(category, GenReconWarning):
                warn(str(message))
            else:
                shown(message, category, *more, **others)

        # Python shows a warning once per line of code: the second image of a batch would get none.
        warnings.simplefilter("always", GenReconWarning)
        warnings.showwarning = show
        yield


@contextmanager
def beside_bar() -> Iterator[None]:
    """Print without running into a progress bar, which is drawn again afterwards."""
    from tqdm import tqdm

    with tqdm.external_write_mode(file=sys.stderr):
        yield


def watch(steps: Any, title: str, tell: Callable[[Any], object] = lambda _: None) -> Any:
    """Run all steps with a progress bar and return their result; Ctrl-C or SIGTERM closes the steps, which clean up.

    `tell` is called with the progress of every step; what it prints must not run into the bar (`beside_bar`).
    """
    from tqdm import tqdm

    from napari_genrecon.engine.run import finish

    # `disable=None`: no bar where the output is no terminal, such as a log file of a cluster.
    with _ended_as_by_ctrl_c(), tqdm(desc=title, unit="step", leave=False, disable=None, file=sys.stderr) as bar:

        def show(progress: Any) -> None:
            # 0 means that the number of steps is not known: tqdm then counts without a bar.
            bar.total = progress.total or None
            bar.set_postfix_str(progress.note, refresh=False)
            # tqdm adds up; progress tells how much is done in all.
            bar.update(progress.done - bar.n)
            tell(progress)

        return finish(steps, show)


@contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """Take SIGTERM, by which clusters end jobs, as Ctrl-C: by itself it would leave files that are half written."""

    def end(number: int, frame: Any) -> None:
        # A training has set what Ctrl-C does; a shell may have set that it does nothing.
        on_ctrl_c = signal.getsignal(signal.SIGINT)
        (on_ctrl_c if callable(on_ctrl_c) else signal.default_int_handler)(number, frame)

    # Only the main thread may set it, and only what is at its default is replaced.
    mine = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if mine:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
