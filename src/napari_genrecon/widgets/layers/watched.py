"""Show a result in the viewer while it is being written."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_genrecon.errors import GenReconError
from napari_genrecon.io.formats import is_written_by_region
from napari_genrecon.io.layers import layers_of
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.zarr.journal import part_of
from napari_genrecon.widgets.layers.snapshot import NO_IMAGE

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["Watched"]

_EVERY = 2.0  # seconds between two refreshes: each one reads the planes on screen from the disk again


class Watched:
    """Temporary layer of the part that has been written so far.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer that shows it.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._part: Path | None = None
        self._layers: list[Any] = []  # one per channel
        self._refreshed = 0.0

    def start(self, target: Path | None) -> None:
        """Watch what will become `target` if it is written by region: else it cannot be read before it is complete."""
        self._part = part_of(target) if target is not None and is_written_by_region(target) else None
        self._refreshed = 0.0

    def refresh(self) -> None:
        """Show what has been written by now, every few seconds."""
        if self._part is None or time.monotonic() - self._refreshed < _EVERY:
            return
        self._refreshed = time.monotonic()
        with suppress(GenReconError, OSError):  # it may be published at this very moment
            if not self._layers:
                data, kwargs, _ = layers_of(open_image(self._part))[0]
                kwargs["metadata"][NO_IMAGE] = True  # nobody chooses it: it goes when it is complete
                added = self._viewer.add_image(data, **kwargs)
                self._layers = added if isinstance(added, list) else [added]
            for layer in self._layers:
                layer.refresh()

    def stop(self) -> None:
        """Remove the layer."""
        for layer in self._layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._part, self._layers = None, []
