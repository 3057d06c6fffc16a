"""Places of crops: on a grid, at random, around objects or points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.errors import ImageError
from napari_genrecon.io.points import without_channels
from napari_genrecon.training.data.source import CropSource, outer_letters

__all__ = [
    "Places",
    "grid_count",
    "grid_places",
    "label_places",
    "labels_like",
    "object_boxes",
    "point_places",
    "point_planes",
    "random_places",
    "whole_places",
]


@dataclass(frozen=True, slots=True)
class Places:
    """Places of the crops of one image.

    Attributes
    ----------
    place : (N, 3) int64 ndarray
        Plane, and row and column of the first pixel; sorted by plane.
    label : (N,) int64 ndarray
        Number of the object or point; 0 where there is none.
    edge, large : int
        Number of objects left out because the crop would leave the image, and of objects larger than the crop.
    """

    place: NDArray[np.int64]
    label: NDArray[np.int64]
    edge: int = 0
    large: int = 0


def grid_places(source: CropSource, size: int, stride: int, depth: int | None = None) -> Places:
    """Return places every `stride` pixels on every plane; blocks of `depth` planes follow each other along Z."""
    rows = np.arange(0, source.height - size + 1, stride)
    columns = np.arange(0, source.width - size + 1, stride)
    # Plane first, so that the places come sorted by plane.
    mesh = np.meshgrid(source.first_planes(depth, every=depth or 1), rows, columns, indexing="ij")
    place = np.stack([axis.ravel() for axis in mesh], axis=1).astype(np.int64)
    return Places(place, np.zeros(len(place), np.int64))


def grid_count(source: CropSource, size: int, stride: int, depth: int | None = None) -> int:
    """Return the number of crops, or blocks, of a grid."""
    rows, columns = ((side - size) // stride + 1 for side in (source.height, source.width))
    return len(source.first_planes(depth, every=depth or 1)) * max(rows, 0) * max(columns, 0)


def random_places(source: CropSource, size: int, n: int, rng: np.random.Generator, depth: int | None = None) -> Places:
    """Return `n` uniformly random places."""
    planes = source.first_planes(depth)
    # No place at all, which the caller says in a sentence; random numbers below 0 would fail here.
    if source.height < size or source.width < size or not len(planes):
        n = 0
    limits = (max(len(planes), 1), max(source.height - size + 1, 1), max(source.width - size + 1, 1))
    place = np.stack([rng.integers(0, limit, n) for limit in limits], axis=1).astype(np.int64)
    # The draw was the index among first planes, not the number of a plane.
    place[:, 0] = planes[place[:, 0]]
    # By plane, row and column: `lexsort` takes its last key first.
    return Places(place[np.lexsort(place.T[::-1])], np.zeros(n, np.int64))


def whole_places(source: CropSource, size: int, depth: int | None = None) -> Places:
    """Return every plane as a crop, or every stack as a block.

    Raises
    ------
    ImageError
        If the planes have another size.
    """
    if (source.height, source.width) != (size, size):
        raise ImageError(
            f"ready crops must have {size}x{size} pixels, these have {source.height}x{source.width}: "
            "choose that size if it is 32, 64 or 128, or cut crops on a grid"
        )
    return grid_places(source, size, size, depth)


def label_places(source: CropSource, labels: Any, size: int, depth: int | None = None) -> Places:
    """Return one place per object, on the plane on which the object is largest.

    Raises
    ------
    ImageError
        If the labels are not integers, or have another shape than the image.
    """
    objects = object_boxes(source, labels_like(source, labels))
    # Of the bounding box and not of the mass: so the whole object lies in the crop, if it is small enough.
    centre = (objects[:, 2:4] + objects[:, 4:6]) // 2
    large = int(np.count_nonzero((objects[:, 4:6] - objects[:, 2:4]).max(1, initial=0) > size))
    return _around(source, size, depth, objects[:, 0], centre, objects[:, 1], large)


def point_places(source: CropSource, points: Any, size: int, depth: int | None = None) -> Places:
    """Return one place per point.

    Raises
    ------
    ImageError
        If the points do not have one column per dimension of the image; one of channels is neither needed nor used.
    """
    planes, whole, numbers = point_planes(source, points)
    return _around(source, size, depth, planes, whole, numbers, 0)


def point_planes(source: CropSource, points: Any) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return plane, (N, 2) nearest pixel, and number, counted from 1, of all points on a plane of the image.

    Raises
    ------
    ImageError
        If the points do not have one column per dimension of the image; one of channels is neither needed nor used.
    """
    found = without_channels(np.asarray(points), source.axes)
    n = len(source.outer) + 2
    if found.ndim != 2 or found.shape[1] != n or found.dtype.kind not in "iuf" or not np.isfinite(found).all():
        raise ImageError(
            f"points have the shape {found.shape}: {n} finite columns are needed, one for each of the dimensions "
            f"{outer_letters(source.axes)}YX"
        )
    # The nearest pixel; `np.round` would send halves to the even neighbour, now up and now down.
    whole = np.floor(found + 0.5).astype(np.int64)
    # Points of napari may lie on planes that the image does not have. Y and X are checked with the size of the crop.
    inside = np.all((whole[:, :-2] >= 0) & (whole[:, :-2] < np.array(source.outer, dtype=np.int64)), axis=1)
    # Numbers are counted before points are dropped, so that they stay those of the user's layer.
    whole, numbers = whole[inside], np.arange(1, len(found) + 1)[inside]
    planes = np.zeros(len(whole), np.int64)
    if source.outer:
        planes = np.ravel_multi_index(tuple(whole[:, :-2].T), source.outer).astype(np.int64)
    return planes, whole[:, -2:], numbers


