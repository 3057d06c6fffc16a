"""Cut a small picture around each object of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.engine.intensity import sample_crops
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.numerics.resample import resize_matrix
from napari_genrecon.recognition.outline import outline_features
from napari_genrecon.training.data.places import labels_like, object_boxes, point_planes
from napari_genrecon.training.data.source import CropSource

__all__ = ["AT_ONCE", "SIDE", "Pictures", "Scene", "crop_side", "cut_pictures", "find_objects", "larger_than"]

SIDE = 64
"""Side in pixels of the pictures that features are computed from; what is cut is resampled to it."""

AT_ONCE = 16
"""Objects per step: about 0.5 seconds on one processor core, so that a job can be cancelled soon."""

_SMALLEST, _LARGEST = 8, 2048  # pixels: sides of a crop; larger ones hold whole fields of cells
_ROOM = 1.3  # side of a crop, in sides of nearly the largest object, so that some of its surroundings are seen
_MOST_OBJECTS = 20_000  # of one image: their features take 160 MB of memory per channel
_RANGE = (0.5, 99.8)  # percentiles of an image that stand for 0 and 1; hot pixels lie beyond
_DISC = 0.25  # radius of the middle of a crop around a point, in sides of the crop

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """One image with its objects.

    Attributes
    ----------
    image : CropSource
        The image.
    labels : CropSource or None
        Numbered objects; None for points and whole planes.
    place : (N, 3) ndarray of int
        Plane and centre (row, column) of each object.
    label : (N,) ndarray of int
        Number of each object or point; that of the plane, counted from 1, for whole planes.
    low, high : (C,) ndarray of float32
        Grey values that stand for 0 and 1.
    boxes : (N, 4) ndarray of int or None
        First row and column of each labelled object, and those past its end.
    whole : bool
        Whether each plane is an object.
    """

    image: CropSource
    labels: CropSource | None
    place: Ints
    label: Ints
    low: Floats
    high: Floats
    boxes: Ints | None = None
    whole: bool = False

    def __len__(self) -> int:
        return len(self.label)

    @property
    def kind(self) -> str:
        """Origin of the objects: ``"labels"``, ``"points"`` or ``"images"``."""
        return "labels" if self.labels is not None else "images" if self.whole else "points"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """Pictures of objects, S pixels a side.

    Attributes
    ----------
    grey : (N, C, S, S) ndarray of float32
        Grey values.
    relative : (N, C, S, S) ndarray of float32
        Grey values on the scale of their image, on which nearly all lie between 0 and 1.
    inside : (N, S, S) ndarray of float32
        1 in the object and 0 around it; a disc for points; 1 everywhere for whole planes.
    outlines : (N, F) ndarray of float32 or None
        Features of the outlines of labelled objects.
    """

    grey: Floats
    relative: Floats
    inside: Floats
    outlines: Floats | None


def find_objects(image: Any, axes: str | Axes | None = None, *, labels: Any = None, points: Any = None) -> Scene:
    """Find the objects of an image: those of a labels image, points, or each plane as a whole.

    Parameters
    ----------
    image : (..., Y, X) array_like
        Image; channels (C, or S but for alpha) belong to each plane.
    axes : str or Axes, optional
        Meaning of its dimensions.
    labels : (..., Y, X) array_like of int, optional
        Objects, numbered from 1, in the image's dimensions but for the channels.
    points : (N, D) array_like, optional
        Centres in pixels, one column for each of these dimensions; one more for channels is not used.

    Raises
    ------
    ImageError
        If labels or points do not fit the image, or there is no object.
    """
    source = CropSource(image, axes)
    if labels is not None and points is not None:
        raise OptionError("labels and points were both given: give one of them")
    if labels is not None:
        scene = _labelled(source, labels)
    elif points is not None:
        scene = _pointed(source, points)
    else:
        # Each plane is one object, with its place in the middle: images in folders of classes.
        planes = np.arange(source.n_planes, dtype=np.int64)
        place = np.stack([planes, 0 * planes + source.height // 2, 0 * planes + source.width // 2], axis=1)  # (N, 3)
        scene = _scene(source, place, planes + 1, whole=True)
    if not len(scene):
        raise ImageError(f"there are no objects: the {scene.kind} are empty")
    if len(scene) > _MOST_OBJECTS:
        raise ImageError(
            f"there are {len(scene)} objects, and at most {_MOST_OBJECTS} of one image can be classified: cut it"
        )
    return scene


def _scene(
    source: CropSource,
    place: Ints,
    label: Ints,
    *,
    labels: CropSource | None = None,
    boxes: Ints | None = None,
    whole: bool = False,
) -> Scene:
    low, high = _limits(source)
    return Scene(image=source, labels=labels, place=place, label=label, low=low, high=high, boxes=boxes, whole=whole)


def _labelled(source: CropSource, labels: Any) -> Scene:
    like = labels_like(source, labels)
    # (N, 6): plane, number, first row and column, and those past the end.
    found = object_boxes(source, like)
    # The middle of the box and not the centroid: a crop of the side of the box then holds the whole object.
    place = np.concatenate([found[:, :1], (found[:, 2:4] + found[:, 4:6]) // 2], axis=1)
    return _scene(source, place, found[:, 1], labels=like, boxes=found[:, 2:6])


def _pointed(source: CropSource, points: Any) -> Scene:
    planes, pixel, number = point_planes(source, points)
    # `point_planes` leaves out points on planes that do not exist: of these the numbers are missing.
    outside = ((pixel < 0) | (pixel >= [source.height, source.width])).any(axis=1)
    if outside.any() or len(number) < len(points):
        bad = number[outside][0] if outside.any() else sorted(set(range(1, len(points) + 1)) - set(number))[0]
        raise ImageError(
            f"point {bad} lies at {np.asarray(points)[bad - 1].tolist()}, outside of the image of "
            f"{(*source.outer, source.height, source.width)} pixels: remove it"
        )
    return _scene(source, np.concatenate([planes[:, None], pixel], axis=1), number)


def crop_side(scenes: Sequence[Scene], wanted: int | None = None) -> int:
    """Return the side of crops in pixels: the one wanted, else a third larger than 19 of 20 labelled objects."""
    if wanted is not None:
        if not _SMALLEST <= wanted <= _LARGEST:
            raise OptionError(f"size must lie between {_SMALLEST} and {_LARGEST} pixels, got {wanted}")
        return wanted
    # Points and whole planes have no size of their own to choose by.
    if any(scene.boxes is None for scene in scenes):
        return SIDE
    side = _ROOM * float(np.percentile(np.concatenate([_extents(scene) for scene in scenes]), 95))
    return int(np.clip(2 * round(side / 2), _SMALLEST, _LARGEST))


def larger_than(scenes: Sequence[Scene], side: int) -> int:
    """Return how many labelled objects are larger than a crop."""
    return sum(int((_extents(scene) > side).sum()) for scene in scenes if scene.boxes is not None)


def _extents(scene: Scene) -> Ints:
    assert scene.boxes is not None
    extents: Ints = (scene.boxes[:, 2:] - scene.boxes[:, :2]).max(axis=1)
    return extents


# --- cutting ---


def cut_pictures(scene: Scene, side: int, part: slice | NDArray[np.intp], *, zoom: float = 1.0) -> Pictures:
    """Cut pictures of some of the objects of an image.

    Parameters
    ----------
    scene : Scene
        Image and objects.
    side : int
        Side of a crop in pixels. Beyond its border the image is mirrored.
    part : slice or array of int
        Which objects.
    zoom : float
        Factor on the lengths of outlines, for images with another pixel size than the model's.

    Raises
    ------
    ImageError
        If an object has no finite pixel.
    """
    place, label = scene.place[part].tolist(), scene.label[part].tolist()
    shape = (scene.image.height, scene.image.width) if scene.whole else (side, side)
    # (SIDE, Y) and (SIDE, X) weights: pictures are resampled by a product from either side.
    rows, columns = (resize_matrix(length, SIDE) for length in shape)
    cut = [_finite(_window(scene.image, spot, shape), n, scene.kind) for spot, n in zip(place, label, strict=True)]
    grey: Floats = np.stack([rows @ pixels @ columns.T for pixels in cut])  # (N, C, S, S)
    low, high = (limit[:, None, None] for limit in (scene.low, scene.high))  # (C, 1, 1)
    inside = _disc() if scene.kind == "points" else np.ones((SIDE, SIDE), np.float32)
    masks = np.repeat(inside[None], len(place), axis=0)
    outlines = None
    if scene.labels is not None:
        # Only the object's own number is inside: other objects in the crop belong to its surroundings.
        own = [_window(scene.labels, spot, shape)[0] == n for spot, n in zip(place, label, strict=True)]
        masks = np.stack([rows @ mask.astype(np.float32) @ columns.T for mask in own])
        # Outlines come from the labels themselves: the crop may cut an object off, and resampling rounds it.
        outlines = np.stack([outline_features(mask, zoom) for mask in _masks(scene, part)])
    # The cubic kernel overshoots at the edge of a mask, hence the clip.
    return Pictures(grey=grey, relative=(grey - low) / (high - low), inside=masks.clip(0, 1), outlines=outlines)


def _window(source: CropSource, spot: list[int], shape: tuple[int, int]) -> NDArray[Any]:
    """Return (C, Y, X) pixels around a place, mirrored beyond the border."""
    plane, *centre = spot
    index = [
        _mirrored(c - length // 2, length, whole)
        for c, length, whole in zip(centre, shape, (source.height, source.width), strict=True)
    ]
    # Read only the pixels that are needed, as the image may be lazy; mirrored rows are then taken from these.
    (top, bottom), (left, right) = ((int(i.min()), int(i.max()) + 1) for i in index)
    block = source.read(plane, slice(top, bottom), slice(left, right))
    return block[:, (index[0] - top)[:, None], (index[1] - left)[None, :]]


def _mirrored(first: int, length: int, whole: int) -> Ints:
    """Return the indices of pixels from `first` on, mirrored at both ends of a row of `whole` pixels.

    Examples
    --------
    >>> _mirrored(-2, 7, 4).tolist()
    [1, 0, 0, 1, 2, 3, 3]
    """
    # The image and its mirror image repeat with this period; pixels at the edge come twice (NumPy's "symmetric").
    index = np.arange(first, first + length) % (2 * whole)
    return np.minimum(index, 2 * whole - 1 - index).astype(np.int64)


def _finite(pixels: NDArray[Any], number: int, kind: str) -> Floats:
    """Return pixels as float32, with the median of their channel where they are not finite."""
    found = pixels.astype(np.float32)
    good = np.isfinite(found)
    if good.all():
        return found
    if not good.any(axis=(1, 2)).all():
        raise ImageError(
            f"number {number} of the {kind} has no finite pixel in one of its channels: remove it, or fill the missing "
            "pixels first (inpaint)"
        )
    # By channel, as channels may have very different grey values.
    medians = [np.median(channel[known]) for channel, known in zip(found, good, strict=True)]
    return np.where(good, found, np.array(medians, np.float32)[:, None, None])


def _masks(scene: Scene, part: slice | NDArray[np.intp]) -> list[NDArray[np.bool_]]:
    """Return the pixels of labelled objects inside their boxes."""
    assert scene.labels is not None
    assert scene.boxes is not None
    found = []
    rows = zip(scene.place[part, 0].tolist(), scene.boxes[part].tolist(), scene.label[part].tolist(), strict=True)
    for plane, (top, left, bottom, right), number in rows:
        # Another object may reach into the box: only the pixels with this number count.
        found.append(scene.labels.read(plane, slice(top, bottom), slice(left, right))[0] == number)
    return found


def _limits(image: CropSource) -> tuple[Floats, Floats]:
    """Return the grey values that stand for 0 and 1, per channel; the same for all colours, so that hues stay."""
    samples = [sample_crops(image.data, image.axes, channel) for channel in range(image.channels)]
    # From samples, as a lazy image may be larger than the memory.
    limits = np.array([np.nanpercentile(_joined(crops), _RANGE) for crops in samples], np.float32)  # (C, 2)
    if image.axes.rgb:
        limits[:] = limits[:, 0].min(), limits[:, 1].max()
    low, high = limits.T
    # An image of one grey value has no range to divide by.
    return low, np.where(high > low, high, low + 1)


def _joined(crops: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    values = np.concatenate([crop.ravel() for crop in crops]).astype(np.float64)
    # nanpercentile leaves out NaN, but not what is infinite.
    return np.where(np.isfinite(values), values, np.nan)


def _disc() -> Floats:
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    return np.asarray(np.hypot(y, x) < _DISC * SIDE, np.float32)
