"""Measure deblurring: PSNR on simulated scenes, beside Richardson-Lucy stopped at its best.

Cells and filaments are of the generators of the training, with other seeds; tissue and fibres of others.

The scenes are drawn larger than the image, so that light comes in over its borders, blurred, and seen by a camera.
Schedule, first level and iteration counts of the plug-and-play method were tuned on other seeds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
from bundled import scenes
from scipy.ndimage import gaussian_filter

from bench import unseen
from bench.table import header, row
from napari_genrecon import NoiseModel, deblur
from napari_genrecon.numerics.blur import Blur
from napari_genrecon.numerics.richardson_lucy import richardson_lucy

SEED = (2026, 1124)  # drawn once, after all tuning; (2026, 12) were tuned on
SIDE = 256
MARGIN = 32
READ_NOISE = 2.0  # electrons
BLURS = (1.5, 2.5)  # px, s.d.
PEAKS = (30.0, 200.0)  # electrons per pixel
KINDS = {
    "cells and filaments": (scenes.cells, scenes.filaments),
    "tissue and fibres": (unseen.tissue, unseen.fibres),
}
MOST_ITERATIONS = 60
PATIENCE = 10  # iterations after the best
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
TV = 0.02  # weight of total variation for the regularised Richardson-Lucy


@dataclass(frozen=True)
class Case:
    """A blurred and noisy image, its truth, and its PSF and noise."""

    clean: np.ndarray
    noisy: np.ndarray
    noise: NoiseModel
    psf: np.ndarray


def run(quick: bool, only: str = "") -> None:
    """Print the table; `quick` takes one scene of each kind, `only` the rows whose name contains it."""
    started = time.perf_counter()
    columns = ("blurred, noisy", "best RL", "best RL + TV", "pnp, true noise", "pnp, noise measured")
    header("scenes, PSF s.d., peak", "n", *columns, "gain over best RL (least)", "flux error (most)")
    for name, kinds in KINDS.items():
        if only in name:
            _report_all(name, [(kind, i, k) for i in range(1 if quick else 4) for k, kind in enumerate(kinds)])
    print("\nPSNR in dB, means over n scenes. Richardson-Lucy (RL) gets the true noise and offset and stopped, scene")
    print("by scene, at the iteration that is nearest to the truth, from the better of two starting images. The gain")
    print(f"is that of 'pnp, noise measured'. {time.perf_counter() - started:.0f} s in all.")


def _report_all(name: str, drawn: list[tuple[Draw, int, int]]) -> None:
    for sigma in BLURS:
        for peak in PEAKS:
            _report(f"{name}, {sigma:g} px, {peak:g} e-", [_case(*one, sigma, peak) for one in drawn])


def _report(name: str, cases: list[Case]) -> None:
    measured = [deblur(case.noisy, case.psf, device="cpu") for case in cases]
    scores = np.array([_scores(case, result) for case, result in zip(cases, measured, strict=True)])
    gain = scores[:, 4] - scores[:, 1]
    flux = max(abs(result.mean() / case.noisy.mean() - 1) for case, result in zip(cases, measured, strict=True))
    cells = [f"{score:.2f}" for score in scores.mean(axis=0)]
    row(name, len(cases), *cells, f"{gain.mean():+.2f} ({gain.min():+.2f})", f"{100 * flux:.2f} %")


def _scores(case: Case, measured: np.ndarray) -> list[float]:
    known = deblur(case.noisy, case.psf, noise=case.noise, device="cpu")
    plain, tv = (max(_best(case, weight, start) for start in ("flat", "blurred")) for weight in (0.0, TV))
    return [_psnr(case, case.noisy), plain, tv, _psnr(case, known), _psnr(case, measured)]


def _psnr(case: Case, result: np.ndarray) -> float:
    return float(10 * np.log10(255.0**2 / np.mean((result.astype(float) - case.clean) ** 2)))


def _case(draw: Draw, seed: int, kind: int, sigma: float, peak: float) -> Case:
    """Simulate a scene in [0, 255] in which `peak` electrons give grey value 255."""
    specimen = 255.0 * np.maximum(draw(np.random.default_rng([*SEED, seed, kind]), (SIDE + 2 * MARGIN,) * 2), 0)
    inside = (slice(MARGIN, -MARGIN),) * 2
    rng, gain = np.random.default_rng([*SEED, seed, kind, 4]), 255.0 / peak
    seen = gaussian_filter(specimen.astype(float), sigma, truncate=4)[inside] / gain
    noisy = gain * (rng.poisson(seen) + rng.normal(0, READ_NOISE, seen.shape))
    noise = NoiseModel(gain=gain, offset=0.0, read_noise=READ_NOISE * gain)
    return Case(specimen[inside], noisy.astype(np.float32), noise, _psf(sigma))


def _psf(sigma: float) -> np.ndarray:
    """Return the impulse response of `gaussian_filter`."""
    reach = int(4 * sigma + 0.5)
    impulse = np.zeros((2 * reach + 1,) * 2)
    impulse[reach, reach] = 1
    return gaussian_filter(impulse, sigma, truncate=4)


def _best(case: Case, tv: float, start: str) -> float:
    """Return the highest PSNR over the iterations of Richardson-Lucy; no user can do better with it."""
    best = -np.inf, 0
    for count, estimate in enumerate(_estimates(case, tv, start)):
        best = max(best, (_psnr(case, case.noise.gain * estimate), count))
        if count > best[1] + PATIENCE:
            break
    return float(best[0])


def _estimates(case: Case, tv: float, start: str) -> Generator[np.ndarray, None, np.ndarray]:
    photons = (case.noisy / case.noise.gain).astype(np.float32)
    mean = float(photons.mean())
    return richardson_lucy(
        photons,
        np.ones_like(photons),
        Blur(case.psf, photons.shape),
        background=READ_NOISE**2,
        dark=1e-4 * mean,
        iterations=MOST_ITERATIONS,
        tv=tv,
        start=mean if start == "flat" else None,
    )
