"""ONNX graphs of others: checked before they are run, measured for tiles, and used like ours."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_genrecon import denoise, export_package, upscale
from napari_genrecon.cli import main
from napari_genrecon.errors import MissingPackageError, WeightsError
from napari_genrecon.models import find_model, load_network
from napari_genrecon.models.registry import import_model
from napari_genrecon.noise import NoiseModel

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytestmark = [
    pytest.mark.usefixtures("models_folder"),
    pytest.mark.filterwarnings("ignore::napari_genrecon.errors.GenReconWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


class Smooth(nn.Module):
    """A graph of some convolutions, whose sides must be multiples of 4."""

    def __init__(self, channels: int = 1, factor: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.Conv2d(channels, 8, 4, stride=4)
        self.up = nn.ConvTranspose2d(8, channels, 4 * factor, stride=4 * factor)
        self.last = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.last(F.relu(self.up(F.relu(self.down(x)))))
        return made


class Mean(nn.Module):
    """A graph that looks at the mean of all that it sees."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=(2, 3), keepdim=True)


def graph(network: nn.Module, channels: int = 1, *, sizes: bool = True) -> bytes:
    content = io.BytesIO()
    dynamic = {name: {2: "h", 3: "w"} for name in ("x", "y")} if sizes else None
    torch.onnx.export(
        network.eval(), (torch.zeros(1, channels, 32, 32),), content, input_names=["x"], output_names=["y"],
        dynamic_axes=dynamic, opset_version=18, dynamo=False,
    )  # fmt: skip
    return content.getvalue()


def described(**changes: Any) -> dict[str, Any]:
    """A description of version 0.5 of a graph that takes images of mean 300 and s.d. 50."""
    space = [{"type": "space", "id": each, "size": {"min": 8, "step": 4}} for each in "yx"]
    axes = [{"type": "batch"}, {"type": "channel", "channel_names": ["grey"]}, *space]
    steps = [
        {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
        {"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": 300, "std": 50}},
    ]
    return {
        "format_version": "0.5.3", "type": "model", "license": "MIT", "weights": {"onnx": {"source": "net.onnx"}},
        "inputs": [{"axes": axes, "preprocessing": steps}], "outputs": [{"axes": axes}], **changes,
    }  # fmt: skip


