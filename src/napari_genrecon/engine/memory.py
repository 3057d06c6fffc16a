"""Measure free memory, and choose tiles that fit into it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_genrecon.errors import ImageError, OptionError

__all__ = ["allocate", "available_memory", "check_tile", "fit_block", "fit_tile", "keep_newest"]

T = TypeVar("T")

_CGROUP = Path("/sys/fs/cgroup")  # where a container finds its own limit; psutil shows the memory of the whole machine
_KEPT = 4  # entries of a cache: a few changed options find theirs again, and old images leave the memory


def available_memory() -> int:
    """Return the bytes of memory that can still be used, also inside a container."""
    available = int(psutil.virtual_memory().available)
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return available
    # "max" stands there if the container has no limit of its own.
    return available if limit == "max" else max(0, min(available, int(limit) - used))


def keep_newest(cache: dict[str, T], key: str, value: T) -> None:
    """Put a value into a cache as the newest, and let go of the oldest ones."""
    # A dict keeps the place of a key that is set again: taken out first, it becomes the last.
    cache.pop(key, None)
    cache[key] = value
    while len(cache) > _KEPT:
        # With a default, as another thread may let go of the same entry.
        cache.pop(next(iter(cache)), None)


def allocate(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Return an uninitialised array.

    Raises
    ------
    ImageError
        If the array is larger than the available memory.
    """
    # Asked first: Linux grants more memory than there is, and kills the process when it is written to.
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
    """Return the tile, (Y, X), that computes the fewest pixels, halos included, among those that fit.

    Parameters
    ----------
    side : tuple of int
        Height and width of a plane.
    halo, stride : int
        Border and stride of the model, in pixels.
    bytes_per_pixel : int
        Peak memory the model needs per pixel of a tile, halo included.
    budget : int
        Bytes that a tile may take.
    max_pixels : int
        The most pixels a tile may have, halo included, whatever the memory: a run can only be cancelled between tiles.

    Returns
    -------
    tuple of int
        Multiples of `stride`; the smallest possible tile if none fits.
    """
    # Rows and columns need not be cut into equally many pieces: all pairs are compared, and there are few.
    pixels = min(max_pixels, budget // bytes_per_pixel)
    heights, widths = (_even_tiles(n, stride) for n in side)
    fitting = [
        (_computed(side[0], h, halo) * _computed(side[1], w, halo), -h, (h, w))
        for h in heights
        for w in widths
        if _extent(side[0], h, halo) * _extent(side[1], w, halo) <= pixels
    ]
    # Of tiles that compute equally many pixels the highest one; where none fits, the smallest is tried.
    return min(fitting)[2] if fitting else (heights[-1], widths[-1])


def fit_block(
    side: tuple[int, int, int],
    *,
    halo: tuple[int, int],
    stride: int,
    bytes_per_pixel: int,
    budget: int,
    max_pixels: int,
    tile: tuple[int, int] | None = None,
) -> tuple[int, int, int]:
    """Return the tile, (Z, Y, X), that computes the fewest pixels, halos included, among those that fit.

    Parameters
    ----------
    side : tuple of int
        Planes, height and width of a stack.
    halo : tuple of int
        Border of the model along Z, and along Y and X, in pixels.
    stride : int
        Stride of the model along Y and X; along Z tiles begin anywhere.
    bytes_per_pixel, budget, max_pixels
        See `fit_tile`.
    tile : tuple of int, optional
        Height and width, if these are given.

    Returns
    -------
    tuple of int
        The smallest possible tile if none fits.
    """
    pixels = min(max_pixels, budget // bytes_per_pixel)
    found, last = [], (1, 1, 1)
    for planes in _even_tiles(side[0], 1):
        # Planes that a block reads, halo included: its pixels are shared among them.
        seen = _extent(side[0], planes, halo[0])
        height, width = tile or fit_tile(
            side[1:], halo=halo[1], stride=stride, bytes_per_pixel=1, budget=pixels, max_pixels=pixels // seen
        )
        # The thickest blocks come first, so that the last one is the smallest.
        last = (planes, height, width)
        # Checked again, as `fit_tile` returns its smallest tile even where that is too large.
        if seen * _extent(side[1], height, halo[1]) * _extent(side[2], width, halo[1]) <= pixels:
            cost = [_computed(n, t, h) for n, t, h in zip(side, last, (halo[0], halo[1], halo[1]), strict=True)]
            found.append((math.prod(cost), -planes, last))
    return min(found)[2] if found else last


def _even_tiles(side: int, stride: int) -> list[int]:
    """Return the tile sizes that cut a side into 1, 2, 3, … about equal pieces, largest first."""
    # -(-a // b) rounds up, in integers of any size. Most numbers of pieces share a size: few sizes are left.
    most = -(-side // stride)
    return sorted({-(-side // (pieces * stride)) * stride for pieces in range(1, most + 1)}, reverse=True)


def _extent(side: int, tile: int, halo: int) -> int:
    """Return the pixels that the largest tile spans with its halo, which ends at the image's edge."""
    pieces = -(-side // tile)
    return min(side, tile + min(2, pieces - 1) * halo)  # inner tiles have two halos, those at an edge one


def _computed(side: int, tile: int, halo: int) -> int:
    pieces = -(-side // tile)
    return side + 2 * halo * (pieces - 1)  # every cut adds a halo to both sides of it


def check_tile(tile: int | Sequence[int], stride: int) -> tuple[int, int]:
    """Round a tile size from the user, one number or (Y, X), up to the model's stride.

    Raises
    ------
    OptionError
        If it is not a positive number of pixels.
    """
    sides = (tile, tile) if isinstance(tile, int) else tuple(tile)
    if len(sides) != 2 or min(sides) < 1:
        raise OptionError(f"tile must be a positive number of pixels, got {tile} (two numbers are height and width)")
    height, width = (-(-side // stride) * stride for side in sides)
    return height, width
