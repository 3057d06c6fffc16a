"""Measure denoising of a simulated sCMOS camera, with and without the maps of its pixels.

Offset (s.d. 3 DN and 2 DN per column) and gain (s.d. 3 %) differ from pixel to pixel, and so does the read noise:
log-normal around 1.4 electrons, and 3 to 12 times as much in 1 % of the pixels. Scenes of `bench.unseen`.
"""

from __future__ import annotations

import warnings

import numpy as np

from bench import unseen
from bench.table import header, row
from napari_genrecon import denoise

SIDE = 256
GAIN = 2.0  # DN per electron
PEAKS = (10.0, 50.0, 200.0)  # electrons
METHODS = {
    "noisy": lambda raw, maps: raw,
    "`denoise`": lambda raw, maps: denoise(raw, device="cpu"),
    "offset and gain undone, `denoise`": lambda raw, maps: denoise(_even(raw, maps), device="cpu"),
    "`denoise` with maps": lambda raw, maps: denoise(raw, camera=maps, device="cpu"),
}


def run(quick: bool) -> None:
    """Print the table, over two scenes of each kind, or one if quick."""
    warnings.simplefilter("ignore")  # of hot pixels, which are what is measured
    header("scenes, peak", "n", *METHODS)
    for kind in unseen.KINDS:
        for peak in PEAKS:
            cases = [_recorded(kind, seed, peak) for seed in range(1 if quick else 2)]
            means = [
                np.mean([_psnr(method(raw, maps), *rest) for raw, maps, *rest in cases]) for method in METHODS.values()
            ]
            row(f"{kind.__name__}, {peak:g} e-", len(cases), *(f"{mean:.2f}" for mean in means))
    print("\nPSNR in dB.")


def _recorded(kind: object, seed: int, peak: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return image, maps, truth in electrons, and its peak."""
    electrons = peak * kind(np.random.default_rng([2026, 14, seed]), (SIDE, SIDE)).astype(float)
    rng = np.random.default_rng([seed, 15])
    offset = 100 + rng.normal(0, 3, electrons.shape) + rng.normal(0, 2, (1, SIDE))
    gain = GAIN * np.clip(1 + rng.normal(0, 0.03, electrons.shape), 0.8, 1.2)
    read = np.maximum(1.4 * rng.lognormal(0, 0.3, electrons.shape), 0.7)
    noisy = rng.random(electrons.shape) < 0.01
    read[noisy] *= rng.uniform(3, 12, noisy.sum())
    raw = offset + gain * (rng.poisson(electrons) + read * rng.normal(size=electrons.shape))
    maps = np.stack([offset, gain, (gain * read) ** 2])
    return np.clip(np.round(raw), 0, 65535).astype("u2"), maps, electrons, peak


def _even(raw: np.ndarray, maps: np.ndarray) -> np.ndarray:
    return ((raw - maps[0]) * (maps[1].mean() / maps[1]) + maps[0].mean()).astype(np.float32)


def _psnr(result: np.ndarray, truth: np.ndarray, peak: float) -> float:
    return float(10 * np.log10(peak**2 / np.mean(((result.astype(float) - 100) / GAIN - truth) ** 2)))
