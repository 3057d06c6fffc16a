"""Decide whether neighbouring frames help to denoise an image, and plan how they do."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_genrecon.arrays import ImageArray
from napari_genrecon.axes import Axes
from napari_genrecon.engine.lazy import Reader
from napari_genrecon.engine.run import Progress
from napari_genrecon.engine.tiles import Tile, TileGrid, middle
from napari_genrecon.errors import ImageError
from napari_genrecon.models import PerAxis, find_model
from napari_genrecon.noise.model import SMOOTH
from napari_genrecon.numerics.motion import FAR, LOOK, measure_motion
from napari_genrecon.tasks.denoise.changes import far_correlation, still_variance
from napari_genrecon.tasks.denoise.frames import REACH, WINDOW, DenoiseFrames, as_frames, costs_of_fusing
from napari_genrecon.tasks.denoise.planes import Channel, DenoisePlanes, Prepared
from napari_genrecon.tasks.plan import TRIAL_SIDE, plan_grid

__all__ = ["Frames", "plan_frames", "trial_pixels", "work_per_pixel"]

# Pixels along Y and X that are read around a tile: the denoiser's own halo, and as many as the gate carries over from
# frame to frame. `tests/tasks/test_frames.py` measures what is left.
_HALO = 128
# The frame, stabilised, squared and denoised, the s.d. of its noise, what both sides say, how it differs, the result.
_BYTES = 61  # bytes per pixel of a frame
_PAIRS = 4  # of frames in which noise that repeats is looked for
_REPEATED = 0.25  # of the noise variance; below, it cannot be told from the error of two measurements
# Variance of stabilised noise above which its strength is compared, that of half a photo-electron: in less light it
# depends much on the level, which two frames tell badly.
_KNOWN = 0.57
_GIVEN_BACK = 0.3  # of the pixels; where that many are left to the frame alone, its neighbours do not help


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """How neighbouring frames are used; without a kernel they are not.

    Attributes
    ----------
    kernel : DenoiseFrames or None
        Function that processes a tile.
    grid : TileGrid or None
        The tiles.
    facts : dict
        Entry of the record.
    notes : tuple of str
        Notes for the user.
    steps : callable
        See `tasks.plan.Plan`.
    """

    kernel: DenoiseFrames | None = None
    grid: TileGrid | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    steps: Callable[[], int | Sequence[float]] = lambda: 1


def plan_frames(
    source: ImageArray, planes: DenoisePlanes, wanted: str, *, tile: int | tuple[int, int] | None
) -> Generator[Progress, None, Frames]:
    """Decide whether neighbouring frames are used, and plan it; yields `Progress` before frames are read.

    Parameters
    ----------
    source : array_like
        The image.
    planes : DenoisePlanes
        How its planes are denoised one by one.
    wanted : {"auto", "none", "T", "Z"}
        The option; "auto" tries it on a few frames.
    tile : int, (int, int) or None
        Side of a tile, if it was given.

    Raises
    ------
    ImageError
        If the image has no such dimension.
    """
    axis = _axis(wanted, planes.axes, source.shape)
    if axis is None or not any(planes.channels):
        return Frames()
    yield Progress(0, 0, "comparing neighbouring frames")
    letter, read = planes.axes.letters[axis], Reader(source)
    channels = tuple(
        channel and _with_facts(channel, list(_changes(read, planes, channel, index, axis)))
        for index, channel in enumerate(planes.channels)
    )
    gate = find_model("auto", "fuse")
    kernel = DenoiseFrames(replace(planes, channels=channels), gate, axis, read)
    if wanted == "auto" and _share_given_back(kernel) > _GIVEN_BACK:
        return Frames(
            facts={"axis": None},
            notes=(
                f"neighbouring frames were tried and explain too little of each other, so every frame was denoised by "
                f"itself; '{letter}' uses them all the same (frames)",
            ),
        )
    grid = _grid(source.shape, planes, axis, tile)
    repeated = [channel.repeated if channel else 0.0 for channel in channels]
    course = [_course(read, planes, channel, index, axis) for index, channel in enumerate(channels) if channel]
    return Frames(
        kernel=kernel,
        grid=grid,
        facts={"axis": letter, "window": WINDOW, "reach": REACH, "repeated": repeated, "model": gate.facts()}
        | {"drift": [drift for drift, _ in course], "light": [light for _, light in course]},
        notes=_notes(repeated),
        steps=lambda: kernel.costs(*_frames_of_a_tile(grid, axis)),
    )


def work_per_pixel(shape: tuple[int, ...], axes: Axes, wanted: str, views: int) -> float:
    """Return the time of a pixel, in times of the denoiser, if neighbouring frames are used, with so many views."""
    axis = _axis(wanted, axes, shape)
    if axis is None:
        return views
    core, read = min(shape[axis], WINDOW), min(shape[axis], WINDOW + 2 * REACH)
    # What two windows read is denoised by itself for one of them.
    return (sum(costs_of_fusing(read)) - (read - core)) / core + views


def trial_pixels(shape: tuple[int, ...], axes: Axes, wanted: str) -> float:
    """Return how many pixels the denoiser could do in the time in which "auto" tries whether frames help."""
    axis = _axis(wanted, axes, shape)
    if wanted != "auto" or axis is None:
        return 0.0
    area = min(shape[axes.y], TRIAL_SIDE) * min(shape[axes.x], TRIAL_SIDE)
    return axes.n_channels(shape) * area * sum(costs_of_fusing(min(shape[axis], REACH)))


def _axis(wanted: str, axes: Axes, shape: Sequence[int]) -> int | None:
    """Return the dimension of the frames; None if there is none, or but one frame."""
    if wanted == "none" or (wanted == "auto" and "T" not in axes.letters):
        return None
    letter = "T" if wanted == "auto" else wanted
    if letter not in axes.letters:
        raise ImageError(
            f"frames is '{letter}', and this image has the axes {axes}: say which dimension is {letter} (axes), such "
            f"as '{letter}YX', or choose frames 'none'"
        )
    axis = axes.letters.index(letter)
    return axis if shape[axis] > 1 else None


def _grid(shape: tuple[int, ...], planes: DenoisePlanes, axis: int, tile: int | tuple[int, int] | None) -> TileGrid:
    """Return the tiles: windows of frames with their neighbours, cut along Y and X as memory allows."""
    letter = planes.axes.letters[axis]
    frames = min(shape[axis], WINDOW + 2 * REACH)
    card = replace(
        planes.planned,
        halo=PerAxis.planes(_HALO, 0)._replace(**{letter.lower(): REACH}),
        bytes_per_pixel=planes.spec.bytes_per_pixel + _BYTES * frames,
    )
    grid = plan_grid(shape, planes.axes, card, tile=tile, device=planes.device)
    sizes = list(grid.tile)
    sizes[axis] = WINDOW
    return replace(grid, tile=tuple(sizes))


def _frames_of_a_tile(grid: TileGrid, axis: int) -> tuple[int, int]:
    core = max(grid.chunks[axis])
    return min(core + 2 * REACH, grid.shape[axis]), core


def _notes(repeated: Sequence[float]) -> tuple[str, ...]:
    most = max(repeated)
    if not most:
        return ()
    return (
        f"{100 * most:.0f} % of the noise variance is the same in every frame (a fixed pattern of the detector?): no "
        "average removes it, and the denoiser was told so",
    )


# --- what a few frames tell ---


class _Change(NamedTuple):
    """The change from a frame to the next, (Y, X) each."""

    even: NDArray[np.float32]  # between stabilised frames, over the root of 2: noise of the s.d. of one frame
    left: NDArray[np.float32]  # variance of that noise by the model: 1, but where there are few photons


def _with_facts(channel: Channel, changes: list[_Change]) -> Channel:
    """Return a channel with what the changes between consecutive frames tell about its noise."""
    if not changes:
        return channel
    differences = [np.asarray(change.even / np.sqrt(change.left), np.float32) for change in changes]
    known = [change.left > _KNOWN for change in changes]
    share = 1 - still_variance(differences, known)
    rho = far_correlation(differences, channel.near)
    return replace(channel, repeated=round(share, 3) if share > _REPEATED else 0.0, rho_far=rho)


def _changes(read: Reader, planes: DenoisePlanes, channel: Channel, index: int, axis: int) -> Iterator[_Change]:
    """Yield the changes from a few frames to the next; dropped frames are left out."""
    last = read.shape[axis] - 2
    for start in np.unique(np.linspace(0, last, min(_PAIRS, last + 1)).round().astype(int)):
        block = read(_region(read.shape, planes.axes, index, axis, slice(start, start + 2), LOOK))
        first, second = (planes.prepare(frame, channel) for frame in as_frames(block, planes.axes, axis))
        if np.ptp(first.stabilised) and np.ptp(second.stabilised):
            level = gaussian_filter((first.stabilised + second.stabilised) / 2, SMOOTH)
            even = (second.stabilised - first.stabilised) / np.float32(np.sqrt(2))
            yield _Change(even, channel.left(level))


def _course(
    read: Reader, planes: DenoisePlanes, channel: Channel, index: int, axis: int
) -> tuple[tuple[float, float], float]:
    """Return how a channel drifts, px a frame along y and x, and its light in the last frame, in that of the first.

    Light is what lies above the darkest level. Both are measured in the middle of a few frames, for the record: the
    motion that is undone is measured between all frames.
    """

    def frame(at: int) -> Prepared:
        region = _region(read.shape, planes.axes, index, axis, slice(at, at + 1), LOOK)
        return planes.prepare(as_frames(read(region), planes.axes, axis)[0], channel)

    last = read.shape[axis] - 1
    step = min(FAR, last)
    starts = np.unique(np.linspace(0, last - step, _PAIRS).round().astype(int))
    pairs = [(frame(at), frame(at + step)) for at in starts]  # the first frame of all is among them, and the last one
    moved = [measure_motion(before.stabilised, after.stabilised) for before, after in pairs]
    dy, dx = np.median([[motion.dy / step, motion.dx / step] for motion in moved], axis=0)
    first, final = (float(one.even.mean() - channel.noise.offset) for one in (pairs[0][0], pairs[-1][1]))
    return (round(float(dy), 2), round(float(dx), 2)), round(final / first, 3) if first > 0 else 1.0


def _region(shape: tuple[int, ...], axes: Axes, index: int, axis: int, frames: slice, side: int) -> tuple[slice, ...]:
    """Return the middle of some frames of a channel; of other dimensions the middle entry."""
    region = [slice(n // 2, n // 2 + 1) for n in shape]
    for at in (axes.y, axes.x):
        start = max(shape[at] - side, 0) // 16 * 8  # on the grid of the network
        region[at] = slice(start, min(start + side, shape[at]))
    if axes.channel is not None:
        region[axes.channel] = slice(index, index + 1)
    region[axis] = frames
    return tuple(region)


def _share_given_back(kernel: DenoiseFrames) -> float:
    """Fuse a few frames of each channel, and return the largest share that was left to the frame alone."""
    # In float32, as whatever decides between methods: the choice must not depend on what a device computes fast.
    planes, shape = replace(kernel.planes, precision="float32"), kernel.read.shape
    kernel = replace(kernel, planes=planes)
    length = shape[kernel.axis]
    frames = middle(length, REACH)  # as many as are fused with a window on either side
    shares = [0.0]
    for index, channel in enumerate(planes.channels):
        if channel is None:
            continue
        region = _region(shape, planes.axes, index, kernel.axis, frames, TRIAL_SIDE)
        block = kernel.read(region)
        tile = Tile(region, tuple(slice(0, n) for n in block.shape), region)
        found = [
            fused
            for fused in kernel.fuse(as_frames(block, planes.axes, kernel.axis), tile, channel)
            if fused is not None
        ]
        shares += [float(np.mean([fused.missed.mean() for fused in found]))] if found else []
    return max(shares)
