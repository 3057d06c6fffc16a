"""Detect spots and cells in an image, with a share of false ones that the measured noise vouches for."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_genrecon.arrays import ImageArray, ImageLike
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.missing import missing_note
from napari_genrecon.engine.run import Progress, finish, map_progress
from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.points import Points
from napari_genrecon.io.record.provenance import machine, make_record
from napari_genrecon.models import ModelCard, device_note, device_words, resolve_device
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.detect.adapted import adapt_steps
from napari_genrecon.tasks.detect.finders import SMALLEST_PLANE, TILE, Finder, NetFinder, finders_of
from napari_genrecon.tasks.detect.learned import checked_clicks, checked_region, digest, learned_steps
from napari_genrecon.tasks.detect.options import DetectOptions, Method, Objects
from napari_genrecon.tasks.detect.planes import (
    Channel,
    Found,
    channel_of,
    find_steps,
    prepared,
    search_grid,
    spatial_axes,
)
from napari_genrecon.tasks.detect.selection import Selection, select, select_spots
from napari_genrecon.tasks.detect.spot_noise import SpotNoise
from napari_genrecon.tasks.detect.wide import WideFinder, left_out, wide_finders, wide_note
from napari_genrecon.tasks.given import given_image, given_mask, given_points
from napari_genrecon.tasks.measure import Noise, as_source, input_facts, noise_per_channel, sample_channels
from napari_genrecon.tasks.plan import borrowed
from napari_genrecon.tasks.task import Result

__all__ = ["detect", "detect_steps", "expected_seconds"]

_TRAINING = 15.0  # seconds on one core of a laptop to train on clicks (`tools/benchmark.py detect --only speed`)
_ADAPTING = 75.0  # seconds on such a core to train on simulated images
_UNJUDGED = (
    "clicks alone do not say what is no object, so that some points may lie on background, and how many is not known: "
    "draw a rectangle in which every object is clicked on, and choose it as 'all marked in' (complete)"
)
# Options that count, and go into the record.
_WITHOUT_CLICKS = ("fdr", "min_size", "max_size", "objects", "volume", "boxes", "spacing", "method", "axes")
_WITH_CLICKS = ("boxes", "method", "axes")


def detect(
    image: ImageLike,
    *,
    clicks: ArrayLike | None = None,
    complete: ArrayLike | None = None,
    method: Method = "auto",
    fdr: float = 0.05,
    min_size: float = 2.0,
    max_size: float = 8.0,
    objects: Objects = "bright",
    volume: bool = False,
    boxes: bool = False,
    spacing: float | None = None,
    noise: Noise | float | None = None,
    device: str = "auto",
    axes: str | None = None,
) -> Points:
    """Detect spots and cells that stand out from what is around them.

    Parameters
    ----------
    image : (..., Y, X) or (..., Y, X, S) array_like, or an image layer of napari
        Any real dtype. Every YX plane is searched by itself, unless `volume`; colours are searched in their mean. NaN,
        padding, and hot or dead pixels are left out.
    clicks : (N, D) array_like, or a points layer of napari, optional
        Places of a few objects in pixels: others like them are found. Their size, and whether they are bright or dark,
        are measured at the clicks; `fdr`, the sizes and `objects` do not count then.
    complete : (..., Y, X) or (Y, X) array_like, or a labels or image layer, optional
        Where it is not 0, every object is clicked on (in planes with a click): what else is there is no object. Clicks
        elsewhere only say that there is one.
    method : {"auto", "log", "net", "adapted", "features", "heatmap"}
        ``"net"`` asks the bundled network, which was trained on simulated spots; for spots of 1.5 to 8.25 pixels, plane
        by plane. ``"adapted"`` first trains it on simulated images like this one: spots as wide, high and crowded, on
        the smooth background of the image; that takes about a minute for each channel, and finds more where spots are
        dim and crowded. ``"log"`` looks for maxima under Laplacians of Gaussians, of any size. ``"auto"`` asks the
        filters and, where it can work, the bundled network, and takes this unless the filters find more than false ones
        can account for: mostly objects that are larger than its spots, or very dim.
        With clicks: ``"log"`` tells objects by their height under one filter, ``"features"`` by logistic regression on
        what is in them and around them, ``"heatmap"`` by a heat map that a small network is trained to draw from the
        clicks, which takes some seconds. ``"auto"`` takes what is better where everything is clicked on, by
        cross-validation.
    fdr : float
        Share of false points among all that is acceptable, in [0.0001, 0.5]. It holds for what noise makes, not for
        structure: texture, or sharp corners of larger objects.
    min_size, max_size : float
        Sizes of the objects in pixels along X, in [1.5, 500]: the full width at half maximum of a spot, about 0.7 times
        the diameter of a disc.
    objects : {"bright", "dark"}
        Brighter or darker than what is around them.
    volume : bool
        Find objects in the whole of a z-stack instead of plane by plane.
    boxes : bool
        Add the corners of a box around every object to the features, see `Points.boxes`; `napari_genrecon.add_result`
        then makes a Shapes layer.
    spacing : float, optional
        Distance of two planes in pixels, in [0.1, 100], for `volume`; that of a layer if not given, else 1.
    noise : NoiseModel, tuple of NoiseModel, float or None
        A noise model (or one per channel), or the s.d. of white noise in grey values. None measures it from the image.
    device : str
        Where the network runs: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``.
    axes : str, optional
        One letter per dimension, such as ``"TCYX"``; inferred from the shape if not given (see `napari_genrecon.axes`).

    Returns
    -------
    Points
        Places in `pixels` and in units (`positions`), and the features ``score`` (probability, in [0, 1], that it is
        no false one), ``z`` (height in s.d. of the noise), ``size`` (full width at half maximum in pixels) and
        ``false_share`` (expected share of false ones among all that are at least as sure).
        With `boxes` also ``y_min``, ``y_max``, ``x_min`` and ``x_max`` in pixels.

    Raises
    ------
    ImageError
        If the image is empty, not real, has no finite pixel, or does not fit the axes, or has no Z for `volume`.
    OptionError
        If an option cannot work.

    Notes
    -----
    The noise is brought to s.d. 1 everywhere. The maxima of the network's answer, or those under Laplacians of
    Gaussians of several widths, are compared with those that noise alone has, as correlated as it was measured; the
    threshold keeps the share of false ones (Benjamini & Hochberg 1995). Under filters, maxima with the shape of an
    edge are dropped; the network was trained to.

    Examples
    --------
    >>> import numpy as np
    >>> y, x = np.indices((64, 64))
    >>> noise = np.random.default_rng(0).normal(0, 1, (64, 64))
    >>> found = detect(noise + 10 * np.exp(-((y - 20) ** 2 + (x - 40) ** 2) / 4.5))
    >>> found.pixels.round().tolist()
    [[20.0, 40.0]]
    """
    given = given_image(image, axes)
    options = DetectOptions(
        clicks=given_points(clicks, image),
        complete=given_mask(complete),
        method=method,
        fdr=fdr,
        min_size=min_size,
        max_size=max_size,
        objects=objects,
        volume=volume,
        boxes=boxes,
        spacing=spacing,
        noise=noise,
        device=device,
        axes=given.axes,
    )
    result = finish(detect_steps(given.pixels, given.calibrate(options)))
    result.warn()
    found: Points = result.data
    return found if given.layer is None else replace(found, meta=given.about())


def detect_steps(image: Any, options: DetectOptions, *, lazy: bool | None = None) -> Generator[Progress, None, Result]:
    """Detect objects step by step; see `detect`.

    Yields
    ------
    Progress
        After every part of the image.

    Returns
    -------
    Result
        Its data are `Points`, in pixels. `lazy` has no effect: points are always computed.
    """
    started = time.perf_counter()
    yield Progress(0, 0, "measuring the noise" if options.noise is None else "preparing")
    options.require()
    source = as_source(image)
    axes = resolve_axes(options.axes, source.shape)
    if options.volume and "Z" not in axes.letters:
        raise ImageError(
            f"the image has the axes {axes} and no Z, which 'volume' needs: say which dimension is Z (axes), or "
            "search every plane by itself"
        )
    sampled = _sampled(source, axes)
    # Over the whole image and not part by part, so that the parts do not show.
    noise = noise_per_channel(sampled, options.noise)
    channels = [channel_of(crops, model) for crops, model in zip(sampled, noise, strict=True)]
    if options.clicks is not None:
        return (yield from _like_clicks(options, source, axes, sampled, channels, started))
    searched, wide = yield from _searched(options, source, axes, sampled, channels)
    # Both methods have searched everything: which one finds more is not known before.
    best = _best(searched, options.fdr)
    notes = _unseen_note(best, options.fdr) + wide_note(options, _left_out(wide, best), best.count)
    points = _points(best, axes, volume=options.volume)
    points = points.with_boxes(source.shape) if options.boxes else points
    facts = {
        "points": [len(s.blobs) for s in best.chosen],
        "size": best.sizes,
        "method": best.method,
        "of": {search.method: search.count for search in searched},
    }
    if best.method == "adapted":
        facts["simulated"] = [finder.simulated for finder in best.finders if isinstance(finder, NetFinder)]
    # All channels have the same parts; the first finder stands for all.
    grid = search_grid(tuple(map(int, source.shape)), axes, best.finders[0])
    tile = {"size": list(grid.tile), "halo": list(grid.halo)}
    took = time.perf_counter() - started
    record = _record(options, source, axes, sampled, channels, facts, tile, took, best.card, notes)
    return Result(points, axes, record)


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """What one method found in every channel."""

    method: str
    finders: Sequence[Finder]
    found: list[Found]
    chosen: list[Selection]

    @property
    def count(self) -> int:
        return sum(len(selection.blobs) for selection in self.chosen)

    @property
    def card(self) -> ModelCard | None:
        first = self.finders[0]
        return first.card if isinstance(first, NetFinder) else None

    @property
    def sizes(self) -> list[float | None]:
        pairs = zip(self.chosen, self.finders, strict=True)
        return [None if s.level is None else round(f.filters.sizes[s.level], 3) for s, f in pairs]


def _best(searched: list[_Search], fdr: float) -> _Search:
    """Return the search by the network, unless the filters find more than false ones can account for.

    Where both find as many, the network takes less of the structure of cells for spots, and parts neighbours better.
    """
    first, last = searched[0], searched[-1]
    # Of `count` findings a share of `fdr` may be false: so many more, and one, are no evidence that it sees more.
    return first if first.count > (1 + fdr) * last.count + 1 else last


def _searched(
    options: DetectOptions,
    source: ImageArray,
    axes: Axes,
    sampled: list[list[NDArray[Any]]],
    channels: list[Channel],
) -> Generator[Progress, None, tuple[list[_Search], list[tuple[WideFinder, Found]]]]:
    """Search with every method that may be taken, and for wider objects than were asked for."""
    plane, noise = (int(source.shape[axes.y]), int(source.shape[axes.x])), [channel.noise for channel in channels]
    methods, wider = finders_of(options, noise, plane), wide_finders(options, noise, plane)
    found, device = [], resolve_device(options.device) if methods.keys() != {"log"} else "cpu"
    # Filters run on the processor, and leave a graphics card alone.
    with borrowed(device):
        if options.method == "adapted":
            dark = options.objects == "dark"
            methods = {"adapted": (yield from _adapted(methods["net"], sampled, channels, dark=dark))}
        turns: list[Sequence[Finder]] = [*methods.values(), *([wider] if wider else [])]
        for turn, finders in enumerate(turns):
            # All run one after the other; progress counts them as one search.
            steps = find_steps(source, axes, channels, finders, dark=options.objects == "dark")
            found.append((yield from map_progress(steps, partial(_part_of_all, turn, len(turns)))))
    searched = []
    for (method, finders), each in zip(methods.items(), found, strict=False):
        chosen = [_chosen(f, finder, options.fdr) for f, finder in zip(each, finders, strict=True)]
        searched.append(_Search(method, finders, each, chosen))
    return searched, list(zip(wider, found[-1], strict=False))


def _adapted(
    finders: Sequence[Finder], sampled: list[list[NDArray[Any]]], channels: list[Channel], *, dark: bool
) -> Generator[Progress, None, list[Finder]]:
    """Train the network of every channel on simulated images like it."""
    trained: list[Finder] = []
    for index, (finder, crops, channel) in enumerate(zip(finders, sampled, channels, strict=True)):
        assert isinstance(finder, NetFinder)
        parts = [part for crop in crops for part in _cut(prepared(crop, channel)[0] * (-1 if dark else 1))]
        name = f"channel {index}" if len(channels) > 1 else "the image"
        trained.append((yield from adapt_steps(finder, parts, name)))
    return trained


def _cut(plane: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Cut a plane into parts that fit into memory, but for narrow rests."""
    starts = [range(0, max(n - SMALLEST_PLANE, 0) + 1, TILE) for n in plane.shape]
    return [plane[y : y + TILE, x : x + TILE] for y, x in product(*starts)]


