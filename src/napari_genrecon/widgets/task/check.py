"""Check a denoised layer against the layer that it was made from."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from napari.layers import Image

from napari_genrecon.axes import resolve_axes
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import ImageError
from napari_genrecon.tasks.check import Check, check_steps, noise_of_record
from napari_genrecon.tasks.measure import input_facts, sample_channels
from napari_genrecon.widgets.compare.differences import ADDED_ERASED
from napari_genrecon.widgets.layers.snapshot import NO_IMAGE, PLACED, display, layer_data

__all__ = ["check_layer_steps", "deviations_layer"]


def check_layer_steps(result: Any, others: Sequence[Any]) -> Generator[Progress, None, Check]:
    """Find the source of a result among other layers by its fingerprint, and compare them.

    Raises
    ------
    ImageError
        If the layer is not a result of denoising, or none of the others is the image that it was made from.
    """
    name, restored, record = result.name, layer_data(result), result.metadata.get("genrecon")
    if record is None:
        raise ImageError(f"'{name}' has no record of how it was made: choose a layer that 'Denoise' made")
    noise, blend = noise_of_record(record)
    axes = resolve_axes(record["axes"]["letters"], restored.shape)
    candidates = [layer_data(layer) for layer in others if isinstance(layer, Image) and layer is not result]

    def steps() -> Generator[Progress, None, Check]:
        yield Progress(0, 0, "looking for the image that it was made from")
        for data in candidates:
            if data.shape != restored.shape:
                continue
            if input_facts(data, sample_channels(data, axes))["fingerprint"] == record["input"]["fingerprint"]:
                return (yield from check_steps(data, restored, noise=noise, blend=blend, axes=axes))
        raise ImageError(f"the image that '{name}' was made from is not among the layers: open it, then check again")

    return steps()


def deviations_layer(found: Check, result: Any) -> tuple[Any, dict[str, Any]]:
    """Return data and keywords of the layer of deviations, in which green was erased and magenta was added."""
    shown = display(result)
    deviations = np.asarray(found.deviations)
    if shown["rgb"]:  # one value per pixel: the colour that stands out most
        strongest = np.abs(deviations).argmax(axis=-1)[..., None]
        deviations = np.take_along_axis(deviations, strongest, axis=-1)[..., 0]
    return deviations, {
        **{key: shown[key] for key in PLACED if key in shown},
        "name": f"{result.name}: deviations",
        "colormap": ADDED_ERASED,
        "blending": "additive",
        "contrast_limits": (-2 * found.verdict.limit, 2 * found.verdict.limit),
        "metadata": {NO_IMAGE: True},
        "visible": bool(found.verdict.places),
    }
