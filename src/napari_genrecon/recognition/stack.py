"""Learn classes from few labelled objects: one classifier for each block of features, put together by cross-validation.

Each block gets a logistic regression. Out-of-fold predictions choose how closely each follows its examples, then fit a
weight for each block (stacked generalisation: Wolpert, Neural Networks 5, 1992; weights that are not negative: Breiman,
Machine Learning 24, 1996). The logits are added, so that the weights also set the temperature of the probabilities
(Guo et al., ICML 2017), and the whole is again one linear classifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.recognition.features import BLOCKS, Blocks
from napari_genrecon.recognition.folds import Folds, make_folds
from napari_genrecon.recognition.logistic import coordinates, fit_logistic, log_softmax

__all__ = ["Fit", "StackedClassifier", "fit_classifier"]

_STRENGTHS = (3.0, 30.0, 300.0)  # of the logistic regressions, from cautious to close
_PULL = 0.05  # pull of the weights of the blocks towards each other, for few examples
_FARTHEST = 8.0  # s.d. at which a feature of an unusual object is cut off

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StackedClassifier:
    """A linear classifier of objects.

    Attributes
    ----------
    classes : tuple of str
        Names of the K classes.
    sizes : dict of str to int
        Number of features of each block, in the order of `BLOCKS`.
    mean, scale : (F,) ndarray of float32
        Centre and s.d. of the features of all blocks.
    weights, bias : (F, K) and (K,) ndarray of float32
        Weights of the features, in s.d., in the logits of the classes.
    """

    classes: tuple[str, ...]
    sizes: dict[str, int]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def probabilities(self, blocks: Blocks) -> Floats:
        """Return the (N, K) probabilities of the classes, as if each were equally frequent.

        Raises
        ------
        ImageError
            If the blocks are not those that the classifier was trained on.
        """
        found = {name: block.shape[1] for name, block in blocks.items()}
        if found != self.sizes:
            raise ImageError(f"the objects have the features {found}, and the classifier needs {self.sizes}")
        x = _standardised(blocks, self.mean, self.scale)
        return np.exp(log_softmax((x @ self.weights + self.bias).astype(np.float64)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """A trained classifier, and what cross-validation said.

    Attributes
    ----------
    classifier : StackedClassifier
        Trained on all labelled objects.
    out_of_fold : (n, K) ndarray
        Probabilities of each labelled object from classifiers that were trained without its fold.
    alone : dict of str to float
        Cross-validated log loss of each block alone.
    shares : dict of str to float
        Weight of each block.
    folds : Folds
        How the labelled objects were split.
    """

    classifier: StackedClassifier
    out_of_fold: Floats
    alone: dict[str, float]
    shares: dict[str, float]
    folds: Folds


def fit_classifier(
    blocks: Blocks, given: Ints, image: Ints, classes: Sequence[str], *, seed: int = 0
) -> Fit:
    """Train on the labelled objects among all.

    Parameters
    ----------
    blocks : dict of str to (N, F) ndarray
        Features of all objects; the unlabelled ones help to scale them.
    given : (N,) ndarray of int
        Class of each labelled object; -1 for all others.
    image : (N,) ndarray of int
        Image of each object: no image is in two folds if that can be had.
    classes : sequence of str
        Names of the classes.
    seed : int
        Seed of the folds.

    Raises
    ------
    OptionError
        If fewer than two classes have labelled objects, or one has a single one.
    """
    check_examples(given, classes)
    blocks = {name: blocks[name] for name in BLOCKS if name in blocks}
    mean, scale = (np.concatenate(parts) for parts in zip(*map(_centre, blocks.values()), strict=True))
    (rows,) = np.nonzero(given >= 0)
    y, k = given[rows], len(classes)
    folds = make_folds(y, image[rows], seed=seed)
    wide, first = _standardised({n: b[rows] for n, b in blocks.items()}, mean, scale).astype(np.float64), 0
    logs, weights, alone = [], [], {}
    for name, block in blocks.items():
        size = block.shape[1]
        x, basis = coordinates(wide[:, first : first + size] / np.sqrt(size))
        strength, found, alone[name] = _validated(x, y, k, folds)
        logs.append(found)
        fitted = fit_logistic(x, y, k, strength)
        weights.append((basis @ fitted[:-1] / np.sqrt(size), fitted[-1]))
        first += size
    shares, bias = _pooled(np.stack(logs), y, k)
    classifier = StackedClassifier(
        classes=tuple(classes), sizes={name: block.shape[1] for name, block in blocks.items()}, mean=mean, scale=scale,
        weights=np.concatenate([share * w for share, (w, _) in zip(shares, weights, strict=True)]).astype(np.float32),
        bias=(bias + sum(share * b for share, (_, b) in zip(shares, weights, strict=True))).astype(np.float32),
    )  # fmt: skip
    pooled = np.exp(log_softmax(np.tensordot(shares, np.stack(logs), 1) + bias))
    return Fit(
        classifier=classifier, out_of_fold=pooled, alone=alone, folds=folds,
        shares=dict(zip(blocks, map(float, shares), strict=True)),
    )  # fmt: skip


def check_examples(given: Ints, classes: Sequence[str]) -> None:
    """Refuse labels from which nothing can be learnt.

    Raises
    ------
    OptionError
        If fewer than two classes have labelled objects, or one has a single one.
    """
    counts = np.bincount(given[given >= 0], minlength=len(classes))
    used = [name for name, count in zip(classes, counts, strict=True) if count]
    if len(used) < 2:
        what = f"all labels are of the class {used[0]!r}" if used else "no object has a class"
        raise OptionError(f"{what}: label at least two objects of each of at least two classes")
    for name, count in zip(classes, counts, strict=True):
        if count < 2:
            raise OptionError(f"the class {name!r} has {count} labelled objects: label at least two, or remove it")


def _centre(block: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mean, scale = block.mean(axis=0, dtype=np.float64), block.std(axis=0, dtype=np.float64)
    constant = scale <= 1e-6 * np.maximum(np.abs(mean), 1e-6)
    return mean.astype(np.float32), np.where(constant, 1, scale).astype(np.float32)


def _standardised(
    blocks: Blocks, mean: NDArray[np.float32], scale: NDArray[np.float32]
) -> NDArray[np.float32]:
    x = np.concatenate([blocks[name] for name in BLOCKS if name in blocks], axis=1)
    return ((x - mean) / scale).clip(-_FARTHEST, _FARTHEST)


def _validated(x: Floats, y: Ints, k: int, folds: Folds) -> tuple[float, Floats, float]:
    """Return the strength with the smallest cross-validated log loss, out-of-fold log probabilities, and that loss."""
    best: tuple[float, Floats, float] | None = None
    logs = np.zeros((len(_STRENGTHS), len(y), k))
    for train, test in folds.splits():
        start = None
        for index, strength in enumerate(_STRENGTHS):
            start = fit_logistic(x[train], y[train], k, strength, start)
            logs[index, test] = log_softmax(x[test] @ start[:-1] + start[-1])
    for strength, found in zip(_STRENGTHS, logs, strict=True):
        loss = _loss(found, y, k)
        if best is None or loss < best[2]:
            best = strength, found, loss
    assert best is not None
    return best


def _loss(logs: Floats, y: Ints, k: int) -> float:
    """Return the log loss, averaged over the classes."""
    losses = -logs[np.arange(len(y)), y]
    return float(np.mean([losses[y == c].mean() for c in range(k) if (y == c).any()]))


def _pooled(logs: Floats, y: Ints, k: int) -> tuple[Floats, Floats]:
    """Return weights (B,) of the blocks' (B, n, K) log probabilities, none negative, with the smallest log loss."""
    from scipy.optimize import minimize

    counts = np.bincount(y, minlength=k)
    share = 1 / (counts[y] * k)
    target = np.eye(k)[y]
    pull = _PULL * k / len(y) * 10

    def loss(w: Floats) -> tuple[float, Floats]:
        pooled = log_softmax(np.tensordot(w, logs, 1))
        error = (np.exp(pooled) - target) * share[:, None]
        value = -float((share[:, None] * target * pooled).sum()) + pull * float((w**2).sum())
        return value, np.einsum("bnk,nk->b", logs, error) + 2 * pull * w

    start = np.full(len(logs), 1 / len(logs))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(logs))
    return found.x, np.zeros(k)
