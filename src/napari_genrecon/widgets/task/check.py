"""Check a denoised layer against the layer that it was made from."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from napari.layers import Image

from napari_genrecon.axes import Axes, resolve_axes
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import ImageError
from napari_genrecon.io.record.companions import is_of_result
from napari_genrecon.tasks.check import Check, check_steps, denoised_part, noise_of_record, part_of_result
from napari_genrecon.tasks.denoise import TITLE
from napari_genrecon.tasks.measure import input_facts, sample_channels
from napari_genrecon.tasks.region import region_of
from napari_genrecon.widgets.compare.differences import ADDED_ERASED, strongest_colour
from napari_genrecon.widgets.layers.snapshot import NO_IMAGE, corner, display, layer_data, place_keywords, record_of

__all__ = ["check_layer_steps", "deviations_layer"]


def check_layer_steps(result: Any, others: Sequence[Any]) -> Generator[Progress, None, Check]:
    """Find the source of a result among other layers by its fingerprint, and compare them.

    Raises
    ------
    ImageError
        If the layer is not a result of denoising, or none of the others is the image that it was made from.
    """
    name, restored, record = result.name, layer_data(result), record_of(result)
    if not record:
        raise ImageError(f"'{name}' has no record of how it was made: choose a layer that 'Denoise' made")
    noise, blend = noise_of_record(record)
    made_from, shape = record["input"]["fingerprint"], tuple(record["input"]["shape"])
    axes = resolve_axes(record["axes"]["letters"], shape)
    candidates = [layer_data(layer) for layer in others if isinstance(layer, Image) and layer is not result]

    # What is above is refused at once, in the thread of the window; these steps run in that of a job.
    def steps() -> Generator[Progress, None, Check]:
        yield Progress(0, 0, "looking for the image that it was made from")
        for data in candidates:
            # The shape first, as a fingerprint reads all pixels that it is made from.
            if tuple(data.shape) == shape and _fingerprint(data, axes) == made_from:
                image, part, models, region = denoised_part(record, noise, data, restored, axes)
                error = _error_of(result, others)
                error = None if error is None else part_of_result(record, error, region)
                return (yield from check_steps(image, part, noise=models, blend=blend, expected_error=error, axes=axes))
        raise ImageError(f"the image that '{name}' was made from is not among the layers: open it, then check again")

    return steps()


def _error_of(result: Any, others: Sequence[Any]) -> Any:
    """Return the expected error that came with a result, from the layer of it; None if it is not there."""
    record = result.metadata["genrecon"]
    for layer in others:
        if isinstance(layer, Image) and is_of_result(record_of(layer), {**record, "of": TITLE}):
            data = layer_data(layer)
            return data if tuple(data.shape) == tuple(layer_data(result).shape) else None  # not that of RGB
    return None


def _fingerprint(data: Any, axes: Axes) -> str:
    return str(input_facts(data, sample_channels(data, axes))["fingerprint"])


def deviations_layer(found: Check, result: Any) -> tuple[Any, dict[str, Any]]:
    """Return data and keywords of the layer of deviations, in which green was erased and magenta was added."""
    shown, whole = display(result), layer_data(result)
    deviations = np.asarray(found.deviations)
    if deviations.shape != whole.shape:  # only a region was denoised, in a copy of the whole
        record = shown["metadata"]["genrecon"]
        axes = resolve_axes(record["axes"]["letters"], whole.shape)
        region = region_of(record["options"]["region"], axes, whole.shape)
        assert region is not None
        shown["translate"] = corner(shown, [part.start for part in region][: len(shown["scale"])])
    if shown["rgb"]:
        deviations = strongest_colour(deviations)
    return deviations, {
        **place_keywords(shown),
        "name": f"{result.name}: deviations",
        "colormap": ADDED_ERASED,
        "blending": "additive",
        # The limit of the verdict has half the colour: what is beyond it stands out.
        "contrast_limits": (-2 * found.verdict.limit, 2 * found.verdict.limit),
        "metadata": {NO_IMAGE: True},
        "visible": bool(found.verdict.places),  # hidden where nothing stands out
    }
