"""Write features of cells into the layer of their objects, and read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.widgets.layers.features import read_features, write_features

if TYPE_CHECKING:
    from napari import Viewer

    from napari_genrecon.widgets.train.crop_source import Source

__all__ = ["SCORE", "measured", "own_features", "write_scores"]

SCORE, RANK = "outlier score", "outlier rank"


def write_scores(viewer: Viewer, source: Source, label: NDArray[np.int64], scores: NDArray[Any]) -> str:
    """Write scores and ranks into the features of a Labels or Points layer, beside what is there.

    Returns
    -------
    str
        Sentence that says where they are.
    """
    layer = source.objects
    if layer not in viewer.layers:
        return "There is no layer of objects, so the scores are in the list only."
    if source.renumbered:
        return f"The points of '{layer.name}' have changed since, so the scores are in the list only: rank again."
    rank = np.empty(len(scores), int)
    # The highest score has rank 1.
    rank[np.argsort(-scores)] = np.arange(1, len(scores) + 1)
    write_features(layer, label, {SCORE: scores, RANK: rank})
    return f"Scores and ranks are in the features of '{layer.name}'; where a cell has no crop, they are empty."


def measured(crops: Dataset, labels: Any) -> dict[str, NDArray[Any]]:
    """Measure features of crops and their objects, by which the points of a map can be coloured.

    Parameters
    ----------
    crops : Dataset
        Crops of all points.
    labels : (..., Y, X) int array_like or None
        The objects, where they are labels.

    Returns
    -------
    dict of str to (N,) ndarray
    """
    x = crops.x.reshape(len(crops), crops.channels, -1).astype(np.float64)  # (N, C, pixels)
    found: dict[str, NDArray[Any]] = {}
    for channel in range(crops.channels):
        names = crops.channel_names[channel] if crops.channel_names else ""
        after = f" ({names or channel})" if crops.channels > 1 else ""
        found[f"mean grey value{after}"] = x[:, channel].mean(axis=1)
        found[f"contrast (s.d.){after}"] = x[:, channel].std(axis=1)
    # Places are (plane, row, column).
    found["row in the image"], found["column in the image"] = crops.place[:, 1], crops.place[:, 2]
    if labels is not None:
        values, counts = np.unique(np.asarray(labels), return_counts=True)
        # `np.unique` sorts its values, and every crop's label is one of them.
        found["area of the object"] = counts[np.searchsorted(values, crops.label)]
    found = {name: values.astype(float) for name, values in found.items()}  # napari takes few whole numbers for classes
    return {**found, "number": crops.label} if crops.label.any() else found


def own_features(viewer: Viewer, source: Source, crops: Dataset) -> dict[str, NDArray[Any]]:
    """Return the numeric features that the layer of the objects holds, for each crop; 0 where there are none."""
    if source.objects not in viewer.layers or source.renumbered:
        return {}
    table = read_features(source.objects)
    # Colours need numbers: words and truth values are left out.
    numbers = {str(name): column for name, column in table.items() if column.dtype.kind in "iuf"}
    return {name: column.reindex(crops.label).fillna(0).to_numpy(float) for name, column in numbers.items()}
