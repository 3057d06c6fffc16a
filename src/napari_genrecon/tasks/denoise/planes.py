"""Denoise planes one by one: stabilise the noise, run the network, and go back.

The pipeline per plane is a variance-stabilising transform, a Gaussian denoiser, and the exact unbiased inverse
(Makitalo & Foi, IEEE TIP 2013). The noise model and the centre of each channel are measured once for the whole image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.engine.intensity import as_plane, fill_non_finite, measure_centre
from napari_genrecon.engine.missing import find_missing, without_missing
from napari_genrecon.engine.run import one_step
from napari_genrecon.engine.tiles import Tile
from napari_genrecon.models import ModelCard, load_network
from napari_genrecon.noise import (
    NoiseModel,
    Stabiliser,
    conserve_light,
    fill_hot,
    is_low_light,
    measure_hot_fraction,
    stabiliser,
)
from napari_genrecon.numerics.symmetries import turned, turned_back
from napari_genrecon.tasks.denoise.changes import put_back
from napari_genrecon.tasks.measure import is_noisy
from napari_genrecon.tasks.others import grey_scale

__all__ = [
    "FARTHEST",
    "Channel",
    "DenoisePlanes",
    "Prepared",
    "channel_constants",
    "denoising_planes",
    "planned",
    "scaled_channel",
]

# Noise s.d. that are taken away at most: noise is never larger. Where there is next to none, the error of the network
# at a strong edge is.
FARTHEST = 8.0


@dataclass(frozen=True, slots=True)
class Channel:
    """The constants of one channel, measured over the whole image."""

    noise: NoiseModel
    transform: Stabiliser
    fill: float  # grey value for pixels that are not finite
    centre: float  # of the stabilised values
    missing: tuple[float, ...]  # grey values of padding, which count for nothing
    repeated: float = 0.0  # share of the noise variance that is the same in every frame, and that no average removes
    rho_far: tuple[float, float] | None = None  # of neighbours, as the noise of local means in a movie tells it

    @property
    def near(self) -> tuple[float, float]:
        """Correlation of neighbouring pixels along x and y, by which local means of the noise are known."""
        return self.rho_far or (self.noise.rho_x, self.noise.rho_y)

    def even(self, plane: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return a plane of floats without hot, missing and non-finite pixels, and where these were.

        A hot pixel is no noise, and would be smeared over its neighbours: it is left out, and comes back as it was.
        """
        even, hot = fill_hot(without_missing(plane, self.missing), self.noise)
        even, bad = fill_non_finite(even, self.fill)
        return even, hot if bad is None else hot | bad

    def stabilise(self, even: NDArray[Any]) -> NDArray[np.float32]:
        """Return what the network sees: noise of s.d. 1, the centre of the image at 0."""
        return self.transform.forward(even) - np.float32(self.centre)

    def squares(self, prepared: Prepared) -> NDArray[np.float32]:
        """Return the squares of a stabilised plane, whose mean over frames `of_mean` needs."""
        centre = np.float32(self.centre)
        squared = self.transform.squared(prepared.stabilised + centre, prepared.even)
        return squared - centre * (2 * prepared.stabilised + centre)

    def left(self, stabilised: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the variance of the noise of a stabilised plane: 1, but where photons are few."""
        return self.transform.left(stabilised + np.float32(self.centre))

    def of_mean(
        self, fused: NDArray[np.float32], squares: NDArray[np.float32], variance: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return a mean of stabilised frames as if their grey values had been averaged; see `Stabiliser.of_mean`."""
        centre = np.float32(self.centre)
        mean, squares = fused + centre, squares + centre * (2 * fused + centre)
        return self.transform.of_mean(mean, squares, variance) - centre


def planned(spec: ModelCard, views: int) -> ModelCard:
    """Return the card by which tiles are planned: all views of one take their time together."""
    return replace(spec, work=spec.work * views)


class Prepared(NamedTuple):
    """A plane before it is denoised: (Y, X) each."""

    plane: NDArray[Any]  # as it was given, as floats
    even: NDArray[Any]  # hot pixels and what is not finite filled
    kept: NDArray[np.bool_]  # pixels that come back as they were
    stabilised: NDArray[np.float32]  # `even` with a noise s.d. of 1, its centre at 0


@dataclass(frozen=True, slots=True)
class DenoisePlanes:
    """Denoises the one plane of a tile: a plain value, so that it can be sent to other processes."""

    spec: ModelCard
    device: str
    axes: Axes
    channels: tuple[Channel | None, ...]  # None: nothing to remove
    strength: float
    blend: float
    precision: str = "float32"
    views: int = 1  # number of turned and mirrored views whose results are averaged, 1 to 8

    @one_step
    def __call__(self, block: NDArray[Any], tile: Tile) -> NDArray[Any]:
        """Denoise a block of one plane; `tile` tells which channel it belongs to."""
        channel = self.channel_of(tile)
        if channel is None:
            return block
        prepared = self.prepare(as_plane(block, self.axes), channel)
        clean = self.clean(prepared.stabilised, channel)
        return self.restore(prepared, clean, channel).reshape(block.shape)

    def channel_of(self, tile: Tile) -> Channel | None:
        """Return the constants of the channel that a tile belongs to; None if it has nothing to remove."""
        index = tile.channel(self.axes.channel)
        return self.channels[index] if index < len(self.channels) else None

    def prepare(self, plane: NDArray[Any], channel: Channel) -> Prepared:
        """Fill what is no noise, and make the noise of a plane (Y, X) have a s.d. of 1."""
        # Python floats keep float32 as it is; integers need float64, of which large ones lose nothing.
        plane = plane.astype(np.float32 if plane.dtype.itemsize <= 2 else np.float64, copy=False)
        even, kept = channel.even(plane)
        return Prepared(plane, even, kept, channel.stabilise(even))

    def clean(
        self, stabilised: NDArray[np.float32], channel: Channel, sigma: ArrayLike | None = None
    ) -> NDArray[np.float32]:
        """Denoise a stabilised plane; `sigma` is the s.d. of its noise where that is not 1, a number or (Y, X)."""
        # The network is told `strength` times the noise: told more, it removes more.
        level = self.strength if sigma is None else np.float32(self.strength) * np.asarray(sigma, np.float32)
        network: Callable[..., Any] = load_network(self.spec, self.device, precision=self.precision)
        if sigma is not None:  # what rounding may change is counted in the noise of the image, of which less is left
            network = partial(network, noise=self.strength)
        if self.views == 1:
            return network(stabilised, *self._told(level, channel.noise.correlations))
        height, width = stabilised.shape
        # Padded first: else the turned views of the last tiles would meet the network's pooling at other pixels.
        plane, levels = (self._padded(part) for part in (stabilised, np.broadcast_to(level, stabilised.shape)))
        total = np.zeros(plane.shape, np.float32)
        for way in range(self.views):
            along = np.reshape(channel.noise.correlations, (2, -1))  # x, y
            # An odd number of quarter turns swaps x and y, and the noise with them.
            correlations = along[::-1] if way % 2 else along
            total += turned_back(network(turned(plane, way), *self._told(turned(levels, way), correlations)), way)
        total /= self.views
        return total[:height, :width]

    def _told(self, level: ArrayLike, correlations: ArrayLike) -> list[ArrayLike]:
        known = {"sigma": level, "rho": np.ravel(correlations)}
        # In the order in which the network takes them; models of others are told nothing.
        return [known[what] for what in self.spec.told]

    def _padded(self, plane: NDArray[Any]) -> NDArray[np.float32]:
        ends = [
            (0, -n % stride) for n, stride in zip(plane.shape, (self.spec.stride.y, self.spec.stride.x), strict=True)
        ]
        return np.pad(np.asarray(plane, np.float32), ends, mode="symmetric")

    @property
    def planned(self) -> ModelCard:
        """The card by which tiles are planned."""
        return planned(self.spec, self.views)

    def restore(
        self,
        prepared: Prepared,
        clean: NDArray[np.float32],
        channel: Channel,
        variance: NDArray[np.float32] | None = None,
        missed: NDArray[np.float32] | None = None,
    ) -> NDArray[Any]:
        """Return a denoised plane in grey values, with the pixels of the source that are kept.

        Parameters
        ----------
        prepared, clean : Prepared, (Y, X) ndarray
            The plane, and what was denoised.
        channel : Channel
            Its constants.
        variance : (Y, X) ndarray, optional
            That of `Channel.of_mean`, where a mean of frames was denoised.
        missed : (Y, X) ndarray, optional
            How surely such a mean misses something of the plane; see `tasks.denoise.changes.put_back`.
        """
        if not self.spec.scaling:  # others do not know the noise either
            clean = self._near(clean, prepared.stabilised)
        clean = clean + np.float32(channel.centre)
        restored = channel.transform.inverse(clean, dtype=prepared.plane.dtype, variance=variance)
        if missed is not None:
            # A spot of less light is put back deeper than its local mean. Counted photons are never fewer than none.
            counted = channel.noise.affine and not channel.noise.read_noise
            least = np.minimum(restored, channel.noise.offset) if counted else -np.inf
            restored = np.maximum(put_back(restored, prepared.even, missed), least)
        if self.blend:
            # In grey values, with hot pixels left out: they come back in the next line.
            restored = (1 - self.blend) * restored + self.blend * prepared.even
        return np.where(prepared.kept, prepared.plane, restored)

    def _near(self, clean: NDArray[np.float32], stabilised: NDArray[np.float32]) -> NDArray[np.float32]:
        farthest = FARTHEST * self.strength
        return np.asarray(np.clip(clean, stabilised - farthest, stabilised + farthest), np.float32)

    def conserving_light(self, sampled: Sequence[list[NDArray[Any]]]) -> DenoisePlanes:
        """Return the same tile function, but so that channels of few photons keep their light."""
        pairs = zip(self.channels, sampled, strict=True)
        return replace(self, channels=tuple(channel and self._with_light(channel, crops) for channel, crops in pairs))

    def _with_light(self, channel: Channel, crops: list[NDArray[Any]]) -> Channel:
        if not is_low_light(channel.noise):
            return channel
        centre = np.float32(channel.centre)

        def cleaned(values: NDArray[np.float32]) -> NDArray[np.float32]:
            return self._near(self.clean(values - centre, channel), values - centre) + centre

        planes = [channel.even(crop.astype(np.float64))[0] for crop in crops]
        # Measured with this very network and strength, as what they lose of faint light is made good.
        return replace(channel, transform=conserve_light(channel.transform, channel.noise.gain, planes, cleaned))


def denoising_planes(
    spec: ModelCard, device: str, axes: Axes, sampled: Sequence[list[NDArray[Any]]], noise: Sequence[NoiseModel]
) -> DenoisePlanes:
    """Return the tile function that removes all of this noise, for a task that denoises before it does something else.

    Parameters
    ----------
    spec, device : ModelCard, str
        The denoiser, and where it runs.
    axes : Axes
        Axes of the image.
    sampled : sequence of lists of ndarray
        Crops of every channel.
    noise : sequence of NoiseModel
        Noise of every channel.
    """
    channels = tuple(channel_constants(crops, model) for crops, model in zip(sampled, noise, strict=True))
    return DenoisePlanes(spec, device, axes, channels, 1.0, 0.0).conserving_light(sampled)


def scaled_channel(crops: list[NDArray[Any]], spec: ModelCard) -> Channel:
    """Return the constants of a channel for a network of others, which takes grey values on a scale of its own."""
    missing = find_missing(crops)
    crops = [without_missing(crop, missing) for crop in crops]
    zero, unit = grey_scale(spec, crops)
    scale = NoiseModel(read_noise=unit, offset=zero)  # no noise: the transform to its s.d. is the one to the scale
    return Channel(scale, stabiliser(scale), measure_centre(crops), 0.0, missing)


def channel_constants(crops: list[NDArray[Any]], noise: NoiseModel) -> Channel | None:
    """Return the constants of a channel, from crops of it and its noise; None if there is nothing to remove."""
    missing = find_missing(crops)
    crops = [without_missing(crop, missing) for crop in crops]
    fill = measure_centre(crops)
    if not is_noisy(noise, crops):
        return None
    noise = replace(noise, hot_fraction=measure_hot_fraction(crops, noise))  # of this image, whoever gave the model
    # Where the noise is the same at every level the offset is free: near the data, float32 loses nothing.
    transform = stabiliser(noise if noise.gain or not noise.affine else replace(noise, offset=fill))
    centre = float(transform.forward(np.array([fill]))[0])
    return Channel(noise, transform, fill, centre, missing)
