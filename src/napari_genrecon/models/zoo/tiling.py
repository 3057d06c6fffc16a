"""Measure how an unknown network can be cut into tiles, and what it costs."""

from __future__ import annotations

import logging
import math
from collections.abc import Generator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from napari_genrecon.engine.run import Progress
from napari_genrecon.models.failures import plain_errors
from napari_genrecon.models.first_import import without_triton
from napari_genrecon.models.limits import PeakMemory

__all__ = ["CORE", "SAME", "Cost", "Tiling", "measure_cost", "measure_tiling"]

SAME = 2e-5
"""Largest difference between tiles and the whole that counts as none, in units of the range of grey values. Networks of
a limited field differ by 1e-6 at most; of the untrained ones in tests/models/test_zoo.py one whose windows of attention
are cut differs by 2.7e-4, one with means of the whole image by 5e-4, both with the widest halo."""

_HALOS = (16, 32, 64, 128)  # pixels; wider ones make tiles so large that whole planes are no worse
_STRIDES = (1, 8, 16, 64)  # pixels: sides of the windows of attention, and of halvings
CORE = 32  # pixels of a tile along the cut and across it: larger ones take minutes with large networks


class Tiling(NamedTuple):
    """How a network is cut: pixels of the halo and of the stride, and by how much tiles differed from the whole.

    A `halo` of None: tiles change the result, however wide the halo.
    """

    halo: int | None
    stride: int
    difference: float


class Cost(NamedTuple):
    """What a network takes per pixel of its input."""

    bytes_per_pixel: int
    work: float  # MFLOP


def measure_tiling(network: nn.Module, scale: int, multiple: int) -> Generator[Progress, None, Tiling]:
    """Find the smallest stride and halo with which tiles of a network equal the whole.

    Parameters
    ----------
    network : Module
        Takes (1, 1, H, W) on a scale of about 0 to 1.
    scale : int
        Output pixels per input pixel.
    multiple : int
        Sides of the images must be multiples of this.
    """
    worst = 0.0
    # From small to large, so that the first pair that works costs least when tiles are run.
    for step, stride in enumerate(dict.fromkeys(math.lcm(multiple, each) for each in _STRIDES)):
        yield Progress(0, 0, "measuring how the network can be cut into tiles")
        # Along both axes, as windows need not be square. The whole is run once for all halos.
        strips = [_strip(network, scale, stride, turned=turned) for turned in (False, True)]
        for halo in dict.fromkeys(-(-each // stride) * stride for each in _HALOS):
            yield Progress(0, 0, f"measuring whether tiles equal the whole ({step + 1})")
            worst = max(_difference(network, scale, strip, halo) for strip in strips)
            if worst <= SAME:
                return Tiling(halo, stride, worst)
    return Tiling(None, 1, worst)


def measure_cost(network: nn.Module, multiple: int) -> Cost:
    """Run one small plane, and count its memory and its arithmetic."""
    side = -(-CORE // multiple) * multiple
    with PeakMemory() as memory:
        _run(network, _scene(side, side))
    logging.getLogger("torch.utils.flop_counter").setLevel(logging.ERROR)  # it would warn of that
    with without_triton():
        from torch.utils.flop_counter import FlopCounterMode
    with FlopCounterMode(display=False) as flops:
        _run(network, _scene(side, side))
    return Cost(max(16, round(memory.peak / side**2)), max(0.01, flops.get_total_flops() / 1e6 / side**2))


class _Strip(NamedTuple):
    """An image (1, 1, H, W), the dimension in which it is cut, a core (start, length) in it, and the result there."""

    image: Tensor
    along: int
    core: tuple[int, int]
    made: Tensor


def _strip(network: nn.Module, scale: int, stride: int, *, turned: bool) -> _Strip:
    """Run a network on a strip that ends in pixels of great contrast, beside a core that lies off the edge."""
    core, widest = (-(-each // stride) * stride for each in (CORE, _HALOS[-1]))
    # The core starts at a multiple of the stride, and so far inside that the widest halo does not reach the edge.
    start = stride + widest
    # The square of the scene is darker than the rest of the image, which means of the whole notice.
    image = torch.cat([_scene(core, start + core).square(), _contrast(core, widest + 2 * core)], dim=-1)
    image = image.transpose(-1, -2) if turned else image
    along = -2 if turned else -1
    return _Strip(image, along, (start, core), _run(network, image).narrow(along, start * scale, core * scale))


def _difference(network: nn.Module, scale: int, strip: _Strip, halo: int) -> float:
    """Return by how much the core of a tile differs from that of the whole strip."""
    start, core = strip.core
    # As the engine cuts: the core with its halo, of which only the core is kept.
    tile = _run(network, strip.image.narrow(strip.along, start - halo, core + 2 * halo))
    return float((strip.made - tile.narrow(strip.along, halo * scale, core * scale)).abs().max())


def _run(network: nn.Module, image: Tensor) -> Tensor:
    with plain_errors("of this file"), torch.inference_mode():
        made: Tensor = network(image.contiguous())
    return made


def _scene(height: int, width: int) -> Tensor:
    """Return an image (1, 1, H, W) of 0 to 1 with edges, gradients and noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    scene = 0.4 + 0.2 * np.sin(x / 17) * np.cos(y / 11)
    for _ in range(height * width // 500):
        cy, cx, r = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(2, 9)
        scene[(y - cy) ** 2 + (x - cx) ** 2 < r**2] = rng.uniform(0, 1)
    return torch.from_numpy(np.clip(scene + rng.normal(0, 0.05, scene.shape), 0, 1).astype(np.float32))[None, None]


def _contrast(height: int, width: int) -> Tensor:
    """Return an image (1, 1, H, W) of black and white pixels, unlike any scene.

    A network that looks at the mean of all that it sees would not notice a cut in an image that is alike everywhere.
    """
    return torch.from_numpy(np.random.default_rng(1).integers(0, 2, (1, 1, height, width)).astype(np.float32))
