"""Enlarge the plane of one tile."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.engine.intensity import as_plane, fill_non_finite
from napari_genrecon.engine.missing import without_missing
from napari_genrecon.engine.tiles import Tile
from napari_genrecon.models import ModelCard, load_network
from napari_genrecon.noise import NoiseModel
from napari_genrecon.numerics.resample import back_project, shrink
from napari_genrecon.numerics.symmetries import turned, turned_back
from napari_genrecon.tasks.denoise import DenoisePlanes

__all__ = ["UpscalePlanes", "UpscaledChannel"]


@dataclass(frozen=True, slots=True)
class UpscaledChannel:
    """Constants of one channel, measured over the whole image."""

    noise: NoiseModel  # input of the network
    centre: float  # subtracted, so that float32 loses nothing; fills pixels that are not finite
    left: float = 1.0  # share of the noise s.d. that is left if a denoiser ran first
    missing: tuple[float, ...] = ()  # grey values of padding; such pixels are treated as unknown
    unit: float = 1.0  # grey values that the network takes as 1

    def sigma(self, plane: NDArray[Any]) -> NDArray[Any] | float:
        """Return the noise s.d. of every pixel (Y, X), read at the mean of 3x3 pixels, or one number for all."""
        if self.noise.affine and not self.noise.gain:
            return self.left * self.noise.sigma
        from scipy.ndimage import uniform_filter  # a third of the start-up time

        return self.left * self.noise.sigma_at(uniform_filter(plane, 3, mode="nearest"))


@dataclass(frozen=True, slots=True)
class UpscalePlanes:
    """Tile function that enlarges the plane of a tile; a plain value, so that it can be sent to other processes."""

    spec: ModelCard
    device: str
    axes: Axes
    channels: tuple[UpscaledChannel, ...]
    factor: int
    rounds: int
    denoise: DenoisePlanes | None = None  # runs before the enlargement
    views: int = 1  # number of turned and mirrored views whose results are averaged, 1 to 8
    precision: str = "float32"

    def __call__(self, block: NDArray[Any], tile: Tile) -> Generator[None, None, NDArray[Any]]:
        """Enlarge a block of one plane; `tile` tells which channel it belongs to."""
        seen = block if self.denoise is None else (yield from self.denoise(block, tile))
        plane, image = (as_plane(values, self.axes) for values in (seen, block))
        index = tile.channel(self.axes.channel)
        if index < len(self.channels):
            large = yield from self._enlarge(plane, image, self.channels[index])
        else:
            large = self.repeated(plane)  # the alpha channel holds no grey values
        scale = self.axes.spread(self.factor, self.factor, 1)
        return large.reshape([n * s for n, s in zip(block.shape, scale, strict=True)])

    @property
    def steps(self) -> int:
        """Steps of progress of one tile."""
        return self.views + self.rounds

    def mismatch(self, block: NDArray[Any], large: NDArray[Any], tile: Tile) -> NDArray[Any]:
        """Return the shrunk result minus the image, on the core of the tile."""
        axes, factor, channel = self.axes, self.factor, self.channels[tile.channel(self.axes.channel)]
        centre, block, large = channel.centre, *(without_missing(b, channel.missing) for b in (block, large))
        core = tuple(slice(tile.crop[i].start // factor, tile.crop[i].stop // factor) for i in (axes.y, axes.x))
        with np.errstate(invalid="ignore"):  # infinite pixels give NaN, which is left out
            small = shrink(as_plane(large, axes) - centre, factor)[core]
            error: NDArray[Any] = small - (as_plane(block, axes)[core] - centre)
        return error

    def repeated(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Return a plane in which every pixel is repeated `factor` times along Y and X."""
        return plane.repeat(self.factor, axis=0).repeat(self.factor, axis=1)

    def _enlarge(
        self, plane: NDArray[Any], image: NDArray[Any], channel: UpscaledChannel
    ) -> Generator[None, None, NDArray[Any]]:
        """Enlarge a plane, and make it agree with the image, which is the plane before it was denoised."""
        plane = _as_float(plane)
        filled, bad = fill_non_finite(without_missing(plane, channel.missing), channel.centre)
        centred = (filled - channel.centre).astype(np.float32, copy=False)
        # Networks of others expect a range of grey values; for ours the unit is 1.
        unit = np.float32(channel.unit)
        large = yield from self._mean_of_views(centred / unit, channel.sigma(filled))
        large *= unit
        # Consistent with the image as it is, not with the denoised plane that was enlarged.
        if self.rounds and self.denoise is not None:
            filled, _ = fill_non_finite(without_missing(_as_float(image), channel.missing), channel.centre)
            centred = (filled - channel.centre).astype(np.float32, copy=False)
        for _ in range(self.rounds):
            yield
            large = back_project(large, centred, self.factor)
        restored = large.astype(plane.dtype, copy=False) + channel.centre
        return restored if bad is None else np.where(self.repeated(bad), self.repeated(plane), restored)

    def _mean_of_views(
        self, plane: NDArray[np.float32], sigma: NDArray[Any] | float
    ) -> Generator[None, None, NDArray[np.float32]]:
        """Average the results of all views."""
        network = load_network(self.spec, self.device, precision=self.precision)
        # A single number is turned with the plane like a map of them.
        sigma = np.broadcast_to(sigma, plane.shape)
        total = np.zeros([n * self.factor for n in plane.shape], np.float32)
        for way in range(self.views):
            # A run can be cancelled between two views; the end of the tile counts as its last step.
            if way:
                yield
            known = {"sigma": turned(sigma, way), "factor": self.factor}
            large = network(turned(plane, way), *(known[what] for what in self.spec.told))
            total += turned_back(large, way)
        total /= self.views
        return total


def _as_float(plane: NDArray[Any]) -> NDArray[Any]:
    """Return a plane of floats: float32 as it is, float64 for large integers, which then lose nothing."""
    return plane.astype(np.float32 if plane.dtype.itemsize <= 2 else np.float64, copy=False)
