"""What a network is taught on an image, whatever it learns: the planes, and a memory of the last trainings.

A run after a preview, or with other options that do not touch the training, takes what was learnt: the training is a
function of its key alone, so that the pixels are those of a run that learns anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.engine.run import Progress
from napari_genrecon.noise import NoiseModel
from napari_genrecon.numerics.boxes import largest_box

__all__ = ["TRAINING_WORK", "Crops", "Learnt", "chosen_planes", "finite_planes", "is_learnt", "key_of", "learn_once"]

TRAINING_WORK = 65_000
"""A step of training takes as long as the network takes for so many pixels."""

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
    more : dict
        What else the record says.
    """

    weights: bytes
    losses: tuple[float, ...]
    planes: int
    more: Mapping[str, Any]

    def facts(self) -> dict[str, Any]:
        """What the record says about the training."""
        first, last = (float(np.mean(part)) if part else None for part in (self.losses[:20], self.losses[-20:]))
        return {
            "planes": self.planes,
            "steps": len(self.losses),
            "loss": [first, last],
            **self.more,
            "sha256": hashlib.sha256(self.weights).hexdigest(),
        }


def key_of(facts: Mapping[str, Any], sampled: Sequence[Crops]) -> str:
    """What tells a training from others: all that decides its weights, with the crops of every channel."""
    told = {**facts, "channels": [len(crops) for crops in sampled]}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=_plain).encode())
    for crop in chain.from_iterable(sampled):
        digest.update(f"{crop.dtype} {crop.shape}".encode())
        digest.update(np.ascontiguousarray(crop).data)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    return value.to_dict() if isinstance(value, NoiseModel) else float(value)


def is_learnt(read_key: Callable[[], str]) -> bool:
    """Whether `learn_once` has only to remember; the key, which takes reading, is asked for only if it can be known."""
    return bool(_remembered) and read_key() in _remembered


def learn_once(
    key: str, anew: Generator[Progress, None, tuple[Learnt, int]]
) -> Generator[Progress, None, tuple[Learnt, int]]:
    """Take a training, or remember it.

    Parameters
    ----------
    key : str
        Of `key_of`.
    anew : generator of Progress
        The training; not begun if it is remembered. Returns what was learnt and the work that it took.

    Returns
    -------
    (Learnt, int)
        What was learnt, and the work that it took: none if it is remembered.
    """
    known, work = _remembered.get(key), 0
    if known is None:
        known, work = yield from anew
    else:
        yield Progress(0, 0, "learnt from these planes before")
    _remembered.pop(key, None)
    _remembered[key] = known
    while len(_remembered) > _KEPT:
        _remembered.pop(next(iter(_remembered)), None)
    return known, work


def finite_planes(sampled: Sequence[Crops]) -> list[Crops]:
    """Of every crop the largest box without NaN and infinite pixels: turned or registered images have a border of them.

    An image full of them may leave boxes without any pixel.
    """
    return [[crop[largest_box(np.isfinite(crop))] for crop in crops] for crops in sampled]


def _shows(part: NDArray[Any]) -> bool:
    """Whether it is not flat: told without a difference, for which the dtype may be too narrow."""
    return bool(part.min() < part.max())


def chosen_planes(sampled: Sequence[Crops], smallest: int) -> list[Crops]:
    """Of every channel, planes spread evenly over the image; none that is flat or has a side of fewer pixels.

    Nor one of less than half of the widest, as it would make what is cut out of all others as small.
    """
    widest = max((min(part.shape) for part in chain.from_iterable(sampled)), default=0)
    least = max(smallest, widest // 2)
    shown = [[part for part in parts if min(part.shape) >= least and _shows(part)] for parts in sampled]
    return [
        [parts[i] for i in np.unique(np.linspace(0, len(parts) - 1, _MOST_PLANES).astype(int))] if parts else []
        for parts in shown
    ]
