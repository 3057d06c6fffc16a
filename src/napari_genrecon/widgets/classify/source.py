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
    # Painting changes labels in place, which their identity does not tell.
    return tuple((id(array), _checksum(array)) for array in arrays)


def _checksum(array: Any) -> int:
    if not isinstance(array, np.ndarray) or array.nbytes > _HASHED:
        return 0
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data)
