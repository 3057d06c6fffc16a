"""Computations of the Explore page on models, crops and arrays, run in a thread."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_genrecon.axes import resolve_axes
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.models.card import ModelCard
from napari_genrecon.plural import number_of
from napari_genrecon.training.data.cut import cut_crops
from napari_genrecon.training.data.dataset import CropOptions, Dataset
from napari_genrecon.widgets.generate.cell_features import measured
from napari_genrecon.widgets.train.crop_source import Source

__all__ = [
    "Map", "Request", "Walk", "anomaly_steps", "beware", "blend_steps", "map_steps", "outlier_steps", "posterior_steps",
    "walk_steps",
]  # fmt: skip

_AT_ONCE = 64  # crops per step: few, as a job can only be cancelled between two steps
_AXES = 24  # latent axes that are offered: the strongest; the others hardly change the picture
_REACH = 2.0  # s.d. by which a latent is moved to rank its axis: 95 % of its values lie within

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Job of the Explore page, as it was asked for.

    Attributes
    ----------
    models : Models
        Loads the model.
    card : ModelCard
        Card of the model.
    source, mode : Source or None, str
        Layers of real cells, and how crops are cut from them; None for new pictures.
    first, second : int
        Seeds of new pictures, or numbers of cells.
    n : int
        Number of pictures.
    """

    models: Any
    card: ModelCard
    source: Source | None
    mode: str
    first: int
    second: int
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """Start of a walk.

    Attributes
    ----------
    model : GenerativeModel
    start : (L,) ndarray
        Latent of the first picture.
    axes : tuple of (int, float)
        Latent axes and how much they change the picture, relative to the strongest, which is first.
    """

    model: Any
    start: Array
    axes: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """Crops as points in a plane.

    Attributes
    ----------
    crops : Dataset
    places : (N, 2) ndarray
        Principal components of their latents.
    share : float
        Share of the variance that these two show.
    made : (N, Y, X) or (N, C, Y, X) ndarray
        Reconstructions of the crops.
    features : dict of str to (N,) ndarray
        Features by which the points can be coloured.
    """

    crops: Dataset
    places: Array
    share: float
    made: Array
    features: dict[str, Array]


# --- one or two pictures ---


def walk_steps(request: Request) -> Generator[Progress, None, Walk]:
    """Find the start of a walk, and the latent axes that change the picture most there."""
    yield Progress(0, 0, "Loading the model")
    model = request.models.load(request.card)
    (start,) = _latents(model, request, [request.first])
    yield Progress(0, 0, "Finding the features that change most")
    moved = np.repeat(start[None], 2 * len(start), axis=0)  # (2 L, L)
    # Rows 2 i and 2 i + 1 leave the start along axis i only, down and up. One batch decodes them all.
    index = np.arange(len(start))
    moved[2 * index, index] -= _REACH
    moved[2 * index + 1, index] += _REACH
    pictures = model.decode(moved).reshape(len(start), 2, -1)  # (L, 2, pixels)
    change = np.abs(pictures[:, 1] - pictures[:, 0]).mean(axis=1)
    order = np.argsort(-change)[:_AXES]
    # A model that ignores its latents would divide by 0.
    largest = max(float(change[order[0]]), 1e-12)
    return Walk(model=model, start=start, axes=tuple((int(axis), float(change[axis] / largest)) for axis in order))


def blend_steps(request: Request) -> Generator[Progress, None, Array]:
    """Compute (N, Y, X) or (N, C, Y, X) pictures from one to another."""
    yield Progress(0, 0, "Loading the model")
    model = request.models.load(request.card)
    first, second = _latents(model, request, [request.first, request.second])
    yield Progress(0, 0, "Blending")
    return model.interpolate(first, second, request.n)


def posterior_steps(request: Request) -> Generator[Progress, None, Array]:
    """Stack a real cell, its reconstruction, and N pictures that it could stand for."""
    yield Progress(0, 0, "Loading the model")
    model = request.models.load(request.card)
    crops = _cells(request)
    image = _pictures(crops.x[[_index(crops, request.first)]], request.card)
    yield Progress(0, 0, "Drawing what it could stand for")
    drawn = model.posterior_samples(image[0], request.n, 0)
    return np.concatenate([image.astype(np.float32), model.reconstruct(image), drawn])  # (2 + N, ...)


def _latents(model: Any, request: Request, numbers: list[int]) -> list[Array]:
    """Return latents of new pictures by their seeds, or of real cells by their numbers."""
    if request.source is None:
        return [model.latents(1, number)[0] for number in numbers]
    crops = _cells(request)
    chosen = crops.x[[_index(crops, number) for number in numbers]]
    return list(model.encode(_pictures(chosen, request.card)))


# --- many cells ---


