"""Write a model as a package of bioimage.io: a zip with a description, TorchScript and ONNX, and test images.

The description (``rdf.yaml``) follows version 0.5 of the format; it is written as JSON, which is YAML.
https://github.com/bioimage-io/spec-bioimage-io
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_genrecon.engine.run import Progress
from napari_genrecon.io.publish import publishing
from napari_genrecon.models.card import ModelCard
from napari_genrecon.models.runtime import trained_network
from napari_genrecon.models.zoo.graph import DenoiseGraph, Transform, UpscaleGraph
from napari_genrecon.models.zoo.tiling import CORE

__all__ = ["write_package"]

_OPSET = 18  # of ONNX: what the exporter of torch writes without conversion

_README = """# {name}

{summary}

Grey values in, grey values out: float32, one channel, planes. {inside}
Written by napari-genrecon from the model {name} (sha256 of its weights: {sha256}).

# Validation

Compare the result with an image of the same place that was exposed longer, or averaged over repeats: napari-genrecon's
`check` and `resolution` do this, and so does any measure of the mean square error.
"""


def write_package(
    card: ModelCard, path: Path, *, transform: Transform | None, factor: int, overwrite: bool
) -> Generator[Progress, None, tuple[str, ...]]:
    """Write a denoiser or an upscaler as a package, whole or not at all; return the kinds of weights in it.

    Parameters
    ----------
    card : ModelCard
        The model.
    path : Path
        The zip file.
    transform : Transform or None
        Constants of the noise that a denoiser removes; None for an upscaler.
    factor : int
        How many times an upscaler enlarges; 1 for a denoiser.
    overwrite : bool
        Whether an existing file may be replaced.
    """
    yield Progress(0, 4, "building the graph")
    graph = _graph(card, transform, factor)
    shown = _test_image(card, transform)
    # The result by this very graph, so that whoever reads the package can test what it computes.
    with torch.inference_mode():
        made = graph(torch.from_numpy(shown)).numpy()
    members = {"test_input.npy": _npy(shown), "test_output.npy": _npy(made)}
    yield Progress(1, 4, "writing TorchScript")
    members["weights.pt"] = _torchscript(graph, shown)
    if find_spec("onnx"):
        yield Progress(2, 4, "writing ONNX")
        members["weights.onnx"] = _onnx(graph, shown)
    yield Progress(3, 4, "writing the package")
    inside = "The noise of one camera setting is part of it." if transform else f"It enlarges {factor} times."
    text = _README.format(name=card.name, summary=card.summary, inside=inside, sha256=card.sha256)
    members["README.md"] = text.encode()
    described = _described(card, members, factor)
    members["rdf.yaml"] = json.dumps(described, indent=1).encode()
    # In memory first: the size is then known, and a target that cannot be written is refused before anything is.
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with publishing(path, overwrite=overwrite, expected_bytes=content.tell()) as part:
        part.write_bytes(content.getvalue())
    return tuple(described["weights"])


def _graph(card: ModelCard, transform: Transform | None, factor: int) -> nn.Module:
    network = trained_network(card)
    graph = UpscaleGraph(network, factor) if transform is None else DenoiseGraph(network, transform)
    return graph.eval().requires_grad_(False)


def _test_image(card: ModelCard, transform: Transform | None) -> NDArray[np.float32]:
    """Return a noisy image (1, 1, Y, X) of soft blobs."""
    side = _least(card)
    y, x = np.mgrid[:side, :side]
    clean = 20 * (1 + np.sin(x / 9) * np.cos(y / 7)) ** 2  # noise s.d.
    noisy = np.random.default_rng(0).normal(clean, 1.0)
    # Grey values of the camera whose noise is in the graph; an upscaler takes any.
    scale, offset = (1.0, 100.0) if transform is None else (transform.k, transform.offset)
    return (offset + scale * noisy).astype(np.float32)[None, None]


def _least(card: ModelCard) -> int:
    stride = card.stride.x
    # A core with its halo on both sides, up to the next multiple of the stride.
    return -(-(2 * card.halo.x + CORE) // stride) * stride


def _npy(image: NDArray[np.float32]) -> bytes:
    content = io.BytesIO()
    np.save(content, image, allow_pickle=False)
    return content.getvalue()


def _torchscript(graph: nn.Module, shown: NDArray[np.float32]) -> bytes:
    content = io.BytesIO()
    with _quiet():
        traced = torch.jit.trace(graph, torch.from_numpy(shown), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, content)
    return content.getvalue()


def _onnx(graph: nn.Module, shown: NDArray[np.float32]) -> bytes:
    content = io.BytesIO()
    # Only these may vary: the graph is for one plane of one channel.
    sizes = {2: "height", 3: "width"}
    with _quiet():
        torch.onnx.export(
            graph,
            (torch.from_numpy(shown),),
            content,  # type: ignore[arg-type]  # it takes open files, too
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": sizes, "output": sizes},
            opset_version=_OPSET,
            dynamo=False,
        )
    return content.getvalue()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings about sizes that the graph takes for constants: sides are multiples of the stride."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _described(card: ModelCard, members: dict[str, bytes], factor: int) -> dict[str, Any]:
    def file(name: str, **more: Any) -> dict[str, Any]:
        return {"source": name, "sha256": hashlib.sha256(members[name]).hexdigest(), **more}

    # Without the "+cpu" of a build, which is no version of the format.
    weights = {"torchscript": file("weights.pt", pytorch_version=torch.__version__.split("+")[0])}
    if "weights.onnx" in members:
        weights["onnx"] = file("weights.onnx", opset_version=_OPSET, parent="torchscript")
    first = [{"type": "batch", "size": 1}, {"type": "channel", "id": "channel", "channel_names": ["grey"]}]
    least = {"min": _least(card), "step": card.stride.x}
    sides_in = [{"type": "space", "id": each, "size": least} for each in "yx"]
    # The format divides by the scale: 1 / factor makes a side factor times as long.
    sides_out = [
        {"type": "space", "id": each, "scale": 1 / factor, "halo": card.halo.x * factor,
         "size": {"tensor_id": "input", "axis_id": each}}
        for each in "yx"
    ]  # fmt: skip
    data = {"type": "float32"}
    return {
        "format_version": "0.5.3",
        "type": "model",
        "name": _spec_name(card.name),
        "description": (card.summary or card.name)[:1000],
        "authors": [{"name": "The napari-genrecon developers"}],
        "license": card.licence or "BSD-3-Clause",
        "documentation": file("README.md")["source"],
        "tags": ["napari-genrecon", card.task],
        "timestamp": datetime.now(UTC).isoformat(),
        "inputs": [{"id": "input", "axes": [*first, *sides_in], "data": data, "test_tensor": file("test_input.npy")}],
        "outputs": [
            {"id": "output", "axes": [*first, *sides_out], "data": data, "test_tensor": file("test_output.npy")}
        ],
        "weights": weights,
    }


def _spec_name(name: str) -> str:
    """Return a name of letters, digits, hyphens and spaces, at least 5 of them."""
    plain = "".join(letter if letter.isalnum() or letter in "-_ " else " " for letter in name)
    return plain if len(plain) > 4 else f"model {plain}"
