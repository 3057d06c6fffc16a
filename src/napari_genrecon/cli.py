"""The ``genrecon`` command: sub-commands and flags come from TASKS and the tasks' options."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from napari_genrecon import __version__, cli_generate
from napari_genrecon.errors import ExistsError, GenReconError, ImageError, OptionError
from napari_genrecon.io.formats import image_name, images_in, is_image, result_ending
from napari_genrecon.tasks import TASKS, Task, find_task
from napari_genrecon.terminal import (
    FAILED,
    INTERRUPTED,
    add_command,
    add_flags,
    add_series,
    say,
    warn,
    warnings_as_sentences,
    watch,
)

__all__ = ["main"]

IMAGES = "image files (TIFF, OME-Zarr, CZI, ND2, LIF and others)"


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
        with warnings_as_sentences():
            code: int = parsed.run(parsed)
        return code
    except GenReconError as error:
        if parsed.debug:
            raise
        warn(_told(error, replaces=hasattr(parsed, "overwrite")))
        return FAILED
    except KeyboardInterrupt:
        warn("interrupted; no file was left half written (a .zarr.part folder can be continued with --resume)")
        return INTERRUPTED


def _parser(given: list[str]) -> argparse.ArgumentParser:
    """The parser; the flags of a task, which load the task, only where it is asked for."""
    parser = argparse.ArgumentParser(
        prog="genrecon", description="Restore microscopy images, and learn to make synthetic ones."
    )
    parser.add_argument("--version", action="version", version=f"napari-genrecon {__version__}")
    parser.set_defaults(debug=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for task in TASKS:
        _add_task(commands, task, flags=task.name in given)
    noise = add_command(commands, "noise", _noise, "Measure the noise of images and print the report.")
    noise.add_argument("inputs", nargs="+", type=Path, metavar="IMAGE", help=f"{IMAGES}, folders of planes")
    noise.add_argument("--axes", help="what the dimensions mean, such as TCYX")
    add_series(noise)
    noise.add_argument(
        "--json",
        action="store_true",
        help="print JSON, which --noise of other commands reads (of several images, a line each)",
    )
    verify = add_command(commands, "verify", _verify, "Say whether results were changed since they were made.")
    verify.add_argument("inputs", nargs="+", type=Path, metavar="FILE", help="results of this program")
    replay = add_command(commands, "replay", _replay, "Make a result again from its record and compare the pixels.")
    replay.add_argument("inputs", nargs="+", type=Path, metavar="FILE", help="results of this program")
    replay.add_argument("--input", type=Path, help="the image it was made from, if it is no longer where it was")
    check = add_command(commands, "check", _check, "Say whether denoising removed or added anything but noise.")
    check.add_argument("inputs", nargs="+", type=Path, metavar="FILE", help="results of 'genrecon denoise'")
    check.add_argument("--input", type=Path, help="the image it was made from, if it is no longer where it was")
    methods = add_command(commands, "methods", _methods, "Print the sentences about a result for a paper.")
    methods.add_argument("inputs", nargs="+", type=Path, metavar="FILE", help="results of this program")
    methods.add_argument("--json", action="store_true", help="print the whole record as JSON")
    cli_generate.add_commands(commands, given)
    demo = add_command(commands, "demo", _demo, "Denoise the samples that ship with the package.")
    demo.add_argument("--output", type=Path, default=Path("genrecon-demo"), help="folder for the results")
    return parser


# Tasks --------------------------------------------------------------------------------------------------------------


def _add_task(commands: Any, task: Task, *, flags: bool) -> None:
    parser = add_command(commands, task.name, _run_task, f"{task.summary}.")
    parser.set_defaults(task=task.name)
    parser.add_argument("inputs", nargs="+", type=Path, metavar="IN", help=f"{IMAGES}, or folders of them")
    parser.add_argument("-o", "--output", type=Path, help="file (for one input) or existing folder for the results")
    parser.add_argument("--overwrite", action="store_true", help="replace existing results (never an input)")
    parser.add_argument(
        "--pyramid",
        action="store_true",
        help="put smaller copies into .tif results, for viewers (.zarr has them anyway)",
    )
    parser.add_argument("--sidecar", action="store_true", help="write the record beside the result, too, as JSON")
    add_series(parser)
    parser.add_argument("--stack", action="store_true", help="take a folder of planes as one stack, not as a batch")
    parser.add_argument("--resume", action="store_true", help="continue .zarr results that were left unfinished")
    parser.add_argument("--scheduler", help="dask scheduler whose workers write a .zarr result, or 'local'")
    parser.add_argument("--workers", type=int, default=2, help="processes to start for --scheduler local (default 2)")
    if flags:
        add_flags(parser, task.options)


def _run_task(parsed: argparse.Namespace) -> int:
    from napari_genrecon.engine.cluster import connected

    task = find_task(parsed.task)
    values = {option.name: getattr(parsed, option.name) for option in fields(task.options)}
    values["noise"] = _noise_argument(values.get("noise"))
    arrays = _array_arguments(task, values)
    options = task.options(**values)
    inputs = list(expand(parsed.inputs, stack=parsed.stack))
    if len(inputs) > 1 and parsed.output is not None and not parsed.output.is_dir():
        raise OptionError(f"several inputs need a folder for their results, and {parsed.output} is not one")
    with connected(parsed.scheduler, parsed.workers) as client:
        failed = _each(
            inputs,
            lambda path: _process(task, path, options, parsed, client, arrays),
            debug=parsed.debug,
            replaces=True,
        )
    if len(inputs) > 1:
        say(f"{len(inputs) - failed} of {len(inputs)} images done" + (f", {failed} failed" if failed else ""))
    return FAILED if failed else 0


def _told(error: GenReconError, *, replaces: bool) -> str:
    """The sentence, with the switch that helps where there is one."""
    return f"{error} (or give --overwrite)" if replaces and isinstance(error, ExistsError) else str(error)


def _each(paths: list[Path], process: Callable[[Path], str], *, debug: bool, replaces: bool = False) -> int:
    """Process all files; a bad one is reported and the rest go on. Returns how many failed."""
    failed = 0
    for path in paths:
        try:
            say(process(path))
        except GenReconError as error:
            if debug:
                raise
            failed += 1
            warn(f"{path}: {_told(error, replaces=replaces)}")
        except Exception as error:  # one bad file must not end a batch, nor greet the user with a traceback
            if debug:
                raise
            failed += 1
            warn(f"{path}: failed: {type(error).__name__}: {error} (--debug tells more)")
    return failed


_FILE_OF = {"psf": "", "mask": ": give an image file that is anything but 0 where pixels are to be filled in"}


def _array_arguments(task: Task, values: dict[str, Any]) -> dict[str, Path]:
    """Options that are read from files, taken out of the values; the width of a Gaussian and optics stay."""
    from napari_genrecon.optics.objective import OPTICS_PREFIX, Optics
    from napari_genrecon.tasks.files import array_options

    found = {}
    for name, kind in array_options(task).items():
        text = values[name]
        if text is None:
            continue
        if kind == "psf" and text.startswith(OPTICS_PREFIX):
            values[name] = Optics.from_text(text)
        elif kind == "psf" and _is_number(text):
            values[name] = float(text)
        else:
            values[name], found[name] = None, Path(text)
            if not found[name].exists():
                raise OptionError(f"--{name}: there is no file {text}{_FILE_OF[kind]}")
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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


def expand(paths: list[Path], *, stack: bool) -> Iterator[Path]:
    """Folders as the images in them, unless they are an image themselves."""
    for path in paths:
        if not path.is_dir() or is_image(path) or stack:
            yield path
            continue
        images, others = images_in(path)
        if not images:
            raise ImageError(f"there is no image that can be opened in the folder {path}")
        if others:
            warn(f"{path}: {len(others)} files are no images that can be opened and are left out")
        yield from images


def _process(
    task: Task, path: Path, options: Any, parsed: argparse.Namespace, client: Any, arrays: dict[str, Path]
) -> str:
    from napari_genrecon.io.check import choice_text
    from napari_genrecon.io.saving import Saving
    from napari_genrecon.tasks.files import file_steps

    target = _target(path, task, parsed.output, parsed.series)
    saving = Saving(overwrite=parsed.overwrite, pyramid=parsed.pyramid, sidecar=parsed.sidecar)
    more = {"resume": parsed.resume, "client": client, "arrays": arrays, "series": parsed.series}
    steps = file_steps(task, path, target, options, saving=saving, **more)
    record = watch(steps, path.name)
    if choice_text(record):
        warn(f"{path}: model {choice_text(record)}")
    for sentence in record["warnings"]:
        warn(f"{path}: note: {sentence}")
    return str(target)


def _target(path: Path, task: Task, output: Path | None, series: str | None) -> Path:
    chosen = "" if series is None else "_" + re.sub(r"[^\w.-]+", "-", series)
    default = f"{image_name(path)}{chosen}_{task.name}{result_ending(path)}"
    if output is None:
        return path.with_name(default)
    return output / default if output.is_dir() and not output.name.lower().endswith(".zarr") else output


# The others ---------------------------------------------------------------------------------------------------------


def _noise(parsed: argparse.Namespace) -> int:
    return FAILED if _each(parsed.inputs, lambda path: _noise_text(path, parsed), debug=parsed.debug) else 0


def _noise_text(path: Path, parsed: argparse.Namespace) -> str:
    from napari_genrecon.io.reader import open_image
    from napari_genrecon.noise import NoiseModel
    from napari_genrecon.tasks.measure import measure_noise, noise_report

    image = open_image(path, axes=parsed.axes, series=parsed.series)
    noise = measure_noise(image.data, axes=image.axes)
    if parsed.json:
        found = [model.to_dict() for model in ([noise] if isinstance(noise, NoiseModel) else noise)]
        told = found[0] if len(found) == 1 else found
        if len(parsed.inputs) > 1:  # a line each, which says of which image
            return json.dumps({"image": str(path), "noise": told})
        return json.dumps(told, indent=2)
    assumed = " (assumed)" if image.axes.assumed else ""
    return f"{path} {tuple(image.data.shape)} {image.axes}{assumed}\n{noise_report(noise)}"


def _verify(parsed: argparse.Namespace) -> int:
    from napari_genrecon.io.check import verify

    def check(path: Path) -> str:
        changed = verify(path)
        if changed:
            raise ImageError("changed since it was made: " + "; ".join(changed))
        return f"{path}: unchanged since it was made"

    return FAILED if _each(parsed.inputs, check, debug=parsed.debug) else 0


def _replay(parsed: argparse.Namespace) -> int:
    from napari_genrecon.tasks.replay import replay_steps

    def replay(path: Path) -> str:
        found = watch(replay_steps(path, source=parsed.input), path.name)
        notes = f" ({'; '.join(found.notes)})" if found.notes else ""
        if not found.identical:
            raise ImageError(f"the pixels differ by up to {found.deviation:.4g} grey values{notes}")
        return f"{path}: made again, every pixel agrees{notes}"

    return FAILED if _each(parsed.inputs, replay, debug=parsed.debug) else 0


def _check(parsed: argparse.Namespace) -> int:
    from napari_genrecon.tasks.check import check_file_steps

    def check(path: Path) -> str:
        found = watch(check_file_steps(path, source=parsed.input), path.name)
        return f"{path}\n{found}"

    return FAILED if _each(parsed.inputs, check, debug=parsed.debug) else 0


def _methods(parsed: argparse.Namespace) -> int:
    from napari_genrecon.io.check import methods_text, record_of
    from napari_genrecon.io.reader import open_image

    def tell(path: Path) -> str:
        record = record_of(open_image(path))
        return json.dumps(record, indent=1) if parsed.json else methods_text(record)

    return FAILED if _each(parsed.inputs, tell, debug=parsed.debug) else 0


def _demo(parsed: argparse.Namespace) -> int:
    from napari_genrecon.demo import run

    run(parsed.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
