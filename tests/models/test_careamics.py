"""Models of CAREamics: exports and checkpoints come in as tensors, and give the pixels of their U-Net."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_genrecon import denoise
from napari_genrecon.errors import WeightsError
from napari_genrecon.models.registry import import_model

pytestmark = [
    pytest.mark.filterwarnings("ignore::napari_genrecon.errors.GenReconWarning"),
    pytest.mark.usefixtures("models_folder"),
]


def _weights(*, n2v2: bool = False, normed: bool = True) -> dict[str, Tensor]:
    """The state dict of a U-Net of CAREamics, names and shapes written out."""
    torch.manual_seed(0)
    found: dict[str, Tensor] = {}

    def block(name: str, channels: int, middle: int, out: int) -> None:
        for number, (a, b) in enumerate(((channels, middle), (middle, out)), 1):
            found[f"{name}.conv{number}.weight"] = torch.randn(b, a, 3, 3) * (2 / (9 * a)) ** 0.5
            found[f"{name}.conv{number}.bias"] = torch.randn(b) * 0.1
            norm = f"{name}.batch_norm{number}."
            found[norm + "weight"], found[norm + "bias"] = torch.ones(b), torch.zeros(b)
            found[norm + "running_mean"] = torch.randn(b) * 0.1 if normed else torch.zeros(b)
            found[norm + "running_var"] = torch.rand(b) + 0.5 if normed else torch.ones(b)
            found[norm + "num_batches_tracked"] = torch.tensor(7 if normed else 0)

    block("encoder.encoder_blocks.0", 1, 4, 4)
    block("encoder.encoder_blocks.2", 4, 8, 8)
    block("decoder.bottleneck", 8, 16, 8)
    block("decoder.decoder_blocks.1", 16, 8, 4)
    block("decoder.decoder_blocks.3", 4 if n2v2 else 8, 4, 4)
    found["final_conv.weight"], found["final_conv.bias"] = torch.randn(1, 4, 1, 1) * 0.3, torch.zeros(1)
    return found


def _expected(x: Tensor, weights: dict[str, Tensor], *, n2v2: bool, normed: bool) -> Tensor:
    def block(name: str, x: Tensor) -> Tensor:
        for number in (1, 2):
            x = F.conv2d(x, weights[f"{name}.conv{number}.weight"], weights[f"{name}.conv{number}.bias"], padding=1)
            if normed:
                norm = f"{name}.batch_norm{number}."
                x = (x - weights[norm + "running_mean"][:, None, None]) / torch.sqrt(
                    weights[norm + "running_var"][:, None, None] + 1e-5
                )
            x = x.clamp(min=0)
        return x

    def pooled(x: Tensor) -> Tensor:
        if not n2v2:
            return F.max_pool2d(x, 2)
        kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])[None, None] / 16
        high = F.max_pool2d(x, 2, stride=1)
        return torch.cat([F.conv2d(high[:, [i]], kernel, padding=1, stride=2) for i in range(high.shape[1])], dim=1)

    def larger(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    first = block("encoder.encoder_blocks.0", x)
    second = block("encoder.encoder_blocks.2", pooled(first))
    x = larger(block("decoder.bottleneck", pooled(second)))
    x = larger(block("decoder.decoder_blocks.1", torch.cat([x, second], dim=1)))
    x = block("decoder.decoder_blocks.3", x if n2v2 else torch.cat([x, first], dim=1))
    return F.conv2d(x, weights["final_conv.weight"], weights["final_conv.bias"])


def _described(**changed: Any) -> dict[str, Any]:
    network = {"import_from": "careamics.models.unet", "callable": "UNet", "kwargs": {"final_activation": "None"}}
    scale = {"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": [300.0], "std": [50.0], "axis": "channel"}}
    described: dict[str, Any] = {
        "format_version": "0.5.3",
        "name": "n2v of mine",
        "license": "CC-BY-4.0",
        "inputs": [{"id": "input", "preprocessing": [scale]}],
        "weights": {"pytorch_state_dict": {"source": "weights.pth", "architecture": network}},
    }
    return {**described, **changed}


def _package(path: Path, weights: dict[str, Tensor], described: Any = None, text: str | None = None) -> Path:
    torch.save(weights, path.with_suffix(".pth"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path.with_suffix(".pth"), "weights.pth")
        archive.writestr("rdf.yaml", json.dumps(described or _described()) if text is None else text)
    path.with_suffix(".pth").unlink()
    return path


def _image() -> np.ndarray:
    return np.random.default_rng(0).normal(300, 50, (64, 72)).astype(np.float32)


@pytest.mark.parametrize("n2v2", [False, True], ids=["n2v", "n2v2"])
@pytest.mark.parametrize("normed", [False, True], ids=["plain", "batch norm"])
def test_exported_model_gives_the_pixels_of_its_network(tmp_path: Path, n2v2: bool, normed: bool) -> None:
    weights = _weights(n2v2=n2v2, normed=normed)
    card = import_model(_package(tmp_path / "mine.zip", weights))
    assert (card.task, card.licence, card.scaling) == ("denoise", "CC-BY-4.0", "trained")
    assert ("N2V2" in card.summary) == n2v2
    image = _image()
    x = torch.from_numpy((image - 300) / 50)[None, None]
    expected = _expected(x, weights, n2v2=n2v2, normed=normed)[0, 0].numpy() * 50 + 300
    assert np.abs(denoise(image, model="mine", noise=50.0) - expected).max() < 0.01


def test_tiles_of_a_u_net_equal_the_whole(tmp_path: Path) -> None:
    card = import_model(_package(tmp_path / "mine.zip", _weights()))
    assert not card.whole
    image = np.random.default_rng(0).normal(300, 50, (150, 170)).astype(np.float32)
    whole = denoise(image, model="mine", noise=50.0)
    assert np.abs(denoise(image, model="mine", noise=50.0, tile=40) - whole).max() < 0.05


def test_checkpoint_of_its_training_takes_the_mean_and_deviation_of_every_image(tmp_path: Path) -> None:
    weights = _weights()
    state = {f"model.{name}": tensor for name, tensor in weights.items()}
    torch.save({"epoch": 3, "state_dict": state, "hyper_parameters": {"a": 1}}, tmp_path / "last.ckpt")
    card = import_model(tmp_path / "last.ckpt")
    assert card.scaling == "moments"
    image = _image()
    mean, deviation = image.mean(dtype=np.float64), image.std(dtype=np.float64)
    x = torch.from_numpy(((image - mean) / deviation).astype(np.float32))[None, None]
    expected = _expected(x, weights, n2v2=False, normed=True)[0, 0].numpy() * deviation + mean
    assert np.abs(denoise(image, model="last", noise=50.0) - expected).max() < 0.01


def _with(**entry: Any) -> dict[str, Any]:
    return _described(weights=entry)


_NET = _described()["weights"]["pytorch_state_dict"]
_UNET = _NET["architecture"]
_FIRST = "encoder.encoder_blocks.0.conv1.weight"
HOSTILE: dict[str, tuple[Any, str]] = {
    "TorchScript": (_with(torchscript={"source": "weights.pth"}), "TorchScript, a program that would be run"),
    "ONNX": (_with(onnx={"source": "weights.pth"}), "the axes of its inputs are 'None'"),
    "Keras": (_with(keras_hdf5={"source": "weights.pth"}), "a Keras file, which may hold code"),
    "no weights": (_with(), "holds no weights"),
    "weights as a list": (_described(weights=[1]), "holds no weights"),
    "code in the package": (
        _with(pytorch_state_dict={**_NET, "architecture": {"source": "net.py", "callable": "Net"}}),
        r"Python code \('net.py'\), which would be run",
    ),
    "a call": (
        _with(pytorch_state_dict={**_NET, "architecture": {"import_from": "subprocess", "callable": "Popen"}}),
        "'subprocess.Popen', which would be imported and run",
    ),
    "missing file": (_with(pytorch_state_dict={**_NET, "source": "../../etc/passwd"}), "lacks the file"),
    "other sum": (_with(pytorch_state_dict={**_NET, "sha256": "0" * 64}), "its weights are not those"),
    "unknown preparation": (
        _described(inputs=[{"preprocessing": [{"id": "custom"}]}]),
        "prepares images by custom, which is not known",
    ),
    "endless mean": (
        _described(inputs=[{"preprocessing": [{"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": [1, 2]}}]}]),
        "mean of its grey values must be one number",
    ),
    "sigmoid": (
        _with(pytorch_state_dict={**_NET, "architecture": {**_UNET, "kwargs": {"final_activation": "Sigmoid"}}}),
        "ends with 'Sigmoid'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_package_that_would_run_code_or_is_unknown_gets_a_sentence(
    tmp_path: Path, models_folder: Path, case: str
) -> None:
    described, sentence = HOSTILE[case]
    with pytest.raises(WeightsError, match=sentence) as caught:
        import_model(_package(tmp_path / "x.zip", _weights(), described))
    assert len(str(caught.value)) < 600
    assert not models_folder.exists()


TEXTS = {
    "python tag": "!!python/object/apply:os.system ['touch x']",
    "no table": "just text",
    "no YAML": "a: [1, 2",
    "huge": "a: '" + "x" * (2 << 20) + "'",
    "deep": "[" * 5000,
}


@pytest.mark.parametrize("case", TEXTS)
def test_hostile_description_gets_a_sentence(tmp_path: Path, case: str) -> None:
    with pytest.raises(WeightsError, match=r"cannot be read|describes nothing|unpacks to more than"):
        import_model(_package(tmp_path / "x.zip", _weights(), text=TEXTS[case]))


def test_package_that_unpacks_to_more_than_weights_need_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_genrecon.models.zoo import parcel

    monkeypatch.setattr(parcel, "_LARGEST_WEIGHTS", 1000)
    with pytest.raises(WeightsError, match="unpacks to more than"):
        import_model(_package(tmp_path / "x.zip", _weights()))


def test_members_named_twice_are_refused(tmp_path: Path) -> None:
    path = _package(tmp_path / "x.zip", _weights())
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("rdf.yaml", "{}")
    with pytest.raises(WeightsError, match="names members twice"):
        import_model(path)


WRONG = {
    "missing": ({"decoder.bottleneck.conv1.weight": None}, "do not fit the U-Net of CAREamics"),
    "shape": ({"decoder.bottleneck.conv1.weight": torch.ones(3, 3, 3, 3)}, "do not fit the U-Net of CAREamics"),
    "volumes": ({_FIRST: torch.ones(4, 1, 3, 3, 3)}, "planes with one channel"),
    "two channels": ({_FIRST: torch.ones(4, 2, 3, 3)}, "planes with one channel"),
    "endless width": (
        {"encoder.encoder_blocks.0.conv1.weight": torch.ones(200_000, 1, 3, 3)},
        r"far larger|do not fit",
    ),
    "endless levels": (
        {f"encoder.encoder_blocks.{2 * level}.conv1.weight": torch.ones(4, 1, 3, 3) for level in range(200)},
        r"far larger",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_weights_that_do_not_fit_get_a_sentence(tmp_path: Path, case: str) -> None:
    changed, sentence = WRONG[case]
    weights = {name: tensor for name, tensor in {**_weights(), **changed}.items() if tensor is not None}
    torch.save(weights, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=sentence):
        import_model(tmp_path / "x.pth")
