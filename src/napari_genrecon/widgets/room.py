"""Open pages without a freeze: the room of a page is docked at once, and the page fills it on later turns.

The first page of a session loads a hundred modules, and napari reads the manifests of all plugins again for their
preferences. Both are done in a thread. Making the page, in one part or two, and showing it are further turns.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary, WeakValueDictionary

from magicgui.widgets.bases import Widget
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtGui import QImageReader
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_genrecon.engine.responsive import uncollected
from napari_genrecon.widgets.dock import Dock
from napari_genrecon.widgets.right_click import add_right_click

if TYPE_CHECKING:
    from napari import Viewer

    from napari_genrecon.engine.run import Progress

__all__ = ["PageOpener", "Room", "pages_of"]

_rooms: WeakKeyDictionary[Any, WeakValueDictionary[type, Room]] = WeakKeyDictionary()  # by viewer
_loaded: set[type[PageOpener]] = set()  # whose modules were loaded


class Room(QWidget):  # type: ignore[misc]  # Qt is not followed by mypy
    """Place of one page in a dock. It makes the page when it is docked, or at once when something of it is used.

    Parameters
    ----------
    opener : type of PageOpener
        Knows how to make the page.
    viewer : napari.Viewer
        Viewer of the page.
    """

    def __init__(self, opener: type[PageOpener], viewer: Viewer) -> None:
        super().__init__()
        self._opener, self._viewer = opener, viewer
        self._making: Generator[None, None, Any] | None = None
        self._made: Any = None
        self._filling: tuple[str, dict[str, Any]] | None = None
        self._loading: list[Any] = []  # the job that loads modules
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._opening = QLabel("Opening…", self)
        layout.addWidget(self._opening)
        self.setMinimumWidth(opener.width)  # the dock does not change its width when the page comes
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)  # no stretch of napari below it
        self._later = QTimer(self)  # goes with the room
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._go_on)
        self._dock = Dock(self, self)
        loading = self._loading

        def leave(*_: Any) -> None:  # no method: Qt would cut its connection before the widget is gone
            for job in loading:
                job.abandon()

        self.destroyed.connect(leave)

    @property
    def native(self) -> QWidget:
        """The widget that is docked, as of magicgui's widgets."""
        return self

    @property
    def content(self) -> Any:
        """The page, which is made now if it is not there yet."""
        while self._made is None:
            self._make_on()
        return self._made

    def _make_on(self) -> None:
        """Make the next part of the page."""
        self._making = self._making or self._opener.make(self._viewer)
        try:
            with uncollected():
                next(self._making)
        except StopIteration as end:
            self._made = end.value
            for dock in self._page_widget().findChildren(Dock):
                dock.within(self)
            if self._filling is not None:
                self.fill(*self._filling)
        except Exception:
            self._making = None  # or what is used next would find a page that is never made
            raise
        self._later.start(0)

    @property
    def made(self) -> bool:
        """Whether the page is there."""
        return self._made is not None

    @property
    def ready(self) -> bool:
        """Whether the page is in sight. Qt shows it a turn after it was put into the room."""
        return self._opening is None and bool(self._page_widget().isVisibleTo(self))

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the page; only called for those that the room does not have itself."""
        if name.startswith("_magic") or name.startswith("__"):  # asked by napari whether this is a widget of magicgui
            raise AttributeError(name)
        return getattr(self.content, name)

    def fill(self, layer: str, options: dict[str, Any]) -> None:
        """Choose an image layer and set options, now or when the page is there. Some pages have nothing to choose."""
        self._filling = (layer, options)
        if self.made and hasattr(self._made, "fill"):
            self._made.fill(layer, options)

    def reset_choices(self, *_: Any) -> None:
        """Update choices of layers; napari calls this on docked widgets."""
        if self.made and hasattr(self._made, "reset_choices"):
            self._made.reset_choices()

    def event(self, event: QEvent) -> bool:  # Qt's name
        """Begin to make the page when the room is docked."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is not None and not self.made:
            self._later.start(0)
        return bool(super().event(event))

    def _go_on(self) -> None:
        """Take the next turn: load what the page needs, make it, or put it into the room."""
        if self._opening is None or self._loading:
            return
        if self.made:
            self._place()
        elif self.parent() is None:  # closed again meanwhile
            return
        elif self._opener in _loaded:
            self._make_on()
        else:
            with uncollected():
                from napari_genrecon.widgets.jobs.worker import Job
            job = Job(self._opener.load_steps, lambda _progress: None, self._loaded)
            self._loading.append(job)
            job.start()

    def _loaded(self, kind: str, value: Any) -> None:
        """Go on, as the modules are loaded. An error is raised where napari shows it."""
        self._loading.clear()
        if kind == "error":
            raise value
        _loaded.add(self._opener)
        self._later.start(0)

    def _page_widget(self) -> Any:
        return getattr(self._made, "native", self._made)

    def _place(self) -> None:
        self.layout().removeWidget(self._opening)
        self._opening.deleteLater()
        self._opening = None
        self.layout().addWidget(self._page_widget())
        self.setMinimumWidth(0)  # from now on the page says what it needs


class PageOpener(Widget):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Class that napari calls to open a page. It returns the room of this viewer's page, and makes it the first time.

    napari wants a class, its menus that of a widget, and passes the viewer to the parameter of ``__init__`` that has
    this name.

    Attributes
    ----------
    page : str
        Where the page is, as ``module:name``: a function of the viewer, or a class.
    width : int
        Least width of the page in pixels.
    """

    page: ClassVar[str]
    width: ClassVar[int] = 380

    def __new__(cls, napari_viewer: Viewer) -> Any:
        """Return the room. As it is no PageOpener, Python does not call ``__init__``."""
        add_right_click()
        viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        rooms = _rooms.setdefault(viewer, WeakValueDictionary())
        room = rooms.get(cls)
        if room is None:
            room = rooms[cls] = Room(cls, viewer)
        return room

    def __init__(self, napari_viewer: Viewer) -> None:
        """Only name the parameter, which napari reads; never called."""

    @classmethod
    def make(cls, viewer: Viewer) -> Generator[None, None, Any]:
        """Make the page and return it; each part that ends with a ``yield`` is made in a turn of its own."""
        yield from ()
        module, _, name = cls.page.partition(":")
        return getattr(import_module(module), name)(viewer)

    @classmethod
    def load_steps(cls) -> Generator[Progress, None, None]:
        """Load what the page needs, in a thread: its modules, and the preferences, which napari reads once."""
        from napari_genrecon.engine.run import Progress
        from napari_genrecon.widgets.preferences import preferences

        yield Progress(0, 2, "loading")
        with uncollected():
            import_module(cls.page.partition(":")[0])
        yield Progress(1, 2, "loading")
        preferences("genrecon_window")
        # Qt loads its plugins for pictures when napari draws the first moving one, in its panel of activity. If torch
        # is loaded meanwhile, the window would wait for its libraries, as the system opens one at a time.
        QImageReader.supportedImageFormats()


def pages_of(viewer: Viewer) -> list[Any]:
    """Return the pages of a viewer that were opened so far."""
    rooms: Mapping[type, Room] = _rooms.get(getattr(viewer, "__wrapped__", viewer), {})
    return [room.content for room in rooms.values() if room.made]
