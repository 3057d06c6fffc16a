"""What makes a training one of its kind. Importing this loads no torch."""

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
    """How a model in training does on data that it is not trained on.

    Attributes
    ----------
    value : float
        What ranks models: lower is better.
    shown : dict of str to float
        Measures for the log, by name.
    note : str
        What the user should know, in words; empty mostly.
    """

    value: float
    shown: dict[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Which columns of the log are shown together, and what they mean.

    Attributes
    ----------
    title : str
        In words.
    lines : mapping of str to str
        Words by the name of the column.
    per_pixel : tuple of str
        Columns of log likelihoods per picture, high is good, that are shown as errors per pixel as the others are.
    """

    title: str
    lines: Mapping[str, str]
    per_pixel: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way to train: a network, what it tries to do, and how its success is told.

    The functions get what they need and keep nothing; `training.session` calls them.

    Attributes
    ----------
    name, label, title : str
        A key of `RECIPES`; a short name; the name with what speaks for it.
    serves : str
        The task that the trained model serves.
    needs : tuple of str
        What the data must have: ``"images"``, and ``"targets"`` or ``"labels"``.
    options : type
        A subclass of `TrainOptions`.
    rate : float
        Learning rate where the options give none.
    kept : str
        A key of `models.networks.NETWORKS`: the network of the finished model.
    shape : callable
        ``shape(dataset, options)``: keywords of that network, its channels aside.
    network : callable
        ``network(card, options)``: all that is trained, one module; that which is kept is `part` of it.
    state : callable
        ``state(network, options)``: the network with its optimisers.
    losses : callable
        ``losses(batches, card, options, precision)``: one loss for each optimiser, see `training.loop`.
    score : callable
        ``score(model, dataset)``: a `Score` of the averaged weights.
    preview : callable
        ``preview(model)``: (N, C, Y, X) pictures that show how training goes, always of the same things.
    finish : callable
        ``finish(model, dataset)``: the card of the best model with what is measured once, at the end.
    part : str
        Name of the child that is kept; empty for all.
    settle : callable, optional
        ``settle(network, card, device)``: prepare averaged weights for use.
    measures : tuple of str
        Names in `Score.shown`, which are columns of the log.
    curves : tuple of Curves
        How the log is shown.
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
        """Refuse data that cannot be learnt from in this way.

        Raises
        ------
        OptionError
            If targets or labels are missing, or the network does not take crops of this size.
        """
        for what in self.needs:
            if what != "images" and getattr(dataset, what) is None:
                raise OptionError(f"{self.label} learns from {' and '.join(self.needs)}, and no {what} were given")
        sizes = NETWORKS[self.kept].shape.get("size")
        if sizes is not None and (dataset.depth or dataset.size not in sizes or dataset.height != dataset.size):
            shape = " x ".join(map(str, dataset.x.shape[2:]))
            raise OptionError(
                f"{self.label} takes square crops of {', '.join(map(str, sizes))} pixels, these have {shape}: cut "
                "crops of such a size"
            )
