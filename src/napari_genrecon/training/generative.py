"""Train a GAN or a VAE on crops: one recipe each, the loop of `training.loop`, and a folder that shows how it goes."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_genrecon.io.provenance import versions
from napari_genrecon.models.card import ModelCard, step_of
from napari_genrecon.training.accelerate import fabric_for
from napari_genrecon.training.adversarial import gan_losses, gan_state
from napari_genrecon.training.batches import Batches
from napari_genrecon.training.crops import Crops
from napari_genrecon.training.loop import Loss, State, Step, load_latest, warm_up
from napari_genrecon.training.loop import train_steps as loop_steps
from napari_genrecon.training.run_folder import RunFolder
from napari_genrecon.training.train_options import TrainOptions, TrainProgress
from napari_genrecon.training.variational import vae_loss, vae_state

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["TrainOptions", "TrainProgress", "train_steps"]

SAVE_EVERY = 45.0  # seconds; a kill loses less than a minute
_WARM_UP = 100  # steps
_NAMES = {"dcgan": ("discriminator", "generator"), "vae": ("nats",)}


def train_steps(
    crops: Crops, options: TrainOptions, folder: Path, *, name: str
) -> Generator[TrainProgress, None, ModelCard]:
    """Train, one step at a time; continues exactly what `folder` holds.

    Parameters
    ----------
    crops : Crops
        What to train on.
    options : TrainOptions
        How.
    folder : Path
        Receives ``log.csv`` (step, seconds and losses), ``samples.npy`` ((36, C, Y, X) float32 grey values of latents
        that stay the same), the checkpoints, and the models ``best.safetensors`` and ``last.safetensors``.
    name : str
        Of the model.

    Yields
    ------
    TrainProgress
        After every step. To stop is to close the generator: it saves everything, so that a later call continues.

    Returns
    -------
    ModelCard
        Of ``best.safetensors``: of a VAE, the highest bound on held-out crops; of a GAN, the smallest sliced
        Wasserstein distance between samples and held-out crops.

    Raises
    ------
    InferenceError
        If training diverges again and again.
    OutputError
        If the folder cannot be written.
    """
    fabric = fabric_for(options)
    card = _card(crops, options, name)
    seen: dict[str, Tensor] = {}
    state, losses = _recipe(crops, options, card, fabric, seen)
    load_latest(state, folder)
    place = RunFolder(folder, crops, card, fabric.device)
    steps = loop_steps(
        state,
        losses,
        lambda step: warm_up(step, options.learning_rate, _WARM_UP),
        folder,
        save_every=SAVE_EVERY,
        ema=lambda step: min(options.ema, (1 + step) / (10 + step)),
        clip=float("inf"),
        backward=fabric.backward,
        options=options.to_dict(),
    )
    try:
        for step in _until_the_end(steps, state, options):
            values = dict(zip(_NAMES[options.kind], step.losses, strict=True)) | _floats(seen)
            note = place.follow(state, values)
            yield TrainProgress(step.step, _total(state, options), step.seconds, place.means(), note)
    finally:
        try:
            place.keep(state)
        finally:
            steps.close()  # saves
    return place.finish(state)


def _recipe(
    crops: Crops, options: TrainOptions, card: ModelCard, fabric: Fabric, seen: dict[str, Tensor]
) -> tuple[State, Loss | tuple[Loss, ...]]:
    torch.manual_seed(options.seed)  # of the first weights
    device = fabric.device
    batches = Batches(crops, options, step_of(card), device)
    if options.kind == "dcgan":
        return gan_state(crops.size, crops.channels, options, device), gan_losses(batches, options, fabric.autocast)
    step_of_grey = torch.tensor(step_of(card), device=device)[:, None, None]
    state = vae_state(crops.size, crops.channels, options, device)
    return state, vae_loss(batches, options, step_of_grey, fabric.autocast, seen)


def _until_the_end(steps: Iterator[Step], state: State, options: TrainOptions) -> Iterator[Step]:
    while not _done(state, options):
        yield next(steps)


def _done(state: State, options: TrainOptions) -> bool:
    return state.step >= options.steps if options.steps else state.seconds >= 60 * options.minutes


def _total(state: State, options: TrainOptions) -> int:
    if options.steps:
        return options.steps
    return max(state.step, round(state.step * 60 * options.minutes / max(state.seconds, 1e-9)))


def _floats(seen: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in seen.items()}


def _card(crops: Crops, options: TrainOptions, name: str) -> ModelCard:
    """The card of a model that is not trained yet."""
    kept = {key: value for key, value in options.to_dict().items() if key not in ("kind", "latent", "licence")}
    shape: dict[str, int | str] = {"size": crops.size, "latent": options.latent, "width": options.width}
    if options.kind == "vae":
        shape["likelihood"] = options.likelihood
    return ModelCard(
        name=name,
        task="sample",
        network=options.kind,
        recipe=options.kind,
        nature="synthetic",
        shape=shape,
        channels=crops.channels,
        channel_names=tuple(crops.channel_names),
        low=tuple(float(value) for value in crops.low),
        high=tuple(float(value) for value in crops.high),
        dtype=crops.dtype,
        pixel_size=tuple(crops.pixel_size),
        units=tuple(crops.units),
        n_train=int((~crops.held_out).sum()),
        n_held_out=int(crops.held_out.sum()),
        data=crops.fingerprint,
        options=kept,
        versions=dict(versions()),
        licence=options.licence,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
