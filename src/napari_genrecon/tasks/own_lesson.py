"""What a network learns from the very image that it is to enlarge."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_genrecon.engine.intensity import measure_centre
from napari_genrecon.engine.run import Progress, retold
from napari_genrecon.models import ModelCard, resolve_device
from napari_genrecon.tasks.enlarging import UpscalePlanes
from napari_genrecon.tasks.lessons import (
    TRAINING_WORK,
    Crops,
    Learnt,
    chosen_planes,
    finite_planes,
    is_learnt,
    key_of,
    learn_once,
)
from napari_genrecon.tasks.upscale_options import UpscaleOptions
from napari_genrecon.tasks.upscale_plan import Measured, UpscalePlan, chosen_model

if TYPE_CHECKING:
    from napari_genrecon.training.own_image import OwnLesson

__all__ = ["taught", "work_of_lesson"]


@dataclass(frozen=True, slots=True)
class _Pupil:
    """Which network learns, and how."""

    spec: ModelCard
    options: UpscaleOptions

    def lesson(self) -> OwnLesson:
        from napari_genrecon.training.own_image import OwnLesson

        options = self.options
        return OwnLesson(factor=options.factor, steps=options.train_steps, seed=options.seed)

    def key(self, sampled: Sequence[Crops]) -> str:
        from napari_genrecon.training.own_image import deciding

        lesson = deciding(self.lesson(), resolve_device(self.options.device))
        return key_of({"own image": lesson, "model": self.spec.facts()}, sampled)


def taught(plan: UpscalePlan, later: int) -> Generator[Progress, None, UpscalePlan]:
    """Train the network of a plan on the image, and plan to use it if it has become better.

    Parameters
    ----------
    plan : UpscalePlan
        For planes.
    later : int
        Work after the training, in pixels that go through the network; see `side_lesson.learn`.

    Returns
    -------
    UpscalePlan
        With the weights and the work; as it was, with a note, if there is nothing to learn from.
    """
    assert isinstance(plan.kernel, UpscalePlanes)
    measured, options = plan.measured, plan.options
    yield Progress(0, 0, "choosing planes to learn from")
    planes = _planes(measured, options.factor)
    refused = _why_not(plan.kernel, planes, options)
    if refused:
        return replace(plan, notes=(*plan.notes, f"learning from the image was left out: {refused}"))
    pupil = _Pupil(plan.kernel.spec, options)
    learnt, before = yield from learn_once(pupil.key(measured.sampled), _learn_anew(pupil, measured, planes, later))
    after = replace(plan, facts={"seed": options.seed, "trained": learnt.facts()}, work=(before, later))
    if not learnt.more["share"]:
        note = "learning from the image did not make the network better for it, so that the packaged one was used"
        return replace(after, notes=(*plan.notes, note))
    said = f"trained further on this image, {learnt.more['gain']:.2f} dB better on the part kept out of the training"
    return replace(
        after,
        kernel=replace(plan.kernel, weights=learnt.weights),
        model={**plan.model, "chosen": f"{plan.model['chosen']}; {said}"},
    )


def work_of_lesson(measured: Measured, options: UpscaleOptions) -> int:
    """Pixels that could go through the network in the time of the training; 0 if it is remembered or left out."""
    spec, _ = chosen_model(options, measured.noise)
    planes = [] if spec.denoiser else _planes(measured, options.factor)
    if not any(planes):
        return 0
    pupil = _Pupil(spec, options)
    return 0 if is_learnt(lambda: pupil.key(measured.sampled)) else _work(planes, options)


def _work(planes: Sequence[Crops], options: UpscaleOptions) -> int:
    """Of the training and of the trials, in pixels that go through the network."""
    from napari_genrecon.training.own_image import trials

    count, pixels = trials(list(chain.from_iterable(planes)), options.factor)
    return TRAINING_WORK * options.train_steps + count * pixels


def _why_not(kernel: UpscalePlanes, planes: Sequence[Crops], options: UpscaleOptions) -> str:
    from napari_genrecon.training.own_image import smallest_side

    if kernel.denoise is not None:
        return "noise is removed from it, and what remains would be learnt; denoise it first, then upscale the result"
    if not any(planes):
        least = smallest_side(options.factor)
        return f"it needs a plane of {least} x {least} pixels or more, not flat, without NaN or infinite pixels"
    return ""


def _planes(measured: Measured, factor: int) -> list[Crops]:
    from napari_genrecon.training.own_image import smallest_side

    return chosen_planes(finite_planes(measured.sampled), smallest_side(factor))


def _learn_anew(
    pupil: _Pupil, measured: Measured, planes: Sequence[Crops], later: int
) -> Generator[Progress, None, tuple[Learnt, int]]:
    from napari_genrecon.training.own_image import train_on_image, trials

    lesson = pupil.lesson()
    work = _work(planes, pupil.options)
    shown = list(chain.from_iterable(map(_in_its_units, measured.sampled, planes)))
    _, judged = trials(shown, lesson.factor)
    losses, done = list[float](), 0

    def tell(loss: float | None) -> Progress:
        nonlocal done
        if loss is None:
            done += judged
            return Progress(done, work + later, "judging what was learnt")
        losses.append(loss)
        done += TRAINING_WORK
        return Progress(done, work + later, f"learning from the image: {len(losses)} of {lesson.steps} steps")

    device = resolve_device(pupil.options.device)
    result = yield from retold(train_on_image(shown, pupil.spec, lesson, device), tell)
    return Learnt(result.weights, tuple(losses), len(shown), {"share": result.share, "gain": result.gain}), work


def _in_its_units(crops: Crops, planes: Crops) -> list[Any]:
    """Planes of one channel without its centre, in units of its s.d."""
    if not planes:
        return []
    centre = measure_centre(crops)
    centred = [plane.astype(np.float64) - centre for plane in planes]
    # Differences that are lost in float64 leave none: such planes are flat, and nothing comes of learning from them.
    spread = float(np.sqrt(np.mean([np.var(plane) for plane in centred]))) or 1.0
    return [(plane / spread).astype(np.float32) for plane in centred]
