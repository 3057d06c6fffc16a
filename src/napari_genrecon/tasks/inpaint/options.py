"""Options of `inpaint`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import numpy as np

from napari_genrecon.errors import OptionError
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.inpaint.damage import KINDS, parse_kinds
from napari_genrecon.tasks.measure import Noise
from napari_genrecon.tasks.shared_options import (
    AxesOption,
    DeviceOption,
    KeepDtypeOption,
    PrecisionOption,
    RegionOption,
    TileOption,
    WholeOption,
    check_common,
)

__all__ = ["InpaintOptions"]

Method = Literal["auto", "network", "pnp", "biharmonic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InpaintOptions:
    """Options of `inpaint`.

    Attributes
    ----------
    mask : array_like or None
        Mask of the image's shape (without its colours, too), or of the shape of a YX plane; anything but 0 is filled
        in.
    method, detect, n, seed, noise, model, axes, tile, device, precision,
    keep_dtype, region, whole
        See `inpaint`.
    """

    mask: Annotated[
        Any,
        {
            "array": "mask",
            "tooltip": "What to fill in: an image or labels of the same size (or of one plane), anything but 0",
        },
    ] = None
    method: Annotated[
        str,
        {
            "choices": get_args(Method),
            "advanced": True,
            "tooltip": "'network' was trained to fill in; 'pnp' fills with the denoiser, slower, and can draw "
            "several fillings; 'biharmonic' is smooth, without texture. 'auto' tries the first two on"
            " known pixels that it hides, and takes the better one",
        },
    ] = "auto"
    detect: Annotated[
        str,
        {
            "several": KINDS,
            "tooltip": "Damage to find and fill besides the mask, separated by commas: hot (also dead) pixels, "
            "saturated pixels, lines (dead rows and columns), stripes (bands that are brighter or darker from end to "
            "end), frames (dropped frames or slices)",
        },
    ] = ""
    n: Annotated[
        int,
        {
            "min": 1,
            "advanced": True,
            "max": 64,  # each takes as long as the first; the spread of a few dozen is known well enough
            "tooltip": "1 gives the single best filling. More draw so many that could be true, along a new first"
            " dimension: where they differ, the image does not tell what was there",
        },
    ] = 1
    seed: Annotated[
        int,
        {
            "min": 0,
            "advanced": True,
            "tooltip": "The same number draws the same fillings again; another one draws others that could be true",
        },
    ] = 0
    noise: Annotated[
        Noise | float | None,
        {
            "form": False,
            "tooltip": "Noise s.d. in grey values, or a noise report "
            "saved as JSON; measured from the known pixels if not given",
        },
    ] = None
    model: Annotated[
        str,
        {
            "choices": "models",
            "tooltip": "The network that fills in: 'auto' is the bundled one, others were imported",
        },
    ] = "auto"
    axes: AxesOption = None
    tile: TileOption = None
    device: DeviceOption = "auto"
    precision: PrecisionOption = "auto"
    keep_dtype: KeepDtypeOption = False
    region: RegionOption = None
    whole: WholeOption = False

    def __post_init__(self) -> None:
        check_common(self)
        if self.n > 1 and self.method not in ("auto", "pnp"):
            raise OptionError(
                f"method {self.method!r} gives one filling, and n is {self.n}: choose 'auto' or 'pnp', or n of 1"
            )
        # Refuses a number that is no s.d. now, and not only when the noise is used.
        if isinstance(self.noise, int | float):
            NoiseModel.white(float(self.noise))
        parse_kinds(self.detect)
        # A path is the usual mistake: to numpy it is an array without dimensions.
        if self.mask is not None and np.ndim(self.mask) == 0:
            raise OptionError(
                f"mask must be an array in which anything but 0 is filled in, got {self.mask!r} (open a file first)"
            )

    def require(self) -> None:
        """Refuse to fill in nothing; files and layers are read after the options are made.

        Raises
        ------
        OptionError
            If there is neither a mask nor a kind of damage to detect.
        """
        if self.mask is None and not parse_kinds(self.detect):
            raise OptionError("no mask: give one that is 1 where pixels are to be filled in, or choose what to detect")