def _around(
    source: CropSource,
    size: int,
    depth: int | None,
    planes: NDArray[np.int64],
    centre: NDArray[np.int64],
    label: NDArray[np.int64],
    large: int,
) -> Places:
    first = centre - size // 2
    limit = np.array([source.height - size, source.width - size])
    inside = np.all((first >= 0) & (first <= limit), axis=1)
    if depth is not None:
        planes, whole = source.centred_planes(planes, depth)
        inside &= whole
    place = np.concatenate([planes[:, None], first], axis=1)[inside]
    order = np.lexsort(place.T[::-1])
    return Places(place[order], label[inside][order], int(np.count_nonzero(~inside)), large)


def labels_like(source: CropSource, labels: Any) -> CropSource:
    """Return labels as numbered planes, like those of their image.

    Raises
    ------
    ImageError
        If they are not integers, or have another shape than the image.
    """
    # Asked of a lazy array without reading it.
    dtype = np.dtype(getattr(labels, "dtype", None) or np.asarray(labels).dtype)
    if dtype.kind not in "iu":
        hint = "; number the objects of a mask first, with skimage.measure.label" if dtype.kind == "b" else ""
        raise ImageError(f"labels have dtype {dtype}: integers are needed, one number per object{hint}")
    # In the order of the image's own dimensions, which need not end in YX.
    letters = outer_letters(source.axes) + "YX"
    order = [letter for letter in source.axes.letters if letter in letters]
    expected = (*source.outer, source.height, source.width)
    shape = tuple(getattr(labels, "shape", np.shape(labels)))
    # First the lengths in any order, for a message about the shape; then the order itself, below.
    if sorted(shape) != sorted(expected) or len(shape) != len(order):
        raise ImageError(
            f"labels have the shape {shape} but the image has {expected} in its dimensions {letters}: they must match"
        )
    found = CropSource(labels, Axes("".join(order)))
    if (*found.outer, found.height, found.width) != expected:
        raise ImageError(f"labels have the shape {shape}, their order of dimensions is not the image's: {order}")
    return found


def object_boxes(source: CropSource, labels: CropSource) -> NDArray[np.int64]:
    """Return (N, 7), one row per object: plane, label, first row and column, row and column past the end, area.

    An object on several planes along Z counts on the plane on which it is largest.
    """
    # Plane by plane: labels of a whole stack at once would take its memory several times over.
    found = np.concatenate([_objects_of(labels.plane(plane)[0], plane) for plane in range(labels.n_planes)])
    letters = outer_letters(source.axes)
    if "Z" in letters and len(found):
        index = np.stack(np.unravel_index(found[:, 0], source.outer), axis=1)
        # An object is one number at one place of all outer dimensions but Z: numbers may come again at another time.
        key = np.concatenate([np.delete(index, letters.index("Z"), axis=1), found[:, 1:2]], axis=1)
        # `unique` returns the first of each key, which is now the largest. Stable: of equal ones the lowest plane.
        order = np.argsort(-found[:, 6], kind="stable")
        _, first = np.unique(key[order], axis=0, return_index=True)
        # Back in the order of planes, as the places of crops must be.
        found = found[np.sort(order[first])]
    return found


def _objects_of(plane: NDArray[Any], index: int) -> NDArray[np.int64]:
    from skimage.measure import regionprops_table

    # Compact numbers: `regionprops_table` makes a list as long as the largest number, which may be millions.
    values, inverse = np.unique(plane, return_inverse=True)
    # From 1, as it takes 0 for background; here the background is what has no number above 0.
    found = regionprops_table(inverse.reshape(plane.shape) + 1, properties=("label", "bbox", "area"))
    label = values[found["label"] - 1]
    columns = [np.full(len(label), index), label, *(found[f"bbox-{side}"] for side in range(4)), found["area"]]
    return np.stack([column.astype(np.int64) for column in columns], axis=1)[label > 0]  # (N, 7)
