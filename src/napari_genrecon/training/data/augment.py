"""Augmentation of crops: flips, right angles, brightness, elastic deformation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.engine.intensity import to_dtype
from napari_genrecon.numerics.coordinate_map import LEAST_KNOTS, knot_weights, random_map
from napari_genrecon.numerics.symmetries import random_ways, turned
from napari_genrecon.training.data.dataset import Dataset

__all__ = ["augment", "contact_sheet", "draw_places"]

_KNOTS = LEAST_KNOTS[-1]  # random displacements along each side: a crop is a small image
_SCALE, _ELASTIC = 0.2, 1.0  # of objects that are learnt from few examples; relative, pixels: see `random_map`


def augment(
    rng: np.random.Generator,
    batch: NDArray[Any],
    *,
    low: float | Sequence[float] = -1.0,
    flips: bool = True,
    intensity: float = 0.1,
    elastic: float = 0.5,
) -> NDArray[np.float32]:
    """Augment every crop of a batch at random; the same generator state gives the same result.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the randomness.
    batch : (N, C, Y, X) or (N, C, Z, Y, X) ndarray
        Crops; not changed.
    low : float, or one per channel
        Value of the background, which a change of brightness leaves unchanged.
    flips : bool
        Whether to mirror and to turn by right angles.
    intensity : float
        Largest relative change of brightness.
    elastic : float
        S.d. of the displacements of the elastic deformation, in pixels; 0 for none.

    Returns
    -------
    float32 ndarray of the batch's shape
    """
    shape = batch.shape
    # A copy, in which channels and planes are one axis: (N, C * Z, Y, X), as all are moved alike.
    batch = np.array(batch, dtype=np.float32).reshape(len(batch), -1, *shape[-2:])
    if flips:
        batch = _flipped(rng, batch)
    if elastic > 0:
        batch = _elastic_deform(rng, batch, elastic)
    batch = batch.reshape(shape)
    if intensity > 0:
        gain = rng.uniform(1 - intensity, 1 + intensity, len(batch)).astype(np.float32)
        gain = gain.reshape(-1, *(1,) * (batch.ndim - 1))
        # The background keeps its value: a microscope's brighter lamp does not raise the camera's offset.
        floor = np.asarray(low, np.float32).reshape(-1, *(1,) * (batch.ndim - 2))
        batch = floor + (batch - floor) * gain
    return batch


def _flipped(rng: np.random.Generator, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn and mirror each crop at random."""
    # One number for each crop, drawn before any is used: their order does not depend on which ways come up.
    ways = random_ways(rng, len(batch), square=batch.shape[-1] == batch.shape[-2])
    out = batch.copy()
    # All crops of one way at once: eight calls at most, not one for each crop.
    for way in np.unique(ways):
        out[ways == way] = turned(batch[ways == way], way)
    return out


