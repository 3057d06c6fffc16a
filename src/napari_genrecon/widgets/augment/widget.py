"""Dock widget "Augment"."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_genrecon.widgets.augment.page import AugmentPage
from napari_genrecon.widgets.dock import Dock, PageOpener
from napari_genrecon.widgets.fit import scrolled

__all__ = ["AugmentWidget"]

_WIDTH = 360  # pixels: least width, with a scroll bar


class AugmentDock(QWidget):  # type: ignore[misc]  # Qt is not followed by mypy
    """The page in an area that scrolls.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers can be chosen.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        page = self.page = AugmentPage(viewer)
        page.native.layout().addStretch(1)  # room that is not needed stays below
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scrolled(page.native))
        self.setMinimumWidth(_WIDTH)
        self._dock = Dock(self, self)
        self.destroyed.connect(lambda *_: page.leave())  # no method: Qt would cut its connection first

    def fill(self, layer: str, options: dict[str, Any]) -> None:
        """Choose an image layer and set options."""
        self.page.fill(layer, options)


class AugmentWidget(PageOpener):
    """Dock widget of `augment`."""

    @staticmethod
    def make(viewer: Any) -> AugmentDock:
        """Return a new page."""
        return AugmentDock(viewer)
