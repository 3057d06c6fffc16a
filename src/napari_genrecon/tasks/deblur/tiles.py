"""What `deblur` does to one tile: a plane, or a whole stack where the PSF is three-dimensional."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.engine.intensity import fill_non_finite
from napari_genrecon.engine.missing import without_missing
from napari_genrecon.engine.tiles import Tile
from napari_genrecon.models import ModelCard, load_network
from napari_genrecon.noise import NoiseModel
from napari_genrecon.numerics.blur import Blur
from napari_genrecon.numerics.plug_and_play import plug_and_play, schedule
from napari_genrecon.numerics.richardson_lucy import richardson_lucy

__all__ = ["Channel", "DeblurTiles", "Method"]

Method = Literal["pnp", "rl"]

_DARK = 1e-4  # of the mean, Richardson-Lucy's least value
_TV = 0.02  # px, Richardson-Lucy's weight of total variation at strength 1


@dataclass(frozen=True, slots=True)
class Channel:
    """The constants of one channel, measured over the whole image.

    Attributes
    ----------
    noise : NoiseModel
        In grey values.
    centre : float
        Median grey value.
    first_level : float
        Noise s.d. that the denoiser is told in the first iteration, in grey values; positive.
    sigma : float
        Root mean square of the noise s.d. over the image, in grey values; positive.
    least_sigma : float
        Noise s.d. of the darkest parts, in grey values; positive.
    rise : float
        How much stronger than white noise the noise is at the low frequencies that a blurred image has left (s.d.).
    background : float
        Grey value of no light, for Richardson-Lucy.
    gain : float
        Grey values per photo-electron, or what makes Poisson noise of about the strength of this one.
    read_variance : float
        In photo-electrons squared.
    mean : float
        Mean above the background, in photo-electrons; positive.
    missing : tuple of float
        Grey values of padding, which count for nothing.
    """

    noise: NoiseModel
    centre: float
    first_level: float
    sigma: float
    least_sigma: float
    rise: float
    background: float
    gain: float
    read_variance: float
    mean: float
    missing: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class DeblurTiles:
    """Deblurs a tile: a plain value, so that it can be sent to other processes."""

    axes: Axes
    channels: tuple[Channel | None, ...]  # None: nothing to do
    psf: NDArray[np.float64]
    method: Method
    iterations: int
    strength: float
    spec: ModelCard
    device: str

    def __call__(self, block: NDArray[Any], tile: Tile) -> NDArray[Any] | Generator[None, None, NDArray[Any]]:
        """Deblur a block; `tile` tells which channel it belongs to."""
        index = 0 if self.axes.channel is None else int(tile.src[self.axes.channel].start)
        channel = self.channels[index] if index < len(self.channels) else None
        return block if channel is None else self._deblur(block, channel)

    def _deblur(self, block: NDArray[Any], channel: Channel) -> Generator[None, None, NDArray[Any]]:
        image = self._spatial(block)
        # Integers need float64, of which large ones lose nothing.
        image = image.astype(np.float32 if image.dtype.itemsize <= 2 else np.float64, copy=False)
        seen = without_missing(image, channel.missing)
        bad = ~np.isfinite(seen)
        filled = (_filled(seen, channel.centre) - channel.centre).astype(np.float32)
        method = self._plug_and_play if self.method == "pnp" else self._richardson_lucy
        sharp = yield from method(filled, ~bad, channel)
        result = np.where(bad, image, sharp.astype(image.dtype) + channel.centre)
        return self._like(block, result)

    def _plug_and_play(self, image: NDArray[np.float32], seen: NDArray[np.bool_], channel: Channel) -> Any:
        denoiser = load_network(self.spec, self.device)

        def prior(x: NDArray[np.float32], level: float) -> Generator[None, None, NDArray[np.float32]]:
            planes = []
            for plane in x.reshape(-1, *x.shape[-2:]):
                planes.append(denoiser(plane, level, (0.0, 0.0)))
                yield
            return np.stack(planes).reshape(x.shape)

        unit = np.float32(channel.sigma)  # scaled to noise of about 1, float32 has room on both sides
        factor = self.strength * channel.rise

        def weigh(clean: NDArray[np.float32]) -> NDArray[np.float32]:
            sigma = np.maximum(channel.noise.sigma_at(clean * unit + channel.centre), channel.least_sigma)
            return (seen * np.square(channel.sigma / (factor * sigma))).astype(np.float32)

        heaviest = (channel.sigma / (factor * channel.least_sigma)) ** 2
        levels = schedule(channel.first_level / channel.sigma, factor, self.iterations)
        sharp = yield from plug_and_play(image / unit, weigh, heaviest, Blur(self.psf, image.shape), prior, levels)
        return sharp * unit

    def _richardson_lucy(self, image: NDArray[np.float32], seen: NDArray[np.bool_], channel: Channel) -> Any:
        dark = np.float32(channel.background - channel.centre)
        photons = yield from richardson_lucy(
            (image - dark) / np.float32(channel.gain),
            seen.astype(np.float32),
            Blur(self.psf, image.shape),
            background=channel.read_variance,
            dark=_DARK * channel.mean,
            iterations=self.iterations,
            tv=_TV * self.strength,
        )
        return photons * np.float32(channel.gain) + dark

    def _order(self) -> list[int]:
        """The dimensions of a block, those that the PSF spans last."""
        spatial = [self.axes.letters.index(letter) for letter in "ZYX"[-self.psf.ndim :]]
        return [i for i in range(len(self.axes)) if i not in spatial] + spatial

    def _spatial(self, block: NDArray[Any]) -> NDArray[Any]:
        ordered = block.transpose(self._order())
        return ordered.reshape(ordered.shape[-self.psf.ndim :])

    def _like(self, block: NDArray[Any], image: NDArray[Any]) -> NDArray[Any]:
        order = self._order()
        return image.reshape([block.shape[i] for i in order]).transpose(np.argsort(order))


def _filled(image: NDArray[Any], centre: float) -> NDArray[Any]:
    planes = image.reshape(-1, *image.shape[-2:])
    return np.stack([fill_non_finite(plane, centre)[0] for plane in planes]).reshape(image.shape)
