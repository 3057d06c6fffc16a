"""Measure what training a denoiser on one's own images brings, beside what held-out crops said of it.

Simulated repeats of one field, of scenes that the bundled weights never saw: the left half is trained on, the right
half is judged against the truth. Each training takes about 60 s of processor time from the bundled weights.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
from bundled import scenes
from scipy.ndimage import gaussian_filter

from bench.table import header, row
from napari_genrecon import denoise, train
from napari_genrecon.training import read_options

SIDE = 512
SECONDS = 60.0
PEDESTAL = 400  # grey values of a dark pixel
FULL = 255.0  # range of the scenes in grey values

Images = list[np.ndarray]


def run(quick: bool, only: str = "") -> None:
    """Print the table; `only` keeps the rows whose name contains it."""
    started = time.perf_counter()
    header("images", "recipe", "n", "gain (truth)", "held-out score", "share learnt", "kept", "PSNR of bundled")
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"GENRECON_RUNS": f"{folder}/runs", "GENRECON_MODELS": f"{folder}/models"}
        steps = _steps_in(SECONDS)
        for noise, electrons, recipe in _cases():
            name = f"{noise}, {electrons:g} e-"
            if only in f"{name}, {recipe}":
                found = [_train(noise, electrons, recipe, seed, steps) for seed in range(1 if quick else 4)]
                _report(name, recipe, np.array(found))
    print(f"\n{steps} steps each; means over n scenes, least gain in brackets.")
    print(f"{time.perf_counter() - started:.0f} s in all.")


def _cases() -> Iterator[tuple[str, float, str]]:
    for noise in NOISE:
        for electrons in (10.0, 30.0):
            for recipe in RECIPES:
                yield noise, electrons, recipe


def _report(name: str, recipe: str, found: np.ndarray) -> None:
    truth, held, share, kept, base = found.mean(axis=0)
    row(
        name, recipe, len(found), f"{truth:+.2f} ({found[:, 0].min():+.2f})", f"{held:+.2f}", f"{share:.2f}",
        f"{kept * len(found):.0f} of {len(found)}", f"{base:.2f}",
    )  # fmt: skip


def _train(noise: str, electrons: float, recipe: str, seed: int, steps: int) -> tuple[float, ...]:
    """Return gain and held-out score in dB, share of the learnt weights, whether they are kept, and PSNR before."""
    scene = FULL * scenes.fluorescence(np.random.default_rng([2027, seed]), (SIDE, SIDE))
    left, right = scene[:, : SIDE // 2], scene[:, SIDE // 2 :]
    rng = np.random.default_rng([seed, int(electrons)])
    kind, frames = RECIPES[recipe]
    repeats = [NOISE[noise](left, electrons, rng) for _ in range(frames)]
    test = NOISE[noise](right, electrons, rng)
    options = read_options({"kind": kind, "steps": steps, "seed": seed, "device": "cpu"})
    pair = (NOISE[noise](left, 100 * electrons, rng),) if kind == "care" else ()
    model = train(kind, repeats if frames > 1 else repeats[0], *pair, options=options)
    before, after = (_psnr(denoise(test, model=name, device="cpu"), right) for name in ("auto", model.card.name))
    found = model.card.calibration
    return after - before, found["gain_db"], found["share"], float(found["share"] > 0), before


def _psnr(result: np.ndarray, clean: np.ndarray) -> float:
    return float(10 * np.log10(FULL**2 / np.mean((result - PEDESTAL - clean) ** 2)))


def _steps_in(seconds: float) -> int:
    """Return how many steps of the default batch take this much processor time here."""
    rng = np.random.default_rng(0)
    field = FULL * scenes.fluorescence(rng, (SIDE // 2, SIDE // 2))
    repeats = [_confocal(field, 30, rng) for _ in range(2)]
    times = []
    for steps in (2, 8):
        began = time.process_time()
        train("noise2noise", repeats, options=read_options({"kind": "noise2noise", "steps": steps, "device": "cpu"}))
        times.append(time.process_time() - began)
    return max(2, round(seconds * 6 / max(times[1] - times[0], 1e-3)))


def _confocal(clean: np.ndarray, electrons: float, rng: np.random.Generator) -> np.ndarray:
    """Add shot noise of `electrons` at the full range and 2 electrons of read noise: white."""
    gain = FULL / electrons
    grey = gain * (rng.poisson(np.maximum(clean, 0) / gain) + rng.normal(0, 2.0, clean.shape))
    return (grey + PEDESTAL).round().clip(0).astype(np.uint16)


def _widefield(clean: np.ndarray, electrons: float, rng: np.random.Generator) -> np.ndarray:
    """Add such noise, smoothed as by a camera whose images were resampled: correlated over 2 pixels."""
    noise = _confocal(clean, electrons, rng).astype(float) - PEDESTAL - clean
    return (clean + gaussian_filter(noise, 1.0) + PEDESTAL).round().clip(0).astype(np.uint16)


NOISE: dict[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "confocal-like, white": _confocal,
    "widefield-like, correlated": _widefield,
}
RECIPES = {
    "Noise2Noise, 2 frames": ("noise2noise", 2),
    "Noise2Noise, 4 frames": ("noise2noise", 4),
    "CARE, one pair": ("care", 1),
    "Noise2Void, one image": ("noise2void", 1),
}
