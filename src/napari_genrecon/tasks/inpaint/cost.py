"""Measure how long filling takes on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from napari_genrecon.models import find_model, load_network
from napari_genrecon.numerics.gaussian_field import SMOOTHEST, interpolate
from napari_genrecon.numerics.inpaint_inputs import TOLERANCE, fill_planes
from napari_genrecon.tasks.inpaint.fill import DRAWN, ROUNDS, STEPS
from napari_genrecon.tasks.inpaint.planes import TURNS, biharmonic
from napari_genrecon.tasks.plan import TRIAL_SIDE

__all__ = ["PROBE", "search_seconds", "seconds_per_filled", "steps_per_pixel"]

# Side of what is timed, in px: smaller ones measure the call's overhead, larger ones would delay the answer by seconds.
PROBE = 128
_SEARCHED = TRIAL_SIDE**2  # pixels on which the search for a recipe runs all steps, twice


def steps_per_pixel(method: str, device: str, steps: int = STEPS) -> list[float]:
    """Return the seconds per pixel of every step of a tile, for the method ``"network"`` or ``"pnp"``."""
    first, residual, fill = _interpolations()
    if method == "pnp":
        # A step runs the network once and interpolates its residual once.
        step = load_network(find_model("auto", "denoise"), device).seconds_per_pixel() + residual
        return [first, *[step] * steps]
    return [0.0, fill, *[load_network(find_model("auto", "inpaint"), device).seconds_per_pixel()] * TURNS]


def search_seconds(method: str, device: str, n: int = 1) -> float:
    """Return the seconds per channel of the search for a recipe, and of the spread of `n` fillings."""
    if method == "network":
        return 0.0
    other = sum(steps_per_pixel("network", device)) if method == "auto" else 0.0
    # Two runs of all steps (residual smooth or as measured), and one for each sample whose spread is measured.
    runs = 2 + (min(n, DRAWN) if n > 1 else 0)
    return _SEARCHED * (runs * sum(steps_per_pixel("pnp", device)) + other)


@lru_cache(maxsize=1)
def seconds_per_filled() -> float:
    """Return the seconds of the biharmonic equation per filled pixel."""
    values, unknown = _probe()
    return _timed(lambda: biharmonic(values, unknown, 0.0)) / int(np.count_nonzero(unknown))


@lru_cache(maxsize=1)
def _interpolations() -> tuple[float, float, float]:
    """Return the seconds per pixel of a first interpolation, one of a residual, and all inputs of the network."""
    values, unknown = _probe()
    jobs: list[Callable[[], Any]] = [
        lambda: interpolate(values, unknown, SMOOTHEST),
        lambda: interpolate(values, unknown, SMOOTHEST, rounds=ROUNDS, tolerance=TOLERANCE),
        lambda: fill_planes(values, unknown, 1.0),
    ]
    first, residual, fill = (_timed(job) / values.size for job in jobs)
    return first, residual, fill


def _probe() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(PROBE, PROBE)).astype(np.float32), rng.random((PROBE, PROBE)) < 0.5  # half is missing


def _timed(job: Callable[[], Any]) -> float:
    job()  # the first run may import and allocate
    started = time.perf_counter()
    job()
    return time.perf_counter() - started