def _left_out(wide: list[tuple[WideFinder, Found]], best: _Search) -> NDArray[np.float64]:
    """Return the sizes in pixels of the wide objects of all channels that hold no point."""
    sizes = [np.zeros(0)]
    for (finder, each), found, chosen, own in zip(wide, best.found, best.chosen, best.finders, strict=False):
        sizes.append(left_out(each, finder, found, chosen, own))
    return np.concatenate(sizes)


def _unseen_note(best: _Search, fdr: float) -> list[str]:
    """Say that much of the image was not searched, as pixels without a value are near."""
    # The filter that found most, or the finest, for which the least is too near.
    unseen = sum(int(found.unseen[chosen.level or 0]) for found, chosen in zip(best.found, best.chosen, strict=True))
    share = unseen / max(sum(found.pixels for found in best.found), 1)
    # As large a share as may be false may be missed without a word: mostly it is the rim of a margin.
    if share <= fdr:
        return []
    return [
        f"{100 * share:.0f} % of the image was not searched, as pixels without a value (NaN, infinite or padding) are "
        "too near: where they are scattered, fill them in first (inpaint, with a mask of them)"
    ]


def _like_clicks(
    options: DetectOptions,
    source: ImageArray,
    axes: Axes,
    sampled: list[list[NDArray[Any]]],
    channels: list[Channel],
    started: float,
) -> Generator[Progress, None, Result]:
    """Find objects like those that were clicked on."""
    shape = tuple(map(int, source.shape))
    clicks = checked_clicks(options.clicks, shape, axes)
    # Checked before anything is searched.
    region = None if options.complete is None else checked_region(options.complete, shape, axes)
    found = yield from learned_steps(source, axes, channels, clicks, region, options.method, options.device)
    # In the record by their digest: other clicks, or another region, make another result.
    facts = found.facts | {"learned from": digest(clicks) if region is None else digest(clicks) + digest(region)}
    # With clicks, planes are searched whole.
    tile = {"size": list(shape), "halo": [0] * len(shape)}
    notes = [_UNJUDGED] if len(found.pixels) and found.facts["f1"] is None else []
    record = _record(options, source, axes, sampled, channels, facts, tile, time.perf_counter() - started, more=notes)
    points = Points(found.pixels, found.features, meta=ImageMeta(axes=axes))
    return Result(points.with_boxes(shape) if options.boxes else points, axes, record)


