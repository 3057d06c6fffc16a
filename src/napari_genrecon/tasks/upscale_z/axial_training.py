"""What a network learns from the planes of a stack to see between them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from napari_genrecon.engine.intensity import measure_centre
from napari_genrecon.engine.run import Progress, map_progress
from napari_genrecon.errors import ImageError
from napari_genrecon.models import ModelCard, find_model
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.denoise import denoise
from napari_genrecon.tasks.upscale_z.fine_tune_cache import (
    TRAINING_WORK,
    Crops,
    Learnt,
    chosen_planes,
    finite_planes,
    key_of,
    learn_once,
)
from napari_genrecon.tasks.upscale_z.options import UpscaleZOptions

if TYPE_CHECKING:
    from napari_genrecon.training.adapt.axial import AxialOptions, SharpPlane

__all__ = ["SMALLEST_SIDE", "AxialTrainer", "learn"]

SMALLEST_SIDE = 8
"""Pixels of a plane; with less there is nothing to learn from."""


@dataclass(frozen=True, slots=True)
class AxialTrainer:
    """Which network learns, how, and where."""

    spec: ModelCard
    options: UpscaleZOptions
    factor: int
    device: str

    def training_options(self) -> AxialOptions:
        """How it is trained."""
        from napari_genrecon.training.adapt.axial import AxialOptions

        options = self.options
        return AxialOptions(
            factor=self.factor,
            thickness=options.thickness,
            steps=options.train_steps,
            seed=options.seed,
            stretch=1.0 if options.spacing is None else options.spacing / self.factor,
        )

    def key(self, sampled: Sequence[Crops]) -> str:
        """What tells this training from others: all that decides its weights, the threads included."""
        from napari_genrecon.training.adapt.axial import deciding

        given = self.options.noise
        facts = {
            "noise": given if isinstance(given, list | tuple) else [given],
            "asked": self.options.model,  # decides whether correlated noise is removed
            "models": [self.spec.facts(), find_model("auto", "denoise").facts()],
            "training": deciding(self.training_options(), self.device),
        }
        return key_of(facts, sampled)


def learn(
    trainer: AxialTrainer, sampled: Sequence[Crops], noise: Sequence[NoiseModel], later: int
) -> Generator[Progress, None, tuple[Learnt, int]]:
    """Train on planes of every channel, or remember it.

    Parameters
    ----------
    trainer, sampled
        Who learns from which crops.
    noise : sequence of NoiseModel
        Of every channel; what is to be removed.
    later : int
        Work after the training, in pixels that go through the network: progress is a share of all work, so that the
        first steps, which take no time, do not tell how long the whole takes.

    Returns
    -------
    (Learnt, int)
        What was learnt, and the work that it took.
    """
    return (yield from learn_once(trainer.key(sampled), _learn_anew(trainer, sampled, noise, later)))


def _learn_anew(
    trainer: AxialTrainer, sampled: Sequence[Crops], noise: Sequence[NoiseModel], later: int
) -> Generator[Progress, None, tuple[Learnt, int]]:
    from napari_genrecon.training.adapt.axial import train_on_planes

    training = trainer.training_options()
    chosen = _chosen(sampled)
    cleaning = _cleaning_work(trainer, chosen, noise)
    work = cleaning + TRAINING_WORK * training.steps
    planes = yield from _sharp_planes(sampled, chosen, noise, trainer.device, cleaning, work + later)
    losses = list[float]()

    def tell(loss: float) -> Progress:
        losses.append(loss)
        said = f"learning from the planes: {len(losses)} of {training.steps} steps"
        return Progress(cleaning + TRAINING_WORK * len(losses), work + later, said)

    weights = yield from map_progress(train_on_planes(planes, trainer.spec, training, trainer.device), tell)
    return Learnt(weights, tuple(losses), len(planes), {"thickness": training.thickness}), work


def _chosen(sampled: Sequence[Crops]) -> list[Crops]:
    """Of every channel, planes spread evenly over the stack, without what is not finite."""
    whole = finite_planes(sampled)
    if max((min(part.shape) for part in chain.from_iterable(whole)), default=0) < SMALLEST_SIDE:
        raise ImageError(
            "along Z learns from the planes of the stack, and NaN or infinite pixels leave no box of "
            f"{SMALLEST_SIDE} x {SMALLEST_SIDE} pixels whole in any of them: fill them first, with inpaint for example"
        )
    chosen = chosen_planes(whole, SMALLEST_SIDE)
    if not any(chosen):
        raise ImageError("along Z learns from the planes of the stack, and none of them shows anything: all are flat")
    return chosen


def _cleaning_work(trainer: AxialTrainer, chosen: Sequence[Crops], noise: Sequence[NoiseModel]) -> int:
    share = find_model("auto", "denoise").work / trainer.spec.work
    pixels = sum(crop.size for crops, model in zip(chosen, noise, strict=True) if model.sigma for crop in crops)
    return round(share * pixels)


def _sharp_planes(
    sampled: Sequence[Crops],
    chosen: Sequence[Crops],
    noise: Sequence[NoiseModel],
    device: str,
    cleaning: int,
    total: int,
) -> Generator[Progress, None, list[SharpPlane]]:
    """The chosen planes without their noise."""
    from napari_genrecon.training.adapt.axial import SharpPlane

    planes: list[SharpPlane] = []
    count, done = sum(map(len, chosen)), 0
    for crops, parts, model in zip(sampled, chosen, noise, strict=True):
        # Differences that are lost in float64 leave none.
        spread = float(np.sqrt(np.mean([np.var(part.astype(np.float64)) for part in parts]))) if parts else 0.0
        spread = spread or 1.0
        for part in parts:
            doing = "denoising planes to learn from" if model.sigma else "reading planes"
            yield Progress(done, total, f"{doing}: {len(planes) + 1} of {count}")
            clean = denoise(part, noise=model, axes="YX", device=device) if model.sigma else part.astype(np.float32)
            planes.append(SharpPlane(np.asarray(clean), model, measure_centre(crops), spread))
            done = cleaning * len(planes) // count if model.sigma else done
    return planes
