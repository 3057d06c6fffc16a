"""Nikon ND2, through nd2: frame by frame, a position at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_genrecon.io.foreign.metadata import stated
from napari_genrecon.io.image_file import (
    MICROMETRE,
    ImageFile,
    Series,
    Sizes,
    about_with,
    chosen_series,
    resolved_axes,
)  # fmt: skip
from napari_genrecon.io.lazy import at_once

__all__ = ["open_nd2"]


def open_nd2(path: Path, axes: str | None, series: int | str | None = None) -> ImageFile:
    """Open a position of an ND2 file."""
    import nd2

    with nd2.ND2File(path) as file:
        letters, sizes = "".join(file.sizes), _sizes(file)
        described = getattr(file.metadata, "channels", None) or []
        channels = [one.channel for one in described]
        data = file.to_dask(wrapper=False, copy=True)  # opens the file by itself where it is read
        shape = tuple(n for letter, n in file.sizes.items() if letter != "P")
        listed = [Series(name, shape) for name in _positions(file)]
        chosen = chosen_series(path, listed, series) if listed else 0
        # One position of the stage at a time, as each is an image of its own.
        if "P" in letters:
            data, letters = data[(slice(None),) * letters.index("P") + (chosen,)], letters.replace("P", "")
        # Within the `with`, while the file is open.
        data = np.asarray(data) if at_once(data.nbytes) else data
    n = dict(zip(letters, data.shape, strict=True)).get("C", 1)
    named = len(channels) == n
    about = about_with(
        resolved_axes(axes, letters, tuple(data.shape)),
        sizes,
        channel_names=tuple(str(one.name) for one in channels) if named else (),
        channel_colors=tuple(_hex(one.color) for one in channels) if named and n > 1 else (),
        acquisition=_acquisition(described) or None,
    )
    several = tuple(listed) if len(listed) > 1 else ()
    return ImageFile(data=data, about=about, name="", path=path, series=several, chosen=chosen)


def _sizes(file: Any) -> Sizes:
    size = file.voxel_size()
    found: Sizes = {letter: (float(value), MICROMETRE) for letter, value in zip("XYZ", size, strict=True)}
    for loop in file.experiment:
        # Loops over positions, depths and times have different parameters.
        period = getattr(loop.parameters, "periodMs", None)
        if loop.type == "TimeLoop" and period:
            found["T"] = (float(period) / 1000, "second")
    return found


def _acquisition(described: list[Any]) -> dict[str, Any]:
    """Return what the file states of the objective and the channels; see `io.tiff.acquisition` for the names."""
    if not described:
        return {}
    lens = described[0].microscope
    objective = stated(
        {
            "model": lens.objectiveName,
            "na": lens.objectiveNumericalAperture,
            "magnification": lens.objectiveMagnification,
            "refractive_index": lens.immersionRefractiveIndex,
        }
    )
    channels = [_channel(one) for one in described]
    # Names alone say nothing about the acquisition.
    told = any(set(channel) - {"name"} for channel in channels)
    return stated({"objective": objective, "channels": channels if told else []})


def _channel(one: Any) -> dict[str, Any]:
    lengths = {
        "excitation": (one.channel.excitationLambdaNm, "nm"),
        "emission": (one.channel.emissionLambdaNm, "nm"),
        "pinhole": (one.microscope.pinholeDiameterUm, "µm"),
    }
    return stated(
        {"name": one.channel.name} | {name: f"{value:g} {unit}" for name, (value, unit) in lengths.items() if value}
    )


def _positions(file: Any) -> list[str]:
    """Return the names of the positions, empty where they have none."""
    count = file.sizes.get("P", 0)
    points: Any = next((loop.parameters.points for loop in file.experiment if loop.type == "XYPosLoop"), [])
    names = [str(point.name or "") for point in points]
    return names if len(names) == count else [""] * count


def _hex(color: Any) -> str:
    return f"#{color.r:02x}{color.g:02x}{color.b:02x}"
