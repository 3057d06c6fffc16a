"""Choice of the part of an image that a task works on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, Container, LineEdit
from napari.layers import Shapes

from napari_genrecon.axes import Axes
from napari_genrecon.errors import OptionError
from napari_genrecon.tasks.region import region_of, region_text
from napari_genrecon.widgets.layers.snapshot import is_flat, layer_axes, layer_data, visible_region

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

__all__ = ["Only"]

# Numbers, as a Shapes layer may have any name.
_ALL, _PLANE, _VIEW, _TYPED = range(4)


class Only(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Choice between the whole image, the plane on screen, what is seen of it, a rectangle, and text.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose plane, view and Shapes layers can be chosen.
    enlarges : bool
        Whether results have more pixels, and cannot be put into a copy of the image.
    """

    def __init__(self, viewer: Viewer, *, enlarges: bool) -> None:
        self._viewer, self._enlarges = viewer, enlarges
        self.part = ComboBox(
            label="work on",
            choices=self._parts,
            tooltip="Work on a part of the image: faster, and its pixels are those of the whole result",
        )
        self.typed = LineEdit(
            label="part",
            value="",
            visible=False,
            tooltip="Such as T=0:10, C=1, Y=100:300: from the first frame, plane or pixel, counted from 0, to before "
            "the last. What is not named is taken whole",
        )
        self.whole = CheckBox(
            text="into a copy of the whole image",
            visible=False,
            tooltip="The new layer is as large as the image, and unchanged outside this part; else it holds the part",
        )
        super().__init__(widgets=[self.part, self.typed, self.whole], labels=True)
        self.margins = (0, 0, 0, 0)
        self._shown()
        self.part.changed.connect(self._shown)

    def _parts(self, _widget: object = None) -> list[tuple[str, Any]]:
        """Return the words of every choice and its value, for a rectangle the name of its layer."""
        names = [layer.name for layer in self._viewer.layers if isinstance(layer, Shapes)]
        shapes = [(f"last rectangle of '{name}'", name) for name in names]
        views = [("the whole image", _ALL), ("the plane on screen", _PLANE), ("what is on screen", _VIEW)]
        return [*views, *shapes, ("as typed below", _TYPED)]

    def _shown(self, _event: object = None) -> None:
        self.typed.visible = self.part.value == _TYPED
        self.whole.visible = self.part.value != _ALL and not self._enlarges

    def options(self, layer: Layer) -> dict[str, Any]:
        """Return the options for this part of an image layer.

        Raises
        ------
        OptionError
            If there is no such part.
        """
        region = self._region(layer)
        if not region:
            return {}
        return {"region": region} | ({} if self._enlarges else {"whole": self.whole.value})

    def _region(self, layer: Layer) -> str:
        axes, shape, part = layer_axes(layer), layer_data(layer).shape, self.part.value
        if part == _TYPED:
            region_of(self.typed.value, axes, shape)  # refuse here what cannot be
            return str(self.typed.value).strip()
        if part == _ALL:
            return ""
        if part in (_PLANE, _VIEW):
            if not is_flat(self._viewer):
                raise OptionError(
                    "there is no plane, y by x, on screen to work on: go back to that view in 2D with the buttons "
                    "below the list of layers, or choose another part"
                )
            found = list(visible_region(self._viewer, layer))
            if part == _PLANE:
                found[axes.y], found[axes.x] = slice(0, shape[axes.y]), slice(0, shape[axes.x])
            return _text(found, axes, shape)
        return _text(_box(self._viewer.layers[part], layer, axes, shape), axes, shape)


def _text(region: list[slice], axes: Axes, shape: tuple[int, ...]) -> str:
    # Colours, which are always taken whole, have a slice without ends.
    ends = [slice(*part.indices(n)[:2]) for part, n in zip(region, shape, strict=True)]
    return region_text(tuple(ends), axes, shape)


def _box(shapes: Layer, image: Layer, axes: Axes, shape: tuple[int, ...]) -> list[slice]:
    """Return the box around the shape that was drawn last, in pixels of an image, in all its planes."""
    if not len(shapes.data):
        raise OptionError(f"'{shapes.name}' holds no shape: draw a rectangle on the image")
    world = np.array([shapes.data_to_world(point)[-2:] for point in shapes.data[-1]])
    # Of the shape only Y and X count; all else is taken from the image, which may have more dimensions.
    point = np.asarray(image.data_to_world(np.zeros(image.ndim)))
    pixels = [image.world_to_data([*point[:-2], *each])[-2:] for each in world]
    # A pixel belongs to the box if its middle does; rounded, as an edge may lie exactly between two pixels.
    low, high = (np.floor(np.round(ends + 0.5, 3)) for ends in (np.min(pixels, axis=0), np.max(pixels, axis=0)))
    found = [slice(0, n) for n in shape]
    for axis, start, stop in zip((axes.y, axes.x), low, high, strict=True):
        found[axis] = slice(int(max(start, 0)), int(min(stop, shape[axis])))
        if found[axis].start >= found[axis].stop:
            raise OptionError(
                f"the last shape of '{shapes.name}' holds no pixel of '{image.name}': draw a rectangle on the image"
            )
    return found
