"""What a network learns from the planes of a stack; the last trainings are remembered.

A run after a preview, or with other options that do not touch the training, takes what was learnt: the training is a
function of its key alone, so that the pixels are those of a run that learns anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.engine.boxes import largest_box
from napari_genrecon.engine.intensity import measure_centre
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import ImageError
from napari_genrecon.models import ModelSpec, find_model
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.denoise import denoise

if TYPE_CHECKING:
    from napari_genrecon.tasks.upscale import UpscaleOptions
    from napari_genrecon.training.isotropic import Lesson, SharpPlane

__all__ = ["SMALLEST_SIDE", "TRAINING_WORK", "Learnt", "Pupil", "is_learnt", "learn"]

TRAINING_WORK = 50_000
"""A step of training takes as long as the network takes for so many pixels."""
SMALLEST_SIDE = 8
"""Pixels of a plane; with less there is nothing to learn from."""

_MOST_PLANES = 12  # to learn from, per channel
_KEPT = 4  # trainings that are remembered
_remembered: dict[str, Learnt] = {}  # the newest last

Crops = list[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Learnt:
    """The outcome of a training.

    Attributes
    ----------
    weights : bytes
        As safetensors.
    losses : tuple of float
        Of every step.
    planes : int
        Learnt from.
    """

    weights: bytes
    losses: tuple[float, ...]
    planes: int

    def facts(self, thickness: float) -> dict[str, Any]:
        """What the record says about the training."""
        first, last = (float(np.mean(part)) if part else None for part in (self.losses[:20], self.losses[-20:]))
        return {
            "planes": self.planes,
            "steps": len(self.losses),
            "loss": [first, last],
            "thickness": thickness,
            "sha256": hashlib.sha256(self.weights).hexdigest(),
        }


@dataclass(frozen=True, slots=True)
class Pupil:
    """Which network learns, how, and where."""

    spec: ModelSpec
    options: UpscaleOptions
    factor: int
    device: str

    def lesson(self) -> Lesson:
        """How it is trained."""
        from napari_genrecon.training.isotropic import Lesson

        options = self.options
        return Lesson(
            factor=self.factor,
            thickness=options.thickness,
            steps=options.train_steps,
            seed=options.seed,
            stretch=1.0 if options.spacing is None else options.spacing / self.factor,
        )

    def key(self, sampled: Sequence[Crops]) -> str:
        """What tells this training from others: all that decides its weights, the threads included."""
        from napari_genrecon.training.isotropic import deciding

        given = self.options.noise
        models = given if isinstance(given, list | tuple) else (given,)
        facts = {
            "noise": [model.to_dict() if isinstance(model, NoiseModel) else model for model in models],
            "asked": self.options.model,  # decides whether correlated noise is removed
            "models": [self.spec.facts(), find_model("auto", "denoise").facts()],
            "lesson": deciding(self.lesson(), self.device),
            "channels": [len(crops) for crops in sampled],
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=float).encode())
        for crop in chain.from_iterable(sampled):
            digest.update(f"{crop.dtype} {crop.shape}".encode())
            digest.update(np.ascontiguousarray(crop).data)
        return digest.hexdigest()


def is_learnt(pupil: Pupil, read: Callable[[], Sequence[Crops]]) -> bool:
    """Whether `learn` has only to remember; crops are read only if there is anything to remember."""
    return bool(_remembered) and pupil.key(read()) in _remembered


def learn(
    pupil: Pupil, sampled: Sequence[Crops], noise: Sequence[NoiseModel], later: int
) -> Generator[Progress, None, tuple[Learnt, int]]:
    """Train on planes of every channel, or remember it.

    Parameters
    ----------
    pupil, sampled
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
    key = pupil.key(sampled)
    known = _remembered.get(key)
    if known is None:
        known, work = yield from _learn_anew(pupil, sampled, noise, later)
    else:
        work = 0
        yield Progress(0, 0, "learnt from these planes before")
    _remembered.pop(key, None)
    _remembered[key] = known
    while len(_remembered) > _KEPT:
        _remembered.pop(next(iter(_remembered)), None)
    return known, work


def _learn_anew(
    pupil: Pupil, sampled: Sequence[Crops], noise: Sequence[NoiseModel], later: int
) -> Generator[Progress, None, tuple[Learnt, int]]:
    from napari_genrecon.training.isotropic import train_on_planes

    lesson = pupil.lesson()
    chosen = _chosen(sampled)
    cleaning = _cleaning_work(pupil, chosen, noise)
    work = cleaning + TRAINING_WORK * lesson.steps
    planes = yield from _sharp_planes(sampled, chosen, noise, pupil.device, cleaning, work + later)
    steps, losses = train_on_planes(planes, pupil.spec, lesson, pupil.device), list[float]()
    try:
        while True:
            losses.append(next(steps))
            done = cleaning + TRAINING_WORK * len(losses)
            said = f"learning from the planes: {len(losses)} of {lesson.steps} steps"
            yield Progress(done, work + later, said)
    except StopIteration as stop:
        return Learnt(stop.value, tuple(losses), len(planes)), work
    finally:
        steps.close()


def _chosen(sampled: Sequence[Crops]) -> list[Crops]:
    """Of every channel, planes spread evenly over the stack, without what is not finite."""
    whole = [[_finite_part(crop) for crop in crops] for crops in sampled]
    widest = max((min(part.shape) for part in chain.from_iterable(whole)), default=0)
    if widest < SMALLEST_SIDE:
        raise ImageError(
            "along Z learns from the planes of the stack, and NaN or infinite pixels leave no box of "
            f"{SMALLEST_SIDE} x {SMALLEST_SIDE} pixels whole in any of them: fill them first, with inpaint for example"
        )
    least = max(SMALLEST_SIDE, widest // 2)  # a small one would make the cuts of all others as small
    shown = [[part for part in parts if min(part.shape) >= least and np.ptp(part) > 0] for parts in whole]
    if not any(shown):
        raise ImageError("along Z learns from the planes of the stack, and none of them shows anything: all are flat")
    return [
        [parts[i] for i in np.unique(np.linspace(0, len(parts) - 1, _MOST_PLANES).astype(int))] if parts else []
        for parts in shown
    ]


def _finite_part(crop: NDArray[Any]) -> NDArray[Any]:
    """The largest box without NaN and infinite pixels: stacks that were turned or registered have a border of them."""
    return crop[largest_box(np.isfinite(crop))]


def _cleaning_work(pupil: Pupil, chosen: Sequence[Crops], noise: Sequence[NoiseModel]) -> int:
    share = find_model("auto", "denoise").work / pupil.spec.work
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
    from napari_genrecon.training.isotropic import SharpPlane

    planes: list[SharpPlane] = []
    count, done = sum(map(len, chosen)), 0
    for crops, parts, model in zip(sampled, chosen, noise, strict=True):
        spread = float(np.sqrt(np.mean([np.var(part.astype(np.float64)) for part in parts]))) if parts else 0.0
        for part in parts:
            doing = "denoising planes to learn from" if model.sigma else "reading planes"
            yield Progress(done, total, f"{doing}: {len(planes) + 1} of {count}")
            clean = denoise(part, noise=model, axes="YX", device=device) if model.sigma else part.astype(np.float32)
            planes.append(SharpPlane(clean, model, measure_centre(crops), spread))
            done = cleaning * len(planes) // count if model.sigma else done
    return planes
