"""Imaris (.ims, an HDF5 file), through h5py: every level, time point and channel has a dataset of its own."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import (
    ImageFile,
    Sizes,
    about_with,
    in_unit,
    resolved_axes,
    unit_name,
)  # fmt: skip
from napari_genrecon.io.lazy import from_planes

__all__ = ["open_imaris"]

_DATA = "DataSet/ResolutionLevel 0/TimePoint {}/Channel {}/Data"


def open_imaris(path: Path, axes: str | None, _series: int | str | None = None) -> ImageFile:
    """Open the full resolution of an Imaris file, plane by plane if it is large."""
    import h5py

    with h5py.File(path, "r") as file:
        if _DATA.format(0, 0) not in file:
            raise ImageError(f"{path.name} holds no Imaris image: if it is other HDF5, name it .h5")
        times = len(file["DataSet/ResolutionLevel 0"])
        channels = len(file["DataSet/ResolutionLevel 0/TimePoint 0"])
        dataset, info = file[_DATA.format(0, 0)], file["DataSetInfo/Image"].attrs
        size = {letter: int(_text(info[letter])) for letter in "ZYX"}  # datasets are padded to whole blocks
        dtype = dataset.dtype
        sizes = _sizes(info, size)
        displays = [
            file[f"DataSetInfo/Channel {c}"].attrs for c in range(channels) if f"DataSetInfo/Channel {c}" in file
        ]
        names, colors = tuple(_text(display.get("Name", "")) for display in displays), tuple(map(_color, displays))
    # Always three, as the datasets are named by time and channel; those of length 1 are dropped below.
    outer = {"T": times, "C": channels, "Z": size["Z"]}
    read = partial(_plane, path, (size["Y"], size["X"]))
    data = from_planes(read, tuple(outer.values()), (size["Y"], size["X"]), dtype)
    # Y and X are kept whatever their length.
    kept = [letter for letter, n in (*outer.items(), ("Y", 2), ("X", 2)) if n > 1]
    data = data.reshape([n for n in data.shape[:3] if n > 1] + list(data.shape[3:]))
    several = len(names) == channels > 1
    about = about_with(
        resolved_axes(axes, "".join(kept), tuple(data.shape)),
        sizes,
        channel_names=names if several and any(names) else (),
        channel_colors=colors if several and all(colors) else (),
    )
    return ImageFile(data=data, about=about, name="", path=path)


def _plane(path: Path, sides: tuple[int, int], index: tuple[int, ...]) -> NDArray[Any]:
    import h5py

    time, channel, z = index
    with h5py.File(path, "r") as file:
        # The padding is cut off.
        return np.asarray(file[_DATA.format(time, channel)][z, : sides[0], : sides[1]])


def _text(value: object) -> str:
    """Return text that Imaris stores letter by letter."""
    if isinstance(value, np.ndarray):
        return b"".join(np.atleast_1d(value).astype("S1")).decode("utf-8", "replace")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _sizes(info: Any, size: dict[str, int]) -> Sizes:
    found: Sizes = {}
    unit = unit_name(_text(info.get("Unit", "")))
    for i, letter in enumerate("XYZ"):
        ends = [_text(info.get(f"Ext{end}{i}", "0")) for end in ("Min", "Max")]
        # The file states the ends of the field; "X", "Y" and "Z" have the numbers 0, 1 and 2 in the names.
        found[letter] = in_unit(abs(float(ends[1]) - float(ends[0])) / size[letter], unit, "micrometer")
    return found


def _color(display: Any) -> str:
    """Return a colour that is stored as ``"1.000 0.000 0.000"``."""
    parts = _text(display.get("Color", "")).split()
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in parts) if len(parts) == 3 else ""
