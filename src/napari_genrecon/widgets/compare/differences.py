"""Difference and residual of two images, as layers."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from napari.utils import Colormap
from numpy.typing import NDArray

from napari_genrecon.engine.memory import allocate
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import ImageError
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.measure import measure_noise
from napari_genrecon.widgets.compare.pairs import Pair, is_input
from napari_genrecon.widgets.layers.snapshot import NO_IMAGE, layer_axes, layer_data, record_of

__all__ = ["ADDED_ERASED", "Noises", "difference_steps", "noises_of", "strongest_colour"]

ADDED_ERASED = Colormap([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]], name="added - erased")
"""From magenta (less than nothing) over black (equal) to green."""
_SHOWN = 99.5  # percentile of the absolute difference that is the end of its colours: single pixels do not count
_RESIDUAL = 4.0  # noise s.d. at the ends of the colours of a residual: noise itself seldom goes beyond
_SAME_PIXELS = ("denoise", "inpaint")  # tasks whose results, plus noise, are the image itself

Noises = tuple[NoiseModel, ...]


def noises_of(pair: Pair) -> Noises:
    """Return the noise of the image before, one model for each channel: that of the record, else measured."""
    record = record_of(pair.after)
    # The recorded noise is that of the image the result was made from, and another one may be chosen as `before`.
    if record.get("noise") and is_input(pair.before, record.get("input") or {}):
        return tuple(map(NoiseModel.from_dict, record["noise"]))
    found = measure_noise(layer_data(pair.before), axes=layer_axes(pair.before))
    return (found,) if isinstance(found, NoiseModel) else found


def noise_at(pair: Pair, noises: Noises, index: tuple[int, ...]) -> NoiseModel:
    """Return the noise of the channel of a plane; `index` is that of the plane in the image before."""
    axes = layer_axes(pair.before)
    # A single model holds for all channels.
    return noises[index[axes.letters.index("C")]] if "C" in axes.letters and len(noises) > 1 else noises[0]


def difference_steps(pair: Pair, kind: str) -> Generator[Progress, None, tuple[NDArray[Any], dict[str, Any]]]:
    """Subtract two images plane by plane.

    Parameters
    ----------
    pair : Pair
        The images.
    kind : {"difference", "residual"}
        After minus before, in grey values; or before minus after, in noise s.d. at the grey value after.

    Returns
    -------
    ndarray, dict
        Pixels (float32) and keywords of a layer.

    Raises
    ------
    ImageError
        If a residual means nothing for these images.
    """
    noises = _check_residual(pair) if kind == "residual" else ()
    # `n` counts no colours: napari keeps them as an axis of the data that is no dimension of the layer.
    shape, n = pair.shape(), pair.fine.ndim
    out = allocate((*shape, *layer_data(pair.fine).shape[n:]), np.dtype(np.float32))
    planes = list(np.ndindex(shape[: n - 2]))
    yield Progress(0, len(planes))
    for done, index in enumerate(planes, start=1):
        rows = slice(0, shape[-2], 1), slice(0, shape[-1], 1)
        # float32 first: a difference of unsigned grey values would wrap around below 0.
        # The slices of length 1 keep all dimensions, (1, ..., 1, Y, X); the zeros below take the first ones away.
        before, after = (x.astype(np.float32) for x in pair.read((*(slice(i, i + 1, 1) for i in index), *rows)))
        if kind == "residual":
            sigma = noise_at(pair, noises, index).sigma_at(after)
            # Where the model has no noise, nothing can be said in noise s.d., and the residual stays 0.
            out[_whole(index)] = np.divide(before - after, sigma, out=np.zeros_like(after), where=sigma > 0)[
                (0,) * len(index)
            ]
        else:
            out[_whole(index)] = (after - before)[(0,) * len(index)]
        yield Progress(done, len(planes), f"{done} of {len(planes)} planes")
    limit = _RESIDUAL if kind == "residual" else _limit(out)
    if pair.fine.rgb:
        out = strongest_colour(out)
    return out, {
        **pair.whole_place(),
        "name": f"{pair.after.name}: {kind}" + (" in noise s.d." if kind == "residual" else ""),
        "colormap": ADDED_ERASED,
        "contrast_limits": (-limit, limit),
        "metadata": {NO_IMAGE: True},
    }


def strongest_colour(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return one value per pixel: that of the colour that is farthest from 0."""
    strongest = np.abs(pixels).argmax(axis=-1)[..., None]
    return np.take_along_axis(pixels, strongest, axis=-1)[..., 0]


def _whole(index: tuple[int, ...]) -> tuple[Any, ...]:
    return (*index, ...)


def _limit(out: NDArray[Any]) -> float:
    flat = out.reshape(-1)
    some = np.abs(flat[:: max(1, flat.size // 1_000_000)])  # a million pixels tell the percentile
    some = some[np.isfinite(some)]
    return float(np.percentile(some, _SHOWN)) if some.size and some.any() else 1.0


def _check_residual(pair: Pair) -> Noises:
    task = record_of(pair.after).get("task")
    names = f"'{pair.before.name}' and '{pair.after.name}'"
    # A layer without a record may come from another program, and is let through.
    if task is not None and task not in _SAME_PIXELS:
        raise ImageError(
            f"a residual of {names} says nothing, as '{task}' makes other pixels on purpose: take the difference"
        )
    if pair.fine.rgb or layer_data(pair.before).shape != layer_data(pair.after).shape or any(pair.start):
        raise ImageError(
            f"a residual needs two grey images with the same pixels, and {names} differ: take the difference"
        )
    noises = noises_of(pair)
    # Noise may grow with the signal and be 0 in the dark, so a model is tried at a grey value above 0, too.
    if not any(model.sigma > 0 or model.variance_at(np.ones(1)).any() for model in noises):
        raise ImageError(
            f"no noise was found in '{pair.before.name}', by which a residual is divided: take the difference"
        )
    return noises
