"""Look at an image and say what to do with it, and what not."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import fields
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_genrecon.arrays import ImageLayer, ImageLike
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.run import Progress, finish
from napari_genrecon.errors import GenReconError, ImageError
from napari_genrecon.tasks import TASKS
from napari_genrecon.tasks.advise.advice import Advice
from napari_genrecon.tasks.advise.rules import RULES, Rule
from napari_genrecon.tasks.advise.situation import Machine, Situation, object_count, point_count
from napari_genrecon.tasks.given import given_image, given_mask, given_points, warn_assumed
from napari_genrecon.tasks.measure import Noise, as_source, noise_per_channel, sample_channels

__all__ = ["advise", "advise_steps", "advices"]

_PACKAGE = "napari_genrecon.tasks"


def advise(
    image: ImageLike,
    labels: ImageLike | None = None,
    points: ArrayLike | ImageLayer | None = None,
    *,
    goal: str = "any",
    images: int = 1,
    classes: Sequence[int] = (),
    noise: Noise | None = None,
    axes: str | None = None,
) -> tuple[Advice, ...]:
    """Say which tasks are worth trying on an image, in which order and why, and which are not.

    Parameters
    ----------
    image : (..., Y, X) or (..., Y, X, S) array_like, or an image layer of napari
        The image; its noise and defects are measured. The pixel size of a layer counts, too.
    labels : array_like of integers, or a labels layer, optional
        Labelled objects.
    points : (N, D) array_like, or a points layer, optional
        Marked objects.
    goal : {"any", "see", "count", "classify", "train"}
        What it is for: not sure, see more clearly, find or count objects, sort objects into classes, train a model.
    images : int
        Number of images like this one.
    classes : sequence of int
        Number of labels of each class, for ``"classify"``.
    noise : NoiseModel or tuple of NoiseModel, optional
        Noise of the image, per channel; measured from it if not given.
    axes : str, optional
        One letter per dimension; inferred from the shape if not given.

    Returns
    -------
    tuple of Advice
        The first is the most urgent. Advice against something (``do`` is False) comes last. If nothing is to be done,
        there is no other.

    Raises
    ------
    ImageError
        If the image is none or has one value everywhere, or labels or points are none.
    OptionError
        If there is no such goal.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_genrecon import advise
    >>> noisy = np.random.default_rng(0).poisson(np.linspace(5, 40, 128), (128, 128))
    >>> advise(noisy)[0].task
    'denoise'
    """
    given = given_image(image, axes)
    source = as_source(given.pixels)
    resolved = resolve_axes(given.axes, source.shape)
    warn_assumed(resolved, source)
    meta = given.layer or {}
    counted = {"labels": given_mask(labels, ("labels",)), "points": given_points(points, image)}
    scale = tuple(map(float, meta.get("scale", ())))
    units = tuple(map(str, meta.get("units", ()) or ()))
    facts = {"goal": goal, "images": images, "classes": tuple(classes), "scale": scale, "units": units}
    return finish(advise_steps(source, resolved, noise=noise, **counted, **facts))[1]


def advise_steps(
    image: Any, axes: Axes, *, labels: Any = None, points: Any = None, noise: Noise | None = None, **facts: Any
) -> Generator[Progress, None, tuple[Situation, tuple[Advice, ...]]]:
    """Run `advise` step by step.

    Parameters
    ----------
    image, axes, labels, points, noise
        See `advise`.
    **facts
        Further attributes of `Situation`.

    Returns
    -------
    Situation
    tuple of Advice
    """
    yield Progress(0, 3, "measuring the noise")
    sampled = sample_channels(image, axes)
    _check_shows_something(sampled)
    models = noise_per_channel(sampled, noise)
    yield Progress(1, 3, "looking at the machine")
    situation = Situation(
        shape=tuple(map(int, image.shape)), axes=axes, dtype=str(image.dtype), machine=Machine.here(),
        noise=models,
        objects=0 if labels is None else object_count(labels), points=0 if points is None else point_count(points),
        **facts,
    )  # fmt: skip
    # Some tasks run a small piece to tell their time.
    yield Progress(2, 3, "timing")
    return situation, advices(situation, image)


def advices(situation: Situation, image: Any = None) -> tuple[Advice, ...]:
    """Return what the rules say about a situation.

    Parameters
    ----------
    situation : Situation
        What is known.
    image : array_like, optional
        The image, to estimate how long tasks take.
    """
    found = [advice for rule in RULES if (advice := _applied(rule, situation, image)) is not None]
    against = [advice for advice in found if not advice.do]
    first = {advice.task: advice for advice in reversed(found) if advice.do}  # a task once: what stands first says more
    # The order of the rules stays; what is advised against comes last.
    return (*(advice for advice in found if first.get(advice.task) is advice), *against)


def _check_shows_something(sampled: Sequence[list[NDArray[Any]]]) -> None:
    """Refuse an image of which every channel has one value."""
    ends = []
    for crops in sampled:
        finite = np.concatenate([crop[np.isfinite(crop)] for crop in crops])
        ends.append((finite.min(), finite.max()))
    if any(low < high for low, high in ends):
        return
    values = " and ".join(dict.fromkeys(f"{low:.10g}" for low, _ in ends))
    raise ImageError(
        f"the image shows nothing: all pixels that were looked at have the grey value {values}. Check that it is the "
        "right file, series and channel, that it was written whole, and that light reached the camera"
    )


def _applied(rule: Rule, situation: Situation, image: Any) -> Advice | None:
    if (rule.goals and situation.goal not in rule.goals) or not _exists(rule):
        return None
    why = rule.why(situation)
    if not why:
        return None
    options = rule.options(situation)
    # Telling the time may mean to run a piece: nobody needs that of what is advised against.
    seconds = _seconds(rule, situation, image, options) if rule.do else None
    return Advice(
        rule=rule.name, task=rule.task, do=rule.do, title=rule.title, reason=why[0].upper() + why[1:],
        source=rule.source, options=options, seconds=seconds,
    )  # fmt: skip


def _exists(rule: Rule) -> bool:
    """Return whether this installation has the task, with the options that the rule is about."""
    # Looks for the file only, and imports nothing.
    if find_spec(f"{_PACKAGE}.{rule.task}") is None:
        return False
    if not rule.needs:
        return True
    # Packages of tasks name their options after themselves: upscale_z has UpscaleZOptions.
    options = getattr(import_module(f"{_PACKAGE}.{rule.task}"), f"{rule.task.title().replace('_', '')}Options")
    return set(rule.needs) <= {option.name for option in fields(options)}


def _seconds(rule: Rule, situation: Situation, image: Any, options: dict[str, Any]) -> float | None:
    if rule.seconds is not None:
        return rule.seconds(situation)
    # Classify, augment and train make no image, and are not in TASKS.
    task = next((task for task in TASKS if task.name == rule.task), None)
    if task is None or image is None:
        return None
    try:
        return float(task.expected_seconds(image, task.options(**{**options, "axes": situation.axes})))
    except GenReconError:  # an option is missing that only the user knows, such as the objective of a deblurring
        return None
