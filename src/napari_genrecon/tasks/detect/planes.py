"""Read an image part by part, bring its noise to s.d. 1, and find the maxima of the filters."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_genrecon.arrays import ImageArray, as_numpy
from napari_genrecon.axes import Axes
from napari_genrecon.engine.intensity import fill_non_finite, measure_centre
from napari_genrecon.engine.missing import find_missing, without_missing
from napari_genrecon.engine.run import Progress, halves
from napari_genrecon.engine.tiles import Core, Tile, TileGrid
from napari_genrecon.errors import OutOfMemoryError
from napari_genrecon.noise import NoiseModel, Stabiliser, fill_hot, measure_hot_fraction, stabiliser
from napari_genrecon.numerics.blobs.filters import Blobs, joined
from napari_genrecon.tasks.detect.finders import Finder

__all__ = ["Channel", "Found", "channel_of", "find_steps", "prepared", "search_grid", "spatial_axes"]

_Searched = tuple[Blobs, int, NDArray[np.intp]]  # of a tile: see `Found`
_Part = tuple[tuple[int, ...], Blobs, int, NDArray[np.intp]]  # with where it is among the planes


@dataclass(frozen=True, slots=True)
class Channel:
    """Constants of one channel, measured over the whole image."""

    noise: NoiseModel
    transform: Stabiliser
    fill: float  # grey value for pixels that are not finite
    missing: tuple[float, ...]  # grey values of padding


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Maxima of one channel.

    Attributes
    ----------
    blobs : Blobs
        The maxima.
    outer : (N, K) ndarray of int
        Index of each along the dimensions in which planes are separate.
    pixels : int
        Number of pixels that have a value.
    unseen : (L,) ndarray of int
        For each filter, how many of these are so near to one without a value that nothing is looked for there.
    """

    blobs: Blobs
    outer: NDArray[np.intp]
    pixels: int
    unseen: NDArray[np.intp]


def channel_of(crops: list[NDArray[Any]], noise: NoiseModel) -> Channel:
    """Return the constants of a channel from its crops and its noise."""
    missing = find_missing(crops)
    crops = [without_missing(crop, missing) for crop in crops]
    fill = measure_centre(crops)
    noise = replace(noise, hot_fraction=measure_hot_fraction(crops, noise)) if noise.sigma > 0 else noise
    transform = stabiliser(noise if noise.gain or not noise.affine else replace(noise, offset=fill))
    return Channel(noise, transform, fill, missing)


def spatial_axes(axes: Axes, *, volume: bool) -> tuple[int, ...]:
    """Return the indices of the dimensions in which objects extend."""
    return tuple(axes.letters.index(letter) for letter in ("ZYX" if volume else "YX"))


def search_grid(shape: tuple[int, ...], axes: Axes, finder: Finder) -> TileGrid:
    """Return the parts of an image that are searched one by one."""
    spatial = spatial_axes(axes, volume=len(finder.halo) == 3)
    tile, halo, stride = [1] * len(axes), [0] * len(axes), [1] * len(axes)
    lengths = finder.tile([shape[axis] for axis in spatial])
    for axis, length, reach in zip(spatial, lengths, finder.halo, strict=True):
        tile[axis], halo[axis] = length, reach
    stride[axes.y] = stride[axes.x] = finder.stride
    if axes.rgb:
        tile[-1] = shape[-1]
    return TileGrid(shape=shape, tile=tuple(tile), halo=tuple(halo), scale=(1,) * len(axes), stride=tuple(stride))


def find_steps(
    source: ImageArray, axes: Axes, channels: list[Channel], finders: Sequence[Finder], *, dark: bool
) -> Generator[Progress, None, list[Found]]:
    """Find the maxima of every channel.

    Parameters
    ----------
    source : array_like
        The image.
    axes : Axes
        Its axes.
    channels, finders : list
        Constants of every channel, and what finds candidates in it.
    dark : bool
        Find what is darker than its surroundings.
    """
    grid = search_grid(tuple(map(int, source.shape)), axes, finders[0])
    spatial = spatial_axes(axes, volume=len(finders[0].halo) == 3)
    outer = [i for i in range(len(axes)) if i not in spatial and axes.letters[i] != "S"]
    parts: list[list[_Part]] = [[] for _ in channels]
    for done, core in enumerate(grid.cores()):
        yield Progress(done, grid.n_tiles, f"{done} of {grid.n_tiles} parts searched")
        index = 0 if axes.rgb or axes.channel is None else core[axes.channel][0]
        search = partial(_search, source, axes, spatial, channels[index], finders[index], dark=dark)
        where = tuple(core[i][0] for i in outer)
        parts[index] += [(where, *searched) for searched in _in_memory(search, grid, core)]
    return [_gathered(each, len(spatial), len(outer)) for each in parts]


