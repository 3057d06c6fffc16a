"""Go to the object that is suggested to be labelled, and mark it with a ring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_genrecon.widgets.layers.places import look_at
from napari_genrecon.widgets.layers.snapshot import NO_IMAGE, layer_axes, layer_data

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["RING", "Target"]

RING = "label this"
"""Name of the layer that marks the suggested object."""

_AROUND = 6.0  # sides of a crop that are shown around the object: enough to see its neighbours


class Target:
    """The object that is suggested.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose camera moves, and that gets the ring.

    Attributes
    ----------
    key : (int, int) or None
        Which of the chosen layers it is in, and its number.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._mouse: tuple[float, ...] = ()
        self.key: tuple[int, int] | None = None

    def mouse_moved(self) -> bool:
        """Return whether the mouse was moved over the canvas since the object was suggested."""
        return tuple(self._viewer.cursor.position) != self._mouse

    def clear(self) -> None:
        """Suggest no object, and remove the ring."""
        self.key = None
        # Only the layer that is marked as ours: one of the user may have the same name.
        if RING in self._viewer.layers and NO_IMAGE in self._viewer.layers[RING].metadata:
            self._viewer.layers.remove(RING)

    def go(self, key: tuple[int, int], image: Any, place: list[int], side: int) -> None:
        """Suggest an object: move the camera to it and put a ring around it.

        Parameters
        ----------
        key : (int, int)
            The object.
        image : Image
            Its image layer.
        place : list of int
            Plane, row and column.
        side : int
            Side of its crop in pixels.
        """
        self.clear()
        point = _in_layer(image, place)
        world = image.data_to_world(point)
        for axis in range(image.ndim - 2):
            # The dimensions of a layer are the last ones of the viewer.
            self._viewer.dims.set_point(self._viewer.dims.ndim - image.ndim + axis, world[axis])
        pixel = float(np.abs(image.scale[-1]))  # world units; a mirrored layer has a negative scale
        look_at(self._viewer, image, world, _AROUND * side * pixel)
        self._ring(image, point, side)
        # Where the mouse is now: if it stays there, the next key means this object.
        self.key, self._mouse = key, tuple(self._viewer.cursor.position)

    def _ring(self, image: Any, point: list[float], side: int) -> None:
        active = self._viewer.layers.selection.active
        place = {name: getattr(image, name) for name in ("scale", "translate", "rotate", "shear", "affine", "units")}
        self._viewer.add_points(
            [point], name=RING, size=side, face_color="transparent", border_color="white", border_width=0.04,
            metadata={NO_IMAGE: True}, **place,
        )  # fmt: skip
        self._viewer.layers.selection.active = active  # the tools of the layer that is worked on stay


def _in_layer(image: Any, place: list[int]) -> list[float]:
    """Return plane, row and column as a point in the dimensions of an image layer."""
    plane, y, x = place
    axes, shape = layer_axes(image), layer_data(image).shape
    # Planes are counted along all axes but those within a plane, in the order of the image.
    outer = [i for i, letter in enumerate(axes.letters) if letter not in "CSYX"]
    point = [0.0] * image.ndim
    for axis, step in zip(outer, np.unravel_index(plane, tuple(shape[i] for i in outer)) if outer else (), strict=True):
        point[axis] = float(step)
    point[axes.y], point[axes.x] = float(y), float(x)
    return point
