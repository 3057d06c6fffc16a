"""How well masked pixels are filled in: PSNR inside the mask, beside the biharmonic equation.

Photographs and textures of scikit-image, and simulated cells and filaments of :mod:`napari_genrecon.training.scenes`,
without and with noise on the known pixels (the truth is without). Masks are drawn anew from fixed seeds.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import numpy as np
from skimage import data as photographs

from bench.table import header, row
from napari_genrecon import inpaint
from napari_genrecon.training import scenes

NATURAL = ("camera", "coins", "moon", "brick", "grass", "gravel")
PEAK = 255.0
NOISE = 5.0  # grey values of 255

Mask = np.ndarray


def run(quick: bool) -> None:
    """Print the table: images of 512 x 512 (one side of coins is shorter), or quick: 256 x 256, two of a kind."""
    started, side = time.perf_counter(), 256 if quick else 512
    natural = [_photograph(name, side) for name in (NATURAL[::3] if quick else NATURAL)]
    simulated = _simulated(1 if quick else 2, side)
    header("images", "mask", "n", "biharmonic, dB", "ours, dB", "gain, dB", "worst gain", "biharmonic, s", "ours, s")
    for name, draw in MASKS.items():
        for kind, images, noise in (
            ("natural", natural, 0.0),
            ("cells and filaments", simulated, 0.0),
            (f"cells and filaments, noise {NOISE:g}", simulated, NOISE),
        ):
            _report(kind, name, [(image, draw(np.random.default_rng(7), image.shape)) for image in images], noise)
    print(f"\nPSNR inside the mask, means over n images of side {side}; {time.perf_counter() - started:.0f} s in all.")


def _report(kind: str, mask_name: str, cases: list[tuple[np.ndarray, Mask]], noise: float) -> None:
    rows = np.array([_score(image, mask, noise) for image, mask in cases])
    classical, ours, slow, fast = rows.mean(axis=0)
    worst = (rows[:, 1] - rows[:, 0]).min()
    gain = f"{ours - classical:+.2f}"
    row(
        kind,
        mask_name,
        len(cases),
        f"{classical:.2f}",
        f"{ours:.2f}",
        gain,
        f"{worst:+.2f}",
        f"{slow:.1f}",
        f"{fast:.1f}",
    )


def _score(image: np.ndarray, mask: Mask, noise: float) -> tuple[float, float, float, float]:
    seen = image + np.random.default_rng(3).normal(0, noise, image.shape) if noise else image
    seen = np.where(mask, 0, seen).astype(np.float32)
    classical, slow = _timed(lambda: inpaint(seen, mask, method="biharmonic"))
    ours, fast = _timed(lambda: inpaint(seen, mask, device="cpu"))
    return _psnr(classical, image, mask), _psnr(ours, image, mask), slow, fast


def _timed(call: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the noise cannot be measured between randomly missing pixels
        return call(), time.perf_counter() - started


def _psnr(filled: np.ndarray, clean: np.ndarray, mask: Mask) -> float:
    return 10 * np.log10(PEAK**2 / np.mean((filled.astype(float) - clean)[mask] ** 2))


# Images -------------------------------------------------------------------------------------------------------------


def _photograph(name: str, side: int) -> np.ndarray:
    image = getattr(photographs, name)().astype(float)
    top, left = (max(length - side, 0) // 2 for length in image.shape)
    return image[top : top + side, left : left + side]


def _simulated(pairs: int, side: int) -> list[np.ndarray]:
    """Cells and filaments in turn, in [0, 255]; their seeds are used nowhere else."""
    kinds = (scenes.cells, scenes.filaments)
    return [
        PEAK * kind(np.random.default_rng([2026, 11, i, k]), (side, side))
        for i in range(pairs)
        for k, kind in enumerate(kinds)
    ]


# Masks --------------------------------------------------------------------------------------------------------------


def _dropout(part: float) -> Callable[[np.random.Generator, tuple[int, ...]], Mask]:
    return lambda rng, shape: rng.random(shape) < part


def _scratches(rng: np.random.Generator, shape: tuple[int, ...]) -> Mask:
    """Slightly bent lines of any direction, 1.5 to 4 pixels wide: about 3 % of the pixels."""
    mask = np.zeros(shape, bool)
    y, x = np.indices(shape)
    for _ in range(10 * shape[0] * shape[1] // 256**2):
        centre, angle = rng.uniform(0, 1, 2) * shape, rng.uniform(0, np.pi)
        length, width, bend = rng.uniform(50, 230), rng.uniform(0.7, 2.0), rng.normal(0, 0.0015)
        along = (y - centre[0]) * np.sin(angle) + (x - centre[1]) * np.cos(angle)
        across = (x - centre[1]) * np.sin(angle) - (y - centre[0]) * np.cos(angle) - bend * along**2
        mask |= (np.abs(along) < length / 2) & (np.abs(across) < width)
    return mask


def _text(rng: np.random.Generator, shape: tuple[int, ...]) -> Mask:
    """Lines of letter-like marks, strokes of 3 pixels on 10 x 17: about 13 % of the pixels."""
    mask = np.zeros(shape, bool)
    for y in range(8, shape[0] - 24, 26):
        for x in range(6, shape[1] - 14, 14):
            for _ in range(rng.integers(2, 5) if rng.random() > 0.15 else 0):
                _stroke(rng, mask, y, x)
    return mask


def _stroke(rng: np.random.Generator, mask: Mask, y: int, x: int) -> None:
    if rng.random() < 0.5:
        top = y + rng.choice([0, 7, 14])
        mask[top : top + 3, x : x + 10] = True
    else:
        top, left = y + rng.choice([0, 7]), x + rng.choice([0, 8])
        mask[top : top + 10, left : left + 3] = True


MASKS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Mask]] = {
    "text": _text,
    "scratches": _scratches,
    "50 % at random": _dropout(0.5),
    "80 % at random": _dropout(0.8),
}
