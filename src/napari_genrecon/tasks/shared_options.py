"""Options that all tasks have, with what the form and the flags say about them."""

from __future__ import annotations

from typing import Annotated

from napari_genrecon.axes import Axes

__all__ = ["AxesOption", "DeviceOption", "KeepDtypeOption", "TileOption"]

AxesOption = Annotated[
    str | Axes | None,
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
