"""The eight turned and mirrored views of a plane; the mean of their results is a little better than one.

Geometric self-ensemble: Lim et al., CVPR Workshops 2017, section 3.4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["VIEWS", "turned", "turned_back"]

# The four that keep height and width stand first: the first view alone is the plane itself.
VIEWS = ((0, False), (2, False), (0, True), (2, True), (1, False), (3, False), (1, True), (3, True))
"""(quarter turns, mirrored first); an odd number of turns exchanges x and y."""


def turned(plane: NDArray[Any], view: tuple[int, bool]) -> NDArray[Any]:
    """Return a view of a plane (Y, X)."""
    quarters, mirrored = view
    return np.rot90(plane[::-1] if mirrored else plane, quarters)


def turned_back(plane: NDArray[Any], view: tuple[int, bool]) -> NDArray[Any]:
    """Undo `turned`."""
    quarters, mirrored = view
    # Undone in the opposite order: `turned` mirrors first.
    back = np.rot90(plane, -quarters)
    return back[::-1] if mirrored else back
