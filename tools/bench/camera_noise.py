"""Measure the noise of simulated colour cameras and processed images, and what an error of it costs.

For every camera, scenes with flat parts (simulated cells, filaments and nuclei) and photographs, at several strengths.
The loss is that of the same network, told the measured noise instead of the true one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from bundled import scenes
from skimage import data as photographs

from bench.cameras import CAMERAS, Shot, shoot
from bench.table import header, row
from napari_genrecon import NoiseModel, denoise, measure_noise

__all__ = ["Outcome", "judge", "run", "shots"]

_SCENES = {"cells": scenes.cells, "filaments": scenes.filaments, "nuclei": scenes.nuclei_like}
_PHOTOGRAPHS = ("camera", "coins", "moon")
_PEAKS = (20.0, 100.0, 500.0)  # electrons
_READ = 2.0  # electrons, s.d.
_SIDE, _MIDDLE = 512, 256  # pixels: of what is measured, and of what is denoised


@dataclass(frozen=True)
class Outcome:
    """Relative error of the noise s.d., largest absolute error of the lag-1 correlation, and loss in dB."""

    sigma: float
    rho: float
    loss: float

    @property
    def is_right(self) -> bool:
        """Whether the noise was measured within 10 % and 0.06."""
        return abs(self.sigma) <= 0.1 and self.rho <= 0.06


def shots(camera: str, *, photos: bool, count: int, side: int = _SIDE) -> Iterator[Shot]:
    """Take `count` images of different scenes, strengths in turn."""
    for i in range(count):
        if photos:
            clean = getattr(photographs, _PHOTOGRAPHS[i % 3])().astype(float)[:side, :side] / 255
        else:
            draw = list(_SCENES.values())[i // len(_PEAKS) % len(_SCENES)]
            clean = np.asarray(draw(np.random.default_rng([77, i]), (side, side)), float)
        clean = clean[: clean.shape[0] // 4 * 4, : clean.shape[1] // 4 * 4]
        peak = _PEAKS[(i + i // len(_PHOTOGRAPHS)) % len(_PEAKS)] if photos else _PEAKS[i % len(_PEAKS)]
        yield shoot(camera, clean, peak, _READ, i)


def judge(shot: Shot) -> Outcome:
    """Compare the measured noise with the true one, and the results of both on the middle of the image."""
    found = measure_noise(shot.noisy, axes="YX")
    assert isinstance(found, NoiseModel)
    ratio = found.variance_at(shot.truth).mean() / shot.noise.variance_at(shot.truth).mean()
    rho = max(abs(found.rho_x - shot.noise.rho_x), abs(found.rho_y - shot.noise.rho_y))
    y, x = (slice((n - _MIDDLE) // 2, (n + _MIDDLE) // 2) for n in shot.noisy.shape)
    middle = replace(shot, noisy=shot.noisy[y, x], truth=shot.truth[y, x])
    return Outcome(float(np.sqrt(ratio)) - 1, rho, _error(middle, found) - _error(middle, shot.noise))


def _error(shot: Shot, noise: NoiseModel) -> float:
    """Return the mean squared error in dB."""
    result = denoise(shot.noisy.astype(np.float32), noise=noise, axes="YX", device="cpu")
    return float(10 * np.log10(np.mean((np.asarray(result) - shot.truth) ** 2)))


def run(only: str, *, quick: bool) -> None:
    """Print the table; `quick` takes few scenes."""
    started = time.perf_counter()
    columns = ("s.d. within 10 %", "lag 1 within 0.06", "median error of s.d.", "mean loss, dB", "95 % of losses, dB")
    header("camera, scenes", "n", *columns)
    for name in (name for name in CAMERAS if only in name):
        for photos, count in ((False, 3), (True, 1)) if quick else ((False, 18), (True, 9)):
            found = [judge(shot) for shot in shots(name, photos=photos, count=count)]
            _report(f"{name}, {'photographs' if photos else 'flat parts'}", found)
    print(f"\n{time.perf_counter() - started:.0f} s in all.")


def _report(name: str, found: list[Outcome]) -> None:
    sigma, rho, loss = (np.array([getattr(one, key) for one in found]) for key in ("sigma", "rho", "loss"))
    shares = f"{np.mean(abs(sigma) <= 0.1):.0%}", f"{np.mean(rho <= 0.06):.0%}"
    row(name, len(found), *shares, f"{np.median(sigma):+.1%}", f"{loss.mean():+.2f}", f"{np.quantile(loss, 0.95):+.2f}")
