"""Read what a package of bioimage.io says of the images that go in and come out. Nothing of it is run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from napari_genrecon.errors import WeightsError
from napari_genrecon.models.card_values import WIDEST_TILE

__all__ = ["Images", "grey_moments", "read_images"]

_LETTERS = {"batch": "b", "channel": "c", "time": "t", "index": "i"}
_OTHERS = ("segment", "detect", "classif", "track", "instance", "semantic")  # parts of tags of networks for other ends


class Images(NamedTuple):
    """How a graph takes images: a multiple of their sides, and (mean, s.d.), see `parcel.Parcel`."""

    multiple: int
    moments: tuple[float, float] | None


def read_images(described: dict[str, Any], path: Path) -> Images:
    """Return how a graph takes and makes images.

    Raises
    ------
    WeightsError
        If these are no planes of grey values, or a preparation or an end of the graph is not known here.
    """
    _refuse_other_ends(described, path)
    for name in ("inputs", "outputs"):
        images = described.get(name)
        if not isinstance(images, list) or len(images) != 1 or not isinstance(images[0], dict):
            raise WeightsError(f"{path}: it has not one image in its {name}: one in and one out is used")
        axes = _axes(images[0].get("axes"))
        if axes != "bcyx":
            raise WeightsError(f"{path}: the axes of its {name} are {axes[:20]!r}: planes ('bcyx') are used")
    # A threshold or a sigmoid at the end makes no grey values.
    after = _steps(described["outputs"][0].get("postprocessing"))
    if after:
        raise WeightsError(f"{path}: its result goes through {', '.join(after)[:80]}, which is no restoration")
    # A mean of 0 and an s.d. of 1 leave grey values as they are; None would ask for those of every image.
    unchanged = not _steps(described["inputs"][0].get("preprocessing"))
    return Images(_multiple(described["inputs"][0], path), (0.0, 1.0) if unchanged else grey_moments(described, path))


def _refuse_other_ends(described: dict[str, Any], path: Path) -> None:
    tags = described.get("tags")
    for tag in tags if isinstance(tags, list) else []:
        if any(part in str(tag).casefold() for part in _OTHERS):
            raise WeightsError(
                f"{path}: it is a network for {str(tag)[:40]!r}: only networks that restore or enlarge images are used"
            )


def _axes(axes: object) -> str:
    """Return one letter per dimension, of the text of version 0.4 or the list of version 0.5."""
    if not isinstance(axes, list):
        return str(axes)
    # Version 0.5 says "batch" and "channel", and gives the axes of space only an id.
    found = [axis if isinstance(axis, dict) else {} for axis in axes]
    return "".join(_LETTERS.get(str(axis.get("type")), str(axis.get("id"))) for axis in found)


def _multiple(image: dict[str, Any], path: Path) -> int:
    """Return of what the sides of an image must be a multiple, as far as the description says."""
    axes, shape = image.get("axes"), image.get("shape")
    steps: list[object] = []
    if isinstance(axes, list):
        # Version 0.5: a fixed size is a number, and has no step.
        sizes = [axis.get("size") for axis in axes if isinstance(axis, dict) and axis.get("type") == "space"]
        steps = [size.get("step") if isinstance(size, dict) else None for size in sizes]
    elif isinstance(shape, dict) and isinstance(shape.get("step"), list):
        steps = shape["step"][-2:]  # version 0.4: one for every axis, Y and X last
    known = [step for step in steps if isinstance(step, int) and not isinstance(step, bool) and 0 < step <= WIDEST_TILE]
    if len(known) != 2:
        raise WeightsError(f"{path}: it takes images of one size only: export it for any size")
    # One multiple for both sides, as `pad_to_stride` takes one.
    return math.lcm(*known)


def _steps(steps: object) -> list[str]:
    """Return the names of the steps before or after a network, but for those that only state a dtype."""
    several = [each for each in steps if isinstance(each, dict)] if isinstance(steps, list) else []
    # Version 0.5 says "id", version 0.4 "name".
    names = [str(each.get("id") or each.get("name")) for each in several]
    return [name for name in names if name != "ensure_dtype"]


def grey_moments(described: dict[str, Any], path: Path) -> tuple[float, float] | None:
    """Return mean and s.d. that the description subtracts and divides by; None for those of every image."""
    inputs = described.get("inputs")
    first = inputs[0] if isinstance(inputs, list) and inputs and isinstance(inputs[0], dict) else {}
    steps = first.get("preprocessing")
    steps = steps if isinstance(steps, list) else []
    kinds = _steps(steps)
    steps = [each for each in steps if isinstance(each, dict) and str(each.get("id") or each.get("name")) in kinds]
    if kinds in ([], ["zero_mean_unit_variance"]):
        return None
    if kinds != ["fixed_zero_mean_unit_variance"]:
        raise WeightsError(f"{path}: it prepares images by {', '.join(kinds)[:80]}, which is not known here")
    options = steps[0].get("kwargs")
    options = options if isinstance(options, dict) else {}
    return _number(options.get("mean"), "mean", path), _number(options.get("std"), "std", path)


def _number(value: object, name: str, path: Path) -> float:
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    # Written with `not`, so that NaN is refused, too.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e18:
        raise WeightsError(f"{path}: the {name} of its grey values must be one number, got {str(value)[:40]!r}")
    if name == "std" and value <= 0:
        raise WeightsError(f"{path}: the std of its grey values must be positive, got {value}")
    return float(value)
