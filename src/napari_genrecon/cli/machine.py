"""Add the commands about this machine: open napari, and say where can be computed."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from napari_genrecon.cli.terminal import Subparsers, add_command, say
from napari_genrecon.errors import MissingPackageError

__all__ = ["add_commands"]


def add_commands(commands: Subparsers) -> None:
    """Add ``window`` and ``devices``."""
    window = add_command(
        commands, "window", _window, "Open napari. On Windows, use this: PyTorch must be loaded before the window."
    )
    window.add_argument("files", nargs="*", metavar="FILE", help="images to open")
    add_command(commands, "devices", _devices, "Say where can be computed, and why a graphics card is not used.")


def _window(parsed: argparse.Namespace) -> int:
    """Load torch, then napari: on Windows, torch cannot find its libraries once those of Qt are loaded."""
    from napari_genrecon.models import load_torch

    load_torch()
    try:
        napari = import_module("napari.__main__")
    except ImportError as error:
        raise MissingPackageError(f"the window needs napari ({error}): pip install 'napari-genrecon[all]'") from error
    # napari reads its arguments from here, and takes no others.
    sys.argv = ["napari", *parsed.files]
    napari.main()
    return 0


def _devices(parsed: argparse.Namespace) -> int:
    from napari_genrecon.models import describe_devices, resolve_device

    reports, hints = describe_devices()
    best = resolve_device("auto")
    for report in reports:
        free = f", {report.free / 1e9:.1f} GB of memory free" if report.free else ""
        state = f"not used: {report.problem}" if report.problem else "works"
        auto = "; device 'auto' takes it" if report.name == best else ""
        formats = "" if report.problem else "; float32 and bfloat16" if report.bfloat16 else "; float32"
        say(f"{report.name}: {report.title}{free}; {state}{formats}{auto}")
    for hint in hints:
        say(f"note: {hint}")
    return 0
