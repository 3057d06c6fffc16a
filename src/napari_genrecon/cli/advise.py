"""Add and run the command ``advise``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_genrecon.cli.inputs import add_folder_flags
from napari_genrecon.cli.terminal import IMAGES, Subparsers, add_command, say, warn, watch
from napari_genrecon.errors import OptionError

if TYPE_CHECKING:
    from napari_genrecon.tasks.advise import Advice

__all__ = ["add_commands"]


def add_commands(commands: Subparsers) -> None:
    """Add the command."""
    from napari_genrecon.tasks.advise.situation import GOALS

    parser = add_command(commands, "advise", _advise, "Say what is worth doing with an image, and what is not.")
    parser.add_argument(
        "inputs", nargs="+", type=Path, metavar="IMAGE",
        help=f"{IMAGES}, or folders of them; the first is looked at, the others count as images like it",
    )  # fmt: skip
    parser.add_argument("--goal", choices=tuple(GOALS), default="any", help="what it is for (default any)")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="labelled objects of the first image")
    parser.add_argument("--points", type=Path, metavar="CSV", help="marked objects of the first image")
    parser.add_argument("--classes", metavar="N,N,...", help="number of labels of each class, such as 12,9,30")
    parser.add_argument("--axes", help="what the dimensions mean, such as TCYX")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_folder_flags(parser)


def _advise(parsed: argparse.Namespace) -> int:
    from napari_genrecon.io.folders import find_images
    from napari_genrecon.io.points import read_places
    from napari_genrecon.io.reader import open_image
    from napari_genrecon.tasks.advise.task import advise_steps

    found, notes = find_images(parsed.inputs, stack=parsed.stack, recursive=parsed.recursive)
    # To the standard error, so that --json prints nothing but JSON.
    for note in notes:
        warn(f"note: {note}")
    # Only the first is opened: the rules need one image, and the number of the others.
    image = open_image(found[0].path, axes=parsed.axes)
    about = image.about.filled()
    situation, advice = watch(
        advise_steps(
            image.data,
            image.axes,
            labels=None if parsed.labels is None else open_image(parsed.labels).data,
            points=None if parsed.points is None else read_places(parsed.points),
            goal=parsed.goal,
            images=len(found),
            classes=_counts(parsed.classes),
            scale=about.scale,
            units=about.units,
        ),
        "advise",
    )
    if parsed.json:
        facts = {"image": str(found[0].path), "situation": situation.to_dict()}
        say(json.dumps({**facts, "advice": [one.to_dict() for one in advice]}, indent=2))
        return 0
    several = f", {len(found)} images" if len(found) > 1 else ""
    say(f"{found[0].path} {situation.shape} {situation.axes}{several}\n{_text(advice)}")
    return 0


def _text(advice: Sequence[Advice]) -> str:
    # What is worth doing is numbered, in order; what is not follows, with the reason.
    to_do = [one for one in advice if one.do]
    against = [one for one in advice if not one.do]
    lines = [f"{number}. {one}" for number, one in enumerate(to_do, start=1)] or ["Nothing to do: use it as it is."]
    return "\n".join([*lines, *(f"-  {one}" for one in against)])


def _counts(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise OptionError(
            f"--classes takes numbers of labels separated by commas, such as 12,9,30; got {text!r}"
        ) from None
