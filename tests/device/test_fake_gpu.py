"""GPU paths without a GPU: in a process of its own, on a device that refuses what GPUs refuse."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_genrecon.models import MODELS
from napari_genrecon.training import RECIPES

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


@pytest.mark.slow
def test_device_refuses_what_gpus_refuse():
    said = {found["name"]: found["said"] for found in on_fake_gpu("rules")}
    assert "same device" in said["mixed"]
    assert "doesn't support float64" in said["float64"]


def test_auto_finds_it_and_the_record_names_it():
    (found,) = on_fake_gpu("auto")
    assert found["device"] == "fakegpu:0"
    assert found["allocations"] > 50


@pytest.mark.slow
def test_a_tile_takes_at_most_three_copies_there_and_one_back(own_folders):
    networks = on_fake_gpu("copies")
    assert len(networks) > len([card for card in MODELS if card.task != "sample"])
    for found in networks:
        assert found["in"] <= 3, found
        assert found["out"] == 1, found


@pytest.mark.slow
def test_memory_is_given_back_where_tiles_are_computed_late():
    for found in on_fake_gpu("released"):
        assert found["used"] > 20, found
        assert found["released"], found


@pytest.mark.slow
def test_planes_in_flight_equal_the_cpu_and_a_closed_run_leaves_nothing():
    stack, closed = on_fake_gpu("ahead")
    assert stack["apart"] <= SAME
    assert stack["in"] <= 3 * stack["planes"]
    assert stack["out"] <= stack["planes"]
    assert 2 <= closed["most"] <= 8
    assert closed["threads"] == closed["waiting"] == 0


@pytest.mark.slow
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
    "names",
    [
        "denoise,deblur",
        "upscale 2,upscale 3,upscale denoised",
        "upscale z",
        "inpaint",
        "movie,predict,predict stacks",
        "detect,classify",
    ],
)
def test_every_task_equals_the_cpu_and_gives_memory_back(names, own_folders):
    for found in on_fake_gpu("compare_tasks", names):
        assert found["used"] > 20, f"{found['name']} did not use the device"
        assert found["apart"] <= SAME, found
        assert found["released"], f"{found['name']} kept the memory"


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
@pytest.mark.parametrize("kind", RECIPES)
def test_whole_trainings_equal_the_cpu(kind):
    (found,) = on_fake_gpu("trained", kind)
    assert found["used"] > 100, found
    assert found["losses"] <= SAME, found
    assert found["preview"] <= SAME, found


@pytest.mark.slow
def test_training_that_fails_ends_in_a_sentence_that_offers_the_cpu(own_folders):
    *full, lost = on_fake_gpu("training_fails", "vae")
    assert sum(found["state"] == "failed" for found in full) >= 2
    for found in full:
        if found["state"] == "finished":  # samples are made in smaller batches
            continue
        assert "ran out of memory on device 'fakegpu:0'" in found["said"], found
        assert "choose device 'cpu'" in found["said"], found
    assert "restart the program, or choose device 'cpu'" in lost["said"]


TILED = ("eager", "ahead", "lazy", "zarr", "sample", "predict", "detect")
WHOLE = ("loading", "sample, loading", "classify", "movie")  # cannot be done in parts; movies: not of this size


@pytest.mark.slow
@pytest.mark.parametrize("path", [*TILED, *WHOLE])
def test_running_out_of_memory_anywhere_gives_right_pixels_or_a_sentence(path, own_folders):
    outcomes = on_fake_gpu("out_of_memory", path)
    for found in outcomes:
        assert found["apart"] <= 5 * SAME, found
        assert not found["said"] or "memory" in found["said"], found
    if path in TILED:
        assert any(not found["said"] for found in outcomes)


@pytest.mark.slow
def test_smaller_tiles_give_the_same_pixels_eager_and_lazy():
    for found in on_fake_gpu("half_fits"):
        assert found["apart"] <= 5 * SAME, found


@pytest.mark.slow
def test_a_card_that_is_too_small_gets_a_sentence():
    (found,) = on_fake_gpu("too_small")
    assert "not enough memory even for a tile" in found["said"]
    assert "choose device 'cpu'" in found["said"]
