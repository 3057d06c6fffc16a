"""Dock widget "Augment"."""

from __future__ import annotations

from typing import Any

from napari_genrecon.widgets.augment.page import AugmentPage
from napari_genrecon.widgets.dock import PageOpener
from napari_genrecon.widgets.page_dock import PageDock

__all__ = ["AugmentWidget"]


class AugmentWidget(PageOpener):
    """Dock widget of `augment`."""

    @staticmethod
    def make(viewer: Any) -> PageDock:
        """Return a new page."""
        return PageDock(AugmentPage(viewer))
