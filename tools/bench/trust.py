"""Measure `check`: does it find structures that were added or erased, and blur, and is it silent otherwise?

Scenes with known truth, as a camera with shot noise and one with correlated noise record them; the noise is measured
from each image. Into the denoised image spots are added, or the image gets spots that the result lacks, at random
places; and the result, or the truth, is blurred. Then noise alone, of every correlation, against the truth: nothing may
be found there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.signal import lfilter

from bench import unseen
from bench.quality import Case, _camera, _correlated
from bench.table import header, row
from napari_genrecon import NoiseModel, check, denoise, measure_noise
from napari_genrecon.checks.residual import limit_at_one_place
from napari_genrecon.checks.trust import check_plane, verdict

SIDE, WIDTH = 256, 1.5  # pixels; s.d. of a spot in pixels
GRID = np.stack(np.mgrid[40:SIDE:56, 40:SIDE:56], -1).reshape(-1, 2)  # of 16 spots, each moved by up to 12 pixels
BLURS = (0.5, 1.0, 1.5)  # pixels, s.d.
STRENGTHS = np.arange(5, 10.5, 0.5)  # s.d. of the noise, averaged over the spot, that the result implies
SHOWN = (5.0, 7.0, 8.0)
WANTED = 0.95  # share of the spots to be found
FRAMES, MOVIE_SIDE = 30, 128  # of the movies; pixels

Noisy = Callable[[np.ndarray, int], Case]
NOISES: dict[str, Noisy] = {
    "10 e-": lambda clean, i: _camera(clean, 10.0, i),
    "100 e-": lambda clean, i: _camera(clean, 100.0, i),
    "1000 e-": lambda clean, i: _camera(clean, 1000.0, i),
    "correlated, rho 0.6": lambda clean, i: _correlated(clean, 25, (0.6, 0.6), i),
}


def run(quick: bool, only: str = "") -> None:
    """Print the tables, over 9 scenes of each noise, or 3 if quick; `only` takes the rows whose name contains it."""
    started, count = time.perf_counter(), 1 if quick else 3
    wanted = [name for name in NOISES if only in name]
    cases = {name: [_Denoised(NOISES[name], kind, i) for kind in unseen.KINDS for i in range(count)] for name in wanted}
    if cases:
        _spots_found(cases)
        _flags(cases)
    if only in "noise alone":
        _noise_alone(3 if quick else 25)
    if only in "movies":
        _movies(count)
    print(f"\n{time.perf_counter() - started:.0f} s in all.")


class _Denoised:
    """A noisy scene, its noise as measured, and the denoised image."""

    def __init__(self, noisy: Noisy, kind: Callable[..., np.ndarray], seed: int) -> None:
        clean = 255.0 * kind(np.random.default_rng([2026, 12, seed]), (SIDE, SIDE))
        self.seed, self.case = seed, noisy(clean, seed)
        self.noise = measure_noise(self.case.noisy)
        self.result = denoise(self.case.noisy, noise=self.noise, device="cpu").astype(float)


# Spots --------------------------------------------------------------------------------------------------------------


def _spots_found(cases: dict[str, list[_Denoised]]) -> None:
    named = [f"{kind}, {s:g} s.d.: found" for kind in ("added", "erased") for s in SHOWN]
    from_ = [f"{kind}: 95 % found from" for kind in ("added", "erased")]
    at_one = [f"{kind}, {SHOWN[0]:g} s.d.: doubted where asked" for kind in ("added", "erased")]
    header("noise", "spots of a kind", *named, *from_, *at_one, "doubted where nothing changed")
    for name, scenes in cases.items():
        found = np.mean([[_found(scene, added) for added in (True, False)] for scene in scenes], axis=(0, 3))
        shares = [found[kind, list(STRENGTHS).index(s), 0] for kind in (0, 1) for s in SHOWN]
        reached = [_reached(found[kind, :, 0]) for kind in (0, 1)]
        asked = [*found[:, 0, 1], np.mean([_doubted(scene) for scene in scenes])]
        percent = [f"{100 * share:.1f} %" for share in (*shares, *asked)]
        row(name, len(scenes) * len(GRID), *percent[:6], *(f"{s:.1f} s.d." for s in reached), *percent[6:])
    print()


def _found(scene: _Denoised, added: bool) -> np.ndarray:
    """Return (strengths, spots, 2): whether each is found within 4 pixels, and is beyond chance at its very place."""
    places = GRID + np.random.default_rng([scene.seed, 9]).integers(-12, 13, GRID.shape)
    return np.array([_one(scene, places, strength, added) for strength in STRENGTHS])


def _one(scene: _Denoised, places: np.ndarray, strength: float, added: bool) -> np.ndarray:
    spots = _spots(places, strength, scene.noise, scene.result, added)
    noisy, result, sign = scene.case.noisy.astype(float), scene.result, -1 if added else 1
    if added:
        result = result + spots
    else:
        noisy = noisy + _photons_of(spots, scene.case.noise.gain, scene.seed)
    figures, z = check_plane(noisy, result, scene.noise, step=0.0, plane=())
    right = np.array([(p.y, p.x) for p in verdict([figures]).places if np.sign(p.z) == sign]).reshape(-1, 2)
    near = [bool((np.hypot(*(right - place).T) < 4).any()) for place in places]
    return np.stack([near, sign * z[*places.T] > limit_at_one_place()], axis=-1)


def _photons_of(spots: np.ndarray, gain: float, seed: int) -> np.ndarray:
    return gain * np.random.default_rng([seed, 10]).poisson(spots / gain) if gain else spots


def _spots(places: np.ndarray, strength: float, noise: NoiseModel, result: np.ndarray, added: bool) -> np.ndarray:
    """Return spots that the noise of the result, averaged with their own shape as the window, leaves so high.

    Light that was added to the result adds to the shot noise that it implies: two thirds of the peak, in that average.
    """
    y, x = np.indices(result.shape)
    unit = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * WIDTH**2)) for a, b in places)
    lags = np.arange(-6 * int(WIDTH + 1), 6 * int(WIDTH + 1) + 1)
    overlap = np.exp(-(lags**2) / (4 * WIDTH**2))  # of the shape with itself
    grain = [
        float((overlap * np.where(lags == 0, 1.0, max(rho, 0.0) ** (lags**2))).sum())
        for rho in (noise.rho_y, noise.rho_x)
    ]
    factor = strength * np.sqrt(np.prod(grain) / np.pi) / WIDTH
    half = factor**2 * noise.gain / 3 if added else 0.0
    return (half + np.sqrt(half**2 + factor**2 * noise.variance_at(result))) * unit


def _reached(shares: Sequence[float]) -> float:
    """Return the strength from which on the wanted share is found, between the two that were measured beside it."""
    rising = np.maximum.accumulate(shares)
    return float(np.interp(WANTED, rising, STRENGTHS)) if rising[-1] >= WANTED else np.inf


def _doubted(scene: _Denoised) -> float:
    _, z = check_plane(scene.case.noisy.astype(float), scene.result, scene.noise, step=0.0, plane=())
    return float(np.mean(np.abs(z) > limit_at_one_place()))


# Whole images -------------------------------------------------------------------------------------------------------


def _flags(cases: dict[str, list[_Denoised]]) -> None:
    blurs = [f"truth blurred by {width} px: flagged" for width in BLURS]
    header("noise", "scenes", "truth: flagged", "denoised: flagged", *blurs, "denoised, then by 1 px: flagged")
    for name, scenes in cases.items():
        row(name, len(scenes), *np.sum([_flagged_of(scene) for scene in scenes], axis=0))


def _flagged_of(scene: _Denoised) -> list[int]:
    clean, result = scene.case.clean, scene.result
    given = (clean, result, *(gaussian_filter(clean, width) for width in BLURS), gaussian_filter(result, 1.0))
    return [int(not check(scene.case.noisy, each, noise=scene.noise).verdict.passed) for each in given]


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


def _movies(count: int) -> None:
    """Print how often the mean of all frames of a still movie shows that its result lost something in all of them."""
    header(
        f"still movies of {FRAMES} frames", "movies", "truth: flagged", "neighbouring frames", "frames by themselves"
    )
    for name, noisy in NOISES.items():
        flagged = []
        for kind in unseen.KINDS:
            for seed in range(count):
                clean = 255.0 * kind(np.random.default_rng([2026, 29, seed]), (MOVIE_SIDE, MOVIE_SIDE))
                movie = np.stack([noisy(clean, FRAMES * seed + t).noisy for t in range(FRAMES)])
                noise = measure_noise(movie, axes="TYX")
                found = [np.repeat(clean[None], FRAMES, axis=0)]
                found += [denoise(movie, noise=noise, axes="TYX", frames=way, device="cpu") for way in ("T", "none")]
                checks = [check(movie, result, noise=noise, axes="TYX").verdict.together for result in found]
                flagged.append([bool(each is not None and each.places) for each in checks])
        row(name, len(flagged), *np.sum(flagged, axis=0))
    print()


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
