"""Check that crops can be trained on: enough of them, finite, varied, of enough area; and measure their grey range."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.engine.intensity import WHOLE_PLANE
from napari_genrecon.errors import ImageError
from napari_genrecon.plural import number_of
from napari_genrecon.training.data.dataset import CropOptions
from napari_genrecon.training.data.source import CropSource

__all__ = ["NEEDED", "PLENTY", "covered", "grey_range", "notes_on_area", "require_enough", "usable"]

NEEDED = 32
"""Training crops below which training is refused: a network memorises fewer."""

PLENTY = 500
"""Crops below which the discriminator of a GAN overfits. A grid is made denser until it holds them: far more overlap
and show little that is new."""

# Area that the crops must cover at least, in crops side by side: overlapping crops show little that is new.
_AREA = 8
_TAIL = 1e-4  # share of the pixels beyond the range on either side: hot pixels must not set it


def usable(x: NDArray[Any]) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Return which crops have finite pixels that differ, and sentences about the others."""
    if not len(x):
        return np.zeros(0, bool), ()
    flat = x.reshape(len(x), -1)
    # Integers are finite, and asking would make a mask as large as the crops.
    finite = np.isfinite(flat).all(1) if x.dtype.kind == "f" else np.ones(len(x), bool)
    varied = flat.max(1) > flat.min(1)
    if not finite.any():
        raise ImageError(f"all {len(x)} crops hold NaN or infinite pixels: fill them first, with inpaint for example")
    if not (finite & varied).any():
        raise ImageError(f"all {len(x)} crops are constant: there is nothing to train on")
    notes = []
    if not finite.all():
        words = ("crop holds NaN or infinite pixels and was", "crops hold NaN or infinite pixels and were")
        notes.append(f"{number_of(int((~finite).sum()), *words)} left out")
    # Compared with `finite`, as a crop with NaN has no maximum and is not varied either.
    if (finite & ~varied).any():
        words = ("crop is constant and was", "crops are constant and were")
        notes.append(f"{number_of(int((finite & ~varied).sum()), *words)} left out")
    return finite & varied, tuple(notes)


def require_enough(n: int, found: int, notes: tuple[str, ...], mode: str, options: CropOptions, needed: int) -> None:
    """Refuse fewer than `needed` training crops; the message says how to get more."""
    if n >= needed:
        return
    remedy = {
        "objects": "more images, or smaller crops",
        "whole": "more of them",
        "random": "more positions (n), smaller crops, or more images",
    }.get(mode, "a smaller stride, smaller crops, or more images")
    rest = f" ({found} were found; the others are held out or too close to those)" if found > n else ""
    said = "".join(f"; {note}" for note in notes)
    use = "train on" if needed >= NEEDED else "look at"
    raise ImageError(
        f"there are only {n} crops of {options.size} pixels to {use}{rest}, at least {needed} are needed: give "
        f"{remedy}{said}"
    )


def covered(sources: list[CropSource], source: NDArray[np.int64], place: NDArray[np.int64], size: int) -> float:
    """Return the area that crops cover, in crops side by side; overlaps count once."""
    total = 0
    for index, image in enumerate(sources):
        mine = place[source == index]
        for plane in np.unique(mine[:, 0]):
            # A map of the plane, painted crop by crop: the area of a union of squares has no simpler sum.
            seen = np.zeros((image.height, image.width), bool)
            for _, y, x in mine[mine[:, 0] == plane].tolist():
                seen[y : y + size, x : x + size] = True
            total += int(seen.sum())
    return total / size**2


def notes_on_area(area: float, n: int, mode: str, options: CropOptions, needed: int) -> tuple[str, ...]:
    """Return a sentence if crops overlap much and cover little; refuse them if they are to be trained on."""
    # Objects and ready crops are what the user chose one by one; they overlap where cells do.
    if mode not in ("grid", "random") or area >= NEEDED:
        return ()
    said = f"the {n} training crops of {options.size} pixels overlap and cover the area of only {area:.0f} side by side"
    if area < _AREA and needed >= NEEDED:
        raise ImageError(f"{said}, at least {_AREA} are needed: take smaller crops, or more images")
    return (f"{said}: the model may memorise them; smaller crops or more images help",)


def grey_range(x: NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measure the grey values that become -1 and +1, per channel, over all training crops."""
    lows, highs = [], []
    for channel in range(x.shape[1]):
        values = x[:, channel].reshape(-1)
        # Every so many-th pixel: the quantiles need no more, and the copy in float64 stays small.
        low, high = np.quantile(values[:: max(1, len(values) // WHOLE_PLANE)].astype(np.float64), [_TAIL, 1 - _TAIL])
        if not high > low:
            low, high = float(values.min()), float(values.max())
        if not high > low:
            raise ImageError(f"channel {channel} is constant ({low:g}) in all crops: leave it out")
        lows.append(float(low))
        highs.append(float(high))
    return tuple(lows), tuple(highs)
