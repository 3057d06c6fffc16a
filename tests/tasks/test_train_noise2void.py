"""A denoiser from single noisy images: what it learns from, and that no score is taken for the truth."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from napari_genrecon import denoise, load_model, train
from napari_genrecon.cli import main
from napari_genrecon.errors import GenReconWarning, ImageError, OptionError
from napari_genrecon.models.registry import find_model, list_models
from napari_genrecon.models.runtime import build_network
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.advise.rules import RULES
from napari_genrecon.tasks.model_fit import notes_on_model
from napari_genrecon.tasks.train.data import training_data
from napari_genrecon.training import RECIPES, find_recipe, read_options
from napari_genrecon.training.data.dataset import CropOptions, Dataset
from napari_genrecon.training.recipes.noise2void import _coloured, _recorrupted
from napari_genrecon.training.session import train_steps

SMALL = CropOptions(size=32, held_out=0.2, n=60)
FLAGS = ["--batch", "2", "--steps", "2", "--device", "cpu", "--size", "32", "--n-crops", "60"]
CAUTION = "no truth is known: the score rests on the noise as it was measured in the same images; compare with the"
RECIPE = find_recipe("noise2void")
SPOILED = 0.7  # factor of the last weights of a start that is worse than it could be

pytestmark = pytest.mark.usefixtures("own_folders")


def clean(seed=0, side=192):
    image = gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 3)
    return 200 + 4000 * np.clip(image, 0, None)


def noisy(seed=0, side=192):
    return (np.random.default_rng(seed).poisson(clean(seed, side) / 10) * 10.0 + 100).astype("uint16")


def correlated():
    """Noise that is correlated along x, over 2 to 3 pixels."""
    noise = gaussian_filter1d(np.random.default_rng(5).normal(size=(256, 256)), 1.0, axis=1)
    return (clean(0, 256) + 60 * noise / noise.std()).astype(np.float32)


def options(**changes):
    return read_options({"kind": "noise2void", "batch": 2, "steps": 2, "device": "cpu", **changes})


def scaled(factor):
    """Return the bundled network with its last weights changed."""
    start = load_model("denoise-2d", "cpu")
    network = build_network(start.card)
    weights = {name: torch.from_numpy(weight) for name, weight in start.weights().items()}
    network.load_state_dict({**weights, "tail.weight": factor * weights["tail.weight"]})
    return network


# --- the data ---


def test_white_noise_hides_single_pixels():
    found = training_data(RECIPE, noisy(1), SMALL, {})
    assert found.measured["blind"] == [0, 0]
    assert found.targets is None
    assert found.x.shape[1:] == (1, 32, 32)
    assert "are hidden" not in "; ".join(found.notes)


def test_correlated_noise_widens_the_blind_spot_along_its_axis():
    found = training_data(RECIPE, correlated(), SMALL, {})
    y, x = found.measured["blind"]
    assert y <= 1
    assert 2 <= x <= 4
    assert f"spots of {2 * x + 1} x {2 * y + 1} pixels are hidden" in "; ".join(found.notes)


def test_layers_of_other_sizes_and_movies_are_taken():
    several = training_data(RECIPE, [noisy(0), noisy(1)[:160], noisy(2)], SMALL, {})
    assert len(np.unique(several.source[several.held_out])) == 1  # a whole image is held out
    assert set(several.source[several.held_out]).isdisjoint(several.source[~several.held_out])
    movie = training_data(RECIPE, np.stack([noisy(0), noisy(1)]), SMALL, {"axes": "TYX"})
    assert set(movie.place[:, 0]) == {0, 1}


@pytest.mark.parametrize(
    ("image", "crops", "where", "sentence"),
    [
        (noisy()[:64, :64], SMALL, {}, "too small to hold out|are needed"),
        (np.full((192, 192), 7.0), SMALL, {}, "crops are constant: there is nothing to train on"),
        (clean(), SMALL, {"targets": clean()}, "Noise2Void learns from noisy images alone: leave out the targets"),
        (correlated(), replace(SMALL, size=8), {}, "the crops have 8 pixels a side, and pixels hidden as far as"),
        (np.full((192, 192), np.nan), SMALL, {}, "hold NaN or infinite pixels"),
    ],
    ids=["too-little", "constant", "targets", "small-crops", "nan"],
)
def test_images_that_cannot_be_trained_on_get_a_sentence(image, crops, where, sentence):
    with pytest.raises((ImageError, OptionError), match=sentence):
        training_data(RECIPE, image, crops, where)


def test_nothing_held_out_is_refused():
    with pytest.raises(OptionError, match="Noise2Void is judged on held-out crops, and there are none"):
        train("noise2void", noisy(), options=options(), crops=replace(SMALL, held_out=0.0))


# --- it is never taken for more than it is ---


def test_it_is_offered_only_with_its_caution_and_never_by_default():
    assert CAUTION in RECIPE.about_data
    assert "no truth is known" in RECIPE.title
    assert next(iter(RECIPES)) != "noise2void"
    naming = [rule for rule in RULES if "noise2void" in repr(rule).casefold()]
    assert naming
    assert not any(rule.do for rule in naming)


@pytest.mark.slow
def test_training_that_changes_nothing_says_so_and_gives_the_pixels_of_the_bundled_model():
    image = noisy()
    model = train("noise2void", image, name="mine", crops=SMALL, options=options(rate=1e-9))
    assert model.card.calibration["share"] == 0
    with pytest.warns(GenReconWarning, match="not better than the bundled model, which is kept"):
        mine = denoise(image, model="mine", device="cpu")
    np.testing.assert_array_equal(mine, denoise(image, device="cpu"))
    assert find_model("auto", "denoise").name == "denoise-2d"


@pytest.fixture
def _spoiled(monkeypatch):
    """Start from bundled weights that are worse than they could be."""
    from napari_genrecon.models import runtime

    real = runtime.trained_network

    def worse(card, weights=None):
        network = real(card, weights)
        if not card.path and weights is None:
            network.tail.weight.data *= SPOILED
        return network

    monkeypatch.setattr(runtime, "trained_network", worse)
    runtime.load_network.cache_clear()
    yield
    runtime.load_network.cache_clear()


@pytest.mark.usefixtures("_spoiled")
def test_model_that_is_better_in_use_is_kept_with_the_caution_on_every_result():
    found = training_data(RECIPE, noisy(1, 256), replace(SMALL, n=None), {})
    card = replace(find_model("denoise-2d"), name="mine", calibration={"data": found.measured})
    score = RECIPE.score(RECIPE.model(card, scaled(1 / SPOILED), "cpu"), found)
    assert score.card["calibration"]["gain_95"][0] > 0
    assert 0.1 <= score.card["calibration"]["share"] <= 1
    assert score.value < 0  # better than the bundled one
    assert "on held-out crops, by the measured noise" in score.card["summary"]
    said = notes_on_model(replace(card, **score.card), [NoiseModel.white(5.0)], None)
    assert CAUTION in said[0]


def test_noise_of_judged_inputs_and_targets_is_independent():
    rng = np.random.default_rng(0)
    told = np.tile(np.array([1, 0.7, 0.0], np.float32), (400, 1))
    noise = np.stack([_coloured(rng.normal(size=(1, 32, 32)), 0.7, 0.0) for _ in told])
    zeros = np.zeros(400, np.int64)
    place = np.stack([zeros, zeros, 32 * np.arange(400)], axis=1)
    found = Dataset(
        x=noise.astype(np.float32), told=told, place=place, source=zeros, label=zeros, held_out=zeros == 0, options={}
    )
    x, targets = (each.reshape(-1) for each in _recorrupted(found, 1.0))
    assert noise.std() == pytest.approx(1, rel=0.02)
    assert np.mean(noise[..., 1:] * noise[..., :-1]) == pytest.approx(0.7, abs=0.03)
    assert np.mean(noise[..., 1:, :] * noise[..., :-1, :]) == pytest.approx(0.0, abs=0.03)
    assert np.var(x) == pytest.approx(1.25, rel=0.05)
    assert np.var(targets) == pytest.approx(5, rel=0.05)
    assert np.corrcoef(x, targets)[0, 1] == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("factor", [0.9, 1.1], ids=["darker", "brighter"])
def test_model_that_is_worse_in_use_is_given_up(factor):
    found = training_data(RECIPE, noisy(1, 384), SMALL, {})
    start = load_model("denoise-2d", "cpu")
    score = RECIPE.score(RECIPE.model(start.card, scaled(factor), "cpu"), found)
    assert score.card["calibration"]["share"] == 0
    assert "not better than the bundled model" in score.card["warnings"][0]
    for name, weight in start.weights().items():
        np.testing.assert_array_equal(score.weights[name], weight)


@pytest.mark.slow
def test_resumed_training_equals_an_uninterrupted_one_bit_for_bit(tmp_path):
    found = training_data(RECIPE, noisy(), SMALL, {})
    for folder, stops in (("whole", (4,)), ("cut", (2, 4))):
        for stop in stops:
            running = train_steps(found, options(steps=4), tmp_path / folder, name="mine")
            for progress in running:
                if progress.step == stop:
                    break
            running.close()
    name = "step-00000004.safetensors"  # weights, averages and moments
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


@pytest.mark.slow
def test_command_line_and_script_train_the_same_model_from_a_folder(tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    for seed in range(3):
        tifffile.imwrite(tmp_path / "folder" / f"{seed}.tif", noisy(seed))
    assert main(["train", "noise2void", "folder", "--name", "command", *FLAGS]) == 0
    said = capsys.readouterr()
    assert "trained command  (denoise" in said.out
    made = train("noise2void", [noisy(seed) for seed in range(3)], name="script", crops=SMALL, options=options())
    for name, weight in load_model("command", "cpu").weights().items():
        np.testing.assert_array_equal(weight, made.weights()[name])
    assert [card.name for card in list_models("denoise")] == ["denoise-2d", "command", "script"]
