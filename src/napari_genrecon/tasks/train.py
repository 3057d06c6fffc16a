"""Train a generative model on crops of images: cut crops, train, and save the model.

Training returns a model, not an image, so it is not one of `TASKS` but a public function and a command of its own. The
window trains in another process (`training.runs`). All three write the same folder: a run that one of them started can
be resumed by another.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import ArrayLike

from napari_genrecon.arrays import ImageLayer, ImageLike
from napari_genrecon.engine.run import Progress, finish, map_progress
from napari_genrecon.errors import OptionError
from napari_genrecon.io.reader import open_image
from napari_genrecon.models import find_model
from napari_genrecon.tasks.given import given_images, given_mask
from napari_genrecon.training import read_options
from napari_genrecon.training.data.cut import cut_crops
from napari_genrecon.training.data.dataset import CropOptions
from napari_genrecon.training.options import TrainOptions, TrainProgress
from napari_genrecon.training.runs.store import Run, create_run, find_run
from napari_genrecon.training.runs.worker import work_steps

if TYPE_CHECKING:
    from napari_genrecon.models.generative import GenerativeModel

__all__ = ["image_keywords", "interruptible", "resume_steps", "train", "train_steps"]

T = TypeVar("T")


def train(
    recipe: str,
    images: ImageLike | Sequence[ImageLike],
    *,
    name: str = "",
    axes: str | Sequence[str] | None = None,
    labels: ImageLike | Sequence[ImageLike] | None = None,
    points: ArrayLike | ImageLayer | Sequence[ArrayLike | ImageLayer] | None = None,
    groups: ArrayLike | None = None,
    targets: ImageLike | Sequence[ImageLike] | None = None,
    pixel_size: tuple[float, float] | None = None,
    units: tuple[str, str] | None = None,
    channel_names: Sequence[str] = (),
    crops: CropOptions | None = None,
    options: TrainOptions | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    device: str | None = None,
) -> GenerativeModel:
    """Train a generative model on crops of images, in this process.

    Ctrl-C saves and stops; `genrecon runs --resume NAME` or the window continue.

    Parameters
    ----------
    recipe : {"vae", "dcgan"}
        A VAE trains steadily and gives the likelihood of a picture; a GAN makes sharper pictures.
    images : (..., Y, X) array_like, an image layer of napari, or a list of them
        Images to train on; see `training.data.cut.cut_crops`.
    name : str
        Name of the model; that of the recipe if not given. A number is appended if the name exists.
    axes, labels, points, groups, targets, pixel_size, units, channel_names
        See `cut_crops`; labels and points can also be layers of napari.
    crops : CropOptions
        How crops are cut: size, mode, stride, number, share held out.
    options : TrainOptions
        Options of the recipe, such as `training.recipes.vae.VAEOptions`.
    minutes, steps, seed, device
        Replace those of `options`. The seed is also that of the crops, unless `crops` are given.

    Returns
    -------
    GenerativeModel
        The model, which is also saved: ``load_model(model.card.name)`` returns it again.

    Raises
    ------
    ImageError
        If there are too few crops, all of them are constant, or the images do not fit together.
    OptionError
        If an option cannot work.
    OutputError
        If the disk is full; the run can be resumed from where it was saved last.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_genrecon import train
    >>> cells = np.random.default_rng(0).poisson(20, (80, 32, 32)).astype("uint16")
    >>> model = train("vae", cells, steps=2)
    >>> model.sample(3, seed=0).shape
    (3, 32, 32)
    """
    short = {"minutes": minutes, "steps": steps, "seed": seed, "device": device}
    given = {key: value for key, value in short.items() if value is not None}
    base = {} if options is None else options.to_dict()
    cutting = crops or (CropOptions() if seed is None else CropOptions(seed=seed))
    pixels, letters = given_images(images, axes)
    where = {
        "axes": letters, "labels": given_mask(labels, ("labels",)), "points": given_mask(points, ("points",)),
        "groups": groups, "targets": None if targets is None else given_images(targets, None)[0],
        "pixel_size": pixel_size, "units": units, "channel_names": channel_names,
    }  # fmt: skip
    trained = read_options({**base, **given, "kind": recipe})
    return finish(interruptible(train_steps(pixels, cutting, trained, name=name, where=where)))


def train_steps(
    images: Any, crops: CropOptions, options: TrainOptions, *, name: str = "", where: dict[str, Any] | None = None
) -> Generator[Progress, None, GenerativeModel]:
    """Run `train` step by step; closing the generator saves.

    Parameters
    ----------
    images, crops, options, name
        See `train`.
    where : dict
        Further keywords of `cut_crops`.

    Yields
    ------
    Progress

    Returns
    -------
    GenerativeModel
    """
    yield Progress(0, 0, "cutting crops")
    found = cut_crops(images, crops, **(where or {}))
    for note in found.notes:
        yield Progress(0, 0, f"note: {note}")
    run = create_run(found, options, name=name or options.recipe)
    return (yield from _worked(run))


def resume_steps(name: str, *, minutes: float | None = None) -> Generator[Progress, None, GenerativeModel]:
    """Continue a run that was stopped, killed or failed exactly where it was saved last, in this process.

    Parameters
    ----------
    name : str
        Name of the run.
    minutes : float, optional
        New total training time; needed to continue a finished run.

    Raises
    ------
    UnknownModelError
        If there is no such run.
    OptionError
        If it is running, or finished.
    """
    run = find_run(name).prepared(minutes=minutes)
    return (yield from _worked(run))


def _worked(run: Run) -> Generator[Progress, None, GenerativeModel]:
    from napari_genrecon.models.generative import load_generative

    yield Progress(0, 0, f"training {run.name!r}")
    trained = yield from map_progress(work_steps(run.folder), _progress)
    return load_generative(find_model(trained, "sample"), run.options["device"])


def _progress(progress: TrainProgress) -> Progress:
    losses = ", ".join(f"{name} {value:.4g}" for name, value in progress.losses.items())
    return Progress(progress.step, max(progress.total, progress.step), progress.note or losses)


def interruptible(steps: Generator[Progress, None, T]) -> Generator[Progress, None, T]:
    """Run steps so that the first Ctrl-C stops after the current step and saves; the second aborts."""
    signals: list[int] = []

    def note_signal(number: int, frame: Any) -> None:
        if signals:
            raise KeyboardInterrupt
        signals.append(number)

    def stop_if_asked(progress: Progress) -> Progress:
        if signals:
            raise KeyboardInterrupt
        return progress

    main = threading.current_thread() is threading.main_thread()  # only this thread may handle signals
    before = signal.signal(signal.SIGINT, note_signal) if main else None
    try:
        return (yield from map_progress(steps, stop_if_asked))
    finally:
        if main:
            signal.signal(signal.SIGINT, before)


# --- files ---


def image_keywords(
    paths: Sequence[Path],
    *,
    axes: str | None = None,
    labels: Sequence[Path] = (),
    series: int | str | None = None,
) -> tuple[list[Any], dict[str, Any], tuple[str, ...]]:
    """Open image files as arguments of `train_steps`.

    Parameters
    ----------
    paths : sequence of Path
        Image files.
    axes : str, optional
        What their dimensions mean, if the files do not state it or are wrong.
    labels : sequence of Path
        One labels image per image, or none.
    series : int or str, optional
        Which image of files that hold several.

    Returns
    -------
    images : list of array_like
    where : dict
        Keywords of `cut_crops`.
    notes : tuple of str
        Notes for the user.
    """
    if labels and len(labels) != len(paths):
        raise OptionError(f"{len(labels)} labels files were given for {len(paths)} images: give one for each, in order")
    opened = [open_image(path, axes=axes, series=series) for path in paths]
    abouts = [image.about.filled() for image in opened]
    sizes = [(a.scale[a.axes.y], a.scale[a.axes.x]) for a in abouts]
    units = [(a.units[a.axes.y], a.units[a.axes.x]) for a in abouts]
    notes = []
    if len(set(zip(sizes, units, strict=True))) > 1:
        said = ", ".join(sorted({f"{size[1]:g} {unit[1]}" for size, unit in zip(sizes, units, strict=True)}))
        notes.append(f"the images have different pixel sizes ({said}): the model gets that of the first")
    names = opened[0].channel_names if abouts[0].axes.channel is not None else ()
    where = {
        "axes": [image.axes for image in opened],
        "labels": [open_image(path).data for path in labels] or None,
        "pixel_size": sizes[0],
        "units": units[0],
        "channel_names": names,
    }
    return [image.data for image in opened], where, tuple(notes)
