"""Keep the record of the image that a result was made from inside the record of the result, however many steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["ACQUISITION", "LAYER_RECORD", "history", "made_from", "made_from_layer", "steps_of_run"]

ACQUISITION = "genrecon_acquisition"
"""Key in the metadata of a layer: how its file says that the image was acquired."""
LAYER_RECORD = "record"
"""Key in the display settings of layers that were saved together as one file: the record of each."""

_AFTER_DENOISING = {
    "denoise": (
        "the image was denoised before, and what is left in it is no camera noise: denoise the raw image instead, "
        "with another strength"
    ),
    "detect": (
        "the image was denoised before, and its noise no longer tells which points are false: detect in the raw image"
    ),
}
"""What is pointed out where a task looks for noise in an image without, by task."""

_OF_THE_FILE = ("seal", "image")  # entries about a file that was written, not about how its pixels were made


def made_from(record: Mapping[str, Any], source: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the record of a result with the record of its source inside, if the source is a result itself.

    Denoising again and detecting after denoising are pointed out: what is left is no longer the noise of the camera.
    """
    if not isinstance(source, Mapping) or "task" not in source:
        return dict(record)
    # The seal belongs to the file of the source, and would be taken for one of the result.
    before = {key: value for key, value in source.items() if key not in _OF_THE_FILE}
    found = {**record, "input": {**record["input"], "record": before}}
    # All earlier steps, as something else may have been done between the two.
    earlier = [step["task"] for step in history(found)[:-1]]
    note = _AFTER_DENOISING.get(str(record["task"]))
    if note and "denoise" in earlier:
        found["warnings"] = [*record["warnings"], note]
    return found


def made_from_layer(record: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a result that was made from a layer with these metadata, and how that was acquired."""
    acquisition = metadata.get(ACQUISITION)
    if isinstance(acquisition, Mapping):
        record = {**record, "input": {**record["input"], "acquisition": dict(acquisition)}}
    return made_from(record, metadata.get("genrecon"))


def history(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the records of all steps from the first image to this result, as far as they are known."""
    steps = [dict(record)]
    # A record holds that of its source inside, and so on: from the result back to the first image.
    while isinstance(before := (steps[0].get("input") or {}).get("record"), Mapping):
        steps.insert(0, dict(before))
    return steps


def steps_of_run(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the records of the steps that were run in a row from an image in a file to this result."""
    steps = history(record)
    # Steps of one run pass arrays on: only the first of them has read a file.
    first = next((i for i in reversed(range(len(steps))) if "path" in (steps[i].get("input") or {})), 0)
    return steps[first:]
