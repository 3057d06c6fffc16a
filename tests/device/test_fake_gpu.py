"""GPU paths without a GPU: in a process of its own, on a device that refuses what GPUs refuse."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "on_fake_gpu.py"
# Noise of 5 grey values: float32 sums in another order, as another layout in memory gives, are 1e-5 of that apart.
SAME = 1e-3


def on_fake_gpu(part, argument="-"):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), part, argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found
    return found


def test_device_refuses_what_gpus_refuse():
    said = {found["name"]: found["said"] for found in on_fake_gpu("rules")}
    assert "same device" in said["mixed"]
    assert "doesn't support float64" in said["float64"]


def test_auto_finds_it_and_the_record_names_it():
    (found,) = on_fake_gpu("auto")
    assert found["device"] == "fakegpu:0"
    assert found["allocations"] > 50


def test_a_tile_takes_at_most_three_copies_there_and_one_back():
    (found,) = on_fake_gpu("copies")
    assert found["in"] <= 3
    assert found["out"] == 1


def test_planes_in_flight_equal_the_cpu_and_a_closed_run_leaves_nothing():
    stack, closed = on_fake_gpu("ahead")
    assert stack["apart"] <= SAME
    assert stack["in"] <= 3 * stack["planes"]
    assert stack["out"] <= stack["planes"]
    assert 2 <= closed["most"] <= 8
    assert closed["threads"] == closed["waiting"] == 0


@pytest.mark.parametrize(("memory", "calls"), [("enough", [1, 2, 3]), ("too large", [1, 1, 1, 1, 1, 1])])
def test_small_planes_that_wait_become_one_batch_where_it_fits(memory, calls):
    (found,) = on_fake_gpu("stacked", memory)
    assert found["apart"] <= SAME
    assert sorted(found["calls"])[: len(calls)] == calls
    assert found["out"] == (3 if memory == "enough" else 6)


@pytest.mark.slow
def test_fourier_transforms_of_deblurring_on_the_device_equal_those_of_the_cpu():
    for found in on_fake_gpu("transforms"):
        if "said" in found:
            assert "not enough memory even for a tile" in found["said"], found
            continue
        assert found["used"], found
        assert found["device"] == "fakegpu:0"
        assert found["apart"] <= SAME, found


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", ["denoise,deblur", "upscale 2,upscale 3,upscale denoised", "upscale z", "inpaint"], ids=str
)
def test_every_task_equals_the_cpu(names):
    for found in on_fake_gpu("compare_tasks", names):
        assert found["used"] > 20, f"{found['name']} did not use the device"
        assert found["apart"] <= SAME, found


@pytest.mark.slow
def test_generative_models_equal_the_cpu():
    found = on_fake_gpu("compare_generative", "nuclei-vae-32,nuclei-dcgan-32")
    assert {entry["name"].split()[1] for entry in found} == {"sample", "encode", "posterior", "bound"}
    for entry in found:
        assert entry["apart"] <= SAME, entry


@pytest.mark.slow
def test_training_turns_equal_the_cpu():
    for found in on_fake_gpu("train", "vae,dcgan"):
        assert found["apart"] <= SAME, found


@pytest.mark.slow
@pytest.mark.parametrize("path", ["eager", "ahead", "lazy", "zarr", "loading", "sample"])
def test_running_out_of_memory_anywhere_gives_right_pixels_or_a_sentence(path):
    outcomes = on_fake_gpu("out_of_memory", path)
    for found in outcomes:
        assert found["apart"] <= 5 * SAME, found
        assert not found["said"] or "memory" in found["said"], found
    if path != "loading":  # loading cannot be done in parts
        assert any(not found["said"] for found in outcomes)


@pytest.mark.slow
def test_smaller_tiles_give_the_same_pixels_eager_and_lazy():
    for found in on_fake_gpu("half_fits"):
        assert found["apart"] <= 5 * SAME, found


def test_a_card_that_is_too_small_gets_a_sentence():
    (found,) = on_fake_gpu("too_small")
    assert "not enough memory even for a tile" in found["said"]
    assert "choose device 'cpu'" in found["said"]
