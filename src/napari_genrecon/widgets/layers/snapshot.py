"""Read what a job needs of a layer, and make the data and keywords of a result's layer."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils.transforms import Affine

from napari_genrecon.axes import Axes
from napari_genrecon.io.layers import axes_of
from napari_genrecon.tasks.transforms import upscaled_transform

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

__all__ = [
    "NO_IMAGE",
    "PLACED",
    "corner",
    "display",
    "finer",
    "is_flat",
    "is_no_image",
    "is_synthetic",
    "layer_axes",
    "layer_data",
    "names_of",
    "place_keywords",
    "placed_as",
    "record_of",
    "result_layer",
    "shows_planes",
    "visible_region",
    "with_new_dimension",
    "within",
    "without_first",
]

PLACED = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
"""Keywords of the place of a layer."""
NO_IMAGE = "genrecon_no_image"
"""Key in the metadata of layers that only illustrate an image, such as previews and deviations."""
_COPIED = (
    *PLACED, "colormap", "contrast_limits", "gamma",
    "opacity", "blending", "interpolation2d", "interpolation3d", "rendering",
)  # fmt: skip


def layer_data(layer: Layer) -> Any:
    """Return the pixels of a layer, of a multiscale layer those of the full resolution."""
    return layer.data[0] if layer.multiscale else layer.data


def is_no_image(layer: Layer) -> bool:
    """Return whether a layer only illustrates an image, and is not to be worked on."""
    return bool(layer.metadata.get(NO_IMAGE))


def names_of(viewer: Viewer, kinds: Any) -> list[str]:
    """Return the names of the layers of these kinds, but not of those that are no image of anything."""
    return [layer.name for layer in viewer.layers if isinstance(layer, kinds) and not is_no_image(layer)]


def record_of(layer: Layer) -> dict[str, Any]:
    """Return the record of how a layer was made; empty for a layer that is no result of this plugin."""
    record = layer.metadata.get("genrecon")
    return record if isinstance(record, dict) else {}


def is_synthetic(layer: Layer) -> bool:
    """Return whether a layer holds images that were made up, by a model or from others."""
    return record_of(layer).get("nature") == "synthetic"


def layer_axes(layer: Layer) -> Axes:
    """Return the axes that a layer names, else those assumed from its shape."""
    return axes_of(layer.axis_labels, layer_data(layer).shape, rgb=layer.rgb)


def display(layer: Layer) -> dict[str, Any]:
    """Return all properties of a layer but its pixels and name, as keywords of ``add_image``."""
    # napari gives plugins layers behind a proxy, whose values cannot be copied; its own export gives plain ones.
    state = getattr(layer, "__wrapped__", layer).as_layer_data_tuple()[1]
    # Copied, as the layer may be changed while the job runs.
    found = {name: copy.deepcopy(state[name]) for name in _COPIED if name in state}
    # Colours have none of these.
    if layer.rgb:
        found = {k: v for k, v in found.items() if k not in ("colormap", "contrast_limits", "gamma")}
    return {**found, "rgb": layer.rgb, "metadata": copy.deepcopy(dict(state["metadata"]))}


def place_keywords(shown: dict[str, Any]) -> dict[str, Any]:
    """Return the place of a layer out of its keywords; those with a new dimension have no rotation and shear."""
    return {key: shown[key] for key in PLACED if key in shown}


def result_layer(result: Any, shape: tuple[int, ...], name: str, shown: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return data and keywords of the layer for a result.

    Parameters
    ----------
    result : Result
        Result of a task. Its pixels may be smaller than those of the source, and it may have a new first dimension.
    shape : tuple of int
        Shape of the source.
    name : str
        Name of the new layer.
    shown : dict
        Keywords of the source, which `display` returned when the run began.
    """
    data = result.data
    full = data[0] if isinstance(data, list) else data
    kwargs = {**shown, "name": name, "metadata": {**shown["metadata"], "genrecon": result.record}}
    if "contrast_limits" in kwargs:
        kwargs["contrast_limits"] = within(kwargs["contrast_limits"], result.limits)
    if isinstance(data, list):
        kwargs["multiscale"] = True
    new = full.ndim - len(shape)  # 1 for several plausible fillings, which get a new first dimension
    if result.region is not None:
        shape = tuple(part.stop - part.start for part in result.region)
    if result.record.get("nature") == "predicted":  # other grey values than those of the source
        kwargs = {key: value for key, value in kwargs.items() if key not in ("contrast_limits", "colormap", "gamma")}
    # The grid becomes finer where the result has more pixels than what was worked on. More channels are no finer grid.
    letters = result.axes.letters[new:]
    if letters != axes_of(shown["axis_labels"], shape, rgb=shown["rgb"]).letters:  # typed for this run
        kwargs["axis_labels"] = tuple(letters.lower())[: len(shown["scale"])]
    factors = tuple(
        1 if letter == "C" else a // b for a, b, letter in zip(full.shape[new:], shape, letters, strict=True)
    )
    # Before the corner, which counts in pixels of the result.
    kwargs |= finer(kwargs, factors)
    if result.region is not None:
        n = len(kwargs["scale"])
        kwargs["translate"] = corner(kwargs, [p.start * f for p, f in zip(result.region, factors, strict=True)][:n])
    label = "c" if result.axes.letters.startswith("C") else "sample"
    return data, with_new_dimension(kwargs, label) if new else kwargs


def corner(placed: dict[str, Any], index: Sequence[float]) -> Any:
    """Return the translate of a layer that begins at a pixel of another one, through its rotation and shear.

    Given at once, as a layer that is put elsewhere first moves the sliders of the window.
    """
    turned = {key: placed[key] for key in ("scale", "translate", "rotate", "shear") if key in placed}
    return Image(np.zeros((1,) * len(index)), **turned).data_to_world(np.asarray(index, float))


