"""Denoise the frames of a movie together: what neighbouring frames agree on is averaged before it is denoised.

In the domain of equal noise a small recurrent network (`models.networks.frame_gate`) says pixel by pixel how much of
the other frames still holds; they are averaged with the frame, from the past and from the future, and the denoiser is
told the variance that is left at every pixel. What the average misses of a frame, an event, is put back afterwards.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import Axes
from napari_genrecon.engine.lazy import Reader
from napari_genrecon.engine.tiles import Tile, middle
from napari_genrecon.models import ModelCard, load_network
from napari_genrecon.numerics.motion import LOOK, Motion, measure_motions
from napari_genrecon.numerics.two_way import average, information, variance_left
from napari_genrecon.tasks.denoise.changes import Change, compare, unexplained, variance_of_movement
from napari_genrecon.tasks.denoise.following import follow, moved
from napari_genrecon.tasks.denoise.overlap import Overlap
from napari_genrecon.tasks.denoise.planes import Channel, DenoisePlanes, Prepared

__all__ = ["REACH", "WINDOW", "DenoiseFrames", "as_frames", "costs_of_fusing"]

WINDOW = 64
"""Frames of a window. Windows begin at multiples of it, whatever the tiles, so that the result does not depend on them;
longer ones take more memory, shorter ones more time for their overlap."""
REACH = 8
"""Frames on either side of a window that are fused with it."""

_STATE = 9  # planes of the gate's state
_GATE_COST = 0.4  # of the seconds that the denoiser takes for a frame: 0.33 in float32, 0.5 in bfloat16
_MOTION_COST = 0.1  # of the same seconds


class Fused(NamedTuple):
    """A frame fused with its neighbours: (Y, X) each, with a noise s.d. of 1 before."""

    number: int
    prepared: Prepared
    fused: NDArray[np.float32]
    variance: NDArray[np.float32]
    missed: NDArray[np.float32]  # how surely the frame shows what its neighbours do not, in [0, 1]


@dataclass(frozen=True, slots=True)
class DenoiseFrames:
    """Denoises the frames of a tile: a plain value, so that it can be sent to other processes.

    Parameters
    ----------
    planes : DenoisePlanes
        How a plane is denoised by itself.
    gate : ModelCard
        The network that fuses frames.
    axis : int
        Dimension of the frames.
    read : Reader
        Reads the middle of the frames.
    """

    planes: DenoisePlanes
    gate: ModelCard
    axis: int
    read: Reader
    overlap: Overlap = field(default_factory=Overlap, init=False, compare=False, repr=False)

    def __call__(self, block: NDArray[Any], tile: Tile) -> Generator[None, None, NDArray[Any]]:
        """Denoise the frames that a tile answers for; the others, and those that show nothing, stay as they are."""
        channel = self.planes.channel_of(tile)
        if channel is None:
            return block
        frames = as_frames(block, self.planes.axes, self.axis)
        result = frames.astype(np.result_type(block.dtype, np.float32))
        for found in self.fuse(frames, tile, channel):
            if found is not None:
                left = (1 - channel.repeated) * found.variance + channel.repeated
                clean = self.planes.clean(found.fused, channel, np.sqrt(left))
                result[found.number] = self.planes.restore(found.prepared, clean, channel, found.variance, found.missed)
            yield
        moved = np.moveaxis(block, self.axis, 0).shape
        return np.moveaxis(result.reshape(moved), 0, self.axis)

    def costs(self, read: int, core: int) -> list[float]:
        """Return the time of each step of a tile that reads and answers for so many frames."""
        return [*costs_of_fusing(read), *[float(self.planes.views)] * core, 0.0]

    def fuse(self, frames: NDArray[Any], tile: Tile, channel: Channel) -> Generator[Fused | None, None, None]:
        """Yield every frame of the tile, fused, and None wherever other work was done.

        Parameters
        ----------
        frames : (T, Y, X) ndarray
            What was read for the tile.
        tile : Tile
            The tile.
        channel : Channel
            Its constants.
        """
        alone, core = replace(self.planes, strength=1.0, views=1), range(*tile.crop[self.axis].indices(len(frames)))
        # Frames before the first and from the last on are those of another window, too.
        first = core.start + REACH if core.start else 0
        last = core.stop - REACH if core.stop < len(frames) else len(frames)
        numbers = [number for number, frame in enumerate(frames) if shows_something(frame)]
        even: list[_Frame] = []
        for number in numbers:
            prepared = alone.prepare(frames[number], channel)
            clean = self.overlap.take(prepared.stabilised, channel) if number < first else None
            if clean is None:
                clean = alone.clean(prepared.stabilised, channel)
            if number >= last:
                self.overlap.keep(prepared.stabilised, channel, clean)
            counted = bool(channel.transform.gain)
            squares = channel.squares(prepared) if counted else None
            spread = np.sqrt(channel.left(clean)) if counted else np.float32(1)
            even.append(_Frame(number, prepared, clean, spread, squares))
            yield None
        inner = [index for index, number in enumerate(numbers) if number in core]
        if not inner:
            return
        # Of few frames, all that were read: one that is asked for alone has to be compared with others, too.
        compared = inner if len(inner) >= REACH else range(len(even))
        motions = yield from self._motions(tile, numbers, channel)
        gate = _Gate(self, even, channel)
        later: dict[int, _Side] = {}
        for index in range(len(even) - 1, compared[0] - 1, -1):
            side = gate.add(index, motions[index + 1].back if index < len(even) - 1 else None)
            if side is not None and index in compared:
                later[index] = side
            yield None
        gate = _Gate(self, even, channel)
        fused, changes = [], []
        for index in range(compared[-1] + 1):
            side = gate.add(index, motions[index] if index else None)
            if index in compared:
                sides = [one for one in (side, later.pop(index, None)) if one is not None]
                one, change = _together(even[index], sides, channel)
                fused.append(one)
                changes.append(change)
            yield None
        for one, missed in zip(fused, unexplained(changes), strict=True):
            if one.number in core:
                yield one._replace(missed=missed)

    def _motions(self, tile: Tile, numbers: Sequence[int], channel: Channel) -> Generator[None, None, list[Motion]]:
        """Return the motion to each frame from the one before, measured in the middle of the frames.

        It is the same for all tiles of these frames: a shift per tile would tear the image apart.
        """
        axes, region = self.planes.axes, list(tile.src)
        for axis in (axes.y, axes.x):
            region[axis] = middle(self.read.shape[axis], LOOK)
        frames = as_frames(self.read(tuple(region)), axes, self.axis)
        even = [self.planes.prepare(frames[number], channel).stabilised for number in numbers]
        return (yield from measure_motions(even))


def costs_of_fusing(read: int) -> list[float]:
    """Return the time of each step of `DenoiseFrames.fuse` for so many frames, in times of the denoiser for one."""
    return [*[1.0] * read, *[_MOTION_COST] * 2 * (read - 1), *[_GATE_COST] * 2 * read]


def as_frames(block: NDArray[Any], axes: Axes, axis: int) -> NDArray[Any]:
    """Return a block whose dimensions other than `axis`, Y and X have one entry as (T, Y, X)."""
    frames = np.moveaxis(block, axis, 0)
    return frames.reshape(len(frames), block.shape[axes.y], block.shape[axes.x])


def shows_something(frame: NDArray[Any]) -> bool:
    """Return whether a frame was recorded: one without a finite pixel, or of one value, was dropped."""
    finite = frame[np.isfinite(frame)]
    return bool(finite.size and finite.min() < finite.max())


class _Frame(NamedTuple):
    """A frame that shows something: (Y, X) each."""

    number: int
    prepared: Prepared
    clean: NDArray[np.float32]  # denoised by itself
    spread: NDArray[np.float32] | np.float32  # s.d. of the noise of the stabilised one: 1, but where photons are few
    squares: NDArray[np.float32] | None  # of the stabilised one; None where means of grey values are no others


class _Side(NamedTuple):
    """What the frames on one side of a frame say about it."""

    fused: NDArray[np.float32]  # (3 or 4, Y, X): fused, its variance, mean of the denoised frames, mean of the squares
    share: NDArray[np.float32]  # (Y, X), that the gate gave it when the frame was added
    surprises: NDArray[np.float32]  # (2, Y, X): sum over these frames, and how many they are


def _together(frame: _Frame, sides: Sequence[_Side], channel: Channel) -> tuple[Fused, Change]:
    """Return a frame fused with what its two sides say about it, and what it shows that they do not.

    The gate gives every frame its share; where the frames differ more than noise does, that share is less.
    """
    own = frame.prepared.stabilised
    variances = [side.fused[1] for side in sides]
    known = [information(side.share) for side in sides]
    if sides:
        movement = variance_of_movement(np.sum([side.surprises for side in sides], axis=0))
        known = [np.minimum(one, 1 / (old + movement * (1 + old))) for one, old in zip(known, variances, strict=True)]
    variance = np.asarray(np.ones_like(own) * variance_left(variances, known), np.float32)
    shown = (own, frame.clean, *([] if frame.squares is None else [frame.squares]))
    fused, mean, *squares = (
        np.asarray(average(plane, [side.fused[place] for side in sides], known), np.float32)
        for plane, place in zip(shown, (0, 2, 3), strict=False)
    )
    change = compare((own, fused), (frame.clean, mean), variance, channel.near, frame.spread)
    if squares:
        fused = channel.of_mean(fused, squares[0], variance)
    return Fused(frame.number, frame.prepared, fused, variance, np.zeros_like(fused)), change


class _Gate:
    """The network that fuses frames, and its state: its own nine planes, and the mean of the squares."""

    def __init__(self, kernel: DenoiseFrames, frames: Sequence[_Frame], channel: Channel) -> None:
        planes = kernel.planes
        self._run = load_network(kernel.gate, planes.device, precision=planes.precision)
        self._rho = channel.near
        self._frames = frames
        self._state: NDArray[np.float32] = np.empty(0, np.float32)
        self._surprises: NDArray[np.float32] = self._state
        self._seen = np.empty((2 + _STATE, *frames[0].clean.shape), np.float32)  # used again for every frame

    def add(self, index: int, motion: Motion | None) -> _Side | None:
        """Fuse a frame with the state, moved to it, and return what that said of it; None begins anew."""
        _, prepared, clean, spread, squares = self._frames[index]
        frame = prepared.stabilised
        if motion is None:
            memory = np.zeros((_STATE - 3, *frame.shape), np.float32)
            planes = [frame, np.ones_like(frame), clean, *memory, *([] if squares is None else [squares])]
            self._state, self._surprises = np.stack(planes), np.zeros((2, *frame.shape), np.float32)
            return None
        before = follow(self._state, motion)
        surprises = moved(self._surprises, motion)
        seen = self._seen
        seen[0], seen[1], seen[2:] = frame, clean, before[:_STATE]
        grey = (seen[0], seen[1], seen[2], seen[4])
        # The network knows noise of s.d. 1 only. It averages, so that its answer scales as what it is given.
        if squares is not None:
            for plane in grey:
                plane /= spread
        contrast = max(float(each) for plane in grey for each in (plane.max(), -plane.min()))
        fused = self._run(seen[None], self._rho, contrast=contrast)[0]
        if squares is not None:
            for plane in (fused[0], fused[2]):
                plane *= spread
        self._state, share, here = fused[:_STATE], fused[_STATE], fused[_STATE + 1]
        if squares is not None:
            self._state = np.concatenate([self._state, [share * before[_STATE] + (1 - share) * squares]])
        # A frame counts as far as the gate keeps what was before it: what the gate has seen needs no other measure.
        kept = share * (1 + before[1])
        total, count = kept * (surprises[0] + here), kept * (surprises[1] + 1)
        most = REACH / np.maximum(count, REACH)
        self._surprises = np.stack([total * most, count * most])
        # Copied: a view would keep all planes of the state of every frame.
        return _Side(np.concatenate([before[:3], before[_STATE:]]), share.copy(), surprises)
