"""Split labelled objects for cross-validation, by image where that can be had."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_FOLDS", "Folds", "make_folds"]

MOST_FOLDS = 5
"""Of a cross-validation, as is usual."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """A split of n labelled objects.

    Attributes
    ----------
    number : (n,) ndarray of int
        Fold of each object.
    by_image : bool
        Whether no image is in two folds.
    """

    number: Ints
    by_image: bool

    def splits(self) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
        """Yield, for each fold, which objects to train on and which to test on."""
        for fold in np.unique(self.number):
            yield self.number != fold, self.number == fold


def make_folds(y: Ints, image: Ints, *, seed: int = 0) -> Folds:
    """Split objects into at most five folds.

    Whole images are held out, unless a class would then be missing from what is trained on; objects are, class by
    class, if so. Objects of one image are alike, so that scores from such a split hold for this image only.

    Parameters
    ----------
    y, image : (n,) ndarray of int
        Class and image of each object; at least two objects of each class.
    seed : int
        Seed of the random order.

    Examples
    --------
    >>> make_folds(np.array([0, 1, 0, 1]), np.array([3, 3, 8, 8])).number
    array([0, 0, 1, 1])
    """
    by_image = Folds(_of_images(y, image), by_image=True)
    # A class that is in one image only is missing from the training when this image is held out.
    if all(set(y[train]) == set(y) for train, _ in by_image.splits()) and len(set(by_image.number)) > 1:
        return by_image
    return Folds(_of_objects(y, np.random.default_rng(seed)), by_image=False)


def _of_images(y: Ints, image: Ints) -> Ints:
    """Put images into folds: the ones with most objects first, each into the fold that has fewest of its classes."""
    names, index, sizes = np.unique(image, return_inverse=True, return_counts=True)
    counts = np.zeros((len(names), y.max() + 1), int)  # (images, classes)
    # Not `counts[index, y] += 1`, which counts equal pairs of image and class once.
    np.add.at(counts, (index, y), 1)
    folds = np.zeros((min(MOST_FOLDS, len(names)), counts.shape[1]), int)
    chosen = np.zeros(len(names), np.int64)
    for name in np.argsort(-sizes, kind="stable"):
        # The first term keeps the classes even over the folds; the second, far smaller, decides between equal ones.
        chosen[name] = np.argmin((folds * counts[name]).sum(axis=1) + 1e-3 * folds.sum(axis=1))
        folds[chosen[name]] += counts[name]
    return np.unique(chosen[index], return_inverse=True)[1].astype(np.int64)


def _of_objects(y: Ints, rng: np.random.Generator) -> Ints:
    number = np.zeros(len(y), np.int64)
    # The most frequent class fills all folds. Rarer ones, of two objects at least, are tested in some of them.
    n_folds, first = min(MOST_FOLDS, int(np.bincount(y)[np.unique(y)].max())), 0
    for c in np.unique(y):
        (rows,) = np.nonzero(y == c)
        number[rng.permutation(rows)] = (first + np.arange(len(rows))) % n_folds
        first += len(rows)  # the folds are then of nearly the same size
    return np.unique(number, return_inverse=True)[1].astype(np.int64)
