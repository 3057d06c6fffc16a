"""Train a small network on labelled objects, and judge it on those that it has not seen.

Features and a linear classifier learn more from few labels. With more of them a network of its own can win, where
colours and textures count that the features do not hold: cross-validation says.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_genrecon.engine.run import Progress, map_progress
from napari_genrecon.errors import OptionError
from napari_genrecon.plural import number_of
from napari_genrecon.recognition.folds import Folds
from napari_genrecon.recognition.logistic import log_softmax
from napari_genrecon.recognition.objects import SIDE
from napari_genrecon.recognition.pictures import NEEDED, Network, Planes, in_parts, logarithms
from napari_genrecon.recognition.stack import log_losses, sharpness
from napari_genrecon.training import task_recipe
from napari_genrecon.training.data.augment import draw_places
from napari_genrecon.training.data.dataset import Dataset

__all__ = ["NEEDED", "Trained", "check_counts", "is_better", "train_steps"]

_CROPS = 384  # pictures to train on, made from those of the labelled objects

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Trained(NamedTuple):
    """A trained network, and probabilities (n, K) of each example from networks that were trained without its fold."""

    network: Network
    out_of_fold: Floats


def check_counts(y: Ints, classes: Sequence[str]) -> None:
    """Refuse classes with too few labels.

    Raises
    ------
    OptionError
        If a class has less than `NEEDED` labelled objects.
    """
    for name, count in zip(classes, np.bincount(y, minlength=len(classes)), strict=True):
        if count < NEEDED:
            objects = number_of(count, "labelled object", "labelled objects")
            raise OptionError(
                f"the class {name!r} has {objects}, and a network needs {NEEDED} of each class: label "
                "more of them, or leave network out"
            )


def train_steps(planes: Planes, y: Ints, k: int, folds: Folds, device: str) -> Generator[Progress, None, Trained]:
    """Train a network on all examples, and for each fold one on all but those of the fold.

    Parameters
    ----------
    planes : (n, C + 1, S, S) ndarray
        See `recognition.pictures`.
    y : (n,) ndarray of int
        Class of each.
    k : int
        Number of classes.
    folds : Folds
        How the examples are split.
    device : str
        Where to train.

    Yields
    ------
    Progress
        After every training step.
    """
    logits, splits = np.zeros((len(y), k)), list(folds.splits())  # (n, K)
    for turn, (known, judged) in enumerate(splits):
        network = yield from _one_of(turn, len(splits) + 1, planes[known], y[known], device)
        logits[judged] = yield from network.logit_steps(in_parts(planes[judged]), device)
    # The network that is kept sees all examples; those of the folds only judge.
    network = yield from _one_of(len(splits), len(splits) + 1, planes, y, device)
    # Found on examples that the networks had not seen: on those that they were trained on they are far too sure.
    factor = sharpness(log_softmax(logits), y, k)
    return Trained(network._replace(sharpness=factor), np.exp(log_softmax(factor * logits)))


def is_better(network: Floats, features: Floats, y: Ints) -> bool:
    """Return whether a network predicts the examples of other folds better than the features do.

    By more than the standard error of the difference of their log losses, as otherwise the simpler model stands
    (Breiman et al., "Classification and Regression Trees", 1984, section 3.4.3).

    Parameters
    ----------
    network, features : (n, K) ndarray
        Out-of-fold probabilities by either.
    y : (n,) ndarray of int
        Given classes.
    """
    weight = 1 / np.bincount(y)[y]
    weight /= weight.sum()  # every class counts the same
    gain = log_losses(logarithms(features), y) - log_losses(logarithms(network), y)
    # Weighted mean, and its standard error from the same weights.
    mean = float(weight @ gain)
    return mean > float(np.sqrt(weight**2 @ (gain - mean) ** 2))


# --- training ---


def _one_of(turn: int, count: int, planes: Planes, y: Ints, device: str) -> Generator[Progress, None, Network]:
    # A training counts its own steps: progress is that of all trainings together.
    def counted(p: Progress) -> Progress:
        return Progress(turn * p.total + p.done, count * p.total, p.note)

    return (yield from map_progress(_training_steps(planes, y, device), counted))


def _training_steps(planes: Planes, y: Ints, device: str) -> Generator[Progress, None, Network]:
    from napari_genrecon.training.session import train_aside_steps

    options = task_recipe("classify").options(device=device)
    steps = train_aside_steps(_dataset(planes, y), options, name="objects", note="training a network")
    return Network(*(yield from steps))


def _dataset(planes: Planes, y: Ints) -> Dataset:
    """Return pictures made from the examples, every class as often: turned by any angle, scaled, and bent."""
    # A fixed seed: the same labels give the same pictures.
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(y == c) for c in np.unique(y)]
    # Classes take turns, so that a rare one is seen as often as a frequent one.
    rows = np.array([rng.choice(members[i % len(members)]) for i in range(_CROPS)])
    return Dataset(
        x=np.stack([_deformed(rng, planes[row]) for row in rows]), labels=y[rows],
        # Where pictures come from plays no part here, and none is held out: the folds judge.
        source=np.zeros(_CROPS, np.int64), place=np.zeros((_CROPS, 3), np.int64), label=np.zeros(_CROPS, np.int64),
        held_out=np.zeros(_CROPS, bool), options={},
    )  # fmt: skip


def _deformed(rng: np.random.Generator, planes: NDArray[np.float32]) -> NDArray[np.float32]:
    where = draw_places(rng, SIDE)
    # The plane that says where the object is moves with the others.
    return np.stack([ndimage.map_coordinates(plane, where, order=1, mode="mirror") for plane in planes])
