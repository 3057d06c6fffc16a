"""Add and run the command ``classify``."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from napari_genrecon.cli.inputs import add_folder_flags
from napari_genrecon.cli.terminal import IMAGES, Subparsers, add_command, add_flags, add_series, say, warn, watch
from napari_genrecon.errors import OptionError
from napari_genrecon.shell import quoted

__all__ = ["add_commands"]


def add_commands(commands: Subparsers, given: list[str]) -> None:
    """Add ``classify``, with the flags of its options only if it was given."""
    parser = add_command(
        commands, "classify", _classify, "Sort cells, or whole images, into your classes, from a few examples of each."
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="IMAGE",
        help=f"{IMAGES}; or a folder with a subfolder for each class",
    )
    # Both say where the objects are: argparse refuses two answers.
    objects = parser.add_mutually_exclusive_group()
    objects.add_argument("--labels", nargs="+", type=Path, metavar="FILE", help="one labels image for each image")
    objects.add_argument("--points", nargs="+", type=Path, metavar="CSV", help="instead: one table of centres for each")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--classes", type=Path, metavar="CSV", help="table with the columns label, class (and image)")
    source.add_argument("--model", help="a model that --save kept, or its file, instead of classes")
    parser.add_argument("--save", metavar="NAME", help="keep the model under this name")
    parser.add_argument("-o", "--output", type=Path, help="the table to write; IMAGE_classes.csv if not given")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing table (never a model)")
    parser.add_argument("--axes", help="what the dimensions of the images mean, such as CYX")
    add_series(parser)
    add_folder_flags(parser)
    if "classify" in given:
        from napari_genrecon.tasks.classify import ClassifyOptions

        add_flags(parser, ClassifyOptions)


def _classify(parsed: argparse.Namespace) -> int:
    from napari_genrecon.io.formats import image_name
    from napari_genrecon.io.publish import check_target
    from napari_genrecon.tasks.classify import ClassifyOptions, classify_steps

    options = ClassifyOptions(**{option.name: getattr(parsed, option.name) for option in fields(ClassifyOptions)})
    paths, classes = _given(parsed)
    first = parsed.inputs[0]
    # "." and ".." are no names of folders.
    named = first if first.name.strip(".") else first.resolve()
    target = parsed.output or named.with_name(f"{image_name(named)}_classes.csv")
    # Before the images are read and a model is trained, which may take minutes.
    check_target(target, overwrite=parsed.overwrite, sources=[*paths, *filter(None, [parsed.classes])])
    images, where = _opened(paths, parsed)
    names = [str(path) for path in paths]
    steps = classify_steps(images, options, classes=classes, model=parsed.model, where=where, image_names=names)
    found = watch(steps, first.name)
    for note in found.notes:
        warn(f"note: {note}")
    if found.scores is not None:
        say(str(found.scores))
    # The model first: if the table cannot be written, the training is not lost.
    if parsed.save:
        found.save(parsed.save)
        say(f"kept the model {parsed.save!r}: genrecon classify IMAGE --model {quoted(parsed.save)}")
    found.to_csv(target, overwrite=parsed.overwrite)
    say(_counts(found))
    say(str(target))
    return 0


def _given(parsed: argparse.Namespace) -> tuple[list[Path], Any]:
    """Return the images, and the classes of their objects, or None where a model is used."""
    from napari_genrecon.io.folders import find_images
    from napari_genrecon.tasks.classify.files import class_folders, read_classes

    # Three ways to say what is known: a model, a table of classes of objects, or folders of whole images by class.
    objects = bool(parsed.labels or parsed.points)
    if parsed.model or objects:
        found, left_out = find_images(parsed.inputs, stack=parsed.stack, recursive=parsed.recursive)
        for note in left_out:
            warn(f"note: {note}")
        paths = [item.path for item in found]
        if parsed.model:
            if parsed.save:
                raise OptionError(f"--save {parsed.save} keeps a model that was trained: it needs --classes")
            return paths, None
        # --points and --labels say where the objects are, not what they are.
        if parsed.classes is None:
            raise OptionError("--classes is needed: a table with the columns label and class (or --model)")
        return paths, read_classes(parsed.classes, paths, points=bool(parsed.points))
    if parsed.classes is not None:
        raise OptionError("--classes gives the classes of objects: say where they are with --labels or --points")
    if len(parsed.inputs) != 1 or not parsed.inputs[0].is_dir():
        raise OptionError("give --labels or --points and --classes, or --model, or a folder with a subfolder per class")
    # An image in no subfolder has no class: it is what the model sorts.
    pairs = class_folders(parsed.inputs[0])
    return [path for path, _ in pairs], [name or None for _, name in pairs]


def _opened(paths: list[Path], parsed: argparse.Namespace) -> tuple[list[Any], dict[str, Any]]:
    from napari_genrecon.tasks.classify.files import read_points
    from napari_genrecon.tasks.train import image_keywords

    images, facts, notes = image_keywords(paths, axes=parsed.axes, labels=parsed.labels or (), series=parsed.series)
    for note in notes:
        warn(f"note: {note}")
    facts["points"] = [read_points(path) for path in parsed.points] if parsed.points else None
    return images, facts


def _counts(found: Any) -> str:
    import numpy as np

    # A class without a single object is still listed, with 0.
    counts = np.bincount(found.predicted, minlength=len(found.classes))
    parts = [f"{count} {name}" for name, count in zip(found.classes, counts, strict=True)]
    return f"{len(found)} classified: {', '.join(parts)}"
