"""Add the commands that measure noise, and those that verify, replay, check and describe results."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from napari_genrecon.axes import assumption
from napari_genrecon.cli.inputs import process_each, with_flags
from napari_genrecon.cli.terminal import FAILED, IMAGES, Subparsers, add_command, add_series, say, watch
from napari_genrecon.errors import ImageError
from napari_genrecon.shell import quoted

__all__ = ["add_commands"]


def add_commands(commands: Subparsers) -> None:
    """Add ``noise``, ``verify``, ``replay``, ``check``, ``resolution``, ``blur`` and ``methods``."""
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
    check = add_command(commands, "check", _check, "Look for isolated changes, blur and lost light in denoised images.")
    check.add_argument("inputs", nargs="+", type=Path, metavar="FILE", help="results of 'genrecon denoise'")
    check.add_argument("--input", type=Path, help="the image it was made from, if it is no longer where it was")
    resolution = add_command(
        commands,
        "resolution",
        _resolution,
        "Measure the resolution before and after denoising (Fourier rings, at 1/7).",
    )
    resolution.add_argument("inputs", nargs="+", type=Path, metavar="IMAGE", help=IMAGES)
    resolution.add_argument("--second", type=Path, help="another frame of the same thing, in which nothing has moved")
    resolution.add_argument("--axes", help="what the dimensions mean, such as TCYX")
    add_series(resolution)
    blur = add_command(commands, "blur", _blur, "Measure how wide the blur in images is, for 'genrecon deblur --psf'.")
    blur.add_argument("inputs", nargs="+", type=Path, metavar="IMAGE", help=f"{IMAGES}, not processed before")
    blur.add_argument("--axes", help="what the dimensions mean, such as TCYX")
    add_series(blur)
    psf = add_command(commands, "psf", _psf, "Average the beads at points to a PSF, for 'genrecon deblur --psf'.")
    psf.add_argument("image", type=Path, metavar="BEADS", help=IMAGES)
    psf.add_argument("points", type=Path, metavar="POINTS", help="CSV of the beads' places, as napari saves points")
    psf.add_argument("output", type=Path, metavar="PSF", help="the image to write, such as psf.ome.tif")
    psf.add_argument("--overwrite", action="store_true", help="replace an existing file")
    methods = add_command(commands, "methods", _methods, "Print the sentences about a result for a paper.")
    methods.add_argument("inputs", nargs="+", type=Path, metavar="FILE", help="results of this program")
    methods.add_argument(
        "--json", action="store_true", help="print the whole record as JSON (of several layers, by their names)"
    )


def _noise(parsed: argparse.Namespace) -> int:
    return FAILED if process_each(parsed, lambda path: _noise_text(path, parsed)) else 0


def _noise_text(path: Path, parsed: argparse.Namespace) -> str:
    from napari_genrecon.io.reader import open_image
    from napari_genrecon.noise import NoiseModel
    from napari_genrecon.tasks.measure import measure_noise, noise_report

    image = open_image(path, axes=parsed.axes, series=parsed.series)
    noise = measure_noise(image.data, axes=image.axes)
    if parsed.json:
        found = [model.to_dict() for model in ([noise] if isinstance(noise, NoiseModel) else noise)]
        # An image with channels has a model for each, and --noise takes both forms.
        report = found[0] if len(found) == 1 else found
        if len(parsed.inputs) > 1:  # one line per image, with its path
            return json.dumps({"image": str(path), "noise": report})
        return json.dumps(report, indent=2)
    assumed = " (assumed)" if image.axes.assumed else ""
    # Wrong axes give a wrong noise model without any other sign of it.
    doubt = assumption(image.axes, image.data.shape, eight_bit=image.data.dtype == "uint8")
    note = f"note: {with_flags(doubt, vars(parsed))}\n" if doubt else ""
    return f"{path} {tuple(image.data.shape)} {image.axes}{assumed}\n{note}{noise_report(noise)}"


def _verify(parsed: argparse.Namespace) -> int:
    from napari_genrecon.io.record.check import verify

    # One function per image, as `process_each` goes on with the next image where one fails.
    def check(path: Path) -> str:
        changed = verify(path)
        if changed:
            # An error, so that the exit status says it too: scripts read no sentences.
            raise ImageError("changed since it was made: " + "; ".join(changed))
        return f"{path}: unchanged since it was made"

    return FAILED if process_each(parsed, check) else 0


def _replay(parsed: argparse.Namespace) -> int:
    from napari_genrecon.tasks.replay import replay_steps

    def replay(path: Path) -> str:
        found = watch(replay_steps(path, source=parsed.input), path.name)
        if not found.same:
            raise ImageError(str(found))
        return f"{path}: {found}"

    return FAILED if process_each(parsed, replay) else 0


def _check(parsed: argparse.Namespace) -> int:
    from napari_genrecon.tasks.check import check_file_steps

    def check(path: Path) -> str:
        found = watch(check_file_steps(path, source=parsed.input), path.name)
        return f"{path}\n{found}"

    return FAILED if process_each(parsed, check) else 0


def _resolution(parsed: argparse.Namespace) -> int:
    from napari_genrecon.io.reader import open_image
    from napari_genrecon.tasks.check import resolution
    from napari_genrecon.tasks.pixel_size import known_sizes

    def measure(path: Path) -> str:
        image = open_image(path, axes=parsed.axes, series=parsed.series)
        other = None if parsed.second is None else open_image(parsed.second, axes=parsed.axes, series=parsed.series)
        # None gives the resolution in pixels.
        size = known_sizes(image.about).get("X")
        found = resolution(image.data, None if other is None else other.data, axes=image.axes, pixel_size=size)
        return "\n".join([str(path), *map(str, found)])

    return FAILED if process_each(parsed, measure) else 0


def _blur(parsed: argparse.Namespace) -> int:
    from napari_genrecon.io.reader import open_image
    from napari_genrecon.tasks.deblur.width import measure_blur

    def measure(path: Path) -> str:
        image = open_image(path, axes=parsed.axes, series=parsed.series)
        found = measure_blur(image.data, axes=image.axes)
        # The command that uses the number, ready to be copied.
        return f"{path}: {found}\ngenrecon deblur {quoted(path)} --psf {found.fwhm:.1f}"

    return FAILED if process_each(parsed, measure) else 0


def _psf(parsed: argparse.Namespace) -> int:
    from dataclasses import replace

    from napari_genrecon.engine.run import finish
    from napari_genrecon.io.formats import written_format
    from napari_genrecon.io.points import read_places
    from napari_genrecon.io.reader import open_image
    from napari_genrecon.optics.beads import psf_from_beads

    image = open_image(parsed.image)
    found = psf_from_beads(image.data, read_places(parsed.points))
    # Pixel size and axes of the beads hold for the PSF; place, record and display are those of another image.
    about = replace(image.about, translate=(), record=None, layer=None)
    options = {"overwrite": parsed.overwrite, "sources": [parsed.image, parsed.points]}
    # The ending of the name chooses the format, as for every result.
    finish(written_format(parsed.output).write_steps(parsed.output, found.pixels, about, **options))
    say(f"{parsed.output}: {found}")
    return 0


def _methods(parsed: argparse.Namespace) -> int:
    from napari_genrecon.io.record.check import records_at
    from napari_genrecon.io.record.methods import methods_text
    from napari_genrecon.tasks import defaults_of
    from napari_genrecon.training import cited

    def describe(path: Path) -> str:
        records = records_at(path)
        if parsed.json:
            return json.dumps(records.get(None, records), indent=1)
        texts = {name: methods_text(record, defaults_of, cited) for name, record in records.items()}
        return "\n".join(text if name is None else f"{name}: {text}" for name, text in texts.items())

    return FAILED if process_each(parsed, describe) else 0
