"""Compute the scale and translate of an enlarged image, and the distance of planes from the voxel size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_genrecon.errors import OptionError
from napari_genrecon.io.image_file import MICROMETRES

__all__ = ["plane_spacing", "upscaled_transform"]


def upscaled_transform(
    scale: Sequence[float], translate: Sequence[float], factors: Sequence[int], *, linear: ArrayLike | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the scale and translate that keep an enlarged image on the field of view of the original.

    A point ``p``, in pixels, has the position ``linear @ (scale * p) + translate``. The first pixel of the original
    becomes several smaller ones; the first of them is ``(1 - 1 / factor) / 2`` old pixels before its centre.

    Parameters
    ----------
    scale, translate : (N,) sequence of float
        Size of a pixel of the original, and position of the centre of pixel 0.
    factors : (N,) sequence of int
        How many times more pixels there are along each dimension; 1 where nothing changes.
    linear : (N, N) array_like, optional
        Rotation and shear, applied after the scale; the identity if not given. A further affine transform of the
        layer, which applies to the whole, stays as it is.

    Returns
    -------
    scale, translate : (N,) ndarray
        Scale and translate of the enlarged image.

    Raises
    ------
    OptionError
        If the lengths differ.

    Examples
    --------
    >>> scale, translate = upscaled_transform((0.2, 0.2), (10, 0), (2, 2))
    >>> [float(v) for v in scale], [round(float(v), 3) for v in translate]
    ([0.1, 0.1], [9.95, -0.05])
    """
    old, moved, by = (np.asarray(values, float) for values in (scale, translate, factors))
    turn = np.eye(len(old)) if linear is None else np.asarray(linear, float)
    # numpy would broadcast a scale of one number over all dimensions.
    if not old.shape == moved.shape == by.shape or turn.shape != (len(old), len(old)):
        raise OptionError(
            f"scale {old.shape}, translate {moved.shape}, factors {by.shape} and linear {turn.shape} do not fit"
        )
    new = old / by
    # The centre of the first new pixel lies (old - new) / 2 before that of the old one, along turned axes.
    return new, moved + turn @ (new - old) / 2


def plane_spacing(letters: str, scale: Sequence[float], units: Sequence[str]) -> float | None:
    """Return the distance of two planes of a stack in pixels, or None if it is unknown.

    Parameters
    ----------
    letters : str
        One letter per dimension.
    scale, units : sequence
        Size of a pixel and its unit, per dimension; the unit ``"pixel"`` means that it is unknown.

    Examples
    --------
    >>> plane_spacing("ZYX", (0.5, 0.125, 0.125), ("micrometer",) * 3)
    4.0
    >>> plane_spacing("ZYX", (500, 0.125, 0.125), ("nanometer", "micrometer", "micrometer"))
    4.0
    >>> plane_spacing("ZYX", (1, 1, 1), ("pixel",) * 3) is None
    True
    """
    # A negative scale mirrors the layer, and is no negative distance. What is no length has none.
    size = {
        letter: abs(float(s)) * MICROMETRES.get(str(unit), 0.0)
        for letter, s, unit in zip(letters, scale, units, strict=False)
    }
    z, y, x = (size.get(letter, 0.0) for letter in "ZYX")
    # The geometric mean is the side of a square pixel of the same area.
    return z / math.sqrt(y * x) if min(z, y, x) > 0 else None
