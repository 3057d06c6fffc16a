"""Options of `upscale`, and those that it shares with `upscale_z`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from napari_genrecon.errors import OptionError
from napari_genrecon.models.card import FACTORS
from napari_genrecon.tasks.measure import Noise
from napari_genrecon.tasks.shared_options import (
    AxesOption,
    DeviceOption,
    KeepDtypeOption,
    PrecisionOption,
    RegionOption,
    SelfEnsembleOption,
    TileOption,
    check_common,
)

__all__ = ["EnlargingOptions", "UpscaleOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnlargingOptions:
    """Options of every task that gives an image more pixels.

    Attributes
    ----------
    factor, noise, model, consistent, axes, tile, device, keep_dtype, region
        See `upscale`.
    """

    factor: Annotated[int, {"choices": FACTORS, "tooltip": "How many times more pixels: 2, 3 or 4"}] = 2
    noise: Annotated[
        Noise | float | None,
        {
            "form": False,
            "tooltip": "Noise s.d. in grey values (0: none), or a noise report saved as JSON; measured from the "
            "image if not given",
        },
    ] = None
    model: Annotated[
        str,
        {
            "choices": "models",
            "tooltip": "What draws the new pixels: 'auto' chooses by the noise of the image, others are for "
            "clean or noisy images, or were imported",
        },
    ] = "auto"
    consistent: Annotated[
        bool,
        {
            "advanced": True,
            "tooltip": "Correct the result so that, shrunk again, it gives the image back, noise included",
        },
    ] = False
    axes: AxesOption = None
    tile: TileOption = None
    device: DeviceOption = "auto"
    keep_dtype: KeepDtypeOption = False
    region: RegionOption = None

    def __post_init__(self) -> None:
        check_common(self)
        if self.factor not in FACTORS:
            raise OptionError(f"factor must be 2, 3 or 4, got {self.factor}")
        object.__setattr__(self, "factor", int(self.factor))  # 2.0 is accepted, too
        # 0 is allowed, unlike for `denoise`: it says that there is no noise.
        if isinstance(self.noise, int | float) and not (math.isfinite(self.noise) and self.noise >= 0):
            raise OptionError(f"noise must be 0 or more grey values, got {self.noise}")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleOptions(EnlargingOptions):
    """Options of `upscale`.

    Attributes
    ----------
    self_ensemble, precision
        See `upscale`.
    """

    self_ensemble: SelfEnsembleOption = False
    precision: PrecisionOption = "auto"
