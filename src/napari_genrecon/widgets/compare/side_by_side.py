"""Two layers side by side in napari's grid, whose cameras move together."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

__all__ = ["SideBySide"]


class SideBySide:
    """Show two layers and no others, and go back to what was shown before.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer that shows them.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._visible: dict[Any, bool] | None = None
        self._grid: dict[str, Any] = {}

    def show(self, left: Layer, right: Layer) -> None:
        """Show two layers, the first one left."""
        self.end()
        layers, grid = self._viewer.layers, self._viewer.canvas.grid
        self._visible = {layer: layer.visible for layer in layers}
        self._grid = {name: getattr(grid, name) for name in ("enabled", "shape", "stride")}
        # Layers that are linked in napari, such as channels, would all be hidden with one.
        layers.unlink_layers(layers, ["visible"])
        for layer in layers:
            layer.visible = layer in (left, right)
        # The grid begins with the lowest layer, and with a negative stride with the topmost.
        stride = 1 if layers.index(left) < layers.index(right) else -1
        self._arrange(enabled=True, shape=(1, 2), stride=stride)
        self._viewer.scene.camera.zoom *= 0.5  # so that each half shows what the whole showed

    def end(self) -> None:
        """Show all layers as before, those that were added meanwhile as they are."""
        visible, self._visible = self._visible, None
        if visible is None:
            return
        self._viewer.scene.camera.zoom *= 2.0
        self._arrange(**self._grid)
        for layer, shown in visible.items():
            layer.visible = shown

    def _arrange(self, *, enabled: bool, shape: tuple[int, int], stride: int) -> None:
        grid = self._viewer.canvas.grid
        with ExitStack() as quiet:
            if grid.enabled != enabled:  # that draws everything; shape and stride would draw it twice more
                for event in (grid.events.shape, grid.events.stride):
                    quiet.enter_context(event.blocker())
            grid.shape, grid.stride = shape, stride
        grid.enabled = enabled
