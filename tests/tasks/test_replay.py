"""Results are made again: bit for bit on the machine that made them, within a stated bound on another."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import torch
import zarr

from napari_genrecon import denoise
from napari_genrecon.cli import main
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record import provenance
from napari_genrecon.io.record.check import record_of
from napari_genrecon.models import runtime

PSF = ["--psf", "2"]
COMMANDS = {"denoise": [], "upscale": [], "deblur": PSF, "inpaint": ["--detect", "lines"]}


@pytest.fixture
def source(tmp_path):
    image = np.random.default_rng(0).poisson(30, (72, 80)).astype("u2")
    image[:, 40] = 0
    tifffile.imwrite(tmp_path / "cells.tif", image)
    return tmp_path / "cells.tif"


def made(source, task="denoise", *options):
    target = source.with_name(f"{task}.ome.tif")
    assert main([task, str(source), "-o", str(target), *COMMANDS[task], *options]) == 0
    return target


def elsewhere(monkeypatch):
    monkeypatch.setattr(provenance, "_processor", lambda: "another processor")


def off_by(monkeypatch, sigmas):
    """Let the network, which sees noise of s.d. 1, make an error in one pixel."""
    real = runtime.Model.__call__

    def wrong(self, y, sigma, rho):
        result = real(self, y, sigma, rho)
        result[30, 30] += sigmas
        return result

    monkeypatch.setattr(runtime.Model, "__call__", wrong)


def test_record_names_the_machine(source):
    (told,) = record_of(open_image(made(source, "denoise", "--precision", "float32")))["machines"]
    assert provenance.machine("") == told
    assert f"{torch.get_num_threads()} thread" in told


SEVERAL = ("inpaint", "--n", "2", "--method", "pnp")


@pytest.mark.parametrize("command", [*((task,) for task in COMMANDS), SEVERAL], ids=lambda command: " ".join(command))
def test_same_machine_must_agree_in_every_pixel(source, command, capsys):
    assert main(["replay", str(made(source, *command))]) == 0
    assert "every pixel agrees" in capsys.readouterr().out


def test_16_bit_floats_are_rounded_in_a_tiff_that_is_written_from_a_lazy_image(tmp_path, capsys):
    image = np.random.default_rng(0).poisson(100, (72, 80)).astype("f2")
    zarr.save_array(tmp_path / "cells.zarr", image)
    assert main(["denoise", str(tmp_path / "cells.zarr"), "-o", str(tmp_path / "a.tif"), "--keep-dtype"]) == 0
    stored = tifffile.imread(tmp_path / "a.tif")
    np.testing.assert_array_equal(stored, denoise(image, keep_dtype=True))
    assert main(["replay", str(tmp_path / "a.tif")]) == 0
    assert "every pixel agrees" in capsys.readouterr().out


@pytest.mark.parametrize("there", [False, True], ids=["here", "elsewhere"])
@pytest.mark.parametrize("sigmas", [1e-4, 1e-2])
def test_small_differences_are_accepted_from_another_machine_only(source, there, sigmas, monkeypatch, capsys):
    target = made(source)
    off_by(monkeypatch, sigmas)
    if there:
        elsewhere(monkeypatch)
    accepted = there and sigmas < 1e-3
    assert main(["replay", str(target)]) == (0 if accepted else 1)
    out, err = capsys.readouterr()
    assert "noise s.d." in (out if accepted else err)
    assert ("the same within 0.001 noise s.d." in out) is accepted
    assert ("another processor" in out + err) is there


def test_old_record_that_names_no_machine_is_replayed_within_the_bound(source, monkeypatch, capsys):
    real = provenance.make_record

    def old_record(*args, **facts):
        return {key: value for key, value in real(*args, **facts).items() if key != "machines"}

    monkeypatch.setattr("napari_genrecon.tasks.plan.make_record", old_record)
    target = made(source)
    monkeypatch.undo()
    assert "machines" not in record_of(open_image(target))
    off_by(monkeypatch, 1e-4)
    assert main(["replay", str(target)]) == 0
    assert "an unknown machine" in capsys.readouterr().out
    off_by(monkeypatch, 1e-2)
    assert main(["replay", str(target)]) == 1


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_number_of_threads_changes_nothing_beyond_the_bound(source, threads, capsys):
    before = torch.get_num_threads()
    target = made(source, "denoise")
    torch.set_num_threads(threads)
    try:
        assert main(["replay", str(target)]) == 0
    finally:
        torch.set_num_threads(before)
    said = capsys.readouterr().out
    assert "every pixel agrees" in said or "the same within 0.001" in said
    assert ("now by" in said) is (threads != before)


@pytest.mark.parametrize(
    ("most", "tasks"), [("AVX2", ["denoise"]), pytest.param("SSE41", COMMANDS, marks=pytest.mark.slow)]
)
def test_another_instruction_set_changes_nothing_beyond_the_bound(source, most, tasks):
    targets = [str(made(source, task)) for task in tasks]
    threads = "2" if torch.get_num_threads() == 1 else "1"
    other = {"ONEDNN_MAX_CPU_ISA": most, "OMP_NUM_THREADS": threads}
    if most == "SSE41":
        other["ATEN_CPU_CAPABILITY"] = "default"
    command = [sys.executable, "-m", "napari_genrecon", "replay", *targets]
    done = subprocess.run(command, env={**os.environ, **other}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("made again") == len(tasks)
    assert f"oneDNN {most}" in done.stdout
