"""Fill the masked pixels of one tile."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_genrecon.axes import Axes
from napari_genrecon.engine.intensity import as_plane, to_dtype
from napari_genrecon.engine.lazy import Reader
from napari_genrecon.engine.missing import mark_missing
from napari_genrecon.engine.tiles import Tile, middle
from napari_genrecon.models import ModelCard, load_network
from napari_genrecon.noise import Stabiliser
from napari_genrecon.numerics.gaussian_field import SMOOTHEST, interpolate
from napari_genrecon.numerics.inpaint_inputs import fill_planes
from napari_genrecon.numerics.motion import LOOK, measure_motion
from napari_genrecon.tasks.inpaint.fill import Denoise, Draw, Recipe, apply_recipe
from napari_genrecon.tasks.inpaint.missing_planes import Neighbours
from napari_genrecon.tasks.inpaint.missing_planes import Plane as PlaneIndex

__all__ = ["TURNS", "Channel", "InpaintPlanes", "biharmonic", "fill_with", "pixels_computed", "to_values"]

Block = NDArray[Any]
Mask = NDArray[np.bool_]

TURNS = 4  # quarter turns, all of them: the network's results are averaged over them, as it prefers some directions
# Pixels after which the ringing of a cubic spline, by which planes are shifted, is below the precision of float32: the
# pole of its filter is sqrt(3) - 2 (Unser, Aldroubi & Eden, IEEE TSP 41, 1993).
_RINGS = math.ceil(math.log(np.finfo(np.float32).eps) / math.log(2 - math.sqrt(3)))
# Side of the cells that noise is drawn in, which makes it independent of the tiles, in px; another one would draw other
# fillings for the same seed.
_CELL = 64


@dataclass(frozen=True, slots=True)
class Channel:
    """Constants of one channel, found once for the whole image.

    Attributes
    ----------
    transform : Stabiliser or None
        Transform that gives the noise the s.d. 1; None where the pixels are taken as exact.
    fill : float
        Grey value for unknown pixels before they are filled: the median of the known ones.
    centre : float
        Median of the transformed values.
    noise : float
        S.d. of the noise of the transformed values; 0 where they are taken as exact.
    rho : (float, float)
        Lag-1 correlation of the noise along x and y.
    recipe : Recipe or None
        Constants of plug-and-play; None for the other methods.
    missing : tuple of float
        Grey values of padding, from which nothing is filled.
    spread : float
        Factor by which the spread of samples is too small, found at hidden known pixels.
    """

    transform: Stabiliser | None
    fill: float
    centre: float
    noise: float = 0.0
    rho: tuple[float, float] = (0.0, 0.0)
    recipe: Recipe | None = None
    missing: tuple[float, ...] = ()
    spread: float = 1.0


def to_values(plane: Block, unknown: Mask, channel: Channel) -> NDArray[np.float32]:
    """Transform grey values to values about 0 with noise of s.d. 1 (if there is noise), finite everywhere."""
    # In float64: the transform of large grey values with little noise would lose digits in float32.
    known = np.where(unknown, channel.fill, plane.astype(np.float64, copy=False))
    values = known if channel.transform is None else channel.transform.forward(known)
    return np.asarray(values - channel.centre, np.float32)


def fill_with(
    network: Callable[[NDArray[np.float32]], NDArray[np.float32]], noise: float, stride: int
) -> Callable[[NDArray[np.float32], Mask], Generator[None, None, NDArray[np.float32]]]:
    """Return a function that fills a plane: the mean of the network over quarter turns; yields before every run."""

    def fill(values: NDArray[np.float32], unknown: Mask) -> Generator[None, None, NDArray[np.float32]]:
        yield
        planes = fill_planes(values, unknown, noise)  # (C, Y, X)
        bottom, right = (-values.shape[0]) % stride, (-values.shape[1]) % stride  # turned planes lie on the same grid
        planes = np.pad(planes, ((0, 0), (0, bottom), (0, right)), mode="symmetric")
        mean = np.zeros_like(planes[0])
        for turn in range(TURNS):
            yield
            # The planes are turned together, and only the result of the network is turned back.
            mean += np.rot90(network(np.rot90(planes, turn, (1, 2))), -turn) / np.float32(TURNS)
        return mean[: values.shape[0], : values.shape[1]]

    return fill


@dataclass(frozen=True, slots=True)
class InpaintPlanes:
    """Tile function that fills the plane of a tile; a plain value, so that it can be sent to other processes.

    Attributes
    ----------
    read : Reader
        Reads the image; used only for planes that are missing as a whole.
    mask : ndarray of bool
        Pixels to fill, of the image's shape.
    neighbours : mapping
        Planes to mix, for every plane that is missing as a whole.
    filler, denoiser : ModelCard or None
        The network that fills, and the denoiser: the prior of plug-and-play, which also denoises planes that are mixed
        from others. The biharmonic method has neither.
    device : str
        Device of the networks.
    axes : Axes
        Axes of the image.
    channels : tuple of Channel
        Constants of the channels. Planes of an alpha channel, which comes after them, are copied.
    halo, stride : int
        Pixels around masked ones that are computed, and the grid on which a box of them starts.
    dtype : dtype
        Dtype of the blocks: that of the result, or a float that is rounded to it later.
    sample : (int, int) or None
        Seed and number of a sample; None gives the best estimate.
    precision : str
        Number format of the networks where the channel has noise; exact values are always filled in float32.
    """

    read: Reader
    mask: Mask
    neighbours: Neighbours
    filler: ModelCard | None
    denoiser: ModelCard | None
    device: str
    axes: Axes
    channels: tuple[Channel, ...]
    halo: int
    stride: int
    dtype: np.dtype[Any]
    sample: tuple[int, int] | None = None
    precision: str = "float32"

    def __call__(self, block: Block, tile: Tile) -> Generator[None, None, Block]:
        """Fill a block of one plane; one without a masked pixel in its core is copied."""
        index = tile.channel(self.axes.channel)
        # A masked pixel in the halo alone is the matter of another tile.
        if index >= len(self.channels) or not self.mask[tile.src][tile.crop].any():
            return block.astype(self.dtype, copy=False)
        return (yield from self._fill(block, tile, self.channels[index]))

    def work(self, tile: Tile, per_pixel: Sequence[float]) -> float:
        """Return the time of a tile from the times `per_pixel` of each channel; copied tiles count as 0.

        Planes that are missing as a whole count as much, although mixing them is faster.
        """
        index = tile.channel(self.axes.channel)
        if index >= len(self.channels):
            return 0.0
        return per_pixel[index] * pixels_computed(self.mask, tile, self.axes, self.halo, self.stride)

    def _fill(self, block: Block, tile: Tile, channel: Channel) -> Generator[None, None, Block]:
        plane, masked = as_plane(block, self.axes), as_plane(self.mask[tile.src], self.axes)
        index = tuple(int(tile.src[i].start) for i in self.axes.outer)
        out = plane.astype(self.dtype)  # a copy: known pixels never go through any arithmetic
        if index in self.neighbours:
            yield
            filled = self._from_neighbours(index, tile, channel)
            out[:] = to_dtype(filled, self.dtype)[0]
            return out.reshape(block.shape)
        box = _box(_masked_core(masked, tile, self.axes), self.halo, self.stride)
        # Padding and NaN are unknown, so that nothing is filled from them, but not masked: they come back as they are.
        unknown = masked[box] | mark_missing(plane[box], channel.missing)
        # Place of the box in the image, by which noise is drawn.
        origin = tuple(
            int(tile.src[i].start) + part.start for i, part in zip((self.axes.y, self.axes.x), box, strict=True)
        )
        draw = None if self.sample is None else _Noise(self.sample, index, origin, unknown.shape)
        filled = yield from self._filled(plane[box], unknown, channel, draw)
        # `box` is made of slices, so that out[box] is a view. What is filled in the halo is thrown away.
        out[box][masked[box]] = to_dtype(filled, self.dtype)[0][masked[box]]
        return out.reshape(block.shape)

    def _filled(self, plane: Block, unknown: Mask, channel: Channel, draw: Draw | None) -> Generator[None, None, Block]:
        """Fill a box by the network, by plug-and-play, or by the biharmonic equation."""
        if self.denoiser is None:
            yield
            return biharmonic(plane, unknown, channel.fill)
        values = to_values(plane, unknown, channel)
        if channel.recipe is not None:
            denoise = self._denoise(channel, values)
            filled = yield from apply_recipe(values, unknown, channel.recipe, denoise, self.stride, draw)
        else:
            assert self.filler is not None  # without a recipe the network fills
            # The network is told the noise of the known pixels, of which it sees the transformed values.
            network = partial(load_network(self.filler, self.device, precision=self.precision), noise=channel.noise)
            filled = yield from fill_with(network, channel.noise, self.stride)(values, unknown)
        return _to_grey(filled, channel)

    def _denoise(self, channel: Channel, values: NDArray[np.float32]) -> Denoise:
        """Return the denoiser for a plane; bfloat16 would show beside little noise."""
        assert self.denoiser is not None  # only the biharmonic method has none, and it never denoises
        # Measured on each plane: a bright one may have more contrast than the crops on which constants were found.
        # Up to the card's limit, filled pixels err by at most 0.02 noise s.d. (tests/models/test_precision.py).
        low = np.abs(values).max() <= self.denoiser.bfloat16 * channel.noise
        return load_network(self.denoiser, self.device, precision=self.precision if low else "float32")

    def _from_neighbours(self, index: PlaneIndex, tile: Tile, channel: Channel) -> Block:
        """Fill a plane that is missing as a whole: mix its neighbours by distance, and denoise the mixture.

        Frames that drift are brought to the place where the missing one lay between them.
        """
        pairs = self.neighbours[index]
        shift = self._drift([at for at, _ in pairs], tile, channel)
        # More is read than the tile, so that what the drift moves into it is there.
        region, inner = self._around(tile, math.ceil(max(map(abs, shift))))
        planes = [self._neighbour(at, region, channel) for at, _ in pairs]
        # (2, Y, X), or (1, Y, X) if there is a neighbour on one side only
        holes = np.stack([unknown for _, unknown in planes])
        k = SMOOTHEST if channel.recipe is None else channel.recipe.start
        # planes[-1 - i] is the other plane, or the plane itself where there is one only.
        whole = [_completed(planes[i], planes[-1 - i], k) for i in range(len(planes))]
        if any(shift):
            # The frame before moves forward, the one after back, each by its share of the way: the nearer one less.
            ways = [
                [sign * (1 - weight) * part for part in shift] for sign, (_, weight) in zip((1, -1), pairs, strict=True)
            ]
            # Cubic splines keep the contrast of fine detail, linear interpolation would blur it.
            whole = [
                ndimage.shift(values, way, order=3, mode="nearest") for values, way in zip(whole, ways, strict=True)
            ]
            # The nearest pixel: a mask has nothing between True and False.
            holes = np.stack(
                [ndimage.shift(hole, way, order=0, mode="nearest") for hole, way in zip(holes, ways, strict=True)]
            )
        mixed = np.zeros_like(whole[0])
        for (_, weight), values in zip(pairs, whole, strict=True):
            mixed += np.float32(weight) * values
        if channel.noise:
            # Independent noise of both planes: variances add up, weighted by the squares.
            left = channel.noise * float(np.sqrt(sum(weight**2 for _, weight in pairs)))  # noise s.d. of the mixture
            denoise = self._denoise(channel, mixed)
            smooth = denoise(mixed, left, channel.rho)
            single = holes.any(axis=0) & ~holes.all(axis=0)  # known in one plane only: all of its noise is left
            # Pixels known in both planes have less noise than those known in one: each gets its own level.
            mixed = np.where(single, denoise(mixed, channel.noise, channel.rho), smooth) if single.any() else smooth
        return _to_grey(mixed[inner], channel)

    def _drift(self, planes: Sequence[PlaneIndex], tile: Tile, channel: Channel) -> tuple[float, float]:
        """Return the shift (dy, dx) from the frame before a missing one to the one after, measured in their middle."""
        letters = [self.axes.letters[axis] for axis in self.axes.outer]
        # Slices of a stack show other things at other depths: only frames drift.
        if len(planes) < 2 or any(a != b and letter != "T" for a, b, letter in zip(*planes, letters, strict=True)):
            return 0.0, 0.0
        region = list(tile.src)
        for axis in (self.axes.y, self.axes.x):
            # The same part of the image for every tile, so that all tiles of a plane are shifted alike.
            region[axis] = middle(self.read.shape[axis], LOOK)
        before, after = (self._neighbour(at, tuple(region), channel)[0] for at in planes)
        motion = measure_motion(before, after)
        return motion.dy, motion.dx

    def _around(self, tile: Tile, reach: int) -> tuple[tuple[slice, ...], tuple[slice, slice]]:
        """Return a region that holds a tile and what moves into it, and the place of the tile in there."""
        if not reach:
            return tile.src, (slice(None), slice(None))
        region, inner = list(tile.src), []
        for axis in (self.axes.y, self.axes.x):
            # Rounded up to the stride: the region begins on the network's grid, as the tile does.
            at, more = tile.src[axis], -(-(reach + _RINGS) // self.stride) * self.stride
            start = max(at.start - more, 0)
            region[axis] = slice(start, min(at.stop + more, self.read.shape[axis]))
            inner.append(slice(at.start - start, at.stop - start))
        return tuple(region), (inner[0], inner[1])

    def _neighbour(
        self, index: PlaneIndex, around: tuple[slice, ...], channel: Channel
    ) -> tuple[NDArray[np.float32], Mask]:
        """Return the values of a neighbouring plane, and which of them are unknown."""
        at = dict(zip(self.axes.outer, index, strict=True))
        region = tuple(slice(at[i], at[i] + 1) if i in at else part for i, part in enumerate(around))
        plane = as_plane(self.read(region), self.axes)
        unknown = as_plane(self.mask[region], self.axes) | mark_missing(plane, channel.missing)
        return to_values(plane, unknown, channel), unknown


def _completed(
    plane: tuple[NDArray[np.float32], Mask], other: tuple[NDArray[np.float32], Mask], k: float
) -> NDArray[np.float32]:
    """Return a plane with its holes filled by the other plane, shifted to the brightness around each hole.

    A hole that is interpolated from its surroundings is smooth, so that the mixture would lose half the contrast there.
    """
    (values, unknown), (there, missing) = plane, other
    smooth = interpolate(values, unknown, k)
    lent = unknown & ~missing
    if not lent.any():
        return smooth
    difference = interpolate(values - there, unknown | missing, SMOOTHEST)  # difference in brightness, without detail
    return np.where(lent, there + difference, smooth)


def _to_grey(values: NDArray[np.float32], channel: Channel) -> Block:
    shifted = values.astype(np.float64) + channel.centre
    # In float64, as float32 would round grey values above 2**24; the caller narrows them.
    return shifted if channel.transform is None else channel.transform.inverse(shifted, dtype=np.float64)


def pixels_computed(mask: Mask, tile: Tile, axes: Axes, halo: int, stride: int) -> int:
    """Return how many pixels of a tile are computed: those of a box around the masked pixels of its core."""
    core = _masked_core(as_plane(mask[tile.src], axes), tile, axes)
    if not core.any():
        return 0
    rows, columns = _box(core, halo, stride)
    height, width = core.shape
    # The box may end beyond the tile, as its end is rounded up to the stride.
    return (min(rows.stop, height) - rows.start) * (min(columns.stop, width) - columns.start)


def _masked_core(masked: Mask, tile: Tile, axes: Axes) -> Mask:
    # Pixels of the halo do not make the box larger: they are filled by the tiles that they belong to.
    core, inner = np.zeros_like(masked), (tile.crop[axes.y], tile.crop[axes.x])
    core[inner] = masked[inner]
    return core


def biharmonic(plane: Block, unknown: Mask, fill: float) -> Block:
    """Fill the unknown pixels by the biharmonic equation; all with `fill` where nothing is known."""
    # Imported here: most fillings do without scikit-image.
    from skimage.restoration import inpaint_biharmonic

    if unknown.all():  # a tile in the middle of a larger hole
        return np.full(plane.shape, fill)
    known = np.where(unknown, fill, plane.astype(np.float64))
    return np.asarray(inpaint_biharmonic(known, unknown))


def _box(marked: Mask, halo: int, stride: int) -> tuple[slice, slice]:
    """Return the smallest box on the network's grid that holds all marked pixels and a halo around them."""
    rows, columns = (_span(np.flatnonzero(marked.any(axis=axis)), halo, stride) for axis in (1, 0))
    return rows, columns


