"""Choose the planes that a network is fine-tuned on, and cache the last trainings.

A run after a preview, or with options that do not touch the training, reuses the cached weights. They are a function of
the key alone, so the pixels are the same as after a new training.
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

from napari_genrecon.engine.intensity import MAX_PLANES
from napari_genrecon.engine.memory import keep_newest
from napari_genrecon.engine.run import Progress
from napari_genrecon.noise import NoiseModel
from napari_genrecon.numerics.boxes import largest_box

__all__ = [
    "TRAINING_WORK",
    "Crops",
    "FineTuned",
    "chosen_planes",
    "finite_planes",
    "is_cached",
    "cache_key",
    "train_once",
]

TRAINING_WORK = 65_000
"""Pixels that go through the network in the seconds of a training step; only progress and expected times use it."""

_cache: dict[str, FineTuned] = {}  # the newest last

Crops = list[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class FineTuned:
    """Result of a training.

    Attributes
    ----------
    weights : bytes
        The weights, as safetensors.
    losses : tuple of float
        Loss of every step.
    planes : int
        Number of planes that were trained on.
    more : dict
        Further entries of the record.
    """

    weights: bytes
    losses: tuple[float, ...]
    planes: int
    more: Mapping[str, Any]

    def facts(self) -> dict[str, Any]:
        """Return the record's entries about the training."""
        # Means over twenty steps, as the loss of a single batch is noisy; None without any step.
        first, last = (float(np.mean(part)) if part else None for part in (self.losses[:20], self.losses[-20:]))
        return {
            "planes": self.planes,
            "steps": len(self.losses),
            "loss": [first, last],
            **self.more,
            "sha256": hashlib.sha256(self.weights).hexdigest(),
        }


def cache_key(facts: Mapping[str, Any], sampled: Sequence[Crops]) -> str:
    """Return a digest of all that decides the weights: `facts` and the crops of every channel."""
    # Crops per channel: without their number, crops that move from one channel to the next would give the same digest.
    described = {**facts, "channels": [len(crops) for crops in sampled]}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=_plain).encode())
    for crop in chain.from_iterable(sampled):
        # Dtype and shape first: the same bytes may be another image.
        digest.update(f"{crop.dtype} {crop.shape}".encode())
        digest.update(np.ascontiguousarray(crop).data)
    return digest.hexdigest()


def _plain(value: NoiseModel | np.number[Any]) -> Any:
    return value.to_dict() if isinstance(value, NoiseModel) else float(value)


def is_cached(read_key: Callable[[], str]) -> bool:
    """Return whether a training is cached. `read_key`, which reads the image, is not called if the cache is empty."""
    return bool(_cache) and read_key() in _cache


def train_once(
    key: str, anew: Generator[Progress, None, tuple[FineTuned, int]]
) -> Generator[Progress, None, tuple[FineTuned, int]]:
    """Return the cached result, or train.

    Parameters
    ----------
    key : str
        Result of `cache_key`.
    anew : generator of Progress
        The training; not started if its result is cached. Returns the fine-tuned weights and the work that it took.

    Returns
    -------
    (FineTuned, int)
        The fine-tuned weights, and the work that the training took: 0 if it was cached.
    """
    known, work = _cache.get(key), 0
    # `anew` is a generator and does nothing before its first step: a cached result costs no training.
    if known is None:
        known, work = yield from anew
    else:
        yield Progress(0, 0, "the network was trained on these planes before")
    # A cached training becomes the newest again, so that those that are used stay.
    keep_newest(_cache, key, known)
    return known, work


def finite_planes(sampled: Sequence[Crops]) -> list[Crops]:
    """Cut every crop to its largest box without NaN and infinite pixels.

    Turned or registered images have a border of them. A box has no pixel where nothing is finite.
    """
    return [[crop[largest_box(np.isfinite(crop))] for crop in crops] for crops in sampled]


def _shows(part: NDArray[Any]) -> bool:
    """Return whether a plane is not flat; compares instead of subtracting, which could overflow the dtype."""
    return bool(part.min() < part.max())


def chosen_planes(sampled: Sequence[Crops], smallest: int) -> list[Crops]:
    """Return planes of every channel, spread evenly over the image, without flat ones and those of too few pixels.

    Also drop planes narrower than half the widest one: all training cuts have the size that the smallest plane allows.
    """
    widest = max((min(part.shape) for part in chain.from_iterable(sampled)), default=0)
    least = max(smallest, widest // 2)
    shown = [[part for part in parts if min(part.shape) >= least and _shows(part)] for parts in sampled]
    return [
        # With fewer planes than are wanted, several of the places are the same plane: each is taken once.
        [parts[i] for i in np.unique(np.linspace(0, len(parts) - 1, MAX_PLANES).astype(int))] if parts else []
        for parts in shown
    ]
