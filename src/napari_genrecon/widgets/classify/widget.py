"""Dock widget "Classify": sort objects into classes, from a few examples that are labelled by key."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_genrecon.widgets.classify.page import ClassifyPage
from napari_genrecon.widgets.dock import Dock
from napari_genrecon.widgets.fit import scrolled

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["ClassifyDock"]

_WIDTH = 396  # pixels: least width of the page, with a scroll bar


class ClassifyDock(QWidget):  # type: ignore[misc]  # Qt is not followed by mypy
    """The page, and the keys that work while it is on screen.

    Keys work wherever the mouse was clicked last, except in text fields, and win over those of napari's tools.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers can be chosen.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.page = page = ClassifyPage(viewer)
        page.native.layout().addStretch(1)  # room that is not needed stays below
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scrolled(page.native))
        self.setMinimumWidth(_WIDTH)
        self.shortcuts = [QShortcut(QKeySequence(str(key)), self) for key in range(10)]
        for key, shortcut in enumerate(self.shortcuts):
            shortcut.activated.connect(partial(page.press, key))
        undo = QShortcut(QKeySequence(QKeySequence.StandardKey.Undo), self)
        undo.activated.connect(page.undo)
        self.shortcuts.append(undo)
        page.keys.changed.connect(self._enable)
        self._dock = Dock(self, self, on_closed=self._closed)

        def leave(*_: Any) -> None:  # no method: Qt would cut its connection before the widget is gone
            page.leave()

        self.destroyed.connect(leave)

    def showEvent(self, event: Any) -> None:  # Qt's name
        """Let the keys work."""
        super().showEvent(event)
        self._enable()

    def hideEvent(self, event: Any) -> None:  # Qt's name
        """Leave the keys to napari, as another page is on screen."""
        super().hideEvent(event)
        self._enable()

    def _enable(self, _event: object = None) -> None:
        for shortcut in self.shortcuts:
            shortcut.setEnabled(self.isVisible() and self.page.keys.value)

    def _closed(self) -> None:
        self.page.target.clear()
