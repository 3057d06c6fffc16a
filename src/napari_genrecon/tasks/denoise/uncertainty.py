"""Estimate how far a denoised image is from the truth, at every pixel, from the denoiser itself.

A denoiser of least mean squared error knows its own error: given the noisy image, the covariance of the truth is the
denoiser's Jacobian J times the covariance C of the noise, for white noise ``sigma**2 J`` (Manor & Michaeli, "On the
posterior distribution in denoising: application to uncertainty quantification", ICLR 2024, arXiv:2309.13598). Its
diagonal is the mean of ``z * (J z)`` over random z with covariance C (Bekas, Kokiopoulou & Saad, Appl. Numer. Math. 57,
2007, doi:10.1016/j.apnum.2007.01.003), and ``J z`` is the difference that a little more noise makes.

A few probes are enough where their mean is smoothed. That the network is not quite a denoiser of least error is made
good by one factor, measured on simulated scenes.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_genrecon.engine.intensity import as_plane
from napari_genrecon.engine.tiles import Tile
from napari_genrecon.errors import OptionError
from napari_genrecon.models import ModelCard
from napari_genrecon.noise.model import FAR
from napari_genrecon.noise.second_look import PROBE
from napari_genrecon.normal import REACH
from napari_genrecon.tasks.denoise.planes import Channel, DenoisePlanes, Prepared

__all__ = ["TITLE", "ErrorPlanes", "check_uncertainty"]

TITLE = "expected error"

_PROBES = 4
_SEED = 0  # of the probes: another one would make another image of the error than the record says
_NEAR, _WIDE = 3.0, 6.0  # pixels, s.d. of the windows over which the probes are averaged
_LEAST = 0.2  # of the mean over the wide window; four probes may add up to less than nothing
_FACTOR = 0.95  # on the s.d.; measured with `python tools/benchmark.py uncertainty --only calibration --quick`


@dataclass(frozen=True, slots=True)
class ErrorPlanes:
    """Estimates the error of the one plane of a tile: a plain value, so that it can be sent to other processes.

    Parameters
    ----------
    planes : DenoisePlanes
        How a plane is denoised.
    """

    planes: DenoisePlanes

    def __call__(self, block: NDArray[Any], tile: Tile) -> Generator[None, None, NDArray[np.float32]]:
        """Return the expected error of a block of one plane, a standard deviation in grey values.

        It is 0 where there was no noise to remove, and NaN at pixels that were not denoised, such as hot ones.
        """
        channel = self.planes.channel_of(tile)
        if channel is None:
            return np.zeros(block.shape, np.float32)
        prepared = self.planes.prepare(as_plane(block, self.planes.axes), channel)
        # Manor & Michaeli need the denoiser of least error, which removes exactly the noise that there is.
        best = replace(self.planes, strength=1.0).clean
        middle = best(prepared.stabilised, channel)
        yield
        variance = np.zeros_like(middle)
        for probe in self._probes(channel, tile):
            # z * (J z), where J z is the difference that a step along z makes, divided by the step below.
            variance += probe * (best(prepared.stabilised + np.float32(PROBE) * probe, channel) - middle)
            yield
        # Mean over the probes, in units of the noise variance, which is 1 after the transform.
        variance *= np.float32(_FACTOR**2 / (_PROBES * PROBE))
        # Few probes leave a noisy mean, negative in places: it is smoothed, and kept above a part of its surroundings.
        variance = np.maximum(_smooth(variance, _NEAR), _LEAST * np.maximum(_smooth(variance, _WIDE), 0))
        made = middle
        if self.is_changed:  # what the result is further from the truth than the best one, given the image
            made = yield from self._made(prepared, channel)
            variance += _smooth((made - middle) ** 2, _NEAR)
        error = self._in_grey_values(made, np.sqrt(variance), channel)
        return np.where(prepared.kept, np.float32(np.nan), error).reshape(block.shape)

    @property
    def is_changed(self) -> bool:
        """Whether the result is another than that of least error."""
        return bool(self.planes.strength != 1 or self.planes.blend)

    @property
    def passes(self) -> int:
        """How often the network runs over a tile."""
        return _PROBES + 1 + self.is_changed

    @property
    def spec(self) -> ModelCard:
        """The card by which tiles are planned: the window reaches beyond the halo of the network."""
        # `halo` ends on the stride, as that of every network has to.
        card, reach = self.planes.planned, round(REACH * _WIDE)
        ends = [n + -(-reach // s) * s for n, s in ((card.halo.y, card.stride.y), (card.halo.x, card.stride.x))]
        return replace(card, halo=card.halo._replace(y=ends[0], x=ends[1]))

    def facts(self) -> dict[str, Any]:
        """Return the record's entry."""
        return {"probes": _PROBES, "step": PROBE, "smoothing_px": _NEAR, "factor": _FACTOR}

    def _made(self, prepared: Prepared, channel: Channel) -> Generator[None, None, NDArray[np.float32]]:
        made = self.planes.clean(prepared.stabilised, channel)
        yield
        blend = np.float32(self.planes.blend)
        return (1 - blend) * made + blend * prepared.stabilised

    def _probes(self, channel: Channel, tile: Tile) -> Generator[NDArray[np.float32], None, None]:
        """Yield probes of the place of a tile in the image: every tile sees the same ones."""
        axes = self.planes.axes
        plane = [part.start for axis, part in enumerate(tile.src) if axis not in (axes.y, axes.x)]
        # Each plane has its probes at another place.
        # A probe repeats beyond what influences a pixel: at a power of two, for the Fourier transform.
        halo = self.planes.spec.halo
        period = 1 << (2 * max(halo.y, halo.x)).bit_length()
        moved = np.random.default_rng([_SEED, *plane]).integers(period, size=2)
        rows, columns = (
            (np.arange(tile.src[axis].start, tile.src[axis].stop) + by) % period
            for axis, by in zip((axes.y, axes.x), moved, strict=True)
        )
        for pattern in _patterns(channel.noise.correlations, period):
            yield pattern[np.ix_(rows, columns)]

    def _in_grey_values(
        self, made: NDArray[np.float32], error: NDArray[np.float32], channel: Channel
    ) -> NDArray[np.float32]:
        """Return half of the way between the grey values one s.d. above and below the result."""
        middle = made + np.float32(channel.centre)
        above, below = (channel.transform.inverse(middle + sign * error, dtype=np.float64) for sign in (1, -1))
        return np.asarray(np.abs(above - below) / 2, np.float32)


