"""Dock widget "Advise"."""

from __future__ import annotations

from typing import Any

from napari_genrecon.widgets.advise.page import AdvisePage
from napari_genrecon.widgets.dock import PageOpener
from napari_genrecon.widgets.page_dock import PageDock

__all__ = ["AdviseWidget"]


class AdviseWidget(PageOpener):
    """Dock widget of `advise`."""

    @staticmethod
    def make(viewer: Any) -> PageDock:
        """Return a new page."""
        return PageDock(AdvisePage(viewer))
