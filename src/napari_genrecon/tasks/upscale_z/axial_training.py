"""Fine-tune an upscaler on the planes of a stack, so that it can compute the planes between them."""

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
from napari_genrecon.models.card import FACTORS
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.denoise import denoise
from napari_genrecon.tasks.measure import is_noisy
from napari_genrecon.tasks.upscale_z.fine_tune_cache import (
    TRAINING_WORK,
    Crops,
    FineTuned,
    cache_key,
    chosen_planes,
    finite_planes,
    train_once,
)
from napari_genrecon.tasks.upscale_z.options import UpscaleZOptions

if TYPE_CHECKING:
    from napari_genrecon.training.adapt.axial import AxialOptions, SharpPlane

__all__ = ["SMALLEST_SIDE", "AxialTrainer", "train_axial"]

SMALLEST_SIDE = 2 * max(FACTORS)
"""Least side in pixels of a plane that is trained on: thinned out by the largest factor, two rows of it are left."""


@dataclass(frozen=True, slots=True)
class AxialTrainer:
    """Network to fine-tune, with all that decides its training.

    Attributes
    ----------
    spec : ModelCard
        The upscaler whose weights the training starts from.
    options : UpscaleZOptions
        Options of the task.
    factor : int
        How many times more planes.
    device : str
        Device of the training, resolved.
    """

    spec: ModelCard
    options: UpscaleZOptions
    factor: int
    device: str

    def training_options(self) -> AxialOptions:
        """Return the options of the training."""
        from napari_genrecon.training.adapt.axial import AxialOptions

        options = self.options
        return AxialOptions(
            factor=self.factor,
            thickness=options.thickness,
            steps=options.train_steps,
            seed=options.seed,
            # The rest of the spacing that whole planes do not make up for: training rows are as tall as those of the
            # result.
            stretch=1.0 if options.spacing is None else options.spacing / self.factor,
        )

    def key(self, sampled: Sequence[Crops]) -> str:
        """Return the cache key: a digest of all that decides the weights, the number of threads included."""
        from napari_genrecon.training.adapt.axial import deciding

        # The noise as it was given, not as measured: measured noise follows from the crops, which are in the key.
        given = self.options.noise
        facts = {
            "noise": given if isinstance(given, list | tuple) else [given],
            "asked": self.options.model,  # decides whether correlated noise is removed
            "models": [self.spec.facts(), find_model("auto", "denoise").facts()],
            "training": deciding(self.training_options(), self.device),
        }
        return cache_key(facts, sampled)


def train_axial(
    trainer: AxialTrainer, sampled: Sequence[Crops], noise: Sequence[NoiseModel], later: int
) -> Generator[Progress, None, tuple[FineTuned, int]]:
    """Train on planes of every channel, or return the cached result.

    Parameters
    ----------
    trainer : AxialTrainer
        The network and its training.
    sampled : sequence of lists of ndarray
        Crops of every channel.
    noise : sequence of NoiseModel
        The noise to remove, per channel.
    later : int
        Work after the training, in pixels that go through the network. Progress is given as a share of all work;
        the time left would otherwise be estimated from the first steps alone, which take no time.

    Returns
    -------
    (FineTuned, int)
        The fine-tuned weights, and the work that the training took.
    """
    return (yield from train_once(trainer.key(sampled), _train(trainer, sampled, noise, later)))


def _train(
    trainer: AxialTrainer, sampled: Sequence[Crops], noise: Sequence[NoiseModel], later: int
) -> Generator[Progress, None, tuple[FineTuned, int]]:
    from napari_genrecon.training.adapt.axial import train_on_planes

    training = trainer.training_options()
    chosen = _chosen(sampled)
    # Known before the first step, so that progress is a share of all work from the start.
    cleaning = _cleaning_work(trainer, chosen, noise)
    work = cleaning + TRAINING_WORK * training.steps
    planes = yield from _sharp_planes(sampled, chosen, noise, trainer.device, cleaning, work + later)
    losses = list[float]()

    def tell(loss: float) -> Progress:
        losses.append(loss)
        note = f"training on the planes: {len(losses)} of {training.steps} steps"
        return Progress(cleaning + TRAINING_WORK * len(losses), work + later, note)

    # `tell` is called with the loss of every step, and keeps it for the record.
    weights = yield from map_progress(train_on_planes(planes, trainer.spec, training, trainer.device), tell)
    return FineTuned(weights, tuple(losses), len(planes), {"thickness": training.thickness}), work


def _chosen(sampled: Sequence[Crops]) -> list[Crops]:
    """Return planes of every channel, spread evenly over the stack and cut to their finite part."""
    whole = finite_planes(sampled)
    # NaN alone can leave no plane: the sentence then names them, and not flat planes.
    if max((min(part.shape) for part in chain.from_iterable(whole)), default=0) < SMALLEST_SIDE:
        raise ImageError(
            "upscale_z trains on the planes of the stack, and NaN or infinite pixels leave no box of "
            f"{SMALLEST_SIDE} x {SMALLEST_SIDE} pixels whole in any of them: fill them first, with inpaint for example"
        )
    chosen = chosen_planes(whole, SMALLEST_SIDE)
    if not any(chosen):
        raise ImageError("upscale_z trains on the planes of the stack, and none of them shows anything: all are flat")
    return chosen


def _cleaning_work(trainer: AxialTrainer, chosen: Sequence[Crops], noise: Sequence[NoiseModel]) -> int:
    """Return the work of denoising the chosen planes, in pixels that go through the upscaler."""
    # Both cards state their work per pixel, so the quotient brings one into pixels of the other.
    share = find_model("auto", "denoise").work / trainer.spec.work
    pixels = sum(
        crop.size for crops, model in zip(chosen, noise, strict=True) if is_noisy(model, crops) for crop in crops
    )
    return round(share * pixels)


def _sharp_planes(
    sampled: Sequence[Crops],
    chosen: Sequence[Crops],
    noise: Sequence[NoiseModel],
    device: str,
    cleaning: int,
    total: int,
) -> Generator[Progress, None, list[SharpPlane]]:
    """Return the chosen planes, denoised."""
    from napari_genrecon.training.adapt.axial import SharpPlane

    planes: list[SharpPlane] = []
    count, done = sum(map(len, chosen)), 0
    for crops, parts, model in zip(sampled, chosen, noise, strict=True):
        # The spread is 0 where large grey values differ by less than float64 resolves; 1 then avoids a division by 0.
        spread = float(np.sqrt(np.mean([np.var(part.astype(np.float64)) for part in parts]))) if parts else 0.0
        spread = spread or 1.0
        noisy = is_noisy(model, parts)
        for part in parts:
            doing = "denoising planes to train on" if noisy else "reading planes"
            yield Progress(done, total, f"{doing}: {len(planes) + 1} of {count}")
            # In float32: these planes are the targets of the training.
            clean = (
                denoise(part, noise=model, axes="YX", device=device, precision="float32")
                if noisy
                else part.astype(np.float32)
            )
            # The noise goes with the plane: it is added again after the plane was thinned out, as in the stack.
            planes.append(SharpPlane(np.asarray(clean), model, measure_centre(crops), spread))
            # Planes that are only read take no time.
            done = cleaning * len(planes) // count if noisy else done
    return planes
