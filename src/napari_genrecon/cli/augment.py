"""Add and run the command ``augment``."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from napari_genrecon.cli.inputs import add_folder_flags
from napari_genrecon.cli.terminal import IMAGES, Subparsers, add_command, add_flags, say, warn, watch

__all__ = ["add_commands"]


def add_commands(commands: Subparsers, given: list[str]) -> None:
    """Add the command; its flags only if it is given, as reading them takes time."""
    parser = add_command(
        commands, "augment", _augment, "Make new training images from old ones, with their labels and points."
    )
    parser.add_argument("inputs", nargs="+", type=Path, metavar="IMAGE", help=f"{IMAGES}, or folders of them")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="a new folder for the result"
    )
    parser.add_argument(
        "--labels", nargs="+", type=Path, default=[], metavar="FILE",
        help="labels images, one for each image in order, or the folder that holds them",
    )  # fmt: skip
    parser.add_argument(
        "--points", nargs="+", type=Path, default=[], metavar="CSV",
        help="points in pixels as CSV, one file for each image in order, or the folder that holds them",
    )  # fmt: skip
    parser.add_argument(
        "--validation", type=float, default=0.2, metavar="SHARE",
        help="share of the images that is set aside, not augmented (0 to 0.5; default 0.2)",
    )  # fmt: skip
    add_folder_flags(parser)
    if "augment" in given:
        from napari_genrecon.tasks.augment import AugmentOptions

        parser.add_argument("-n", "--n", type=int, default=AugmentOptions().n, help="new images from each (default 8)")
        add_flags(parser, AugmentOptions, without=("n",))


def _augment(parsed: argparse.Namespace) -> int:
    from napari_genrecon.tasks.augment import AugmentOptions
    from napari_genrecon.tasks.augment.folder import folder_steps, summary
    from napari_genrecon.tasks.augment.inputs import open_sources

    options = AugmentOptions(**{option.name: getattr(parsed, option.name) for option in fields(AugmentOptions)})
    sources, notes = open_sources(
        parsed.inputs, parsed.labels, parsed.points, axes=parsed.axes, stack=parsed.stack, recursive=parsed.recursive
    )
    manifest = watch(folder_steps(sources, parsed.output, options, validation=parsed.validation), "augment")
    for note in (*notes, *manifest["notes"]):
        warn(f"note: {note}")
    say(f"{parsed.output}: {summary(manifest)}")
    return 0
