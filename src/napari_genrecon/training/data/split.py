"""Hold out crops: those of whole images, or of a block in a corner of the only image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import ImageError

__all__ = ["split_by_block", "split_by_order", "split_by_source"]

TRAIN, HELD, LEFT = 0, 1, 2  # part that a place belongs to
_STEPS = 40  # sizes of the block that are tried: the share is met within about 1/40 of each side


def split_by_source(source: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Hold out whole images, about `share` of the crops and at least one image.

    Parameters
    ----------
    source : (N,) int64 ndarray
        Index of the image of each crop; at least two differ.
    share : float
        Share of the crops to hold out, in (0, 0.5].
    rng : numpy.random.Generator
        Source of the random order of images.

    Returns
    -------
    (N,) int64 ndarray
        0 for training, 1 for held out.
    """
    images, counts = np.unique(source, return_counts=True)
    target, held = share * len(source), 0
    chosen: list[int] = []
    # An image is taken only if the share gets nearer by it: one large image can exceed the share by far.
    for index in rng.permutation(len(images)):
        if abs(held + counts[index] - target) < abs(held - target):
            chosen.append(int(images[index]))
            held += int(counts[index])
    # Every image alone is at least twice the share: the smallest costs the training least.
    if not chosen:
        chosen = [int(images[np.argmin(counts)])]
    return np.isin(source, chosen).astype(np.int64)


def split_by_order(n: int, share: float) -> NDArray[np.int64]:
    """Hold out the last crops: neighbours in a stack of ready crops are likely to come from the same image."""
    verdict = np.zeros(n, np.int64)
    # At least one, since a share that rounds to none was still asked for.
    verdict[n - max(1, round(share * n)) :] = HELD
    return verdict


def split_by_block(place: NDArray[np.int64], size: int, height: int, width: int, share: float) -> NDArray[np.int64]:
    """Hold out a block in a corner, the same on all planes, with a gap of one crop's side around it.

    The corner that leaves the most training crops is taken.

    Parameters
    ----------
    place : (N, 3) int64 ndarray
        Plane, row, column of the first pixel.
    size : int
        Side of a crop, and width of the gap, in pixels.
    height, width : int
        Size of the image in pixels.
    share : float
        Share of held-out crops among those that are not in the gap, in (0, 0.5].

    Returns
    -------
    (N,) int64 ndarray
        0 for training, 1 for held out, 2 for crops that lie in the gap or reach into it.

    Raises
    ------
    ImageError
        If no block leaves crops on both sides.
    """
    best: NDArray[np.int64] | None = None
    for bottom in (True, False):
        for right in (True, False):
            verdict = _grow(_from_corner(place, size, height, width, bottom, right), size, height, width, share)
            if verdict is not None and (best is None or np.sum(verdict == TRAIN) > np.sum(best == TRAIN)):
                best = verdict
    if best is None:
        raise ImageError(
            f"an image of {height}x{width} pixels is too small to hold out crops of {size} pixels with a gap of {size} "
            "around them: take smaller crops, add more images, or hold out none (held_out=0)"
        )
    return best


def _from_corner(
    place: NDArray[np.int64], size: int, height: int, width: int, bottom: bool, right: bool
) -> NDArray[np.int64]:
    """Return (N, 2): distance of a crop's far side from the corner's two edges, in pixels."""
    y, x = place[:, 1], place[:, 2]
    # From the lower and right edges a crop reaches as far as its first pixel, from the others as far as its last.
    return np.stack([height - y if bottom else y + size, width - x if right else x + size], axis=1)


def _grow(reach: NDArray[np.int64], size: int, height: int, width: int, share: float) -> NDArray[np.int64] | None:
    """Grow the block until it holds the share; return None if it never does or leaves no training crops."""
    for part in np.linspace(0, 1, _STEPS + 1)[1:]:
        # Not below one crop: a smaller block cannot hold any.
        block = np.maximum(np.array([height, width]) * part, size)
        # Wholly inside, along Y and along X.
        held = np.all(reach <= block, axis=1)
        # A training crop must begin at least one crop's side beyond the block, along Y or along X.
        train = np.any(reach - size >= block + size, axis=1)
        if held.any() and train.any() and held.sum() >= share * (held.sum() + train.sum()):
            return np.where(held, HELD, np.where(train, TRAIN, LEFT)).astype(np.int64)
    return None
