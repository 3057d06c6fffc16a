"""Options of `upscale_z`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from napari_genrecon.errors import OptionError
from napari_genrecon.tasks.upscale.options import EnlargingOptions

__all__ = ["UpscaleZOptions"]

_THINNEST, _THICKEST = 0.3, 3.0  # distances of planes: thinner ones are sharp along z, thicker ones hold no detail
MOST_STEPS = 5000  # of training: a guard against slips, about a quarter of an hour on two CPU cores


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleZOptions(EnlargingOptions):
    """Options of `upscale_z`.

    Attributes
    ----------
    spacing, thickness, train_steps, seed
        See `upscale_z`.
    """

    spacing: Annotated[
        float | None,
        {"form": False, "tooltip": "Distance of two planes in pixels; from the file if not given"},
    ] = None
    thickness: Annotated[
        float,
        {
            "min": _THINNEST,
            "max": _THICKEST,
            "step": 0.1,
            "advanced": True,
            "tooltip": "How thick a slice of the object each plane shows (full width at half maximum), in "
            "distances between planes: more sharpens more along z; too much makes ripples",
        },
    ] = 1.0
    train_steps: Annotated[
        int,
        {
            "min": 0,
            "max": MOST_STEPS,
            "advanced": True,
            "tooltip": "How long the network is trained on the stack itself, in steps: more are a little better "
            "and take longer",
        },
    ] = 150
    seed: Annotated[
        int,
        {
            "min": 0,
            "advanced": True,
            "tooltip": "The same number gives the same result again; another one trains anew, as well",
        },
    ] = 0

    def __post_init__(self) -> None:
        EnlargingOptions.__post_init__(self)  # slots: the class that super() would look for is another one
        if self.spacing is not None and not (math.isfinite(self.spacing) and self.spacing > 0):
            raise OptionError(f"spacing must be a positive number of pixels, got {self.spacing}")
        if not _THINNEST <= self.thickness <= _THICKEST:
            raise OptionError(
                f"thickness must be {_THINNEST:g} to {_THICKEST:g} distances of planes, got {self.thickness}"
            )
        if not 0 <= self.train_steps <= MOST_STEPS:
            raise OptionError(f"train_steps must be 0 to {MOST_STEPS}, got {self.train_steps}")
        if self.seed < 0:
            raise OptionError(f"seed must be 0 or more, got {self.seed}")