def _smooth(plane: NDArray[np.float32], width: float) -> NDArray[np.float32]:
    return np.asarray(gaussian_filter(plane, width), np.float32)


@lru_cache(maxsize=8)
def _patterns(correlations: tuple[float, ...], period: int) -> NDArray[np.float32]:
    """Return the probes (K, Y, X), periodic and of variance 1: signs at random, with the correlations of the noise."""
    # With signs, z * z is exactly 1: the estimate is less noisy than with normal random numbers.
    signs = np.random.default_rng(_SEED).choice([-1.0, 1.0], (_PROBES, period, period))
    along_x, along_y = np.reshape(correlations, (2, -1))
    power = np.outer(_power(along_y, period), _power(along_x, period))
    # Filtered by the root of the power spectrum, whose mean of 1 keeps the variance.
    return np.asarray(np.fft.ifft2(np.fft.fft2(signs) * np.sqrt(power / power.mean())).real, np.float32)


def _power(correlations: NDArray[Any], period: int) -> NDArray[np.float64]:
    """Return the power spectrum of noise along one axis, from its correlations at distances of 1 and `FAR`."""
    # In between straight lines, and 0 beyond the last measured distance.
    known = [0, 1, *FAR, FAR[-1] + 1]
    near = np.interp(np.arange(known[-1] + 1), known, [1.0, *correlations, 0.0])
    covariance = np.zeros(period)
    covariance[: len(near)] = near
    # A covariance is even: negative distances stand at the end, as the transform has them.
    covariance[-len(near) + 1 :] = near[:0:-1]
    # Measured correlations need not be those of any noise: negative power is none.
    return np.maximum(np.fft.fft(covariance).real, 0.0)


def check_uncertainty(spec: ModelCard, *, fused: bool) -> None:
    """Refuse what no error can be estimated of.

    Raises
    ------
    OptionError
        If the network is not told the noise, or frames are denoised with their neighbours.
    """
    if spec.scaling or "sigma" not in spec.told:
        raise OptionError(
            f"uncertainty needs a denoiser that is told how strong the noise is, and the model {spec.name!r} is not: "
            "leave it out, or choose the model 'auto'"
        )
    if fused:
        raise OptionError(
            "uncertainty is not known of frames that are denoised with their neighbours: choose frames 'none', or "
            "leave it out"
        )
