"""Objects of a Labels or Points layer: which one is where, and in which colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Points
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import ArrayLike

from napari_genrecon.widgets.layers.features import read_features

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["OwnColours", "given_names", "is_over", "object_at", "paint"]

Colour = Sequence[float]

_NO_CLASS = (0.55, 0.55, 0.55, 0.35)  # objects about which nothing is known yet


def is_over(image: Image, viewer: Viewer) -> bool:
    """Return whether the mouse is over the pixels of an image."""
    found = image.get_value(viewer.cursor.position, world=True)
    return (found[1] if image.multiscale and found is not None else found) is not None


def object_at(layer: Labels | Points, viewer: Viewer) -> int:
    """Return the number of the object under the mouse, of points counted from 1; 0 where there is none."""
    found = layer.get_value(viewer.cursor.position, world=True)
    if isinstance(layer, Points):
        return 0 if found is None else int(found) + 1
    value = found[1] if isinstance(found, tuple) else found  # of a multiscale layer: the level, too
    return 0 if value is None else int(value)


def given_names(layer: Labels | Points, column: str) -> dict[int, str]:
    """Return the names in a column of the features by object; objects without one are left out."""
    table = read_features(layer)
    if column not in table:
        return {}
    # Rows of other objects hold NaN, which is a float.
    found = {int(number): str(name) for number, name in table[column].items() if isinstance(name, str)}
    return {number: name for number, name in found.items() if name}


class OwnColours:
    """Colours that a layer had before, to give them back.

    Parameters
    ----------
    layer : Labels or Points
        The layer.
    """

    def __init__(self, layer: Labels | Points) -> None:
        self.layer = layer
        # A copy: this may be the array that napari works on. A colormap is replaced as a whole.
        self._before: Any = np.array(layer.face_color) if isinstance(layer, Points) else layer.colormap

    def restore(self) -> None:
        """Give the colours back, unless points were added or removed."""
        if isinstance(self.layer, Labels):
            self.layer.colormap = self._before
        elif len(self._before) == len(self.layer.data):
            self.layer.face_color = self._before


def paint(layer: Labels | Points, colours: Mapping[int, ArrayLike]) -> None:
    """Give objects these colours, by number, and grey to all others."""
    if isinstance(layer, Points):
        if len(layer.data):
            # Points are counted from 1, as labels are.
            layer.face_color = np.array([colours.get(n + 1, _NO_CLASS) for n in range(len(layer.data))], float)
        return
    # napari's key None is the colour of all numbers that the table lacks; 0 is the background.
    table: dict[int | None, Any] = {None: np.array(_NO_CLASS), 0: np.zeros(4)}
    table |= {number: np.asarray(colour, float) for number, colour in colours.items()}
    layer.colormap = DirectLabelColormap(color_dict=table)
