"""A recipe: all that distinguishes one way of training from another. Importing this loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import OptionError
from napari_genrecon.models import ModelCard
from napari_genrecon.models.networks import NETWORKS
from napari_genrecon.training.data.dataset import Dataset

if TYPE_CHECKING:
    import torch
    from torch import nn

    from napari_genrecon.training.data.batches import Batches
    from napari_genrecon.training.loop.loop import Loss, State

__all__ = ["Curves", "Recipe", "Score"]

Lines = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Quality of a model in training, measured on held-out data.

    Attributes
    ----------
    value : float
        Measure that ranks models: lower is better.
    shown : dict of str to float
        Measures for the log, by name.
    note : str
        Sentence for the user; mostly empty.
    """

    value: float
    shown: dict[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """A plot of the training window: columns of the log that are shown together.

    Attributes
    ----------
    title : str
        Title of the plot.
    lines : mapping of str to str
        Labels of the lines, by the names of the columns.
    per_pixel : tuple of str
        Columns with log likelihoods per picture (high is good); shown as errors per pixel, like the other lines.
    """

    title: str
    lines: Mapping[str, str]
    per_pixel: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way to train: network, losses, score and preview.

    The functions keep no state; `training.session` calls them.

    Attributes
    ----------
    name, label, title : str
        A key of `RECIPES`; a short name; the name and its advantages, for the form.
    serves : str
        Task that the trained model serves.
    needs : tuple of str
        Parts that the dataset must have: ``"images"``, and ``"targets"`` or ``"labels"``.
    options : type
        A subclass of `TrainOptions`.
    rate : float
        Learning rate where the options give none.
    kept : str
        Key in `models.networks.NETWORKS` of the network of the finished model.
    shape : callable
        ``shape(dataset, options)``: keywords of that network, except its channels.
    network : callable
        ``network(card, options)``: a module with all networks that are trained; the finished one is its child `part`.
    state : callable
        ``state(network, options)``: the network with its optimisers.
    losses : callable
        ``losses(batches, card, options, precision)``: one loss for each optimiser, see `training.loop`.
    score : callable
        ``score(model, dataset)``: a `Score` of the averaged weights.
    preview : callable
        ``preview(model)``: (N, C, Y, X) pictures that show the progress, always of the same latents or images.
    finish : callable
        ``finish(model, dataset)``: the card of the best model with measurements that are made once, at the end.
    part : str
        Name of the child that becomes the model; empty if the whole module does.
    settle : callable, optional
        ``settle(network, card, device)``: prepare averaged weights for use.
    measures : tuple of str
        Names in `Score.shown`; each is a column of the log.
    curves : tuple of Curves
        Plots of the log.
    """

    name: str
    label: str
    title: str
    serves: str
    needs: tuple[str, ...] = ("images",)
    options: type[Any]
    rate: float
    kept: str
    shape: Callable[[Dataset, Any], dict[str, Any]]
    network: Callable[[ModelCard, Any], nn.Module]
    state: Callable[[nn.Module, Any], State]
    losses: Callable[[Batches, ModelCard, Any, Callable[[], AbstractContextManager[None]]], tuple[Loss, ...]]
    score: Callable[[Any, Dataset], Score]
    preview: Callable[[Any], NDArray[np.float32]]
    finish: Callable[[Any, Dataset], ModelCard]
    part: str = ""
    settle: Callable[[nn.Module, ModelCard, torch.device], None] | None = None
    measures: tuple[str, ...] = ()
    curves: tuple[Curves, ...] = ()

    def check(self, dataset: Dataset) -> None:
        """Refuse a dataset that this recipe cannot train on.

        Raises
        ------
        OptionError
            If targets or labels are missing, or the network does not take crops of this size.
        """
        for what in self.needs:
            if what != "images" and getattr(dataset, what) is None:
                raise OptionError(f"{self.label} trains on {' and '.join(self.needs)}, and no {what} were given")
        sizes = NETWORKS[self.kept].shape.get("size")
        if sizes is not None and (dataset.depth or dataset.size not in sizes or dataset.height != dataset.size):
            shape = " x ".join(map(str, dataset.x.shape[2:]))
            raise OptionError(
                f"{self.label} takes square crops of {', '.join(map(str, sizes))} pixels, these have {shape}: cut "
                "crops of such a size"
            )
