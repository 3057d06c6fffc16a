"""The command line on large data and on results: OME-Zarr, resume, clusters, verify, replay."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from napari_genrecon import denoise
from napari_genrecon.axes import Axes
from napari_genrecon.cli import main
from napari_genrecon.engine.run import finish
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.provenance import digest_pixels
from napari_genrecon.io.zarr import journal
from napari_genrecon.io.zarr.write import write_zarr_steps
from napari_genrecon.models import runtime
from napari_genrecon.noise.same import compare

SCALE = (2.0, 0.1, 0.1)


@pytest.fixture
def noisy():
    return np.random.default_rng(0).poisson(30, (3, 64, 72)).astype("u2")


@pytest.fixture
def store(tmp_path, noisy):
    about = ImageMeta(axes=Axes("ZYX"), scale=SCALE, units=("micrometer",) * 3)
    return finish(write_zarr_steps(tmp_path / "cells.ome.zarr", noisy, about))


def content(path):
    files = (p for p in sorted(path.rglob("*")) if p.is_file() and p.name != "zarr.json")
    return {str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_zarr_in_gives_zarr_out_with_the_pixels_of_the_script(store, noisy, capsys):
    before = content(store)
    assert main(["denoise", str(store)]) == 0
    target = store.with_name("cells_denoise.ome.zarr")
    assert str(target) in capsys.readouterr().out
    found = open_image(target)
    np.testing.assert_allclose(np.asarray(found.data), denoise(noisy, axes="ZYX"), rtol=1e-5)
    assert found.scale == SCALE
    assert content(store) == before


def test_result_is_verified_replayed_and_described(store, capsys):
    assert main(["denoise", str(store), "--strength", "0.7"]) == 0
    target = str(store.with_name("cells_denoise.ome.zarr"))
    assert main(["verify", target]) == 0
    assert main(["replay", target]) == 0
    assert main(["methods", target]) == 0
    text = capsys.readouterr().out
    assert "unchanged since it was made" in text
    assert "made again, every pixel agrees" in text
    assert "denoised with napari-genrecon" in text
    assert "strength 0.7" in text


@pytest.mark.parametrize("axes", ["YX", "CYX", "TZCYX", "YXS"])
@pytest.mark.parametrize("ending", ["tif", "zarr"])
def test_every_kind_of_result_can_be_replayed(tmp_path, axes, ending, capsys):
    shape = tuple({"T": 1, "Z": 2, "C": 2, "Y": 40, "X": 48, "S": 3}[letter] for letter in axes)
    image = np.random.default_rng(0).poisson(30, shape).astype("u1" if "S" in axes else "u2")
    source, target = tmp_path / "a.tif", tmp_path / f"b.ome.{ending}"
    tifffile.imwrite(source, image, metadata={"axes": axes}, photometric="rgb" if "S" in axes else "minisblack")
    assert main(["denoise", str(source), "-o", str(target), "--axes", axes]) == 0
    assert main(["verify", str(target)]) == 0
    assert main(["replay", str(target)]) == 0
    assert "every pixel agrees" in capsys.readouterr().out


def test_replay_wants_the_same_input(store, tmp_path, noisy, capsys):
    assert main(["denoise", str(store)]) == 0
    target = str(store.with_name("cells_denoise.ome.zarr"))
    tifffile.imwrite(tmp_path / "other.tif", noisy + 1)
    assert main(["replay", target, "--input", str(tmp_path / "other.tif")]) == 1
    assert "is not the image that" in capsys.readouterr().err
    store.rename(tmp_path / "moved.zarr")
    assert main(["replay", target]) == 1
    assert "say where it is with --input" in capsys.readouterr().err
    assert main(["replay", target, "--input", str(tmp_path / "moved.zarr")]) == 0


def test_edited_result_is_told(store, capsys):
    import zarr

    assert main(["denoise", str(store)]) == 0
    target = store.with_name("cells_denoise.ome.zarr")
    zarr.open_array(target / "0", mode="r+")[1, 2, 3] += 1
    assert main(["verify", str(target)]) == 1
    assert "pixels were changed" in capsys.readouterr().err
    assert main(["replay", str(target)]) == 1
    assert "the pixels differ by up to 1" in capsys.readouterr().err


def test_interrupted_run_is_continued(store, monkeypatch, capsys):
    target = store.with_name("cells_denoise.ome.zarr")
    assert main(["denoise", str(store), "-o", str(store.with_name("whole.ome.zarr"))]) == 0
    unfinished(store, monkeypatch)
    assert not target.exists()
    assert main(["denoise", str(target) + ".part"]) == 1
    assert "is an unfinished result" in capsys.readouterr().err
    assert main(["denoise", str(store)]) == 1
    assert "continue it with --resume" in capsys.readouterr().err
    assert main(["denoise", str(store), "--resume"]) == 0
    assert content(target) == content(store.with_name("whole.ome.zarr"))


# Ends at once at the fifth plane, as a process does that is killed: nothing is cleaned up.
_KILLED = """
import os, sys
from napari_genrecon.cli import main
from napari_genrecon.models import runtime
real, calls = runtime.Model.__call__, []
def call(self, *args):
    calls.append(1)
    return real(self, *args) if len(calls) < 5 else os._exit(9)
