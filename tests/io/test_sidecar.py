"""The record beside a result."""

import json

import numpy as np
import pytest
import tifffile
from napari.layers import Image

from napari_genrecon.axes import Axes
from napari_genrecon.cli import main
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import ImageError, OutputError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.layers import write_tiff_layers, write_zarr_layers
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import record_of, verify
from napari_genrecon.io.record.sidecar import sidecar_of, write_sidecar
from napari_genrecon.io.saving import Saving
from napari_genrecon.io.tiff.write import write_tiff_steps
from napari_genrecon.tasks import find_task
from napari_genrecon.tasks.denoise import DenoiseOptions

RECORD = {"schema": "genrecon-record/1", "task": "denoise", "nature": "restored", "options": {}, "note": "µ"}


@pytest.fixture
def noisy(tmp_path):
    path = tmp_path / "cells µ 1.tif"
    tifffile.imwrite(path, np.random.default_rng(0).poisson(30, (64, 72)).astype("u2"))
    return path


@pytest.fixture
def result(tmp_path):
    path = tmp_path / "a.ome.tif"
    finish(write_tiff_steps(path, np.zeros((30, 40), "f4"), ImageMeta(axes=Axes("YX"), record=RECORD)))
    write_sidecar(path, overwrite=False)
    return path


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_command_line_writes_the_record_of_the_file_beside_it(noisy, tmp_path, ending):
    target = tmp_path / f"result {ending}"
    assert main(["denoise", str(noisy), "-o", str(target), "--sidecar"]) == 0
    beside = json.loads((tmp_path / f"result {ending}.genrecon.json").read_text(encoding="utf-8"))
    assert beside == open_image(target).record
    assert verify(target) == []


def test_there_is_none_unasked(noisy, tmp_path):
    assert main(["denoise", str(noisy), "-o", str(tmp_path / "b.ome.tif")]) == 0
    assert list(tmp_path.glob("*.json")) == []


def test_sidecar_of_something_else_is_not_replaced(noisy, tmp_path, capsys):
    beside = tmp_path / "b.ome.tif.genrecon.json"
    beside.write_text("precious")
    command = ["denoise", str(noisy), "-o", str(tmp_path / "b.ome.tif"), "--sidecar"]
    assert main(command) == 1
    assert "exists already" in capsys.readouterr().err
    assert not (tmp_path / "b.ome.tif").exists()
    assert beside.read_text() == "precious"
    assert main([*command, "--overwrite"]) == 0
    assert json.loads(beside.read_text())["task"] == "denoise"


def test_changed_sidecar_is_told(result):
    beside = sidecar_of(result)
    beside.write_text(beside.read_text().replace("restored", "upscaled"))
    assert verify(result) == ["a.ome.tif.genrecon.json was changed"]


def test_sidecar_stands_for_a_record_that_another_program_lost(result):
    tifffile.imwrite(result, np.zeros((30, 40), "f4"))
    assert record_of(open_image(result))["note"] == "µ"
    assert verify(result) == ["the record inside was lost, that of a.ome.tif.genrecon.json is used"]
    tifffile.imwrite(result, np.ones((30, 40), "f4"))
    assert "pixels were changed" in verify(result)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"schema": 3}'])
def test_broken_sidecar_gets_a_sentence(result, content):
    sidecar_of(result).write_text(content)
    try:
        assert verify(result) == ["a.ome.tif.genrecon.json was changed"]
    except ImageError as error:
        assert "genrecon.json" in str(error)  # noqa: PT017


def test_sidecar_that_is_a_link_is_not_followed(result, tmp_path):
    sidecar_of(result).rename(tmp_path / "elsewhere.json")
    sidecar_of(result).symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(ImageError, match="is a link"):
        verify(result)


def test_layers_are_saved_with_one_on_request(tmp_path):
    meta = {"name": "a", "scale": [1, 1], "translate": [0, 0], "metadata": {"genrecon": RECORD}}
    layer = (np.zeros((30, 40), "f4"), meta, "image")
    written = write_tiff_layers(str(tmp_path / "a.ome.tif"), [layer], saving=Saving(sidecar=True, pyramid=True))
    assert [str(tmp_path / name) for name in ("a.ome.tif", "a.ome.tif.genrecon.json")] == written
    with pytest.raises(OutputError, match="exists already"):
        write_tiff_layers(str(tmp_path / "a.ome.tif"), [layer], saving=Saving(sidecar=True))


def test_image_that_we_did_not_make_gets_none(tmp_path):
    layer = (np.zeros((30, 40), "f4"), {"name": "a", "scale": [1, 1], "translate": [0, 0]}, "image")
    assert write_tiff_layers(str(tmp_path / "a.ome.tif"), [layer], saving=Saving(sidecar=True)) == [
        str(tmp_path / "a.ome.tif")
    ]


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_records_of_layers_that_were_saved_together_are_told(tmp_path, capsys, ending):
    path = tmp_path / f"both{ending}"
    image = np.random.default_rng(0).poisson(30, (64, 72)).astype("u2")
    layers = [denoise_layer(image, name) for name in ("cells", "nuclei")]
    write_layers = write_tiff_layers if ending == ".ome.tif" else write_zarr_layers
    write_layers(str(path), [layer.as_layer_data_tuple() for layer in [*layers, Image(image.astype("f4"), name="raw")]])
    assert main(["methods", str(path)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in told] == ["cells", "nuclei"]
    assert all("denoised" in line for line in told)
    assert main(["methods", "--json", str(path)]) == 0
    assert {name: one["task"] for name, one in json.loads(capsys.readouterr().out).items()} == {
        "cells": "denoise",
        "nuclei": "denoise",
    }
    for command in ("verify", "replay", "check"):
        assert main([command, str(path)]) == 1
        assert "(cells, nuclei), and none for all: open it in napari and save each" in capsys.readouterr().err


def denoise_layer(image, name):
    result = finish(find_task("denoise").steps(image, DenoiseOptions()))
    return Image(result.data, name=name, metadata={"genrecon": result.record})
