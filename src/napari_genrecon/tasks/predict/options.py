"""Define the options of `predict`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from napari_genrecon.tasks import find_task
from napari_genrecon.tasks.shared_options import (
    AxesOption,
    DeviceOption,
    KeepDtypeOption,
    PixelSizeOption,
    RegionOption,
    TileOption,
    check_common,
)

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
    pixel_size: PixelSizeOption = None
    axes: AxesOption = None
    tile: TileOption = None
    device: DeviceOption = "auto"
    keep_dtype: KeepDtypeOption = False
    region: RegionOption = None

    def __post_init__(self) -> None:
        check_common(self)

    def require(self) -> None:
        """Refuse a model that is not there; the options are made before one is trained.

        Raises
        ------
        UnknownModelError, OptionError
            See `Task.card`.
        """
        find_task("predict").card(self.model)
