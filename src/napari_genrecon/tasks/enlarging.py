"""What happens to one plane when an image is enlarged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.engine.intensity import as_plane, fill_non_finite
from napari_genrecon.engine.resample import back_project
from napari_genrecon.engine.tiles import Tile
from napari_genrecon.models import ModelSpec, load_upscaler
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.consistency import channel_of

__all__ = ["UpscalePlanes", "UpscaledChannel"]


@dataclass(frozen=True, slots=True)
class UpscaledChannel:
    """The constants of one channel, measured over the whole image."""

    noise: NoiseModel  # what the network is told
    centre: float  # subtracted, so that float32 loses nothing; fills pixels that are not finite

    def sigma(self, plane: NDArray[Any]) -> NDArray[Any] | float:
        """Noise s.d. of every pixel (Y, X), or one for all; the level is taken from the mean of 3x3 pixels."""
        if self.noise.affine and not self.noise.gain:
            return self.noise.sigma
        from scipy.ndimage import uniform_filter  # a third of the start-up time

        return self.noise.sigma_at(uniform_filter(plane, 3, mode="nearest"))


@dataclass(frozen=True, slots=True)
class UpscalePlanes:
    """Enlarges the one plane of a tile: a plain value, so that it can be sent to other processes."""

    spec: ModelSpec
    device: str
    axes: Axes
    channels: tuple[UpscaledChannel, ...]
    factor: int
    rounds: int

    def __call__(self, block: NDArray[Any], tile: Tile) -> NDArray[Any]:
        """Enlarge a block of one plane; `tile` tells which channel it belongs to."""
        plane, index = as_plane(block, self.axes), channel_of(tile, self.axes)
        alpha = index >= len(self.channels)
        large = self.repeated(plane) if alpha else self._enlarge(plane, self.channels[index])
        scale = self.axes.spread(self.factor, self.factor, 1)
        return large.reshape([n * s for n, s in zip(block.shape, scale, strict=True)])

    def repeated(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Every pixel as a square of equal ones."""
        return plane.repeat(self.factor, axis=0).repeat(self.factor, axis=1)

    def _enlarge(self, plane: NDArray[Any], channel: UpscaledChannel) -> NDArray[Any]:
        # Python floats keep float32 as it is; integers need float64, of which large ones lose nothing.
        plane = plane.astype(np.float32 if plane.dtype.itemsize <= 2 else np.float64, copy=False)
        filled, bad = fill_non_finite(plane, channel.centre)
        centred = filled - channel.centre
        large = load_upscaler(self.spec, self.device)(centred, channel.sigma(filled), self.factor)
        large = back_project(large, centred.astype(np.float32, copy=False), self.factor, self.rounds)
        restored = large.astype(plane.dtype, copy=False) + channel.centre
        return restored if bad is None else np.where(self.repeated(bad), self.repeated(plane), restored)
