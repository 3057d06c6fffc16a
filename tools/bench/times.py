"""Measure how well the time of a run is predicted: before it, and after its first five seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from bundled import scenes

from bench.table import header, row
from napari_genrecon import gaussian_psf
from napari_genrecon.tasks import find_task
from napari_genrecon.widgets.words import TimeLeft

AFTER = 5.0  # seconds into the run

Clock = Callable[[], float]


def noisy(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Return simulated cells with photon noise, on planes of this shape."""
    rng = np.random.default_rng(seed)
    planes = [rng.poisson(20 + 200 * scenes.cells(rng, shape[-2:])) for _ in range(int(np.prod(shape[:-2])) or 1)]
    return np.stack(planes).reshape(shape).astype(np.uint16)


def text_mask(shape: tuple[int, int]) -> np.ndarray:
    """Return a mask of thin bars, like lettering, over half of the image."""
    mask = np.zeros(shape, bool)
    rows, columns = np.indices(shape)
    mask[(rows // 6 % 5 == 0) & (columns // 4 % 3 != 0)] = True
    mask[shape[0] // 2 :] = False
    return mask


def cases() -> dict[str, tuple[str, np.ndarray, dict[str, Any]]]:
    """Return task, image and options by the name of the case."""
    plane, stack = noisy((512, 512)), noisy((8, 128, 128))
    mask, random = text_mask((1024, 1024)), np.random.default_rng(0).random((512, 512)) < 0.5
    return {
        "denoise 2048²": ("denoise", noisy((2048, 2048)), {}),
        "denoise 12 planes of 256²": ("denoise", noisy((12, 256, 256)), {}),
        "deblur 512², Gaussian": ("deblur", plane, {"psf": gaussian_psf(4.0)}),
        "deblur 512², RL, 300 rounds": ("deblur", plane, {"psf": 4.0, "method": "rl", "iterations": 300}),
        "deblur 8 x 128², in 3D": ("deblur", stack, {"psf": gaussian_psf((5.0, 4.0, 4.0))}),
        "inpaint 1024², text": ("inpaint", noisy((1024, 1024)), {"mask": mask}),
        "inpaint 512², half missing, pnp": ("inpaint", plane, {"mask": random, "method": "pnp"}),
        "inpaint 512², half missing, 3 fillings": ("inpaint", plane, {"mask": random, "n": 3}),
        "inpaint 512², half missing, biharmonic": ("inpaint", plane, {"mask": random, "method": "biharmonic"}),
        "upscale x2 1536²": ("upscale", noisy((1536, 1536)), {}),
        "upscale x3 512², consistent": ("upscale", plane, {"factor": 3, "consistent": True, "noise": 0}),
        "upscale x2 512², self-ensemble": ("upscale", plane, {"self_ensemble": True}),
        "upscale_z, 12 x 192², planes 3 px apart": ("upscale_z", noisy((12, 192, 192)), {"spacing": 3.0}),
    }  # fmt: skip


def predicted(task: str, image: np.ndarray, options: dict[str, Any], clock: Clock) -> tuple[float, float | None, float]:
    """Return the seconds predicted before a run and after its first five, and those it took."""
    found = find_task(task)
    chosen = found.options(**options, device="cpu")
    found.expected_seconds(image, chosen)  # loads the network
    before, start = found.expected_seconds(image, chosen), clock()
    left, after = TimeLeft(), None
    for progress in found.steps(image, chosen):
        now = clock() - start
        seconds = left.seconds(progress, now)
        if after is None and now >= AFTER and seconds is not None:
            after = now + seconds
    return before, after, clock() - start


def run(only: str, *, processor: bool) -> None:
    """Print the table; `processor` counts processor time, on a machine that is shared (one thread only)."""
    clock = time.process_time if processor else time.perf_counter
    if processor:
        time.perf_counter = clock  # the clock of the tasks
    header("seconds", "predicted before", "predicted after 5 s", "taken", "before / taken", "after 5 s / taken")
    for name, (task, image, options) in cases().items():
        if only in name:
            before, after, taken = predicted(task, image, options, clock)
            later = ("", "") if after is None else (f"{after:.1f}", f"{after / taken:.2f}")
            row(name, f"{before:.1f}", later[0], f"{taken:.1f}", f"{before / taken:.2f}", later[1])
