"""Define the options that all tasks have, with the texts of the form and of the flags."""

from __future__ import annotations

from typing import Annotated, Any

from napari_genrecon.axes import Axes
from napari_genrecon.errors import OptionError

__all__ = [
    "PRECISIONS",
    "AxesOption",
    "DeviceOption",
    "KeepDtypeOption",
    "PrecisionOption",
    "RegionOption",
    "SelfEnsembleOption",
    "TileOption",
    "WholeOption",
    "check_number",
    "check_precision",
    "check_whole",
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
        "tooltip": "Round the result to the kind of numbers that the image has, for smaller files that all programs "
        "read; else 32-bit floats, which lose nothing"
    },
]


def check_precision(precision: str) -> None:
    """Check the option ``precision``.

    Raises
    ------
    OptionError
        If it is not one of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise OptionError(f"precision must be {' or '.join(map(repr, PRECISIONS))}, got {precision!r}")


def check_whole(region: object, *, whole: bool) -> None:
    """Check the option ``whole``.

    Raises
    ------
    OptionError
        If there is no region.
    """
    if whole and not region:
        raise OptionError("whole=True returns a copy of the image with a region changed, and no region is given")


def check_number(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Check that the number of an option lies between `low` and `high`.

    Raises
    ------
    OptionError
        If it does not.
    """
    if not low <= value <= high:
        limits = f"be {low:g} or more" if high == float("inf") else f"lie between {low:g} and {high:g}"
        raise OptionError(f"{name} must {limits}, got {value}")
