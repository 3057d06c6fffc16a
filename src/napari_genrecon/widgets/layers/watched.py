"""A result that is being written, watched in the viewer as it grows."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari_genrecon.errors import GenReconError
from napari_genrecon.io.layers import layers_of
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.zarr.journal import part_of
from napari_genrecon.widgets.layers.snapshot import NO_IMAGE

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
        self._layers: list[Any] = []  # one per channel
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
            if not self._layers:
                data, kwargs, _ = layers_of(open_image(self._part))[0]
                kwargs["metadata"][NO_IMAGE] = True  # nobody chooses it: it goes when it is complete
                added = self._viewer.add_image(data, **kwargs)
                self._layers = added if isinstance(added, list) else [added]
            for layer in self._layers:
                layer.refresh()

    def stop(self) -> None:
        """Take the layer away."""
        for layer in self._layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._part, self._layers = None, []
