"""Read and write columns of the features table of Labels and Points layers, by the numbers of their objects."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from napari.layers import Labels, Points
from numpy.typing import ArrayLike

__all__ = ["read_features", "write_features"]

_INDEX = "index"  # the column by which napari finds the row of a label


def read_features(layer: Labels | Points) -> pd.DataFrame:
    """Return the features of a layer with the numbers of the objects as index: labels, or points counted from 1."""
    if isinstance(layer, Points):
        return layer.features.set_axis(np.arange(1, len(layer.data) + 1))
    table = layer.features.copy()
    if _INDEX in table:
        # Tables of others may hold a label twice, and only a unique index can be matched with numbers of objects.
        return table.drop_duplicates(_INDEX).set_index(_INDEX)
    # Without that column, napari takes row i for label i.
    return table.set_axis(np.arange(len(table)))


def write_features(layer: Labels | Points, number: ArrayLike, columns: Mapping[str, ArrayLike]) -> None:
    """Write columns into the features of a layer, beside those that are there; empty where an object has no value.

    Parameters
    ----------
    layer : Labels or Points
        Layer of the objects.
    number : (N,) array_like of int
        Numbers of objects, each once.
    columns : mapping of str to (N,) array_like
        Their values.
    """
    new = pd.DataFrame(dict(columns), index=np.asarray(number))
    if isinstance(layer, Points):
        table = layer.features.copy()
        for name in new:
            table[name] = new[name].reindex(np.arange(1, len(layer.data) + 1)).to_numpy()
    else:
        table = read_features(layer)
        table = table.reindex(table.index.union(new.index))
        for name in new:
            table[name] = new[name].reindex(table.index)
        table = table.rename_axis(_INDEX).reset_index()
    # Assigned as a whole, as napari then finds the rows of the labels anew.
    layer.features = table
