"""Say where a denoised image can be trusted least, from its expected error."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.noise import NoiseModel

__all__ = ["Expected", "expected_of", "expected_plane"]

_MUCH = 0.5  # of the noise s.d., as the report says it: with a larger error denoising gained less than a factor of two


@dataclass(frozen=True, slots=True)
class Expected:
    """Expected error of an image, or of one plane of it.

    Attributes
    ----------
    pixels : int
        Pixels whose error is known.
    error2, noise2 : float
        Sums of its square and of the variance of the noise, in grey values.
    much : int
        Pixels whose expected error is more than half of the noise s.d.
    ratio : float
        The largest expected error, in noise s.d. of its pixel; negative if none is known.
    plane, y, x, at : tuple of int, int, int, float
        Where that is, and the expected error there in grey values.
    """

    pixels: int = 0
    error2: float = 0.0
    noise2: float = 0.0
    much: int = 0
    ratio: float = -1.0
    plane: tuple[int, ...] = ()
    y: int = 0
    x: int = 0
    at: float = 0.0

    def __str__(self) -> str:
        if not self.error2 or not self.noise2:
            return "expected error: none, as no noise was removed"
        # Variances of pixels add up, and their s.d. do not: the root is taken of the mean.
        error, noise = (math.sqrt(total / self.pixels) for total in (self.error2, self.noise2))
        where = f"plane {', '.join(map(str, self.plane))}, " if self.plane else ""
        return (
            f"expected error: {error:.3g} grey values (s.d.) where the noise had {noise:.3g}; it is more than half of "
            f"the noise in {100 * self.much / self.pixels:.2g} % of the pixels; the result can be trusted least around "
            f"{where}y {self.y}, x {self.x} ({self.at:.3g} grey values)"
        )


def expected_plane(
    error: NDArray[np.floating], restored: NDArray[np.floating], noise: NoiseModel, plane: tuple[int, ...]
) -> Expected:
    """Return the figures of one plane.

    Parameters
    ----------
    error, restored : (Y, X) ndarray
        Expected error and result in grey values; not finite where they are not known.
    noise : NoiseModel
        Noise of the image.
    plane : tuple of int
        Indices of the plane.
    """
    known = np.isfinite(error) & np.isfinite(restored)
    # NaN has no noise; any number will do, as these pixels are left out below.
    sigma = noise.sigma_at(np.where(known, restored, 0.0))
    # -1 lies below every real ratio, so that the largest is never at an unknown pixel.
    ratio = np.divide(error, sigma, out=np.full(error.shape, -1.0), where=known & (sigma > 0))
    y, x = np.unravel_index(int(ratio.argmax()), ratio.shape)
    return Expected(
        pixels=int(known.sum()),
        # In float64: sums over millions of pixels lose digits in float32.
        error2=float((error[known].astype(np.float64) ** 2).sum()),
        noise2=float((sigma[known] ** 2).sum()),
        much=int((ratio > _MUCH).sum()),
        ratio=float(ratio[y, x]),
        plane=plane,
        y=int(y),
        x=int(x),
        at=float(error[y, x]) if ratio[y, x] >= 0 else 0.0,
    )


def expected_of(planes: Iterable[Expected]) -> Expected:
    """Return the figures of all planes together; at least one."""
    found = list(planes)
    worst = max(found, key=lambda each: each.ratio)
    return Expected(
        pixels=sum(each.pixels for each in found),
        error2=sum(each.error2 for each in found),
        noise2=sum(each.noise2 for each in found),
        much=sum(each.much for each in found),
        ratio=worst.ratio,
        plane=worst.plane,
        y=worst.y,
        x=worst.x,
        at=worst.at,
    )
