"""Two image layers that show the same place, and their pixels on one grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_genrecon.arrays import as_numpy
from napari_genrecon.engine.lazy import is_lazy
from napari_genrecon.errors import ImageError
from napari_genrecon.widgets.layers.snapshot import (
    PLACED,
    corner,
    display,
    is_no_image,
    layer_data,
    place_keywords,
    placed_as,
    record_of,
    visible_region,
)

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

__all__ = ["Pair", "Planes", "affine_of", "is_input", "source_of"]

_MOST = 2048**2  # pixels of a plane that are compared at once: drawing more takes longer than 200 ms on two CPU cores
_TURNED = 0.5  # pixels by which a row of one image may rise in the other before the two count as turned


def source_of(result: Layer, layers: Sequence[Layer]) -> Any:
    """Return the layer that a result was made from, by the shape and dtype in its record and by its name; or None."""
    known = record_of(result).get("input")
    if not isinstance(known, dict):
        return None
    fits = [
        layer
        for layer in layers
        if isinstance(layer, Image) and layer is not result and not is_no_image(layer) and is_input(layer, known)
    ]
    # Several layers can have this shape and dtype. Results are named after their source, so the longest name with which
    # the result's name begins is it: that of 'a b denoise' begins with 'a', too, but was made from 'a b'.
    named = [layer for layer in fits if result.name.startswith(f"{layer.name} ")]
    return max(named or fits, key=lambda layer: len(layer.name) if named else 0, default=None)


def is_input(layer: Layer, known: dict[str, Any]) -> bool:
    """Return whether a layer has the shape and dtype that a record names of its input."""
    data = layer_data(layer)
    # A record comes from JSON, in which a shape is a list.
    return list(data.shape) == known.get("shape") and str(data.dtype) == known.get("dtype")


def affine_of(layer: Layer) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return matrix and offset that turn a point of the world into pixels of a layer."""
    offset = np.asarray(layer.world_to_data(np.zeros(layer.ndim)), float)
    # napari maps points but gives no matrix; the images of the unit vectors are its columns.
    steps = [np.asarray(layer.world_to_data(row), float) - offset for row in np.eye(layer.ndim)]
    return np.stack(steps, axis=1), offset


@dataclass(frozen=True, slots=True)
class Planes:
    """The plane on screen of two images, on one grid.

    Attributes
    ----------
    before, after : ndarray
        Pixels of equal shape.
    keywords : dict
        Place and look of a layer of them.
    """

    before: Any
    after: Any
    keywords: dict[str, Any]


