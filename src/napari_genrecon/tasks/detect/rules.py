"""Learn from clicks which candidates are objects, and choose how to tell by cross-validation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_genrecon.errors import OptionError
from napari_genrecon.numerics.logistic import Logistic, fit_logistic
from napari_genrecon.recognition.folds import MOST_FOLDS
from napari_genrecon.tasks.detect.candidates import AROUND, HIT, Candidates, Size, told_apart

__all__ = ["FEWEST", "Rule", "better", "is_enough", "learn", "learn_heat", "split_clicks"]

Floats = NDArray[np.float64]
Method = Literal["log", "features", "heatmap"]

FEWEST = 2
"""Clicks in the region that cross-validation needs: one to learn from, and one to judge by."""
_FREE = 0.75  # sizes from a click beyond which a candidate is no object
_CLEARLY = 0.1  # F1 by which features must be better: one height carries over to planes of other exposure more safely
_EVEN_ODDS = Logistic(np.zeros(1), np.ones(1), np.array([1.0, 0.0]))  # what the network says is taken as it is
_FAINTER = 0.8  # of the height of the faintest clicks, which others may have


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A rule that tells objects from other candidates.

    Attributes
    ----------
    method : {"log", "features", "heatmap"}
        By the height under one filter, by logistic regression on features, or by a heat map.
    level : int
        Index of the filter, for "log".
    model : Logistic
        Probability from the height, or from the features.
    threshold : float
        Least probability of an object.
    f1 : float or None
        F1 by cross-validation where everything is marked; None where there is no such region.
    """

    method: Method
    level: int
    model: Logistic
    threshold: float
    f1: float | None = None

    def probability(self, candidates: Candidates) -> Floats:
        """Return the probability that each candidate is an object."""
        if self.method != "log":
            return self.model.probability(candidates.features)
        # A height of 0 is no maximum under this filter: such a place is no object, whatever the regression says of 0.
        found = self.model.probability(candidates.z[:, [self.level]])
        return np.where(candidates.z[:, self.level] > 0, found, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Marked:
    """Candidates of which it is known whether they are objects, and the clicks they are judged by."""

    candidates: Candidates
    is_object: NDArray[np.bool_]
    folds: NDArray[np.intp]  # of the candidates
    clicks: Floats  # (N, 3): plane, y, x
    click_folds: NDArray[np.intp]


def learn(
    candidates: Candidates,
    clicks: Floats,
    inside: NDArray[np.bool_],
    click_inside: NDArray[np.bool_],
    size: Size,
    method: str,
) -> Rule:
    """Learn a rule from clicks.

    Parameters
    ----------
    candidates : Candidates
        Candidates of the planes with clicks, or with a region in which everything is marked.
    clicks : (N, 3) ndarray
        Plane, y and x of every click.
    inside : (M,) ndarray of bool
        Which candidates lie where everything is marked.
    click_inside : (N,) ndarray of bool
        Which clicks do. Others only say that there is an object.
    size : Size
        Size of the objects.
    method : {"auto", "log", "features"}
        "auto" takes what is better by cross-validation in the region, and "log" without a region.

    Raises
    ------
    OptionError
        If there are too few clicks or too few other candidates in the region.
    """
    if not click_inside.any():
        if method == "features":
            raise OptionError(
                "method 'features' must know what is no object: mark everything in a region and give it as 'complete', "
                "or take method 'log'"
            )
        return _from_positives(candidates, clicks, size)
    marked = _marked(candidates, clicks, inside, click_inside, size)
    methods: list[Method] = ["log", "features"] if method == "auto" else [method]  # type: ignore[list-item]
    # (F1, threshold) of each, by cross-validation on the same folds.
    scores = [_validated(marked, each, size) for each in methods]
    clearly = _CLEARLY + 1 / int(click_inside.sum())  # one click more or less
    best = len(scores) - 1 if scores[-1][0] > scores[0][0] + clearly else 0
    rule = _fitted(marked, methods[best], size)
    # Probabilities of features are too sure on what they were fitted to: their threshold is that of the folds.
    cut = scores[best][1]
    return replace(rule, f1=round(scores[best][0], 4), threshold=rule.threshold if cut is None else cut)


def _marked(
    candidates: Candidates,
    clicks: Floats,
    inside: NDArray[np.bool_],
    click_inside: NDArray[np.bool_],
    size: Size,
) -> _Marked:
    # To each candidate the nearest click in its plane; and a pixel more, so that small objects are hit as well.
    gaps, nearest = cKDTree(_apart(clicks, size, candidates)).query(_apart(_rows(candidates), size, candidates))
    hit, free = gaps < HIT * size.fwhm + 1, gaps > _FREE * size.fwhm + 1
    # What lies between is the flank of an object: neither one, nor a place without one.
    used = hit | (free & inside)
    if int(click_inside.sum()) < FEWEST or not (used & ~hit).any() or not (used & hit).any():
        raise OptionError(
            f"where everything is marked there is too little to learn from (clicks: {int(click_inside.sum())}, other "
            f"places that might be objects: {int((used & ~hit).sum())}): at least {FEWEST} clicks, on objects, and one "
            "other place are needed: make the region larger, or click on more"
        )
    # A candidate belongs to the fold of its nearest click: a place is learnt from or judged as a whole.
    folds = split_clicks(clicks, MOST_FOLDS)
    return _Marked(candidates[used], hit[used], folds[nearest[used]], clicks[click_inside], folds[click_inside])


def split_clicks(clicks: Floats, count: int) -> NDArray[np.intp]:
    """Return the fold, of at most `count`, of each click (N, 3), of which plane, y and x are given.

    Neighbouring clicks stay together, so that a fold is judged by a rule that has not seen its place.
    """
    # Along plane, then y: neighbours in this order lie near each other.
    order = np.lexsort((clicks[:, 2], clicks[:, 1], clicks[:, 0]))
    folds = np.empty(len(clicks), np.intp)
    folds[order] = np.arange(len(clicks)) * min(count, len(clicks)) // len(clicks)
    return folds


def learn_heat(candidates: Candidates, clicks: Floats, size: Size) -> Rule:
    """Learn how high a maximum of a heat map must be.

    Parameters
    ----------
    candidates : Candidates
        Maxima where everything is marked, each from a network that was trained without the clicks around it.
    clicks : (N, 3) ndarray
        Plane, y and x of the clicks there.
    size : Size
        Size of the objects.
    """
    if not len(candidates):
        return Rule("heatmap", 0, _EVEN_ODDS, 0.5, 0.0)
    gaps, _ = cKDTree(_apart(clicks, size, candidates)).query(_apart(_rows(candidates), size, candidates))
    hit, free = gaps < HIT * size.fwhm + 1, gaps > _FREE * size.fwhm + 1
    used = hit | free
    both = (used & hit).any() and (used & ~hit).any()
    # The regression makes probabilities of the odds, from places that the networks had not seen.
    model = fit_logistic(candidates.features[used], hit[used]) if both else _EVEN_ODDS
    # Folds play no part here: each candidate comes from a network that has not seen its place.
    marked = _Marked(candidates, hit, np.zeros(len(hit), np.intp), clicks, np.zeros(len(clicks), np.intp))
    score, threshold = _best_threshold(marked, model.probability(candidates.features), size)
    return Rule("heatmap", 0, model, threshold, round(score, 4))


def is_enough(rule: Rule) -> bool:
    """Return whether a rule leaves nothing to be won by training a network, or nothing is known to judge one by.

    One height that tells all objects carries over to other planes; features that do may owe it to few clicks.
    """
    return rule.f1 is None or (rule.method == "log" and rule.f1 == 1.0)


def better(heat: Rule, other: Rule, clicks: int) -> bool:
    """Return whether `auto` takes the heat map, from the cross-validated F1 of both and the number of clicks.

    It must be better than one height, the simplest rule. Over features it is also taken if they are better by no more
    than one click: among many features there are some that tell a few clicks apart by chance. Of white among red blood
    cells, features from 3 clicks had an F1 of 1 in cross-validation and 0.58 in other images, the heat map 0.8 and 1
    (`tools/benchmark.py detect --only clicks --quick`).
    """
    assert heat.f1 is not None
    assert other.f1 is not None
    return heat.f1 > other.f1 if other.method == "log" else heat.f1 >= other.f1 - 1 / clicks


def _validated(marked: _Marked, method: Method, size: Size) -> tuple[float, float | None]:
    """Return F1 over all folds, and for features the threshold at which it is best."""
    chance, own = np.zeros(len(marked.candidates)), []
    for fold in np.unique(marked.folds):
        out = marked.folds == fold
        rest = marked.is_object[~out]
        # From objects alone, or from none, nothing can be learnt; candidates of this fold then count as none.
        if not rest.any() or rest.all():
            continue
        part = _Marked(
            marked.candidates[~out], rest, marked.folds[~out], marked.clicks[marked.click_folds != fold],
            marked.click_folds[marked.click_folds != fold],
        )  # fmt: skip
        rule = _fitted(part, method, size)
        found = rule.probability(marked.candidates[out])
        # A height is cut at the threshold of its own fold; probabilities of all folds are cut together, below.
        chance[out] = found if method == "features" else found >= rule.threshold
        own.append(rule.threshold)
    if method == "log":
        scores = _f1(marked, told_apart(marked.candidates, chance, 0.5, size), size)
        return float(scores[-1]) if len(scores) else 0.0, None
    return _best_threshold(marked, chance, size)


def _fitted(marked: _Marked, method: Method, size: Size) -> Rule:
    if method == "features":
        model = fit_logistic(marked.candidates.features, marked.is_object)
        return Rule("features", 0, model, 0.5)
    rules = []
    for level in sorted(range(len(AROUND)), key=lambda i: abs(np.log(AROUND[i]))):  # of equal ones, the clicks' size
        model = fit_logistic(marked.candidates.z[:, [level]], marked.is_object)
        # A filter under which objects are lower than other places fits by chance only.
        if model.weights[0] <= 0:
            continue
        rule = Rule("log", level, model, 0.5)
        score, threshold = _best_threshold(marked, rule.probability(marked.candidates), size)
        rules.append((score, replace(rule, threshold=threshold)))
    # No filter tells: the rule is worth as little as its F1 says.
    if not rules:
        return Rule("log", 0, fit_logistic(marked.candidates.z[:, [0]], marked.is_object), 0.5)
    return max(rules, key=lambda pair: pair[0])[1]


def _best_threshold(marked: _Marked, chance: Floats, size: Size) -> tuple[float, float]:
    """Return the best F1 and the threshold that gives it, half-way to the next candidate below."""
    # Findings are taken surest first: a lower threshold leaves those before it, and their pairs, as they are.
    kept = told_apart(marked.candidates, chance, 0.0, size)
    scores = _f1(marked, kept, size)
    ends = np.flatnonzero(np.diff(chance[kept], append=-np.inf))  # equal probabilities are on one side of any threshold
    best = ends[np.argmax(scores[ends])]
    level = chance[kept][best]
    below = np.max(chance, where=chance < level, initial=0.0)
    return float(scores[best]), float((level + below) / 2)


def _f1(marked: _Marked, kept: NDArray[np.intp], size: Size) -> Floats:
    """Return F1 of the first 1, 2... of the findings `kept`, surest first."""
    found, clicks = (_apart(each, size, marked.candidates) for each in (_rows(marked.candidates[kept]), marked.clicks))
    # F1 is 2 TP / (2 TP + FP + FN), and the sum below is found plus clicked on.
    return 2 * np.cumsum(_paired(found, clicks, _FREE * size.fwhm)) / (np.arange(1, len(found) + 1) + len(clicks))


def _rows(candidates: Candidates) -> Floats:
    """Return plane, y and x of candidates."""
    return np.c_[candidates.planes, candidates.places]


def _apart(rows: Floats, size: Size, candidates: Candidates) -> Floats:
    """Return places (N, 3) of planes that are so far apart that nothing in one is near anything in another."""
    # The first column becomes a coordinate like the others: one tree then serves all planes.
    far = 10 * size.fwhm + float(np.ptp(candidates.places)) if len(candidates) else 1.0
    return rows * (far, 1, 1)


def _paired(found: Floats, truth: Floats, radius: float) -> NDArray[np.bool_]:
    """Return which findings, surest first, have a click of their own within reach."""
    paired, free = np.zeros(len(found), bool), np.ones(len(truth), bool)
    if not len(truth):
        return paired
    tree = cKDTree(truth)
    # Surest first, each with the nearest click that is still free: two findings of one object count once.
    for i, within in enumerate(tree.query_ball_point(found, radius)):
        near = np.array([j for j in within if free[j]], np.intp)
        if len(near):
            free[near[np.argmin(np.linalg.norm(truth[near] - found[i], axis=1))]] = False
            paired[i] = True
    return paired


def _from_positives(candidates: Candidates, clicks: Floats, size: Size) -> Rule:
    """Return a threshold on the height under the filter of the clicks' own size, below all but the faintest clicks."""
    level = AROUND.index(1.0)
    heights = candidates.z[:, level]
    gaps, nearest = cKDTree(_apart(_rows(candidates), size, candidates)).query(_apart(clicks, size, candidates))
    # Heights of the candidates under the clicks; clicks without one say nothing about heights.
    known = heights[nearest[gaps < HIT * size.fwhm + 1]]
    known = known[known > 0]
    if not len(known):
        raise OptionError(
            "no click lies on a bright or dark spot: click on the middle of objects, or mark everything in a region "
            "and give it as 'complete'"
        )
    cut = _FAINTER * float(np.quantile(known, 0.1))
    # Probability one half at the threshold, and 0.9 at the height of the faintest clicks.
    spread = max(float(known.min()) - cut, 0.1 * cut) / np.log(9)
    return Rule("log", level, Logistic(np.array([cut]), np.array([spread]), np.array([1.0, 0.0])), 0.5)
