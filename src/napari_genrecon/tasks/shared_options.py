"""Options that all tasks have, with what the form and the flags say about them."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Annotated

from napari_genrecon.errors import OptionError

__all__ = ["AxesOption", "DeviceOption", "KeepDtypeOption", "TileOption", "check_number"]

AxesOption = Annotated[
    str | None,
    {
        "advanced": True,
        "tooltip": "What the dimensions mean, one letter each, such as TCYX; empty takes the image's own",
    },
]
TileOption = Annotated[
    int | tuple[int, int] | None,
    {"min": 8, "advanced": True, "tooltip": "Tile side in pixels; empty chooses by memory and speed"},
]
DeviceOption = Annotated[str, {"choices": "devices", "tooltip": "Where to compute; 'auto' takes a GPU if there is one"}]
KeepDtypeOption = Annotated[bool, {"tooltip": "Round the result to the image's own dtype instead of 32-bit floats"}]


def check_number(name: str, value: object, low: float, high: float = float("inf"), *, whole: bool = False) -> None:
    """Check the number of an option.

    Raises
    ------
    OptionError
        If it is no (whole) number, or does not lie between `low` and `high`.
    """
    if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
        raise OptionError(f"{name} must be a {'whole ' if whole else ''}number, got {value!r}")
    if not low <= value <= high:
        limits = f"be {low:g} or more" if high == float("inf") else f"lie between {low:g} and {high:g}"
        raise OptionError(f"{name} must {limits}, got {value}")
