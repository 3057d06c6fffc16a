"""How much memory there is, and how large a tile may be."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_genrecon.errors import ImageError, OptionError

__all__ = ["allocate", "available_memory", "fit_tile"]

_CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Bytes of memory that can still be used, inside a container too."""
    available = int(psutil.virtual_memory().available)
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return available
    return available if limit == "max" else max(0, min(available, int(limit) - used))


def allocate(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """An uninitialised array, or a sentence that says why there is no room for it.

    Raises
    ------
    ImageError
        If the array is larger than the available memory.
    """
    needed, free = math.prod(shape) * dtype.itemsize, available_memory()
    if needed > free:
        raise ImageError(
            f"the result, {shape} {dtype}, needs {needed / 1e9:.1f} GB but only {free / 1e9:.1f} GB of memory is free: "
            "pass a dask or Zarr array to get a lazy result, or process a part"
        )
    return np.empty(shape, dtype)


def fit_tile(
    side: tuple[int, int], *, halo: int, stride: int, bytes_per_pixel: int, budget: int, max_pixels: int
) -> tuple[int, int]:
    """The tile, (Y, X), that covers a plane in the fewest even pieces that fit.

    Parameters
    ----------
    side : tuple of int
        Height and width of a plane.
    halo, stride : int
        Of the model, in pixels.
    bytes_per_pixel : int
        Peak memory the model needs per pixel of a tile, halo included.
    budget : int
        Bytes that a tile may take.
    max_pixels : int
        The most pixels a tile may have, halo included, whatever the memory: a run can only be cancelled between tiles.

    Returns
    -------
    tuple of int
        Multiples of `stride`; at least one.
    """
    pixels = max(1, min(max_pixels, budget // bytes_per_pixel))
    height = _even_tile(side[0], max(stride, math.isqrt(pixels) - 2 * halo), stride)
    # A plane that is flatter than a square leaves room for wider tiles.
    width = _even_tile(side[1], max(stride, pixels // (min(height, side[0]) + 2 * halo) - 2 * halo), stride)
    return height, width


def _even_tile(side: int, longest: int, stride: int) -> int:
    pieces = -(-side // longest)
    return -(-side // (pieces * stride)) * stride


def check_tile(tile: int, stride: int) -> int:
    """A tile size asked for by hand, rounded up to the model's stride.

    Raises
    ------
    OptionError
        If it is not a positive number of pixels.
    """
    if tile < 1:
        raise OptionError(f"tile must be a positive number of pixels, got {tile}")
    return -(-tile // stride) * stride
