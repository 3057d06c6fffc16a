"""Run any recipe on any dataset, as a generator of training steps."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from napari_genrecon.engine.run import Progress, map_progress
from napari_genrecon.io.record.provenance import versions
from napari_genrecon.models import find_model
from napari_genrecon.models.card import ModelCard, step_of
from napari_genrecon.models.failures import plain_errors
from napari_genrecon.models.runtime import on_device
from napari_genrecon.training import find_recipe
from napari_genrecon.training.data.batches import Batches
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.loop.checkpoint import load_latest
from napari_genrecon.training.loop.device import fabric_for
from napari_genrecon.training.loop.loop import State, Step
from napari_genrecon.training.loop.loop import train_steps as loop_steps
from napari_genrecon.training.loop.schedule import warm_up
from napari_genrecon.training.options import TrainOptions, TrainProgress
from napari_genrecon.training.recipe import Recipe
from napari_genrecon.training.runs.folder import RunFolder

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["train_aside_steps", "train_steps"]

SAVE_EVERY = 45.0  # seconds between checkpoints: a kill loses less than a minute


def train_steps(
    dataset: Dataset, options: TrainOptions, folder: Path, *, name: str
) -> Generator[TrainProgress, None, ModelCard]:
    """Train, one step at a time; continues exactly what `folder` holds.

    Parameters
    ----------
    dataset : Dataset
        Crops to train on.
    options : TrainOptions
        Options of the recipe to train with; `TrainOptions.recipe` names it.
    folder : Path
        Receives ``log.csv`` (step, seconds and losses), ``samples.npy`` (the recipe's preview), the checkpoints, and
        the models ``best.safetensors`` and ``last.safetensors``.
    name : str
        Name of the model.

    Yields
    ------
    TrainProgress
        After every step. Close the generator to stop: it saves everything, so that a later call continues.

    Returns
    -------
    ModelCard
        Card of ``best.safetensors``, the weights with the best score.

    Raises
    ------
    InferenceError
        If training diverges again and again, the device fails, or its memory runs out.
    OptionError
        If the recipe cannot train on such data.
    OutputError
        If the folder cannot be written.
    """
    recipe = find_recipe(options.recipe)
    recipe.check(dataset)
    fabric = fabric_for(options)
    # Around the whole training: any step, score or preview may run out of memory.
    with plain_errors(name, str(fabric.device), "the training of"):
        return (yield from _train_steps(recipe, dataset, options, folder, name, fabric))


def train_aside_steps(
    dataset: Dataset, options: TrainOptions, *, name: str, note: str
) -> Generator[Progress, None, tuple[ModelCard, bytes]]:
    """Train for a task that runs a recipe by itself, in a folder that is gone afterwards.

    Returns
    -------
    (ModelCard, bytes)
        Card and file of the weights with the best score.
    """
    with tempfile.TemporaryDirectory(prefix="genrecon-") as folder:
        steps = train_steps(dataset, options, Path(folder), name=name)
        yield from map_progress(steps, lambda step: Progress(step.step, step.total, note))
        best = Path(folder) / "best.safetensors"
        # Read before the folder is gone. The generator is closed by then: Windows does not remove open files.
        return find_model(best), best.read_bytes()


def _train_steps(
    recipe: Recipe, dataset: Dataset, options: TrainOptions, folder: Path, name: str, fabric: Fabric
) -> Generator[TrainProgress, None, ModelCard]:
    card = _card(recipe, dataset, options, name)
    torch.manual_seed(options.seed)  # decides the first weights; batches have generators of their own
    network = on_device(recipe.network(card, options), name, fabric.device)
    state = recipe.state(network, options)
    batches = (recipe.batches or _grey_batches)(dataset, options, card, fabric.device)
    # After the network and its optimisers were made: a checkpoint fills them and makes none.
    load_latest(state, folder)
    place = RunFolder(folder, recipe, dataset, card, fabric.device)
    rate = options.rate or recipe.rate
    steps = loop_steps(
        state,
        recipe.losses(batches, card, options, fabric.autocast),
        lambda step: warm_up(step, rate, recipe.warm_up),
        folder,
        save_every=SAVE_EVERY,
        # At first the average reaches over fewer steps than `ema` asks for: the random first weights must not linger.
        ema=lambda step: min(options.ema, (1 + step) / (10 + step)),
        # Gradients are not scaled down, only checked: a step that is not finite goes back to the last checkpoint.
        clip=float("inf"),
        backward=fabric.backward,
        options=options.to_dict(),
    )
    try:
        for step in _until_the_end(steps, state, options):
            note = place.follow(state, step.losses)
            yield TrainProgress(step.step, _total(state, options), step.seconds, place.means(), note)
    finally:
        try:
            # Also when the generator is closed or a step fails. It may fail itself, on a full disk: the loop must end.
            place.keep(state)
        finally:
            steps.close()  # saves
    return place.finish(state)


def _until_the_end(steps: Iterator[Step], state: State, options: TrainOptions) -> Iterator[Step]:
    while not _done(state, options):
        # `next`, not a loop: the end is asked for before a step, so that a finished run that is resumed makes none.
        yield next(steps)


def _done(state: State, options: TrainOptions) -> bool:
    # Seconds of training over all processes of the run, not of this one.
    return state.step >= options.steps if options.steps else state.seconds >= 60 * options.minutes


def _total(state: State, options: TrainOptions) -> int:
    if options.steps:
        return options.steps
    # Steps are as fast as they were on the average so far. At step 0 no time has passed yet.
    return max(state.step, round(state.step * 60 * options.minutes / max(state.seconds, 1e-9)))


def _grey_batches(dataset: Dataset, options: TrainOptions, card: ModelCard, device: torch.device) -> Batches:
    return Batches(dataset, options, step_of(card), device)


def _card(recipe: Recipe, dataset: Dataset, options: TrainOptions, name: str) -> ModelCard:
    """Return the card of a model that is not trained yet."""
    shape = recipe.shape(dataset, options)
    # Both stand on the card already: the latent in its shape, the licence in a field.
    kept = {key: value for key, value in asdict(options).items() if key not in ("latent", "licence")}
    wanted = dataset.measured.get("targets", {})
    card = ModelCard(
        name=name,
        task=recipe.serves,
        network=recipe.kept_3d if dataset.depth else recipe.kept,
        recipe=recipe.name,
        nature="synthetic" if recipe.serves == "sample" else "",
        shape=shape,
        channels=dataset.channels,
        channel_names=tuple(dataset.channel_names),
        low=tuple(float(value) for value in dataset.low),
        high=tuple(float(value) for value in dataset.high),
        result_low=tuple(wanted.get("low", ())),
        result_high=tuple(wanted.get("high", ())),
        result_names=tuple(wanted.get("names", ())),
        dtype=dataset.dtype,
        pixel_size=tuple(dataset.pixel_size),
        units=tuple(dataset.units),
        n_train=int((~dataset.held_out).sum()),
        n_held_out=int(dataset.held_out.sum()),
        data=dataset.fingerprint,
        options=kept,
        versions=dict(versions()),
        licence=options.licence,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return card if recipe.card is None else recipe.card(card, dataset)
