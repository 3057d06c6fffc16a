"""Add an empty mask to paint on an image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_genrecon.widgets.layers.snapshot import display, layer_data, place_keywords, placed_as

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

__all__ = ["add_mask"]

_MOST = 2**28  # pixels, a byte each: masks of larger stacks would fill the memory, and get one plane that holds for all
_BRUSH = 40  # part of the side of an image that the brush is wide


def add_mask(viewer: Viewer, image: Layer) -> Any:
    """Add a Labels layer of the pixels of an image, or of one plane of a large stack, and begin to paint on it."""
    shape, placed = layer_data(image).shape[: image.ndim], place_keywords(display(image))
    if math.prod(shape) > _MOST:
        placed, shape = placed_as(placed, (image.ndim - 2, image.ndim - 1)), shape[-2:]
    mask = viewer.add_labels(np.zeros(shape, np.uint8), name=f"{image.name}: mask", **placed)
    mask.brush_size = max(1, min(shape[-2:]) // _BRUSH)
    mask.mode = "paint"
    return mask
