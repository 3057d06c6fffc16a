"""Detect spots and cells in an image, with a share of false ones that the measured noise vouches for."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_genrecon.arrays import ImageArray, ImageLike
from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.missing import missing_note
from napari_genrecon.engine.run import Progress, finish
from napari_genrecon.errors import ImageError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.points import Points
from napari_genrecon.io.record.provenance import make_record
from napari_genrecon.numerics.blobs.filters import Filters, filter_widths
from napari_genrecon.tasks.detect.learned import checked_clicks, checked_region, digest, learned_steps
from napari_genrecon.tasks.detect.options import DetectOptions, Method, Objects
from napari_genrecon.tasks.detect.planes import Channel, Found, channel_of, find_steps, search_grid, spatial_axes
from napari_genrecon.tasks.detect.selection import Selection, select
from napari_genrecon.tasks.given import given_image, given_mask
from napari_genrecon.tasks.measure import Noise, as_source, input_facts, noise_per_channel, sample_channels
from napari_genrecon.tasks.task import Result

__all__ = ["detect", "detect_steps", "expected_seconds"]

# Options that count, and go into the record.
_WITHOUT_CLICKS = ("fdr", "min_size", "max_size", "objects", "volume", "spacing", "axes")
_WITH_CLICKS = ("method", "axes")


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
    spacing: float | None = None,
    noise: Noise | float | None = None,
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
    method : {"auto", "log", "features"}
        With clicks: ``"log"`` tells objects by their height under one filter, ``"features"`` by logistic regression on
        what is in them and around them. ``"auto"`` takes ``"features"`` only if it is clearly better where everything
        is clicked on, by cross-validation.
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
    spacing : float, optional
        Distance of two planes in pixels, in [0.1, 100], for `volume`; that of a layer if not given, else 1.
    noise : NoiseModel, tuple of NoiseModel, float or None
        A noise model (or one per channel), or the s.d. of white noise in grey values. None measures it from the image.
    axes : str, optional
        One letter per dimension, such as ``"TCYX"``; inferred from the shape if not given (see `napari_genrecon.axes`).

    Returns
    -------
    Points
        Places in `pixels` and in units (`positions`), and the features ``score`` (probability, in [0, 1], that it is
        no false one), ``z`` (height in s.d. of the noise), ``size`` (full width at half maximum in pixels) and
        ``false_share`` (expected share of false ones among all that are at least as sure).

    Raises
    ------
    ImageError
        If the image is empty, not real, has no finite pixel, or does not fit the axes, or has no Z for `volume`.
    OptionError
        If an option cannot work.

    Notes
    -----
    The noise is brought to s.d. 1 everywhere. Laplacians of Gaussians of several widths are applied, and their maxima
    compared with those that the noise, as strong and as correlated as it was measured, has under the same filter; the
    threshold keeps the share of false ones (Benjamini & Hochberg 1995). Maxima with the shape of an edge are dropped.

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
        clicks=given_mask(clicks, ("points",)),
        complete=given_mask(complete),
        method=method,
        fdr=fdr,
        min_size=min_size,
        max_size=max_size,
        objects=objects,
        volume=volume,
        spacing=spacing,
        noise=noise,
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
    source = as_source(image)
    axes = resolve_axes(options.axes, source.shape)
    if options.volume and "Z" not in axes.letters:
        raise ImageError(
            f"the image has the axes {axes} and no Z, which 'volume' needs: say in axes which dimension is Z, or "
            "search every plane by itself"
        )
    sampled = _sampled(source, axes)
    noise = noise_per_channel(sampled, options.noise)
    channels = [channel_of(crops, model) for crops, model in zip(sampled, noise, strict=True)]
    if options.clicks is not None:
        return (yield from _like_clicks(options, source, axes, sampled, channels, started))
    filters = [_filters(options, channel) for channel in channels]
    found = yield from find_steps(source, axes, channels, filters, dark=options.objects == "dark")
    chosen = [select(f.blobs, _planes(f), w, f.pixels, options.fdr) for f, w in zip(found, filters, strict=True)]
    points = _points(found, chosen, filters, axes, volume=options.volume)
    sizes = [None if s.level is None else round(f.sizes[s.level], 3) for s, f in zip(chosen, filters, strict=True)]
    facts = {"points": [len(selection.blobs) for selection in chosen], "size": sizes}
    grid = search_grid(tuple(map(int, source.shape)), axes, filters[0])
    tile = {"size": list(grid.tile), "halo": list(grid.halo)}
    record = _record(options, source, axes, sampled, channels, facts, tile, time.perf_counter() - started)
    return Result(points, axes, record)


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
    region = None if options.complete is None else checked_region(options.complete, shape, axes)
    found = yield from learned_steps(source, axes, channels, clicks, region, options.method)
    facts = found.facts | {"learned from": digest(clicks) if region is None else digest(clicks) + digest(region)}
    tile = {"size": list(shape), "halo": [0] * len(shape)}
    record = _record(options, source, axes, sampled, channels, facts, tile, time.perf_counter() - started)
    return Result(Points(found.pixels, found.features, meta=ImageMeta(axes=axes)), axes, record)


def expected_seconds(image: Any, options: DetectOptions) -> float:
    """Return how long `detect` will take for this image on this machine, from the time of a small plane."""
    source = as_source(image)
    axes = resolve_axes(options.axes, source.shape)
    ndim = 3 if options.volume and "Z" in axes.letters else 2
    side = 128 if ndim == 2 else 32
    filters = Filters(filter_widths(options.min_size, options.max_size, ndim), (0.0,) * ndim, (1.0,) * ndim)
    from napari_genrecon.numerics.blobs.filters import find_blobs

    started = time.perf_counter()
    find_blobs(np.zeros((side,) * ndim, np.float32), filters)
    return float(source.size / side**ndim * (time.perf_counter() - started))


def _sampled(source: ImageArray, axes: Axes) -> list[list[NDArray[Any]]]:
    """Return crops of every channel; of colours, those of their mean."""
    channels = sample_channels(source, axes)
    if not axes.rgb:
        return list(channels)
    return [[np.asarray(np.mean(crops, axis=0, dtype=np.float64)) for crops in zip(*channels, strict=True)]]


def _filters(options: DetectOptions, channel: Channel) -> Filters:
    rho = (channel.noise.rho_y, channel.noise.rho_x)
    if not options.volume:
        return Filters(filter_widths(options.min_size, options.max_size, 2), rho, (1.0, 1.0))
    widths = filter_widths(options.min_size, options.max_size, 3)
    return Filters(widths, (0.0, *rho), (options.spacing or 1.0, 1.0, 1.0))


def _planes(found: Found) -> NDArray[np.intp]:
    """Return a number for the plane of every maximum."""
    total = np.zeros(len(found.blobs), np.intp)
    for column in found.outer.T:
        total = total * (1 + int(column.max(initial=0))) + column
    return total


def _points(found: list[Found], chosen: list[Selection], filters: list[Filters], axes: Axes, *, volume: bool) -> Points:
    spatial = spatial_axes(axes, volume=volume)
    letters = axes.letters.removesuffix("S")
    outer = [i for i in range(len(letters)) if i not in spatial]
    places, parts = [], []
    for each, selection, used in zip(found, chosen, filters, strict=True):
        here = np.zeros((len(selection.blobs), len(letters)))
        here[:, list(spatial)] = selection.blobs.places
        here[:, outer] = each.outer[selection.chosen]
        places.append(here)
        sizes = np.array(used.sizes)[selection.blobs.level]
        parts.append(np.c_[1 - selection.shares, selection.blobs.z, sizes, selection.shares])
    pixels, features = np.concatenate(places), np.concatenate(parts)
    order = np.lexsort((-features[:, 1], *pixels[:, outer].T[::-1]))
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
) -> dict[str, Any]:
    plain = asdict(replace(options, noise=None, clicks=None, complete=None))
    counting = _WITHOUT_CLICKS if options.clicks is None else _WITH_CLICKS
    notes = missing_note([channel.missing for channel in channels])
    if not any(found["points"]) and options.clicks is not None:
        notes.append("nothing like the objects under the clicks was found")
    elif not any(found["points"]):
        sizes_asked = f"{options.min_size:g} to {options.max_size:g} pixels"
        notes.append(f"nothing stands out from the noise: no {options.objects} object of {sizes_asked} was found")
    if not all(channel.noise.sigma > 0 for channel in channels):
        notes.append("no noise was found, so the share of false points says nothing: thousandths of the range count")
    return make_record(
        "detect",
        "detected",
        seed=None,
        options={name: plain[name] for name in counting},
        model=None,
        noise=[channel.noise.to_dict() for channel in channels],
        axes={"letters": axes.letters, "assumed": axes.assumed},
        input=input_facts(source, sampled),
        output={"dtype": "float64", "clipped": 0, "nan": 0, "points": sum(found["points"])},
        found=found,
        tile=tile,
        device="cpu",
        seconds=round(seconds, 3),
        warnings=notes,
    )
