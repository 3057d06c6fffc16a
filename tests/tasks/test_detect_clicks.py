"""Detect from clicks: objects like those that were clicked on, and sentences for clicks that cannot work."""

import csv

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_genrecon import detect
from napari_genrecon.axes import Axes
from napari_genrecon.cli import main
from napari_genrecon.errors import GenReconWarning, ImageError, OptionError
from napari_genrecon.io.points import read_places
from napari_genrecon.io.record.check import record_at
from napari_genrecon.numerics.blobs.ring_features import ring_features
from napari_genrecon.numerics.logistic import fit_logistic
from napari_genrecon.tasks.detect.learned import checked_clicks, checked_region

SHAPE = (160, 160)
COMPLETE = np.broadcast_to(np.arange(160)[:, None] < 64, SHAPE)  # two rows of the grid


def scene(seed=0, dark=False):
    """Large and small objects on a grid, and the places of the large ones."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.mgrid[16:160:32, 16:160:32], -1).reshape(-1, 2) + rng.uniform(-5, 5, (25, 2))
    wanted = np.arange(25) % 2 == 0
    y, x = np.indices(SHAPE)
    image = 100 + rng.normal(size=SHAPE)
    for place, is_one in zip(places, wanted, strict=True):
        width = 4.0 if is_one else 1.3
        spot = np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / 2 / width**2)
        image += (-20 if dark else 20) * spot
    return image, places[wanted]


def recall_and_false(found, places):
    gaps = np.linalg.norm(found.pixels[:, None] - places[None], axis=2)
    return (gaps.min(0) < 3).sum(), (gaps.min(1) >= 3).sum()


@pytest.mark.filterwarnings("ignore:clicks alone:napari_genrecon.errors.GenReconWarning")
@pytest.mark.parametrize("dark", [False, True], ids=["bright", "dark"])
@pytest.mark.parametrize("complete", [None, COMPLETE], ids=["clicks only", "with a region"])
def test_objects_like_those_under_the_clicks_are_found(dark, complete):
    image, places = scene(dark=dark)
    found = detect(image, clicks=places[places[:, 0] < 64], complete=complete)
    assert recall_and_false(found, places) == (len(places), 0)
    assert found["size"][0] == pytest.approx(2.355 * 4, rel=0.2)
    assert ((found["score"] >= 0) & (found["score"] <= 1)).all()


def test_clicks_without_a_region_that_judges_them_say_how_to_mark_one():
    image, places = scene()
    clicks = places[places[:, 0] < 64]
    elsewhere = np.zeros(SHAPE)
    elsewhere[:4] = 1  # no click in it
    for complete in (None, elsewhere):
        with pytest.warns(GenReconWarning, match="draw a rectangle in which every object is clicked on"):
            detect(image, clicks=clicks, complete=complete)
    # With one that does, there is nothing to say: warnings are errors here.
    detect(image, clicks=clicks, complete=COMPLETE)


def test_clicks_in_one_plane_find_objects_in_all():
    movie = np.stack([scene(seed)[0] for seed in range(3)])
    places = scene(1)[1]
    found = detect(movie, clicks=np.c_[np.ones(len(places)), places], complete=np.ones(SHAPE), axes="TYX")
    for seed in range(3):
        here = found.pixels[found.pixels[:, 0] == seed, 1:]
        gaps = np.linalg.norm(here[:, None] - scene(seed)[1][None], axis=2)
        assert (gaps.min(0) < 3).all()
        assert len(here) == gaps.shape[1]


def test_colours_tell_objects_apart_that_are_equally_high():
    rng = np.random.default_rng(0)
    places = np.stack(np.mgrid[16:160:32, 16:160:32], -1).reshape(-1, 2).astype(float)
    y, x = np.indices(SHAPE)
    rgb = np.full((*SHAPE, 3), 100.0) + rng.normal(size=(*SHAPE, 3))
    for i, place in enumerate(places):
        spot = 40 * np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / 32)
        rgb[..., 0 if i % 2 else 2] += spot  # red or blue, equally bright
    blue = places[::2]
    found = detect(rgb.astype("u1"), clicks=blue[blue[:, 0] < 64], complete=COMPLETE, method="features")
    assert recall_and_false(found, blue) == (len(blue), 0)
    by_height = detect(rgb.astype("u1"), clicks=blue[blue[:, 0] < 64], complete=COMPLETE, method="log")
    assert recall_and_false(by_height, blue) != (len(blue), 0)


def test_command_line_finds_what_python_finds_and_again(tmp_path, capsys):
    image, places = scene()
    clicks = places[places[:, 0] < 64]
    tifffile.imwrite(tmp_path / "a.tif", image.astype("f4"))
    tifffile.imwrite(tmp_path / "region.tif", COMPLETE.astype("u1"))
    with (tmp_path / "clicks.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["index", "axis-0", "axis-1"], *([i, *place] for i, place in enumerate(clicks))])
    files = ["--clicks", str(tmp_path / "clicks.csv"), "--complete", str(tmp_path / "region.tif")]
    assert main(["detect", str(tmp_path / "a.tif"), *files]) == 0
    target = tmp_path / "a_detect.csv"
    found = detect(image.astype("f4"), clicks=clicks, complete=COMPLETE)
    np.testing.assert_allclose(read_places(target), found.pixels, rtol=1e-6)
    record = record_at(target)
    assert record["found"]["clicks"] == len(clicks)
    assert record["found"]["f1"] == 1.0
    assert main(["replay", str(target)]) == 0, capsys.readouterr()
    again = ["--method", "features", "-o", str(tmp_path / "by_features.csv")]
    assert main(["detect", str(tmp_path / "a.tif"), *files, *again]) == 0, capsys.readouterr()
    assert record_at(tmp_path / "by_features.csv")["found"]["method"] == "features"


# --- sentences ---


@pytest.mark.parametrize(
    ("clicks", "axes", "sentence"),
    [
        ([[1, 200]], "YX", "1 of 1 click lies outside the image, the first at \\(1, 200\\)"),
        ([[1, np.nan]], "YX", "1 of 1 click lies outside the image"),
        (np.zeros((0, 2)), "YX", "there are no clicks: click on the middle of a few objects first"),
        ([[1, 2, 3]], "YX", "clicks have shape \\(1, 3\\), and the image has the axes YX: 2 numbers are needed"),
        ([[1, 2]], "TYX", "clicks have shape \\(1, 2\\), and the image has the axes TYX: 3 numbers are needed"),
        ("here", "YX", "clicks must be places in pixels"),
    ],
)
def test_clicks_that_cannot_work_get_a_sentence(clicks, axes, sentence):
    with pytest.raises(OptionError, match=sentence):
        checked_clicks(clicks, (3, *SHAPE)[-len(axes) :], Axes(axes))


def test_regions_that_cannot_work_get_a_sentence():
    with pytest.raises(ImageError, match=r"marked has shape \(4, 4\), and the image \(160, 160\)"):
        checked_region(np.ones((4, 4)), SHAPE, Axes("YX"))
    with pytest.raises(OptionError, match=r"marked is empty: draw it around objects .* \(complete\)"):
        checked_region(np.zeros(SHAPE), SHAPE, Axes("YX"))


def test_too_little_to_learn_from_gets_a_sentence():
    image, places = scene()
    one = np.zeros(SHAPE)
    one[int(places[0, 0]) - 6 : int(places[0, 0]) + 7, int(places[0, 1]) - 6 : int(places[0, 1]) + 7] = 1
    with pytest.raises(OptionError, match=r"clicks: 1, .* at least 2 clicks"):
        detect(image, clicks=places[:1], complete=one)
    with pytest.raises(OptionError, match="method 'features' must know what is no object"):
        detect(image, clicks=places[:3], method="features")
    with pytest.raises(OptionError, match="there are no clicks: give them, too"):
        detect(image, complete=COMPLETE)
    with pytest.raises(OptionError, match="leave 'volume' off"):
        detect(image, clicks=places, volume=True)


# --- numerics ---


@settings(max_examples=20)
@given(st.integers(0, 3), st.integers(0, 2**31))
def test_features_do_not_change_when_the_plane_is_turned(quarters, seed):
    plane = np.random.default_rng(seed).normal(size=(1, 41, 41))
    here = ring_features(plane, np.array([[20.0, 20.0]]), 10.0)
    turned = ring_features(np.rot90(plane, quarters, (1, 2)), np.array([[20.0, 20.0]]), 10.0)
    np.testing.assert_allclose(turned, here, atol=1e-4)


def test_logistic_regression_gives_the_probabilities_of_its_classes():
    rng = np.random.default_rng(0)
    is_one = rng.random(4000) < 0.3
    features = rng.normal(size=(4000, 2)) + np.c_[2.0 * is_one, 0 * is_one]
    chance = fit_logistic(features, is_one, ridge=1e-3).probability(features)
    for low in (0.1, 0.3, 0.5, 0.7):
        part = (chance >= low) & (chance < low + 0.2)
        assert abs(is_one[part].mean() - chance[part].mean()) < 0.08
    assert abs(chance.mean() - is_one.mean()) < 1e-3


def test_logistic_regression_is_where_its_penalised_likelihood_is_largest():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(60, 5)) * [1, 10, 0.1, 1, 100]
    is_one = features[:, 0] + 0.5 * rng.normal(size=60) > 1
    fit = fit_logistic(features, is_one, ridge=0.5)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    rest = is_one - fit.probability(features)
    np.testing.assert_allclose(scaled.T @ rest, 0.5 * fit.weights[:-1], atol=1e-3)
    assert abs(rest.sum()) < 1e-3


def test_logistic_regression_takes_classes_that_do_not_overlap_and_features_that_do_not_vary():
    features = np.c_[[-1.0, -2.0, 1.0, 2.0], np.ones(4)]
    chance = fit_logistic(features, np.array([False, False, True, True])).probability(features)
    assert (chance[:2] < 0.5).all()
    assert (chance[2:] > 0.5).all()