class Pair:
    """Two image layers that overlap. The grid is that of the finer one; the other gives its nearest pixels.

    Parameters
    ----------
    before, after : napari.layers.Image
        The layers.
    point : sequence of float
        Point of the world, for dimensions that only one of the layers has.

    Attributes
    ----------
    fine, coarse : napari.layers.Image
        The layer with the finer pixels, and the other one.
    start : tuple of int
        First pixels of the finer layer that both have, for each of its dimensions.
    nearest : tuple of ndarray
        For each dimension of the coarse layer: its pixels that belong to those of the finer one, from `start` on.

    Raises
    ------
    ImageError
        If they are one layer, are turned against each other, do not overlap, or only one of them has colours.
    """

    def __init__(self, before: Layer, after: Layer, point: Sequence[float]) -> None:
        self.before, self.after = before, after
        if before is after:
            raise ImageError(f"'{before.name}' is chosen twice: choose two images")
        if before.rgb != after.rgb:
            raise ImageError(f"only one of '{before.name}' and '{after.name}' has colours: choose two images of a kind")
        # napari aligns layers of different dimensions at the last ones.
        both = min(before.ndim, after.ndim)
        sizes = [math.prod(np.abs(np.asarray(layer.scale, float)[-both:])) for layer in (before, after)]
        # Of equal pixels, those of the result are taken as the grid.
        self.fine, self.coarse = (after, before) if sizes[1] <= sizes[0] else (before, after)
        self.start, self.nearest = self._aligned(both, np.asarray(point, float))

    @property
    def lazy(self) -> bool:
        """Whether reading pixels may take long."""
        return any(is_lazy(layer_data(layer)) for layer in (self.before, self.after))

    @property
    def large(self) -> bool:
        """Whether only the part of a plane that is on screen is compared."""
        # Y and X are the last two dimensions of the layer; colours come after them.
        return math.prod(layer_data(self.fine).shape[self.fine.ndim - 2 : self.fine.ndim]) > _MOST

    def _aligned(self, both: int, point: NDArray[Any]) -> tuple[tuple[int, ...], tuple[NDArray[Any], ...]]:
        fine, coarse = self.fine, self.coarse
        matrix, offset = affine_of(coarse)
        inverse, back = affine_of(fine)
        turned = np.linalg.inv(inverse)  # from pixels of the finer layer to the world
        # Where the finer layer's first pixel lies in the world; in dimensions that it lacks, the point on screen.
        world = np.zeros(max(coarse.ndim, fine.ndim, len(point)))
        world[len(world) - len(point) :] = point
        world[len(world) - fine.ndim :] = turned @ -back
        # Pixel p of the finer layer is pixel `origin + steps @ p` of the coarse one, in the dimensions that both have.
        origin = matrix @ world[len(world) - coarse.ndim :] + offset
        steps = matrix[-both:, -both:] @ turned[-both:, -both:]
        self._check_turned(steps, both)
        start = [0] * (fine.ndim - both)
        # Of dimensions that only the coarse layer has: its one plane at the point on screen.
        nearest = [np.array([_rounded(origin[i])]) for i in range(coarse.ndim - both)]
        for axis in range(both):
            length, other = (layer_data(x).shape[x.ndim - both + axis] for x in (fine, coarse))
            # Only the diagonal of `steps` counts, as `_check_turned` lets nothing else pass.
            found = _rounded(origin[coarse.ndim - both + axis] + steps[axis, axis] * np.arange(length))
            inside = np.flatnonzero((found >= 0) & (found < other))
            if not inside.size:
                raise ImageError(
                    f"'{self.before.name}' and '{self.after.name}' do not overlap: choose two of one place"
                )
            start.append(int(inside[0]))
            nearest.append(found[inside[0] : inside[-1] + 1])
        return tuple(start), tuple(nearest)

    def _check_turned(self, steps: NDArray[Any], both: int) -> None:
        shape = np.array(layer_data(self.fine).shape[self.fine.ndim - both : self.fine.ndim])
        # Away from the diagonal: how far one axis drifts along another one over its whole length, in coarse pixels.
        if (np.abs(steps - np.diag(np.diag(steps))) * shape > _TURNED).any():
            raise ImageError(
                f"'{self.before.name}' and '{self.after.name}' are turned or sheared against each other: only images "
                "whose rows run in one direction can be compared"
            )

    # Pixels ---------------------------------------------------------------------------------------------------------

    def shape(self) -> tuple[int, ...]:
        """Return the shape of what both layers have, on the grid of the finer one, without colours."""
        lengths = list(layer_data(self.fine).shape[: self.fine.ndim])
        both = min(self.fine.ndim, self.coarse.ndim)
        return (*lengths[: len(lengths) - both], *(len(each) for each in self.nearest[-both:]))

    def read(self, region: tuple[slice, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the pixels of both layers, before and after, in a region of `shape`."""
        # Regions count from where the overlap begins, the pixels of the layer from its own first one.
        moved = tuple(
            slice(piece.start + first, piece.stop + first, piece.step)
            for piece, first in zip(region, self.start, strict=True)
        )
        fine = as_numpy(layer_data(self.fine)[moved])
        coarse = self._nearest(region)
        return (coarse, fine) if self.fine is self.after else (fine, coarse)

    def _nearest(self, region: tuple[slice, ...]) -> NDArray[Any]:
        n = self.coarse.ndim - min(self.fine.ndim, self.coarse.ndim)
        index = [*self.nearest[:n], *(each[piece] for each, piece in zip(
            self.nearest[n:], region[len(region) - self.coarse.ndim + n :], strict=True
        ))]  # fmt: skip
        # Slices are what all kinds of arrays can read; repeated and left-out pixels are picked from the box in memory.
        box = tuple(slice(int(each.min()), int(each.max()) + 1) for each in index)
        found = as_numpy(layer_data(self.coarse)[box])
        for axis, (each, piece) in enumerate(zip(index, box, strict=True)):
            if len(each) != found.shape[axis] or (np.diff(each) != 1).any():
                found = np.take(found, each - piece.start, axis)
        return found[(0,) * n]

    def region(self, viewer: Viewer) -> tuple[slice, ...] | None:
        """Return the plane on screen as a region of `shape`, in steps where it is large; None if both lack it."""
        seen, shape, n = visible_region(viewer, self.fine), self.shape(), self.fine.ndim
        point = np.asarray(viewer.dims.point, float)[-n:]
        matrix, offset = affine_of(self.fine)
        index = _rounded(matrix @ point + offset) - np.array(self.start)
        if any(not 0 <= index[i] < shape[i] for i in range(n - 2)):
            return None
        hidden = [slice(int(i), int(i) + 1, 1) for i in index[: n - 2]]
        if not self.large:
            return (*hidden, slice(0, shape[-2], 1), slice(0, shape[-1], 1))
        part = [
            (max(piece.start - first, 0), min(piece.stop - first, length))
            for piece, first, length in zip(seen[n - 2 : n], self.start[-2:], shape[-2:], strict=True)
        ]
        if any(a >= b for a, b in part):
            return None
        # Of a part that is still too large, every n-th row and column.
        step = math.ceil(math.sqrt(math.prod(b - a for a, b in part) / _MOST))
        return (*hidden, *(slice(a, b, step) for a, b in part))

    def planes(self, region: tuple[slice, ...]) -> Planes:
        """Return the pixels of a plane, and the keywords of a layer of two dimensions for them."""
        before, after = (np.ascontiguousarray(part[(0,) * (len(region) - 2)]) for part in self.read(region))
        # Opacity and blending are left to `SplitLayer`, which has to cover what lies below it.
        look = {k: v for k, v in display(self.before).items() if k not in (*PLACED, "metadata", "opacity", "blending")}
        return Planes(before, after, {**look, **self.place(region)})

    def place(self, region: tuple[slice, ...]) -> dict[str, Any]:
        """Return the place of a layer of the last two dimensions of a region."""
        n = self.fine.ndim
        placed = placed_as(place_keywords(display(self.fine)), (n - 2, n - 1))
        return _placed_at(placed, region[-2:], self.start[-2:])

    def whole_place(self) -> dict[str, Any]:
        """Return the place of a layer of all pixels that both have."""
        placed = place_keywords(display(self.fine))
        return _placed_at(placed, [slice(0, None, 1)] * self.fine.ndim, self.start)


def _placed_at(placed: dict[str, Any], region: Sequence[slice], start: Sequence[int]) -> dict[str, Any]:
    """Return the place of a layer of every n-th pixel of a region of another one, which begins at `start`."""
    steps = np.array([piece.step or 1 for piece in region])
    # A pixel that stands for n pixels lies in their middle, (n - 1) / 2 after the first.
    first = np.array([piece.start for piece in region]) + np.asarray(start) + (steps - 1) / 2
    return {**placed, "scale": np.asarray(placed["scale"], float) * steps, "translate": corner(placed, first)}


def _rounded(value: Any) -> Any:
    """Round half up, as halves must not go to and fro."""
    return np.floor(np.asarray(value) + 0.5).astype(int)
