"""The recipe of the classifier: learn from labelled pictures of objects which class each belongs to.

torch is imported inside the functions, so that reading the options does not load it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.models import ModelCard
from napari_genrecon.training.data.augment import augment
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.options import TrainOptions
from napari_genrecon.training.recipe import Recipe, Score, one_loss
from napari_genrecon.training.recipes.detector import adamw_state
from napari_genrecon.training.recipes.restoration import plain_model

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["RECIPE", "ClassifierOptions"]

_SMOOTHING = 0.05  # of the labels (Szegedy et al., CVPR 2016): with few examples, odds would grow without end


@dataclass(frozen=True, kw_only=True)
class ClassifierOptions(TrainOptions):
    """Options of the classifier; see `TrainOptions`. Steps and not minutes: the same labels give the same classes."""

    recipe = "object-classifier"

    steps: Annotated[int, {"min": 0, "max": 100_000_000, "advanced": True}] = 200
    batch: Annotated[int, {"min": 2, "max": 4096, "advanced": True}] = 32
    intensity: Annotated[float, {"min": 0.0, "max": 0.5, "step": 0.05, "advanced": True}] = 0.25
    ema: Annotated[float, {"min": 0.0, "max": 0.99999, "step": 0.001, "advanced": True}] = 0.95


class _Batches:
    """Random pictures and their classes; the batch of a step depends on the seed and the step alone."""

    def __init__(self, dataset: Dataset, options: TrainOptions, card: ModelCard, device: torch.device) -> None:
        assert dataset.labels is not None
        train = ~dataset.held_out
        self._x, self._y = dataset.x[train], dataset.labels[train]
        self._options, self._device = options, device

    def __call__(self, step: int, skipped: int) -> tuple[Tensor, Tensor]:
        """Return pictures with their masks (B, C + 1, Y, X) and classes (B,), every class as often."""
        import torch

        from napari_genrecon.models.devices import conv_layout

        options = self._options
        rng = np.random.default_rng([options.seed, skipped, step])
        # A class with few examples is drawn as often as one with many: its score would not suffer if it were ignored.
        share = 1 / np.bincount(self._y)[self._y]
        chosen = rng.choice(len(self._x), options.batch, p=share / share.sum())
        # Picture and mask are turned together. Brightness comes after, without the mask, which is no grey value.
        x = augment(rng, self._x[chosen], flips=options.flips, intensity=0, elastic=options.elastic)
        x[:, :-1] = augment(rng, x[:, :-1], low=0.0, flips=False, intensity=options.intensity, elastic=0)
        pictures, classes = (torch.from_numpy(part).to(self._device) for part in (x, self._y[chosen]))
        return pictures.contiguous(memory_format=conv_layout(self._device)), classes


def _error(made: Callable[[Tensor], Tensor], x: Tensor, classes: Tensor) -> Tensor:
    from torch.nn.functional import cross_entropy

    return cross_entropy(made(x).flatten(1), classes, label_smoothing=_SMOOTHING)


def _score(model: Any, dataset: Dataset) -> Score:
    """Return the cross-entropy of the pictures themselves: no example is spared to judge on; folds do that."""
    import torch
    from torch.nn.functional import cross_entropy

    assert dataset.labels is not None
    # (N, classes, 1, 1) to (N, classes)
    logits = torch.from_numpy(model(dataset.x)).flatten(1)
    error = float(cross_entropy(logits, torch.from_numpy(dataset.labels)))
    return Score(value=error, shown={"error of the examples": error})


def _preview(model: Any, dataset: Dataset) -> NDArray[np.float32]:
    return np.asarray(dataset.x[:4, :1], np.float32)


def _classes(dataset: Dataset, options: ClassifierOptions) -> dict[str, Any]:
    assert dataset.labels is not None
    return {"classes": int(dataset.labels.max()) + 1}


RECIPE = Recipe(
    name="object-classifier",
    label="Classifier",
    title="Classifier: classes of pictures",
    paper="Lin, Chen & Yan 2014, doi:10.48550/arXiv.1312.4400",
    serves="classify",
    needs=("images", "labels"),
    by_task=True,
    options=ClassifierOptions,
    rate=3e-3,
    kept="cellnet",
    shape=_classes,
    card=lambda card, dataset: replace(card, channels=card.channels - 1),  # the last plane is the mask
    state=adamw_state,
    losses=one_loss(_error),
    score=_score,
    preview=_preview,
    model=plain_model,
    batches=_Batches,
    warm_up=20,
)
