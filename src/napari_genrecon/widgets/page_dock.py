"""A dock that holds one page in an area that scrolls."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_genrecon.widgets.dock import Dock
from napari_genrecon.widgets.fit import scrolled

__all__ = ["PageDock"]

_WIDTH = 380  # pixels: least width of a page, with a scroll bar


class PageDock(QWidget):  # type: ignore[misc]  # Qt is not followed by mypy
    """Dock of one page.

    Parameters
    ----------
    page : Container
        The page, with a method ``leave()`` that ends its jobs, and perhaps ``fill(layer, options)``.
    """

    def __init__(self, page: Any) -> None:
        super().__init__()
        self.page = page
        page.native.layout().addStretch(1)  # room that is not needed stays below
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scrolled(page.native))
        self.setMinimumWidth(_WIDTH)
        self._dock = Dock(self, self)
        self.destroyed.connect(lambda *_: page.leave())  # no method: Qt would cut its connection first

    def fill(self, layer: str, options: dict[str, Any]) -> None:
        """Choose an image layer and set options, where the page has any."""
        if hasattr(self.page, "fill"):
            self.page.fill(layer, options)
