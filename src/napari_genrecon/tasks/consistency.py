"""Does an enlarged image, shrunk again, give back the image it was made of? Measured tile by tile during the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.engine.intensity import as_plane
from napari_genrecon.engine.resample import shrink
from napari_genrecon.engine.run import TileFunction
from napari_genrecon.engine.tiles import Tile

__all__ = ["ConsistencyAudit", "channel_of"]


class ConsistencyAudit:
    """Runs a tile function that enlarges planes, and adds up how far from the image its results are, shrunk again.

    Parameters
    ----------
    kernel : callable
        The tile function.
    axes : Axes
        Of the image.
    factor : int
        By which the planes are enlarged.
    centres : sequence of float
        A grey value in the middle of each channel, subtracted first so that float32 loses nothing. Channels beyond
        the last, the alpha of RGBA, are not looked at.
    """

    def __init__(self, kernel: TileFunction, axes: Axes, factor: int, centres: Sequence[float]) -> None:
        self._kernel, self._axes, self._factor, self._centres = kernel, axes, factor, centres
        self._squares = np.zeros(len(centres))
        self._counts = np.zeros(len(centres), np.int64)

    def __call__(self, block: NDArray[Any], tile: Tile) -> NDArray[Any]:
        """Run the tile function."""
        large, index = np.asarray(self._kernel(block, tile)), channel_of(tile, self._axes)
        if index < len(self._centres):
            error = self._error(block, large, tile, self._centres[index])
            self._squares[index] += np.square(error, dtype=np.float64).sum()
            self._counts[index] += error.size
        return large

    def _error(self, block: NDArray[Any], large: NDArray[Any], tile: Tile, centre: float) -> NDArray[Any]:
        """On the core of the tile, where it is finite."""
        axes, factor = self._axes, self._factor
        core = tuple(slice(tile.crop[i].start // factor, tile.crop[i].stop // factor) for i in (axes.y, axes.x))
        with np.errstate(invalid="ignore"):  # infinite pixels give NaN, which is left out
            small = shrink(as_plane(large, axes) - centre, factor)[core]
            error: NDArray[Any] = small - (as_plane(block, axes)[core] - centre)
        return error[np.isfinite(error)]

    def rms(self) -> list[float]:
        """Root mean square so far, in grey values, per channel."""
        return [float(value) for value in np.sqrt(self._squares / np.maximum(self._counts, 1))]


def channel_of(tile: Tile, axes: Axes) -> int:
    """The index of the channel, or of the colour, that a tile belongs to."""
    return 0 if axes.channel is None else int(tile.src[axes.channel].start)
