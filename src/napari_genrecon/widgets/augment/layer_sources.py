"""Choose image layers with their labels and points, and read them as sources of new images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import Container, Select
from napari.layers import Image, Labels, Points

from napari_genrecon.errors import OptionError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.plural import number_of
from napari_genrecon.tasks.augment.folder import Source
from napari_genrecon.tasks.files import turned
from napari_genrecon.tasks.given import in_pixels
from napari_genrecon.widgets.layers.choice import LayerLists
from napari_genrecon.widgets.layers.snapshot import (
    display,
    is_no_image,
    is_synthetic,
    layer_axes,
    layer_data,
    place_keywords,
)

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["SourceChooser", "source_of"]


class SourceChooser(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Choice of image layers, and of the labels and points that belong to them.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers can be chosen.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._seen: set[str] = set()  # layers that were there when the lists were filled last
        self.images = _chooser("images", self._names_of(Image), "One or several image layers")
        self.label_layers = _chooser(
            "labels", self._names_of(Labels), "One labels layer for each image, in order; or none"
        )
        self.point_layers = _chooser(
            "points", self._names_of(Points), "One points layer for each image, in order; or none"
        )
        super().__init__(widgets=[self.images, self.label_layers, self.point_layers], labels=True)
        self.margins = (0, 0, 0, 0)
        self._choosers = (self.images, self.label_layers, self.point_layers)
        self._lists = LayerLists(viewer, self._choosers, self.refresh)
        self.leave, self._chosen = self._lists.leave, self._lists.chosen
        self.refresh()

    def refresh(self, _event: object = None) -> None:
        """Update the lists; a new layer is chosen where nothing else is."""
        self._lists.refresh()
        for chooser in self._choosers:
            if not chooser.value:
                chooser.value = [name for name in chooser.choices if name not in self._seen][:1]
            # Lists without an entry are hidden, but that of images says what is needed first.
            chooser.visible = bool(chooser.choices) or chooser is self.images
        self._seen = {layer.name for layer in self._viewer.layers}

    def sources(self) -> list[Source]:
        """Return what is chosen.

        Raises
        ------
        OptionError
            If no image is chosen, or the layers do not fit together.
        """
        images = self._chosen(self.images)
        if not images:
            raise OptionError("choose an image layer first")
        labels, points = (_for_each(self._chosen(c), images, c.label) for c in (self.label_layers, self.point_layers))
        return [source_of(*each) for each in zip(images, labels, points, strict=True)]

    def places(self) -> list[dict[str, Any]]:
        """Return the place of each chosen image, as keywords of a layer."""
        return [place_keywords(display(layer)) for layer in self._chosen(self.images)]

    def _names_of(self, kind: Any) -> Callable[[Any], list[str]]:
        def names(_widget: object = None) -> list[str]:
            layers = [layer for layer in self._viewer.layers if isinstance(layer, kind)]
            return [layer.name for layer in layers if not is_no_image(layer) and not is_synthetic(layer)]

        return names


def source_of(image: Any, labels: Any, points: Any) -> Source:
    """Return an image layer as a source of new images, with a labels and a points layer or None."""
    samples, place = 1 if image.rgb else 0, place_keywords(display(image))
    about = ImageMeta(
        axes=layer_axes(image),
        # A negative scale mirrors the layer on screen; pixels have a size all the same.
        scale=(*(abs(float(size)) for size in image.scale), *(1.0,) * samples),
        units=(*map(str, image.units), *("pixel",) * samples),
        translate=(*map(float, image.translate), *(0.0,) * samples),
        layer={key: np.asarray(place[key]).tolist() for key in ("rotate", "shear", "affine")},
    )
    return Source(
        name=image.name,
        pixels=layer_data(image),
        about=replace(about, layer=turned(about)),
        labels=None if labels is None else layer_data(labels),
        points=None if points is None else in_pixels(points, image),
    )


def _for_each(layers: Sequence[Any], images: Sequence[Any], what: str) -> list[Any]:
    if not layers:
        return [None] * len(images)
    if len(layers) != len(images):
        chosen = number_of(len(layers), f"layer of {what} is", f"layers of {what} are")
        raise OptionError(
            f"{chosen} chosen for {number_of(len(images), 'image', 'images')}: choose one for each, or none"
        )
    return list(layers)


def _chooser(name: str, names: Callable[[Any], list[str]], tooltip: str) -> Select:
    return Select(name=f"{name}_chosen", label=name, choices=names, tooltip=tooltip)
