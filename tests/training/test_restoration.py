"""Laws of the training of a denoiser: it resumes exactly, stops with a judged model, and keeps what helps only."""

import itertools

import numpy as np
import pytest
import torch

from napari_genrecon.errors import OptionError
from napari_genrecon.models import find_model, load_model
from napari_genrecon.models.files import read_card
from napari_genrecon.training import all_options, find_recipe, read_options
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.recipes.restoration import held_out_gain, judged_crops
from napari_genrecon.training.session import train_steps

OPTIONS = read_options({"kind": "care", "batch": 2, "steps": 4, "device": "cpu"})


def dataset(n=40, held=8):
    rng = np.random.default_rng(0)
    clean = np.repeat(np.repeat(rng.normal(0, 4, (n, 1, 4, 4)), 8, -1), 8, -2).astype(np.float32)
    zeros = np.zeros(n, np.int64)
    place = np.stack([zeros, zeros, 32 * np.arange(n)], axis=1)
    return Dataset(
        x=clean + rng.normal(size=clean.shape).astype(np.float32), targets=clean, place=place, source=zeros,
        label=zeros, told=np.tile(np.array([1, 0, 0], np.float32), (n, 1)), held_out=np.arange(n) >= n - held,
        options={}, measured={"snr": [4.0, 4.0], "rho": [0.0, 0.0], "channels": 1},
    )  # fmt: skip


def run(folder, steps=None, found=None):
    running = train_steps(found or dataset(), OPTIONS, folder, name="mito")
    for _ in itertools.islice(running, steps):
        pass
    running.close()


@pytest.mark.slow
def test_resumed_training_of_a_denoiser_equals_an_uninterrupted_one_bit_for_bit(tmp_path):
    run(tmp_path / "whole")
    run(tmp_path / "cut", 2)
    torch.manual_seed(99)  # nothing depends on the global random state
    run(tmp_path / "cut")
    name = "step-00000004.safetensors"  # weights, averages and moments
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


@pytest.mark.slow
def test_training_that_is_stopped_leaves_a_model_that_was_judged(tmp_path):
    run(tmp_path, 1)
    card = read_card(tmp_path / "best.safetensors")
    assert card.task == "denoise"
    assert card.calibration["start"] == "denoise-2d"
    assert {"gain_db", "gain_95", "share"} <= set(card.calibration)
    assert (card.told, card.halo) == (find_model("denoise-2d").told, find_model("denoise-2d").halo)
    model = load_model(tmp_path / "best.safetensors", "cpu")
    assert model(np.zeros((32, 32)), 1.0, (0.0, 0.0)).shape == (32, 32)
    rows = np.load(tmp_path / "samples.npy")
    np.testing.assert_array_equal(np.isin(rows[0], dataset().x), True)  # a held-out crop as it is


def test_some_crops_are_judged_wherever_they_lie_and_none_twice():
    found = dataset(n=40, held=12)
    on_a_grid = np.stack([np.zeros(40), 32 * (np.arange(40) // 8), 32 * (np.arange(40) % 8)], axis=1).astype(np.int64)
    object.__setattr__(found, "place", on_a_grid)
    assert len(judged_crops(found)) == 12
    object.__setattr__(found, "place", np.random.default_rng(0).integers(0, 400, (40, 3)))
    (first, *others) = found.place[judged_crops(found), 1:]
    assert all(np.abs(other - first).max() >= 32 for other in others)


def test_nothing_held_out_and_no_targets_are_refused():
    recipe = find_recipe("care")
    with pytest.raises(OptionError, match="CARE is judged on held-out crops, and there are none"):
        recipe.check(dataset(held=0))
    found = dataset()
    object.__setattr__(found, "targets", None)
    with pytest.raises(OptionError, match="CARE trains on images and targets, and no targets were given"):
        recipe.check(found)


def test_gain_does_not_count_the_noise_of_the_targets():
    rng = np.random.default_rng(0)
    noise = 1 + 0.1 * rng.random(200)
    gain, (low, high) = held_out_gain(0.2 + noise, 0.1 + noise, noise)
    assert gain == pytest.approx(10 * np.log10(2), abs=1e-6)
    assert low == pytest.approx(gain)
    assert high == pytest.approx(gain)


def test_interval_of_the_gain_holds_zero_where_nothing_was_gained():
    rng = np.random.default_rng(0)
    start = rng.random(100)
    _, (low, high) = held_out_gain(start, rng.permutation(start), np.zeros(100))
    assert low < 0 < high


def test_gain_is_finite_where_noise_of_targets_is_overestimated():
    gain, interval = held_out_gain(np.full(9, 0.5), np.full(9, 0.4), np.full(9, 2.0))
    assert np.isfinite([gain, *interval]).all()
    assert gain > 0


def test_help_names_the_defaults_of_recipes_that_differ():
    import typing

    hint = typing.get_type_hints(all_options(), include_extras=True)["batch"]
    assert "8 for care, 8 for noise2noise" in hint.__metadata__[0]["tooltip"]
