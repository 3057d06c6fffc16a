"""Where a page is docked, and when it is taken out of its dock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QDockWidget, QWidget

__all__ = ["Dock"]


class Dock(QObject):  # type: ignore[misc]  # Qt is not followed by mypy
    """The dock of a page; pages of ours share one place as tabs, as one above the other leaves too little to each.

    Parameters
    ----------
    native : QWidget
        The page.
    on_closed : callable
        Called when it is taken out of its dock: napari keeps the page then, so that nothing is destroyed.
    """

    def __init__(self, native: QWidget, on_closed: Callable[[], object] = lambda: None) -> None:
        super().__init__(native)
        self._native, self._on_closed = native, on_closed
        self._later = QTimer(self)  # goes with the page
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._join)
        self.closed = False
        native.installEventFilter(self)

    def eventFilter(self, native: Any, event: Any) -> bool:  # Qt's name
        if event.type() == QEvent.Type.ParentChange:
            self.closed = native.parent() is None
            if self.closed:
                self._on_closed()
            else:
                self._later.start(0)  # the dock itself has no place yet
        return False

    def _join(self) -> None:
        """Become a tab where another page of ours is docked on the same side."""
        own: Any = self._native
        while own is not None and not isinstance(own, QDockWidget):
            own = own.parent()
        if own is None or own.isFloating() or own.parent() is None:
            return
        window = own.parent()
        for other in window.findChildren(QDockWidget):
            together = window.dockWidgetArea(other) == window.dockWidgetArea(own) and not other.isFloating()
            if other is not own and together and other.findChild(Dock) is not None:
                window.tabifyDockWidget(other, own)
                own.show()
                own.raise_()
                return
