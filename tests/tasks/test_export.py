"""Packages of bioimage.io: what goes in and comes out is grey values, and the pixels are ours."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from napari_genrecon import denoise, upscale
from napari_genrecon.cli import main
from napari_genrecon.errors import OptionError, OutputError
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.export import export_package

CAMERA = NoiseModel(gain=2.0, offset=100.0, read_noise=5.0, rho_x=0.1, rho_y=0.1)
BROKEN = "index_key"  # bioimageio.spec 0.5.12 does not run with pydantic 2.14, which the extra "test" leaves out

_STRANGER = """
import json, sys
import numpy as np
import bioimageio.core as core

package, weights, image, made = sys.argv[1:]
summary = core.test_model(package, weight_format=weights, devices=["cpu"])
errors = [error.msg for detail in summary.details for error in detail.errors]
if summary.status == "passed":
    pipeline = core.create_prediction_pipeline(core.load_model_description(package), weight_format=weights)
    pixels = np.load(image)[None, None]
    sample = core.digest_spec.create_sample_for_model(pipeline.model_description, inputs=pixels)
    found = pipeline.predict_sample_without_blocking(sample)
    np.save(made, next(iter(found.members.values())).data.to_numpy()[0, 0])
print(json.dumps({"status": summary.status, "errors": errors}))
"""


def _photons(side: int = 264) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    rng = np.random.default_rng(1)
    light = rng.poisson(200 * (1.1 + np.sin(x / 8) * np.cos(y / 6)))
    return (100 + 2 * light + rng.normal(0, 5, light.shape)).astype(np.float32)


PACKED = {
    "denoise-2d": ({"noise": CAMERA}, lambda image: denoise(image, noise=CAMERA), 1),
    "upscale-2d": ({"factor": 3}, lambda image: upscale(image, noise=0, factor=3, model="upscale-2d"), 3),
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("onnx", reason="the package onnx is not installed")
    folder = tmp_path_factory.mktemp("packages")
    for name, (more, _, _) in PACKED.items():
        assert export_package(name, folder / f"{name}.zip", **more) == ("torchscript", "onnx")
    return {name: folder / f"{name}.zip" for name in PACKED}


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("weights", ["torchscript", "onnx"])
def test_bioimageio_core_accepts_the_package_and_gives_our_pixels(
    packages: dict[str, Path], name: str, weights: str, tmp_path: Path
) -> None:
    pytest.importorskip("bioimageio.core", reason="bioimageio.core is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    image, (_, ours, factor) = _photons(), PACKED[name]
    np.save(packages[name].with_suffix(".npy"), image)
    # In a process of its own, as a stranger would: TorchScript remembers devices that other tests make believe.
    arguments = [str(packages[name]), weights, str(packages[name].with_suffix(".npy")), str(tmp_path / "made.npy")]
    done = subprocess.run([sys.executable, "-c", _STRANGER, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    if any(BROKEN in error for error in said["errors"]):
        pytest.skip("this version of bioimageio.spec does not run with this version of pydantic")
    assert said["status"] == "passed", said["errors"]
    made = np.load(tmp_path / "made.npy")
    inner = (slice(100 * factor, -100 * factor),) * 2  # it mirrors the edges in a way of its own
    error = np.sqrt(np.mean((made - ours(image))[inner] ** 2)) / float(CAMERA.sigma_at(300.0))
    assert error < 0.01


@pytest.mark.parametrize("name", PACKED)
def test_onnx_of_any_size_gives_our_pixels(packages: dict[str, Path], name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    image, (_, ours, _) = _photons(312)[:280], PACKED[name]
    with zipfile.ZipFile(packages[name]) as archive:
        session = onnxruntime.InferenceSession(archive.read("weights.onnx"))
    (made,) = session.run(None, {"input": image[None, None]})
    error = (made[0, 0] - ours(image)) / float(CAMERA.sigma_at(300.0))
    assert np.sqrt(np.mean(error**2)) < 0.01
    assert np.abs(error).max() < 0.2


def test_package_describes_its_files(packages: dict[str, Path]) -> None:
    with zipfile.ZipFile(packages["denoise-2d"]) as archive:
        described = json.loads(archive.read("rdf.yaml"))
        shapes = {n: np.load(io.BytesIO(archive.read(n))).shape for n in archive.namelist() if n.endswith(".npy")}
        sums = {n: hashlib.sha256(archive.read(n)).hexdigest() for n in archive.namelist()}
    assert set(shapes.values()) == {(1, 1, 224, 224)}  # a core of 32 pixels with its halo on both sides
    assert described["outputs"][0]["axes"][2]["halo"] == 96
    for entry in described["weights"].values():
        assert entry["sha256"] == sums[entry["source"]]


NOT_PACKED = {
    "noise is needed": ("denoise-2d", {}),
    "takes one image|is for 'inpaint'": ("inpaint-2d", {}),
    "denoises with 'denoise-2d' first": ("upscale-2d-microscope", {}),
    "factor must be 2, 3 or 4": ("upscale-2d", {"factor": 5}),
    "measured from every image": ("denoise-2d", {"noise": NoiseModel(gain=1.0, levels=(0.0, 0.4, 1.5))}),
    "noise holds 2 channels": ("denoise-2d", {"noise": (CAMERA, CAMERA)}),
}


@pytest.mark.parametrize("sentence", NOT_PACKED)
def test_what_cannot_be_packed_gets_a_sentence(tmp_path: Path, sentence: str) -> None:
    name, more = NOT_PACKED[sentence]
    with pytest.raises(OptionError, match=sentence):
        export_package(name, tmp_path / "x.zip", **more)
    assert not (tmp_path / "x.zip").exists()


def test_package_never_replaces_a_file_unasked(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        export_package("upscale-2d", tmp_path / "x.zip")
    assert (tmp_path / "x.zip").read_bytes() == b"mine"


def test_command_writes_a_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--export", "denoise-2d", str(tmp_path / "d.zip"), "--noise", "12.5"]) == 0
    assert zipfile.is_zipfile(tmp_path / "d.zip")
    assert main(["models", "--export", "denoise-2d", str(tmp_path / "e.zip")]) == 1
    assert "noise is needed to export" in capsys.readouterr().err
