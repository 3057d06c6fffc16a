"""What is known about the chosen layers, and whether it has changed since."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from napari_genrecon.widgets.train.crop_source import Source

__all__ = ["facts_of", "fingerprint"]

_HASHED = 256 << 20  # bytes of an array up to which changes in place are noticed


def facts_of(source: Source) -> dict[str, Any]:
    """Return the facts of a source as keywords of `labelling_steps`."""
    names = {"axes", "labels", "points", "pixel_size", "units", "channel_names"}
    return {name: value for name, value in source.where.items() if name in names}


def fingerprint(source: Source) -> tuple[Any, ...]:
    """Return a value that changes when images or objects are others, or labels were painted."""
    arrays = [*source.images, *(source.where.get("labels") or ()), *(source.where.get("points") or ())]
    return tuple(map(_identity, arrays))


def _identity(array: Any) -> tuple[Any, ...]:
    if not isinstance(array, np.ndarray) or array.nbytes > _HASHED:
        return (id(array),)
    # Painting changes labels in place, and the places of points are computed anew each time: its id would not do.
    return array.shape, array.dtype.str, zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data)