def expected_seconds(image: Any, options: DetectOptions) -> float:
    """Return how long `detect` will take for this image on this machine, from the time of a small plane."""
    source = as_source(image)
    axes = resolve_axes(options.axes, source.shape)
    ndim = 3 if options.volume and "Z" in axes.letters else 2
    side = 128 if ndim == 2 else 32
    # Filters take the same time whatever is in the image, and a part of a known size tells it.
    flat = np.zeros((side,) * ndim, np.float32)
    methods = finders_of(replace(options, volume=ndim == 3), [NoiseModel.white(1.0)], (side, side))
    wider = wide_finders(options, [NoiseModel.white(1.0)], (side, side))
    # "auto" runs every method that fits.
    took = sum(_seconds(finders[0], flat) for finders in (*methods.values(), wider) if finders)
    trains = options.complete is not None and options.method in ("auto", "heatmap")
    channels = 1 if axes.rgb else axes.n_channels(source.shape)
    adapts = channels if options.method == "adapted" else 0
    return float(source.size / side**ndim * took) + trains * _TRAINING + adapts * _ADAPTING


def _seconds(find: Finder, values: NDArray[np.float32]) -> float:
    ends = [(True, True)] * values.ndim
    find(values, ends)  # the first time, filters are made and weights are loaded
    started = time.perf_counter()
    find(values, ends)
    return time.perf_counter() - started


