"""Measure, tile by tile during the run, how well an enlarged image that is shrunk again agrees with its source."""

from __future__ import annotations

from collections.abc import Generator
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.engine.tiles import Tile

__all__ = ["ConsistencyAudit", "Enlarger"]

Block = NDArray[Any]


class Enlarger(Protocol):
    """A tile function that enlarges, and can compare its result with the image."""

    @property
    def channels(self) -> tuple[Any, ...]:
        """Constants of the channels that hold grey values; the alpha of RGBA, which comes last, has none."""

    @property
    def rounds(self) -> int:
        """Rounds of back-projection."""

    def __call__(self, block: Block, tile: Tile) -> Generator[None, None, Block]:
        """Enlarge a block; see `engine.run.TileFunction`."""

    def mismatch(self, block: Block, large: Block, tile: Tile) -> NDArray[Any]:
        """Return the shrunk result of a tile minus the image, on the core of the tile."""


class ConsistencyAudit:
    """Tile function that runs another one and sums up how far its shrunk results are from the image.

    Parameters
    ----------
    kernel : Enlarger
        The tile function that enlarges.
    axes : Axes
        Axes of the image.
    """

    def __init__(self, kernel: Enlarger, axes: Axes) -> None:
        self._kernel, self._axes = kernel, axes
        self._adding = Lock()  # tiles can be computed in several threads
        self._squares = np.zeros(len(kernel.channels))
        self._counts = np.zeros(len(kernel.channels), np.int64)

    def __call__(self, block: Block, tile: Tile) -> Generator[None, None, Block]:
        """Run the tile function and add the squared mismatch of the tile."""
        large = yield from self._kernel(block, tile)
        index = tile.channel(self._axes.channel)
        if index < len(self._counts):
            # Only on the core: halos of neighbouring tiles overlap, and would count twice.
            error = self._kernel.mismatch(block, large, tile)
            # Where the image has no value, there is nothing to agree with.
            error = error[np.isfinite(error)]
            with self._adding:
                self._squares[index] += np.square(error, dtype=np.float64).sum()
                self._counts[index] += error.size
        return large

    def rms(self) -> list[float]:
        """Return the root mean square mismatch so far, in grey values, per channel."""
        # 1 avoids a division by 0 for a channel of which no pixel is known yet.
        return [float(value) for value in np.sqrt(self._squares / np.maximum(self._counts, 1))]