def _span(marked: NDArray[np.intp], halo: int, stride: int) -> slice:
    start = max(int(marked[0]) - halo, 0) // stride * stride
    return slice(start, -(-(int(marked[-1]) + 1 + halo) // stride) * stride)


@dataclass(frozen=True, slots=True)
class _Noise:
    """White noise that depends on the position in the image only, so that all tiles that hold a pixel agree."""

    sample: tuple[int, int]
    plane: PlaneIndex
    origin: tuple[int, ...]
    shape: tuple[int, ...]

    def __call__(self, step: int) -> NDArray[np.float32]:
        # Cells of the whole image that the box touches: from the first to the last, in each dimension.
        first = [start // _CELL for start in self.origin]
        last = [(start + size - 1) // _CELL + 1 for start, size in zip(self.origin, self.shape, strict=True)]
        cells = [[self._cell(step, y, x) for x in range(first[1], last[1])] for y in range(first[0], last[0])]
        rows, columns = (
            slice(start - cell * _CELL, start - cell * _CELL + size)
            for start, cell, size in zip(self.origin, first, self.shape, strict=True)
        )
        return np.block(cells)[rows, columns]

    def _cell(self, step: int, y: int, x: int) -> NDArray[np.float32]:
        # The generator hashes the numbers of a sequence together, so that neighbouring cells are independent.
        seed = (*self.sample, step, y, x, *self.plane)
        return np.random.default_rng(seed).standard_normal((_CELL, _CELL), np.float32)
