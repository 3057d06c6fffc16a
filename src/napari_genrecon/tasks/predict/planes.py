"""Read an image with all its channels, and make the channels of the result of one tile."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import ImageArray, as_numpy
from napari_genrecon.axes import Axes
from napari_genrecon.engine.intensity import fill_non_finite
from napari_genrecon.engine.tiles import Tile
from napari_genrecon.models import ModelCard, load_network

__all__ = ["ByPlaces", "PredictPlanes"]


class ByPlaces:
    """An image as one that has the channels of the result; each region is read with all channels of the image.

    Parameters
    ----------
    source : array_like
        The image.
    axes : Axes
        Its axes.
    count : int
        Channels of the result; several become a new first dimension if the image has none for channels.
    """

    def __init__(self, source: ImageArray, axes: Axes, count: int) -> None:
        self._source, self._axes = source, axes
        # Several channels from an image without any: a dimension is made for them.
        self.axes = axes.with_channels(count)
        self._new = len(self.axes) > len(axes)
        # The grid divides the result, so this says the result's shape; only reading is that of the image.
        shape = [int(n) for n in source.shape]
        if axes.channel is not None:
            shape[axes.channel] = count
        self.shape = (count, *shape) if self._new else tuple(shape)
        self.ndim, self.dtype = len(self.shape), source.dtype
        self.size = int(np.prod(self.shape))

    def __getitem__(self, region: tuple[slice, ...]) -> NDArray[Any]:
        """Return a region of the image, with its own channels along the dimension for those of the result."""
        # The region counts channels of the result, which the image does not have.
        wanted = list(region[1:] if self._new else region)
        if self._axes.channel is not None:
            # All of the image's channels, without alpha.
            wanted[self._axes.channel] = slice(0, 3) if self._axes.rgb else slice(None)
        block = as_numpy(self._source[tuple(wanted)])
        # With a dimension for channels, as tiles of the result have one.
        return block[None] if self._new else block


@dataclass(frozen=True, slots=True)
class PredictPlanes:
    """Tile function that makes all channels of the plane, or the volume, of a tile; a plain value, for other processes.

    Attributes
    ----------
    spec : ModelCard
        The model.
    device : str
        Where it runs.
    axes : Axes
        Axes of the result, and of what is read.
    """

    spec: ModelCard
    device: str
    axes: Axes

    def __call__(self, block: NDArray[Any], tile: Tile) -> Generator[None, None, NDArray[np.float32]]:
        """Make the pixels of a block with one entry in every dimension but C, Y, X and, for a volume, Z."""
        # Not an attribute, as this object is sent to other processes: each loads the network once and keeps it.
        network = load_network(self.spec, self.device)
        channel = self.axes.channel
        worked = [self.axes.letters.index(letter) for letter in ("ZYX" if self.spec.about.volumes else "YX")]
        order = [*([] if channel is None else [channel]), *worked]
        looped = [i for i in range(block.ndim) if i not in order]
        # (C, Y, X), or (C, Z, Y, X) for a volume: what is looped over has length 1 here.
        planes = block.transpose(*looped, *order).reshape(self.spec.channels, *(block.shape[i] for i in worked))
        filled, bad = self._scaled(planes)
        made = (yield from network.in_parts(filled[None])) if self.spec.about.volumes else network(filled)
        made = made.reshape(-1, *filled.shape[1:])  # (outputs, Y, X) or (outputs, Z, Y, X)
        # (outputs, 1, 1), or one more for a volume
        low, high = (
            np.array(ends, np.float64).reshape(-1, *(1,) * len(worked))
            for ends in (self.spec.result_low, self.spec.result_high)
        )
        # From [-1, 1], the scale of the training, to grey values; in float64, as a range may be far from 0.
        grey = (low + (made + 1) * ((high - low) / 2)).astype(np.float32)
        # Every output rests on all channels: where one of them is unknown, so are all outputs.
        grey[:, bad] = np.nan
        shape = [block.shape[i] if i != channel else len(grey) for i in (*looped, *order)]
        # Back to the order of the axes: argsort inverts a permutation.
        return np.ascontiguousarray(grey.reshape(shape).transpose(np.argsort([*looped, *order])))

    def _scaled(self, planes: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the channels on the scale of the training, and which pixels are not finite in any of them."""
        scaled = np.empty(planes.shape, np.float32)
        bad = np.zeros(planes.shape[1:], np.bool_)
        for index, (channel, low, high) in enumerate(zip(planes, self.spec.low, self.spec.high, strict=True)):
            for place in np.ndindex(channel.shape[:-2]):  # one, or the planes of a volume
                # Filled first, as one NaN would spread over the reach of the network.
                filled, missing = fill_non_finite(channel[place].astype(np.float64), (low + high) / 2)
                # The training's range to [-1, 1]
                scaled[index, *place] = 2 * (filled - low) / (high - low) - 1
                if missing is not None:
                    bad[place] |= missing
        return scaled, bad
