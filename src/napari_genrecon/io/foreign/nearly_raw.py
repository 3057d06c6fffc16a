"""NRRD, through pynrrd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import ImageFile, Sizes, about_with, resolved_axes, unit_name

__all__ = ["open_nrrd"]

_LETTERS = "XYZT"
_COLOURS = ("vector", "rgb-color", "rgba-color", "3-vector", "4-vector", "list", "3-color", "4-color")


def open_nrrd(path: Path, axes: str | None, _series: int | str | None = None) -> ImageFile:
    """Open the array of an NRRD file; the fastest dimension is X, or channels if it says so."""
    import nrrd

    # The header first: pynrrd reads whatever files it names, with no check.
    header = nrrd.read_header(str(path))
    # Both spellings occur. "LIST" and "%" name several files, which are not read.
    beside = str(header.get("data file", header.get("datafile", "")))
    if any(sign in beside for sign in ("/", "\\", ":", "%")) or beside.upper().startswith("LIST"):
        raise ImageError(f"{path.name} names another file {beside!r}: only one file beside it is read")
    # NRRD counts from the fastest dimension; "C" gives the slowest first.
    data, header = nrrd.read(str(path), index_order="C")
    if data.dtype.kind not in "iuf":
        raise ImageError(f"{path.name} holds {data.dtype}: real numbers are needed")
    kinds = [str(kind).lower() for kind in header.get("kinds", [])]
    channels = bool(kinds) and kinds[0] in _COLOURS
    if channels:
        # (..., Y, X, C) -> (C, ..., Y, X)
        data = np.ascontiguousarray(np.moveaxis(data, -1, 0))
    spatial = _LETTERS[: data.ndim - channels]
    letters = "C" * channels + spatial[::-1] if data.ndim - channels <= len(_LETTERS) else ""
    about = about_with(resolved_axes(axes, letters, data.shape), _sizes(header, spatial, channels))
    return ImageFile(data=data, about=about, name="", path=path)


def _sizes(header: Any, spatial: str, channels: bool) -> Sizes:
    rows = header.get("space directions")
    steps = list(header.get("spacings", []))
    if rows is not None:
        # A row is the step to the next pixel in space: its length is the pixel size, its direction is not kept.
        steps = [float(np.linalg.norm(row)) for row in np.asarray(rows, float)]
    units = [str(unit) for unit in header.get("units", header.get("space units", []))]
    # The entry of the channels, where there is one, has no size.
    steps = steps[1:] if channels and len(steps) > len(spatial) else steps
    units = units[1:] if channels and len(units) > len(spatial) else units
    units += [units[-1] if units else ""] * (len(steps) - len(units))
    found = zip(spatial, steps, units, strict=False)
    return {letter: (float(step), unit_name(unit)) for letter, step, unit in found if np.isfinite(step)}