def _sampled(source: ImageArray, axes: Axes) -> list[list[NDArray[Any]]]:
    """Return crops of every channel; of colours, those of their mean."""
    channels = sample_channels(source, axes)
    if not axes.rgb:
        return list(channels)
    # The mean of three colours has less noise than each: it is measured in what is searched.
    return [[np.asarray(np.mean(crops, axis=0, dtype=np.float64)) for crops in zip(*channels, strict=True)]]


def _part_of_all(turn: int, count: int, p: Progress) -> Progress:
    return Progress(turn * p.total + p.done, count * p.total, p.note)


def _chosen(found: Found, finder: Finder, fdr: float) -> Selection:
    planes = _planes(found)
    if isinstance(finder, NetFinder):
        noise = finder.noise or SpotNoise.of(finder.card.calibration, finder.filters.rho)
        return select_spots(found.blobs, planes, finder.filters, noise, found.pixels, fdr)
    return select(found.blobs, planes, finder.filters, found.pixels, fdr)


def _planes(found: Found) -> NDArray[np.intp]:
    """Return a number for the plane of every maximum."""
    total = np.zeros(len(found.blobs), np.intp)
    for column in found.outer.T:
        # Mixed radix, as in `np.ravel_multi_index`, by the largest index that occurs.
        total = total * (1 + int(column.max(initial=0))) + column
    return total


