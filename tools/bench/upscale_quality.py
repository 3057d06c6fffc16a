"""Measure upscaling: PSNR beside bicubic interpolation, on images that were never trained on.

The small images are made by antialiased bicubic shrinking, without noise and not rounded; a border of `factor` pixels
is left out, as in the literature. Below, the same on simulated fluorescence as a microscope sees it: blurred, binned
and noisy (cells and filaments of the generators of the training, tissue and fibres of others); on colour photographs;
and along z on a simulated volume. Run it alone with
``python tools/bench/upscale_quality.py [--quick] [natural|microscope|colour|along_z|speed ...]``.
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

from bundled import scenes

from bench import unseen, upscale_along_z, upscale_speed
from bench.table import header, row
from napari_genrecon import NoiseModel, denoise, upscale
from napari_genrecon.engine.run import finish
from napari_genrecon.numerics.resample import enlarge, shrink
from napari_genrecon.tasks.upscale import upscale_steps
from napari_genrecon.tasks.upscale.options import FACTORS, UpscaleOptions

NATURAL = ("camera", "coins", "moon", "brick", "grass", "gravel")
COLOUR = ("astronaut", "coffee", "chelsea")
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
BARS = {2: 2.3, 3: 1.5, 4: 1.2}  # dB above bicubic, mean of the six
PEAK_ELECTRONS = 100.0
READ_NOISE = 2.0  # electrons
SIDE = 288  # px: a multiple of 2, 3 and 4


def run(quick: bool, only: tuple[str, ...] = ()) -> None:
    """Print the tables."""
    started = time.perf_counter()
    factors = FACTORS[:1] if quick else FACTORS
    tables: dict[str, Callable[[], None]] = {
        "natural": lambda: _each(factors, lambda factor: _natural(factor, NATURAL[:2] if quick else NATURAL)),
        "microscope": lambda: _each(factors, lambda factor: _microscopy(factor, 1 if quick else 3)),
        "colour": lambda: _colour(COLOUR[:1] if quick else COLOUR),
        "along_z": lambda: upscale_along_z.run(quick),
        "speed": lambda: upscale_speed.run(2 if quick else 5),
    }
    for name, table in tables.items():
        if not only or name in only:
            table()
    print(f"\nPSNR in dB. {time.perf_counter() - started:.0f} s in all.")


def _each(factors: tuple[int, ...], table: Callable[[int], None]) -> None:
    for factor in factors:
        table(factor)


def _natural(factor: int, names: tuple[str, ...]) -> None:
    """Print PSNR on photographs, and which network ``auto`` takes."""
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
    header(f"x{factor}, microscope, {PEAK_ELECTRONS:g} e-", *SEEN, "auto took")
    for kind in (scenes.cells, scenes.filaments, unseen.tissue, unseen.fibres):
        results = [_seen_by_a_camera(kind, factor, seed) for seed in range(pairs)]
        took = ", ".join(sorted({model for _, model in results}))
        row(kind.__name__, *(f"{value:.2f}" for value in np.mean([scores for scores, _ in results], axis=0)), took)
    print()


SEEN = ("bicubic", "denoise, bicubic", "denoise, upscale-2d", "upscale-2d", "microscope, noise given", "auto, measured")


def _seen_by_a_camera(kind: Callable[..., np.ndarray], factor: int, seed: int) -> tuple[list[float], str]:
    rng = np.random.default_rng([2026, 13, factor, seed])
    large = 255.0 * np.clip(kind(rng, (SIDE, SIDE)), 0, None)
    side, gain = SIDE // factor, 255.0 / PEAK_ELECTRONS
    binned = gaussian_filter(large, 0.3 * factor).reshape(side, factor, side, factor).mean((1, 3))
    small = gain * (rng.poisson(binned / gain) + rng.normal(0, READ_NOISE, binned.shape))
    noise = NoiseModel(gain=gain, read_noise=READ_NOISE * gain)
    clean = denoise(small, noise=noise, device="cpu").astype(float)
    auto = finish(upscale_steps(small, UpscaleOptions(factor=factor, device="cpu")))
    results = (
        enlarge(small, factor),
        enlarge(clean, factor),
        upscale(clean, factor=factor, noise=0, device="cpu", model="upscale-2d"),
        upscale(small, factor=factor, noise=0, device="cpu", model="upscale-2d"),
        upscale(small, factor=factor, noise=noise, device="cpu", model="upscale-2d-microscope"),
        auto.data,
    )
    return [_psnr(result, large, factor) for result in results], auto.record["model"]["name"]


def _colour(names: tuple[str, ...]) -> None:
    """Print PSNR of upscaling every colour, and of upscaling the luma only, which is faster."""
    header("x2, colour, PSNR over all three", "bicubic", "luma by ours, chroma bicubic", "every colour by ours")
    for name in names:
        large = getattr(photographs, name)()[..., :3].astype(float)
        large = large[: len(large) // 2 * 2, : large.shape[1] // 2 * 2]
        small = np.stack([shrink(large[..., i], 2) for i in range(3)], axis=-1)
        cubic = np.stack([enlarge(small[..., i], 2) for i in range(3)], axis=-1)
        luma = upscale(small @ LUMA, noise=0, device="cpu")
        results = cubic, cubic + (luma - cubic @ LUMA)[..., None], upscale(small, noise=0, device="cpu", axes="YXS")
        row(name, *(f"{_psnr(result, large, 2):.2f}" for result in results))
    print()


def _cut(image: np.ndarray, factor: int) -> np.ndarray:
    height, width = (n - n % factor for n in image.shape)
    return image[:height, :width]


def _psnr(result: np.ndarray, truth: np.ndarray, border: int) -> float:
    inner = np.s_[border:-border, border:-border]
    mse = np.mean((np.asarray(result, float)[inner] - truth[inner]) ** 2)
    return float(10 * np.log10(255.0**2 / mse))


def _row(name: str, scores: np.ndarray | list[float]) -> None:
    row(name, *(f"{value:.2f}" for value in scores), f"{scores[1] - scores[0]:+.2f}")


def _with(**options: object) -> Callable[[np.ndarray, int], np.ndarray]:
    return lambda small, factor: upscale(small, factor=factor, device="cpu", **options)


METHODS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "bicubic": enlarge,
    "ours, noise=0": _with(noise=0),
    "auto, noise measured": _with(),
    "consistent": _with(noise=0, consistent=True),
    "self-ensemble": _with(noise=0, self_ensemble=True),
    "upscale-2d-microscope": _with(model="upscale-2d-microscope"),
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of correlated noise, which some textures are taken for
    run("--quick" in sys.argv, tuple(word for word in sys.argv[1:] if not word.startswith("-")))
