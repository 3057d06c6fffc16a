"""Measure upscaling along z: PSNR beside cubic interpolation, on a simulated volume of isotropic voxels.

The stack shows it blurred along z, several planes binned into one, with white noise. Textured cells with bright
membranes, and filaments, in all directions.
"""

from __future__ import annotations

import time

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from bench.table import header, row
from napari_genrecon import denoise, upscale_z
from napari_genrecon.numerics.resample import enlarged_rows

SHAPE = (96, 128, 128)
BLUR = 1.0  # s.d. along z before binning, in fine planes
CASES = ((3, 0.0), (3, 4.0), (4, 4.0), (4, 12.0))  # factor, noise s.d. in grey values of 255


def run(quick: bool) -> None:
    """Print the table."""
    truth = volume(np.random.default_rng([2026, 17]), SHAPE)
    header("along z", "cubic", "denoise, cubic", "ours", "gain", "seconds")
    for factor, sigma in CASES[1:2] if quick else CASES:
        stack = seen(truth, factor, sigma)
        started = time.perf_counter()
        ours = upscale_z(stack, factor=factor, device="cpu", train_steps=30 if quick else 150)
        seconds = time.perf_counter() - started
        results = cubic(stack, factor), cubic(denoise(stack, device="cpu") if sigma else stack, factor), ours
        scores = [_psnr(result, truth) for result in results]
        cells = (f"{value:.2f}" for value in scores)
        row(f"x{factor}, noise {sigma:g}", *cells, f"{scores[2] - max(scores[:2]):+.2f}", f"{seconds:.0f}")
    print()


def seen(truth: np.ndarray, factor: int, sigma: float) -> np.ndarray:
    """Simulate the stack that a microscope would record."""
    blurred = gaussian_filter1d(truth, BLUR, axis=0, mode="nearest")
    binned = blurred.reshape(len(truth) // factor, factor, *truth.shape[1:]).mean(axis=1)
    return (binned + np.random.default_rng([2026, 18]).normal(0, sigma, binned.shape)).astype(np.float32)


def cubic(stack: np.ndarray, factor: int) -> np.ndarray:
    """Interpolate along z."""
    flat = np.asarray(stack, np.float64).reshape(len(stack), -1)
    return enlarged_rows(flat, factor).reshape(-1, *stack.shape[1:])


def volume(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Simulate cells and filaments (Z, Y, X) in grey values from about 10 to 255."""
    cells = np.zeros(shape, np.float32)
    texture = 0.25 * _smooth(rng, shape, 2.0) + 0.15 * _smooth(rng, shape, 1.0)
    for _ in range(14):
        radius = _ellipsoid(rng, shape)  # 1 at the membrane
        body = 1 / (1 + np.exp((radius - 1) * 12))
        membrane = np.exp(-0.5 * ((radius - 1) / 0.08) ** 2)
        cells = np.maximum(cells, rng.uniform(0.3, 0.6) * body * (1 + texture) + 0.5 * membrane)
    return 10 + 200 * np.clip(0.7 * cells + 0.9 * _filaments(rng, shape), 0, None)


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], length: float) -> np.ndarray:
    field = gaussian_filter(rng.normal(size=shape), length)
    return field / field.std()


def _ellipsoid(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    centre, radii = rng.uniform(0, 1, 3) * shape, rng.uniform(9, 20, 3)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0] / radii[:, None]
    offset = np.indices(shape) - centre[:, None, None, None]
    return np.sqrt((np.tensordot(turn, offset, 1) ** 2).sum(axis=0))


def _filaments(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    lines = np.zeros(shape)
    for _ in range(25):
        place, course = rng.uniform(0, 1, 3) * shape, rng.normal(size=3)
        for _ in range(160):
            course = course + rng.normal(0, 0.12 * np.linalg.norm(course), 3)
            place = place + 0.7 * course / np.linalg.norm(course)
            index = tuple(np.round(place).astype(int))
            if not all(0 <= i < n for i, n in zip(index, shape, strict=True)):
                break
            lines[index] = 1
    blurred = gaussian_filter(lines, 1.1)
    return blurred / blurred.max()


def _psnr(result: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(255.0**2 / np.mean((result - truth) ** 2)))