def package(path: Path, content: bytes, about: dict[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net.onnx", content)
        archive.writestr("rdf.yaml", json.dumps(about))
    return path


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(300, 50, shape or (62, 75)).astype(np.float32)


# --- they arrive as the same card ---


def test_graph_of_a_package_gives_its_pixels_on_the_grey_values_of_its_training(tmp_path: Path) -> None:
    network = Smooth()
    card = import_model(package(tmp_path / "mine.zip", graph(network), described()))
    assert (card.task, card.licence, card.scaling, card.stride.x, card.whole) == ("denoise", "MIT", "trained", 4, False)
    seen = image(64, 76)
    with torch.inference_mode():
        expected = network(torch.from_numpy((seen - 300) / 50)[None, None])[0, 0].numpy() * 50 + 300
    assert np.abs(denoise(seen, model="mine", noise=50.0) - expected).max() < 0.01


@pytest.mark.parametrize(("channels", "factor", "task"), [(1, 2, "upscale"), (3, 1, "denoise"), (3, 4, "upscale")])
def test_file_of_a_graph_arrives_with_its_task_factor_and_colours(
    tmp_path: Path, channels: int, factor: int, task: str
) -> None:
    network = Smooth(channels, factor)
    (tmp_path / "net.onnx").write_bytes(graph(network, channels))
    card = import_model(tmp_path / "net.onnx")
    assert (card.task, card.scale.x, card.scaling) == (task, factor, "range")
    x = np.random.default_rng(0).random((40, 44)).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(x)[None, None].repeat(1, channels, 1, 1)).mean(dim=1)[0].numpy()
    np.testing.assert_allclose(load_network(find_model("net"), "cpu")(x), expected, atol=1e-5)


def test_tiles_and_odd_sizes_equal_the_whole(tmp_path: Path) -> None:
    import_model(package(tmp_path / "mine.zip", graph(Smooth()), described()))
    whole = denoise(image(150, 171), model="mine", noise=50.0)
    assert whole.shape == (150, 171)
    assert np.abs(denoise(image(150, 171), model="mine", noise=50.0, tile=40) - whole).max() < 0.01


def test_graph_that_sees_the_whole_plane_is_never_cut(tmp_path: Path) -> None:
    (tmp_path / "mean.onnx").write_bytes(graph(Mean()))
    card = import_model(tmp_path / "mean.onnx")
    assert card.whole
    assert "whole planes only: tiles changed its result" in card.summary


def test_cost_is_counted_from_the_shapes(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(1, 16, 1), nn.Conv2d(16, 64, 3, padding=1), nn.Conv2d(64, 1, 3, padding=1))
    (tmp_path / "two.onnx").write_bytes(graph(network))
    card = import_model(tmp_path / "two.onnx")
    assert card.work == pytest.approx(2 * (16 + 9 * 16 * 64 + 9 * 64) / 1e6)
    assert card.bytes_per_pixel == 2 * 4 * (64 + 16)  # two tensors live at a time; work space doubles them


@pytest.mark.slow
@pytest.mark.parametrize("name", ["denoise-2d", "upscale-2d"])
def test_our_own_package_comes_back_and_gives_our_pixels(tmp_path: Path, name: str) -> None:
    noise = NoiseModel.white(50.0) if name.startswith("denoise") else None
    export_package(name, tmp_path / "ours.zip", noise=noise)
    card = import_model(tmp_path / "ours.zip")
    assert card.scaling == "trained"
    ours = find_model(name)
    assert card.work == pytest.approx(ours.work, rel=0.15)  # which was counted by torch
    seen = image(128, 136)
    if noise is None:
        pairs = [upscale(seen, model=each, noise=0) for each in ("ours", name)]
    else:
        pairs = [denoise(seen, model=each, noise=noise) for each in ("ours", name)]
    assert np.median(np.abs(pairs[0] - pairs[1])) < 0.01 * 50  # hot pixels, which a graph does not leave out, differ


def test_command_imports_it_and_says_where_it_is_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.onnx").write_bytes(graph(Smooth()))
    assert main(["models", "--import", str(tmp_path / "net.onnx"), "--name", "theirs"]) == 0
    assert main(["models", "--task", "denoise"]) == 0
    assert "theirs  (denoise, yours)\n    By others: ONNX graph, from net.onnx" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    (tmp_path / "net.onnx").write_bytes(graph(Smooth()))
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        MissingPackageError, match=rf"needs the package {missing}: pip install 'napari-genrecon\[zoo\]'"
    ):
        import_model(tmp_path / "net.onnx")


# --- what is refused ---


def changed(change: Any) -> bytes:
    proto = onnx.load_model_from_string(graph(Smooth()))
    change(proto)
    return bytes(proto.SerializeToString())


def _foreign(proto: Any) -> None:
    proto.graph.node[0].domain = "com.example"


def _function(proto: Any) -> None:
    proto.functions.add(name="own", domain="")


def _loop(proto: Any) -> None:
    proto.graph.node.add(op_type="Loop", input=["x"], output=["z"])


def _elsewhere(proto: Any) -> None:
    tensor = proto.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def _huge(proto: Any) -> None:
    size = onnx.helper.make_tensor("size", onnx.TensorProto.INT64, [2], [1 << 20, 1 << 20])
    proto.graph.initializer.append(size)
    proto.graph.node.insert(0, onnx.helper.make_node("ConstantOfShape", ["size"], ["block"]))


def _two(proto: Any) -> None:
    proto.graph.output.add().CopyFrom(proto.graph.output[0])
    proto.graph.output[1].name = proto.graph.node[0].output[0]


def _unknown(proto: Any) -> None:
    proto.graph.node[0].op_type = "Exec"


