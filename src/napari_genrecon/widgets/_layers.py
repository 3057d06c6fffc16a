"""What a layer is to us, and how a result becomes a layer."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from napari_genrecon.axes import Axes, infer_axes

__all__ = ["display", "layer_axes", "layer_data", "result_layer", "visible_region"]

_LETTERS = set("tczyx")
_COPIED = (
    "scale", "translate", "rotate", "shear", "affine", "units", "axis_labels", "colormap", "contrast_limits", "gamma",
    "opacity", "blending", "interpolation2d", "interpolation3d", "rendering",
)  # fmt: skip


def layer_data(layer: Any) -> Any:
    """The pixels; of a multiscale layer, the full resolution."""
    return layer.data[0] if layer.multiscale else layer.data


def layer_axes(layer: Any) -> Axes:
    """The axes a layer names, else those of the rule in `axes`."""
    labels = [str(label).lower() for label in layer.axis_labels]
    known = set(labels) <= _LETTERS and len(set(labels)) == len(labels) and labels[-2:] == ["y", "x"]
    if known:
        return Axes("".join(labels).upper() + ("S" if layer.rgb else ""))
    return infer_axes(layer_data(layer).shape, rgb=layer.rgb)


def display(layer: Any) -> dict[str, Any]:
    """Everything about a layer but its pixels and its name, as keywords of ``add_image``."""
    # Plugins get layers behind a proxy whose values cannot be copied; napari's own export gives plain ones.
    state = getattr(layer, "__wrapped__", layer).as_layer_data_tuple()[1]
    found = {name: copy.deepcopy(state[name]) for name in _COPIED if name in state}
    if layer.rgb:
        found = {k: v for k, v in found.items() if k not in ("colormap", "contrast_limits", "gamma")}
    return {**found, "rgb": layer.rgb, "metadata": copy.deepcopy(dict(state["metadata"]))}


def result_layer(data: Any, name: str, shown: dict[str, Any], record: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Data and keywords of the layer for a result, from what `display` said of its source at the start."""
    return data, {**shown, "name": name, "metadata": {**shown["metadata"], "genrecon": record}}


def visible_region(viewer: Any, layer: Any) -> tuple[slice, ...]:
    """The part of the shown plane that is on screen, in pixels of the full resolution."""
    data = layer_data(layer)
    n_spatial = layer.ndim
    point = np.round(layer.world_to_data(viewer.dims.point)[-n_spatial:]).astype(int)
    shown = set(range(n_spatial - 2, n_spatial))
    low, high = np.array(layer.corner_pixels[0]), np.array(layer.corner_pixels[1])
    if layer.multiscale:
        low, high = (np.round(v * layer.downsample_factors[layer.data_level]) for v in (low, high))
    region = []
    for axis, length in enumerate(data.shape[:n_spatial]):
        if axis in shown:
            start, stop = int(np.clip(low[axis], 0, length - 1)), int(np.clip(high[axis] + 1, 1, length))
            region.append(slice(start, max(stop, start + 1)))
        else:
            index = int(np.clip(point[axis], 0, length - 1))
            region.append(slice(index, index + 1))
    return (*region, *([slice(None)] if layer.rgb else []))
