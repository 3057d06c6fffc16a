"""Measure the expected error of `denoise`: does it say where the result is wrong, and by how much?

Scenes with known truth and noise: photographs, and simulated ones of the generators of the training and of others
(`bench.unseen`). The error of the result is compared with what was expected at every pixel: the share of pixels that
are within one and two s.d. (Gaussian errors: 68 and 95 %), the root mean squares of both, and the rank correlation with
the error averaged over a window of 3 pixels. ``--only calibration`` prints, for scenes of other seeds, the mean ratio
that `tasks.denoise.uncertainty` has as its factor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from bundled import scenes
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from bench import unseen
from bench.quality import Case, _camera, _correlated, _photograph, _white
from bench.table import header, row
from napari_genrecon import denoise

SIDE = 192
PHOTOGRAPHS = ("camera", "coins", "brick")
KINDS: dict[str, Callable[..., np.ndarray]] = {kind.__name__: kind for kind in unseen.KINDS} | {
    "cells (as trained)": scenes.cells,
    "filaments (as trained)": scenes.filaments,
}
NOISES: dict[str, Callable[[np.ndarray, int], Case]] = {
    "white 15": lambda clean, i: _white(clean, 15, i),
    "white 50": lambda clean, i: _white(clean, 50, i),
    "10 e-": lambda clean, i: _camera(clean, 10.0, i),
    "100 e-": lambda clean, i: _camera(clean, 100.0, i),
    "correlated 25, rho 0.6": lambda clean, i: _correlated(clean, 25, (0.6, 0.6), i),
}
_WINDOW = 3.0  # pixels, s.d., over which the error is averaged for the rank correlation


def run(quick: bool, only: str = "") -> None:
    """Print the table, over 3 scenes in each row, or 1 if quick; `only` takes the rows whose name contains it."""
    started, count = time.perf_counter(), 1 if quick else 3
    header("scenes, noise", "n", "error", "expected", "ratio", "within 1 s.d.", "within 2 s.d.", "rank correlation")
    if only == "calibration":
        _calibrate(count)
    else:
        for kind in (*KINDS, "photographs"):
            for name, noisy in NOISES.items():
                if only in f"{kind}, {name}":
                    _report(f"{kind}, {name}", [_figures(noisy(_scene(kind, i), i)) for i in range(count)])
    print(f"\nErrors are root mean squares in grey values of 0 to 255. {time.perf_counter() - started:.0f} s in all.")


def _calibrate(count: int) -> None:
    """Print the ratios on scenes of other generators with seeds that are used nowhere else, and their mean."""
    found = []
    for kind in (kind.__name__ for kind in unseen.KINDS):
        for name, noisy in NOISES.items():
            cases = [noisy(_scene(kind, 100 + i), 100 + i) for i in range(count)]
            found.append([_figures(case) for case in cases])
            _report(f"{kind}, {name}", found[-1])
    pairs = np.array([each[:2] for each in np.concatenate(found)])
    print(f"\ngeometric mean of the ratios: {np.exp(np.mean(np.log(pairs[:, 0] / pairs[:, 1]))):.3f}")


def _scene(kind: str, seed: int) -> np.ndarray:
    if kind == "photographs":
        image = _photograph(PHOTOGRAPHS[seed % len(PHOTOGRAPHS)])
        y, x = ((n - SIDE) // 2 for n in image.shape)
        return image[y : y + SIDE, x : x + SIDE]
    return 255.0 * KINDS[kind](np.random.default_rng([2026, 17, seed]), (SIDE, SIDE))


def _figures(case: Case) -> tuple[float, float, float, float, float]:
    """Return the errors that were made and expected, the shares within 1 and 2 s.d., and the rank correlation."""
    result, expected = (np.asarray(a, float) for a in denoise(case.noisy, noise=case.noise, uncertainty=True))
    error, known = result - case.clean, np.isfinite(expected)
    near, error, expected = (a[known] for a in (gaussian_filter(error**2, _WINDOW), error, expected))
    shares = (float(np.mean(np.abs(error) <= width * expected)) for width in (1, 2))
    return _rms(error), _rms(expected), *shares, float(spearmanr(near, expected).statistic)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _report(name: str, found: Sequence[Sequence[float]]) -> None:
    error, expected, one, two, rank = np.mean(found, axis=0)
    shares = (f"{100 * share:.0f} %" for share in (one, two))
    row(name, len(found), f"{error:.2f}", f"{expected:.2f}", f"{error / expected:.2f}", *shares, f"{rank:.2f}")
