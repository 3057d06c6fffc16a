"""Networks of others as ONNX graphs, which the package onnxruntime computes.

A graph is a list of operations with names from a fixed vocabulary and holds no code. It is checked before a session is
made of it: only operations of the standard, no loops and branches, no tensors in other files, one image in and one out.
https://onnx.ai/onnx/intro/concepts.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_genrecon.errors import MissingPackageError, WeightsError
from napari_genrecon.models.card_values import WIDEST_TILE
from napari_genrecon.models.networks.blocks import pad_to_stride

__all__ = ["OnnxGraph"]

_GRAPH, _MULTIPLE = "onnx.graph", "onnx.multiple"
_STANDARD = ("", "ai.onnx")  # domains of operations
_BRANCHES = ("If", "Loop", "Scan", "SequenceMap")  # whose work does not follow from the shapes
_SIDE = 64  # pixels of the images that a graph is tried with
_MULTIPLES = [1 << power for power in range(_SIDE.bit_length())]  # pixels of which sides may have to be a multiple
_LARGEST = 256 << 20  # bytes of a tensor while such an image is processed: a thousand times what honest networks take
_SPARE = 2  # times the memory of the tensors that live at once: work space of the convolutions
_FLOAT = 1  # number of float32 among the types of ONNX


class OnnxGraph(nn.Module):
    """Restore or enlarge images with the graph of others.

    Parameters
    ----------
    weights : mapping of str to Tensor
        ``"onnx.graph"``, the bytes of the file, and perhaps ``"onnx.multiple"``, of which sides must be a multiple.

    Raises
    ------
    MissingPackageError
        If onnx or onnxruntime is not installed.
    WeightsError
        If it is no graph, or one that is not used here.
    """

    scaling, internal, architecture = "range", False, "ONNX graph"

    @staticmethod
    def knows(weights: Mapping[str, Tensor]) -> bool:
        """Return whether these are the bytes of a graph."""
        return _GRAPH in weights

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        # The graph is kept as a tensor of bytes, so that it fits into a model file as all weights do.
        content = weights[_GRAPH].numpy().tobytes()
        proto = _checked(content)
        self._name, self._inputs = _only_image(proto.graph)
        self.cost = _cost(proto, self._inputs)
        # Only after the checks above: a session allocates what the graph asks for.
        self._session = _session(content)
        least = int(weights[_MULTIPLE]) if _MULTIPLE in weights else 1
        if not 1 <= least <= WIDEST_TILE:
            raise WeightsError(
                f"its images must have sides of a multiple of {least} pixels: at most {WIDEST_TILE} is used"
            )
        self.multiple, self.scale = self._tried(least)
        self.task = "upscale" if self.scale > 1 else "denoise"

    def forward(self, y: Tensor) -> Tensor:
        """Process a batch.

        Parameters
        ----------
        y : (B, 1, H, W) Tensor
            Grey values; a graph for colours gets them as red, green and blue.

        Returns
        -------
        (B, 1, H*scale, W*scale) Tensor
            The mean of its colours.
        """
        height, width = y.shape[-2:]
        padded = pad_to_stride(y, self.multiple).repeat(1, self._inputs, 1, 1)
        # Image by image, as a graph may be exported for a batch of one only.
        made = [torch.from_numpy(self._run(each[None].cpu().numpy())) for each in padded]
        large = torch.cat(made).mean(dim=1, keepdim=True).to(y.device)
        return large[..., : height * self.scale, : width * self.scale]

    def _run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._session.run(None, {self._name: np.ascontiguousarray(image)})[0]
        return found

    def _tried(self, least: int) -> tuple[int, int]:
        """Return the smallest multiple that the sides must be of, and how many times larger the result is."""
        problem = ""
        # From small to large: a graph says nowhere of what its sides must be a multiple.
        for multiple in dict.fromkeys(math.lcm(least, each) for each in _MULTIPLES):
            sides = tuple(multiple * (2 * (_SIDE // (2 * multiple)) + odd) for odd in (1, 3))  # of no larger multiple
            try:
                made = self._run(np.zeros((1, self._inputs, *sides), np.float32))
            except Exception as error:  # onnxruntime raises kinds of its own
                problem = f"it does not run: {' '.join(str(error).split())[:200]}"
                continue
            if made.ndim != 4 or made.shape[0] != 1 or made.shape[1] not in (1, self._inputs):
                raise WeightsError(
                    f"it makes an array of shape {made.shape} of an image: one channel or colours are used"
                )
            # The sides differ, so that a graph that swaps or crops them is found out.
            scale = made.shape[-1] // sides[1]
            if scale and made.shape[-2:] == (sides[0] * scale, sides[1] * scale):
                return multiple, scale
            problem = f"of an image of {sides} pixels it makes one of {made.shape[-2:]}: only 1 to 4 times are used"
        raise WeightsError(problem)


def _session(content: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing("onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is said in a sentence
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises kinds of its own
        raise WeightsError(f"onnxruntime cannot read its graph: {' '.join(str(error).split())[:200]}") from None


def _missing(package: str) -> MissingPackageError:
    return MissingPackageError(f"an ONNX graph needs the package {package}: pip install 'napari-genrecon[zoo]'")


# --- what a graph may hold ---


def _checked(content: bytes) -> Any:
    """Return the description of a graph, if it is nothing but standard operations on tensors that it holds."""
    try:
        import onnx
    except ImportError as error:
        raise _missing("onnx") from error
    try:
        proto = onnx.load_model_from_string(content)
    except Exception:  # protobuf raises a kind of its own
        raise WeightsError("it is no ONNX graph") from None
    if not proto.graph.node:
        raise WeightsError("it is no ONNX graph: it holds no operation")
    others = sorted({each.domain for each in (*proto.opset_import, *proto.graph.node)} - set(_STANDARD))
    if others or proto.functions:
        raise WeightsError(
            f"its graph holds operations beyond the standard ({', '.join(others)[:80] or 'functions of its own'}), "
            "which are programs of others"
        )
    branch = next((node.op_type for node in proto.graph.node if node.op_type in _BRANCHES), "")
    if branch:
        raise WeightsError(f"its graph holds a {branch!r}: only graphs without loops and branches are used")
    # onnxruntime would open such a file by its path, which may be anywhere.
    for tensor in _tensors(proto.graph):
        if tensor.data_location or tensor.external_data:
            raise WeightsError(f"its graph keeps the tensor {tensor.name[:80]!r} in another file, which is not read")
    if proto.graph.sparse_initializer:
        raise WeightsError("its graph holds sparse tensors, which are not read")
    return proto


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else attribute.tensors)


def _only_image(graph: Any) -> tuple[str, int]:
    """Return the name and the channels of the only input, an image of any size."""
    held = {tensor.name for tensor in graph.initializer}
    inputs = [each for each in graph.input if each.name not in held]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise WeightsError(
            f"its graph takes {len(inputs)} inputs and makes {len(graph.output)} results: one each is used"
        )
    kind = inputs[0].type.tensor_type
    sides = [dim.dim_value for dim in kind.shape.dim]  # 0: any
    if kind.elem_type != _FLOAT or len(sides) != 4 or sides[0] > 1 or sides[1] not in (1, 3):
        raise WeightsError(
            f"its graph takes an array of shape {tuple(sides)} (0: any): an image of float32 (1, 1 or 3, Y, X) is used"
        )
    if sides[2] or sides[3]:
        raise WeightsError(f"its graph takes images of {sides[2]}x{sides[3]} pixels only: export it for any size")
    return inputs[0].name, sides[1]


# --- what it costs ---


def _cost(proto: Any, channels: int) -> tuple[int, float]:
    """Return bytes and MFLOP per pixel, from the shapes of all tensors while a small image is processed."""
    shapes = _shapes(proto, channels)
    sizes = {name: 4 * math.prod(shape) for name, shape in shapes.items()}
    largest = max(sizes, key=lambda name: sizes[name])
    if sizes[largest] > _LARGEST:
        raise WeightsError(
            f"its graph makes a tensor of {sizes[largest] / 1e9:.1f} GB of an image of {_SIDE}x{_SIDE} pixels: it is "
            "not run"
        )
    unknown = [name for node in proto.graph.node for name in node.output if name and name not in shapes]
    if unknown:
        shapes |= _seen_shapes(proto, channels, unknown)
        sizes = {name: 4 * math.prod(shape) for name, shape in shapes.items()}
    pixels = _SIDE * _SIDE
    work = sum(_work(node, shapes) for node in proto.graph.node)
    return max(16, _SPARE * _peak(proto.graph, sizes) // pixels), max(0.01, work / 1e6 / pixels)


def _shapes(proto: Any, channels: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors that follow from that of the image."""
    import onnx

    small = onnx.ModelProto()
    small.CopyFrom(proto)
    # Shapes that the file states are dropped: they may be symbolic or lie; all follow from the image anew.
    del small.graph.value_info[:]
    for value in (*small.graph.input, *small.graph.output):
        value.type.tensor_type.ClearField("shape")
    (image,) = [each for each in small.graph.input if each.name not in {t.name for t in small.graph.initializer}]
    for side in (1, channels, _SIDE, _SIDE):
        image.type.tensor_type.shape.dim.add().dim_value = side
    try:
        found = onnx.shape_inference.infer_shapes(small, data_prop=True).graph
    except Exception:  # onnx raises kinds of its own
        raise WeightsError("the shapes in its graph do not fit together") from None
    shapes = {tensor.name: tuple(tensor.dims) for tensor in found.initializer}
    for value in (*found.input, *found.output, *found.value_info):
        if value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            if all(dim.HasField("dim_value") for dim in dims):
                shapes[value.name] = tuple(dim.dim_value for dim in dims)
    return shapes