def _elastic_deform(rng: np.random.Generator, batch: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Deform half of the crops by smooth displacements, random at a few knots and bilinear between them.

    The other half keeps the grain of its noise, which interpolation softens.
    """
    chosen = np.flatnonzero(rng.random(len(batch)) < 0.5)
    height, width = batch.shape[-2:]
    knots = rng.normal(0, sigma, (len(chosen), 2, _KNOTS, _KNOTS)).astype(np.float32)
    rows, columns = _between(height), _between(width)
    # Two products of matrices interpolate along Y and along X: (Y, k) (n, 2, k, k) (k, X).
    shifts = rows @ knots @ columns.T  # (n, 2, Y, X)
    # Clipped to the crop, whose border pixels are then drawn out: there is nothing beyond.
    y = np.clip(np.arange(height, dtype=np.float32)[:, None] + shifts[:, 0], 0, height - 1)
    x = np.clip(np.arange(width, dtype=np.float32) + shifts[:, 1], 0, width - 1)
    out = batch.copy()
    out[chosen] = _sampled(batch[chosen], y, x)
    return out


def _between(side: int) -> NDArray[np.float32]:
    """Return the (side, knots) weights of linear interpolation between the knots."""
    return knot_weights(np.linspace(0, _KNOTS - 1, side), _KNOTS, linear=True).astype(np.float32)


def _sampled(batch: NDArray[np.float32], y: NDArray[Any], x: NDArray[Any]) -> NDArray[np.float32]:
    """Interpolate (n, C, Y, X) bilinearly at (n, Y, X) places within the crop."""
    # At most the last but one, since the pixel after it is read as well; at the border its weight is then 1.
    top = np.minimum(y.astype(np.intp), batch.shape[-2] - 2)
    left = np.minimum(x.astype(np.intp), batch.shape[-1] - 2)
    down, right = (y - top)[:, None], (x - left)[:, None]
    n = np.arange(len(batch))[:, None, None]
    at = batch.transpose(0, 2, 3, 1)  # (n, Y, X, C): one index takes all channels of a pixel

    def corner(row: NDArray[np.intp], column: NDArray[np.intp]) -> NDArray[np.float32]:
        return at[n, row, column].transpose(0, 3, 1, 2)

    upper = corner(top, left) * (1 - right) + corner(top, left + 1) * right
    lower = corner(top + 1, left) * (1 - right) + corner(top + 1, left + 1) * right
    return upper * (1 - down) + lower * down


def draw_places(rng: np.random.Generator, side: int) -> NDArray[np.float64]:
    """Return where each pixel (2, Y, X) of a picture that is turned by any angle, scaled and bent lies in the original.

    For objects of which there are few examples, and which may lie in any direction.
    """
    moved = random_map(rng, (side, side), rotate=180, scale=_SCALE, elastic=_ELASTIC)[0]
    grid: NDArray[np.float64] = np.moveaxis(np.indices((side, side), np.float64), 0, -1).reshape(-1, 2)
    return moved.backward(grid).T.reshape(2, side, side)


def contact_sheet(
    crops: Dataset,
    rows: int = 6,
    columns: int = 8,
    augmented: bool = True,
    *,
    seed: int = 0,
    flips: bool = True,
    intensity: float = 0.1,
    elastic: float = 0.5,
) -> NDArray[Any]:
    """Return a picture of crops side by side, augmented as in training.

    Parameters
    ----------
    crops : Dataset
        Dataset whose training crops are shown, evenly over all of them.
    rows, columns : int
        Numbers of crops along Y and X.
    augmented : bool
        Whether to apply `augment`.
    seed : int
        Seed of the augmentation.
    flips, intensity, elastic
        As for `augment`.

    Returns
    -------
    (Y, X) or (Y, X, C) ndarray
        Sheet in the crops' dtype, with lines of the darkest value between the crops.
    """
    training = np.flatnonzero(~crops.held_out)
    chosen = training[np.linspace(0, len(training) - 1, min(rows * columns, len(training))).round().astype(int)]
    pictures = crops.x[chosen]
    pictures = pictures[:, :, crops.depth // 2] if crops.depth else pictures  # the middle of a block
    if augmented:
        rng = np.random.default_rng(seed)
        changed = augment(rng, pictures, low=crops.low, flips=flips, intensity=intensity, elastic=elastic)
        # Rounded and clipped as images of this dtype are, so that the sheet looks like them.
        pictures = to_dtype(changed, pictures.dtype)[0]
    step = crops.size + 1
    floor = pictures.min(axis=(0, 2, 3))
    sheet = np.broadcast_to(floor, (rows * step - 1, columns * step - 1, crops.channels)).copy()
    for index, picture in enumerate(pictures):
        y, x = (index // columns) * step, (index % columns) * step
        sheet[y : y + crops.size, x : x + crops.size] = picture.transpose(1, 2, 0)
    return sheet[..., 0] if crops.channels == 1 else sheet
