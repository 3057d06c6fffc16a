"""Train a model on crops of images: cut crops, train, and save the model.

Training returns a model, not an image, so it is not one of `TASKS` but a public function and a command of its own. The
window trains in another process (`training.runs`). All three write the same folder: a run that one of them started can
be resumed by another.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import ArrayLike

from napari_genrecon.arrays import ImageLayer, ImageLike
from napari_genrecon.engine.run import Progress, finish, map_progress
from napari_genrecon.models import device_note, load_model
from napari_genrecon.tasks.given import given_images, given_mask, given_pixel_size, given_points
from napari_genrecon.tasks.train.data import training_data
from napari_genrecon.training import find_recipe, read_options
from napari_genrecon.training.data.dataset import CropOptions
from napari_genrecon.training.options import TrainOptions, TrainProgress
from napari_genrecon.training.runs.store import Run, create_run, find_run
from napari_genrecon.training.runs.worker import work_steps

if TYPE_CHECKING:
    from napari_genrecon.models.generative import GenerativeModel
    from napari_genrecon.models.runtime import Model

__all__ = ["interruptible", "resume_steps", "train", "train_steps"]

T = TypeVar("T")


def train(
    recipe: str,
    images: ImageLike | Sequence[ImageLike],
    targets: ImageLike | Sequence[ImageLike] | None = None,
    *,
    name: str = "",
    axes: str | Sequence[str] | None = None,
    target_axes: str | Sequence[str] | None = None,
    labels: ImageLike | Sequence[ImageLike] | None = None,
    points: ArrayLike | ImageLayer | Sequence[ArrayLike | ImageLayer] | None = None,
    groups: ArrayLike | None = None,
    pixel_size: tuple[float, float] | None = None,
    units: tuple[str, str] | None = None,
    channel_names: Sequence[str] = (),
    crops: CropOptions | None = None,
    depth: int | None = None,
    options: TrainOptions | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    device: str | None = None,
) -> GenerativeModel | Model:
    """Train a model on crops of images, in this process.

    Ctrl-C saves and stops; `genrecon runs --resume NAME` or the window continue.

    Parameters
    ----------
    recipe : str
        A key of `training.RECIPES`. A VAE trains steadily and gives the likelihood of a picture; a GAN makes sharper
        pictures. CARE, Noise2Noise and Noise2Void fine-tune the bundled denoiser on your own images. Image to image
        (``"image2image"``) learns any image from others: another stain, or sharper images; see `predict`.
    images : (..., Y, X) array_like, an image layer of napari, or a list of them
        Images to train on; see `training.data.cut.cut_crops`. For Noise2Noise a list of repeats of one field, or a
        movie, whose frames are learnt from their neighbours. For Noise2Void single noisy images, of any fields.
    targets : (..., Y, X) array_like, an image layer of napari, or a list of them
        For CARE: clean images, one for each of `images`, of the same field pixel by pixel. Their brightness may differ.
        For image to image: what is to be made of each image, of the same field pixel by pixel, with channels of its
        own.
    name : str
        Name of the model; that of the recipe if not given. A number is appended if the name exists.
    axes, target_axes, labels, points, groups, pixel_size, units, channel_names
        See `cut_crops`; labels and points can also be layers of napari.
    crops : CropOptions
        How crops are cut: size, mode, stride, number, share held out; those of the recipe if not given.
    depth : int, optional
        Planes of a block of a stack along Z, such as 8, to train a model in three dimensions with image to image;
        replaces that of `crops`. If neither is given, stacks are trained on plane by plane.
    options : TrainOptions
        Options of the recipe, such as `training.recipes.vae.VAEOptions`.
    minutes, steps, seed, device
        Replace those of `options`. The seed is also that of the crops, unless `crops` are given.

    Returns
    -------
    GenerativeModel or Model
        The model, which is also saved: ``load_model(model.card.name)`` returns it again. A denoiser is used with
        ``denoise(image, model=model.card.name)``; ``model.card.calibration`` tells by how many dB it is better than the
        bundled one on held-out crops, and ``model.card.warnings`` if it is not.

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
    # Through a dict, as the options may be those of another recipe: `read_options` below makes those of this one.
    base = {} if options is None else options.to_dict()
    # A seed that is given alone also decides the crops, so that one number repeats the whole training.
    usual = find_recipe(recipe).crops
    cutting = crops or (usual if seed is None else replace(usual, seed=seed))
    cutting = cutting if depth is None else replace(cutting, depth=depth)
    pixels, letters = given_images(images, axes)
    wanted, target_letters = (None, None) if targets is None else given_images(targets, target_axes)
    where = {
        "axes": letters, "labels": given_mask(labels, ("labels",)), "points": given_points(points, images),
        "groups": groups, "targets": wanted, "target_axes": target_letters,
        "pixel_size": pixel_size, "units": units, "channel_names": channel_names,
    }  # fmt: skip
    if pixel_size is None:
        where |= given_pixel_size(images[0] if isinstance(images, list | tuple) and images else images)
    trained = read_options({**base, **given, "kind": recipe})
    return finish(interruptible(train_steps(pixels, cutting, trained, name=name, where=where)))


def train_steps(
    images: Any, crops: CropOptions, options: TrainOptions, *, name: str = "", where: dict[str, Any] | None = None
) -> Generator[Progress, None, GenerativeModel | Model]:
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
    GenerativeModel or Model
    """
    # Before the work, which can take a minute on large images: the generator is asked again only after it.
    yield Progress(0, 0, "cutting crops")
    found = training_data(find_recipe(options.recipe), images, crops, where or {})
    for note in found.notes:
        yield Progress(0, 0, f"note: {note}")
    # The crops are copied into the run's folder: a run can be resumed when the images are gone.
    run = create_run(found, options, name=name or options.recipe)
    return (yield from _worked(run))


def resume_steps(name: str, *, minutes: float | None = None) -> Generator[Progress, None, GenerativeModel | Model]:
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


def _worked(run: Run) -> Generator[Progress, None, GenerativeModel | Model]:
    yield Progress(0, 0, f"training {run.name!r}")
    for note in device_note(run.options["device"]):
        yield Progress(0, 0, f"note: {note}")
    trained = yield from map_progress(work_steps(run.folder), _progress)
    return load_model(trained, run.options["device"])


def _progress(progress: TrainProgress) -> Progress:
    losses = ", ".join(f"{name} {value:.4g}" for name, value in progress.losses.items())
    # The total of a training by the clock is an estimate, which steps that got faster can exceed.
    return Progress(progress.step, max(progress.total, progress.step), progress.note or losses)


def interruptible(steps: Generator[Progress, None, T]) -> Generator[Progress, None, T]:
    """Run steps so that the first Ctrl-C stops after the current step and saves; the second aborts."""
    signals: list[int] = []

    def note_signal(number: int, frame: Any) -> None:
        if signals:
            raise KeyboardInterrupt
        # Only noted: an exception here would break off the step wherever it stands.
        signals.append(number)

    def stop_if_asked(progress: Progress) -> Progress:
        # Raised between two steps, where the generators below are closed in order, and save.
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
