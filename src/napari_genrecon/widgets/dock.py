"""Pages and their docks: a page, with what runs in it, outlives its dock and is found again when it is reopened."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from magicgui.widgets.bases import Widget
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QDockWidget, QWidget

__all__ = ["Dock", "PageOpener"]

_pages: WeakKeyDictionary[Any, WeakValueDictionary[type, Any]] = WeakKeyDictionary()  # by viewer
_docked: set[Any] = set()  # pages that have been docked live as long as their window


class PageOpener(Widget):  # type: ignore[misc]  # magicgui is not followed by mypy
    """What napari calls to open a page: returns the one of this viewer, made when it is opened first.

    napari wants a class, its menus that of a widget, and finds the viewer by the name of the parameter of its
    ``__init__``.
    """

    def __new__(cls, napari_viewer: Any) -> Any:
        """Return the page: it is no PageOpener, so that Python does not call ``__init__``."""
        viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        pages = _pages.setdefault(viewer, WeakValueDictionary())
        page = pages.get(cls)
        if page is None:
            page = pages[cls] = cls.make(viewer)
        return page

    def __init__(self, napari_viewer: Any) -> None:
        """Name the parameter."""

    @staticmethod
    def make(viewer: Any) -> Any:
        """Return a new page."""
        raise NotImplementedError


class Dock(QObject):  # type: ignore[misc]  # Qt is not followed by mypy
    """The dock of a page; pages of ours share one place as tabs, as one above the other leaves too little to each.

    Parameters
    ----------
    page : object
        The page.
    native : QWidget
        The widget of the page, which may be the page itself.
    on_closed : callable
        Called when it is taken out of its dock: napari destroys nothing of the page then.
    on_opened : callable
        Called when it is docked again.
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

    def eventFilter(self, native: Any, event: Any) -> bool:  # Qt's name
        if event.type() == QEvent.Type.ParentChange:
            before, self.closed = self.closed, native.parent() is None
            if self.closed:
                self._on_closed()
            else:
                self._later.start(0)  # the dock itself has no place yet
                if before:
                    self._on_opened()
        return False

    def _keep(self, window: QObject) -> None:
        """Let the page live as long as the window."""
        if self._page in _docked:
            return
        _docked.add(self._page)
        self._native.destroyed.connect(partial(_docked.discard, self._page))
        window.destroyed.connect(self._end)

    def _end(self, _event: Any = None) -> None:
        """The window is gone: a page that is docked goes with it, one that is not has to be deleted."""
        self._native.deleteLater()

    def _join(self) -> None:
        """Become a tab where another page of ours is docked on the same side."""
        own: Any = self._native
        while own is not None and not isinstance(own, QDockWidget):
            own = own.parent()
        if own is None or own.parent() is None:
            return
        window = own.parent()
        self._keep(window)
        if own.isFloating():
            return
        for other in window.findChildren(QDockWidget):
            together = window.dockWidgetArea(other) == window.dockWidgetArea(own) and not other.isFloating()
            if other is not own and together and other.findChild(Dock) is not None:
                window.tabifyDockWidget(other, own)
                own.show()
                own.raise_()
                return