runtime.Model.__call__ = call
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_batch_that_was_killed_in_the_middle_of_an_image_is_continued(tmp_path, noisy, capsys):
    (tmp_path / "in").mkdir()
    for name in "abc":
        tifffile.imwrite(tmp_path / "in" / f"{name}.tif", noisy, metadata={"axes": "ZYX"}, photometric="minisblack")
    # The process of its own is not told to take float32, as these tests are.
    call = ["denoise", str(tmp_path / "in"), "--name", "{name}.ome.zarr", "--precision", "float32", "-o"]
    assert main([*call, f"{tmp_path}/whole/"]) == 0
    out = tmp_path / "out"
    assert subprocess.run([sys.executable, "-c", _KILLED, *call, f"{out}/"], check=False).returncode == 9
    assert {path.name for path in out.iterdir() if path.is_dir()} == {"a.ome.zarr", "b.ome.zarr.part"}
    capsys.readouterr()
    assert main([*call, f"{out}/", "--resume"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.endswith("(done before)") for line in said] == [True, False, False, False]
    for name in "abc":
        result = out / f"{name}.ome.zarr"
        assert content(result) == content(tmp_path / "whole" / result.name)
        assert main(["verify", str(result)]) == 0


def test_folder_of_planes_is_one_stack_on_request(tmp_path, noisy):
    folder = tmp_path / "movie"
    folder.mkdir()
    for i, plane in enumerate(noisy):
        tifffile.imwrite(folder / f"{i}.tif", plane)
    assert main(["denoise", str(folder), "--stack"]) == 0
    found = open_image(tmp_path / "movie_denoise.ome.tif")
    np.testing.assert_allclose(found.data, denoise(noisy, axes="ZYX"), rtol=1e-5)


def test_workers_write_the_same_image(store, capsys):
    """They have one thread each, which may change the last digits."""
    pytest.importorskip("distributed")
    here, there = store.with_name("here.ome.zarr"), store.with_name("there.ome.zarr")
    assert main(["denoise", str(store), "-o", str(here)]) == 0
    assert main(["denoise", str(store), "-o", str(there), "--scheduler", "local", "--workers", "1"]) == 0
    found, made = open_image(there), open_image(here)
    assert compare(found.data, made.data, made.record["noise"]).same
    (worker,) = found.record["machines"]
    assert worker.endswith("1 thread")
    assert main(["replay", str(there)]) == 0


def unfinished(store, monkeypatch, regions=2):
    """A run that was interrupted after some regions."""
    real, calls = runtime.Model.__call__, []

    def interrupt(self, *args):
        calls.append(1)
        if len(calls) > regions:
            raise KeyboardInterrupt
        return real(self, *args)

    monkeypatch.setattr(runtime.Model, "__call__", interrupt)
    assert main(["denoise", str(store)]) == 130
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("sigmas", "scheduler"),
    [
        (0, []),
        (1e-4, []),
        (1e-2, []),
        pytest.param(1e-4, ["--scheduler", "local", "--workers", "1"], marks=pytest.mark.slow, id="workers"),
        pytest.param(1e-2, ["--scheduler", "local", "--workers", "1"], marks=pytest.mark.slow, id="workers-wrong"),
    ],
)
def test_run_of_another_machine_is_continued_if_both_fit_together(store, monkeypatch, capsys, sigmas, scheduler):
    if scheduler:
        pytest.importorskip("distributed")
    unfinished(store, monkeypatch)
    target = store.with_name("cells_denoise.ome.zarr")
    _as_if_made_elsewhere(target.with_name(target.name + ".part"), sigmas)
    assert main(["denoise", str(store), "--resume", *scheduler]) == (0 if sigmas < 1e-3 else 1)
    said = capsys.readouterr().err
    if sigmas < 1e-3:
        assert "not bit for bit" in said
        assert "a machine elsewhere, 64 threads" in open_image(target).record["machines"]
        assert main(["verify", str(target)]) == 0
    else:
        assert "was begun by a machine elsewhere, 64 threads" in said
        assert "noise s.d." in said


def _as_if_made_elsewhere(part, sigmas):
    """Move the stored pixels, and measured numbers in their last digits, as another machine would."""
    import zarr

    header, stored = journal.read(part)
    (noise,) = header.record["noise"]
    sigma = noise["sigma"]
    noise["gain"] *= 1 + 1e-12
    pixels = zarr.open_array(part / "0", mode="r+")
    (part / journal.JOURNAL).unlink()
    journal.begin(part, header._replace(run="as computed there"))
    for index, region in stored.items():
        pixels[index[0]] = pixels[index[0]] + np.float32(sigmas * sigma)
        digest = digest_pixels(pixels[index[0] : index[0] + 1])
        journal.append(part, index, region._replace(digest=digest, machine="a machine elsewhere, 64 threads"))