def anomaly_steps(request: Request) -> Generator[Progress, None, tuple[Array, tuple[int, ...], str]]:
    """Map how far each pixel of an image is from the reconstruction of its crop.

    Returns
    -------
    (..., Y, X) float32 ndarray
        Distances: 0 outside the crops; the largest where they overlap.
    tuple of int
        Dimensions of the image's layer that the map has.
    str
        Warning, see `beware`.
    """
    model, crops = yield from _model_and_cells(request)
    assert request.source is not None
    (image,) = request.source.images
    axes = resolve_axes(request.source.where["axes"][0], image.shape)
    # Of several channels the map shows the one that is farthest from what the model would make.
    kept = [i for i in range(len(axes)) if i != axes.channel]
    letters = [axes.letters[i] for i in kept]
    outer = [i for i in kept if axes.letters[i] not in "YX"]
    out = np.zeros((*(image.shape[i] for i in outer), image.shape[axes.y], image.shape[axes.x]), np.float32)
    # A view of `out`. Crops count the planes over all outer dimensions in one row.
    flat = out.reshape(-1, *out.shape[-2:])
    for part in _parts(len(crops)):
        found = model.anomaly_map(_pictures(crops.x[part], request.card))
        strongest = found if request.card.channels == 1 else found.max(axis=1)
        for (plane, y, x), values in zip(crops.place[part].tolist(), strongest, strict=True):
            there = flat[plane, y : y + crops.size, x : x + crops.size]
            np.maximum(there, values, out=there)
        yield Progress(part.stop, len(crops), "Comparing with what the model would make")
    # The layer may have its dimensions in another order than (..., Y, X).
    now = [*(axes.letters[i] for i in outer), "Y", "X"]
    return out.transpose([now.index(letter) for letter in letters]), tuple(kept), beware(request.card, crops)


def outlier_steps(request: Request) -> Generator[Progress, None, tuple[Dataset, Array, str]]:
    """Compute the crops of all cells, a score of how odd each is, and a warning, see `beware`."""
    model, crops = yield from _model_and_cells(request)
    scores = []
    for part in _parts(len(crops)):
        scores.append(model.outlier_scores(_pictures(crops.x[part], request.card)))
        yield Progress(part.stop, len(crops), "Scoring cells")
    return crops, np.concatenate(scores), beware(request.card, crops)


def map_steps(request: Request) -> Generator[Progress, None, Map]:
    """Place all crops in the plane in which their latents differ most."""
    model, crops = yield from _model_and_cells(request)
    if len(crops) < 3:
        raise ImageError(f"a map needs at least 3 crops, got {len(crops)}")
    latents = []
    for part in _parts(len(crops)):
        latents.append(model.encode(_pictures(crops.x[part], request.card)))
        yield Progress(part.stop, len(crops), "Encoding crops")
    z = np.concatenate(latents).astype(np.float64)
    centred = z - z.mean(axis=0)
    # Principal components: the columns of u times s are the places, and s squared the variances along them.
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    yield Progress(0, 0, "Measuring the crops")
    assert request.source is not None
    labels = request.source.where.get("labels")
    return Map(
        crops=crops,
        places=u[:, :2] * s[:2],
        share=float((s[:2] ** 2).sum() / max((s**2).sum(), 1e-12)),
        made=model.decode(z),
        features=measured(crops, labels[0] if labels else None),
    )


def beware(card: ModelCard, crops: Dataset) -> str:
    """Return a warning if scores of these crops mean little, else an empty string."""
    low, high = np.asarray(card.low)[:, None, None], np.asarray(card.high)[:, None, None]  # (C, 1, 1)
    x = crops.x
    beyond = float(((x < low) | (x > high)).mean())
    # Share of the range of training that the crops use, for each channel: an image on another scale may lie within it.
    span = np.ptp(x, axis=(0, 2, 3)) / (high - low).ravel()
    if beyond > 0.1 or span.min() < 0.1:
        return (
            f"Beware: the grey values here ({x.min():.4g} to {x.max():.4g}) are not those that '{card.name}' was "
            f"trained on ({min(card.low):.4g} to {max(card.high):.4g}), so its answers mean little."
        )
    here, there = crops.pixel_size[0], card.pixel_size[0]
    # Sizes in different units, such as pixels and micrometres, say nothing about each other.
    if crops.units == tuple(card.units) and not 0.8 < here / there < 1.25:
        return f"Beware: pixels here measure {here:g} {crops.units[0]}, those of the training {there:g}."
    return ""


def _model_and_cells(request: Request) -> Generator[Progress, None, tuple[Any, Dataset]]:
    yield Progress(0, 0, "Loading the model")
    model = request.models.load(request.card)
    yield Progress(0, 0, "Cutting crops")
    return model, _cells(request)


def _cells(request: Request) -> Dataset:
    """Cut crops of the model's size, with none held out."""
    card, source = request.card, request.source
    if source is None:
        raise OptionError("choose the image layer that shows the cells")
    if len(source.images) > 1:
        raise OptionError("several images are chosen: choose one, or say that they are channels of one image")
    # A training refuses few crops; to look at a single one is fine.
    crops = cut_crops(
        source.images, CropOptions(size=card.size, mode=request.mode, held_out=0.0), **source.where, needed=1
    )
    if crops.channels != card.channels:
        channels = number_of(card.channels, "channel", "channels")
        raise ImageError(
            f"'{card.name}' was trained on {channels}, '{source.name}' has {crops.channels}: choose as many layers as "
            "channels"
        )
    return crops


def _index(crops: Dataset, number: int) -> int:
    """Return the index of the crop of an object, or of the crop with this number where there are no objects."""
    # Labels of objects begin at 1; crops on a grid or at random places have 0.
    if not crops.label.any():
        if not 0 <= number < len(crops):
            raise OptionError(f"there is no crop {number}: they are numbered from 0 to {len(crops) - 1}")
        return number
    (found,) = np.nonzero(crops.label == number)
    if not len(found):
        raise OptionError(
            f"there is no crop of object {number}: it does not exist, or is too near to the border for a crop of "
            f"{crops.size} pixels"
        )
    return int(found[0])


def _pictures(x: Array, card: ModelCard) -> Array:
    # Models of one channel take (N, Y, X).
    return x[:, 0] if card.channels == 1 else x


def _parts(n: int) -> list[slice]:
    return [slice(start, min(start + _AT_ONCE, n)) for start in range(0, n, _AT_ONCE)]
