"""Measure inpainting: PSNR inside the mask, beside the biharmonic equation.

Photographs and textures of scikit-image; simulated cells and filaments of :mod:`bundled.scenes`, with other seeds than
the training; and tissue and fibres of :mod:`bench.unseen`, which no training draws; without and with noise on the known
pixels (the truth is without). Masks are drawn anew from fixed seeds.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bundled import scenes
from skimage import data as photographs

from bench import unseen
from bench.table import header, row
from napari_genrecon import inpaint

NATURAL = ("camera", "coins", "moon", "brick", "grass", "gravel")
PEAK = 255.0
NOISE = 5.0  # grey values of 255

SECONDS = 10.0  # longest time allowed for 512 x 512

Mask = np.ndarray


@dataclass(frozen=True)
class Score:
    """PSNR inside the mask in dB and wall time in s, of the biharmonic equation and of ours."""

    classical: float
    ours: float
    slow: float
    fast: float

    @property
    def gain(self) -> float:
        return self.ours - self.classical

    @property
    def seconds(self) -> tuple[str, str]:
        return f"{self.slow:.1f}", f"{self.fast:.1f}"


Row = tuple[str, str, str, Score]
"""Kind of image, mask, image, score."""


def run(quick: bool, keep: Path | None = None, only: str = "") -> None:
    """Print the tables: images of 512 x 512 (one side of coins is shorter), or quick: 256 x 256, two of a kind.

    Parameters
    ----------
    quick : bool
        Fewer and smaller images.
    keep : Path, optional
        Folder where the biharmonic fills, which are slow and always the same, are kept for the next run.
    only : str
        Kinds of images whose name contains this.
    """
    started, side = time.perf_counter(), 256 if quick else 512
    kinds = {
        "natural": ({name: _photograph(name, side) for name in (NATURAL[::3] if quick else NATURAL)}, 0.0),
        "simulated": (_simulated(1 if quick else 2, side, TRAINED), 0.0),
        f"simulated, noise {NOISE:g}": (_simulated(1, side, TRAINED), NOISE),
        "tissue and fibres": (_simulated(1 if quick else 2, side, (unseen.tissue, unseen.fibres)), 0.0),
    }
    kinds = {kind: images for kind, images in kinds.items() if only in kind}
    rows = [
        (kind, name, image_name, _score(image, draw(np.random.default_rng(7), image.shape), noise, keep))
        for name, draw in MASKS.items()
        for kind, (images, noise) in kinds.items()
        for image_name, image in images.items()
    ]
    _print_images(rows)
    _print_means(rows, list(kinds))
    print(f"\nPSNR inside the mask, images of side {side}; {time.perf_counter() - started:.0f} s in all.")


def _print_images(rows: list[Row]) -> None:
    header("images", "image", "mask", "biharmonic, dB", "ours, dB", "gain, dB", "biharmonic, s", "ours, s")
    for kind, mask, image, score in rows:
        row(kind, image, mask, f"{score.classical:.2f}", f"{score.ours:.2f}", f"{score.gain:+.2f}", *score.seconds)
    print()


def _print_means(rows: list[Row], kinds: list[str]) -> None:
    """Print means over images; the bar is over natural and simulated images without noise together."""
    header("images", "mask", "n", "gain, dB", "worst gain", "slowest, s", "bar, dB", "bar, s")
    for mask, bar in BARS.items():
        both_kinds = [["natural", "simulated"]] if {"natural", "simulated"} <= set(kinds) else []
        for wanted in (*both_kinds, *([kind] for kind in kinds)):
            scores = [score for kind, name, _, score in rows if kind in wanted and name == mask]
            gains, slowest = np.array([score.gain for score in scores]), max(score.fast for score in scores)
            both = len(wanted) > 1
            verdicts = [f"{bar:+.1f} {_met(gains.mean() >= bar)}", f"{SECONDS:g} {_met(slowest <= SECONDS)}"]
            numbers = [f"{gains.mean():+.2f}", f"{gains.min():+.2f}", f"{slowest:.1f}"]
            row(" + ".join(wanted), mask, len(scores), *numbers, *(verdicts if both else ["", ""]))


def _met(met: bool) -> str:
    return "met" if met else "MISSED"


def _score(image: np.ndarray, mask: Mask, noise: float, keep: Path | None) -> Score:
    seen = image + np.random.default_rng(3).normal(0, noise, image.shape) if noise else image
    seen = np.where(mask, 0, seen).astype(np.float32)
    classical, slow = _biharmonic(seen, mask, keep)
    ours, fast = _timed(lambda: inpaint(seen, mask, device="cpu"))
    return Score(_psnr(classical, image, mask), _psnr(ours, image, mask), slow, fast)


def _biharmonic(seen: np.ndarray, mask: Mask, keep: Path | None) -> tuple[np.ndarray, float]:
    if keep is None:
        return _timed(lambda: inpaint(seen, mask, method="biharmonic"))
    path = keep / f"{hashlib.sha256(seen.tobytes() + mask.tobytes()).hexdigest()}.npz"
    if not path.exists():
        filled, seconds = _timed(lambda: inpaint(seen, mask, method="biharmonic"))
        keep.mkdir(parents=True, exist_ok=True)
        np.savez(path, filled=filled, seconds=seconds)
    with np.load(path) as kept:
        return kept["filled"], float(kept["seconds"])


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


TRAINED = (scenes.cells, scenes.filaments)


def _simulated(pairs: int, side: int, kinds: Sequence[Callable[..., np.ndarray]]) -> dict[str, np.ndarray]:
    """Simulate two kinds of scenes in turn, in [0, 255], with seeds that are used nowhere else."""
    return {
        f"{kind.__name__} {i}": PEAK * kind(np.random.default_rng([2026, 11, i, k]), (side, side))
        for i in range(pairs)
        for k, kind in enumerate(kinds)
    }


# Masks --------------------------------------------------------------------------------------------------------------


def _dropout(part: float) -> Callable[[np.random.Generator, tuple[int, ...]], Mask]:
    return lambda rng, shape: rng.random(shape) < part


def _scratches(rng: np.random.Generator, shape: tuple[int, ...]) -> Mask:
    """Draw slightly bent lines of any direction, 1.5 to 4 pixels wide: about 3 % of the pixels."""
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
    """Draw lines of letter-like marks, strokes of 3 pixels on 10 x 17: about 13 % of the pixels."""
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
BARS = {"text": 1.0, "scratches": 1.0, "50 % at random": 1.5, "80 % at random": 1.5}
