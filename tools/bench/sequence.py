"""Measure what neighbouring frames bring to `denoise`: PSNR of movies with known truth, events, and time.

Scenes and seeds are used nowhere in training. Every movie has 10 frames of 128 x 128 pixels; its noise model is given.
Beside the frames by themselves stand running means of 3 and 5 frames, and the mean of all, denoised with the noise that
is left in them, and BM4D.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from bundled import scenes
from bundled.degrade import correlated_noise, noise_kernel
from bundled.movies import MARGIN, add_transients, bleached, moving
from scipy.ndimage import gaussian_filter, shift

from bench.quality import from_0_to_1
from bench.table import header, row
from bench.upscale_along_z import volume
from napari_genrecon import NoiseModel, denoise
from napari_genrecon.noise import stabiliser

FRAMES, SIDE = 10, 128
READ = 2.0  # electrons
SCENES: tuple[Callable[..., np.ndarray], ...] = (scenes.cells, scenes.filaments, scenes.nuclei_like, scenes.puncta)


def run(quick: bool, only: str = "") -> None:
    """Print the tables, over 3 movies of each kind, or 1 if quick; only the rows whose name contains `only`."""
    started, count = time.perf_counter(), 1 if quick else 3
    header("movie", "n", "by itself", "mean of 3", "mean of 5", "mean of all", "ours", "gain", "worst gain")
    gains: list[float] = []
    for light, camera in CAMERAS.items():
        for kind, simulate in KINDS.items():
            if only not in f"{light}, {kind}":
                continue
            found = np.array([_scores(simulate(seed), camera, seed) for seed in range(count)])
            gains += list(found[:, -1] - found[:, 0])
            means = found.mean(axis=0)
            worst = (found[:, -1] - found[:, 0]).min()
            cells = (f"{value:.2f}" for value in means)
            row(f"{light}, {kind}", count, *cells, f"{means[-1] - means[0]:+.2f}", f"{worst:+.2f}")
    print(f"\n{len(gains)} movies; the worst gain is {min(gains):+.2f} dB.\n")
    if not only:
        _volumetric()
        _events(quick=quick)
        _stacks()
        _time(quick)
    print(f"\nPSNR in dB, peak 255. {time.perf_counter() - started:.0f} s in all.")


# --- movies (T, Y, X) in [0, 255] ---


def _scene(seed: int, part: int, side: int = SIDE + MARGIN) -> np.ndarray:
    kind = SCENES[seed % len(SCENES)] if part != 1 else scenes.nuclei_like
    return kind(np.random.default_rng([2026, 20, seed, part]), (side, side))


def _moved(seed: int, drift: float, speed: float | None) -> np.ndarray:
    rng = np.random.default_rng([2026, 21, seed])
    back = _scene(seed, 0)
    if speed is None:  # everything drifts together
        ways = np.outer(np.arange(FRAMES) - (FRAMES - 1) / 2, drift * np.array([0.6, 0.8]))
        return 255 * np.concatenate([moving(rng, back, back, 1, SIDE, 0, 0, start=way) for way in ways])
    return 255 * moving(rng, back, _scene(seed, 1), FRAMES, SIDE, drift, speed)


def _bleaching(seed: int) -> np.ndarray:
    return bleached(np.random.default_rng([2026, 22, seed]), _moved(seed, 0.0, 0.5), rate=0.05, flicker=0.03)


def _cut_scene(seed: int) -> np.ndarray:
    return np.concatenate([_moved(seed, 0.0, None)[:5], _moved(seed + 50, 0.0, None)[5:]])


def _flashes(seed: int) -> np.ndarray:
    movie = _moved(seed, 0.0, None)
    add_transients(np.random.default_rng([2026, 23, seed]), movie, count=8, height=64.0, single=True)
    return movie


def _nothing(seed: int) -> np.ndarray:
    return np.full((FRAMES, SIDE, SIDE), 20.0 + 40 * seed, np.float32)


KINDS: dict[str, Callable[[int], np.ndarray]] = {
    "static": lambda seed: _moved(seed, 0.0, None),
    "drift of 0.5 px": lambda seed: _moved(seed, 0.5, None),
    "objects move 1 px": lambda seed: _moved(seed, 0.0, 1.0),
    "objects move 3 px": lambda seed: _moved(seed, 0.3, 3.0),
    "bleaching 5 %, flicker 3 %": _bleaching,
    "cut": _cut_scene,
    "flashes of one frame": _flashes,
    "noise only": _nothing,
}


# --- cameras ---

Camera = Callable[[np.ndarray, int], tuple[np.ndarray, NoiseModel]]


def _camera(peak: float, read: float = READ) -> Camera:
    gain = 255.0 / peak

    def record(clean: np.ndarray, seed: int) -> tuple[np.ndarray, NoiseModel]:
        rng = np.random.default_rng([2026, 24, seed])
        noisy = gain * (rng.poisson(np.maximum(clean, 0) / gain) + rng.normal(0, read, clean.shape))
        return noisy.astype(np.float32), NoiseModel(gain=gain, offset=0.0, read_noise=read * gain)

    return record


def _correlated(clean: np.ndarray, seed: int) -> tuple[np.ndarray, NoiseModel]:
    rng = np.random.default_rng([2026, 25, seed])
    kernel = noise_kernel(rng)
    while not (0.5 < kernel.rho_x < 0.7 and 0.5 < kernel.rho_y < 0.7):
        kernel = noise_kernel(rng)
    noise = np.stack([correlated_noise(rng, (SIDE, SIDE), 25.0, kernel) for _ in clean])
    return clean + noise, NoiseModel(read_noise=25.0, rho_x=kernel.rho_x, rho_y=kernel.rho_y)


CAMERAS: dict[str, Camera] = {
    "3 photons": _camera(3, read=0.0),
    "10 e-": _camera(10),
    "30 e-": _camera(30),
    "correlated, rho 0.6": _correlated,
}


# --- scores ---


def _scores(clean: np.ndarray, camera: Camera, seed: int) -> list[float]:
    noisy, noise = camera(clean, seed)
    results = [_alone(noisy, noise), *(_running(noisy, noise, n) for n in (3, 5, len(noisy))), _ours(noisy, noise)]
    return [_psnr(result, clean) for result in results]


def _alone(noisy: np.ndarray, noise: NoiseModel) -> np.ndarray:
    return denoise(noisy, noise=noise, axes="TYX", frames="none", device="cpu")


def _ours(noisy: np.ndarray, noise: NoiseModel) -> np.ndarray:
    return denoise(noisy, noise=noise, axes="TYX", frames="T", device="cpu")


def _running(noisy: np.ndarray, noise: NoiseModel, count: int) -> np.ndarray:
    """Denoise running means, with the noise that is left in a mean of so many frames."""
    if count == len(noisy):
        return np.repeat(_mean(noisy, noise)[None], len(noisy), axis=0)
    reach = count // 2
    return np.stack([_mean(noisy[max(t - reach, 0) : t + reach + 1], noise) for t in range(len(noisy))])


def _mean(frames: np.ndarray, noise: NoiseModel) -> np.ndarray:
    return denoise(frames.mean(axis=0), noise=noise.averaged(len(frames)), device="cpu")


def _psnr(result: np.ndarray, clean: np.ndarray) -> float:
    return float(np.mean([10 * np.log10(255.0**2 / np.mean((a - b) ** 2)) for a, b in zip(result, clean, strict=True)]))


def _volumetric() -> None:
    """Print what BM4D makes of movies, a filter of similar cubes behind the same transform, told the true noise."""
    import bm4d

    header("movie", "n", "by itself", "BM4D", "ours")
    for light in ("10 e-", "30 e-"):
        for kind in ("static", "drift of 0.5 px", "objects move 1 px", "objects move 3 px"):
            clean = KINDS[kind](0)
            noisy, noise = CAMERAS[light](clean, 0)
            transform = stabiliser(noise)
            cubes = from_0_to_1(bm4d.bm4d)(transform.forward(noisy))
            found = _alone(noisy, noise), transform.inverse(cubes.astype(np.float32)), _ours(noisy, noise)
            row(f"{light}, {kind}", 1, *(f"{_psnr(result, clean):.2f}" for result in found))
    print()


def _events(*, quick: bool) -> None:
    """Print how much of the height of events of one frame is kept."""
    header("flashes of one frame, 64 of 255 grey values", "events", "by itself", "ours", "ours / by itself")
    for light in CAMERAS:
        found = np.concatenate([_heights(seed, CAMERAS[light]) for seed in range(100, 102 if quick else 120)])
        alone, ours = found.mean(axis=0)
        row(light, len(found), f"{100 * alone:.0f} %", f"{100 * ours:.0f} %", f"{100 * ours / alone:.0f} %")
    print()


def _heights(seed: int, camera: Camera) -> np.ndarray:
    still = _moved(seed, 0.0, None)
    movie = still.copy()
    rng = np.random.default_rng([2026, 26, seed])
    places = add_transients(rng, movie, count=8, height=64.0, single=True)
    noisy, noise = camera(movie, seed)
    results = _alone(noisy, noise), _ours(noisy, noise)
    around = [(t, slice(y - 1, y + 2), slice(x - 1, x + 2)) for t, y, x in places]
    return np.array([[(r[at] - still[at]).mean() / (movie[at] - still[at]).mean() for r in results] for at in around])


def _stacks() -> None:
    """Print what neighbouring planes of a z-stack bring, at several steps along z.

    The objective's blur is a Gaussian of 1 px s.d. along Y and X and 2.5 px along Z, as that of a confocal microscope.
    """
    fine = gaussian_filter(volume(np.random.default_rng([2026, 27]), (60, 96, 96)), (2.5, 1, 1))
    header("z-stack, 30 e-", "planes", "by itself", "along Z", "gain")
    for step in (1, 2, 4):
        clean = fine[10::step][:10]
        noisy, noise = CAMERAS["30 e-"](clean, step)
        alone = denoise(noisy, noise=noise, axes="ZYX", frames="none", device="cpu")
        ours = denoise(noisy, noise=noise, axes="ZYX", frames="Z", device="cpu")
        scores = _psnr(alone, clean), _psnr(ours, clean)
        cells = (f"{score:.2f}" for score in scores)
        row(f"step of {step} px", len(clean), *cells, f"{scores[1] - scores[0]:+.2f}")
    print()


def _time(quick: bool) -> None:
    """Print the processor time of movies in times of that of their frames alone, the least of several rounds."""
    side, frames, rounds = (128, 10, 1) if quick else (384, 40, 4)
    windows = 1 if quick else 5  # the last row has so many times the frames: three windows of 64 and their overlap
    noise, still = NoiseModel.white(10.0), np.zeros((frames, side, side))
    scene = 255 * scenes.cells(np.random.default_rng([2026, 28]), (side + frames, side + frames))
    drifting = np.stack([shift(scene, (0.6 * t, 0.8 * t))[frames:, frames:] for t in range(frames)])
    header("time", "by itself", "ours", "ratio")
    long = np.zeros((windows * frames, side, side))
    for name, clean in (("only noise", still), ("drift of 1 px", drifting), ("only noise", long)):
        movie = (100 + clean + np.random.default_rng(0).normal(0, 10, clean.shape)).astype(np.float32)
        seconds = dict.fromkeys((_alone, _ours), np.inf)
        for function in seconds:
            function(movie[:4], noise)  # the first time, weights are loaded
        for _ in range(rounds if clean is not long else 1):
            for function in seconds:
                started = time.process_time()
                function(movie, noise)
                seconds[function] = min(seconds[function], time.process_time() - started)
        alone, ours = seconds.values()
        row(f"{name}, {len(clean)} frames of {side} px", f"{alone:.1f} s", f"{ours:.1f} s", f"{ours / alone:.2f}")
