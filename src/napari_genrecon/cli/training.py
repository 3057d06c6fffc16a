"""Add and run the commands ``train``, ``runs``, ``sample`` and ``models``."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_genrecon.cli.inputs import add_folder_flags
from napari_genrecon.cli.terminal import INTERRUPTED, Subparsers, add_command, add_flags, say, warn, watch
from napari_genrecon.errors import OptionError

if TYPE_CHECKING:
    from napari_genrecon.engine.run import Progress

__all__ = ["add_commands"]


def add_commands(commands: Subparsers, given: list[str]) -> None:
    """Add the commands. ``train`` and ``sample`` get their flags only if given, as reading them takes time."""
    _add_train(commands, flags="train" in given)
    _add_runs(commands)
    _add_sample(commands, flags="sample" in given)
    models = add_command(commands, "models", _models, "List the models that are installed, and move trained ones.")
    models.add_argument("--task", help="only those for one task; 'sample' for the generative ones")
    action = models.add_mutually_exclusive_group()
    action.add_argument(
        "--export",
        nargs=2,
        metavar=("NAME", "PATH"),
        help="copy a model into one file, or write it as a package of bioimage.io if PATH ends in .zip",
    )
    action.add_argument(
        "--import",
        dest="imported",
        type=Path,
        metavar="PATH",
        help="check such a file, or weights of others, and keep it",
    )
    action.add_argument("--remove", metavar="NAME", help="delete a trained model of yours")
    models.add_argument("--name", help="with --import: another name than the file's own")
    models.add_argument(
        "--noise", help="with --export X.zip, for a denoiser: noise s.d. in grey values, or a noise report as JSON"
    )
    models.add_argument("--factor", type=int, default=2, help="with --export X.zip, for an upscaler: 2, 3 or 4")


# --- train ---


def _add_train(commands: Subparsers, *, flags: bool) -> None:
    parser = add_command(
        commands, "train", _train, "Train a generative model or a denoiser of your own on crops of images."
    )
    parser.add_argument("recipe", metavar="KIND", help=_recipes())
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="IMAGE",
        help="TIFF files, OME-Zarr stores, folders; for pairs of noisy and clean images, the noisy ones and then the "
        "clean ones: two files or two folders",
    )
    parser.add_argument(
        "--targets", nargs="+", type=Path, default=[], metavar="FILE", help="clean images, one for each noisy one"
    )
    parser.add_argument("--name", default="", help="name of the model; KIND if not given")
    parser.add_argument("--axes", help="what the dimensions of the images mean, such as CYX")
    parser.add_argument("--labels", nargs="+", type=Path, default=[], metavar="FILE", help="one labels image each")
    add_folder_flags(parser)
    if flags:
        from napari_genrecon.training import all_options
        from napari_genrecon.training.data.dataset import CropOptions

        parser.add_argument("--crops", default="auto", metavar="MODE", help="auto, grid, random, objects, whole")
        parser.add_argument("--n-crops", type=int, help="how many crops at most, or how many random positions")
        add_flags(parser, CropOptions, without=("mode", "n", "seed"))
        add_flags(parser, all_options(), without=("kind",))
        parser.set_defaults(**dict.fromkeys(_flags()), crops=None)  # what is not given is up to the recipe


def _flags() -> list[str]:
    """Return the names of the options that flags of ``train`` can set."""
    from napari_genrecon.training import all_options
    from napari_genrecon.training.data.dataset import CropOptions

    names = [field.name for options in (CropOptions, all_options()) for field in fields(options)]
    return [name for name in names if name not in ("mode", "n", "kind")]


def _recipes() -> str:
    from napari_genrecon.training import all_recipes

    return "; ".join(f"{recipe.name} ({recipe.title})" for recipe in all_recipes())


def _train(parsed: argparse.Namespace) -> int:
    from napari_genrecon.io.folders import find_images
    from napari_genrecon.tasks.train import image_keywords, train_steps

    crops, options = _options_of(parsed)
    inputs, targets = _split_inputs(parsed)
    found, left_out = find_images(inputs, stack=parsed.stack, recursive=parsed.recursive)
    wanted, more = find_images(targets, stack=parsed.stack, recursive=parsed.recursive) if targets else ([], [])
    images, where, notes = image_keywords(
        [item.path for item in found],
        axes=parsed.axes,
        labels=parsed.labels,
        targets=[item.path for item in wanted],
    )
    for note in (*left_out, *more, *notes):
        warn(f"note: {note}")
    name = parsed.name or parsed.recipe
    return _watched(train_steps(images, crops, options, name=name, where=where), name)


def _split_inputs(parsed: argparse.Namespace) -> tuple[list[Path], list[Path]]:
    """Return the images and the targets; of two inputs, the second holds the targets where the recipe needs some."""
    from napari_genrecon.training import find_recipe

    recipe = find_recipe(parsed.recipe)
    # Without targets to look for, all inputs are images.
    if parsed.targets or "targets" not in recipe.needs:
        return parsed.inputs, parsed.targets
    if len(parsed.inputs) != 2:
        raise OptionError(
            f"{recipe.label} trains on pairs, and {len(parsed.inputs)} inputs were given: give the noisy images and "
            "then the clean ones (two files or two folders), or name the clean ones with --targets"
        )
    return parsed.inputs[:1], parsed.inputs[1:]


def _watched(steps: Any, name: str) -> int:
    from napari_genrecon.tasks.train import interruptible

    try:
        model = watch(interruptible(_print_notes(steps)), name)
    # Not an error: the first Ctrl-C has saved the run, and it can go on.
    except KeyboardInterrupt:
        warn("stopped and saved: 'genrecon runs' lists the training, 'genrecon runs --resume NAME' continues it")
        return INTERRUPTED
    for sentence in model.card.cautions:
        warn(f"note: {sentence}")
    say(f"trained {_line(model.card)}")
    return 0


def _print_notes(steps: Any) -> Any:
    """Run steps and print their notes about the crops, whether there is a bar or not."""
    from napari_genrecon.engine.run import map_progress

    def printed(progress: Progress) -> Progress:
        # The bar shows a note for a moment only, and nothing at all where the output is no terminal.
        if progress.note.startswith("note: "):
            warn(progress.note)
        return progress

    return map_progress(steps, printed)


def _options_of(parsed: argparse.Namespace) -> tuple[Any, Any]:
    from napari_genrecon.training import all_options, find_recipe, read_options
    from napari_genrecon.training.data.dataset import CropOptions

    # What was not given is None and left out, so that the defaults of the recipe hold.
    flags = {name: getattr(parsed, name) for name in _flags() if getattr(parsed, name) is not None}
    training = {field.name: flags[field.name] for field in fields(all_options()) if field.name in flags}
    crops = {field.name: flags[field.name] for field in fields(CropOptions) if field.name in flags}
    crops |= {} if parsed.crops is None else {"mode": parsed.crops}
    crops |= {} if parsed.n_crops is None else {"n": parsed.n_crops}
    # Each recipe brings crops that suit it; flags replace single values of them.
    return replace(find_recipe(parsed.recipe).crops, **crops), read_options({**training, "kind": parsed.recipe})


# --- runs ---


def _add_runs(commands: Subparsers) -> None:
    parser = add_command(commands, "runs", _runs, "List the training runs; stop, resume or remove one.")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--resume", metavar="NAME", help="continue exactly where it was saved last")
    action.add_argument("--stop", metavar="NAME", help="save and stop it")
    action.add_argument("--remove", metavar="NAME", help="delete its folder; a model that it made is kept")
    parser.add_argument("--minutes", type=float, help="with --resume: new total training time")


def _runs(parsed: argparse.Namespace) -> int:
    from napari_genrecon.tasks.train import resume_steps
    from napari_genrecon.training.runs.store import find_run, find_runs

    # Refused and not ignored: the user expects that it changes something.
    if parsed.minutes is not None and not parsed.resume:
        raise OptionError(f"--minutes {parsed.minutes:g} needs --resume NAME")
    if parsed.resume:
        return _watched(resume_steps(parsed.resume, minutes=parsed.minutes), parsed.resume)
    if parsed.stop:
        _stop(find_run(parsed.stop))
    elif parsed.remove:
        find_run(parsed.remove).remove()
    else:
        say("\n".join(map(_run_line, find_runs())) or "no training was begun yet: see 'genrecon train --help'")
    return 0


def _stop(run: Any) -> None:
    if run.state() not in ("starting", "running"):
        raise OptionError(f"{run.name!r} is not running: it is {run.state()}")
    run.stop()


def _run_line(run: Any) -> str:
    progress = run.progress()
    steps = f", {progress.step} steps in {progress.seconds / 60:.1f} minutes" if progress else ""
    why = "".join(f"\n    {sentence}" for sentence in (run.device_note(), run.error()) if sentence)
    return f"{run.name}  ({run.kind}, {run.state()}{steps}, begun {run.created[:16].replace('T', ' ')} UTC){why}"


# --- sample ---


def _add_sample(commands: Subparsers, *, flags: bool) -> None:
    parser = add_command(commands, "sample", _sample, "Make synthetic images with a trained model.")
    parser.add_argument("model", metavar="MODEL", help="a name that 'genrecon models' lists, or a model file")
    parser.add_argument("-o", "--output", type=Path, help="the file; MODEL_sample.ome.tif if not given")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    if flags:
        from napari_genrecon.tasks.sample import SampleOptions

        parser.add_argument("-n", dest="n", type=int, default=SampleOptions().n, help="how many (default 64)")
        add_flags(parser, SampleOptions, without=("model", "n"))


def _sample(parsed: argparse.Namespace) -> int:
    from napari_genrecon.tasks.sample import SampleOptions
    from napari_genrecon.tasks.sample.file import sample_file_steps

    options = SampleOptions(**{option.name: getattr(parsed, option.name) for option in fields(SampleOptions)})
    # `options.model` may be the path of a model file: the result then lies in the current folder.
    target = parsed.output or Path(f"{Path(options.model).stem}_sample.ome.tif")
    record = watch(sample_file_steps(options, target, overwrite=parsed.overwrite), options.model)
    for sentence in record["warnings"]:
        warn(f"note: {sentence}")
    say(str(target))
    return 0


# --- models ---


def _models(parsed: argparse.Namespace) -> int:
    from napari_genrecon.models.registry import export_model, import_steps, remove_model
    from napari_genrecon.tasks.export import export_steps
    from napari_genrecon.tasks.from_text import noise_from_text

    if parsed.name and not parsed.imported:
        raise OptionError(f"--name {parsed.name} needs --import PATH")
    if parsed.export:
        name, path = parsed.export
        # The ending chooses the form: a package for other programs, or one file for this one.
        if path.lower().endswith(".zip"):
            noise = None if parsed.noise is None else noise_from_text(parsed.noise, None, "--")
            watch(export_steps(name, path, noise=noise, factor=parsed.factor), name)
        else:
            export_model(name, path)
        say(path)
    elif parsed.imported:
        card = watch(import_steps(parsed.imported, name=parsed.name), parsed.imported.name)
        say(f"imported {_line(card)}")
    elif parsed.remove:
        remove_model(parsed.remove)
    else:
        _list_models(parsed.task)
    return 0


def _list_models(task: str | None) -> None:
    from napari_genrecon.models import list_models

    for card in list_models(task):
        say(_line(card))


def _line(card: Any) -> str:
    """Return two lines about a model: name and licence, then its purpose or how it was trained."""
    # Generative models state what they were trained on; those of the other tasks, what they are for.
    made = card.task == "sample"
    kind, where = (card.network, "yours" if card.path else "bundled") if made else ("", "yours" if card.path else "")
    head = f"{card.name}  ({', '.join(filter(None, (card.task, kind, where, card.licence)))})"
    if not made:
        return f"{head}\n    {card.summary or 'no summary'}"
    channels = f"{card.channels} channel" + ("s" if card.channels > 1 else "")
    return (
        f"{head}\n    {card.size}x{card.size} pixels, {channels}; {card.n_train} crops, {card.steps} steps in "
        f"{card.seconds / 60:.1f} minutes, {card.created[:10]}"
    )
