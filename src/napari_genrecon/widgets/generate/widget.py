"""Dock widget "Generate": train a GAN, a VAE or a denoiser on layers, sample it, explore it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from napari_genrecon.widgets.dock import Dock
from napari_genrecon.widgets.fit import line_up, scrolled
from napari_genrecon.widgets.generate.explore_page import ExplorePage
from napari_genrecon.widgets.generate.sample_page import SamplePage
from napari_genrecon.widgets.room import pages_of
from napari_genrecon.widgets.task.controls import TaskControls
from napari_genrecon.widgets.train.page import TrainForms, TrainPage

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["GeneratePage"]

_WIDTH = 396  # pixels: least width of the pages, with a scroll bar
_PAGES = ("Train", "Sample", "Explore")
_REST = 100  # milliseconds between the making of two pages


class GeneratePage(QWidget):  # type: ignore[misc]  # Qt is not followed by mypy
    """Three pages: Train, Sample, Explore.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers can be chosen, and that gets the results.
    forms : TrainForms
        Forms of the page Train, which is there from the start.
    """

    def __init__(self, viewer: Viewer, forms: TrainForms) -> None:
        super().__init__()
        self._viewer = viewer
        self._made: dict[str, Any] = {}
        self.tabs = QTabWidget()
        for title in _PAGES:
            QVBoxLayout(room := QWidget()).setContentsMargins(0, 0, 0, 0)
            self.tabs.addTab(room, title)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.tabs)
        self.setMinimumWidth(_WIDTH)
        self._dock = Dock(self, self)
        self._add("Train", TrainPage(viewer, forms, self._new_model))
        self.tabs.currentChanged.connect(self._chosen)
        self._later = QTimer(self)  # the other pages are made on later turns: one at a time does not freeze the window
        self._later.timeout.connect(self._make_next)
        self._later.start(_REST)
        made = self._made

        def leave(*_: Any) -> None:  # no method: Qt would cut its connection before the widget is gone
            for page in made.values():
                page.leave()

        self.destroyed.connect(leave)

    @property
    def train(self) -> TrainPage:
        """Page to train a model."""
        return self._page("Train")

    @property
    def sample(self) -> SamplePage:
        """Page to make new images with a model."""
        return self._page("Sample")

    @property
    def explore(self) -> ExplorePage:
        """Page to walk between images of a model."""
        return self._page("Explore")

    def _page(self, title: str) -> Any:
        """Return the page of a tab, which is made now if it is not there yet."""
        if title not in self._made:
            self._add(title, ExplorePage(self._viewer) if title == "Explore" else self._sample_page())
        return self._made[title]

    def _add(self, title: str, page: Any) -> None:
        self._made[title] = page
        page.native.layout().addStretch(1)  # room that is not needed stays below
        self.tabs.widget(_PAGES.index(title)).layout().addWidget(scrolled(page.native))
        line_up(page.native)

    def _sample_page(self) -> SamplePage:
        page = SamplePage(self._viewer)
        page.on_models = self._new_model
        return page

    def _chosen(self, index: int) -> None:
        self._page(self.tabs.tabText(index))

    def _make_next(self) -> None:
        missing = [title for title in _PAGES if title not in self._made]
        if missing:
            self._page(missing[0])
        else:
            self._later.stop()

    def fill(self, layer: str, options: dict[str, Any]) -> None:
        """Show the Train page with an image layer chosen; training has no options that an image sets."""
        del options
        self.tabs.setCurrentIndex(0)
        if layer in self.train.chooser.images.choices:
            self.train.chooser.images.value = [layer]

    def _new_model(self, wanted: str = "") -> None:
        for title in ("Sample", "Explore"):
            if title in self._made:
                self._made[title].choice.refresh(wanted)
        # Docks of tasks offer trained models, too.
        for task in pages_of(self._viewer):
            if isinstance(task, TaskControls):
                task.refresh_models()
