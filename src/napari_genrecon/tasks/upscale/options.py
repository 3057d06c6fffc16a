"""What can be chosen when an image is enlarged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from napari_genrecon.engine.memory import check_tile
from napari_genrecon.errors import OptionError
from napari_genrecon.options import check_types
from napari_genrecon.tasks.measure import Noise
from napari_genrecon.tasks.shared_options import AxesOption, DeviceOption, KeepDtypeOption, TileOption

__all__ = ["FACTORS", "UpscaleOptions"]

FACTORS = (2, 3, 4)
DIRECTIONS = ("YX", "Z")
MOST_STEPS = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleOptions:
    """What can be chosen.

    Attributes
    ----------
    factor, along, noise, model, consistent, self_ensemble, spacing, thickness, train_steps, seed, axes, tile,
    device, keep_dtype
        See `upscale`.
    """

    factor: Annotated[
        int, {"choices": FACTORS, "tooltip": "How many times more pixels along X and along Y: 2, 3 or 4"}
    ] = 2
    along: Annotated[
        str,
        {
            "choices": DIRECTIONS,
            "tooltip": "YX: enlarge every plane; Z: more planes, so that voxels of a stack are as tall as wide (learns "
            "from the stack first, a few minutes)",
        },
    ] = "YX"
    noise: Annotated[
        Noise | float | None,
        {
            "form": False,
            "tooltip": "Noise s.d. in grey values (0: none), or a noise report saved as JSON; measured from the "
            "image if not given",
        },
    ] = None
    model: Annotated[str, {"choices": "models", "tooltip": "The network; 'auto' chooses by the noise of the image"}] = (
        "auto"
    )
    consistent: Annotated[
        bool, {"tooltip": "Correct the result so that, shrunk again, it gives the image back, noise included"}
    ] = False
    self_ensemble: Annotated[
        bool,
        {
            "advanced": True,
            "tooltip": "Average the results of eight turned and mirrored views: a little better, 8 times slower",
        },
    ] = False
    spacing: Annotated[
        float | None,
        {"form": False, "tooltip": "Along Z: how many pixels one plane is from the next; from the file if not given"},
    ] = None
    thickness: Annotated[
        float,
        {
            "min": 0.3,
            "max": 3.0,
            "step": 0.1,
            "advanced": True,
            "tooltip": "Along Z: how thick the layer is that one plane shows (FWHM), in distances of planes",
        },
    ] = 1.0
    train_steps: Annotated[
        int,
        {
            "min": 0,
            "max": MOST_STEPS,
            "advanced": True,
            "tooltip": "How long to learn from the image, in steps, along Z",
        },
    ] = 150
    seed: Annotated[int, {"min": 0, "advanced": True, "tooltip": "Decides what is learnt in which order"}] = 0
    axes: AxesOption = None
    tile: TileOption = None
    device: DeviceOption = "auto"
    keep_dtype: KeepDtypeOption = False

    def __post_init__(self) -> None:
        check_types(self)
        if self.factor not in FACTORS:
            raise OptionError(f"factor must be 2, 3 or 4, got {self.factor}")
        if self.along not in DIRECTIONS:
            raise OptionError(f"along must be 'YX' or 'Z', got {self.along!r}")
        if self.tile is not None:
            check_tile(self.tile, 1)
        self._check_training()
        if isinstance(self.noise, int | float) and not (math.isfinite(self.noise) and self.noise >= 0):
            raise OptionError(f"noise must be 0 or more grey values, got {self.noise}")

    def _check_training(self) -> None:
        if self.spacing is not None and not (math.isfinite(self.spacing) and self.spacing > 0):
            raise OptionError(f"spacing must be a positive number of pixels, got {self.spacing}")
        if not 0.3 <= self.thickness <= 3.0:
            raise OptionError(f"thickness must be 0.3 to 3 distances of planes, got {self.thickness}")
        if not 0 <= self.train_steps <= MOST_STEPS:
            raise OptionError(f"train_steps must be 0 to {MOST_STEPS}, got {self.train_steps}")
        if self.seed < 0:
            raise OptionError(f"seed must be 0 or more, got {self.seed}")
