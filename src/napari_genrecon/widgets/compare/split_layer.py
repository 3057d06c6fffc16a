"""Layer of two images: one left of a line that can be dragged, the other right of it, or one of the two."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.widgets.compare.split_line import SplitLine, canvas_of
from napari_genrecon.widgets.layers.choice import keeping_active
from napari_genrecon.widgets.layers.snapshot import NO_IMAGE, shows_planes, within

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

__all__ = ["VIEWS", "SplitLayer"]

VIEWS = ("split", "after", "before")
_MARK = "genrecon_preview"
_FOLLOWED = ("contrast_limits", "gamma", "colormap")
_NO_LIMITS = (-np.inf, np.inf)


class SplitLayer:
    """Temporary layer above all others. There is one at most: another one takes its place.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer that shows it.
    on_gone : callable
        Called when the layer is removed from outside: by another one, or by hand.

    Attributes
    ----------
    layer : napari.layers.Image or None
        The layer, while it is shown.
    view : {"split", "after", "before"}
        What it shows.
    """

    def __init__(self, viewer: Viewer, on_gone: Callable[[], object] = lambda: None) -> None:
        self._viewer, self._on_gone = viewer, on_gone
        self.layer: Any = None
        self._before: Any = None
        self._after: Any = None
        self._source: Any = None  # layer whose contrast is followed
        self._limits = _NO_LIMITS
        self._line: SplitLine | None = None
        self._sides: NDArray[np.bool_] | None = None  # which pixels are those of `before`
        self.view = VIEWS[0]
        viewer.layers.events.removed.connect(self._forget)
        for event in (viewer.dims.events.ndisplay, viewer.dims.events.order, viewer.canvas.grid.events.enabled):
            event.connect(self._hide_elsewhere)
        self._camera = viewer.scene.camera
        for event in (self._camera.events.center, self._camera.events.zoom):
            event.connect(self._camera_moved)

    def show(
        self,
        before: NDArray[Any],
        after: NDArray[Any],
        keywords: dict[str, Any],
        source: Layer,
        limits: tuple[float, float] = _NO_LIMITS,
    ) -> None:
        """Show two images of one shape.

        Parameters
        ----------
        before, after : ndarray
            The images.
        keywords : dict
            Keywords of the layer: its name, place and look.
        source : napari.layers.Image
            Layer whose contrast this one follows.
        limits : (float, float)
            Grey values beyond which contrast says nothing, see `Result`.
        """
        self.remove()
        self._before, self._after, self._source, self._limits = before, after, source, limits
        for follow in _FOLLOWED:
            getattr(source.events, follow).connect(self._follow)  # connecting twice does nothing
        self._add(np.array(after, np.result_type(before, after)), keywords)  # a copy, filled as the line moves
        self._add_line()
        self._fill()

    def replace(self, before: NDArray[Any], after: NDArray[Any]) -> None:
        """Show other pixels of the same shape and place, such as those of another plane."""
        self._before, self._after, self._sides = before, after, None
        self._fill()

    def set_view(self, view: str) -> None:
        """Show both images (``"split"``), or one of the two (``"before"``, ``"after"``)."""
        self.view = view
        self._show_line()
        self._fill()

    def remove(self) -> None:
        """Remove the layer."""
        # Forgotten first, else `_forget` would take this for a removal by hand.
        self.layer, self._sides = None, None
        self._remove_line()
        # By its mark, which the layer of another page has, too: there is one at most.
        for layer in [layer for layer in self._viewer.layers if layer.metadata.get(_MARK)]:
            self._viewer.layers.remove(layer)

    def _add(self, pixels: NDArray[Any], keywords: dict[str, Any]) -> None:
        look = {"opacity": 1.0, "blending": "opaque"}  # nothing of the layers below mixes with it
        with keeping_active(self._viewer):
            self.layer = self._viewer.add_image(pixels, **keywords, **look, metadata={_MARK: True, NO_IMAGE: True})
        self._follow()
        self._hide_elsewhere()

    # Line -----------------------------------------------------------------------------------------------------------

    def _add_line(self) -> None:
        canvas = canvas_of(self._viewer)
        if canvas is not None:
            self._line = SplitLine(canvas, self.layer.data.size)
            self._line.moved.connect(self._fill)
            self._show_line()

    def _show_line(self) -> None:
        if self._line is not None:
            self._line.setVisible(self.view == "split" and shows_planes(self._viewer))

    def _camera_moved(self, _event: object = None) -> None:
        # The line stays in its place on the canvas while the image moves below it.
        if self._line is not None and self.view == "split":
            self._line.move_soon()

    def _remove_line(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            with suppress(RuntimeError):  # the window is being closed, and Qt has deleted it
                line.hide()
                line.deleteLater()

    # Pixels ---------------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Show one image left of the line and the other right of it, or all of one."""
        layer = self.layer
        if layer is None:
            return
        # (Y, X), or (1, X) where all rows are alike: both compare by broadcasting. A drag changes few columns, and only
        # those are copied.
        sides = self._left()
        changed = slice(None) if self._sides is None else _extent((sides != self._sides).any(axis=0))
        if changed is None:
            return
        self._sides = sides
        # The last axis of a colour image holds its colours.
        columns = (..., changed, slice(None)) if layer.rgb else (..., changed)
        left = sides[:, changed, None] if layer.rgb else sides[:, changed]
        layer.data[columns] = np.where(left, self._before[columns], self._after[columns])
        # Without a new thumbnail in the list of layers for every movement of the line.
        layer.refresh(thumbnail=False, highlight=False, extent=False)

    def _left(self) -> NDArray[np.bool_]:
        """Return the mask of the pixels of `before`, see `_left_of`."""
        if self.view == "split":
            offset = 0.0 if self._line is None else self._line.offset
            return _left_of(self.layer, self._viewer.dims, self._camera, offset)
        return np.full((1, self.layer.data.shape[self.layer.ndim - 1]), self.view == "before")  # (1, X)

    def _follow(self, _event: object = None) -> None:
        """Take the contrast of the source, which the layer covers, as far as the result has such values."""
        if self.layer is not None and not self.layer.rgb:
            for name in _FOLLOWED:
                setattr(self.layer, name, getattr(self._source, name))
            # After the loop, which has set the limits of the source as they are.
            self.layer.contrast_limits = within(self._source.contrast_limits, self._limits)

    def _hide_elsewhere(self, _event: object = None) -> None:
        """Hide the layer in 3D, where a plane would cover what is behind it, and in a grid, where it covers nothing."""
        if self.layer is not None:
            self.layer.visible = shows_planes(self._viewer)
        self._show_line()

    def _forget(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer = None
            self._remove_line()
            self._on_gone()


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
    # Position of the first pixel along the screen, and how far one pixel down and one to the right move along it.
    start = layer.data_to_world(origin)[across]
    down, right = (layer.data_to_world(each)[across] - start for each in step)
    rows, columns = layer.data.shape[layer.ndim - 2 : layer.ndim]
    # The zoom is in pixels of the canvas per unit of the world.
    line = camera.center[-1] + _facing(camera) * offset / camera.zoom
    x = start + right * np.arange(columns) + (down * np.arange(rows)[:, None] if down else np.zeros((1, 1)))
    return np.asarray(_facing(camera) * (x - line) < 0)


def _facing(camera: Any) -> int:
    """Return 1 where the last axis of the world points to the right on screen, as usual, else -1."""
    return -1 if str(camera.orientation2d[-1]) == "left" else 1
