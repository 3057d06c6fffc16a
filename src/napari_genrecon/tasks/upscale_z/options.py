"""Options of `upscale_z`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from napari_genrecon.errors import OptionError
from napari_genrecon.models.card import FACTORS
from napari_genrecon.tasks.upscale.options import EnlargingOptions

__all__ = ["UpscaleZOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleZOptions(EnlargingOptions):
    """Options of `upscale_z`.

    Attributes
    ----------
    factor, spacing, thickness, train_steps, seed
        See `upscale_z`.
    """

    factor: Annotated[
        int,
        {
            "choices": FACTORS,
            "unless": "spacing",
            "tooltip": "How many times more planes, 2, 3 or 4, where the image does not say how tall its voxels are",
        },
    ] = 2
    spacing: Annotated[
        float | None,
        {"form": False, "tooltip": "Distance of two planes in pixels; from the file if not given"},
    ] = None
    thickness: Annotated[
        float,
        {
            "min": 0.3,  # thinner ones are sharp along z, ...
            "max": 3.0,  # ... and thicker ones hold no detail
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
            "max": 5000,  # a guard against slips: about a quarter of an hour on two CPU cores
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
