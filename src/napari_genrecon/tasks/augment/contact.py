"""Put new images side by side, with their labels and points, to judge the options before all are made."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import Progress
from napari_genrecon.engine.tiles import middle
from napari_genrecon.tasks.augment.example import Example, example_steps
from napari_genrecon.tasks.augment.folder import Source
from napari_genrecon.tasks.augment.options import AugmentOptions
from napari_genrecon.tasks.augment.parent import Parent, parent_steps

__all__ = ["Contact", "contact_steps"]

_MOST, _FEW = 12, 4  # new images that are shown: enough to judge them; of large ones fewer, as each takes seconds
_LARGE = 4_000_000  # pixels, from which a new image takes seconds
_SIDE = 256  # px of a picture at most: what a screen shows of twelve at full resolution, in which objects are judged
_GAP = 4  # px between pictures


@dataclass(frozen=True, slots=True, eq=False)
class Contact:
    """New images side by side: of large ones the middle, of stacks and movies the middle plane.

    Attributes
    ----------
    image : (Y, X), (C, Y, X) or (Y, X, S) ndarray
        The pictures, in the dtype of the image.
    labels : (Y, X) ndarray or None
        Their labels.
    points : (N, 2) ndarray or None
        Their points, in pixels of the sheet.
    n : int
        How many pictures.
    side : int
        Width of a picture in pixels of the sheet.
    whole : bool
        Whether all of each plane is shown, and not only its middle.
    """

    image: NDArray[Any]
    labels: NDArray[Any] | None
    points: NDArray[np.float64] | None
    n: int
    side: int
    whole: bool


def contact_steps(source: Source, options: AugmentOptions) -> Generator[Progress, None, Contact]:
    """Make the first of the new images of a source, and put them side by side.

    Parameters
    ----------
    source : Source
        The image, with its labels and points.
    options : AugmentOptions
        Options of `augment`; axes are those of the source.

    Yields
    ------
    Progress
    """
    n = min(options.n, _MOST if math.prod(source.pixels.shape) <= _LARGE else _FEW)
    # What is drawn depends on the seed, the image and the index, and not on n: these are the images that will be made.
    chosen = replace(options, axes=source.about.axes, n=n)
    parent = yield from parent_steps(source.pixels, chosen, source.labels, source.points)
    pictures: list[_Picture] = []
    for index in range(n):
        example = yield from example_steps(parent, chosen, index)
        pictures.append(_picture(example, parent))
    return _side_by_side(pictures, parent)


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    image: NDArray[Any]  # (C, Y, X)
    labels: NDArray[Any] | None
    points: NDArray[np.float64] | None


def _picture(example: Example, parent: Parent) -> _Picture:
    """Return the middle of the middle plane of an example."""
    letters = parent.axes.letters
    window = tuple(middle(example.image.shape[i], _SIDE) for i in (parent.axes.y, parent.axes.x))  # (Y, X) slices
    image = _middle(example.image, letters, keep="CSYX")
    # Where the channels are once frames and planes are gone; -1 if there are none.
    channel = "".join(letter for letter in letters if letter in "CSYX").find("S" if parent.axes.rgb else "C")
    image = image[None] if channel < 0 else np.moveaxis(image, channel, 0)
    # Labels and points are cut at the same window, so that they stay on their objects.
    labels = None if example.labels is None else _middle(example.labels, parent.label_letters, keep="YX")[window]
    points = None if example.points is None else _within(_in_middle(example.points, parent)[:, -2:], window)
    return _Picture(image[(slice(None), *window)], labels, points)


def _within(points: NDArray[np.float64], window: tuple[slice, ...]) -> NDArray[np.float64]:
    """Return the points within a window, from its first pixel."""
    first, end = (np.array([getattr(part, name) for part in window], float) for name in ("start", "stop"))
    # A pixel reaches half a pixel to either side of its coordinate.
    return points[np.all((points >= first - 0.5) & (points <= end - 0.5), axis=1)] - first


def _middle(pixels: NDArray[Any], letters: str, keep: str) -> NDArray[Any]:
    # An index of one plane per dimension that is not kept, so that only this plane is copied later.
    at = tuple(slice(None) if letter in keep else n // 2 for letter, n in zip(letters, pixels.shape, strict=True))
    return pixels[at]


def _in_middle(points: NDArray[np.float64], parent: Parent) -> NDArray[np.float64]:
    middle = parent.label_shape[:-2] // 2
    # Points between two planes belong to the nearer one.
    return points[np.all(np.abs(points[:, :-2] - middle) <= 0.5, axis=1)]


def _side_by_side(pictures: list[_Picture], parent: Parent) -> Contact:
    channels, height, width = pictures[0].image.shape
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = -(-len(pictures) // columns)
    shape = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP)
    # Gaps have the grey value of the background, which leaves the range of the sheet that of the pictures.
    dark = np.array([np.floor(level.dark) for level in parent.levels], parent.pixels.dtype)
    # A copy, as what broadcast_to returns cannot be written to.
    image = np.broadcast_to(dark[:channels, None, None], (channels, *shape)).copy()
    labels = None if pictures[0].labels is None else np.zeros(shape, pictures[0].labels.dtype)
    points = []
    for index, picture in enumerate(pictures):
        y, x = index // columns * (height + _GAP), index % columns * (width + _GAP)
        part = (slice(y, y + height), slice(x, x + width))
        image[(slice(None), *part)] = picture.image
        if labels is not None and picture.labels is not None:
            labels[part] = picture.labels
        points += [] if picture.points is None else [picture.points + np.array([y, x])]
    return Contact(
        _channels_placed(image, parent.axes), labels, np.concatenate(points) if points else None, len(pictures),
        width, max(parent.pixels.shape[i] for i in parent.space[-2:]) <= _SIDE,
    )  # fmt: skip


def _channels_placed(image: NDArray[Any], axes: Axes) -> NDArray[Any]:
    """Return the sheet with colours last, channels first, or without a dimension for them."""
    if axes.rgb:
        return np.ascontiguousarray(np.moveaxis(image, 0, -1))
    return image if axes.channel is not None else image[0]
