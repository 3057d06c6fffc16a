"""Models of others: told from their weights, measured for tiles, and used like ours, with nothing from a file run."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_genrecon import deblur, denoise, upscale
from napari_genrecon.cli import main
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import GenReconWarning, MissingPackageError, OptionError, WeightsError
from napari_genrecon.models import find_model, list_models, load_network
from napari_genrecon.models.registry import import_model, import_steps
from napari_genrecon.tasks import find_task
from napari_genrecon.tasks.denoise import DenoiseOptions, denoise_steps
from napari_genrecon.tasks.export import export_package

pytest.importorskip("spandrel", reason="the extra 'zoo' is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore:the model '.*' made by others", "ignore:torch.meshgrid"),
    pytest.mark.usefixtures("models_folder"),
]


def _made(module: str, name: str, **shape: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    made: torch.nn.Module = getattr(importlib.import_module(f"spandrel.architectures.{module}"), name)(**shape)
    return made.eval().requires_grad_(False)


def esrgan() -> torch.nn.Module:
    return _made("ESRGAN.__arch.RRDB", "RRDBNet", num_filters=8, num_blocks=1, scale=4)


def compact() -> torch.nn.Module:
    return _made("Compact.__arch.SRVGG", "SRVGGNetCompact", num_feat=8, num_conv=3, upscale=2)


def swin() -> torch.nn.Module:
    shape = {"upscale": 2, "img_size": 32, "window_size": 8, "depths": [2], "embed_dim": 8, "num_heads": [2]}
    return _made("SwinIR.__arch.SwinIR", "SwinIR", **shape, mlp_ratio=2, upsampler="pixelshuffledirect")


def dncnn() -> torch.nn.Module:
    return _made("DnCNN.__arch.network_dncnn", "DnCNN", in_nc=1, out_nc=1, nc=8, nb=20, act_mode="R")


def rcan() -> torch.nn.Module:
    return _made("RCAN.__arch.rcan_arch", "RCAN", n_resgroups=2, n_resblocks=2, n_feats=8, scale=2, reduction=4)


NETWORKS = {"esrgan": esrgan, "compact": compact, "swin": swin, "dncnn": dncnn, "rcan": rcan}


def _file(folder: Path, name: str) -> Path:
    path = folder / f"{name}.pth"
    torch.save({"params_ema": NETWORKS[name]().state_dict()}, path)
    return path


def _image(side: tuple[int, int] = (70, 90)) -> np.ndarray:
    y, x = np.mgrid[: side[0], : side[1]]
    scene = 2000 + 600 * np.sin(x / 6) * np.cos(y / 5)
    return np.random.default_rng(0).normal(scene, 40).astype(np.uint16)


def _scale(image: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(image.astype(np.float64), (0.1, 99.9))
    return low, high - low


# --- they arrive as the same card ---


@pytest.mark.parametrize(
    ("name", "task", "scale"),
    [("esrgan", "upscale", 4), ("compact", "upscale", 2), ("swin", "upscale", 2), ("dncnn", "denoise", 1)],
)
def test_network_of_others_arrives_as_a_card_of_the_task_that_it_serves(
    tmp_path: Path, name: str, task: str, scale: int
) -> None:
    card = import_model(_file(tmp_path, name))
    assert (card.name, card.task, card.scale.x, card.whole) == (name, task, scale, False)
    assert name in [each.name for each in list_models(task)]
    assert card.origin["file"] == f"{name}.pth"
    assert "equal the whole (measured" in card.summary


@pytest.mark.parametrize("name", ["compact", "swin"])
@pytest.mark.filterwarnings("ignore::napari_genrecon.errors.GenReconWarning")
def test_its_pixels_are_those_of_the_network_on_its_scale_and_back(tmp_path: Path, name: str) -> None:
    import_model(_file(tmp_path, name))
    image = _image((64, 80))
    low, unit = _scale(image)
    x = torch.from_numpy(((image - low) / unit).astype(np.float32))[None, None].repeat(1, 3, 1, 1)
    expected = NETWORKS[name]()(x).mean(dim=1)[0].numpy() * unit + low
    assert np.allclose(upscale(image, model=name, noise=0), expected, atol=1e-3 * unit)


@pytest.mark.parametrize("name", ["esrgan", "compact", "swin"])
@pytest.mark.filterwarnings("ignore::napari_genrecon.errors.GenReconWarning")
def test_tiles_and_lazy_results_equal_the_whole(tmp_path: Path, name: str) -> None:
    card = import_model(_file(tmp_path, name))
    image, factor = _image((150, 170)), card.scale.x
    whole = upscale(image, model=name, factor=factor, noise=0)
    assert whole.shape == (150 * factor, 170 * factor)
    unit = _scale(image)[1]
    assert np.abs(upscale(image, model=name, factor=factor, noise=0, tile=40) - whole).max() < 2e-4 * unit
    lazy = upscale(da.from_array(image, chunks=50), model=name, factor=factor, noise=0, tile=40)
    assert np.abs(np.asarray(lazy) - whole).max() < 2e-4 * unit


@pytest.mark.filterwarnings("ignore::napari_genrecon.errors.GenReconWarning")
def test_network_that_sees_the_whole_plane_is_never_cut(tmp_path: Path) -> None:
    card = import_model(_file(tmp_path, "rcan"))
    assert card.whole
    assert "whole planes only: tiles changed its result" in card.summary
    image = _image((150, 170))
    whole = upscale(image, model="rcan", noise=0)
    assert np.array_equal(upscale(image, model="rcan", noise=0, tile=32), whole)


@pytest.mark.filterwarnings("ignore::napari_genrecon.errors.GenReconWarning")
def test_grey_values_scale_with_the_image(tmp_path: Path) -> None:
    import_model(_file(tmp_path, "dncnn"))
    image = _image().astype(np.float32)
    once, twice = denoise(image, model="dncnn", noise=40.0), denoise(3 * image + 500, model="dncnn", noise=120.0)
    assert np.allclose(3 * once + 500, twice, atol=0.5)


@pytest.mark.filterwarnings("ignore::napari_genrecon.errors.GenReconWarning")
def test_pixels_that_are_not_finite_stay_and_spoil_nothing(tmp_path: Path) -> None:
    import_model(_file(tmp_path, "dncnn"))
    image = _image().astype(np.float32)
    image[20, 30] = np.nan
    result = denoise(image, model="dncnn", noise=40.0)
    assert np.array_equal(np.argwhere(np.isnan(result)), [[20, 30]])


# --- what is said ---


def test_record_says_where_the_model_is_from(tmp_path: Path) -> None:
    card = import_model(_file(tmp_path, "dncnn"))
    record = finish(denoise_steps(_image(), DenoiseOptions(model="dncnn", noise=40.0))).record
    assert record["model"]["origin"] == card.origin
    assert record["model"]["origin"]["architecture"] == "DnCNN"
    assert any("made by others" in warning for warning in record["warnings"])


def test_use_of_a_model_of_others_is_pointed_out(tmp_path: Path) -> None:
    import_model(_file(tmp_path, "dncnn"))
    with pytest.warns(GenReconWarning, match="made by others"):
        denoise(_image(), model="dncnn", noise=40.0)


REFUSED = {
    "factor": (lambda image: upscale(image, model="compact", factor=4), "enlarges 2 times, and the factor is 4"),
    "strength": (lambda image: denoise(image, model="dncnn", strength=0.5), "strength must be 1"),
    "frames": (lambda image: denoise(image, model="dncnn", frames="Z", axes="YX"), "frames must be 'none'"),
    "prior": (lambda image: deblur(image, 3.0, model="dncnn"), "made by others, and serves the task 'denoise' only"),
    "views": (lambda image: upscale(image, model="swin", self_ensemble=True), "self_ensemble cannot be used"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_model_of_others_cannot_do_gets_a_sentence(tmp_path: Path, case: str) -> None:
    call, sentence = REFUSED[case]
    import_model(_file(tmp_path, {"factor": "compact", "views": "swin"}.get(case, "dncnn")))
    with pytest.raises(OptionError, match=sentence):
        call(_image())


def test_docks_list_it_only_where_it_can_be_used(tmp_path: Path) -> None:
    import_model(_file(tmp_path, "dncnn"))
    listed = {task: "dncnn" in [card.name for card in find_task(task).cards()] for task in ("denoise", "deblur")}
    assert listed == {"denoise": True, "deblur": False}


def test_command_imports_and_lists_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--import", str(_file(tmp_path, "compact")), "--name", "anime"]) == 0
    assert main(["models", "--task", "upscale"]) == 0
    assert "anime  (upscale, yours)\n    By others: RealESRGAN Compact" in capsys.readouterr().out
    assert load_network(find_model("anime"), "cpu")(np.zeros((8, 8))).shape == (16, 16)


def test_cancelled_import_leaves_nothing(tmp_path: Path, models_folder: Path) -> None:
    steps = import_steps(_file(tmp_path, "compact"))
    for _ in range(4):
        next(steps)
    steps.close()
    assert not models_folder.exists()


def test_without_spandrel_the_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path, "compact")
    monkeypatch.setitem(__import__("sys").modules, "spandrel", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'napari-genrecon\[zoo\]'"):
        import_model(path)


# --- hostile files ---


def _compact_weights() -> dict[str, torch.Tensor]:
    return compact().state_dict()


def _changed(**changed: torch.Tensor | None) -> dict[str, torch.Tensor]:
    weights = {**_compact_weights(), **{name.replace("__", "."): value for name, value in changed.items()}}
    return {name: value for name, value in weights.items() if value is not None}


HOSTILE = {
    "unknown network": ({"a": torch.ones(3)}, "belong to no network that is known"),
    "missing weights": (lambda: _changed(body__2__weight=None), "do not fit the network"),
    "wrong shape": (lambda: _changed(body__2__weight=torch.ones(8, 7, 3, 3)), "do not fit the network"),
    "endless blocks": (lambda: _changed(body__99999999999__weight=torch.ones(1)), "more blocks than any network"),
    "9999 blocks": (lambda: _changed(body__9999__weight=torch.ones(12, 8, 3, 3)), r"do not fit|far larger than"),
    "empty tensor": (lambda: _changed(body__2__weight=torch.ones(0, 1 << 40)), "is empty"),
    "wide layers": (lambda: _changed(body__0__weight=torch.ones(30_000, 3, 3, 3)), r"far larger than|do not fit"),
    "no image": ({}, "holds no tensor"),
    "eight times larger": (
        lambda: _made("Compact.__arch.SRVGG", "SRVGGNetCompact", num_feat=8, num_conv=1, upscale=8).state_dict(),
        "enlarges 8 times",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_hostile_weights_get_a_sentence(tmp_path: Path, models_folder: Path, case: str, ending: str) -> None:
    made, sentence = HOSTILE[case]
    weights, path = made() if callable(made) else made, tmp_path / f"x{ending}"
    torch.save(weights, path) if ending == ".pth" else save_file(weights, path)
    with pytest.raises(WeightsError, match=sentence) as caught:
        import_model(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 600
    assert not models_folder.exists()


def test_card_that_calls_our_weights_a_network_of_others_gets_a_sentence(tmp_path: Path) -> None:
    from dataclasses import replace

    from napari_genrecon.models.files import save_model

    card = replace(import_model(_file(tmp_path, "compact")), name="other")
    save_model(card, {"a": np.ones(3, np.float32)}, tmp_path / "other.safetensors", overwrite=False)
    with pytest.raises(WeightsError, match="belong to no network that is known"):
        import_model(tmp_path / "other.safetensors")


def test_model_of_others_is_not_packed(tmp_path: Path) -> None:
    import_model(_file(tmp_path, "compact"))
    with pytest.raises(OptionError, match=r"pass on its file, compact\.pth"):
        export_package("compact", tmp_path / "x.zip")


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_importing_a_model_loads_no_triton(tmp_path: Path) -> None:
    """Its LLVM crashes a process in which Mesa draws napari's window."""
    script = (
        f"from napari_genrecon.models.registry import import_model; import_model({str(_file(tmp_path, 'compact'))!r}); "
        "import sys; print('triton' in sys.modules, 'torch._dynamo' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split()[-2:] == ["False", "True"]
    assert "triton" not in ran.stderr
