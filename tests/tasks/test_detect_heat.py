"""Detect from clicks with a heat map: what is trained on, what is judged, and what is found."""

import csv

import numpy as np
import pytest
import tifffile
import torch

from napari_genrecon import detect
from napari_genrecon.cli import main
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import OptionError
from napari_genrecon.io.points import read_places
from napari_genrecon.io.record.check import record_at
from napari_genrecon.models import ModelCard
from napari_genrecon.models.networks import RARE
from napari_genrecon.models.runtime import Model
from napari_genrecon.numerics.logistic import Logistic
from napari_genrecon.tasks.detect import DetectOptions, detect_steps, heat
from napari_genrecon.tasks.detect.candidates import Candidates, Size
from napari_genrecon.tasks.detect.heat import Marked, Picture, heat_steps
from napari_genrecon.tasks.detect.rules import Rule, better, is_enough, learn_heat, split_clicks
from napari_genrecon.training import all_options, all_recipes, task_recipe

SHAPE = (160, 160)
COMPLETE = np.broadcast_to(np.arange(160)[:, None] < 64, SHAPE)  # two rows of the grid


def rings_and_discs(seed=0):
    """Objects on a grid that are equally high under a filter, and the places of the rings."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.mgrid[16:160:32, 16:160:32], -1).reshape(-1, 2) + rng.uniform(-4, 4, (25, 2))
    y, x = np.indices(SHAPE)
    image = 100 + rng.normal(size=SHAPE)
    for index, place in enumerate(places):
        gap = np.hypot(y - place[0], x - place[1])
        image += 40 * np.exp(-((gap - 5) ** 2) / 3) if index % 2 == 0 else 22 * (gap < 7)
    return image, places[::2]


@pytest.fixture
def marked():
    size = Size(16.0, False)
    picture = Picture.of(np.random.default_rng(0).normal(size=(1, *SHAPE)), size)
    clicks = np.array([[20.0, 30.0], [40.0, 120.0], [130.0, 60.0]])
    return Marked.of(picture, clicks, np.array([0, 0, 1]), np.asarray(COMPLETE), size), clicks


# --- pictures and marks ---


@pytest.mark.parametrize("fwhm", [3.0, 8.0, 33.0])
def test_planes_are_shrunk_until_objects_have_one_size_but_never_enlarged(fwhm):
    picture = Picture.of(np.zeros((3, 200, 131), np.float32), Size(fwhm, False))
    np.testing.assert_allclose(picture.scale, min(1, 8 / fwhm), rtol=0.02)
    assert picture.channels.shape[0] == 3


def test_places_come_back_from_the_picture(marked):
    each, clicks = marked
    np.testing.assert_allclose(each.picture.outward(each.picture.inward(clicks)), clicks)


def test_a_picture_keeps_an_object_where_it_was():
    y, x = np.indices(SHAPE)
    image = np.exp(-((y - 70.5) ** 2 + (x - 41.0) ** 2) / 100)
    picture = Picture.of(image[None], Size(24.0, False))
    brightest = np.argwhere(picture.channels[0] == picture.channels[0].max()).mean(axis=0)
    np.testing.assert_allclose(picture.outward(brightest), (70.5, 41.0), atol=1.6)  # half a pixel of the picture


def test_nothing_of_a_fold_is_trained_on(marked):
    each, _ = marked
    clicks, known = each.without(0)
    assert len(clicks) == 1
    assert known.any()
    assert not known[each.nearest == 0].any()
    assert each.judges(np.array([[20.0, 30.0]]), 0).all()
    assert not each.judges(np.array([[20.0, 30.0]]), 1).any()


def test_outside_the_region_only_what_is_around_clicks_is_known(marked):
    each, _ = marked
    _, known = each.without(None)
    assert known[each.complete].all()
    y, x = np.indices(known.shape)
    far = np.min([np.hypot(y - a, x - b) for a, b in each.clicks], axis=0) > each.size
    assert not known[far & ~each.complete].any()


# --- the rule ---


def test_the_threshold_lies_between_objects_and_others():
    places = np.array([[10.0, 10.0], [10.0, 60.0], [60.0, 10.0], [60.0, 60.0]])
    odds = np.array([[3.0], [2.0], [-3.0], [-4.0]])
    candidates = Candidates(places, np.zeros(4, int), np.ones((4, 1)), odds)
    rule = learn_heat(candidates, np.c_[np.zeros(2), places[:2]], Size(10.0, False))
    assert rule.f1 == 1.0
    np.testing.assert_array_equal(rule.probability(candidates) >= rule.threshold, [True, True, False, False])


def test_maxima_that_are_no_likelier_than_before_the_training_are_no_candidates():
    odds = np.full((1, 40, 53), 2 * RARE, np.float32)
    odds[0, 10, 12], odds[0, 25, 40] = RARE + 0.1, RARE - 0.1
    picture, values = Picture(odds, np.ones(2)), np.zeros(odds.shape[1:], np.float32)
    recipe = task_recipe("detect")
    card = recipe.card(ModelCard(name="clicks", task="detect", network=recipe.kept, channels=1), None)
    model = Model(card, "cpu", network=torch.nn.Identity())
    steps = heat_steps(model, picture, values, Size(8.0, False), (0.0, 0.0), 0)
    found = finish(steps)
    np.testing.assert_allclose(found.places, [(10, 12)], atol=0.5)
    np.testing.assert_allclose(found.features, RARE + 0.1, rtol=1e-6)


def test_a_heat_map_without_maxima_is_worth_nothing():
    none = Candidates(np.zeros((0, 2)), np.zeros(0, int), np.zeros((0, 1)), np.zeros((0, 1)))
    assert learn_heat(none, np.zeros((2, 3)), Size(10.0, False)).f1 == 0.0


@pytest.mark.parametrize(
    ("heat", "other", "method", "taken"),
    [
        (0.8, 0.95, "features", True),
        (0.8, 1.0, "features", False),
        (0.9, 0.8, "log", True),
        (0.9, 0.9, "log", False),
    ],
)
def test_a_heat_map_must_beat_one_height_but_features_only_nearly(heat, other, method, taken):
    model = Logistic(np.zeros(1), np.ones(1), np.zeros(2))
    rules = [Rule(name, 0, model, 0.5, f1) for name, f1 in (("heatmap", heat), (method, other))]
    assert better(*rules, 6) == taken


@pytest.mark.parametrize(
    ("method", "f1", "enough"), [("log", 1.0, True), ("log", 0.9, False), ("features", 1.0, False), ("log", None, True)]
)
def test_no_network_is_trained_where_one_height_tells_all(method, f1, enough):
    assert is_enough(Rule(method, 0, Logistic(np.zeros(1), np.ones(1), np.zeros(2)), 0.5, f1)) == enough


def test_neighbouring_clicks_are_in_one_fold():
    clicks = np.array([[0, 90.0, 1], [0, 1, 5], [0, 50, 2], [0, 92, 3], [0, 3, 9], [0, 51, 8]])
    assert split_clicks(clicks, 3).tolist() == [2, 0, 1, 2, 0, 1]


# --- options ---


def test_a_recipe_of_a_task_is_not_offered_beside_others():
    recipe = task_recipe("detect")
    assert recipe.name not in [each.name for each in all_recipes()]
    assert recipe.name not in all_options().__annotations__["kind"].__metadata__[0]["choices"]


def test_a_heat_map_needs_clicks_and_a_region():
    image, places = rings_and_discs()
    for method in ("features", "heatmap"):
        with pytest.raises(OptionError, match=f"method '{method}' learns from clicks, and there are none"):
            detect(image, method=method)
    with pytest.raises(
        OptionError, match=r"must know what is no object: mark everything in a region, .* \(there are 0\)"
    ):
        detect(image, clicks=places[:3], method="heatmap")
    with pytest.raises(OptionError, match=r"at least 2 clicks in it \(there are 1\)"):
        detect(image, clicks=places[:1], complete=COMPLETE, method="heatmap")


# --- training ---


def test_a_closed_training_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    image, places = rings_and_discs()
    clicks = places[places[:, 0] < 64]
    steps = detect_steps(image, DetectOptions(clicks=clicks, complete=COMPLETE, method="heatmap"))
    assert any("learning from the clicks, 1 of 4 trainings" in progress.note for progress in steps)
    assert list(tmp_path.glob("genrecon-*"))
    steps.close()
    assert not list(tmp_path.glob("genrecon-*"))


def test_cutting_of_crops_can_be_cancelled_between_any_two(monkeypatch):
    cut = []
    real = heat._crop
    monkeypatch.setattr(heat, "_crop", lambda *given: cut.append(1) or real(*given))
    image, places = rings_and_discs()
    clicks = places[places[:, 0] < 64]
    steps = detect_steps(image, DetectOptions(clicks=clicks, complete=COMPLETE, method="heatmap"))
    seen = [len(cut) for progress in steps if len(cut) < 5 or steps.close()]
    assert seen[-5:] == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_a_heat_map_tells_what_one_filter_cannot_and_again(tmp_path):
    image, places = rings_and_discs()
    clicks = places[places[:, 0] < 64]
    tifffile.imwrite(tmp_path / "a.tif", image.astype("f4"))
    tifffile.imwrite(tmp_path / "region.tif", COMPLETE.astype("u1"))
    with (tmp_path / "clicks.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["index", "axis-0", "axis-1"], *([i, *place] for i, place in enumerate(clicks))])
    files = ["--clicks", str(tmp_path / "clicks.csv"), "--complete", str(tmp_path / "region.tif")]
    assert main(["detect", str(tmp_path / "a.tif"), *files, "--method", "heatmap"]) == 0
    options = DetectOptions(clicks=clicks, complete=COMPLETE, method="heatmap")
    result = finish(detect_steps(image.astype("f4"), options))
    gaps = np.linalg.norm(result.data.pixels[:, None] - places[None], axis=2)
    assert (gaps.min(axis=0) < 4).sum() >= len(places) - 1
    assert (gaps.min(axis=1) >= 4).sum() <= 1
    target = tmp_path / "a_detect.csv"
    np.testing.assert_allclose(read_places(target), result.data.pixels, rtol=1e-6)
    assert record_at(target)["found"]["method"] == "heatmap"
    assert record_at(target)["found"]["f1"] >= 0.8


def test_tiles_of_a_heat_map_equal_the_whole(monkeypatch):
    """The card says how far the network sees; the sides are no multiples of its stride."""
    torch.manual_seed(0)
    recipe = task_recipe("detect")
    card = recipe.card(ModelCard(name="clicks", task="detect", network=recipe.kept, channels=1), None)
    model = Model(card, "cpu", network=recipe.network(card, None))
    y, x = np.indices((203, 230))
    plane = (np.sin(x / 5) * np.cos(y / 7) + np.random.default_rng(0).normal(0, 0.1, x.shape)).astype(np.float32)
    size = Size(fwhm=8.0, dark=False)
    found = []
    for tile in (64, 512):
        monkeypatch.setattr(heat, "TILE", tile)
        found.append(finish(heat_steps(model, Picture(plane[None], np.ones(2)), plane, size, (0.0, 0.0), 0)))
    assert len(found[0].places) == len(found[1].places) > 20
    np.testing.assert_allclose(found[0].features, found[1].features, atol=1e-4)
