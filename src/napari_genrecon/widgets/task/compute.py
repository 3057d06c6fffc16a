"""Compute previews and results from a layer, in the thread of a job, and describe the result."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_genrecon.arrays import as_numpy
from napari_genrecon.engine.run import Progress, region_steps
from napari_genrecon.io.layers import about_layer, stacked
from napari_genrecon.io.record.check import choice_text
from napari_genrecon.io.record.frames import frames_text
from napari_genrecon.io.record.history import made_from_layer
from napari_genrecon.tasks import Result, Task
from napari_genrecon.tasks.denoise import TITLE
from napari_genrecon.tasks.files import write_result_steps
from napari_genrecon.tasks.plan import borrowed
from napari_genrecon.widgets.layers.files import chosen_saving
from napari_genrecon.widgets.layers.snapshot import display, layer_data, with_new_dimension
from napari_genrecon.widgets.words import CHOICE_WORDS

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["LayerSnapshot", "about_result", "nothing_found", "preview_steps", "result_steps"]


@dataclass(frozen=True, slots=True)
class LayerSnapshot:
    """What a job needs of a layer, read when it begins: the layer may be renamed, changed or removed meanwhile."""

    layer: Any
    data: Any
    shown: dict[str, Any]
    name: str
    visible: bool
    at: float = field(default_factory=time.perf_counter)

    @classmethod
    def of(cls, layer: Layer) -> LayerSnapshot:
        """Return the snapshot of a layer as it is now."""
        return cls(layer, layer_data(layer), display(layer), layer.name, layer.visible)

    @classmethod
    def of_channels(cls, layers: Sequence[Layer]) -> LayerSnapshot:
        """Return the snapshot of layers of one shape as the channels of one image, in the place of the first."""
        first = cls.of(layers[0])
        data = stacked([layer_data(layer) for layer in layers])
        n = len(first.shown["scale"]) + 1
        # The turn is in the affine now, and whoever reads these keywords expects both of its old ones.
        shown = with_new_dimension(first.shown, "c") | {"rotate": np.eye(n), "shear": np.zeros(n * (n - 1) // 2)}
        return replace(first, data=data, shown=shown)


def preview_steps(
    task: Task, taken: LayerSnapshot, options: Any, region: tuple[slice, ...]
) -> Generator[Progress, None, tuple[Any, Any, tuple[int, ...], Result]]:
    """Compute a region: its pixels after and before the task, the factor per axis, and the whole result, lazy."""
    # What is on screen is computed, whatever part a run would work on.
    options = replace(options, region=None, **({"whole": False} if hasattr(options, "whole") else {}))
    # Lazy, so that nothing is computed yet: the tiles of the result then make the region, with the pixels of a run.
    result = yield from task.steps(taken.data, options, lazy=True)
    assert result.tiles is not None  # lazy results have them
    fn, source, grid = result.tiles
    with borrowed(result.record["device"]):
        after = yield from region_steps(fn, source, grid, region, result.data.dtype)
    return after, as_numpy(taken.data[region]), grid.scale, result


def result_steps(
    task: Task, taken: LayerSnapshot, options: Any, target: Path | None, *, live: bool
) -> Generator[Progress, None, Result]:
    """Compute the result in memory, live, or into a file."""
    if target is None:
        result = yield from task.steps(taken.data, options, lazy=True if live else None)
        return replace(result, record=made_from_layer(result.record, taken.shown["metadata"]))
    about = about_layer({**taken.shown, "name": taken.name}, taken.data.shape)
    return (yield from write_result_steps(task, taken.data, options, about, target, saving=chosen_saving()))


def nothing_found(record: dict[str, Any]) -> bool:
    """Return whether nothing was found to fill, or to mark, so that there is no layer to add."""
    return (record.get("mask") or {}).get("filled") == 0 or record["output"].get("points") == 0


def about_result(record: dict[str, Any], added: Any, taken: LayerSnapshot, target: Path | None, *, lazy: bool) -> str:
    """Describe the result; `added` is the new layer, or None."""
    if added is None:
        written = f" The image was written to {target} as it is." if target else ""
        if "points" in record["output"]:
            written = f" {target} holds no point." if target else ""
        return f"No new layer: {'; '.join(record['warnings'])}.{written}"
    took = f"done in {time.perf_counter() - taken.at:.1f} s"
    said = [f"New layer '{added.name}': {'computes each plane when you scroll to it' if lazy else took}."]
    said += [_about_points(record)] if "points" in record["output"] else []
    said += [f"Model: {choice_text(record)}."] if choice_text(record) else []
    said += [f"It {frames_text(record)}."] if frames_text(record) else []
    said += [f"Written to {target}."] if target else []
    said += (
        [f"Its expected error is in the hidden layer '{added.name}: {TITLE}'."]
        if record["options"].get("uncertainty")
        else []
    )
    # By `add_layers`, where blending would mix the two.
    hidden = taken.visible and not taken.layer.visible
    said += [f"'{taken.name}' is hidden, as the two would add up on screen."] if hidden else []
    return " ".join(said)


def _about_points(record: dict[str, Any]) -> str:
    """Say how many points were found, and by which method: that was perhaps chosen by itself."""
    method = CHOICE_WORDS[record["found"]["method"]]
    score = record["found"].get("f1")
    judged = "" if score is None else f" Where all is marked, their F1 is {score:.2f}."
    return f"{record['output']['points']} found, method: {method}.{judged}"
