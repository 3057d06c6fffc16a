"""How long the parts of a deblurring take on this machine."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.models import ModelSpec, load_denoiser
from napari_genrecon.numerics.blur import Blur, domain_shape
from napari_genrecon.tasks.deblur.tiles import Method

__all__ = ["Cost", "measure_cost"]

# How many blurs take as long as what else an iteration does beside the denoiser: 52 to 74 were measured for
# plug-and-play on domains of 0.1 to 2.5 megavoxels, 3.3 to 4.6 for Richardson-Lucy.
_BLURS = {"pnp": 62.0, "rl": 3.7}


@dataclass(frozen=True, slots=True)
class Cost:
    """Times of a tile.

    Attributes
    ----------
    psf : tuple of int
        Shape of the PSF.
    iterations : int
        Of a tile.
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
        """Seconds of every step of a tile that reads (Y, X) or (Z, Y, X) pixels: data, then plane by plane."""
        lit = [n + k - 1 for n, k in zip(shape, self.psf, strict=True)]
        data = self.voxel * math.prod(domain_shape(self.psf, shape))
        planes = [self.pixel * math.prod(lit[-2:])] * (math.prod(lit[:-2]) if self.pixel else 0)
        return [*([data, *planes] * self.iterations), 0.0]

    def seconds(self, shape: tuple[int, ...]) -> float:
        """Of a whole tile."""
        return sum(self.steps(shape))


def measure_cost(
    psf: NDArray[np.float64], shape: tuple[int, ...], method: Method, iterations: int, spec: ModelSpec, device: str
) -> Cost:
    """Time one blur of a tile of that shape, and the denoiser."""
    blur = Blur(psf, shape)
    x = np.zeros(blur.shape, np.float32)
    blur(x)  # the first one plans the transforms
    started = time.perf_counter()
    blur(x)
    voxel = _BLURS[method] * (time.perf_counter() - started) / x.size
    pixel = load_denoiser(spec, device).seconds_per_pixel() if method == "pnp" else 0.0
    return Cost(psf.shape, iterations, voxel, pixel)
