"""Preview of the part of the plane on screen, before and after a task, above all other layers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_genrecon.widgets.layers.choice import keeping_active
from napari_genrecon.widgets.layers.snapshot import NO_IMAGE, finer, shows_planes, visible_region, within
from napari_genrecon.widgets.task.split_line import SplitLine, canvas_of

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

__all__ = ["PLANES_ONLY", "VIEWS", "Preview"]

VIEWS = ("split", "after", "before")
_WORDS = {
    "split": "left of the line before, right of it after; drag the line",
    "after": "as it will be",
    "before": "as it is now",
}
_OTHER_PLANE = "The preview is of another plane: press Preview to see this one."
_PART = "It covers a part of the view: press Preview to see the rest."
_OTHER_OPTIONS = "The options have changed since this preview: press Preview to see what they make."
PLANES_ONLY = (
    "A preview is of one plane, y by x, and is seen in 2D: go back to that view with the buttons below the list of "
    "layers, then press Preview."
)
_MARK = "genrecon_preview"
_FOLLOWED = ("contrast_limits", "gamma", "colormap")


@dataclass(frozen=True, slots=True)
class _Shown:
    """Content of a preview.

    Attributes
    ----------
    after, before : ndarray
        Pixels of the result, and as many of the source.
    region : tuple of slice
        Where they are in the source.
    offset : tuple of int
        Index of the first of them in the result.
    look : dict
        Keywords of the preview layer.
    name : str
        Name of the source when the preview was made.
    source : napari.layers.Image
        Layer that the preview is of.
    options : object
        Options that it was made with.
    """

    after: Any
    before: Any
    region: tuple[slice, ...]
    offset: tuple[int, ...]
    look: dict[str, Any]
    name: str
    source: Any
    options: Any
    limits: tuple[float, float]


class Preview:
    """Temporary layer above its source.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer that shows it.
    on_gone : callable
        Called when the layer is removed from outside: by another preview, or by hand.
    """

    def __init__(self, viewer: Viewer, on_gone: Callable[[], object] = lambda: None) -> None:
        self._viewer, self._on_gone = viewer, on_gone
        self._shown: _Shown | None = None
        self._layer: Any = None
        self._line: SplitLine | None = None
        self._sides: NDArray[np.bool_] | None = None  # which pixels of the split preview are those of the source
        self._view = VIEWS[0]
        viewer.layers.events.removed.connect(self._forget)
        for event in (viewer.dims.events.ndisplay, viewer.dims.events.order):
            event.connect(self._hide_among_volumes)
        self._camera = getattr(viewer, "scene", viewer).camera  # napari before 0.9 has no scene
        for event in (self._camera.events.center, self._camera.events.zoom):
            event.connect(self._camera_moved)

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
        source: Image,
        options: Any,
        limits: tuple[float, float],
    ) -> None:
        """Show the result for a region of the source.

        Parameters
        ----------
        after : ndarray
            Pixels of the result, `factors` times as many along each dimension as the region has.
        before : ndarray
            Pixels of the source, as many as the region has.
        region : tuple of slice
            Region, in pixels of the source.
        look : dict
            Keywords of the source, from `display`.
        name : str
            Name of the source.
        factors : tuple of int
            Factor per axis; 1 except for tasks that make more pixels.
        source : napari.layers.Image
            Layer whose contrast the preview follows.
        options : object
            Options that it was made with.
        limits : (float, float)
            Grey values of the result beyond which contrast says nothing, see `Result`.
        """
        n = len(look["scale"])
        offset = tuple((piece.start or 0) * factor for piece, factor in zip(region, factors, strict=True))[:n]
        for axis, factor in enumerate(factors):
            before = before.repeat(factor, axis) if factor > 1 else before
        look = {**look, **finer(look, factors)}
        self._shown = _Shown(after, before, region, offset, look, name, source, options, limits)
        for follow in _FOLLOWED:
            getattr(source.events, follow).connect(self._follow)  # connecting twice does nothing
        self.set_view(self._view)

    def set_view(self, view: str) -> None:
        """Show the source left of a line and the result right of it (``"split"``), or one of the two."""
        self._view = view
        if self._shown is None:
            return
        self._remove_layer()
        before, after = self._shown.before, self._shown.after
        both = np.array(after, np.result_type(before, after))  # a copy, which is filled as the line moves
        self._sides = None
        self._add_layer({"before": before, "after": after}.get(view, both), self._shown)
        self._split()

    def covers(self, region: tuple[slice, ...]) -> bool:
        """Return whether the preview covers all of this region of its source."""
        if self._shown is None:
            return False
        pairs = zip(self._shown.region, region, strict=True)  # the slices of RGB have no ends
        return all(there.start <= seen.start and seen.stop <= there.stop for there, seen in pairs if seen.stop)

    def is_of(self, source: Image, options: Any) -> bool:
        """Return whether the preview is of this layer, by these options, and of the plane on screen."""
        shown = self._shown
        return shown is not None and shown.source is source and shown.options == options and self._on_screen()

    def words(self, options: Any, *, several: bool) -> str:
        """Describe what is on screen: the preview by these options, of the first of several layers, or why not."""
        if not shows_planes(self._viewer):
            return PLANES_ONLY
        if self._shown is None or options != self._shown.options:
            return _OTHER_OPTIONS
        of = f" of '{self._shown.name}'" if several else ""
        if not self._on_screen():
            return _OTHER_PLANE
        part = "" if self.covers(visible_region(self._viewer, self._shown.source)) else f" {_PART}"
        return f"Preview{of}: {_WORDS[self._view]}.{part}"

    def _on_screen(self) -> bool:
        """Return whether the plane on screen is the one of the preview."""
        dims, layer = self._viewer.dims, self._layer
        point = layer.world_to_data(dims.point[-layer.ndim :])
        hidden = [axis - dims.ndim + layer.ndim for axis in dims.not_displayed]
        return all(-0.5 <= point[i] < layer.data.shape[i] - 0.5 for i in hidden if i >= 0)

    def _split(self) -> None:
        """Add the line of a split preview and fill its two sides."""
        canvas = canvas_of(self._viewer)
        if self._view == "split" and self.there and self._line is None and canvas is not None:
            self._line = SplitLine(canvas, self._layer.data.size)
            self._line.moved.connect(self._fill_sides)
        self._fill_sides()

    def _camera_moved(self, _event: object = None) -> None:
        if self._line is not None:
            self._line.move_soon()

    def _fill_sides(self) -> None:
        """Show the source left of the line and the result right of it."""
        if self._shown is None or not self.there or self._view != "split":
            return
        shown, layer = self._shown, self._layer
        sides = _left_of(layer, self._viewer.dims, self._camera, 0.0 if self._line is None else self._line.offset)
        changed = slice(None) if self._sides is None else _extent((sides != self._sides).any(axis=0))
        if changed is None:
            return
        self._sides = sides
        columns = (..., changed, slice(None)) if layer.rgb else (..., changed)
        left = sides[:, changed, None] if layer.rgb else sides[:, changed]
        layer.data[columns] = np.where(left, shown.before[columns], shown.after[columns])
        layer.refresh(thumbnail=False, highlight=False, extent=False)

    def _follow(self, _event: object = None) -> None:
        """Give the preview the contrast of its source, which it covers, as far as the result has such values."""
        shown = self._shown
        if shown is not None and self.there and not self._layer.rgb:
            for name in _FOLLOWED:
                setattr(self._layer, name, getattr(shown.source, name))
            self._layer.contrast_limits = within(shown.source.contrast_limits, shown.limits)

    def _hide_among_volumes(self, _event: object = None) -> None:
        """Hide the preview in 3D, where a plane would cover what is behind it."""
        if self.there:
            self._layer.visible = shows_planes(self._viewer)
        if self._line is not None:
            self._line.setVisible(shows_planes(self._viewer))

    def remove(self) -> None:
        """Remove the preview."""
        self._remove_layer()
        self._shown = None

    def _forget(self, event: Any) -> None:
        if event.value is self._layer:
            self._shown = self._layer = None
            self._remove_line()
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
        self._remove_line()
        for layer in [layer for layer in self._viewer.layers if layer.metadata.get(_MARK)]:
            self._viewer.layers.remove(layer)

    def _remove_line(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            with suppress(RuntimeError):  # the window is being closed, and Qt has deleted it
                line.hide()
                line.deleteLater()


def _extent(marked: NDArray[np.bool_]) -> slice | None:
    """Return the slice from the first to the last marked element; None if nothing is marked."""
    where = np.flatnonzero(marked)
    return slice(int(where[0]), int(where[-1]) + 1) if where.size else None


def _left_of(layer: Layer, dims: Any, camera: Any, offset: float) -> NDArray[np.bool_]:
    """Return the (Y, X) mask of the pixels of a plane that are on screen left of a line.

    The line is `offset` pixels of the canvas right of its middle. The mask is (1, X) where all rows are alike, as the
    layer is not rotated on screen.
    """
    across = dims.displayed[-1] - dims.ndim  # of the world, counted from the last
    origin, step = np.zeros(layer.ndim), np.eye(layer.ndim)[-2:]
    start = layer.data_to_world(origin)[across]
    down, right = (layer.data_to_world(each)[across] - start for each in step)
    rows, columns = layer.data.shape[layer.ndim - 2 : layer.ndim]
    line = camera.center[-1] + _facing(camera) * offset / camera.zoom
    x = start + right * np.arange(columns) + (down * np.arange(rows)[:, None] if down else np.zeros((1, 1)))
    return np.asarray(_facing(camera) * (x - line) < 0)


def _facing(camera: Any) -> int:
    """Return 1 where the last axis of the world points to the right on screen, as usual, else -1."""
    return -1 if str(camera.orientation2d[-1]) == "left" else 1
