"""Put layers that show something new beside the others, never over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_genrecon.arrays import ImageArray
from napari_genrecon.widgets.layers.snapshot import NO_IMAGE

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

__all__ = ["beside", "look_at", "put", "stack_keywords"]

_GAP = 0.04  # share of the height of the other layers: enough to tell two images apart
_FILL = 0.6  # share of the canvas that a layer fills, so that its surroundings stay in sight


def beside(viewer: Viewer) -> tuple[float, float, float]:
    """Return the top and right edge of all layers, with a gap, and their height, in world units of Y and X."""
    boxes = [layer.extent.world for layer in viewer.layers if layer.ndim >= 2]
    if not boxes:
        return 0.0, 0.0, 0.0
    low, high = np.min([box[0][-2:] for box in boxes], axis=0), np.max([box[1][-2:] for box in boxes], axis=0)
    height = float(high[0] - low[0])
    return float(low[0]), float(high[1] + _GAP * height), height


def stack_keywords(card: Any, data: ImageArray, first: str) -> dict[str, Any]:
    """Return keywords of a layer of (N, Y, X) or (N, C, Y, X) pictures of a model: scale, units and contrast limits."""
    extra = data.ndim - 2
    low, high = min(card.low), max(card.high)
    return {
        "scale": (1.0,) * extra + tuple(card.pixel_size),
        "units": ("pixel",) * extra + tuple(card.units),
        "axis_labels": (first, "c", "y", "x") if extra == 2 else (first, "y", "x")[-data.ndim :],
        "contrast_limits": (low, high),
    }


def put(
    viewer: Viewer, data: ImageArray, name: str, *, replace: bool = True, helper: bool = True, **keywords: Any
) -> Any:
    """Add an image layer beside the others; it replaces a helper layer of the same name."""
    old = viewer.layers[name] if replace and name in viewer.layers else None
    # A layer of the user may have this name by chance, and stays.
    if old is not None and NO_IMAGE in old.metadata:
        viewer.layers.remove(old)
    top, right, _ = beside(viewer)
    keywords["translate"] = (0.0,) * (data.ndim - 2) + (top, right)
    if helper:
        keywords["metadata"] = {**keywords.get("metadata", {}), NO_IMAGE: True}
    return viewer.add_image(data, name=name, **keywords)


def look_at(viewer: Viewer, layer: Layer, centre: Any = None, side: float = 0.0) -> None:
    """Move the camera to a layer, or to a point of the world with `side` world units around it."""
    low, high = layer.extent.world
    middle = (low + high) / 2 if centre is None else np.asarray(centre, float)
    # A layer of a single point has no extent.
    side = side or float(max((high - low)[-2:].max(), 1e-9))
    camera = viewer.scene.camera
    camera.center = (0.0, *middle[-2:])
    camera.zoom = _FILL * min(viewer.canvas.size) / side
