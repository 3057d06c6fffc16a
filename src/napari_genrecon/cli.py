"""The ``genrecon`` command: sub-commands and flags come from TASKS and the tasks' options."""

from __future__ import annotations

import argparse
import json
import sys
import typing
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from napari_genrecon import __version__
from napari_genrecon.errors import GenReconError, ImageError, OptionError
from napari_genrecon.io.reader import image_name, is_tiff
from napari_genrecon.tasks import TASKS, Task, find_task

__all__ = ["main"]

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Without the program's name; those of the process if not given.

    Returns
    -------
    int
        0 if all went well, 1 if something failed, 130 if interrupted. Wrong usage exits with 2.
    """
    given = sys.argv[1:] if arguments is None else arguments
    parsed = _parser(given).parse_args(given)
    try:
        code: int = parsed.run(parsed)
        return code
    except GenReconError as error:
        if parsed.debug:
            raise
        print(f"genrecon: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("genrecon: interrupted; nothing unfinished was left behind", file=sys.stderr)
        return INTERRUPTED


def _parser(given: list[str]) -> argparse.ArgumentParser:
    """The parser; the flags of a task, which load the task, only where it is asked for."""
    parser = argparse.ArgumentParser(prog="genrecon", description="Restore microscopy images.")
    parser.add_argument("--version", action="version", version=f"napari-genrecon {__version__}")
    parser.set_defaults(debug=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for task in TASKS:
        _add_task(commands, task, flags=task.name in given)
    noise = _command(commands, "noise", _noise, "Measure the noise of images and print the report.")
    noise.add_argument("inputs", nargs="+", type=Path, metavar="IMAGE", help="TIFF files")
    noise.add_argument("--axes", help="what the dimensions mean, such as TCYX")
    noise.add_argument("--json", action="store_true", help="print JSON, which --noise of other commands reads")
    models = _command(commands, "models", _models, "List the models that are installed.")
    models.add_argument("--task", help="only those for one task")
    demo = _command(commands, "demo", _demo, "Denoise the samples that ship with the package.")
    demo.add_argument("--output", type=Path, default=Path("genrecon-demo"), help="folder for the results")
    return parser


def _command(commands: Any, name: str, run: Any, summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)
    return parser


# Tasks --------------------------------------------------------------------------------------------------------------


def _add_task(commands: Any, task: Task, *, flags: bool) -> None:
    parser = _command(commands, task.name, _run_task, f"{task.summary}.")
    parser.set_defaults(task=task.name)
    parser.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="TIFF files, or folders of them")
    parser.add_argument("-o", "--output", type=Path, help="file (for one input) or existing folder for the results")
    parser.add_argument("--overwrite", action="store_true", help="replace existing results (never an input)")
    if flags:
        hints = typing.get_type_hints(task.options, include_extras=True)
        for option in fields(task.options):
            _add_flag(parser, option, hints[option.name])


def _add_flag(parser: argparse.ArgumentParser, option: Field[Any], hint: Any) -> None:
    kind, metadata = typing.get_args(hint)[:2]
    assert option.default is not MISSING  # options are keyword-only and have defaults
    text = metadata["tooltip"]
    if {"min", "max"} <= set(metadata):
        text += f" ({metadata['min']:g} to {metadata['max']:g}; default {option.default:g})"
    flag = f"--{option.name.replace('_', '-')}"
    if kind is bool:
        parser.add_argument(flag, action="store_true", default=option.default, help=text)
        return
    convert = {float: float, int: int, int | None: int}.get(kind, str)
    parser.add_argument(flag, type=convert, default=option.default, help=text)


def _run_task(parsed: argparse.Namespace) -> int:
    task = find_task(parsed.task)
    values = {option.name: getattr(parsed, option.name) for option in fields(task.options)}
    values["noise"] = _noise_argument(values.get("noise"))
    options = task.options(**values)
    inputs = list(_expand(parsed.inputs))
    if len(inputs) > 1 and parsed.output is not None and not parsed.output.is_dir():
        raise OptionError(f"several inputs need a folder for their results, and {parsed.output} is not one")
    failed = 0
    for path in inputs:
        try:
            print(_process(task, path, options, parsed))
        except GenReconError as error:
            if parsed.debug:
                raise
            failed += 1
            print(f"genrecon: {path}: {error}", file=sys.stderr)
        except Exception as error:  # one bad file must not end a batch, nor greet the user with a traceback
            if parsed.debug:
                raise
            failed += 1
            print(f"genrecon: {path}: failed: {type(error).__name__}: {error} (--debug tells more)", file=sys.stderr)
    if len(inputs) > 1:
        print(f"{len(inputs) - failed} of {len(inputs)} images done" + (f", {failed} failed" if failed else ""))
    return FAILED if failed else 0


def _noise_argument(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return _read_noise(Path(text))


def _read_noise(path: Path) -> Any:
    from napari_genrecon.noise import NoiseModel

    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        message = f"--noise takes a number or a file that 'genrecon noise --json' wrote; {path} is neither ({error})"
        raise OptionError(message) from error
    return tuple(map(NoiseModel.from_dict, found)) if isinstance(found, list) else NoiseModel.from_dict(found)


def _expand(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        images = sorted(p for p in path.iterdir() if is_tiff(p) and not p.name.startswith("."))
        others = sum(p.is_file() for p in path.iterdir()) - len(images)
        if not images:
            raise ImageError(f"there is no TIFF file in the folder {path}")
        if others:
            print(f"genrecon: {path}: {others} files are not TIFF and are left out", file=sys.stderr)
        yield from images


def _process(task: Task, path: Path, options: Any, parsed: argparse.Namespace) -> str:
    from dataclasses import replace

    from napari_genrecon.io.publish import check_target
    from napari_genrecon.io.reader import open_image
    from napari_genrecon.io.writer import write_tiff_steps

    target = _target(path, task, parsed.output)
    check_target(target, overwrite=parsed.overwrite, sources=[path])  # before hours of work, not after
    image = open_image(path, axes=options.axes)
    result = _watch(task.steps(image.data, replace(options, axes=image.axes)), path.name)
    steps = write_tiff_steps(
        target,
        result.data,
        result.axes,
        scale=image.scale,
        units=image.units,
        channel_names=image.channel_names,
        record=result.record,
        overwrite=parsed.overwrite,
        sources=[path],
    )
    _watch(steps, f"{path.name} (writing)")
    for sentence in result.record["warnings"]:
        print(f"genrecon: {path}: note: {sentence}", file=sys.stderr)
    return str(target)


def _target(path: Path, task: Task, output: Path | None) -> Path:
    default = f"{image_name(path)}_{task.name}.ome.tif"
    if output is None:
        return path.with_name(default)
    return output / default if output.is_dir() else output


def _watch(steps: Any, title: str) -> Any:
    """Take all steps with a bar on the terminal; Ctrl-C closes the steps, which clean up after themselves."""
    from tqdm import tqdm

    from napari_genrecon.engine.run import finish

    with tqdm(desc=title, unit="tile", leave=False, disable=None, file=sys.stderr) as bar:

        def show(progress: Any) -> None:
            bar.total = progress.total or None
            bar.set_postfix_str(progress.note, refresh=False)
            bar.update(progress.done - bar.n)

        return finish(steps, show)


# The others ---------------------------------------------------------------------------------------------------------


def _noise(parsed: argparse.Namespace) -> int:
    from napari_genrecon.io.reader import open_image
    from napari_genrecon.noise import NoiseModel
    from napari_genrecon.tasks.measure import measure_noise, noise_report

    failed = 0
    for path in parsed.inputs:
        try:
            image = open_image(path, axes=parsed.axes)
            noise = measure_noise(image.data, axes=image.axes)
        except GenReconError as error:
            failed += 1
            print(f"genrecon: {path}: {error}", file=sys.stderr)
            continue
        if parsed.json:
            found = [model.to_dict() for model in ([noise] if isinstance(noise, NoiseModel) else noise)]
            print(json.dumps(found[0] if len(found) == 1 else found, indent=2))
            continue
        print(f"{path} {tuple(image.data.shape)} {image.axes}{' (assumed)' if image.axes.assumed else ''}")
        print(noise_report(noise))
    return FAILED if failed else 0


def _models(parsed: argparse.Namespace) -> int:
    from napari_genrecon.models import list_models

    for spec in list_models(parsed.task):
        print(f"{spec.name}  ({spec.task}, {spec.licence})\n    {spec.summary}")
    return 0


def _demo(parsed: argparse.Namespace) -> int:
    from napari_genrecon.demo import run

    run(parsed.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
