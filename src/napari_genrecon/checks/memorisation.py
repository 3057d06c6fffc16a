"""Find out whether a generative model copies its training data: the nearest training crop of every sample.

Pictures are compared after subtracting their mean and scaling them to length one, in all eight turned and mirrored
orders, so that a copy in another brightness, contrast or orientation still counts as a copy. A sample is too near if it
is nearer to its nearest training crop than nearly all held-out crops are to theirs: real cells of other images show how
far apart new ones are (after Meehan, Chaudhuri, Dasgupta: A non-parametric test to detect data-copying in generative
models, AISTATS 2020). Whether more samples are too near than chance explains is told by ranks: of a model that makes
new crops, samples and held-out crops come in any order with the same probability.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_genrecon.checks.residual import FALSE
from napari_genrecon.errors import ImageError

__all__ = ["Memorisation", "check_memorisation", "nearest", "rank_test"]

COPIES_WARNED = 0.05
"""Share of samples nearer than all but 1 % of held-out crops (0.01 is normal), from which on there is a warning."""

_AT_ONCE = 512  # pictures that are compared together: limits the memory, and is large enough to be fast
# Held-out crops. Of good samples, one in their number plus one is nearer than the nearest of them: of fewer crops that
# would be as many as are warned of.
_FEWEST = round(1 / COPIES_WARNED)


@dataclass(frozen=True, slots=True, eq=False)
class Memorisation:
    """Result of the check.

    Attributes
    ----------
    nearest : (N,) int64 ndarray
        Index of the training crop that is nearest to each sample.
    distance : (N,) float32 ndarray
        Distance to it: 0 is a copy, 1.4 has nothing in common.
    ratio : (N,) float32 ndarray
        The distance over the median distance of held-out crops to the training crops: near 1 is new, near 0 a copy.
    near : float
        Ratio below which only 1 % of the held-out crops lie, or the least of fewer than 100.
    copies : float
        Share of the samples that lie below it; of data, 0.01, or one in the number of held-out crops plus one.
    chance : float
        Probability of so many or more, if samples and held-out crops were alike.
    warning : str
        Sentence, if there are too many; else empty.
    """

    nearest: NDArray[np.int64]
    distance: NDArray[np.float32]
    ratio: NDArray[np.float32]
    near: float
    copies: float
    chance: float
    warning: str


def check_memorisation(samples: ArrayLike, training: ArrayLike, held_out: ArrayLike) -> Memorisation:
    """Compare samples with the crops that a model was trained on.

    Parameters
    ----------
    samples : (N, Y, X) or (N, C, Y, X) array_like
        Samples of the model.
    training, held_out : (M, Y, X) or (M, C, Y, X) array_like
        The crops it was trained on, and those it was not, from other images.

    Returns
    -------
    Memorisation

    Raises
    ------
    ImageError
        If shapes differ, or fewer than 20 crops were held out.
    """
    sets = [np.asarray(pictures, np.float32) for pictures in (samples, training, held_out)]
    if len({pictures.shape[1:] for pictures in sets}) > 1 or any(not pictures.size for pictures in sets):
        shapes = ", ".join(str(pictures.shape) for pictures in sets)
        raise ImageError(f"samples, training crops and held-out crops must be pictures of one shape, got {shapes}")
    if len(sets[2]) < _FEWEST:
        raise ImageError(f"{len(sets[2])} held-out crops are too few: at least {_FEWEST} are needed")
    index, distance = nearest(sets[0], sets[1])
    usual = nearest(sets[2], sets[1])[1]
    # 0 if most held-out crops are in the training data, too.
    median = max(float(np.median(usual)), 1e-6)
    near, copies, chance = rank_test(distance, usual)
    ratio = (distance / median).astype(np.float32)
    return Memorisation(index, distance, ratio, near / median, copies, chance, _in_words(copies, chance))


def rank_test(distance: ArrayLike, usual: ArrayLike) -> tuple[float, float, float]:
    """Test whether more samples than chance explains are nearer to the training crops than 1 % of held-out crops are.

    Parameters
    ----------
    distance, usual : (N,) array_like, (M,) array_like
        Distances of samples, and of held-out crops, to their nearest training crop.

    Returns
    -------
    near, copies, chance : float
        See `Memorisation`.

    Notes
    -----
    Of exchangeable distances, the number of samples below the r-th smallest of M held-out ones is beta-binomial with
    parameters r and M + 1 - r, whatever their distribution.

    Examples
    --------
    >>> near, copies, chance = rank_test([0.1, 0.2, 5, 6], range(1, 200))
    >>> copies, chance < 0.01
    (0.5, True)
    """
    from scipy.stats import betabinom  # loaded when it is needed, as that takes half a second

    samples, others = np.asarray(distance), np.sort(np.asarray(usual))
    # As many of the held-out crops count as near as good samples may. Fewer than 100 have no 1 %: their least is taken.
    rank = max(1, round(FALSE * len(others)))
    near = others[rank - 1]
    count = int(np.count_nonzero(samples < near))
    # `sf(k)` is the probability of more than k.
    chance = betabinom.sf(count - 1, len(samples), rank, len(others) + 1 - rank)
    return float(near), count / len(samples), float(chance)


def nearest(pictures: ArrayLike, others: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return which of the others is nearest to each picture, in any orientation, and its distance.

    Parameters
    ----------
    pictures : (N, Y, X) or (N, C, Y, X) array_like
        Pictures to compare.
    others : (M, Y, X) or (M, C, Y, X) array_like
        Pictures to search.

    Returns
    -------
    (N,) int64 ndarray, (N,) float32 ndarray
    """
    unit = _unit(np.asarray(others, np.float32))  # (M, D)
    # Below -1, the least cosine, so that the first orientation always counts.
    best = np.full(len(np.asarray(pictures)), -2.0, np.float32)
    index = np.zeros(len(best), np.int64)
    # Turning one of the two is enough; the cosine of pictures of length 1 orders them as their distance does.
    for turned in _orientations(np.asarray(pictures, np.float32)):
        queries = _unit(turned)
        for start in range(0, len(queries), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            likeness = queries[part] @ unit.T  # (n, M)
            where = likeness.argmax(1)
            value = np.take_along_axis(likeness, where[:, None], 1)[:, 0]
            better = value > best[part]
            # A slice is a view, so that this writes into the whole arrays.
            index[part][better], best[part][better] = where[better], value[better]
    # |a - b|**2 = 2 - 2 a.b for lengths of 1; rounding may bring it below 0.
    return index, np.sqrt(np.maximum(2 - 2 * best, 0)).astype(np.float32)


def _orientations(pictures: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    turned = [np.rot90(pictures, k, (-2, -1)) for k in range(4)]
    return turned + [each[..., ::-1] for each in turned]


def _unit(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, D) pictures without their mean per channel, of length one; a constant picture becomes zero."""
    rest = pictures - pictures.mean(axis=(-2, -1), keepdims=True)
    flat = rest.reshape(len(rest), -1)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return flat / np.where(length > 0, length, 1)


def _in_words(copies: float, chance: float) -> str:
    # Of many samples a harmless share is significant, and of few a large one may be chance: it takes both.
    if copies < COPIES_WARNED or chance > FALSE:
        return ""
    return (
        f"{100 * copies:.0f} % of the samples are nearer to a training crop than nearly all real crops of other "
        "images are: the model copies its training data; train on more crops, with augmentation, or for less time"
    )
