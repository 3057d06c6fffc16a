"""Where a result goes among layers that are mixed on screen, such as the channels of a composite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image

from napari_genrecon.widgets.layers.snapshot import is_no_image

__all__ = ["Place"]

_MIXING = ("additive", "minimum", "multiplicative")  # ways of blending in which the upper layer does not cover


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a result in the list of layers, and how it is blended.

    Attributes
    ----------
    blending : str
        That of the source; of its siblings above, where the source is the lowest of a composite and covers what is
        below, as the lowest channel does in napari.
    hidden : tuple of Image
        Layers that the result stands for: its source, and what was made of it before.
    index : int or None
        In the list of layers, just above the source; None is the top.
    """

    blending: str
    hidden: tuple[Any, ...] = ()
    index: int | None = None

    @classmethod
    def of(cls, viewer: Any, source: Any, blending: str, record: dict[str, Any]) -> Place:
        """Find the place of a result before it is added.

        Parameters
        ----------
        viewer : napari.Viewer
            Whose layers.
        source : napari.layers.Image
            What the result was made from; it may have been removed meanwhile.
        blending : str
            Of the source, at the start.
        record : dict
            Of the result.
        """
        layers = viewer.layers
        index = layers.index(source) + 1 if source in layers else None
        siblings = [] if index is None else [layer for layer in layers[index:] if _is_sibling(layer, source)]
        if index is None or not (siblings or blending in _MIXING):
            return cls(blending)
        earlier = [layer for layer in layers if layer.visible and _made_from(layer) == record["input"]["fingerprint"]]
        mixed = blending if blending in _MIXING else siblings[0].blending
        return cls(mixed, (source, *earlier), index)

    def take(self, viewer: Any, added: Any) -> None:
        """Move the layer of the result, which was added at the top, to its place, and hide what it stands for."""
        if self.index is not None:
            viewer.layers.move(viewer.layers.index(added), self.index)
        for layer in self.hidden:
            layer.visible = False


def _is_sibling(layer: Any, source: Any) -> bool:
    """Whether a layer is seen mixed with the source."""
    seen = isinstance(layer, Image) and layer.visible and not is_no_image(layer) and layer.blending in _MIXING
    return seen and _overlap(layer, source)


def _overlap(one: Any, other: Any) -> bool:
    """Whether two layers share some of the plane."""
    boxes = [np.asarray(layer.extent.world)[:, -2:] for layer in (one, other)]
    low, high = np.maximum(boxes[0][0], boxes[1][0]), np.minimum(boxes[0][1], boxes[1][1])
    return bool((low < high).all())


def _made_from(layer: Any) -> str:
    """Fingerprint of the pixels that a layer of ours was made from; empty for others."""
    record = layer.metadata.get("genrecon")
    found = record.get("input") if isinstance(record, dict) else None
    return str(found.get("fingerprint", "")) if isinstance(found, dict) else ""
