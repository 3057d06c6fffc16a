"""Tile geometry, in integers: which region to read, which part of the result to keep, and where to write it.

The grid is anchored at zero and does not depend on how the source is stored. A tile is read with a `halo` around it
that is computed and thrown away, so that with a halo of at least the model's receptive field the tiled result equals
the whole. Tiles and halos are multiples of the model's stride: every tile then starts on the model's own grid.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from napari_genrecon.errors import OptionError

__all__ = ["MIDDLE", "Core", "Region", "Tile", "TileGrid", "middle"]

Core = tuple[tuple[int, int], ...]
"""The pixels one tile answers for: (start, stop) per dimension, in source pixels."""

Region = tuple[slice, ...]

MIDDLE = 1024  # pixels a side of the middle that stands for a plane: more takes seconds and tells nothing new


@dataclass(frozen=True, slots=True)
class Tile:
    """Regions of one tile in the source, the computed block and the output.

    Attributes
    ----------
    src : tuple of slice
        Part of the source to read (core plus halo, cut at the image's edge).
    crop : tuple of slice
        Part of the computed block to keep (the core, in output pixels).
    dst : tuple of slice
        Part of the output to write it to.
    """

    src: Region
    crop: Region
    dst: Region

    def channel(self, axis: int | None) -> int:
        """Return the index along the dimension of the channels, of which a tile has one; 0 if there is none."""
        return 0 if axis is None else int(self.src[axis].start)


@dataclass(frozen=True, slots=True)
class TileGrid:
    """Division of an array into tiles.

    Attributes
    ----------
    shape : tuple of int
        Shape of the source.
    tile : tuple of int
        Size of a tile's core, per dimension.
    halo : tuple of int
        Pixels read around the core, per dimension; 0 where planes are independent.
    scale : tuple of int
        Output pixels per source pixel, per dimension.
    stride : tuple of int
        What is read for a tile starts at a multiple of this, per dimension.
    window : tuple of (int, int), optional
        Part of the source that is computed, in its pixels; the output holds nothing else. What lies around it is read
        as halo. None is all of it.
    """

    shape: tuple[int, ...]
    tile: tuple[int, ...]
    halo: tuple[int, ...]
    scale: tuple[int, ...]
    stride: tuple[int, ...]
    window: Core | None = None

    def __post_init__(self) -> None:
        lengths = {len(v) for v in (self.shape, self.tile, self.halo, self.scale, self.stride)}
        if len(lengths) != 1:
            raise OptionError(f"shape, tile, halo, scale and stride must have one length, got {sorted(lengths)}")
        for tile, halo, stride in zip(self.tile, self.halo, self.stride, strict=True):
            if tile < 1 or halo < 0 or tile % stride or halo % stride:
                raise OptionError(f"tile {self.tile} and halo {self.halo} must be multiples of {self.stride}")

    @property
    def out_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return tuple(n * s for n, s in zip(self.lengths, self.scale, strict=True))

    @property
    def core(self) -> Core:
        """The pixels that are computed: those of the window, or all."""
        return self.window or tuple((0, n) for n in self.shape)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of pixels that are computed, per dimension."""
        return tuple(b - a for a, b in self.core)

    def within(self, region: Region) -> TileGrid:
        """Return the grid that computes a region only."""
        # Resolves None and negative numbers, and ends at the image's edge.
        ends = [part.indices(n)[:2] for part, n in zip(region, self.shape, strict=True)]
        return replace(self, window=tuple(ends))

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """Sizes of the tiles in source pixels, per dimension.

        A last piece smaller than the halo joins the one before it: it would cost more border than it has pixels.
        """
        return tuple(_pieces(n, t, h) for n, t, h in zip(self.lengths, self.tile, self.halo, strict=True))

    @property
    def spans(self) -> tuple[list[tuple[int, int]], ...]:
        """Start and stop of the tiles in the source, per dimension."""
        # The pieces add up to the window, which starts anywhere in the source.
        return tuple(_spans(sizes, a) for sizes, (a, _) in zip(self.chunks, self.core, strict=True))

    @property
    def out_chunks(self) -> tuple[tuple[int, ...], ...]:
        """Sizes of the tiles in output pixels, per dimension: the chunks of a lazy result."""
        return tuple(tuple(n * s for n in sizes) for sizes, s in zip(self.chunks, self.scale, strict=True))

    @property
    def n_tiles(self) -> int:
        """Number of tiles."""
        return math.prod(len(sizes) for sizes in self.chunks)

    @property
    def read_share(self) -> float:
        """Pixels computed per pixel kept, halos included (1.0 means no overlap)."""
        per_axis = (
            # A halo ends at the edge of the image, not at that of the window.
            sum(min(b + h, n) - max(a - h, 0) for a, b in spans) / length
            for spans, h, n, length in zip(self.spans, self.halo, self.shape, self.lengths, strict=True)
        )
        return math.prod(per_axis)

    @property
    def pixels_read(self) -> float:
        """Number of pixels that are computed, halos included."""
        return math.prod(self.lengths) * self.read_share

    def coarse(self) -> TileGrid:
        """Return a grid whose tiles are at least as large as their halo, which overlapping dask chunks need."""
        tile = tuple(max(t, h) for t, h in zip(self.tile, self.halo, strict=True))
        return replace(self, tile=tile)

    def cores(self) -> Iterator[Core]:
        """Iterate over the cores of all tiles, in C order; every pixel that is computed is in exactly one."""
        yield from itertools.product(*self.spans)

    def tiles(self) -> Iterator[Tile]:
        """Iterate over all tiles, in C order."""
        return (self.tile_of(core) for core in self.cores())

    def tile_of(self, core: Core) -> Tile:
        """Return the regions to read, keep and write for one core."""
        # The halo ends at the edge of the image, so that the core may begin anywhere in what was read.
        src = [
            # Rounded down to the stride, as a window may begin beside it.
            (max(a - h, 0) // s * s, min(b + h, n))
            for (a, b), h, s, n in zip(core, self.halo, self.stride, self.shape, strict=True)
        ]
        # `crop` counts from the start of the block, `dst` from that of the window; both are in output pixels.
        crop = [slice((a - lo) * s, (b - lo) * s) for (a, b), (lo, _), s in zip(core, src, self.scale, strict=True)]
        dst = [slice((a - o) * s, (b - o) * s) for (a, b), (o, _), s in zip(core, self.core, self.scale, strict=True)]
        return Tile(tuple(slice(lo, hi) for lo, hi in src), tuple(crop), tuple(dst))

    def halved(self, size: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return a core's size halved along its longest dimension, on the stride; None if it cannot be smaller.

        A core shorter than its own halo would spend most of its work on pixels that are thrown away.
        """
        axis = max(range(len(size)), key=lambda i: size[i])
        # Rounded up, so that the second part begins on the stride; a core of one stride stays whole.
        half = -(-size[axis] // (2 * self.stride[axis])) * self.stride[axis]
        if half >= size[axis] or half < self.halo[axis]:
            return None
        return (*size[:axis], half, *size[axis + 1 :])

    @staticmethod
    def split(core: Core, size: tuple[int, ...]) -> list[Core]:
        """Cut a core into cores of at most this size, in C order."""
        ranges = (
            [(a, min(a + n, stop)) for a in range(start, stop, n)] for (start, stop), n in zip(core, size, strict=True)
        )
        return list(itertools.product(*ranges))


def middle(length: int, side: int) -> slice:
    """Return the middle of a dimension: `side` pixels of it, or all.

    >>> middle(10, 4), middle(3, 4)
    (slice(3, 7, None), slice(0, 3, None))
    """
    start = max(length - side, 0) // 2
    return slice(start, min(start + side, length))


def _pieces(length: int, tile: int, halo: int) -> tuple[int, ...]:
    whole, rest = divmod(length, tile)
    pieces = [tile] * whole
    if rest >= halo or not pieces:
        pieces += [rest] * bool(rest)
    else:
        pieces[-1] += rest
    return tuple(pieces)


def _spans(sizes: tuple[int, ...], start: int = 0) -> list[tuple[int, int]]:
    stops = [start + stop for stop in itertools.accumulate(sizes)]
    return [(stop - size, stop) for stop, size in zip(stops, sizes, strict=True)]
