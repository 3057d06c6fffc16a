"""Watch the dock of a page. A page and its jobs outlive the dock; a reopened dock shows the same page again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QDockWidget, QWidget

from napari_genrecon.widgets.fit import line_up

__all__ = ["Dock"]

_docked: set[Any] = set()  # pages that have been docked are kept until their window closes


class Dock(QObject):  # type: ignore[misc]  # Qt is not followed by mypy
    """Watch the dock of a page: report when it closes and opens, and make the docks of this plugin tabs of one place.

    One above the other, they would leave too little room to each.

    Parameters
    ----------
    page : object
        The page.
    native : QWidget
        Widget of the page, which may be the page itself.
    on_closed : callable
        Called when the dock is closed. napari takes the widget out of it and keeps it.
    on_opened : callable
        Called when the page is docked again.
    """

    def __init__(
        self,
        page: Any,
        native: QWidget,
        on_closed: Callable[[], object] = lambda: None,
        on_opened: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(native)
        self._page, self._native, self._on_closed, self._on_opened = page, native, on_closed, on_opened
        self._later = QTimer(self)  # goes with the page
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._join)
        self.closed = False
        native.installEventFilter(self)

    def within(self, room: QWidget) -> None:
        """Watch the widget that the page was put into for good, as that is what napari docks and takes out."""
        room.installEventFilter(self)

    def eventFilter(self, docked: QObject, event: QEvent) -> bool:  # Qt's name
        if event.type() == QEvent.Type.ParentChange:
            before, self.closed = self.closed, docked.parent() is None
            if self.closed:
                self._on_closed()
            else:
                self._later.start(0)  # the dock itself has no place yet
                if before:
                    self._on_opened()
        # The event is only watched and goes on to its widget.
        return False

    def _keep(self, window: QObject) -> None:
        """Keep the page until the window closes, even while it has no dock."""
        if self._page in _docked:
            return
        _docked.add(self._page)
        self._native.destroyed.connect(partial(_docked.discard, self._page))
        window.destroyed.connect(self._end)

    def _end(self, _event: object = None) -> None:
        """Delete the page with its window. Qt does so itself only while the page is docked."""
        self._native.deleteLater()

    def _join(self) -> None:
        """Line up the fields, and become a tab beside another page of this plugin that is docked on the same side."""
        line_up(self._native)
        # The dock need not be the direct parent.
        own: Any = self._native
        while own is not None and not isinstance(own, QDockWidget):
            own = own.parent()
        if own is None or own.parent() is None:
            return
        window = own.parent()
        self._keep(window)
        # The user took it out of the window.
        if own.isFloating():
            return
        for other in window.findChildren(QDockWidget):
            together = window.dockWidgetArea(other) == window.dockWidgetArea(own) and not other.isFloating()
            if other is not own and together and other.findChild(Dock) is not None:
                if own in window.tabifiedDockWidgets(other):
                    return
                window.tabifyDockWidget(other, own)
                own.show()
                own.raise_()
                return
