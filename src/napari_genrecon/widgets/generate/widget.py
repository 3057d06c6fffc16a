"""Dock widget "Generate": train a GAN, a VAE or a denoiser on layers, sample it, explore it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QScrollArea, QTabWidget, QVBoxLayout, QWidget

from napari_genrecon.widgets.dock import Dock, PageOpener, pages_of
from napari_genrecon.widgets.fit import scrolled
from napari_genrecon.widgets.generate.explore_page import ExplorePage
from napari_genrecon.widgets.generate.sample_page import SamplePage
from napari_genrecon.widgets.task.controls import TaskControls
from napari_genrecon.widgets.train.page import TrainPage

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["GenerateWidget"]

_WIDTH = 396  # pixels: least width of the pages, with a scroll bar


class GeneratePage(QWidget):  # type: ignore[misc]  # Qt is not followed by mypy
    """Three pages: Train, Sample, Explore.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers can be chosen, and that gets the results.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.sample, self.explore = SamplePage(viewer), ExplorePage(viewer)
        self.train = TrainPage(viewer, self._new_model)
        self.sample.on_models = self._new_model
        self.tabs = QTabWidget()
        for title, page in (("Train", self.train), ("Sample", self.sample), ("Explore", self.explore)):
            self.tabs.addTab(_page(page.native), title)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.tabs)
        self.setMinimumWidth(_WIDTH)
        self._dock = Dock(self, self)
        pages = (self.train, self.sample, self.explore)

        def leave(*_: Any) -> None:  # no method: Qt would cut its connection before the widget is gone
            for page in pages:
                page.leave()

        self.destroyed.connect(leave)

    def fill(self, layer: str, options: dict[str, Any]) -> None:
        """Show the Train page with an image layer chosen; training has no options that an image sets."""
        del options
        self.tabs.setCurrentIndex(0)
        if layer in self.train.chooser.images.choices:
            self.train.chooser.images.value = [layer]

    def _new_model(self, wanted: str = "") -> None:
        for page in (self.sample, self.explore):
            page.choice.refresh(wanted)
        for task in pages_of(self._viewer):
            if isinstance(task, TaskControls):
                task.refresh_models()


class GenerateWidget(PageOpener):
    """Dock widget of training and using generative models."""

    @staticmethod
    def make(viewer: Viewer) -> GeneratePage:
        """Return a new page."""
        return GeneratePage(viewer)


def _page(native: QWidget) -> QScrollArea:
    native.layout().addStretch(1)  # room that is not needed stays below
    return scrolled(native)
