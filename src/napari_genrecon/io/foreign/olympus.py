"""Olympus OIF and OIB, through oiffile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_genrecon.io.image_file import (
    ImageFile,
    Sizes,
    about_with,
    in_unit,
    resolved_axes,
    unit_name,
)  # fmt: skip

__all__ = ["open_olympus"]

_AXES = 8  # that OIF can name: "Axis 0" to "Axis 7" in its main file


def open_olympus(path: Path, axes: str | None, _series: int | str | None = None) -> ImageFile:
    """Open the image of an OIF (with its folder of files beside it) or OIB file."""
    from oiffile import OifFile

    with OifFile(path) as file:
        sequence, main = file.series[0], file.mainfile
        data = np.asarray(file.asarray(0))
        letters = f"{sequence.dims if isinstance(sequence.dims, str) else ''.join(sequence.dims)}YX"
    kept = [i for i, n in enumerate(data.shape) if n > 1 or i >= data.ndim - 2]
    # Letters that do not fit the array are worth nothing: the rule for unknown axes takes over.
    letters = "".join(letters[i] for i in kept) if len(letters) == data.ndim else ""
    data = data.reshape([data.shape[i] for i in kept])
    names = tuple(_channel_names(main))
    n = data.shape[letters.index("C")] if "C" in letters else 1
    about = about_with(
        resolved_axes(axes, letters, data.shape), _sizes(main), channel_names=names if n == len(names) > 1 else ()
    )
    return ImageFile(data=data, about=about, name="", path=path)


def _sizes(main: Any) -> Sizes:
    """Return sizes from the ends of the axes; along X and Y, from the size of a pixel where the file states it."""
    found: Sizes = {}
    for i in range(_AXES):
        axis = main.get(f"Axis {i} Parameters Common", {})
        n, letter = int(axis.get("MaxSize", 0)), str(axis.get("AxisCode", ""))
        # `tuple`, as an empty text is "in" every text.
        if n < 2 or letter not in tuple("TZYX"):
            continue
        ends = [float(axis.get(name, 0)) for name in ("StartPosition", "EndPosition")]
        # Along X and Y the ends are the edges of the field; along Z and T, the first and the last plane.
        steps = n if letter in "YX" else n - 1
        found[letter] = _size_in(abs(ends[1] - ends[0]) / steps, str(axis.get("UnitName", axis.get("PixUnit", ""))))
    reference = main.get("Reference Image Parameter", {})
    for letter, side in (("X", "Width"), ("Y", "Height")):
        if reference.get(f"{side}ConvertValue"):
            found[letter] = _size_in(float(reference[f"{side}ConvertValue"]), str(reference.get(f"{side}Unit", "um")))
    return found


def _size_in(size: float, text: str) -> tuple[float, str]:
    unit = unit_name(text)
    return (size / 1000, "second") if unit == "millisecond" else in_unit(size, unit, "micrometer")


def _channel_names(main: Any) -> list[str]:
    count = int(main.get("Axis 2 Parameters Common", {}).get("MaxSize", 0))
    return [str(main.get(f"Channel {i + 1} Parameters", {}).get("DyeName", "")) for i in range(count)]
