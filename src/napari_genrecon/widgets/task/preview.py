"""The preview: the part of the plane on screen, before and after a task, over all that lies there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image

from napari_genrecon.widgets.layers.choice import keeping_active
from napari_genrecon.widgets.layers.snapshot import NO_IMAGE, finer, shows_planes

__all__ = ["PLANES_ONLY", "VIEWS", "Preview"]

VIEWS = ("split", "after", "before")
_WORDS = {"split": "left half before, right half after", "after": "as it will be", "before": "as it is now"}
_OTHER_PLANE = "The preview is of another plane: press Preview to see this one."
_OTHER_OPTIONS = "The options have changed since this preview: press Preview to see what they make."
PLANES_ONLY = (
    "A preview is of one plane, y by x, and is seen in 2D: go back to that view with the buttons below the list of "
    "layers, then press Preview."
)
_MARK = "genrecon_preview"
_FOLLOWED = ("contrast_limits", "gamma", "colormap")


@dataclass(frozen=True, slots=True)
class _Shown:
    """Pixels of the result and, as many, of the source; where the first of them is; look, source and options."""

    after: Any
    before: Any
    offset: tuple[int, ...]
    look: dict[str, Any]
    name: str
    source: Any
    options: Any


class Preview:
    """One temporary layer over its source.

    Parameters
    ----------
    viewer : napari.Viewer
        Where it is shown.
    on_gone : callable
        Called when somebody else takes it away: another preview has its place, or it was removed by hand.
    """

    def __init__(self, viewer: Any, on_gone: Callable[[], object] = lambda: None) -> None:
        self._viewer, self._on_gone = viewer, on_gone
        self._shown: _Shown | None = None
        self._layer: Any = None
        self._view = VIEWS[0]
        viewer.layers.events.removed.connect(self._forget)
        for event in (viewer.dims.events.ndisplay, viewer.dims.events.order):
            event.connect(self._hide_among_volumes)

    @property
    def there(self) -> bool:
        """Whether it is shown."""
        return self._layer is not None

    def show(
        self,
        after: Any,
        before: Any,
        region: tuple[slice, ...],
        look: dict[str, Any],
        name: str,
        factors: tuple[int, ...],
        source: Any,
        options: Any,
    ) -> None:
        """Show the result for a region of the source.

        Parameters
        ----------
        after : ndarray
            Pixels of the result, `factors` times as many along each dimension as the region has.
        before : ndarray
            Pixels of the source, as many as the region has.
        region : tuple of slice
            In the pixels of the source.
        look : dict
            Keywords of the source, of `display`.
        name : str
            Of the source.
        factors : tuple of int
            1 but for tasks that make more pixels.
        source : napari.layers.Image
            Whose contrast the preview follows.
        options : object
            By which it was made.
        """
        n = len(look["scale"])
        offset = tuple((piece.start or 0) * factor for piece, factor in zip(region, factors, strict=True))[:n]
        for axis, factor in enumerate(factors):
            before = before.repeat(factor, axis) if factor > 1 else before
        self._shown = _Shown(after, before, offset, {**look, **finer(look, factors)}, name, source, options)
        for follow in _FOLLOWED:
            getattr(source.events, follow).connect(self._follow)  # connecting twice does nothing
        self.set_view(self._view)

    def set_view(self, view: str) -> None:
        """``"split"`` shows the left half of the source and the right half of the result, the others one of them."""
        self._view = view
        if self._shown is None:
            return
        self._remove_layer()
        n = len(self._shown.offset)
        halves = _halves(self._shown.before, self._shown.after, n - 1)
        pixels = {"before": self._shown.before, "after": self._shown.after}.get(view, halves)
        self._add_layer(pixels, self._shown)

    def words(self, options: Any, *, several: bool) -> str:
        """What is on screen: the preview by these options, of one layer or of the first of several; or why not."""
        if not shows_planes(self._viewer):
            return PLANES_ONLY
        if self._shown is None or options != self._shown.options:
            return _OTHER_OPTIONS
        of = f" of '{self._shown.name}'" if several else ""
        return f"Preview{of}: {_WORDS[self._view]}; choose beside the button." if self._on_screen() else _OTHER_PLANE

    def _on_screen(self) -> bool:
        """Whether the plane that is looked at is the one of the preview."""
        dims, layer = self._viewer.dims, self._layer
        point = layer.world_to_data(dims.point[-layer.ndim :])
        hidden = [axis - dims.ndim + layer.ndim for axis in dims.not_displayed]
        return all(-0.5 <= point[i] < layer.data.shape[i] - 0.5 for i in hidden if i >= 0)

    def _follow(self, _event: Any = None) -> None:
        """The contrast of the source is that of the preview, which covers it."""
        if self._shown is not None and self.there and not self._layer.rgb:
            for name in _FOLLOWED:
                setattr(self._layer, name, getattr(self._shown.source, name))

    def _hide_among_volumes(self, _event: Any = None) -> None:
        """A plane would cover what is behind it in 3D."""
        if self.there:
            self._layer.visible = shows_planes(self._viewer)

    def remove(self) -> None:
        """Take it away."""
        self._remove_layer()
        self._shown = None

    def _forget(self, event: Any) -> None:
        if event.value is self._layer:
            self._shown = self._layer = None
            self._on_gone()

    def _add_layer(self, pixels: Any, shown: _Shown) -> None:
        look = {k: v for k, v in shown.look.items() if k not in ("translate", "metadata")}
        look |= {"opacity": 1.0, "blending": "opaque"}  # nothing of the layers below mixes with it
        # The corner of the region, through the rotation and shear of the source; given at once, as a layer that is put
        # elsewhere first moves the sliders of the window.
        placed = {k: shown.look[k] for k in ("scale", "translate", "rotate", "shear")}
        look["translate"] = Image(np.zeros((1,) * len(shown.offset)), **placed).data_to_world(shown.offset)
        with keeping_active(self._viewer):
            layer = self._viewer.add_image(
                pixels, name=f"{shown.name} preview", metadata={_MARK: True, NO_IMAGE: True}, **look
            )
        self._layer = layer
        self._follow()
        self._hide_among_volumes()

    def _remove_layer(self) -> None:
        self._layer = None
        for layer in [layer for layer in self._viewer.layers if layer.metadata.get(_MARK)]:
            self._viewer.layers.remove(layer)


def _halves(left: Any, right: Any, axis: int) -> Any:
    half = right.shape[axis] // 2
    return np.concatenate([left.take(range(half), axis), right.take(range(half, right.shape[axis]), axis)], axis)
