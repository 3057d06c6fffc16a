"""Name and describe the files of what a result comes with, such as its expected error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_genrecon.io.formats import image_name
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.record.check import find_record

__all__ = ["about_companion", "companion_path", "companion_record", "is_made", "is_of_result"]

_SAME = ("of", "options", "input", "noise", "model")


def companion_path(target: Path, title: str) -> Path:
    """Return the file of a companion, beside that of its result.

    Examples
    --------
    >>> companion_path(Path("cells_denoise.ome.tif"), "expected error").name
    'cells_denoise_expected_error.ome.tif'
    """
    name = image_name(target)
    # The ending as it was, ".ome.zarr" or ".ome.tif": a companion has the format of its result.
    return target.with_name(f"{name}_{title.replace(' ', '_')}{target.name[len(name) :]}")


def companion_record(record: Mapping[str, Any], title: str, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return the record of a companion: that of its result, and what it is of it."""
    # Counts of the result are not those of the companion, whose NaN are counted when it is written.
    output = {**record["output"], "dtype": str(dtype), "clipped": 0, "nan": None}
    return {**record, "of": title, "output": output}


def about_companion(about: ImageMeta, title: str, dtype: np.dtype[Any]) -> ImageMeta:
    """Return the metadata of a companion from that of its result: the same place, but other grey values."""
    assert about.record is not None
    # Limits and colours were chosen for grey values of the result; an error has other values.
    return replace(about, record=companion_record(about.record, title, dtype), channel_limits=())


def is_made(path: Path, record: Mapping[str, Any]) -> bool:
    """Return whether the companion with this record is in a file, written whole."""
    made = find_record(path) if path.exists() else None
    return made is not None and is_of_result(made, record)


def is_of_result(made: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Return whether a record is that of a companion, made by the same run; it may have been continued in tiles."""
    untiled = [{**found, "options": {**(found.get("options") or {}), "tile": None}} for found in (made, record)]
    return all(untiled[0].get(key) == untiled[1].get(key) for key in _SAME)
