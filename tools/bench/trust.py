"""Measure `check`: does it find structures that were added or erased, and blur, and is it silent otherwise?

Scenes with known truth, as a camera with shot noise and one with correlated noise record them; the noise is measured
from each image. Into the denoised image spots are faked, and out of it spots are erased, at random places; and it, or
the truth, is blurred. Then noise alone, of every correlation, against the truth: nothing may be found there.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.signal import lfilter

from bench import unseen
from bench.quality import _camera, _correlated
from bench.table import header, row
from napari_genrecon import NoiseModel, check, denoise, measure_noise
from napari_genrecon.checks.trust import check_plane, verdict

SIDE, SPOTS, WIDTH = 256, 5, 1.5  # pixels; spots per scene; s.d. of a spot in pixels
BLURS = (0.5, 1.0, 1.5)  # pixels, s.d.
STRENGTHS = (5, 7)  # s.d. of the noise, averaged over the spot


def run(quick: bool, only: str = "") -> None:
    """Print the tables, over 9 scenes of each noise, or 3 if quick; `only` takes the rows whose name contains it."""
    started, count = time.perf_counter(), 1 if quick else 3
    spots = [f"{kind} spots of {z} s.d. found" for z in STRENGTHS for kind in ("faked", "erased")]
    blurs = [f"truth blurred by {width} px: flagged" for width in BLURS]
    header("noise", "scenes", "truth: flagged", "denoised: flagged", *spots, *blurs, "denoised, then by 1 px: flagged")
    for name, noisy in (
        ("10 e-", lambda clean, i: _camera(clean, 10.0, i)),
        ("100 e-", lambda clean, i: _camera(clean, 100.0, i)),
        ("1000 e-", lambda clean, i: _camera(clean, 1000.0, i)),
        ("correlated, rho 0.6", lambda clean, i: _correlated(clean, 25, (0.6, 0.6), i)),
    ):
        if only not in name:
            continue
        cases = [noisy(_scene(kind, i), i) for kind in unseen.KINDS for i in range(count)]
        found = np.sum([_one(case, i) for i, case in enumerate(cases)], axis=0)
        shares = (f"{100 * n / (SPOTS * len(cases)):.1f} %" for n in found[2:6])
        row(name, len(cases), *found[:2], *shares, *found[6:])
    if only in "noise alone":
        _noise_alone(3 if quick else 25)
    print(f"\n{time.perf_counter() - started:.0f} s in all.")


def _scene(kind: Callable[..., np.ndarray], seed: int) -> np.ndarray:
    return 255.0 * kind(np.random.default_rng([2026, 12, seed]), (SIDE, SIDE))


def _one(case: object, seed: int) -> tuple[int, ...]:
    noise = measure_noise(case.noisy)
    result = denoise(case.noisy, noise=noise, device="cpu")
    flagged = [_flagged(case, given, noise) for given in (case.clean, result)]
    blurred = [_flagged(case, gaussian_filter(case.clean, width), noise) for width in BLURS]
    blurred.append(_flagged(case, gaussian_filter(result, 1.0), noise))
    places = np.random.default_rng([seed, 9]).integers(12, SIDE - 12, (SPOTS, 2))
    found = []
    for strength in STRENGTHS:
        for sign in (1, -1):
            changed = result + sign * _spots(places, strength, noise, result)
            figures, _ = check_plane(case.noisy.astype(float), changed, noise, step=0.0, plane=())
            found.append(_found(verdict([figures]).places, places, sign))
    return (*flagged, *found, *blurred)


def _flagged(case: object, given: np.ndarray, noise: NoiseModel) -> int:
    return int(not check(case.noisy, given, noise=noise).verdict.passed)


def _spots(places: np.ndarray, strength: float, noise: NoiseModel, result: np.ndarray) -> np.ndarray:
    """Return spots that the noise, averaged with their own shape as the window, leaves `strength` s.d. high."""
    y, x = np.indices(result.shape)
    unit = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * WIDTH**2)) for a, b in places)
    lags = np.arange(-6 * int(WIDTH + 1), 6 * int(WIDTH + 1) + 1)
    overlap = np.exp(-(lags**2) / (4 * WIDTH**2))  # of the shape with itself
    grain = [
        float((overlap * np.where(lags == 0, 1.0, max(rho, 0.0) ** (lags**2))).sum())
        for rho in (noise.rho_y, noise.rho_x)
    ]
    height = strength * np.sqrt(np.prod(grain) / np.pi) / WIDTH
    return height * noise.sigma_at(result) * unit


def _found(found: tuple, places: np.ndarray, sign: int) -> int:
    """Return how many spots have a finding of the right kind within 4 pixels."""
    right = np.array([(place.y, place.x) for place in found if np.sign(place.z) == -sign]).reshape(-1, 2)
    return sum(bool((np.hypot(*(right - place).T) < 4).any()) for place in places)


# Noise alone --------------------------------------------------------------------------------------------------------


def _noise_alone(count: int) -> None:
    print()
    header("noise alone, against the truth", "images", "flagged")
    for rho in (0.0, 0.1, 0.3, 0.5, 0.7):
        for name, make in (("Gaussian", _gaussian), ("exponential", _exponential)):
            if rho or make is _gaussian:
                _report(f"{name}, rho {rho:g}, 512x512", [make(rho, i, (512, 512)) for i in range(count)])
    for photons in (0.02, 0.1, 1.0):
        _report(
            f"dark of {photons:g} photons beside objects of 20, 512x512", [_photons(photons, i) for i in range(count)]
        )
    _stacks("stacks of 100 planes of 128x128", count, 100, (128, 128))


def _gaussian(rho: float, seed: int, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, NoiseModel]:
    noise = np.random.default_rng([seed, 5]).normal(size=shape)
    if rho:
        noise = gaussian_filter(noise, np.sqrt(-1 / (4 * np.log(rho))), mode="wrap", truncate=8)
    return _described(noise)


def _exponential(rho: float, seed: int, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, NoiseModel]:
    noise = np.random.default_rng([seed, 6]).normal(size=shape)
    for axis in (0, 1):
        noise = lfilter([1], [1, -rho], noise, axis=axis)
    return _described(noise)


def _described(noise: np.ndarray) -> tuple[np.ndarray, np.ndarray, NoiseModel]:
    noise = noise / noise.std()
    y, x = (float((noise[a] * noise[b]).mean()) for a, b in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])))
    return noise, np.zeros(noise.shape), NoiseModel(read_noise=1.0, rho_y=y, rho_x=x)


def _photons(dark: float, seed: int) -> tuple[np.ndarray, np.ndarray, NoiseModel]:
    y, x = np.indices((512, 512))
    truth = np.where((y % 64 - 32) ** 2 + (x % 64 - 32) ** 2 < 150, 20.0, dark)
    return np.random.default_rng([seed, 7]).poisson(truth).astype(float), truth, NoiseModel(gain=1.0)


def _report(name: str, cases: list[tuple[np.ndarray, np.ndarray, NoiseModel]]) -> None:
    checked = (verdict([check_plane(*case, step=0.0, plane=())[0]]) for case in cases)
    row(name, len(cases), sum(not found.passed for found in checked))


def _stacks(name: str, count: int, planes: int, shape: tuple[int, int]) -> None:
    flagged = 0
    for stack in range(count):
        rng, clean, white = np.random.default_rng([stack, 8]), np.zeros(shape), NoiseModel.white(1.0)
        found = [
            check_plane(rng.normal(size=shape), clean, white, step=0.0, plane=(i,), pixels=planes * clean.size)[0]
            for i in range(planes)
        ]
        flagged += not verdict(found).passed
    row(name, count, flagged)