def within(contrast: Any, limits: tuple[float, float]) -> Any:
    """Narrow contrast limits to the range of the result, in which hot pixels, say, may have been replaced."""
    low, high = max(contrast[0], limits[0]), min(contrast[1], limits[1])
    return [low, high] if low < high else contrast


def finer(shown: dict[str, Any], factors: tuple[int, ...]) -> dict[str, Any]:
    """Return scale and translate of a layer with `factors` times more pixels over the same place."""
    n = len(shown["scale"])
    turn = Affine(rotate=shown["rotate"], shear=shown["shear"], ndim=n).linear_matrix
    scale, translate = upscaled_transform(shown["scale"], shown["translate"], factors[:n], linear=turn)
    return {"scale": scale, "translate": translate}


def with_new_dimension(kwargs: dict[str, Any], label: str = "sample") -> dict[str, Any]:
    """Return keywords of a layer with one more dimension in front; rotation and shear become part of the affine."""
    n = len(kwargs["scale"])
    # Angles of n dimensions are no angles of n + 1, so the turn becomes a matrix in the affine.
    turned = Affine(rotate=kwargs["rotate"], shear=kwargs["shear"], ndim=n).linear_matrix
    whole = np.eye(n + 2)  # (n + 2, n + 2): the new dimension in front, the translation last
    whole[1:-1, 1:-1] = turned
    own = np.eye(n + 2)
    own[1:, 1:] = np.asarray(kwargs["affine"])
    # The turn comes before the translation in a layer, the affine after it.
    translate = np.linalg.solve(turned, np.asarray(kwargs["translate"], float))
    return {
        **{key: value for key, value in kwargs.items() if key not in ("rotate", "shear")},
        "scale": [1.0, *kwargs["scale"]],
        "translate": [0.0, *translate],
        "affine": own @ whole,
        "units": ("pixel", *map(str, kwargs["units"])),
        "axis_labels": (label, *kwargs["axis_labels"]),
    }


def without_first(placed: dict[str, Any], n: int) -> dict[str, Any]:
    """Return the place of a layer without its first `n` dimensions (0 or 1)."""
    if not n:
        return placed
    # The affine is a matrix, all else has one entry for each dimension.
    return {key: np.asarray(value)[n:, n:] if key == "affine" else value[n:] for key, value in placed.items()}


def placed_as(placed: dict[str, Any], kept: tuple[int, ...]) -> dict[str, Any]:
    """Return the place of a layer for an image of some of its dimensions, in order."""
    n, index = len(placed["scale"]), list(kept)
    if len(index) >= n:
        return placed
    whole = np.asarray(placed["affine"])  # (n + 1, n + 1)
    turned = Affine(rotate=placed["rotate"], shear=placed["shear"], ndim=n).linear_matrix
    # The last row and column of an affine are those of its translation.
    rows = [*index, n]
    own = np.eye(len(rows))
    own[:-1, :-1] = turned[np.ix_(index, index)]
    # In a layer the turn comes before the translation, see `with_new_dimension`.
    translate = np.linalg.solve(own[:-1, :-1], np.asarray(placed["translate"], float)[index])
    plain = {key: [placed[key][i] for i in index] for key in ("scale", "units", "axis_labels")}
    return {**plain, "translate": translate, "affine": whole[np.ix_(rows, rows)] @ own}


def is_flat(viewer: Viewer) -> bool:
    """Return whether planes of the last two dimensions are on screen, in 2D: those that tasks work on."""
    dims = viewer.dims
    return dims.ndisplay == 2 and sorted(dims.displayed) == [dims.ndim - 2, dims.ndim - 1]


def shows_planes(viewer: Viewer) -> bool:
    """Return whether planes are on screen one above the other: in a grid every layer has a place of its own."""
    return is_flat(viewer) and not viewer.canvas.grid.enabled


def visible_region(viewer: Viewer, layer: Layer) -> tuple[slice, ...]:
    """Return the part of the shown plane that is on screen, in pixels of the full resolution."""
    data = layer_data(layer)
    n_spatial = layer.ndim
    point = np.round(layer.world_to_data(viewer.dims.point)[-n_spatial:]).astype(int)
    low, high = _seen(viewer, layer)
    region = []
    for axis, length in enumerate(data.shape[:n_spatial]):
        shown = axis - n_spatial + 2  # 0 for y, 1 for x
        if shown >= 0:
            start, stop = int(np.clip(low[shown], 0, length - 1)), int(np.clip(high[shown] + 1, 1, length))
            # At least one pixel, also where the layer is out of sight.
            region.append(slice(start, max(stop, start + 1)))
        else:
            index = int(np.clip(point[axis], 0, length - 1))
            region.append(slice(index, index + 1))
    return (*region, *([slice(None)] if layer.rgb else []))


def _seen(viewer: Viewer, layer: Layer) -> tuple[Any, Any]:
    """Return the first and last pixel (y, x) of the full resolution around all that is on screen.

    From the camera: what napari itself keeps of a multiscale layer is all that it has loaded of a level.
    """
    camera, canvas = viewer.scene.camera, viewer.canvas
    # World units from the middle of the view to its edges. In a grid every layer has a part of the canvas.
    reach = np.array(canvas.size) / canvas.grid.actual_shape(viewer.layers) / (2 * camera.zoom)
    shown = list(viewer.dims.displayed[-2:])
    corners = []
    for signs in product((-1, 1), repeat=2):
        point = np.array(viewer.dims.point, float)
        point[shown] = camera.center[-2:] + signs * reach
        corners.append(layer.world_to_data(point)[-2:])
    return np.floor(np.min(corners, axis=0)), np.ceil(np.max(corners, axis=0))
