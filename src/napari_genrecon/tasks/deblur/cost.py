"""Measure how long the parts of a deblurring take on this machine."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from napari_genrecon.models import ModelCard, fourier_filter, load_network
from napari_genrecon.numerics.blur import Blur, domain_shape
from napari_genrecon.tasks.deblur.tiles import Method

__all__ = ["Cost", "measure_cost"]

# Seconds of an iteration without the denoiser, in those of a blur: 52 to 74 were measured for plug-and-play on domains
# of 0.1 to 2.5 megavoxels, 3.0 to 4.6 for Richardson-Lucy.
_BLURS = {"pnp": 62.0, "rl": 3.3}  # in seconds of a blur; only expected times and progress use it


@dataclass(frozen=True, slots=True)
class Cost:
    """Time that a tile takes.

    Attributes
    ----------
    psf : tuple of int
        Shape of the PSF.
    iterations : int
        Iterations per tile.
    voxel : float
        Seconds that an iteration takes per voxel of the domain, without the denoiser.
    pixel : float
        Seconds that the denoiser takes per pixel; 0 where there is none.
    """

    psf: tuple[int, ...]
    iterations: int
    voxel: float
    pixel: float

    def steps(self, shape: tuple[int, ...]) -> list[float]:
        """Return the seconds of every step of a tile that reads (Y, X) or (Z, Y, X) pixels.

        An iteration is the data step and then one step per plane that is denoised. The end of the tile is a step, too,
        which takes next to no time.
        """
        # The denoiser runs on what is lit, the data step on the domain, which is larger; see `Blur`.
        lit = [n + k - 1 for n, k in zip(shape, self.psf, strict=True)]
        data = self.voxel * math.prod(domain_shape(self.psf, shape))
        # One step for each plane, as the denoiser knows no depth.
        planes = [self.pixel * math.prod(lit[-2:])] * (math.prod(lit[:-2]) if self.pixel else 0)
        return [*([data, *planes] * self.iterations), 0.0]

    def seconds(self, shape: tuple[int, ...]) -> float:
        """Return the seconds of a whole tile."""
        return sum(self.steps(shape))


def measure_cost(
    psf: tuple[int, ...],
    shape: tuple[int, ...],
    method: Method,
    iterations: int,
    spec: ModelCard,
    device: str,
    precision: str,
) -> Cost:
    """Time one blur of a tile, for a PSF and a tile of these shapes, and the denoiser."""
    pixel = load_network(spec, device, precision=precision).seconds_per_pixel() if method == "pnp" else 0.0
    return Cost(psf, iterations, _BLURS[method] * _blur_seconds(psf, shape, device), pixel)


@lru_cache(maxsize=16)
def _blur_seconds(psf: tuple[int, ...], shape: tuple[int, ...], device: str) -> float:
    """Return the seconds of a blur per voxel of the domain: the better of two runs."""
    # Values do not change the time of a transform: a level PSF and an image of zeros do.
    blur = Blur(np.full(psf, 1 / math.prod(psf)), shape, fourier_filter(device))
    x, seconds = np.zeros(blur.shape, np.float32), []
    for _ in range(3):  # the first run also plans the transforms and does not count
        started = time.perf_counter()
        blur(x)
        seconds.append(time.perf_counter() - started)
    # The better one: another program may have slowed the other down.
    return min(seconds[1:]) / x.size
