"""Functions that the recipes of generative models share."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.models import ModelCard
from napari_genrecon.training.data.dataset import Dataset

if TYPE_CHECKING:
    from napari_genrecon.models.generative import GenerativeModel

__all__ = [
    "PICTURES",
    "LatentOption",
    "WidthOption",
    "pictures_of",
    "sample_grid",
    "some",
    "with_neighbour_distances",
]

LatentOption = Annotated[
    int,
    {
        "label": "detail",
        "min": 2,
        "max": 1024,
        "advanced": True,
        "tooltip": "How many numbers describe one picture: more hold more detail and need more crops",
    },
]
WidthOption = Annotated[
    int,
    {
        "label": "network size",
        "min": 4,
        "max": 256,
        "advanced": True,
        "tooltip": "Size of the network (its feature maps at half the size): more can draw more detail, "
        "trains slower and needs more crops",
    },
]

PICTURES = 256
"""Number of pictures that are scored: enough to rank models, few enough not to slow training."""

_GRID = 36  # samples in the preview: four rows of nine


def sample_grid(model: GenerativeModel, dataset: Dataset) -> NDArray[np.float32]:
    """Return (36, C, Y, X) samples, always of the same latents."""
    # Always the same seed, here and for scores, so that samples of different times compare.
    samples = model.sample(_GRID, seed=0)
    return samples.reshape(_GRID, model.card.channels, model.card.size, model.card.size)


def with_neighbour_distances(card: ModelCard, dataset: Dataset) -> ModelCard:
    """Return the card with the distances of held-out crops to training crops, the scale by which copies are found."""
    from napari_genrecon.checks.memorisation import nearest

    if not dataset.held_out.any():
        return card
    # Some of each: every held-out crop is compared with every training crop.
    held_out = some(some(dataset.testing, 4 * PICTURES), PICTURES)
    distances = nearest(held_out, some(dataset.training, 16 * PICTURES))[1]
    # 101 numbers instead of all distances: the card only needs to tell where a new distance lies among them.
    percentiles = np.percentile(distances, range(101)).round(5).tolist()
    return replace(card, calibration={**card.calibration, "neighbour_distances": percentiles})


def some(x: NDArray[Any], n: int) -> NDArray[Any]:
    """Return at most `n` items, spread evenly."""
    # Spread over all: neighbours in a dataset come from one image.
    return x[np.linspace(0, len(x) - 1, min(n, len(x))).astype(int)]


def pictures_of(x: NDArray[Any]) -> NDArray[Any]:
    """Return (N, C, Y, X) crops as a model takes them: without the channel axis if there is one channel."""
    return x[:, 0] if x.shape[1] == 1 else x
