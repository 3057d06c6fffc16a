import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from napari_genrecon import denoise
from napari_genrecon.cli import main
from napari_genrecon.cli.inputs import sentence
from napari_genrecon.errors import OptionError
from napari_genrecon.io.reader import open_image


@pytest.fixture
def image(tmp_path):
    noisy = np.random.default_rng(0).poisson(30, (2, 64, 72)).astype("u2")
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, noisy, imagej=True, resolution=(5, 5), metadata={"axes": "ZYX", "unit": "um", "spacing": 2})
    return path


def test_command_line_and_script_give_the_same_pixels(image, capsys):
    assert main(["denoise", str(image), "--strength", "0.8"]) == 0
    result = open_image(image.with_name("cells_denoise.ome.tif"))
    np.testing.assert_array_equal(result.data, denoise(tifffile.imread(image), strength=0.8, axes="ZYX"))
    assert result.scale == (2.0, 0.2, 0.2)
    assert result.record["options"]["strength"] == 0.8
    assert "cells_denoise.ome.tif" in capsys.readouterr().out


def test_existing_result_is_kept(image, capsys):
    target = image.with_name("cells_denoise.ome.tif")
    target.write_bytes(b"precious")
    assert main(["denoise", str(image)]) == 1
    assert target.read_bytes() == b"precious"
    said = capsys.readouterr().err
    assert "exists already" in said
    assert "--overwrite" in said
    assert main(["denoise", str(image), "--overwrite"]) == 0


def test_command_without_a_switch_to_overwrite_names_none(tmp_path, capsys):
    target = tmp_path / "a.safetensors"
    target.write_bytes(b"precious")
    assert main(["models", "--export", "nuclei-vae-32", str(target)]) == 1
    said = capsys.readouterr().err
    assert "exists already" in said
    assert "--" not in said


def test_input_is_never_the_output(image):
    before = image.read_bytes()
    assert main(["denoise", str(image), "-o", str(image), "--overwrite"]) == 1
    assert image.read_bytes() == before


def test_one_bad_file_does_not_stop_a_batch(image, tmp_path, capsys):
    (tmp_path / "broken.tif").write_bytes(b"II*\x00")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "out").mkdir()
    assert main(["denoise", str(tmp_path), "-o", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["cells_denoise.ome.tif"]
    assert "broken.tif" in captured.err
    assert "file is no image that can be opened and is left out" in captured.err
    assert "1 of 2 images done, 1 failed" in captured.out


def test_damaged_file_gets_one_sentence_and_no_log_of_the_reader(tmp_path, capsys, caplog):
    (tmp_path / "broken.tif").write_bytes(b"II*\0junk")
    assert main(["denoise", str(tmp_path / "broken.tif")]) == 1
    assert capsys.readouterr().err.splitlines() == [f"genrecon: {tmp_path / 'broken.tif'}: broken.tif holds no image"]
    assert not caplog.records


def test_folder_can_be_processed_again_and_again(image, tmp_path, capsys):
    for _ in range(2):
        assert main(["denoise", str(tmp_path), "--overwrite"]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cells.tif", "cells_denoise.ome.tif"]
    assert "left out as results of earlier runs: 1" in capsys.readouterr().err


def test_new_folder_is_made_and_keeps_subfolders(image, tmp_path):
    for i in range(2):
        (tmp_path / "in" / f"Pos{i}").mkdir(parents=True)
        tifffile.imwrite(tmp_path / "in" / f"Pos{i}" / "img.tif", tifffile.imread(image) + i)
    given = [str(tmp_path / "in" / f"Pos{i}" / "img.tif") for i in range(2)]
    assert main(["denoise", *given, "-o", f"{tmp_path}/results/", "--overwrite"]) == 1
    assert not (tmp_path / "results").exists()
    assert main(["denoise", str(tmp_path / "in"), "-o", f"{tmp_path}/results/", "--recursive"]) == 0
    made = [open_image(tmp_path / "results" / f"Pos{i}" / "img_denoise.ome.tif").data for i in range(2)]
    np.testing.assert_allclose(made[1], made[0] + 1, atol=1e-3)


def test_error_of_the_system_is_a_sentence(image, monkeypatch, capsys):
    from napari_genrecon.tasks import files

    def refuse(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files, "open_image", refuse)
    assert main(["denoise", str(image)]) == 1
    assert f"{image}: cannot be read or written: Permission denied" in capsys.readouterr().err


def test_noise_report_can_be_given_back(image, tmp_path, capsys):
    assert main(["noise", str(image), "--json"]) == 0
    report = tmp_path / "noise.json"
    report.write_text(capsys.readouterr().out)
    assert json.loads(report.read_text())["gain"] >= 0
    assert main(["denoise", str(image), "--noise", str(report)]) == 0
    given = open_image(image.with_name("cells_denoise.ome.tif")).data
    np.testing.assert_array_equal(given, denoise(tifffile.imread(image), axes="ZYX"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--noise", "many"], "--noise takes a number or a file"),
        (["--strength", "3"], "strength must lie between 0 and 1.5, got 3.0"),
        (["--model", "denoice-2d"], "did you mean 'denoise-2d'"),
    ],
)
def test_options_that_cannot_work_get_a_sentence(image, capsys, arguments, sentence):
    assert main(["denoise", str(image), *arguments]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error


def test_interrupt_leaves_nothing(image, monkeypatch, capsys):
    from napari_genrecon.models import runtime

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(runtime.Model, "__call__", interrupt)
    assert main(["denoise", str(image)]) == 130
    assert [p.name for p in image.parent.iterdir()] == ["cells.tif"]
    assert "interrupted" in capsys.readouterr().err


def test_models_are_listed(capsys):
    assert main(["models"]) == 0
    assert "denoise-2d" in capsys.readouterr().out


def test_demo_gains_five_decibels(tmp_path, capsys):
    assert main(["demo", "--output", str(tmp_path / "demo")]) == 0
    text = capsys.readouterr().out
    assert float(text.rsplit("(+", 1)[1].split(" dB")[0]) >= 5
    assert {p.suffix for p in (tmp_path / "demo").iterdir()} == {".tif", ".png"}


def test_noise_of_several_images_is_a_line_of_json_each(image, capsys):
    main(["noise", str(image), "--json"])
    alone = json.loads(capsys.readouterr().out)
    assert main(["noise", str(image), str(image), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"image": str(image), "noise": alone}] * 2


def test_runs_as_a_module_where_the_command_is_not_on_the_path():
    said = subprocess.run([sys.executable, "-m", "napari_genrecon", "--version"], capture_output=True, text=True)
    assert said.stdout.startswith("napari-genrecon ")


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("hold out none (held_out=0)", "hold out none (--held-out 0)"),
        ("several models: choose one (model)", "several models: choose one (--model)"),
        ("there is no option of that name (tile)", "there is no option of that name (tile)"),
        ("cells (model).tif is damaged", "cells (model).tif is damaged"),
        ("cells (model) 2.tif is damaged", "cells (model) 2.tif is damaged"),
    ],
)
def test_options_in_messages_are_named_as_flags(message, said):
    assert sentence(OptionError(message), options={"held_out": 0.1, "model": "auto"}) == said
