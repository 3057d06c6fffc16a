"""Deblur one tile: a plane, or a whole stack if the PSF is three-dimensional."""

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
from napari_genrecon.models import ModelCard, fourier_filter, load_network
from napari_genrecon.noise import NoiseModel
from napari_genrecon.numerics.blur import Blur
from napari_genrecon.numerics.plug_and_play import plug_and_play, schedule
from napari_genrecon.numerics.richardson_lucy import richardson_lucy

__all__ = ["Channel", "DeblurTiles", "Method"]

Method = Literal["pnp", "rl"]

_DARK = 1e-4  # least value of Richardson-Lucy as a share of the mean: 0 could never become light again
_TV = 0.02  # px, weight of total variation in Richardson-Lucy at strength 1: more flattens, less leaves the noise
# Noise s.d. up to which the denoiser may compute in bfloat16: the iterations amplify its error, to 0.05 noise s.d. at a
# contrast of 6 and 0.19 at 25 (tests/models/test_precision.py).
_LOW_CONTRAST = 5.0


@dataclass(frozen=True, slots=True)
class Channel:
    """Constants of one channel, measured over the whole image.

    Attributes
    ----------
    noise : NoiseModel
        Noise in grey values.
    centre : float
        Median grey value.
    first_level : float
        Noise s.d. that the denoiser removes in the first iteration, in grey values; positive.
    sigma : float
        Root mean square of the noise s.d. over the image, in grey values; positive.
    least_sigma : float
        Noise s.d. of the darkest parts, in grey values; positive.
    rise : float
        Noise s.d. at low frequencies, which are all that blur leaves of an image, relative to white noise.
    background : float
        Grey value of no light, for Richardson-Lucy.
    gain : float
        Grey values per photo-electron; for other noise the value that makes Poisson noise of about the same strength.
    read_variance : float
        Variance of the read noise in photo-electrons squared.
    mean : float
        Mean above the background, in photo-electrons; positive.
    missing : tuple of float
        Grey values of padding; such pixels are treated as unknown.
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
    """Tile function that deblurs; a plain value, so that it can be sent to other processes."""

    axes: Axes
    channels: tuple[Channel | None, ...]  # None: nothing to do
    psf: NDArray[np.float64]
    method: Method
    iterations: int
    strength: float
    spec: ModelCard
    device: str
    precision: str = "float32"

    def __call__(self, block: NDArray[Any], tile: Tile) -> Generator[None, None, NDArray[Any]]:
        """Deblur a block; `tile` tells which channel it belongs to."""
        index = tile.channel(self.axes.channel)
        # The alpha channel of an RGBA image comes last and has no constants.
        channel = self.channels[index] if index < len(self.channels) else None
        return block if channel is None else (yield from self._deblur(block, channel))

    def _deblur(self, block: NDArray[Any], channel: Channel) -> Generator[None, None, NDArray[Any]]:
        image = self._spatial(block)
        # 32-bit integers need float64, which holds all of them exactly.
        image = image.astype(np.float32 if image.dtype.itemsize <= 2 else np.float64, copy=False)
        # Padding becomes NaN here, and is treated like NaN of the image from here on.
        seen = without_missing(image, channel.missing)
        bad = ~np.isfinite(seen)
        filled = (_filled(seen, channel.centre) - channel.centre).astype(np.float32)
        method = self._plug_and_play if self.method == "pnp" else self._richardson_lucy
        sharp = yield from method(filled, ~bad, channel)
        # Unknown pixels keep the value of the input: NaN stays NaN, and padding its grey value.
        result = np.where(bad, image, sharp.astype(image.dtype) + channel.centre)
        return self._like(block, result)

    def _plug_and_play(self, image: NDArray[np.float32], seen: NDArray[np.bool_], channel: Channel) -> Any:
        # By the tile, not by the image: bright tiles alone need the slower float32.
        low = np.abs(image).max() <= _LOW_CONTRAST * channel.sigma
        denoiser = load_network(self.spec, self.device, precision=self.precision if low else "float32")

        def prior(x: NDArray[np.float32], level: float) -> Generator[None, None, NDArray[np.float32]]:
            planes = []
            for plane in x.reshape(-1, *x.shape[-2:]):
                # White noise of this level, as the splitting assumes, whatever the noise of the image is like.
                planes.append(denoiser(plane, level, (0.0, 0.0)))
                yield
            return np.stack(planes).reshape(x.shape)

        unit = np.float32(channel.sigma)  # scaled to noise of about 1, squares neither overflow nor vanish in float32
        # Deblurring acts on low frequencies, where correlated noise is stronger than its s.d. per pixel says.
        factor = self.strength * channel.rise

        def weigh(clean: NDArray[np.float32]) -> NDArray[np.float32]:
            # Weight of every pixel in the data step: its inverse noise variance, 0 where it is unknown.
            # The noise model is in grey values of the image, the estimate in units about the centre.
            sigma = np.maximum(channel.noise.sigma_at(clean * unit + channel.centre), channel.least_sigma)
            return (seen * np.square(channel.sigma / (factor * sigma))).astype(np.float32)

        # The weight at the least noise of the image, the same in every tile: it sets the preconditioner, and tiles must
        # agree.
        heaviest = (channel.sigma / (factor * channel.least_sigma)) ** 2
        levels = schedule(channel.first_level / channel.sigma, factor, self.iterations)
        sharp = yield from plug_and_play(image / unit, weigh, heaviest, self._blur(image.shape), prior, levels)
        return sharp * unit

    def _richardson_lucy(self, image: NDArray[np.float32], seen: NDArray[np.bool_], channel: Channel) -> Any:
        # The background relative to the centre, which was subtracted from `image` already.
        dark = np.float32(channel.background - channel.centre)
        photons = yield from richardson_lucy(
            (image - dark) / np.float32(channel.gain),
            seen.astype(np.float32),
            self._blur(image.shape),
            background=channel.read_variance,
            dark=_DARK * channel.mean,
            iterations=self.iterations,
            tv=_TV * self.strength,
        )
        return photons * np.float32(channel.gain) + dark

    def _blur(self, shape: tuple[int, ...]) -> Blur:
        return Blur(self.psf, shape, fourier_filter(self.device))

    def _order(self) -> list[int]:
        """Return the order of a block's dimensions in which those of the PSF come last."""
        spatial = [self.axes.letters.index(letter) for letter in "ZYX"[-self.psf.ndim :]]
        return [i for i in range(len(self.axes)) if i not in spatial] + spatial

    def _spatial(self, block: NDArray[Any]) -> NDArray[Any]:
        """Return a block as (Y, X) or (Z, Y, X), like the PSF: all other dimensions of a tile have length 1."""
        ordered = block.transpose(self._order())
        return ordered.reshape(ordered.shape[-self.psf.ndim :])

    def _like(self, block: NDArray[Any], image: NDArray[Any]) -> NDArray[Any]:
        """Return a (Y, X) or (Z, Y, X) image with the dimensions of the block: the inverse of `_spatial`."""
        order = self._order()
        return image.reshape([block.shape[i] for i in order]).transpose(np.argsort(order))


def _filled(image: NDArray[Any], centre: float) -> NDArray[Any]:
    planes = image.reshape(-1, *image.shape[-2:])
    return np.stack([fill_non_finite(plane, centre)[0] for plane in planes]).reshape(image.shape)
