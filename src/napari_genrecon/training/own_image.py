"""Train an upscaler further on the image that it is to enlarge.

Small structure often recurs at several sizes within one image: the image and its own shrunk copy are a pair to learn
from, and no other image is needed (Shocher, Cohen, Irani, "Zero-shot super-resolution using deep internal learning",
CVPR 2018; from trained weights, as in Soh, Cho, Cho, "Meta-transfer learning for zero-shot super-resolution", CVPR
2020). It does not help every image, and can harm: a pattern of one size alone looks different once it is shrunk. So the
trained weights are mixed with those of before (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022,
section 3) in a share that must pass two trials. A quarter of the pixels, in squares all over the image, is never
trained on, and must be enlarged better from the shrunk copy. And the image itself, enlarged and shrunk again, must come
back no worse than before, as it would from the truth; this is not trained for either, or else it would tell nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_genrecon.engine.resample import shrink
from napari_genrecon.models import ModelSpec
from napari_genrecon.models._runtime import plain_errors
from napari_genrecon.models.srnet import UpscaleNet
from napari_genrecon.training.fine_tune import fine_tune, part_of, saved, upscaling_network

__all__ = ["OwnLesson", "Taught", "deciding", "draw_own", "kept_out", "smallest_side", "train_on_image", "trials"]

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

# All in pixels of the shrunk copy.
_CROP = 48
_EDGE = 2  # of a crop: what is beyond it is not seen
_SQUARE = 16  # sides of what is never trained on
_SMALLEST = 2 * _SQUARE + _EDGE  # of a plane: one such square
_JUDGED = 100_000  # of all planes: a trial takes about as long as a step of training
_WINDOW = 64  # least side of what is judged of a larger plane

_SIZE = 8  # crops per batch
_SHARES = tuple(tenths / 10 for tenths in range(1, 11))
_LEAST_GAIN = 0.05  # dB; with less it is chance as often as not


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLesson:
    """How to train.

    Attributes
    ----------
    factor : {2, 3, 4}
        How many times more pixels along either side.
    steps : int
        How many.
    seed : int
        Decides the batches.
    rate : float
        Learning rate at the start; it falls to zero.
    """

    factor: int
    steps: int
    seed: int
    rate: float = 4e-4


@dataclass(frozen=True, slots=True)
class Taught:
    """What came of it.

    Attributes
    ----------
    weights : bytes
        Of the whole network, as safetensors.
    share : float
        Of what was learnt in the weights; 0 if they are those of before.
    gain : float
        What that share brings on the pixels that were never trained on, in dB.
    """

    weights: bytes
    share: float
    gain: float


@dataclass(frozen=True, slots=True)
class _Pair:
    """A plane, its shrunk copy, and which pixels of the plane are not trained on."""

    small: Image
    large: Image
    out: Mask


def smallest_side(factor: int) -> int:
    """Pixels of a plane that is large enough to learn from, along its shorter side."""
    return factor * _SMALLEST


def kept_out(shape: tuple[int, int], factor: int) -> Mask:
    """Which pixels (Y, X) of a plane of this shape are never trained on: every second square of every second row."""
    rows, columns = (np.arange(n) // (factor * _SQUARE) % 2 == 1 for n in shape)
    return rows[:, None] & columns[None]


def train_on_image(
    planes: Sequence[Image], spec: ModelSpec, lesson: OwnLesson, device: str
) -> Generator[float | None, None, Taught]:
    """Fine-tune the network of `spec`, one step at a time.

    Parameters
    ----------
    planes : sequence of (Y, X) ndarray
        What to learn from, noise-free, in units of the channel's s.d., a centre subtracted; no side below
        `smallest_side`.
    spec : ModelSpec
        Of an upscaler, whose weights are the start.
    lesson : OwnLesson
        How.
    device : str
        Where to compute.

    Yields
    ------
    float or None
        The loss of every step: mean absolute error in units of the channel's s.d. Then None for every trial.

    Returns
    -------
    Taught
        The weights and what they are good for.

    Raises
    ------
    MemoryError
        If it does not fit into the device's memory.
    InferenceError
        If the network fails for any other reason.
    """
    pairs = [_pair(plane, lesson.factor) for plane in planes]
    whole = upscaling_network(spec).to(device).to(memory_format=torch.channels_last).train()
    net = part_of(whole, lesson.factor)
    before = [weight.detach().clone() for weight in net.parameters()]
    loss_at = partial(_loss, net, pairs, lesson, device)
    with plain_errors(spec.name):
        yield from fine_tune(net, loss_at, steps=lesson.steps, rate=lesson.rate)
        share, gain = yield from _best_share(net, before, pairs, lesson.factor, device)
    return Taught(saved(whole), share, gain)


def trials(planes: Sequence[NDArray[Any]], factor: int) -> tuple[int, int]:
    """How many trials follow the training on these planes, and the pixels that go through the network in each."""
    shapes = [tuple(n // factor for n in plane.shape) for plane in planes]
    windows = [window for shape in shapes for window in _windows(shape, len(planes))]
    return 2 * (1 + len(_SHARES)), sum((y.stop - y.start) * (x.stop - x.start) for y, x in windows)


def deciding(lesson: OwnLesson, device: str) -> dict[str, Any]:
    """What decides the weights beside the planes and the start: the lesson, and where it is computed."""
    return {**asdict(lesson), "device": device, "threads": torch.get_num_threads()}


def draw_own(pairs: Sequence[_Pair], lesson: OwnLesson, step: int) -> tuple[Image, Image, Image]:
    """Crops of an image, shrunk and as they are: a pure function of the image, the lesson and the step.

    Returns
    -------
    small : (B, 1, H, W) ndarray
        What the network sees.
    large : (B, 1, H * factor, W * factor) ndarray
        What it should answer.
    weight : (B, 1, H * factor, W * factor) ndarray
        1 where it is told so, 0 where it is judged, and at the edges.
    """
    rng = np.random.default_rng([lesson.seed, step])
    side = min(_CROP, *(n for pair in pairs for n in pair.small.shape))
    crops = [_crop(rng, pairs[int(rng.integers(len(pairs)))], side, lesson.factor) for _ in range(_SIZE)]
    small, large, weight = (np.stack([crop[i] for crop in crops])[:, None].astype(np.float32) for i in range(3))
    edge = _EDGE * lesson.factor
    weight[..., :edge, :] = weight[..., -edge:, :] = weight[..., :edge] = weight[..., -edge:] = 0
    return small, large, weight


def _pair(plane: Image, factor: int) -> _Pair:
    height, width = (n - n % factor for n in plane.shape)
    large = plane[:height, :width]
    return _Pair(shrink(large, factor), large, kept_out(large.shape, factor))


def _crop(rng: np.random.Generator, pair: _Pair, side: int, factor: int) -> tuple[NDArray[Any], ...]:
    """(small, large, weight) of one place, turned and mirrored."""
    y, x = (int(rng.integers(n - side + 1)) for n in pair.small.shape)
    fine = np.s_[factor * y : factor * (y + side), factor * x : factor * (x + side)]
    parts = pair.small[y : y + side, x : x + side], pair.large[fine], ~pair.out[fine]
    quarters, mirrored = int(rng.integers(4)), rng.random() < 0.5
    return tuple(np.rot90(part[::-1] if mirrored else part, quarters) for part in parts)


def _loss(net: UpscaleNet, pairs: Sequence[_Pair], lesson: OwnLesson, device: str, step: int) -> Tensor:
    small, large, weight = (torch.from_numpy(array).to(device) for array in draw_own(pairs, lesson, step))
    error = net(small, torch.zeros_like(small), lesson.factor) - large
    return (error.abs() * weight).sum() / weight.sum()


def _best_share(
    net: UpscaleNet, before: Sequence[Tensor], pairs: Sequence[_Pair], factor: int, device: str
) -> Generator[None, None, tuple[float, float]]:
    """Leave the best mix in the network, and tell its share of what was learnt and its gain in dB."""
    after = [weight.detach().clone() for weight in net.parameters()]
    judged, wrong, misfit = _judged(pairs, factor), dict[float, float](), dict[float, float]()
    for share in (0.0, *_SHARES):
        _mix(net, before, after, share)
        wrong[share] = sum(_wrong(net, pair, factor, device) for pair in judged)
        yield
        misfit[share] = sum(_misfit(net, pair, factor, device) for pair in judged)
        yield
    fit = [share for share in wrong if misfit[share] <= misfit[0.0]]
    best = min(fit, key=wrong.__getitem__)
    gain = float(10 * np.log10(wrong[0.0] / wrong[best])) if wrong[best] > 0 else 0.0
    if gain < _LEAST_GAIN:
        best = gain = 0.0
    _mix(net, before, after, best)
    return best, gain


@torch.no_grad()
def _mix(net: UpscaleNet, before: Sequence[Tensor], after: Sequence[Tensor], share: float) -> None:
    for weight, old, new in zip(net.parameters(), before, after, strict=True):
        weight.copy_(torch.lerp(old, new, share) if share else old)


def _judged(pairs: Sequence[_Pair], factor: int) -> list[_Pair]:
    """Parts of every plane, all over it, so much that judging them takes little time."""
    judged = []
    for pair in pairs:
        for small in _windows(pair.small.shape, len(pairs)):
            fine = tuple(slice(factor * part.start, factor * part.stop) for part in small)
            judged.append(_Pair(pair.small[small], pair.large[fine], pair.out[fine]))
    return judged


def _windows(shape: tuple[int, ...], n_planes: int) -> list[tuple[slice, ...]]:
    """Rows and columns of what is judged of a shrunk copy (Y, X), one of so many: the whole, or an even sample."""
    side = max(_SMALLEST, int((_JUDGED / n_planes) ** 0.5))
    return list(product(*(_spread(n, side) for n in shape)))


def _spread(n: int, most: int) -> list[slice]:
    """Equal slices of about `most` out of `n` pixels, each in the middle of its share."""
    if n <= most:
        return [slice(0, n)]
    count = max(1, most // _WINDOW)
    width = most // count
    starts = [(2 * i + 1) * n // (2 * count) - width // 2 for i in range(count)]
    return [slice(start, start + width) for start in starts]


def _wrong(net: UpscaleNet, pair: _Pair, factor: int, device: str) -> float:
    """The summed squared error of what was not trained on."""
    made = _enlarged(net, pair.small, factor, device)
    inner = (slice(_EDGE * factor, -_EDGE * factor),) * 2
    error = (made - pair.large)[inner][pair.out[inner]]
    return float(np.square(error, dtype=np.float64).sum())


def _misfit(net: UpscaleNet, pair: _Pair, factor: int, device: str) -> float:
    """The summed squared difference between a part of the plane and what it becomes, shrunk again."""
    height, width = pair.small.shape
    plane = pair.large[:height, :width]
    error = (shrink(_enlarged(net, plane, factor, device), factor) - plane)[_EDGE:-_EDGE, _EDGE:-_EDGE]
    return float(np.square(error, dtype=np.float64).sum())


def _enlarged(net: UpscaleNet, plane: Image, factor: int, device: str) -> Image:
    tensor = torch.from_numpy(np.ascontiguousarray(plane, np.float32))[None, None].to(device)
    with torch.inference_mode():
        made: Image = net(tensor, torch.zeros_like(tensor), factor)[0, 0].cpu().numpy()
    return made