def _in_memory(search: Callable[[Tile], _Searched], grid: TileGrid, core: Core) -> list[_Searched]:
    """Search the tile of a core or, where a network runs out of memory, its halves, and those in halves again."""
    with suppress(OutOfMemoryError):
        return [search(grid.tile_of(core))]
    return [found for half in halves(grid, core) for found in _in_memory(search, grid, half)]


def _gathered(parts: list[_Part], ndim: int, n_outer: int) -> Found:
    where = [np.tile(np.array(outer, np.intp), (len(blobs), 1)) for outer, blobs, *_ in parts]
    stacked = np.concatenate(where) if where else np.zeros((0, n_outer), np.intp)
    blobs = joined([blobs for _, blobs, *_ in parts], ndim)
    unseen = np.sum([unseen for *_, unseen in parts], axis=0)
    return Found(blobs, stacked.reshape(len(blobs), n_outer), sum(pixels for *_, pixels, _ in parts), unseen)


def _search(
    source: ImageArray,
    axes: Axes,
    spatial: tuple[int, ...],
    channel: Channel,
    finder: Finder,
    tile: Tile,
    *,
    dark: bool,
) -> _Searched:
    """Return the maxima in the core of a tile, in pixels of the image; see `Found` for the numbers of its pixels."""
    block = as_numpy(source[tile.src])
    if axes.rgb:
        block = block[..., :3].mean(axis=-1, dtype=np.float64)
    planes = np.moveaxis(block, spatial, range(-len(spatial), 0)).reshape([block.shape[i] for i in spatial])
    values, bad = prepared(planes, channel)
    starts = np.array([tile.src[i].start for i in spatial])
    stops = [tile.src[i].stop for i in spatial]
    ends = [
        (bool(start == 0), bool(stop == source.shape[i])) for start, stop, i in zip(starts, stops, spatial, strict=True)
    ]
    blobs = finder(-values if dark else values, ends)
    core = [(tile.dst[i].start - start, tile.dst[i].stop - start) for start, i in zip(starts, spatial, strict=True)]
    nearest = np.round(blobs.places).astype(int)
    inside = np.all([(a <= nearest[:, i]) & (nearest[:, i] < b) for i, (a, b) in enumerate(core)], axis=0)
    valued = ~bad[tuple(slice(a, b) for a, b in core)]
    unseen = np.zeros(len(finder.filters.sizes), np.intp)
    if bad.any():
        clear = ndimage.distance_transform_edt(~bad, sampling=finder.filters.spacing)
        inside &= clear[tuple(nearest.T)] > np.array(finder.filters.widths)[blobs.level]
        gaps = np.sort(clear[tuple(slice(a, b) for a, b in core)][valued])
        unseen = np.searchsorted(gaps, finder.filters.widths, side="right")
    blobs = blobs[inside]
    return replace(blobs, places=blobs.places + starts), int(np.count_nonzero(valued)), unseen


def prepared(block: NDArray[Any], channel: Channel) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the block with noise of s.d. 1 and nothing missing, and where something was."""
    values, bad = np.empty(block.shape, np.float32), np.zeros(block.shape, bool)
    for index in np.ndindex(*block.shape[:-2]):
        plane = block[index].astype(np.float32 if block.dtype.itemsize <= 2 else np.float64)
        even, _hot = fill_hot(without_missing(plane, channel.missing), channel.noise)
        even, gaps = fill_non_finite(even, channel.fill)
        values[index] = channel.transform.forward(even)
        if gaps is not None:
            bad[index] = gaps
    return values, bad
