"""Tasks in a row: the same as one after the other, from a list, a file or a result, and made again from the record."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from napari_genrecon import denoise, pipeline, upscale
from napari_genrecon.cli.main import main
from napari_genrecon.errors import OptionError
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import record_of, verify
from napari_genrecon.io.record.history import history
from napari_genrecon.tasks.pipeline import read_pipeline, steps_of

STEPS = ["denoise", ("upscale", {"factor": 2})]


@pytest.fixture
def noisy(tmp_path):
    image = np.random.default_rng(1).poisson(30, (48, 56)).astype(np.uint16)
    path = tmp_path / "cells.ome.tif"
    tifffile.imwrite(path, image, ome=True, metadata={"axes": "YX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1})
    return image, path


def test_a_pipeline_is_its_tasks_one_after_the_other(noisy):
    image, _ = noisy
    assert np.array_equal(pipeline(STEPS, image), upscale(denoise(image), factor=2))


def test_script_command_line_and_file_of_steps_agree_and_are_made_again(noisy, tmp_path):
    image, path = noisy
    saved = pipeline(STEPS).save(tmp_path / "sharp.json")
    assert read_pipeline(saved) == pipeline(STEPS)
    assert main(["run", str(saved), str(path)]) == 0
    result = open_image(tmp_path / "cells_sharp.ome.tif")
    assert np.array_equal(result.data, pipeline(saved, image))
    assert [float(size) for size in result.about.scale] == [0.05, 0.05]
    record = record_of(result)
    assert [step["task"] for step in history(record)] == ["denoise", "upscale"]
    assert history(record)[0]["input"]["path"] == str(path)
    assert verify(result.path) == []
    assert main(["replay", str(result.path)]) == 0


def test_the_steps_of_a_result_run_again_on_another_image(noisy, tmp_path, capsys):
    _, path = noisy
    assert main(["denoise", str(path), "--strength", "0.7", "-o", str(tmp_path / "a.ome.tif")]) == 0
    assert main(["upscale", str(tmp_path / "a.ome.tif"), "--factor", "3", "-o", str(tmp_path / "b.ome.tif")]) == 0
    found = steps_of(record_of(open_image(tmp_path / "b.ome.tif")))
    assert str(found) == "Denoise (strength 0.7) → Upscale (factor 3)"
    assert main(["steps", str(tmp_path / "b.ome.tif"), str(tmp_path / "same.json")]) == 0
    assert read_pipeline(tmp_path / "same.json") == found
    assert main(["run", str(tmp_path / "b.ome.tif"), str(path), "--keep-steps", "-o", str(tmp_path / "out/")]) == 0
    again = open_image(tmp_path / "out" / "cells_denoise-upscale.ome.tif")
    assert np.array_equal(again.data, open_image(tmp_path / "b.ome.tif").data)
    kept = tmp_path / "out" / "cells_denoise-upscale_1_denoise.ome.tif"
    assert main(["replay", str(kept)]) == 0


def test_region_by_region_gives_the_same_and_goes_on_where_it_ended(noisy, tmp_path):
    image, path = noisy
    saved = pipeline(STEPS).save(tmp_path / "sharp.json")
    assert main(["run", str(saved), str(path), "-o", str(tmp_path / "r.ome.zarr")]) == 0
    stored = np.asarray(open_image(tmp_path / "r.ome.zarr").data)
    np.testing.assert_allclose(stored, pipeline(STEPS, image), atol=1e-3 * np.sqrt(30))


def test_a_second_denoising_is_pointed_out(noisy, tmp_path, capsys):
    _, path = noisy
    main(["denoise", str(path), "-o", str(tmp_path / "a.ome.tif")])
    assert "denoised before" not in capsys.readouterr().err
    main(["denoise", str(tmp_path / "a.ome.tif"), "-o", str(tmp_path / "b.ome.tif")])
    assert "denoised before" in capsys.readouterr().err


def test_detecting_in_a_denoised_image_finds_noise_and_is_pointed_out(tmp_path, capsys):
    tifffile.imwrite(tmp_path / "noise.tif", np.random.default_rng(0).poisson(30, (128, 128)).astype("u2"))
    main(["denoise", str(tmp_path / "noise.tif"), "-o", str(tmp_path / "a.ome.tif")])
    main(["detect", str(tmp_path / "noise.tif"), "-o", str(tmp_path / "raw.csv")])
    assert "denoised before" not in capsys.readouterr().err
    main(["detect", str(tmp_path / "a.ome.tif"), "-o", str(tmp_path / "a.csv")])
    assert "detect in the raw image" in capsys.readouterr().err
    lines = [len((tmp_path / name).read_text().splitlines()) for name in ("raw.csv", "a.csv")]
    assert lines[0] == 1  # the header
    assert lines[1] > 100


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([], "no steps"),
        (["sharpen"], "no task 'sharpen'"),
        ([("denoise", {"power": 2})], "denoise has no option 'power'"),
        ([("denoise", {"strength": 9})], "step denoise: strength must lie between"),
        ([("deblur", {"psf": "beads.tif"})], "step deblur: psf: there is no file beads.tif"),
        ([3], "a step is a name"),
    ],
)
def test_steps_that_cannot_work_are_refused_before_anything_runs(steps, said):
    with pytest.raises(OptionError, match=said):
        pipeline(steps)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"steps": []}', json.dumps({"genrecon pipeline": 9, "steps": [{"task": "denoise"}]})]
)
def test_a_file_that_holds_no_steps_is_refused(tmp_path, text):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(OptionError, match=r"bad\.json is (no|a) file of steps"):
        pipeline(tmp_path / "bad.json")


def test_paths_in_a_file_of_steps_start_at_its_folder(noisy, tmp_path, monkeypatch):
    image, _ = noisy
    tifffile.imwrite(tmp_path / "mask.tif", (image > 38).astype(np.uint8))
    steps = pipeline([("inpaint", {"mask": str(tmp_path / "mask.tif"), "method": "biharmonic"})])
    saved = steps.save(tmp_path / "fill.json")
    assert json.loads(saved.read_text())["steps"][0]["options"]["mask"] == "mask.tif"
    monkeypatch.chdir("/")
    assert pipeline(saved, image).shape == image.shape


def test_missing_file_of_steps_is_said_to_be_missing(tmp_path):
    with pytest.raises(OptionError, match=r"^there is no file of steps .*x\.json$"):
        read_pipeline(tmp_path / "x.json")
