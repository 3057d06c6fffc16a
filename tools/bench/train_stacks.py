"""Measure what training image to image in three dimensions brings over training it plane by plane.

Simulated stacks of filaments and spots, three pixels between planes, blurred as by a microscope and with few photons:
one pair is trained on, another stack is judged against the truth. Both trainings get the same processor time.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from bench.table import header, row
from napari_genrecon import predict, train
from napari_genrecon.errors import GenReconWarning
from napari_genrecon.training import read_options

SHAPE = (24, 256, 256)
DEPTH = 8  # planes of a block
SECONDS = 60.0  # of processor time
STEP = 3  # times that planes are further apart than pixels
FULL = 1000.0  # grey values of a bright structure
_MARGIN = 8  # planes beyond the stack that shine into it
_BLUR = (1.0, 1.5, 1.5)  # s.d. in planes and pixels

Found = dict[str, Any]
Kept = Callable[[str, Callable[[], Found]], Found]


def run(quick: bool, kept: Kept) -> None:
    """Print the table; `kept` returns what was measured before under a name, or measures."""
    header("stacks", "steps, plane by plane", "steps in 3D", "PSNR, plane by plane", "PSNR in 3D", "gain")
    for electrons in (3.0,) if quick else (3.0, 30.0):
        for seed in range(1 if quick else 2):
            name = f"{electrons:g} e-, seed {seed}"
            flat, deep = (
                kept(f"{name}, depth {depth}", lambda e=electrons, s=seed, d=depth: _measure(e, s, d))
                for depth in (None, DEPTH)
            )
            gain = deep["psnr"] - flat["psnr"]
            row(name, flat["steps"], deep["steps"], f"{flat['psnr']:.2f}", f"{deep['psnr']:.2f}", f"{gain:+.2f} dB")


def _measure(electrons: float, seed: int, depth: int | None) -> Found:
    clean, new = (_stack(np.random.default_rng([2028, seed, part])) for part in range(2))
    rng = np.random.default_rng([seed, int(electrons)])
    pair, seen = (_recorded(clean, electrons, rng), FULL * clean), _recorded(new, electrons, rng)
    steps = _steps_in(SECONDS, pair, depth)
    model = train("image2image", *pair, axes="ZYX", depth=depth, options=_options(steps, seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GenReconWarning)  # that the result is inferred
        made = predict(seen, model=model.card.name, axes="ZYX", device="cpu")
    return {"psnr": float(10 * np.log10(FULL**2 / np.mean((made - FULL * new) ** 2))), "steps": steps}


def _options(steps: int, seed: int) -> Any:
    return read_options({"kind": "image2image", "steps": steps, "seed": seed, "device": "cpu"})


def _steps_in(seconds: float, pair: tuple[np.ndarray, np.ndarray], depth: int | None) -> int:
    """Return how many steps take this much processor time here, scores and previews left out."""
    times = []
    for steps in (2, 2, 12):  # the first one loads torch
        began = time.process_time()
        train("image2image", *pair, axes="ZYX", depth=depth, options=_options(steps, 0))
        times.append(time.process_time() - began)
    return max(2, round(seconds * 10 / (times[2] - times[1])))


def _stack(rng: np.random.Generator) -> np.ndarray:
    """Return a stack (Z, Y, X) of filaments and spots, bright ones about 1."""
    sides = np.add(SHAPE, (2 * _MARGIN, 0, 0))
    scene = np.zeros(sides, np.float32)
    for _ in range(60):
        _draw_filament(rng, scene)
    spots = rng.integers((0, 0, 0), sides, (150, 3))
    np.add.at(scene, tuple(spots.T), rng.uniform(5, 15, len(spots)).astype(np.float32))
    seen = gaussian_filter(scene, _BLUR)[_MARGIN:-_MARGIN]
    return np.asarray(seen / np.percentile(seen, 99.5))


def _draw_filament(rng: np.random.Generator, scene: np.ndarray) -> None:
    """Add a smooth random walk of 300 pixels."""
    place, bright = rng.uniform(0, scene.shape), rng.uniform(0.4, 1)
    way = rng.normal(size=3) / (STEP, 1, 1)
    for _ in range(300):
        way += rng.normal(size=3) * (0.06 / STEP, 0.06, 0.06)
        way /= np.linalg.norm(way * (STEP, 1, 1))
        place += way
        voxel = tuple(np.round(place).astype(int))
        if all(0 <= at < n for at, n in zip(voxel, scene.shape, strict=True)):
            scene[voxel] += bright


def _recorded(clean: np.ndarray, electrons: float, rng: np.random.Generator) -> np.ndarray:
    """Return what a camera makes of `electrons` where it is bright, with 1 electron of read noise."""
    seen = 100 + 10 * (rng.poisson(electrons * clean + 0.5) + rng.normal(0, 1, clean.shape))
    return seen.round().clip(0).astype(np.uint16)