GRAPHS: dict[str, tuple[Any, str]] = {
    "own operations": (lambda: changed(_foreign), "operations beyond the standard .com.example., which are programs"),
    "functions": (lambda: changed(_function), "functions of its own"),
    "loop": (lambda: changed(_loop), "holds a 'Loop': only graphs without loops"),
    "tensors elsewhere": (lambda: changed(_elsewhere), "keeps the tensor .* in another file, which is not read"),
    "terabytes": (lambda: changed(_huge), "a tensor of 4398.0 GB of an image of 64x64 pixels: it is not run"),
    "two results": (lambda: changed(_two), "takes 1 inputs and makes 2 results"),
    "unknown operation": (lambda: changed(_unknown), "(shapes in its graph do not fit|onnxruntime cannot read)"),
    "one size": (lambda: graph(Smooth(), sizes=False), "images of 32x32 pixels only: export it for any size"),
    "classes": (lambda: graph(nn.Conv2d(1, 2, 3, padding=1)), r"it makes an array of shape \(1, 2, "),
    "five channels": (lambda: graph(nn.Conv2d(5, 1, 3, padding=1), 5), "an image of float32 .1, 1 or 3, Y, X. is used"),
    "smaller": (lambda: graph(nn.Conv2d(1, 1, 2, stride=2)), "only 1 to 4 times are used"),
    "no graph": (lambda: b"hello", "is no ONNX graph"),
    "empty": (lambda: b"", "is no ONNX graph"),
}


@pytest.mark.parametrize("case", GRAPHS)
def test_graph_that_is_not_used_gets_a_sentence(tmp_path: Path, models_folder: Path, case: str) -> None:
    make, sentence = GRAPHS[case]
    (tmp_path / "net.onnx").write_bytes(make())
    with pytest.raises(WeightsError, match=sentence) as caught:
        import_model(tmp_path / "net.onnx")
    assert "net.onnx" in str(caught.value)
    assert len(str(caught.value)) < 600
    assert not models_folder.exists()


_AXES = described()["inputs"][0]["axes"]
PACKAGES: dict[str, tuple[dict[str, Any], str]] = {
    "segmentation": ({"tags": ["unet", "Nucleus-Segmentation"]}, "it is a network for 'Nucleus-Segmentation'"),
    "sigmoid": ({"outputs": [{"axes": _AXES, "postprocessing": [{"id": "sigmoid"}]}]}, "goes through sigmoid"),
    "stacks": ({"inputs": [{"axes": "bczyx"}]}, "the axes of its inputs are 'bczyx': planes"),
    "two images": ({"inputs": [{"axes": _AXES}] * 2}, "not one image in its inputs"),
    "one size": ({"inputs": [{"axes": "bcyx", "shape": [1, 1, 64, 64]}]}, "images of one size only"),
    "unknown preparation": (
        {"inputs": [{"axes": _AXES, "preprocessing": [{"name": "scale_range"}]}]},
        "prepares images by scale_range, which is not known",
    ),
    "missing file": ({"weights": {"onnx": {"source": "../net.onnx"}}}, "lacks the file"),
    "other sum": ({"weights": {"onnx": {"source": "net.onnx", "sha256": "0" * 64}}}, "its weights are not those"),
    "nothing": ({"inputs": 3}, "not one image in its inputs"),
}


@pytest.mark.parametrize("case", PACKAGES)
def test_package_that_is_no_restoration_gets_a_sentence(tmp_path: Path, models_folder: Path, case: str) -> None:
    change, sentence = PACKAGES[case]
    with pytest.raises(WeightsError, match=sentence):
        import_model(package(tmp_path / "x.zip", graph(Smooth()), described(**change)))
    assert not models_folder.exists()


def test_old_description_is_read(tmp_path: Path) -> None:
    shape = {"min": [1, 1, 8, 8], "step": [0, 0, 4, 4]}
    steps = [{"name": "zero_mean_unit_variance", "kwargs": {"mode": "per_sample", "axes": "xy"}}]
    about = described(inputs=[{"axes": "bcyx", "shape": shape, "preprocessing": steps}], outputs=[{"axes": "bcyx"}])
    assert import_model(package(tmp_path / "old.zip", graph(Smooth()), about)).scaling == "moments"


def test_graph_in_a_models_file_is_checked_again(tmp_path: Path, models_folder: Path) -> None:
    from dataclasses import replace

    from napari_genrecon.models.files import save_model

    (tmp_path / "net.onnx").write_bytes(graph(Smooth()))
    card = import_model(tmp_path / "net.onnx", name="good")
    tensors = {"onnx.graph": np.frombuffer(changed(_foreign), np.uint8), "onnx.multiple": np.array(4)}
    save_model(replace(card, name="bad"), tensors, tmp_path / "bad.safetensors", overwrite=False)
    with pytest.raises(WeightsError, match="operations beyond the standard"):
        import_model(tmp_path / "bad.safetensors")
