"""A result that is being written, watched in the viewer as it grows."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari_genrecon.errors import GenReconError
from napari_genrecon.io.journal import part_of
from napari_genrecon.io.layers import layers_of
from napari_genrecon.io.reader import open_image

__all__ = ["Watched"]

_EVERY = 2.0  # seconds


class Watched:
    """A temporary layer of what has been written so far.

    Parameters
    ----------
    viewer : napari.Viewer
        Where it is shown.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._part: Path | None = None
        self._layer: Any = None
        self._looked = 0.0

    def start(self, target: Path | None) -> None:
        """Watch the store that will become `target`; a TIFF cannot be looked at before it is complete."""
        self._part = part_of(target) if target is not None and target.name.endswith(".zarr") else None
        self._looked = 0.0

    def refresh(self) -> None:
        """Show what is there by now, every few seconds."""
        if self._part is None or time.monotonic() - self._looked < _EVERY:
            return
        self._looked = time.monotonic()
        with suppress(GenReconError, OSError):  # it may be published at this very moment
            if self._layer is None:
                data, kwargs, _ = layers_of(open_image(self._part))[0]
                self._layer = self._viewer.add_image(data, **kwargs)
            else:
                self._layer.refresh()

    def stop(self) -> None:
        """Take the layer away."""
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._part = self._layer = None
