"""Put layers that show something new beside the others, never over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_genrecon.arrays import ImageArray
from napari_genrecon.axes import RGB_NAMES
from napari_genrecon.widgets.layers.snapshot import NO_IMAGE

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

    from napari_genrecon.models.card import ModelCard

__all__ = ["beside", "colour_code", "in_colour", "look_at", "put", "put_pictures", "shows_colours"]

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


def shows_colours(card: ModelCard) -> bool:
    """Return whether a model was trained on RGB images."""
    return card.channel_names == RGB_NAMES


def in_colour(card: ModelCard, pictures: ImageArray) -> ImageArray:
    """Return (..., 3, Y, X) RGB pictures of a model as napari shows them, (..., Y, X, 3), and others as they are."""
    if not shows_colours(card):
        return pictures
    colours, dtype = np.moveaxis(np.asarray(pictures), -3, -1), np.dtype(card.dtype)
    if dtype.kind == "f":
        return colours.clip(0, 1)
    return colours.round().clip(0, np.iinfo(dtype).max).astype(dtype)


def colour_code(card: ModelCard) -> str:
    """Return what Python code appends to (N, C, Y, X) pictures to do the same."""
    if not shows_colours(card):
        return ""
    dtype = np.dtype(card.dtype)
    end = ".clip(0, 1)" if dtype.kind == "f" else f".round().clip(0, {np.iinfo(dtype).max}).astype({card.dtype!r})"
    return f".transpose(0, 2, 3, 1){end}"


def put_pictures(viewer: Viewer, card: ModelCard, pictures: ImageArray, name: str, first: str, **keywords: Any) -> Any:
    """Add (..., Y, X) or (..., C, Y, X) pictures of a model, whose first dimension has a name; see `put`."""
    rgb = shows_colours(card)
    extra = pictures.ndim - 2 - rgb
    keywords |= {"rgb": True} if rgb else {"contrast_limits": (min(card.low), max(card.high))}
    keywords |= {
        "scale": (1.0,) * extra + tuple(card.pixel_size),
        "units": ("pixel",) * extra + tuple(card.units),
        "axis_labels": (*(first, "c")[:extra], "y", "x"),
    }
    return put(viewer, in_colour(card, pictures), name, **keywords)


def put(
    viewer: Viewer, data: ImageArray, name: str, *, replace: bool = True, helper: bool = True, **keywords: Any
) -> Any:
    """Add an image layer beside the others; it replaces a helper layer of the same name."""
    old = viewer.layers[name] if replace and name in viewer.layers else None
    # A layer of the user may have this name by chance, and stays.
    if old is not None and NO_IMAGE in old.metadata:
        viewer.layers.remove(old)
    top, right, _ = beside(viewer)
    keywords["translate"] = (0.0,) * (data.ndim - 2 - keywords.get("rgb", False)) + (top, right)
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
