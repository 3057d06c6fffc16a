"""Find objects like those that were clicked on, plane by plane."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.arrays import ImageArray, as_numpy
from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import Progress, map_progress
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.plural import number_of
from napari_genrecon.tasks.detect.candidates import (
    Candidates,
    Size,
    best_size,
    click_answers,
    plane_candidates,
    told_apart,
    tried_sizes,
)
from napari_genrecon.tasks.detect.heat import FOLDS, Marked, Picture, heat_steps, train_steps
from napari_genrecon.tasks.detect.planes import Channel, prepared
from napari_genrecon.tasks.detect.rules import FEWEST, Rule, better, is_enough, learn, learn_heat, split_clicks

if TYPE_CHECKING:
    from napari_genrecon.models.runtime import Model

__all__ = ["Findings", "checked_clicks", "checked_region", "digest", "learned_steps"]

Floats = NDArray[np.float64]


class Findings(NamedTuple):
    """Objects: their places in pixels of the image, the features of points by name, and how they were told."""

    pixels: Floats
    features: dict[str, Floats]
    facts: dict[str, Any]


class _Plane(NamedTuple):
    values: NDArray[np.float32]  # (Y, X), noise of s.d. 1
    channels: NDArray[np.floating]  # (C, Y, X)
    rho: tuple[float, float]


def checked_clicks(clicks: Any, shape: tuple[int, ...], axes: Axes) -> Floats:
    """Return clicks as a number for every dimension but colours.

    Raises
    ------
    OptionError
        If they have another number of dimensions, are not finite, are none, or lie outside the image.
    """
    lengths = np.array([n for n, letter in zip(shape, axes.letters, strict=True) if letter != "S"])
    try:
        found = np.asarray(clicks, np.float64)
    except (TypeError, ValueError) as error:
        raise OptionError(f"clicks must be places in pixels, an (N, {len(lengths)}) array: {error}") from error
    # Of a single plane, y and x say enough, whatever dimensions of length 1 the image has. `n_planes` counts colours.
    if found.ndim == 2 and found.shape[1] == 2 and axes.n_planes(shape) == (shape[-1] if axes.rgb else 1):
        found = np.c_[np.zeros((len(found), len(lengths) - 2)), found]
    if found.ndim != 2 or found.shape[1] != len(lengths):
        raise OptionError(
            f"clicks have shape {found.shape}, and the image has the axes {axes}: {len(lengths)} numbers are needed "
            f"for each, the place along {', '.join(axes.letters.removesuffix('S'))} in pixels"
        )
    if not len(found):
        raise OptionError("there are no clicks: click on the middle of a few objects first")
    outside = ~np.all((found >= -0.5) & (found < lengths - 0.5), axis=1)  # NaN compares false
    if outside.any():
        first = ", ".join(f"{value:g}" for value in found[outside][0])
        total = number_of(len(found), "click", "clicks")
        raise OptionError(
            f"{number_of(int(outside.sum()), f'of {total} lies', f'of {total} lie')} outside the image, the first at "
            f"({first}): take what lies outside away, or choose the points of this image"
        )
    return found


def checked_region(complete: Any, shape: tuple[int, ...], axes: Axes) -> NDArray[np.bool_]:
    """Return where everything is marked, for every pixel; of a plane, it holds for all planes.

    Raises
    ------
    ImageError
        If its shape is another.
    OptionError
        If it is empty.
    """
    whole = tuple(n for n, letter in zip(shape, axes.letters, strict=True) if letter != "S")
    region = np.asarray(complete) != 0
    plane = (shape[axes.y], shape[axes.x])
    if region.shape not in (whole, plane):
        raise ImageError(
            f"the region where everything is marked has shape {region.shape}, and the image {whole}: it must be as "
            "large as the image, or as a plane of it without colours (complete)"
        )
    if not region.any():
        raise OptionError(
            "the region where everything is marked is empty: draw it around objects that are all clicked on (complete)"
        )
    # A view: the region of one plane takes no memory for the others.
    return np.broadcast_to(region.reshape(_spread(axes, plane)) if region.shape != whole else region, whole)


def _spread(axes: Axes, plane: tuple[int, int]) -> tuple[int, ...]:
    # The shape of a plane among the image's dimensions, all others 1, and without colours.
    spread = axes.spread(*plane, 1)
    return spread[:-1] if axes.rgb else spread


def learned_steps(
    source: ImageArray,
    axes: Axes,
    channels: list[Channel],
    clicks: Floats,
    region: NDArray[np.bool_] | None,
    method: str,
    device: str,
) -> Generator[Progress, None, Findings]:
    """Learn from clicks and find the objects of all planes.

    Parameters
    ----------
    source : array_like
        The image.
    axes : Axes
        Its axes.
    channels : list of Channel
        Constants of every channel.
    clicks : (N, D) ndarray
        See `checked_clicks`.
    region : ndarray of bool, optional
        Where everything is marked; it counts in planes with a click.
    method : {"auto", "log", "features", "heatmap"}
        See `rules.learn` and `rules.better`.
    device : str
        Where a network is trained and run.
    """
    outer = [i for i, letter in enumerate(axes.letters) if letter not in "YXS"]
    lengths = tuple(int(source.shape[i]) for i in outer)
    count = math.prod(lengths)
    # (N,) number of the plane, counted over all dimensions but Y and X.
    rows = _plane_numbers(clicks[:, outer], lengths)
    places = np.c_[rows, clicks[:, [axes.y, axes.x]]]  # (N, 3)
    read = partial(_read, source, axes, channels)
    planes, answers = {}, []
    for number in np.unique(rows).tolist():
        # Planes with clicks are kept: they are measured, learnt from, and searched.
        planes[number] = here = read(np.unravel_index(number, lengths) if lengths else ())
        sizes = tried_sizes(here.values.shape)
        # Dark objects are bright ones of the plane turned over; the clicks say which it is.
        for signed in (here.values, -here.values):
            yield Progress(0, 0, "measuring the size of the objects")
            answers.append(click_answers(signed, places[rows == number, 1:], sizes, here.rho))
    # (planes, 2, sizes): one size for all planes, so that a few clicks in each do.
    size = best_size(np.reshape(answers, (-1, 2, len(sizes))).sum(axis=0), sizes)
    inside = None if region is None else _flat(region, axes, count)
    rule, model = yield from _learned(planes, places, inside, size, method, device)
    found = []
    for number in range(count):
        yield Progress(number, count, f"{number} of {count} planes searched")
        index = np.unravel_index(number, lengths) if lengths else ()
        here = planes.get(number) or read(index)
        # Other planes are read, searched and forgotten, one after the other.
        each = yield from _candidates(here, size, number, model)
        found.append(_of_plane(each, rule, size, index, outer, axes))
    return _gathered(found, rule, size, len(clicks), outer)


def _learned(
    planes: dict[int, _Plane],
    clicks: Floats,
    region: NDArray[np.bool_] | None,
    size: Size,
    method: str,
    device: str,
) -> Generator[Progress, None, tuple[Rule, Model | None]]:
    """Learn a rule from the planes with clicks, and the network that draws its heat map, if it needs one."""
    # What costs little comes first: a network is trained only where filters and features leave something to win.
    rule, click_inside = None, _at(region, clicks)
    if method != "heatmap":
        parts = []
        for number, plane in planes.items():
            yield Progress(0, 0, "learning from the clicks")
            parts.append((yield from _candidates(plane, size, number, None)))
        candidates = Candidates.joined(parts)
        inside = _at(region, np.c_[candidates.planes, candidates.places])
        rule = learn(candidates, clicks, inside, click_inside, size, method)
    if rule is not None and (method != "auto" or is_enough(rule)):
        return rule, None
    count = int(click_inside.sum())
    if region is None or count < FEWEST:
        raise OptionError(
            f"method 'heatmap' must know what is no object: mark everything in a region, with at least {FEWEST} clicks "
            f"in it (there are {count}), and give it as 'complete', or take method 'log'"
        )
    # Trained even where it may not be taken: only its F1 by cross-validation can tell.
    heat, model = yield from _heat_learned(planes, clicks, region, click_inside, size, device)
    return (heat, model) if rule is None or better(heat, rule, count) else (rule, None)


def _heat_learned(
    planes: dict[int, _Plane],
    clicks: Floats,
    region: NDArray[np.bool_],
    click_inside: NDArray[np.bool_],
    size: Size,
    device: str,
) -> Generator[Progress, None, tuple[Rule, Model]]:
    """Learn to draw a heat map, and by cross-validation how high its maxima must be."""
    folds = split_clicks(clicks, FOLDS)
    marked = {
        number: Marked.of(
            Picture.of(plane.channels, size), clicks[own, 1:], folds[own], region[number], size
        )
        for number, plane in planes.items()
        if (own := clicks[:, 0] == number).any()
    }  # fmt: skip
    # Only folds with clicks in the region can judge. None leaves out nothing: the last network is the one that is used.
    turns = [*np.unique(folds[click_inside]).tolist(), None]
    parts = []
    for turn, fold in enumerate(turns):
        steps = train_steps(list(marked.values()), fold, device)
        model = yield from map_progress(steps, partial(_turn_of_all, turn, len(turns)))
        # Each place is judged by the network that has not seen the clicks around it.
        if fold is not None:
            for number, each in marked.items():
                here = planes[number]
                found = yield from heat_steps(model, each.picture, here.values, size, here.rho, number)
                parts.append(found[each.judges(found.places, fold)])
    rule = learn_heat(Candidates.joined(parts), clicks[click_inside], size)
    return rule, model


def _turn_of_all(turn: int, count: int, p: Progress) -> Progress:
    return Progress(turn * p.total + p.done, count * p.total, f"{p.note}, {turn + 1} of {count} trainings")


def _candidates(plane: _Plane, size: Size, number: int, model: Model | None) -> Generator[Progress, None, Candidates]:
    """Find candidates under filters, or with a network."""
    if model is None:
        return plane_candidates(plane.values, plane.channels, size, plane.rho, number)
    picture = Picture.of(plane.channels, size)
    return (yield from heat_steps(model, picture, plane.values, size, plane.rho, number))


def _plane_numbers(indices: Floats, lengths: tuple[int, ...]) -> NDArray[np.intp]:
    if not lengths:
        return np.zeros(len(indices), np.intp)
    return np.ravel_multi_index(tuple(np.round(indices).astype(int).T), lengths)


def _read(source: ImageArray, axes: Axes, channels: list[Channel], index: tuple[Any, ...]) -> _Plane:
    """Return one plane with noise of s.d. 1, and its colours."""
    # One plane with its colours: all of Y, X and S, and one index along every other dimension.
    where = iter(index)
    region = tuple(slice(None) if letter in "YXS" else int(next(where)) for letter in axes.letters)
    block = as_numpy(source[region])
    colours = np.moveaxis(block[..., :3], -1, 0) if axes.rgb else block[None]  # (C, Y, X), without alpha
    grey = colours.mean(axis=0, dtype=np.float64) if axes.rgb else block
    number = 0 if axes.rgb or axes.channel is None else region[axes.channel]
    assert isinstance(number, int)
    values, bad = prepared(grey, channels[number])
    # Colours stay as they are: features compare hues. A single channel is taken with its noise at 1.
    colours = colours.astype(np.float32) if axes.rgb else values[None]
    noise = channels[number].noise
    # The median looks like background: no filter answers to what is missing.
    return _Plane(np.where(bad, np.float32(np.median(values)), values), colours, (noise.rho_y, noise.rho_x))


def _flat(region: NDArray[np.bool_], axes: Axes, count: int) -> NDArray[np.bool_]:
    """Return the region as (planes, Y, X)."""
    return np.moveaxis(region, (axes.y, axes.x), (-2, -1)).reshape(count, region.shape[axes.y], region.shape[axes.x])


def _at(region: NDArray[np.bool_] | None, places: Floats) -> NDArray[np.bool_]:
    """Return which places (N, 3), given by plane, y and x, lie where everything is marked."""
    if region is None:
        return np.zeros(len(places), bool)
    index = np.round(places).astype(int)
    return region[tuple(np.clip(index, 0, np.array(region.shape) - 1).T)]


def _of_plane(
    candidates: Candidates, rule: Rule, size: Size, index: tuple[Any, ...], outer: list[int], axes: Axes
) -> Floats:
    """Return (N, D + 2): places in the image, probability and height."""
    chance = rule.probability(candidates)
    # Surest first, so that of two findings of one object the surer one stays.
    kept = told_apart(candidates, chance, rule.threshold, size)
    places = np.zeros((len(kept), len(axes.letters.removesuffix("S"))))
    places[:, [axes.y, axes.x]] = candidates.places[kept]
    places[:, outer] = index
    # Where a heat map shows an object, the filter may well answer with less than 0.
    return np.c_[places, chance[kept], candidates.z[kept].max(axis=1, initial=0.0)]


def _gathered(found: list[Floats], rule: Rule, size: Size, n_clicks: int, outer: list[int]) -> Findings:
    rows = np.concatenate(found)
    # By plane, and the surest first within it.
    rows = rows[np.lexsort((-rows[:, -2], *rows[:, outer].T[::-1]))]
    chance = rows[:, -2]
    order = np.argsort(-chance, kind="stable")
    shares = np.empty(len(chance))
    # 1 - probability is the expected number of false ones; its mean over all that are as sure is their share.
    shares[order] = np.cumsum(1 - chance[order]) / np.arange(1, len(chance) + 1)
    features = {"score": chance, "z": rows[:, -1], "size": np.full(len(rows), size.fwhm), "false_share": shares}
    facts = {
        "points": [len(rows)],
        "size": [round(size.fwhm, 3)],
        "objects": "dark" if size.dark else "bright",
        "method": rule.method,
        "f1": rule.f1,
        "clicks": n_clicks,
    }
    return Findings(rows[:, :-2], features, facts)


def digest(values: NDArray[Any]) -> str:
    """Return the sha256 of an array's numbers and shape."""
    # With the shape, as arrays of another shape may hold the same numbers in the same order.
    return hashlib.sha256(repr(values.shape).encode() + np.ascontiguousarray(values).tobytes()).hexdigest()