def _points(search: _Search, axes: Axes, *, volume: bool) -> Points:
    spatial = spatial_axes(axes, volume=volume)
    letters = axes.letters.removesuffix("S")
    outer = [i for i in range(len(letters)) if i not in spatial]
    places, parts = [], []
    for each, selection, finder in zip(search.found, search.chosen, search.finders, strict=True):
        here = np.zeros((len(selection.blobs), len(letters)))
        # Columns in the order of the image's dimensions: places in a plane, and its index along the others.
        here[:, list(spatial)] = selection.blobs.places
        here[:, outer] = each.outer[selection.chosen]
        places.append(here)
        sizes = np.array(finder.filters.sizes)[selection.blobs.level]
        parts.append(np.c_[1 - selection.shares, selection.blobs.z, sizes, selection.shares])  # (N, 4)
    pixels, features = np.concatenate(places), np.concatenate(parts)
    # By plane, then the least share of false ones, then the height (lexsort sorts by its last key first).
    order = np.lexsort((-features[:, 1], features[:, 3], *pixels[:, outer].T[::-1]))
    names = ("score", "z", "size", "false_share")
    columns = dict(zip(names, features[order].T.copy(), strict=True))
    return Points(pixels[order], columns, meta=ImageMeta(axes=axes))


def _record(
    options: DetectOptions,
    source: ImageArray,
    axes: Axes,
    sampled: list[list[NDArray[Any]]],
    channels: list[Channel],
    found: dict[str, Any],
    tile: dict[str, list[int]],
    seconds: float,
    card: ModelCard | None = None,
    more: Sequence[str] = (),
) -> dict[str, Any]:
    # asdict would copy the arrays, which are in the record by their digest.
    plain = asdict(replace(options, noise=None, clicks=None, complete=None, method="auto")) | {"method": options.method}
    # What had no effect is left out: replays and methods texts would speak of it.
    counting = _WITHOUT_CLICKS if options.clicks is None else _WITH_CLICKS
    device = resolve_device(options.device) if card else "cpu"
    notes = missing_note([channel.missing for channel in channels])
    notes += device_note(options.device) if card else []
    if not any(found["points"]) and options.clicks is not None:
        notes.append("nothing like the objects under the clicks was found")
    elif not any(found["points"]):
        sizes_asked = f"{options.min_size:g} to {options.max_size:g} pixels"
        notes.append(f"nothing stands out from the noise: no {options.objects} object of {sizes_asked} was found")
    if not all(channel.noise.sigma > 0 for channel in channels):
        notes.append("no noise was found, so the share of false points says nothing: thousandths of the range count")
    # Clicks tell objects from grain by themselves.
    if any(found["points"]) and options.clicks is None and any(channel.noise.textured for channel in channels):
        notes.append(
            "no part of the image is even, so that its noise was read from the finest detail: fine structure and "
            "smooth grain are found, too, and the share of false points does not count them"
        )
    notes += more
    return make_record(
        "detect",
        "detected",
        seed=None,
        options={name: plain[name] for name in counting},
        model=card.facts() if card else None,
        noise=[channel.noise.to_dict() for channel in channels],
        axes={"letters": axes.letters, "assumed": axes.assumed},
        input=input_facts(source, sampled),
        output={"dtype": "float64", "clipped": 0, "nan": 0, "points": sum(found["points"])},
        found=found,
        tile=tile,
        device=device,
        machines=[machine(device_words(device) if card else "")],
        precision="float32",
        seconds=round(seconds, 3),
        warnings=notes,
    )
