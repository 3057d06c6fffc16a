"""When a page is taken out of its dock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

__all__ = ["Dock"]


class Dock(QObject):  # type: ignore[misc]  # Qt is not followed by mypy
    """Whether the dock of a page was closed: napari keeps the page then, so that nothing is destroyed.

    Parameters
    ----------
    native : QWidget
        The page.
    on_closed : callable
        Called when it is taken out of its dock.
    """

    def __init__(self, native: QWidget, on_closed: Callable[[], object]) -> None:
        super().__init__(native)
        self._on_closed = on_closed
        self.closed = False
        native.installEventFilter(self)

    def eventFilter(self, native: Any, event: Any) -> bool:  # Qt's name
        if event.type() == QEvent.Type.ParentChange:
            self.closed = native.parent() is None
            if self.closed:
                self._on_closed()
        return False