def _seen_shapes(proto: Any, channels: int, names: list[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of tensors that depend on computed numbers, by running the graph once with all of them out."""
    import onnx

    open_graph = onnx.ModelProto()
    open_graph.CopyFrom(proto)
    out = {value.name for value in open_graph.graph.output}
    open_graph.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in out)
    session = _session(open_graph.SerializeToString())
    image = np.zeros((1, channels, _SIDE, _SIDE), np.float32)
    try:
        made = session.run(None, {session.get_inputs()[0].name: image})
    except Exception as error:  # onnxruntime raises kinds of its own
        raise WeightsError(f"its graph does not run: {' '.join(str(error).split())[:200]}") from None
    return {each.name: np.shape(array) for each, array in zip(session.get_outputs(), made, strict=True)}


def _peak(graph: Any, sizes: Mapping[str, int]) -> int:
    """Return the largest number of bytes of tensors that live at one time, but for the weights."""
    held = {tensor.name for tensor in graph.initializer}
    last = {name: index for index, node in enumerate(graph.node) for name in node.input}
    alive: dict[str, int] = {}
    peak = 0
    for index, node in enumerate(graph.node):
        # A tensor lives from the node that makes it to the last one that takes it.
        alive |= {name: sizes.get(name, 0) for name in (*node.input, *node.output) if name not in held}
        peak = max(peak, sum(alive.values()))
        alive = {name: size for name, size in alive.items() if last.get(name, index) > index}
    return peak


def _work(node: Any, shapes: Mapping[str, tuple[int, ...]]) -> float:
    """Return the operations of a node."""
    made = math.prod(shapes.get(node.output[0], (0,)))
    if node.op_type in ("Conv", "ConvTranspose"):
        # Multiply-adds of a kernel for each number that comes out or, transposed, that goes in.
        weights = math.prod(shapes.get(node.input[1], (0,))[1:])
        return 2.0 * weights * (made if node.op_type == "Conv" else math.prod(shapes.get(node.input[0], (0,))))
    if node.op_type in ("MatMul", "Gemm"):
        return 2.0 * made * shapes.get(node.input[0], (1,))[-1]
    return float(made)
