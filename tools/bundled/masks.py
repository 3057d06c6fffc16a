"""Random masks of missing pixels: writing, scratches, blobs, lines, and pixels dropped one by one."""

from __future__ import annotations

import string
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from bundled.fields import smooth_noise

__all__ = ["draw_mask"]

Mask = NDArray[np.bool_]

LEAST, MOST = 0.004, 0.92  # missing share of the pixels; masks beyond are drawn again


def draw_mask(rng: np.random.Generator, side: int) -> Mask:
    """Draw what is missing in a patch (side, side): at least one pixel, never all.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    side : int
        Side of the patch, in px.
    """
    while True:
        mask = _one(rng, side)
        if rng.random() < 0.12:
            mask = mask | _one(rng, side)
        if LEAST < mask.mean() < MOST:
            return mask


def _one(rng: np.random.Generator, side: int) -> Mask:
    kinds, shares = zip(*KINDS, strict=True)
    return kinds[int(rng.choice(len(kinds), p=shares))](rng, side)


def _dropped(rng: np.random.Generator, side: int) -> Mask:
    """Drop single pixels, 5 to 85 %; dense masks are more frequent, as fills of them have larger errors."""
    return rng.random((side, side)) < rng.uniform(0.05, 0.85) ** 0.8


def _clumps(rng: np.random.Generator, side: int) -> Mask:
    """Drop small squares."""
    size = int(rng.integers(2, 5))
    cells = rng.random((-(-side // size),) * 2) < rng.uniform(0.03, 0.4)
    return np.kron(cells, np.ones((size, size), bool))[:side, :side]


def _writing(rng: np.random.Generator, side: int) -> Mask:
    """Draw lines of letters, upright or turned."""
    canvas = PillowImage.new("1", (side, side))
    pen, size = ImageDraw.Draw(canvas), int(rng.integers(9, 34))
    font, bold = ImageFont.load_default(size=size), int(rng.integers(0, 2 + size // 16))
    y = -float(rng.uniform(0, size))
    while y < side:
        letters = rng.choice(list(string.ascii_letters + string.digits + "   "), size=2 * side // size + 4)
        pen.text((-rng.uniform(0, size), y), "".join(letters), fill=1, font=font, stroke_width=bold)
        y += size * rng.uniform(1.1, 2.2)
    return np.rot90(np.asarray(canvas, bool), int(rng.integers(4)))


def _scratches(rng: np.random.Generator, side: int) -> Mask:
    """Draw random walks, 1 to 6 pixels wide, with ends inside or outside."""
    canvas = PillowImage.new("1", (side, side))
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(1, 9))):
        angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.2, int(rng.integers(3, 16))))
        steps = rng.uniform(5, 14) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        path = rng.uniform(-0.2 * side, 1.2 * side, 2) + np.cumsum(steps, axis=0)
        pen.line([tuple(point) for point in path.tolist()], fill=1, width=int(rng.integers(1, 7)))
    return np.asarray(canvas, bool)


def _blobs(rng: np.random.Generator, side: int) -> Mask:
    """Draw rounded holes."""
    field = smooth_noise(rng, (side, side), float(np.exp(rng.uniform(np.log(1.5), np.log(9)))))
    return np.asarray(field > rng.uniform(1.0, 2.2))


def _lines(rng: np.random.Generator, side: int) -> Mask:
    """Drop whole rows, or whole columns."""
    mask = np.zeros((side, side), bool)
    for _ in range(int(rng.integers(1, 8))):
        start = int(rng.integers(side))
        mask[start : start + int(rng.integers(1, 4))] = True
    return mask.T if rng.random() < 0.5 else mask


KINDS: tuple[tuple[Callable[[np.random.Generator, int], Mask], float], ...] = (
    (_dropped, 0.42),
    (_clumps, 0.05),
    (_writing, 0.2),
    (_scratches, 0.18),
    (_blobs, 0.08),
    (_lines, 0.07),
)
