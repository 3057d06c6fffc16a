"""The preview: what a task will make of the part of the plane on screen, shown over its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image

from napari_genrecon.widgets._choice import keeping_active
from napari_genrecon.widgets._layers import NO_IMAGE, finer

__all__ = ["VIEWS", "Preview"]

VIEWS = ("split", "after", "before")
_MARK = "genrecon_preview"


@dataclass(frozen=True, slots=True)
class _Shown:
    """Pixels, the first of them in the source's pixels, and the look of the source."""

    pixels: Any
    offset: tuple[int, ...]
    look: dict[str, Any]
    name: str


class Preview:
    """One temporary layer over its source.

    Parameters
    ----------
    viewer : napari.Viewer
        Where it is shown.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._shown: _Shown | None = None
        self._view = VIEWS[0]

    def show(
        self, pixels: Any, region: tuple[slice, ...], look: dict[str, Any], name: str, factors: tuple[int, ...]
    ) -> None:
        """Show the result for a region of the source.

        Parameters
        ----------
        pixels : ndarray
            Of the result, `factors` times as many along each dimension as the region has.
        region : tuple of slice
            In the pixels of the source.
        look : dict
            Keywords of the source, of `display`.
        name : str
            Of the source.
        factors : tuple of int
            1 but for tasks that make more pixels.
        """
        n = len(look["scale"])
        offset = tuple((piece.start or 0) * factor for piece, factor in zip(region, factors, strict=True))[:n]
        self._shown = _Shown(pixels, offset, {**look, **finer(look, factors)}, name)
        self.set_view(self._view)

    def set_view(self, view: str) -> None:
        """``"split"`` leaves the left half of the source to be seen, ``"after"`` nothing, ``"before"`` all."""
        self._view = view
        self._remove_layer()
        if self._shown is None or view == "before":
            return
        pixels, offset = self._shown.pixels, self._shown.offset
        if view == "split":
            axis = len(offset) - 1
            half = pixels.shape[axis] // 2
            pixels = pixels[(*[slice(None)] * axis, slice(half, None))]
            offset = (*offset[:-1], offset[-1] + half)
        self._add_layer(pixels, offset, self._shown)

    def remove(self) -> None:
        """Take it away."""
        self._remove_layer()
        self._shown = None

    def _add_layer(self, pixels: Any, offset: tuple[int, ...], shown: _Shown) -> None:
        look = {k: v for k, v in shown.look.items() if k not in ("translate", "metadata")}
        with keeping_active(self._viewer):
            layer = self._viewer.add_image(
                pixels, name=f"{shown.name} preview", metadata={_MARK: True, NO_IMAGE: True}, **look
            )
        # The corner of the region, through the rotation and shear of the source.
        placed = {k: shown.look[k] for k in ("scale", "translate", "rotate", "shear")}
        layer.translate = Image(np.zeros((1,) * len(offset)), **placed).data_to_world(offset)

    def _remove_layer(self) -> None:
        for layer in [layer for layer in self._viewer.layers if layer.metadata.get(_MARK)]:
            self._viewer.layers.remove(layer)
