"""Dock widget "Advise"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_genrecon.widgets.advise.page import AdvisePage
from napari_genrecon.widgets.dock import PageOpener
from napari_genrecon.widgets.page_dock import PageDock

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["AdviseWidget"]


class AdviseWidget(PageOpener):
    """Dock widget of `advise`."""

    @staticmethod
    def make(viewer: Viewer) -> PageDock:
        """Return a new page."""
        return PageDock(AdvisePage(viewer))
