"""Turn a layer into a mask: shapes wherever they lie, pixels where they coincide with those of the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Shapes
from napari.layers import Points as PointsLayer
from numpy.typing import NDArray
from skimage.draw import line, polygon

from napari_genrecon.arrays import as_numpy
from napari_genrecon.errors import ImageError
from napari_genrecon.widgets.layers.snapshot import layer_data

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["mask_of", "places_of"]

Mask = NDArray[np.bool_]
Points = NDArray[np.float64]  # (N, D), in pixels

_NEAR = 0.1  # pixels by which two grids may miss each other: rounding errors of transforms, no real shift
_DIGITS = 2  # decimals of a pixel: vertices are float32, and pixels on an outline must not depend on rounding
_FLAT = 0.01  # share of the largest extent of a shape: along dimensions with less, it is flat up to float32 errors
_ROUND = 100  # corners of an ellipse: less than 0.1 px from the curve up to a radius of 200 px


def mask_of(layer: Layer, image: Image) -> NDArray[Any]:
    """Return the pixels of an image that another layer marks.

    Parameters
    ----------
    layer : Labels, Image or Shapes
        Labels and images mark all pixels but 0; their pixels must coincide with those of the image, or a part of them.
        Shapes mark the pixels whose centre lies inside one, or under a line or path of its width.
    image : Image
        Image to be marked. A layer of fewer dimensions holds for all planes.

    Returns
    -------
    ndarray of bool
        Shape of the image without colours, or of its YX plane, which then holds for all planes.

    Raises
    ------
    ImageError
        If the layer has no clear place in the image.
    """
    place = _place(layer, image)
    mask = _drawn(layer, place) if isinstance(layer, Shapes) else _laid(layer, image.name, place)
    whole = tuple(layer_data(image).shape[: image.ndim])
    return mask if len(place.shape) in (2, len(whole)) else np.broadcast_to(mask, whole)


def places_of(layer: Layer, image: Any) -> Points:
    """Return the places of a points layer in pixels of an image, (N, D) for the D dimensions of the image's layer.

    Raises
    ------
    ImageError
        If it is no points layer, or has another number of dimensions.
    """
    if not isinstance(layer, PointsLayer):
        raise ImageError(
            f"'{layer.name}' is a {type(layer).__name__} layer, and points are needed: choose another layer"
        )
    if layer.ndim != image.ndim:
        raise ImageError(
            f"'{layer.name}' has {layer.ndim} dimensions and '{image.name}' {image.ndim}: click in a points layer of "
            f"{image.ndim} dimensions"
        )
    (turn, origin), (theirs, start) = _to_world(image), _to_world(layer)
    inverse = np.linalg.inv(turn)
    # world = turn @ pixel + origin for the image, theirs @ pixel + start for the points.
    found = np.asarray(layer.data, np.float64) @ (inverse @ theirs).T + inverse @ (start - origin)
    return np.asarray(np.round(found, _DIGITS))


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Transform from the pixels of a layer to those of an image, in the last dimensions, as many as they share."""

    matrix: Points  # (K, D) of the layer
    shift: Points  # (K,)
    shape: tuple[int, ...]  # of the image

    def __call__(self, points: Points) -> Points:
        return np.asarray(np.round(points @ self.matrix.T + self.shift, _DIGITS))


def _place(layer: Layer, image: Image) -> _Place:
    shared = min(layer.ndim, image.ndim)
    (turn, origin), (theirs, start) = _to_world(image), _to_world(layer)
    shape = np.array(layer_data(image).shape[: image.ndim])
    first = image.ndim - shared  # dimensions of the image that the layer lacks
    inverse = np.linalg.inv(turn[first:, first:])
    # How far the planes of a sheared stack drift, in pixels, from its first to its last plane.
    if (np.abs(inverse @ turn[first:, :first]) @ (shape[:first] - 1) > _NEAR).any():
        raise ImageError(
            f"'{layer.name}' lies elsewhere in every plane of '{image.name}', whose planes are sheared against each "
            f"other: make the mask in a layer of {image.ndim} dimensions"
        )
    matrix = inverse @ theirs[-shared:]
    return _Place(matrix, inverse @ (start[-shared:] - origin[-shared:]), tuple(map(int, shape[first:])))


def _to_world(layer: Layer) -> tuple[Points, Points]:
    """Return the matrix (D, D) and shift (D,) from the pixels of a layer to the world."""
    start = np.array(layer.data_to_world(np.zeros(layer.ndim)))
    columns = [np.array(layer.data_to_world(unit)) - start for unit in np.eye(layer.ndim)]
    return np.stack(columns, axis=1), start


# Pixels -------------------------------------------------------------------------------------------------------------


