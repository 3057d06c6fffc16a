"""Measure `check`: does it find structures that were added or erased, and is it silent otherwise?

Scenes with known truth, as a camera with shot noise and one with correlated noise record them; the noise is measured
from each image. Into the denoised image spots are faked, and out of it spots are erased, at random places.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from bundled import scenes

from bench.quality import _camera, _correlated
from bench.table import header, row
from napari_genrecon import check, denoise, measure_noise

SIDE, SPOTS, WIDTH = 256, 5, 1.5  # pixels; spots per scene; s.d. of a spot in pixels
KINDS: tuple[Callable[..., np.ndarray], ...] = (scenes.cells, scenes.filaments, scenes.puncta)


def run(quick: bool) -> None:
    """Print the table, over 24 scenes of each noise, or 6 if quick."""
    started, count = time.perf_counter(), 2 if quick else 8
    header("noise", "scenes", "truth: flagged", "denoised: flagged", *_titles())
    for name, noisy in (
        ("10 e-", lambda clean, i: _camera(clean, 10.0, i)),
        ("100 e-", lambda clean, i: _camera(clean, 100.0, i)),
        ("correlated, rho 0.6", lambda clean, i: _correlated(clean, 25, (0.6, 0.6), i)),
    ):
        cases = [(kind, i) for kind in KINDS for i in range(count)]
        found = np.array([_one(noisy(_scene(kind, i), i), i) for kind, i in cases])
        spots = SPOTS * len(cases)
        row(
            name, len(cases), *found[:, :2].sum(axis=0), *(f"{100 * n / spots:.1f} %" for n in found[:, 2:].sum(axis=0))
        )
    print(f"\nA flagged scene has a place beyond 6 s.d. {time.perf_counter() - started:.0f} s in all.")


def _titles() -> list[str]:
    return [f"{kind} spots of {height} s.d. found" for height in (5, 3) for kind in ("faked", "erased")]


def _scene(kind: Callable[..., np.ndarray], seed: int) -> np.ndarray:
    return 255.0 * kind(np.random.default_rng([2026, 12, seed]), (SIDE, SIDE))


def _one(case: object, seed: int) -> tuple[int, ...]:
    noise = measure_noise(case.noisy)
    result = denoise(case.noisy, noise=noise, device="cpu")
    flagged = [not check(case.noisy, given, noise=noise).verdict.passed for given in (case.clean, result)]
    places = np.random.default_rng([seed, 9]).integers(12, SIDE - 12, (SPOTS, 2))
    found = []
    for height in (5, 3):
        for sign in (1, -1):
            changed = result + sign * _spots(places, height, noise, result)
            found.append(_found(check(case.noisy, changed, noise=noise).verdict.places, places, sign))
    return (*map(int, flagged), *found)


def _spots(places: np.ndarray, height: float, noise: object, result: np.ndarray) -> np.ndarray:
    y, x = np.indices(result.shape)
    unit = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * WIDTH**2)) for a, b in places)
    return height * noise.sigma_at(result) * unit


def _found(found: tuple, places: np.ndarray, sign: int) -> int:
    """Return how many spots have a finding of the right kind within 4 pixels."""
    right = np.array([(place.y, place.x) for place in found if np.sign(place.z) == -sign]).reshape(-1, 2)
    return sum(bool((np.hypot(*(right - place).T) < 4).any()) for place in places)
