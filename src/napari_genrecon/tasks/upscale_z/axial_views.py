"""Enlarge one tile of a z-stack along z: run the network on its XZ and YZ planes and average both."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.engine.intensity import fill_non_finite
from napari_genrecon.engine.missing import without_missing
from napari_genrecon.engine.tiles import Tile
from napari_genrecon.models import axial_card, load_network
from napari_genrecon.numerics.slices import back_project_slices, sliced
from napari_genrecon.tasks.upscale.planes import UpscaledChannel

__all__ = ["AxialUpscale"]

Block = NDArray[Any]

_BATCH = 400_000  # pixels between two cancels: a limit of seconds, about one on two CPU cores


@dataclass(frozen=True, slots=True)
class AxialUpscale:
    """Tile function that gives a (Z, Y, X) volume more planes; a plain value, so it can be sent to other processes.

    Every XZ plane and every YZ plane is enlarged along z, and both results are averaged.

    Attributes
    ----------
    weights : bytes
        Weights of the network that was trained on the stack.
    device : str
        Device of the network.
    axes : Axes
        Axes of the image.
    channels : tuple of UpscaledChannel
        Constants of the channels. Planes of an alpha channel, which comes after them, are repeated.
    factor : int
        How many times more planes.
    thickness : float
        Thickness of a plane, in distances of planes; see `numerics.slices`.
    rounds : int
        Rounds of back-projection.
    """

    weights: bytes
    device: str
    axes: Axes
    channels: tuple[UpscaledChannel, ...]
    factor: int
    thickness: float
    rounds: int

    def __call__(self, block: Block, tile: Tile) -> Generator[None, None, Block]:
        """Enlarge a block; only what `tile` keeps along Y and X is computed."""
        stack, index = self._stack(block), tile.channel(self.axes.channel)
        # An alpha channel holds no grey values: its planes are repeated.
        if index >= len(self.channels):
            return self._block(stack.repeat(self.factor, axis=0), block.shape)
        channel = self.channels[index]
        stack = stack.astype(np.float32 if stack.dtype.itemsize <= 2 else np.float64, copy=False)
        # Padding becomes NaN first, and is filled like it.
        filled, bad = _filled(without_missing(stack, channel.missing), channel.centre)
        kept = self._kept(tile)
        fine = yield from self._enlarge(filled, channel, kept)
        core = np.s_[:, kept[0], kept[1]]
        # Centred before float32: a large offset would take the digits of the signal.
        centred = (filled[core] - channel.centre).astype(np.float32)
        fine = back_project_slices(fine, centred, self.factor, self.thickness, self.rounds)
        # The tile outside the core is thrown away by the engine, and only needs the right shape; pixels without a value
        # keep theirs.
        large = stack.repeat(self.factor, axis=0)
        restored = fine.astype(stack.dtype, copy=False) + channel.centre
        large[core] = (
            restored if bad is None else np.where(bad[core].repeat(self.factor, axis=0), large[core], restored)
        )
        return self._block(large, block.shape)

    def steps(self, shape: tuple[int, int, int]) -> int:
        """Return how many steps of progress a tile that reads (Z, Y, X) pixels counts for, at most."""
        z, y, x = shape
        # One for each batch of XZ planes and of YZ planes, and one for the rest.
        return 1 + math.ceil(y / _per_batch(z, x)) + math.ceil(x / _per_batch(z, y))

    def mismatch(self, block: Block, large: Block, tile: Tile) -> NDArray[Any]:
        """Return the planes that the result would show minus those of the image, on the core of the tile."""
        channel, z = self.channels[tile.channel(self.axes.channel)], self.axes.letters.index("Z")
        centre, block, large = channel.centre, *(without_missing(b, channel.missing) for b in (block, large))
        # `crop` is in planes of the result along Z; along Y and X both are the same.
        core = (slice(tile.crop[z].start // self.factor, tile.crop[z].stop // self.factor), *self._kept(tile))
        # Infinite pixels give NaN, which is left out of the mean.
        with np.errstate(invalid="ignore"):
            # All planes are sliced before they are cut, as a plane draws from rows of its neighbours.
            shown = sliced(self._stack(large)[:, core[1], core[2]] - centre, self.factor, self.thickness)[core[0]]
            error: NDArray[Any] = shown - (self._stack(block)[core] - centre)
        return error

    def _enlarge(
        self, stack: Block, channel: UpscaledChannel, kept: tuple[slice, slice]
    ) -> Generator[None, None, Block]:
        """Return the mean of both views (Z * factor, y, x), cut to `kept` along Y and X, relative to the centre."""
        # Plane by plane: the mean of 3 x 3 pixels that it is read at must not mix planes.
        sigma = np.stack([np.broadcast_to(channel.sigma(plane), plane.shape) for plane in stack])
        # Views that lie in the halo are not computed; within a view the network needs its whole width.
        rows, columns = kept
        centred = stack - channel.centre
        along_x = yield from self._views(centred[:, rows].swapaxes(0, 1), sigma[:, rows].swapaxes(0, 1))  # (y, Z*f, X)
        yz = np.s_[:, :, columns]
        along_y = yield from self._views(np.moveaxis(centred[yz], 2, 0), np.moveaxis(sigma[yz], 2, 0))  # (x, Z*f, Y)
        both = along_x[:, :, columns].swapaxes(0, 1) + np.moveaxis(along_y[:, :, rows], 0, 2)
        return both * np.float32(0.5)

    def _views(self, views: Block, sigma: Block) -> Generator[None, None, NDArray[np.float32]]:
        """Run the network on side views (N, Z, W) and return (N, Z * factor, W)."""
        network, done = load_network(axial_card(self.factor), self.device, self.weights), []
        for part in _parts(len(views), _per_batch(*views.shape[1:])):
            # (n, 1, Z, W): each view is an image of one channel.
            done.append(network(views[part, None], sigma[part, None])[:, 0])
            yield
        return np.concatenate(done)

    def _kept(self, tile: Tile) -> tuple[slice, slice]:
        return tile.crop[self.axes.y], tile.crop[self.axes.x]

    def _stack(self, block: Block) -> Block:
        """Return a block as a (Z, Y, X) stack, in whatever order its dimensions are."""
        # Dimensions other than Z, Y and X have length 1 in a tile, and vanish in the reshape.
        order = sorted("ZYX", key=self.axes.letters.index)
        sides = [block.shape[self.axes.letters.index(letter)] for letter in order]
        return block.reshape(sides).transpose([order.index(letter) for letter in "ZYX"])

    def _block(self, stack: Block, shape: tuple[int, ...]) -> Block:
        """Return a (Z * factor, Y, X) stack as a block, in the order of the image's dimensions."""
        order = sorted("ZYX", key=self.axes.letters.index)
        moved = stack.transpose(["ZYX".index(letter) for letter in order])
        scale = [self.factor if letter == "Z" else 1 for letter in self.axes.letters]
        return moved.reshape([n * s for n, s in zip(shape, scale, strict=True)])


def _filled(stack: Block, centre: float) -> tuple[Block, NDArray[np.bool_] | None]:
    """Replace NaN and infinities, and return where they were; None where there are none."""
    if np.isfinite(stack).all():
        return stack, None
    return np.stack([fill_non_finite(plane, centre)[0] for plane in stack]), ~np.isfinite(stack)


def _per_batch(height: int, width: int) -> int:
    return max(1, _BATCH // (height * width))


def _parts(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
