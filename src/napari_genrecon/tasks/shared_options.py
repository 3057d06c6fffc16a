"""Define the options that all tasks have, with the texts of the form and of the flags."""

from __future__ import annotations

import math
from typing import Annotated, Any

from napari_genrecon.axes import Axes
from napari_genrecon.engine.memory import check_tile
from napari_genrecon.errors import OptionError
from napari_genrecon.options import check_options
from napari_genrecon.tasks.measure import Noise

__all__ = [
    "PRECISIONS",
    "AxesOption",
    "DeviceOption",
    "KeepDtypeOption",
    "NoiseOption",
    "PixelSizeOption",
    "PrecisionOption",
    "RegionOption",
    "SelfEnsembleOption",
    "TileOption",
    "WholeOption",
    "check_common",
]

NoiseOption = Annotated[
    Noise | float | None,
    {
        "form": False,
        "tooltip": "Noise s.d. in grey values, or a noise report saved as JSON; measured from the image if not given",
    },
]
AxesOption = Annotated[
    str | Axes | None,
    {
        "advanced": True,
        "tooltip": "What the dimensions are, one letter each: T time, C channel, Z plane, Y row, X column, "
        "such as TCYX. Empty takes the image's own; change it where those are wrong",
    },
]
TileOption = Annotated[
    int | tuple[int, int] | None,
    {
        "min": 8,
        "advanced": True,
        "tooltip": "Side of the parts that are computed at once, in pixels: less takes less memory and more time; the "
        "result is the same. Empty chooses",
    },
]
PixelSizeOption = Annotated[
    float | None,
    {
        "form": False,
        "tooltip": "Pixel size in micrometres, only to tell whether a model of your own fits; from the file if not "
        "given",
    },
]
DeviceOption = Annotated[
    str,
    {
        "choices": "devices",
        "advanced": True,
        "tooltip": "Where to compute: a GPU is faster. 'auto' takes one if there is one",
    },
]
PRECISIONS = ("auto", "float32")
PrecisionOption = Annotated[
    str,
    {
        "choices": PRECISIONS,
        "advanced": True,
        "tooltip": "Numbers that the network computes with: 'auto' takes the fast ones where the result "
        "stays the same but for a small part of the noise, 'float32' is slower and more exact",
    },
]
SelfEnsembleOption = Annotated[
    bool,
    {
        "advanced": True,
        "tooltip": "Average the results of eight turned and mirrored views: a little better, 8 times slower",
    },
]
RegionOption = Annotated[
    str | tuple[Any, ...] | None,
    {
        "form": False,
        "tooltip": "Work on a part of the image only, such as 'T=0:10, Y=100:300, X=50:250' or 'C=1'; the pixels are "
        "those of the whole result",
    },
]
WholeOption = Annotated[
    bool, {"form": False, "tooltip": "Return a copy of the whole image in which only the region is changed"}
]
KeepDtypeOption = Annotated[
    bool,
    {
        "advanced": True,
        "tooltip": "Round the result to the kind of numbers that the image has, for smaller files that all programs "
        "read; else 32-bit floats, which lose nothing",
    },
]


def check_common(options: Any) -> None:
    """Check the options of a task as `check_options` does, and further those of this module that it has.

    Raises
    ------
    OptionError
        If one of them cannot work.
    """
    check_options(options)
    # Not every task has each of them.
    region, tile, size = (getattr(options, name, None) for name in ("region", "tile", "pixel_size"))
    if getattr(options, "whole", False) and not region:
        raise OptionError("whole returns a copy of the image with a region changed: give the region, too (region)")
    if tile is not None:
        # Only whether it is possible: the stride belongs to a model that is not known yet.
        check_tile(tile, 1)
    # Written so that NaN is refused, too.
    if size is not None and not 0 < size < math.inf:
        raise OptionError(f"pixel_size must be a positive number of micrometres, got {size}")