def _laid(layer: Layer, image: str, place: _Place) -> NDArray[Any]:
    """Return the marked pixels of labels or an image, which may lie a whole number of pixels away."""
    data = layer_data(layer)
    length = np.array(data.shape[: layer.ndim])
    if layer.ndim > len(place.shape):
        raise ImageError(
            f"'{layer.name}' has {layer.ndim} dimensions, {tuple(length)}, but '{image}' has {len(place.shape)}: "
            "make the mask in a layer of as many, or fewer"
        )
    shift = np.round(place.shift).astype(int)
    # Largest distance between the pixels of both: what the matrix adds up to at the far end, and the part of the shift
    # that is no whole pixel.
    missed = np.abs(place.matrix - np.eye(len(shift))) @ np.maximum(length - 1, 1) + np.abs(place.shift - shift)
    if (missed > _NEAR).any():
        raise ImageError(
            f"the pixels of '{layer.name}' do not lie on those of '{image}': give it the same place (right-click on "
            f"'{image}': Copy scale and transforms, then paste), or draw the mask in a Shapes layer"
        )
    if not shift.any() and tuple(length) == place.shape:
        return as_numpy(data) != 0
    mask = np.zeros((*place.shape, *data.shape[layer.ndim :]), bool)
    low, high = np.maximum(shift, 0), np.minimum(shift + length, place.shape)
    if (low < high).all():
        there = tuple(slice(a, b) for a, b in zip(low - shift, high - shift, strict=True))
        mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = as_numpy(data[there]) != 0
    return mask


# Drawings -----------------------------------------------------------------------------------------------------------


def _drawn(layer: Layer, place: _Place) -> Mask:
    mask = np.zeros(place.shape, bool)
    for vertices, kind, width in zip(layer.data, layer.shape_type, layer.edge_width, strict=True):
        points = np.asarray(vertices, np.float64)
        if kind not in ("line", "path"):
            _fill(mask, place(_ellipse(points) if kind == "ellipse" else points))
            continue
        for part in _stroke(points, float(width)):
            _fill(mask, place(part))
        for ends in pairwise(place(points)):
            _trace(mask, np.stack(ends))  # a line thinner than a pixel may lie between all centres
    return mask


def _ellipse(corners: Points) -> Points:
    """Return the outline of an ellipse from the corners of the rectangle around it."""
    angle = np.linspace(0, 2 * np.pi, _ROUND, endpoint=False)[:, None]
    first, second = (corners[1] - corners[0]) / 2, (corners[2] - corners[1]) / 2
    return np.asarray(corners.mean(axis=0) + np.cos(angle) * first + np.sin(angle) * second)


def _stroke(points: Points, width: float) -> Iterator[Points]:
    """Yield the outlines of what a line of this width covers: a box for every piece, a disc where pieces meet."""
    plane = list(_lies_in(points))
    for start, end in pairwise(points):
        along = (end - start)[plane]
        if along.any():
            side = np.zeros_like(start)
            side[plane] = np.array([-along[1], along[0]]) * width / 2 / np.hypot(*along)
            yield np.stack([start + side, end + side, end - side, start - side])
    box = np.zeros((4, points.shape[1]))
    box[:, plane] = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) * width / 2
    for point in points[1:-1]:
        yield _ellipse(point + box)


def _lies_in(points: Points) -> tuple[int, int]:
    """Return the two dimensions along which points lie: the last two, unless they lie along others only."""
    extent = np.ptp(points, axis=0)
    along = [i for i, length in enumerate(extent) if length > _FLAT * extent.max()]
    others = [i for i in reversed(range(len(extent))) if i not in along]
    first, second = sorted((along + others)[:2]) if len(along) <= 2 else (len(extent) - 2, len(extent) - 1)
    return first, second


def _fill(mask: Mask, points: Points) -> None:
    """Mark the pixels inside an outline and on it."""
    planes, (rows, columns) = _planes(mask, points)
    inside = polygon(points[:, rows], points[:, columns], planes.shape[-2:])
    planes[(..., *inside)] = True


def _trace(mask: Mask, ends: Points) -> None:
    """Mark the pixels along a line."""
    planes, plane = _planes(mask, ends)
    (y0, x0), (y1, x1) = np.floor(ends[:, list(plane)] + 0.5).astype(int)
    y, x = line(y0, x0, y1, x1)
    height, width = planes.shape[-2:]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    planes[..., y[inside], x[inside]] = True


def _planes(mask: Mask, points: Points) -> tuple[Mask, tuple[int, int]]:
    """Return a view of the planes of a mask through which points lie, and the two dimensions of a plane."""
    plane = _lies_in(points)
    low, high = (np.floor(end + 0.5).astype(int) for end in (points.min(axis=0), points.max(axis=0)))
    part = tuple(
        slice(None) if i in plane else slice(max(a, 0), max(b + 1, 0))
        for i, (a, b) in enumerate(zip(low, high, strict=True))
    )
    return np.moveaxis(mask[part], plane, (-2, -1)), plane
