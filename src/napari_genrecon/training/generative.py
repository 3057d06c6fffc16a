"""Train a GAN or a VAE on crops: one recipe each, the loop of `training.loop`, and a folder that shows how it goes."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from napari_genrecon.models.card import ModelCard
from napari_genrecon.training.crops import Crops
from napari_genrecon.training.train_options import TrainOptions, TrainProgress

__all__ = ["TrainOptions", "TrainProgress", "train_steps"]


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
        Of ``best.safetensors``.

    Raises
    ------
    InferenceError
        If training diverges again and again.
    OutputError
        If the folder cannot be written.
    """
    raise NotImplementedError
