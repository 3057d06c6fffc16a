"""Dock widget "Augment"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_genrecon.widgets.augment.page import AugmentPage
from napari_genrecon.widgets.dock import PageOpener
from napari_genrecon.widgets.page_dock import PageDock

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["AugmentWidget"]


class AugmentWidget(PageOpener):
    """Dock widget of `augment`."""

    @staticmethod
    def make(viewer: Viewer) -> PageDock:
        """Return a new page."""
        return PageDock(AugmentPage(viewer))
