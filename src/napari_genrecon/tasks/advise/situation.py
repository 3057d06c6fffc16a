"""Describe what is known before anything is done: the image, its noise and defects, what is labelled, the machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_genrecon.axes import Axes
from napari_genrecon.engine.memory import available_memory
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.noise import NoiseModel

__all__ = ["GOALS", "Machine", "Situation", "object_count", "point_count"]

GOALS = {
    "any": "not sure yet",
    "see": "see more clearly",
    "count": "find or count objects",
    "classify": "sort objects into classes",
    "train": "train a model of my own",
}
"""What a user can want: the word of the option, and the text in the window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where it would run.

    Attributes
    ----------
    device : str
        ``"cpu"``, or the graphics card that tasks would take.
    cores : int
        Processor cores that may be used.
    memory : int
        Bytes of free memory.
    """

    device: str
    cores: int
    memory: int

    @classmethod
    def here(cls) -> Machine:
        """Return this machine."""
        from napari_genrecon.models import resolve_device

        # Containers and job schedulers allow fewer cores than there are; only Linux can tell.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return cls(device=str(resolve_device("auto")), cores=cores, memory=available_memory())


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the rules look at.

    Attributes
    ----------
    shape, axes, dtype
        Those of the image.
    noise : tuple of NoiseModel
        One per channel.
    scale, units : tuple
        Size of a pixel and its unit per dimension; empty where they are not known.
    images : int
        Number of images like this one.
    objects : int
        Number of labelled objects.
    points : int
        Number of marked points.
    classes : tuple of int
        Number of labels of each class.
    goal : str
        One of `GOALS`.
    machine : Machine
        Where it would run.
    """

    shape: tuple[int, ...]
    axes: Axes
    dtype: str
    noise: tuple[NoiseModel, ...]
    scale: tuple[float, ...] = ()
    units: tuple[str, ...] = ()
    images: int = 1
    objects: int = 0
    points: int = 0
    classes: tuple[int, ...] = ()
    goal: str = "any"
    machine: Machine

    def __post_init__(self) -> None:
        if self.goal not in GOALS:
            raise OptionError(f"goal must be one of {', '.join(GOALS)}; got {self.goal!r}")
        if self.images < 1:
            raise OptionError(f"images must be 1 or more, got {self.images}")
        # 0 is a class that is planned and has no label yet.
        if any(count < 0 for count in self.classes):
            raise OptionError(f"classes are numbers of labels, 0 or more, got {list(self.classes)}")

    @property
    def worst(self) -> NoiseModel:
        """Noise of the channel with the lowest contrast-to-noise ratio."""
        # A ratio of 0 is unknown: such a channel counts only where there is no other.
        return min(self.noise, key=lambda model: model.snr if model.snr > 0 else np.inf)

    @property
    def snr(self) -> float:
        """Lowest contrast-to-noise ratio of the channels; infinite without noise, 0 where it is not known."""
        return self.worst.snr

    @property
    def pixels(self) -> int:
        """Pixels of a plane."""
        return self.shape[self.axes.y] * self.shape[self.axes.x]

    @property
    def bytes(self) -> int:
        """Size of the image in memory, as the 32-bit floats of a result."""
        return 4 * int(np.prod(self.shape, dtype=np.int64))

    def length(self, letter: str) -> int:
        """Return the length of a dimension; 1 if the image has none of this letter."""
        return self.shape[self.axes.letters.index(letter)] if letter in self.axes.letters else 1

    def size(self, letter: str) -> float | None:
        """Return the size of a pixel along a dimension, or None where no unit of length is known."""
        if letter not in self.axes.letters or not self.units:
            return None
        at = self.axes.letters.index(letter)
        # napari gives every layer a scale; in the unit "pixel" it says nothing about lengths.
        return self.scale[at] if self.units[at] != "pixel" else None

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return {
            "shape": list(self.shape), "axes": self.axes.letters, "dtype": self.dtype,
            # JSON has no infinity.
            "snr": self.snr if np.isfinite(self.snr) else None,
            # The curve has many points, and the other values sum it up.
            "noise": [{k: v for k, v in model.to_dict().items() if k != "curve"} for model in self.noise],
            "images": self.images, "objects": self.objects, "points": self.points, "classes": list(self.classes),
            "goal": self.goal, "device": self.machine.device, "cores": self.machine.cores,
            "free memory": self.machine.memory,
        }  # fmt: skip


def object_count(labels: Any) -> int:
    """Return the number of objects of a labels image.

    Raises
    ------
    ImageError
        If it does not hold integers.
    """
    found = np.asarray(labels)
    if found.dtype.kind not in "iub":
        raise ImageError(f"labels have dtype {found.dtype}: integers are needed, one number per object")
    # 0 is the background.
    return int(np.count_nonzero(np.unique(found)))


def point_count(points: Any) -> int:
    """Return the number of points.

    Raises
    ------
    ImageError
        If they are no table of one row per point.
    """
    found = np.asarray(points)
    # An empty list has one dimension, and is a table without rows.
    if found.size and found.ndim != 2:
        raise ImageError(f"points have the shape {found.shape}: a row for each point is needed")
    return len(found) if found.size else 0
