"""Pages and their docks. A page and its jobs outlive the dock; a reopened dock shows the same page again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from magicgui.widgets.bases import Widget
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QDockWidget, QWidget

from napari_genrecon.widgets.fit import line_up
from napari_genrecon.widgets.right_click import add_right_click

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["Dock", "PageOpener", "pages_of"]

_pages: WeakKeyDictionary[Any, WeakValueDictionary[type, Any]] = WeakKeyDictionary()  # by viewer
_docked: set[Any] = set()  # pages that have been docked are kept until their window closes


class PageOpener(Widget):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Class that napari calls to open a page. It returns the page of this viewer, and makes it the first time.

    napari wants a class, its menus that of a widget, and passes the viewer to the parameter of ``__init__`` that has
    this name.
    """

    def __new__(cls, napari_viewer: Viewer) -> Any:
        """Return the page. As it is no PageOpener, Python does not call ``__init__``."""
        add_right_click()
        viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        pages = _pages.setdefault(viewer, WeakValueDictionary())
        page = pages.get(cls)
        if page is None:
            page = pages[cls] = cls.make(viewer)
        return page

    def __init__(self, napari_viewer: Viewer) -> None:
        """Only name the parameter, which napari reads; never called."""

    @staticmethod
    def make(viewer: Viewer) -> Any:
        """Return a new page."""
        raise NotImplementedError


def pages_of(viewer: Viewer) -> list[Any]:
    """Return the pages of a viewer that were opened so far."""
    return list(_pages.get(getattr(viewer, "__wrapped__", viewer), {}).values())


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

    def eventFilter(self, native: QObject, event: QEvent) -> bool:  # Qt's name
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
