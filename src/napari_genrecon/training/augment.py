"""Changes that leave a cell a cell: flips, right angles, a little brightness, a little bending."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.training.crops import Crops

__all__ = ["augment", "contact_sheet"]


def augment(
    rng: np.random.Generator,
    batch: NDArray[Any],
    *,
    low: float = -1.0,
    flips: bool = True,
    intensity: float = 0.1,
    elastic: float = 0.5,
) -> NDArray[np.float32]:
    """Change every crop of a batch at random; the same generator state gives the same result.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the randomness comes from.
    batch : (N, C, Y, X) ndarray
        Crops with Y = X; not changed.
    low : float or (C,) sequence of float
        The value that stays where it is when the brightness changes: the background.
    flips : bool
        Whether to mirror and to turn by right angles.
    intensity : float
        Largest relative change of brightness.
    elastic : float
        S.d. of the displacements of the bending, in pixels; 0 for none.

    Returns
    -------
    (N, C, Y, X) float32 ndarray
    """
    raise NotImplementedError


def contact_sheet(
    crops: Crops, rows: int = 6, columns: int = 8, augmented: bool = True, *, seed: int = 0
) -> NDArray[Any]:
    """A picture of crops side by side, as training will see them.

    Parameters
    ----------
    crops : Crops
        Of which training crops are taken, evenly over all of them.
    rows, columns : int
        Of the sheet.
    augmented : bool
        Whether to change them as `augment` does.
    seed : int
        Of the changes.

    Returns
    -------
    (Y, X) or (Y, X, C) ndarray
        In the crops' dtype, with lines of the darkest value between them.
    """
    raise NotImplementedError
