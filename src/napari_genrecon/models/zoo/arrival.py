"""Bring in a weight file of others: read it as data, tell its network, measure its tiles, and write its card."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import InferenceError, WeightsError
from napari_genrecon.models.card import FACTORS, ModelCard, PerAxis
from napari_genrecon.models.files import LARGEST_FILE
from napari_genrecon.models.runtime import recognise
from napari_genrecon.models.tensors import parse_tensors, read_content
from napari_genrecon.models.zoo.parcel import Parcel, graph_tensors, is_package, read_package
from napari_genrecon.models.zoo.tiling import Cost, Tiling, measure_cost, measure_tiling

__all__ = ["arrive"]


def arrive(path: Path) -> Generator[Progress, None, tuple[ModelCard, dict[str, Tensor]]]:
    """Read a weight file of others, and return its card and its weights.

    Raises
    ------
    WeightsError
        If it is not read because it may run code, is damaged, or belongs to no network that can be used.
    MissingPackageError
        If a package is needed to tell its network.
    """
    yield Progress(0, 0, "reading the file")
    content = read_content(path)
    found = _opened(content, path)
    # Networks are run in float32, whatever they were saved in.
    weights = _as_float32(found.weights)
    _check_size(weights, path)
    yield Progress(0, 0, "telling the network from its weights")
    try:
        key, network = recognise(weights)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    if network.task == "upscale" and network.scale not in FACTORS:
        raise WeightsError(f"{path} enlarges {network.scale} times: only 2, 3 and 4 times are offered")
    # Else normalisations would use the means of the trial image, and dropout would be random.
    network.eval()
    try:
        # A graph that torch does not compute knows its cost, which is counted from torch's operations else.
        cost = Cost(*network.cost) if hasattr(network, "cost") else measure_cost(network, network.multiple)
        tiling = Tiling(None, 1, 0.0)
        if not network.internal:
            tiling = yield from measure_tiling(network, network.scale, network.multiple)
    except InferenceError as error:
        raise WeightsError(f"{path} holds a network that does not run: {error}") from None
    origin = {
        "file": path.name,
        # Of the file as it came, before its weights became float32: whoever made it can be found by that.
        "sha256": hashlib.sha256(content).hexdigest(),
        "architecture": network.architecture,
        "tiles": _words(tiling, internal=network.internal),
    }
    card = ModelCard(
        name=_name_from(path),
        task=network.task,
        network=key,
        summary=f"By others: {network.architecture}, from {path.name[:80]}; {origin['tiles']}",
        halo=PerAxis.planes(tiling.halo or 0, 0),
        stride=PerAxis.planes(tiling.stride, 1),
        scale=PerAxis.planes(network.scale, 1),
        bytes_per_pixel=cost.bytes_per_pixel,
        work=cost.work,
        whole=tiling.halo is None,
        licence=found.licence,
        **_scaling(found.scaling or network.scaling, found.moments),
        origin=origin,
        warnings=(
            f"made by others ({network.architecture}): nothing is known here of what it was trained on"
            f"{'' if found.licence else ' and of its licence'}; what it adds looks likely and was not measured",
        ),
    )
    return card, weights


def _opened(content: bytes, path: Path) -> Parcel:
    # First, as a checkpoint of torch.save is a zip as well.
    if is_package(content):
        return read_package(content, path)
    if path.suffix.lower() == ".onnx":
        return Parcel(graph_tensors(content), "", None)
    return Parcel(parse_tensors(content, path), "", None)


def _scaling(own: str, moments: tuple[float, float] | None) -> dict[str, Any]:
    """Return the entries of a card about grey values: those of the training where they are known."""
    if moments is None:
        return {"scaling": own}
    # The card maps `low` and `high` to -1 and 1, which are one s.d. around the mean here.
    mean, deviation = moments
    return {"scaling": "trained", "low": (mean - deviation,), "high": (mean + deviation,)}


def _as_float32(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights with all floats in float32, each with memory of its own."""
    return {
        # Tied weights share their memory, which a file of tensors cannot express.
        name: (tensor.to(torch.float32) if tensor.is_floating_point() else tensor).clone().contiguous()
        for name, tensor in weights.items()
    }


def _check_size(weights: Mapping[str, Tensor], path: Path) -> None:
    size = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    if size > LARGEST_FILE * 0.99:  # the rest is for the card
        raise WeightsError(
            f"{path} holds {size / 1e6:.0f} MB of weights: a model has at most {LARGEST_FILE / 1e6:.0f} MB"
        )


def _words(tiling: Tiling, *, internal: bool) -> str:
    if internal:
        return "whole planes only: it cuts tiles of its own"
    if tiling.halo is None:
        return f"whole planes only: tiles changed its result by {tiling.difference:.2g} of the range of grey values"
    return f"tiles with {tiling.halo} pixels around equal the whole (measured: within {tiling.difference:.1g})"


def _name_from(path: Path) -> str:
    """Return the name of a file as that of a model."""
    # What `check_name` allows; dots at the ends would hide the file or be lost on Windows.
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("._-")[:64] or "model"
