"""How good is upscaling: PSNR beside bicubic interpolation, on images that were never trained on.

The small images are made by antialiased bicubic shrinking, without noise and not rounded; a border of `factor` pixels
is left out, as in the literature. Below, the same on simulated fluorescence as a microscope sees it: blurred, binned
and noisy. Run it alone with ``python tools/bench/upscale_quality.py [--quick]``.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage import data as photographs

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.table import header, row
from napari_genrecon import NoiseModel, denoise, upscale
from napari_genrecon.engine.resample import enlarge, shrink
from napari_genrecon.tasks.upscale import FACTORS
from napari_genrecon.training import scenes

NATURAL = ("camera", "coins", "moon", "brick", "grass", "gravel")
BARS = {2: 2.3, 3: 1.5, 4: 1.2}  # dB above bicubic, mean of the six
PEAK_ELECTRONS = 100.0
READ_NOISE = 2.0  # electrons
SIDE = 288


def run(quick: bool) -> None:
    """Print the tables."""
    started = time.perf_counter()
    for factor in FACTORS[:1] if quick else FACTORS:
        _natural(factor, NATURAL[:2] if quick else NATURAL)
    for factor in FACTORS[:1] if quick else FACTORS:
        _microscopy(factor, 1 if quick else 3)
    print(f"\nPSNR in dB. {time.perf_counter() - started:.0f} s in all.")


def _natural(factor: int, names: tuple[str, ...]) -> None:
    header(f"x{factor}, noise-free", *METHODS, "gain")
    scores = []
    for name in names:
        large = _cut(getattr(photographs, name)().astype(float), factor)
        small = shrink(large, factor)
        scores.append([_psnr(method(small, factor), large, factor) for method in METHODS.values()])
        _row(name, scores[-1])
    _row(f"mean (bar: {BARS[factor]:+.1f})", np.mean(scores, axis=0))
    print()


def _microscopy(factor: int, pairs: int) -> None:
    header(f"x{factor}, microscope, {PEAK_ELECTRONS:g} e-", "bicubic", "denoise, bicubic", "ours", "denoise, ours")
    for kind in (scenes.cells, scenes.filaments):
        scores = [_seen_by_a_camera(kind, factor, seed) for seed in range(pairs)]
        row(kind.__name__, *(f"{value:.2f}" for value in np.mean(scores, axis=0)))
    print()


def _seen_by_a_camera(kind: Callable[..., np.ndarray], factor: int, seed: int) -> list[float]:
    rng = np.random.default_rng([2026, 13, factor, seed])
    large = 255.0 * np.clip(kind(rng, (SIDE, SIDE)), 0, None)
    side, gain = SIDE // factor, 255.0 / PEAK_ELECTRONS
    binned = gaussian_filter(large, 0.3 * factor).reshape(side, factor, side, factor).mean((1, 3))
    small = gain * (rng.poisson(binned / gain) + rng.normal(0, READ_NOISE, binned.shape))
    noise = NoiseModel(gain=gain, read_noise=READ_NOISE * gain)
    clean = denoise(small, noise=noise, device="cpu").astype(float)
    results = (
        enlarge(small, factor),
        enlarge(clean, factor),
        upscale(small, factor=factor, noise=noise, device="cpu"),
        upscale(clean, factor=factor, noise=0, device="cpu"),
    )
    return [_psnr(result, large, factor) for result in results]


def _cut(image: np.ndarray, factor: int) -> np.ndarray:
    height, width = (n - n % factor for n in image.shape)
    return image[:height, :width]


def _psnr(result: np.ndarray, truth: np.ndarray, border: int) -> float:
    inner = np.s_[border:-border, border:-border]
    mse = np.mean((np.asarray(result, float)[inner] - truth[inner]) ** 2)
    return float(10 * np.log10(255.0**2 / mse))


def _row(name: str, scores: np.ndarray | list[float]) -> None:
    row(name, *(f"{value:.2f}" for value in scores), f"{scores[1] - scores[0]:+.2f}")


METHODS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "bicubic": enlarge,
    "ours, noise=0": lambda small, factor: upscale(small, factor=factor, noise=0, device="cpu"),
    "ours, consistent": lambda small, factor: upscale(small, factor=factor, noise=0, consistent=True, device="cpu"),
    "ours, noise measured": lambda small, factor: upscale(small, factor=factor, device="cpu"),
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of correlated noise, which some textures are taken for
    run("--quick" in sys.argv)
