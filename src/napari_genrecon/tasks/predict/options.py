"""Define the options of `predict`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from napari_genrecon.engine.memory import check_tile
from napari_genrecon.errors import OptionError
from napari_genrecon.options import check_types
from napari_genrecon.tasks.shared_options import AxesOption, DeviceOption, KeepDtypeOption, RegionOption, TileOption

__all__ = ["PredictOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions:
    """Options of `predict`.

    Attributes
    ----------
    model, pixel_size, axes, tile, device, keep_dtype, region
        See `predict`.
    """

    model: Annotated[
        str,
        {
            "choices": "models",
            "tooltip": "Which trained model makes the new image: each makes the stain, or the sharpness, that it"
            " was trained on. 'auto' takes the only one there is",
        },
    ] = "auto"
    pixel_size: Annotated[
        float | None,
        {
            "form": False,
            "tooltip": "Pixel size in micrometres, only to tell whether the model fits; from the file if not given",
        },
    ] = None
    axes: AxesOption = None
    tile: TileOption = None
    device: DeviceOption = "auto"
    keep_dtype: KeepDtypeOption = False
    region: RegionOption = None

    def __post_init__(self) -> None:
        check_types(self)
        if self.tile is not None:
            check_tile(self.tile, 1)
        if self.pixel_size is not None and not 0 < self.pixel_size < math.inf:
            raise OptionError(f"pixel_size must be a positive number of micrometres, got {self.pixel_size}")
