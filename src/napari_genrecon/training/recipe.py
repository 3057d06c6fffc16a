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
from napari_genrecon.training.data.dataset import CropOptions, Dataset

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from napari_genrecon.training.loop.loop import Loss, State

__all__ = ["Curves", "Recipe", "Score", "one_loss"]

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
    card : dict
        Entries of the card of a model that is kept with these weights, such as its calibration, summary and warnings.
    weights : mapping of str to ndarray, optional
        Weights to keep instead of those that were scored, such as a mixture of them with the weights at the start.
    """

    value: float
    shown: dict[str, float] = field(default_factory=dict)
    note: str = ""
    card: dict[str, Any] = field(default_factory=dict)
    weights: Mapping[str, NDArray[Any]] | None = None


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


def _untrained(card: ModelCard, options: Any) -> nn.Module:
    from napari_genrecon.models.runtime import build_network

    return build_network(card)


def one_loss(error: Callable[..., Tensor]) -> Callable[..., tuple[Loss, ...]]:
    """Return the `losses` of a recipe that has one: what `error` makes of a batch.

    Parameters
    ----------
    error : callable
        ``error(made, *batch)``, where ``made(*inputs)`` is what the network makes of them; in float32, as a mean would
        have three digits in bfloat16.
    """

    def losses(
        batches: Any, card: ModelCard, options: Any, precision: Callable[[], AbstractContextManager[None]]
    ) -> tuple[Loss, ...]:
        def loss_at(net: Any, step: int, skipped: int) -> dict[str, Tensor]:
            def made(*inputs: Tensor) -> Tensor:
                with precision():
                    found: Tensor = net(*inputs)
                return found.float()

            return {"error": error(made, *batches(step, skipped))}

        return (loss_at,)

    return losses


def _generative(card: ModelCard, network: nn.Module, device: str) -> Any:
    from napari_genrecon.models.generative import GenerativeModel

    return GenerativeModel(card, network, device)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way to train: network, losses, score and preview.

    The functions keep no state; `training.session` calls them.

    Attributes
    ----------
    name, label, title : str
        A key of `RECIPES`; a short name; the name and its advantages, for the form.
    paper : str
        Authors, year and DOI of its paper, for the methods text.
    serves : str
        Task that the trained model serves.
    needs : tuple of str
        Parts that the dataset must have: ``"images"`` and ``"targets"`` or ``"labels"``, or ``"frames"``, repeated
        images of one field.
    by_task : bool
        Whether the task that it serves runs it by itself; such a recipe is not offered beside others.
    options : type
        A subclass of `TrainOptions`.
    rate : float
        Learning rate where the options give none.
    kept, kept_3d : str
        Keys in `models.networks.NETWORKS` of the network of the finished model, for planes and for blocks of stacks;
        empty where there is none for blocks.
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
        ``preview(model, dataset)``: (N, C, Y, X) pictures that show the progress, always of the same latents or images.
    finish : callable
        ``finish(model, dataset)``: the card of the best model with measurements that are made once, at the end.
    model : callable
        ``model(card, network, device)``: the trained network as `score`, `preview` and `finish` use it.
    card : callable, optional
        ``card(card, dataset)``: complete the card of a model before it is trained.
    batches : callable, optional
        ``batches(dataset, options, card, device)``: batches for `losses`; `data.batches.Batches` by default.
    stabilised : bool
        Whether items and targets are planes in which the noise has s.d. 1, as denoisers take them, and not grey values.
    crops : CropOptions
        How crops are cut where nothing else is asked for.
    warm_up : int
        Steps until the full learning rate: Adam's moments are too noisy for it at first.
    about_data : str
        What images it needs, in words for the window.
    caption : str
        What the preview shows, in words for the window.
    columns : int
        Pictures of the preview in one row.
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
    paper: str
    serves: str
    needs: tuple[str, ...] = ("images",)
    by_task: bool = False
    options: type[Any]
    rate: float
    kept: str
    kept_3d: str = ""
    shape: Callable[[Dataset, Any], dict[str, Any]] = lambda dataset, options: {}
    network: Callable[[ModelCard, Any], nn.Module] = _untrained
    state: Callable[[nn.Module, Any], State]
    losses: Callable[[Any, ModelCard, Any, Callable[[], AbstractContextManager[None]]], tuple[Loss, ...]]
    score: Callable[[Any, Dataset], Score]
    preview: Callable[[Any, Dataset], NDArray[np.float32]]
    finish: Callable[[Any, Dataset], ModelCard] = lambda model, dataset: model.card
    model: Callable[[ModelCard, nn.Module, str], Any] = _generative
    card: Callable[[ModelCard, Dataset], ModelCard] | None = None
    batches: Callable[[Dataset, Any, ModelCard, torch.device], Any] | None = None
    stabilised: bool = False
    crops: CropOptions = CropOptions()  # noqa: RUF009 - frozen
    warm_up: int = 100
    about_data: str = "Small pictures of one size: the model is trained to make pictures like these."
    caption: str = "The same 36 samples, made anew every 10 s:"
    columns: int = 9
    part: str = ""
    settle: Callable[[nn.Module, ModelCard, torch.device], None] | None = None
    measures: tuple[str, ...] = ()
    curves: tuple[Curves, ...] = ()

    @property
    def generates(self) -> bool:
        """Whether the trained model makes new pictures."""
        return self.serves == "sample"

    def check(self, dataset: Dataset) -> None:
        """Refuse a dataset that this recipe cannot train on.

        Raises
        ------
        OptionError
            If targets or labels are missing, nothing is held out for a recipe that needs it, or the network does not
            take crops of this size.
        """
        for what in self.needs:
            # Frames become targets when the dataset is made: each is the target of another.
            part = {"images": "x", "frames": "targets"}.get(what, what)
            if getattr(dataset, part) is None:
                raise OptionError(f"{self.label} trains on {' and '.join(self.needs)}, and no {what} were given")
        # The card of such a model says what it gained, which its training crops cannot tell.
        if (self.stabilised or "targets" in self.needs) and not dataset.held_out.any():
            raise OptionError(f"{self.label} is judged on held-out crops, and there are none: hold some out (held_out)")
        # Generative networks halve the picture down to one fixed size; the others take planes of any size.
        sizes = NETWORKS[self.kept].shape.get("size")
        if sizes is not None and (dataset.depth or dataset.size not in sizes or dataset.height != dataset.size):
            shape = " x ".join(map(str, dataset.x.shape[2:]))
            raise OptionError(
                f"{self.label} takes square crops of {', '.join(map(str, sizes))} pixels, these have {shape}: cut "
                "crops of such a size"
            )
