"""Place of a result among layers that are mixed on screen, such as the channels of a composite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_genrecon.widgets.layers.snapshot import is_no_image, record_of

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

__all__ = ["Place"]

_MIXING = ("additive", "minimum", "multiplicative")  # ways of blending in which the upper layer does not cover


@dataclass(frozen=True, slots=True)
class Place:
    """Place of a result in the list of layers, and its blending.

    Attributes
    ----------
    blending : str
        Blending of the source. The lowest channel of a composite covers what is below it in napari; its result gets the
        blending of the channels above.
    hidden : tuple of Image
        Layers that the result replaces on screen: its source, and earlier results of it.
    index : int or None
        Index in the list of layers, just above the source; None is the top.
    """

    blending: str
    hidden: tuple[Any, ...] = ()
    index: int | None = None

    @classmethod
    def of(cls, viewer: Viewer, source: Layer, blending: str, record: dict[str, Any]) -> Place:
        """Find the place of a result before it is added.

        Parameters
        ----------
        viewer : napari.Viewer
            Viewer that gets the result.
        source : napari.layers.Image
            Layer that the result was made from; it may have been removed meanwhile.
        blending : str
            Blending of the source when the run began.
        record : dict
            Record of the result.
        """
        layers = viewer.layers
        index = layers.index(source) + 1 if source in layers else None
        # A layer that is mixed from above makes the source a channel, even the lowest one, which covers what is below.
        siblings = [] if index is None else [layer for layer in layers[index:] if _is_sibling(layer, source)]
        # Nothing is mixed: the result lies on top and covers its source.
        if index is None or not (siblings or blending in _MIXING):
            return cls(blending)
        # Two results of one channel would add up on screen.
        earlier = [layer for layer in layers if layer.visible and _made_from(layer) == record["input"]["fingerprint"]]
        mixed = blending if blending in _MIXING else siblings[0].blending
        return cls(mixed, (source, *earlier), index)

    def take(self, viewer: Viewer, added: Any) -> None:
        """Move the layer of the result from the top to its place, and hide the layers that it replaces."""
        if self.index is not None:
            viewer.layers.move(viewer.layers.index(added), self.index)
        for layer in self.hidden:
            # Layers that are linked in napari would be hidden with it, such as the other channels.
            viewer.layers.unlink_layers([layer], ["visible"])
            layer.visible = False


def _is_sibling(layer: Layer, source: Layer) -> bool:
    """Return whether a layer is seen mixed with the source."""
    seen = isinstance(layer, Image) and layer.visible and not is_no_image(layer) and layer.blending in _MIXING
    return seen and _overlap(layer, source)


def _overlap(one: Any, other: Any) -> bool:
    """Return whether two layers overlap in the plane of the last two axes."""
    boxes = [np.asarray(layer.extent.world)[:, -2:] for layer in (one, other)]
    low, high = np.maximum(boxes[0][0], boxes[1][0]), np.minimum(boxes[0][1], boxes[1][1])
    return bool((low < high).all())


def _made_from(layer: Layer) -> str:
    """Return the fingerprint of the pixels that a result was made from; empty for other layers."""
    found = record_of(layer).get("input")
    return str(found.get("fingerprint", "")) if isinstance(found, dict) else ""
