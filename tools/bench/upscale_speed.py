"""Measure time and memory of upscaling by 2, on an image of one megapixel."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from bench.memory import peak
from bench.table import header, row
from napari_genrecon import upscale
from napari_genrecon.axes import infer_axes
from napari_genrecon.models import find_model, runtime
from napari_genrecon.tasks.plan import plan_grid

SIDE = 1000
_JOB = f"""
import numpy as np
from napari_genrecon import upscale
upscale(np.random.default_rng(0).random(({SIDE}, {SIDE}), np.float32), noise=0, device="cpu")
"""
_BARE = "import torch, napari_genrecon.models as m; m.load_network(m.find_model('auto', 'upscale'), 'cpu')"


def run(rounds: int) -> None:
    """Print the tables."""
    image = np.random.default_rng(0).random((SIDE, SIDE), np.float32)
    spec = find_model("auto", "upscale")
    network = runtime.load_network(spec, "cpu")
    grid = plan_grid(image.shape, infer_axes(image.shape), spec, tile=None, device="cpu")

    def tiles() -> None:
        for tile in grid.tiles():
            network(image[tile.src], 0.0, 2)

    jobs: dict[str, Callable[[], object]] = {
        "network alone, same tiles": tiles,
        "`upscale`, x2, noise=0": lambda: upscale(image, noise=0, device="cpu"),
        "`upscale`, x2, noise=0, consistent": lambda: upscale(image, noise=0, consistent=True, device="cpu"),
    }
    tiles()
    # In turn, round after round, so that a slow moment of the machine hits all alike.
    times = [{name: _timed(job) for name, job in jobs.items()} for _ in range(rounds)]
    header(
        f"{SIDE}x{SIDE} float32, {torch.get_num_threads()} threads", "best (s)", "median (s)", "ratio to the network"
    )
    for name in jobs:
        seconds = [t[name] for t in times]
        ratio = statistics.median(t[name] / t["network alone, same tiles"] for t in times)
        row(name, f"{min(seconds):.2f}", f"{statistics.median(seconds):.2f}", f"{ratio:.2f}")
    print()
    bare, whole = peak(_BARE), peak(_JOB)
    header("peak anonymous memory", "GB")
    row("torch and the network loaded, nothing run", f"{bare / 1e9:.2f}")
    row("the whole job", f"{whole / 1e9:.2f}")
    print()


def _timed(job: Callable[[], object]) -> float:
    started = time.perf_counter()
    job()
    return time.perf_counter() - started