def test_run_in_another_precision_is_not_continued(store, monkeypatch, capsys):
    unfinished(store, monkeypatch)
    monkeypatch.setattr("napari_genrecon.models.precision.bfloat16_is_native", lambda device: True)
    assert main(["denoise", str(store), "--resume"]) == 1
    assert "was begun in float32, and would be continued in bfloat16 here" in capsys.readouterr().err


def test_other_options_or_noise_are_another_run(store, monkeypatch, capsys):
    unfinished(store, monkeypatch)
    for changed in (["--strength", "0.9"], ["--noise", "7"]):
        assert main(["denoise", str(store), "--resume", *changed]) == 1
        assert "other options" in capsys.readouterr().err


@pytest.mark.parametrize("workers", ["0", "-1"])
def test_no_worker_at_all_is_refused_instead_of_waited_for(store, capsys, workers):
    assert main(["denoise", str(store), "--scheduler", "local", "--workers", workers]) == 1
    assert f"at least 1 worker is needed to compute anything, got {workers}" in capsys.readouterr().err


def test_scheduler_that_does_not_answer_gets_a_sentence(store, capsys, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("napari_genrecon.engine.cluster._TIMEOUT", 0.5)
    command = ["denoise", str(store), "-o", str(store.with_name("a.zarr")), "--scheduler", "tcp://127.0.0.1:1"]
    assert main(command) == 1
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_result_is_checked_against_its_image(store, tmp_path, ending, capsys):
    target = tmp_path / f"clean{ending}"
    assert main(["denoise", str(store), "-o", str(target)]) == 0
    assert main(["check", str(target)]) == 0
    out = capsys.readouterr().out
    assert "isolated changes: none found" in out
    assert "times the variance of the noise" in out


def test_result_is_not_checked_against_another_image(tmp_path, noisy, capsys):
    tifffile.imwrite(tmp_path / "cells.tif", noisy)
    assert main(["denoise", str(tmp_path / "cells.tif")]) == 0
    tifffile.imwrite(tmp_path / "cells.tif", noisy[::-1])
    assert main(["check", str(tmp_path / "cells_denoise.ome.tif")]) == 1
    assert "cells.tif is not the image that" in capsys.readouterr().err


@pytest.mark.slow
def test_workers_read_a_large_tiff_themselves(tmp_path, noisy, monkeypatch):
    """What is sent to them is where the file is, not its pixels."""
    pytest.importorskip("distributed")
    from napari_genrecon.io import lazy

    source = tmp_path / "cells.tif"
    tifffile.imwrite(source, noisy, photometric="minisblack", metadata={"axes": "ZYX"})
    monkeypatch.setattr(lazy, "_ABOVE", 1000)
    monkeypatch.setattr(lazy, "available_memory", lambda: 1000)
    before = source.read_bytes()
    target = tmp_path / "there.ome.zarr"
    assert main(["denoise", str(source), "-o", str(target), "--scheduler", "local", "--keep-dtype"]) == 0
    found = open_image(target)
    assert compare(found.data, denoise(noisy, axes="ZYX", keep_dtype=True), found.record["noise"]).same
    assert found.record["output"] == {"dtype": "uint16", "clipped": 0, "nan": 0}
    assert source.read_bytes() == before


@pytest.mark.parametrize("task", ["denoise", "detect"])
def test_input_in_a_folder_that_is_not_there_is_what_is_told(tmp_path, capsys, task):
    wrong = tmp_path / "typo" / "cells.tif"
    assert main([task, str(wrong)]) == 1
    assert capsys.readouterr().err == f"genrecon: {wrong}: there is no file {wrong}\n"


def test_messages_of_detect_name_flags_that_it_has(tmp_path, capsys):
    y, x = np.mgrid[:96, :96]
    spots = sum(60 * np.exp(-((y - i) ** 2 + (x - j) ** 2) / 60) for i in (20, 48, 76) for j in (20, 48, 76))
    tifffile.imwrite(tmp_path / "cells.tif", np.random.default_rng(0).poisson(15 + spots).astype("u2"))
    call = ["detect", str(tmp_path / "cells.tif"), "--max-size", "3"]
    assert main(call) == 0
    assert "pixels (--max-size " in capsys.readouterr().err
    assert main(call) == 1
    assert capsys.readouterr().err.endswith("(or give --overwrite)\n")


def test_assumed_axes_are_told_with_the_flag_that_sets_them(tmp_path, capsys):
    planes, both = tmp_path / "planes", np.random.default_rng(0).poisson(30, (2, 128, 128)).astype("u2")
    planes.mkdir()
    for index, plane in enumerate(both):
        tifffile.imwrite(planes / f"{index}.tif", plane)
    assert main(["denoise", str(planes), "--stack", "-o", str(tmp_path / "a.ome.tif"), "--strength", "0"]) == 0
    assert main(["noise", str(planes)]) == 0
    said = capsys.readouterr()
    for text in said:
        assert "if dimension 0 holds channels, set 'CYX' (--axes)\n" in text
