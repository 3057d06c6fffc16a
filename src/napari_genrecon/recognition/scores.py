"""Judge a classifier by its out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.normal import DRAWS

__all__ = ["Scores", "calibration_error", "score"]

_BINS = 10  # of confidence

_ENOUGH = 2 * _BINS
"""Labels of each class below which probabilities are called rough: fewer than two for each bin of confidence, in which
no share of right answers can be told."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """Scores of a classifier on labelled objects that it was not trained on.

    Attributes
    ----------
    classes : tuple of str
        Names of the K classes.
    confusion : (K, K) ndarray of int
        Numbers of objects, by the class that the user gave (rows) and the predicted class (columns).
    balanced_accuracy : float
        Mean over the classes of the share that is recognised.
    interval : (float, float)
        95 % credible interval of it.
    calibration_error : float
        Mean distance between confidence and share of right answers.
    by_image : bool
        Whether the objects were predicted from other images.
    """

    classes: tuple[str, ...]
    confusion: Ints
    balanced_accuracy: float
    interval: tuple[float, float]
    calibration_error: float
    by_image: bool

    @property
    def rough(self) -> bool:
        """Whether a class has too few labels for probabilities that can be relied on."""
        return bool(self.confusion.sum(axis=1).min() < _ENOUGH)

    def __str__(self) -> str:
        return f"{self.verdict}\n\n{self.table}"

    @property
    def verdict(self) -> str:
        """Sentences about the balanced accuracy and what it holds for."""
        low, high = self.interval
        lines = [
            f"Balanced accuracy {100 * self.balanced_accuracy:.0f} % (95 % interval {100 * low:.0f} to "
            f"{100 * high:.0f} %; guessing gives {100 / len(self.classes):.0f} %)."
        ]
        lines.append(
            "Each image was predicted by a classifier that had not seen it."
            if self.by_image
            else "Measured on objects of the same image or images: others may give less."
        )
        if self.rough:
            few = [n for n, count in zip(self.classes, self.confusion.sum(axis=1), strict=True) if count < _ENOUGH]
            lines.append(f"Probabilities are rough: fewer than {_ENOUGH} labels of {', '.join(few)}.")
        return " ".join(lines)

    @property
    def table(self) -> str:
        """The confusion matrix as text."""
        names = [name if len(name) <= 12 else f"{name[:11]}…" for name in self.classes]
        width = max(6, *map(len, names)) + 2
        rows = ["given as".ljust(width) + "".join(name.rjust(width) for name in names) + "  <- predicted"]
        for name, counts in zip(names, self.confusion.tolist(), strict=True):
            rows.append(name.ljust(width) + "".join(str(count).rjust(width) for count in counts))
        return "\n".join(rows)


def score(probabilities: Floats, y: Ints, classes: Sequence[str], *, by_image: bool) -> Scores:
    """Compare out-of-fold probabilities with the given classes.

    The interval of the balanced accuracy is that of its posterior (Brodersen et al., ICPR 2010), with Jeffreys' prior
    for the share of each class that is recognised.

    Parameters
    ----------
    probabilities : (n, K) ndarray
        Probabilities of each labelled object.
    y : (n,) ndarray of int
        Given classes.
    classes : sequence of str
        Names of the K classes.
    by_image : bool
        Whether predictions came from classifiers trained on other images.
    """
    k = len(classes)
    confusion = np.zeros((k, k), np.int64)
    np.add.at(confusion, (y, probabilities.argmax(axis=1)), 1)
    right, counts = np.diag(confusion), confusion.sum(axis=1)
    # A class without labels has no share that is recognised.
    used = counts > 0
    # A fixed seed: the same labels give the same interval.
    rng = np.random.default_rng(0)
    draws = rng.beta(right[used] + 0.5, (counts - right)[used] + 0.5, (DRAWS, used.sum())).mean(axis=1)
    low, high = np.percentile(draws, (2.5, 97.5))
    accuracy = float((right[used] / counts[used]).mean())
    return Scores(
        classes=tuple(classes), confusion=confusion, by_image=by_image,
        balanced_accuracy=accuracy,
        # With all of a few labels right, the accuracy of 1 lies above the interval of the posterior, which is widened.
        interval=(min(float(low), accuracy), max(float(high), accuracy)),
        calibration_error=calibration_error(probabilities, y),
    )  # fmt: skip


def calibration_error(probabilities: Floats, y: Ints) -> float:
    """Return the expected calibration error (Guo et al., ICML 2017) over ten bins, every class counting the same.

    Examples
    --------
    >>> calibration_error(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 0]))
    0.25
    """
    counts = np.bincount(y)
    weight = 1 / (counts[y] * np.count_nonzero(counts))
    confidence = probabilities.max(axis=1)
    # With its sign: within a bin too sure and too unsure answers cancel, between bins they do not.
    gap = weight * ((probabilities.argmax(axis=1) == y) - confidence)
    # A confidence of 1 belongs to the last bin.
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    return float(np.abs(np.bincount(bins, gap, minlength=_BINS)).sum())
