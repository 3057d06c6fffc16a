"""Measure whether the light of small spots is kept: integrated light and peak after denoising, over the true ones.

Spots of a known number of photons on an even background, as a camera with shot noise and read noise records them. The
light is summed within 3 s.d. of a spot, above the background around it, as in single-molecule work.
"""

from __future__ import annotations

import numpy as np

from bench.table import header, row
from napari_genrecon import NoiseModel, denoise, measure_noise

SIDE, STEP, WIDTH = 256, 32, 1.5  # pixels; between spots; s.d. of a spot
BACKGROUND, READ_NOISE = 5.0, 1.5  # photons per pixel; electrons
PHOTONS = (20, 50, 100, 200, 500, 2000)


def run(quick: bool) -> None:
    """Print the table, of 128 spots for each number of photons, or 64 if quick."""
    header(
        "photons in a spot",
        "peak over the noise",
        "raw: light / true",
        "denoised: light / true",
        "denoised: peak / true",
        "spots lost",
    )
    for photons in PHOTONS:
        found = np.concatenate([_spots(photons, seed) for seed in range(1 if quick else 2)])
        raw, light, peak = found.T
        noise = np.sqrt(BACKGROUND + READ_NOISE**2)
        height = photons / (2 * np.pi * WIDTH**2)
        row(
            photons,
            f"{height / noise:.1f}",
            *(f"{v.mean():.2f} ± {v.std() / np.sqrt(len(v)):.2f}" for v in (raw, light, peak)),
            f"{100 * np.mean(light < 0.1):.0f} %",
        )


def _spots(photons: float, seed: int) -> np.ndarray:
    """Return (spots, 3): light in the raw image, light and peak in the result, all over the true ones."""
    y, x = np.indices((SIDE, SIDE))
    shape = np.exp(-((y % STEP - STEP // 2) ** 2 + (x % STEP - STEP // 2) ** 2) / (2 * WIDTH**2)) / (
        2 * np.pi * WIDTH**2
    )
    rng = np.random.default_rng([seed, int(photons)])
    noisy = rng.poisson(BACKGROUND + photons * shape) + rng.normal(0, READ_NOISE, shape.shape)
    result = denoise(noisy.astype(np.float32), noise=_noise(noisy), device="cpu")
    truth = photons * shape
    return np.stack(
        [_light(noisy) / _light(truth), _light(result) / _light(truth), _peak(result) / _peak(truth)], axis=1
    )


def _noise(noisy: np.ndarray) -> NoiseModel:
    found = measure_noise(noisy)
    assert isinstance(found, NoiseModel)
    return found


def _cells(image: np.ndarray) -> np.ndarray:
    n = SIDE // STEP
    return image.reshape(n, STEP, n, STEP).swapaxes(1, 2).reshape(-1, STEP, STEP)


def _rings() -> tuple[np.ndarray, np.ndarray]:
    """Return where a spot is, and where its background is taken."""
    y, x = np.indices((STEP, STEP)) - STEP // 2
    distance = np.hypot(y, x)
    return distance <= 3 * WIDTH, (distance > 6 * WIDTH) & (distance <= STEP // 2)


def _light(image: np.ndarray) -> np.ndarray:
    spot, around = _rings()
    cells = _cells(image)
    return cells[:, spot].sum(axis=1) - spot.sum() * cells[:, around].mean(axis=1)


def _peak(image: np.ndarray) -> np.ndarray:
    _, around = _rings()
    cells = _cells(image)
    return cells[:, STEP // 2, STEP // 2] - cells[:, around].mean(axis=1)
