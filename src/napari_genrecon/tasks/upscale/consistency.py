"""Does an enlarged image, shrunk again, give back the image it was made of? Measured tile by tile during the run."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.engine.tiles import Tile

__all__ = ["ConsistencyAudit", "Enlarger", "channel_of"]

Block = NDArray[Any]


class Enlarger(Protocol):
    """A tile function that enlarges, and knows how its result would be seen."""

    @property
    def channels(self) -> tuple[Any, ...]:
        """The constants of the channels that carry grey values; beyond them is the alpha of RGBA."""

    @property
    def rounds(self) -> int:
        """How many rounds of back-projection it does."""

    def __call__(self, block: Block, tile: Tile) -> Generator[None, None, Block]:
        """As `engine.run.TileFunction`."""

    def mismatch(self, block: Block, large: Block, tile: Tile) -> NDArray[Any]:
        """The result of a tile as the image would show it, less the image, on the core of the tile."""


class ConsistencyAudit:
    """Runs a tile function that enlarges, and adds up how far from the image its results are, shrunk again.

    Parameters
    ----------
    kernel : Enlarger
        The tile function.
    axes : Axes
        Of the image.
    """

    def __init__(self, kernel: Enlarger, axes: Axes) -> None:
        self._kernel, self._axes = kernel, axes
        self._squares = np.zeros(len(kernel.channels))
        self._counts = np.zeros(len(kernel.channels), np.int64)

    def __call__(self, block: Block, tile: Tile) -> Generator[None, None, Block]:
        """Run the tile function."""
        large = yield from self._kernel(block, tile)
        index = channel_of(tile, self._axes)
        if index < len(self._counts):
            error = self._kernel.mismatch(block, large, tile)
            error = error[np.isfinite(error)]
            self._squares[index] += np.square(error, dtype=np.float64).sum()
            self._counts[index] += error.size
        return large

    def rms(self) -> list[float]:
        """Root mean square so far, in grey values, per channel."""
        return [float(value) for value in np.sqrt(self._squares / np.maximum(self._counts, 1))]


def channel_of(tile: Tile, axes: Axes) -> int:
    """The index of the channel, or of the colour, that a tile belongs to."""
    return 0 if axes.channel is None else int(tile.src[axes.channel].start)
