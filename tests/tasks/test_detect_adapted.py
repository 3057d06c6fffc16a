"""Detect with a network that was trained on simulated images like the one that is searched."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from napari_genrecon import detect
from napari_genrecon.cli import main
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import ImageError
from napari_genrecon.io.points import read_places
from napari_genrecon.io.record.check import record_at
from napari_genrecon.io.record.methods import methods_text
from napari_genrecon.noise import NoiseModel
from napari_genrecon.numerics.blobs.filters import noise_field
from napari_genrecon.numerics.blobs.spot_scene import draw_spots
from napari_genrecon.tasks.detect import DetectOptions, adapted, detect_steps
from napari_genrecon.tasks.detect.finders import finders_of

pytestmark = pytest.mark.slow  # to find simulated images like one takes ten seconds


def scene(seed, n=100, height=2.5, side=128, sigma=1.5, rho=0.0):
    """An image with noise of s.d. 1, and the places of its spots."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(4, side - 5, (n, 2))
    clean = draw_spots(places, np.full(n, sigma), np.full(n, height), side)
    return clean + noise_field((side, side), (rho, rho), rng), places


def f1(found, places, near=2.5):
    gap = cKDTree(places).query(found.pixels)[0]
    back = cKDTree(found.pixels).query(places)[0]
    return 2 * min((gap < near).sum(), (back < near).sum()) / (len(found) + len(places))


@pytest.fixture
def few_steps(monkeypatch):
    """A training of three steps: for what does not depend on how good it is."""
    monkeypatch.setattr(adapted, "STEPS", 3)


def test_more_of_dim_and_crowded_spots_are_found_than_by_the_network_as_it_is(monkeypatch):
    monkeypatch.setattr(adapted, "STEPS", 150)  # a third, which is enough for most of the gain
    image, places = scene(0, n=260, height=1.6, side=192)
    found = {method: detect(image, method=method, noise=1.0) for method in ("net", "adapted")}
    assert f1(found["adapted"], places) > f1(found["net"], places) + 0.04
    false = cKDTree(places).query(found["adapted"].pixels)[0] >= 2.5
    assert false.mean() < 0.1


@pytest.mark.parametrize(("sigma", "n", "height"), [(1.0, 60, 5.0), (1.5, 120, 3.0), (2.5, 30, 3.0)])
def test_simulated_images_have_the_spots_of_the_image(sigma, n, height):
    image, _ = scene(1, n=n, height=height, sigma=sigma)
    finder = finders_of(DetectOptions(method="adapted"), [NoiseModel.white(1.0)], image.shape)["net"][0]
    found = finish(adapted._matched(finder, [image.astype(np.float32)], "the image"))
    assert found.sigma == pytest.approx(sigma, rel=0.2)
    assert found.height == pytest.approx(height, rel=0.3)
    assert found.density * image.size == pytest.approx(n, rel=0.5)


def test_surer_findings_are_false_more_rarely():
    image, _ = scene(2)
    finder = finders_of(DetectOptions(method="adapted"), [NoiseModel.white(1.0)], image.shape)["net"][0]
    scenes = finish(adapted._matched(finder, [image.astype(np.float32)], "the image"))
    table = finish(adapted._false_findings(finder, scenes))
    assert len(table.evidence) == len(table.logarithm) >= 2
    assert np.all(np.diff(table.logarithm) < 0)


def test_every_spot_makes_one_finding_right():
    answer = adapted.Answer(np.zeros((9, 9)), np.array([[4, 4], [4, 5], [0, 0]]), np.ones(3), np.array([1.0, 2.0, 3.0]))
    assert adapted._right(answer, np.array([[4.0, 4.4]]), 2.0).tolist() == [False, True, False]
    assert not adapted._right(answer, np.zeros((0, 2)), 2.0).any()


@pytest.mark.usefixtures("few_steps")
def test_dark_is_bright_turned_over():
    image, _ = scene(3)
    bright = detect(image, method="adapted", noise=1.0)
    dark = detect(100 - image, method="adapted", objects="dark", noise=1.0)
    assert len(bright) > 30
    np.testing.assert_allclose(dark.pixels, bright.pixels, atol=0.05)


@pytest.mark.usefixtures("few_steps")
def test_channels_are_trained_for_one_by_one_and_told_in_the_record():
    image = np.stack([scene(4, sigma=1.2, height=5.0)[0], scene(5, n=40, sigma=2.2, height=4.0)[0]])
    result = finish(detect_steps(image, DetectOptions(method="adapted", axes="CYX", noise=1.0)))
    first, second = result.record["found"]["simulated"]
    assert result.record["found"]["method"] == "adapted"
    assert first["s.d."] < second["s.d."]
    assert first["density"] > second["density"]
    assert "trained further on simulated images like this one" in methods_text(result.record)


@pytest.mark.usefixtures("few_steps")
def test_command_line_finds_what_python_finds_and_the_bundled_weights_stay_as_they_are(tmp_path):
    image = scene(6)[0].astype("f4")
    tifffile.imwrite(tmp_path / "a.tif", image)
    before = detect(image, method="net")
    assert main(["detect", str(tmp_path / "a.tif"), "--method", "adapted"]) == 0
    [target] = [path for path in Path(tmp_path).iterdir() if path.suffix == ".csv"]
    np.testing.assert_allclose(read_places(target), detect(image, method="adapted").pixels, rtol=1e-6)
    assert json.loads(json.dumps(record_at(target)))["options"]["method"] == "adapted"
    np.testing.assert_array_equal(detect(image, method="net").pixels, before.pixels)


@pytest.mark.usefixtures("few_steps")
def test_cancel_in_the_training_leaves_nothing():
    steps = detect_steps(scene(7)[0], DetectOptions(method="adapted", noise=1.0))
    notes = [next(steps).note for _ in range(112)]
    steps.close()
    assert any("looking for simulated images like the image" in note for note in notes)
    assert any("of 6 steps" in note for note in notes)
    # Another training, and another search, find what they would have found.
    again = [detect(scene(7)[0], method=method, noise=1.0) for method in ("adapted", "net", "adapted")]
    np.testing.assert_array_equal(again[0].pixels, again[2].pixels)


def test_few_spots_get_a_sentence():
    with pytest.raises(ImageError, match=r"from 20 clear ones, and the image has \d+: take method 'net'"):
        detect(np.random.default_rng(0).normal(size=(128, 128)), method="adapted", noise=1.0)


def _boxes(rng):
    image = np.zeros((128, 128))
    for y, x in rng.integers(0, 100, (12, 2)):
        image[y : y + 20, x : x + 14] += 30
    return gaussian_filter(image, 0.7)


def _texture(rng):
    bumps = gaussian_filter(rng.normal(size=(128, 128)), 4, mode="wrap")
    return 5 * bumps / bumps.std()


@pytest.mark.parametrize("more", [_boxes, _texture])
def test_what_is_no_spot_gets_a_sentence(more):
    image = scene(8, height=6.0)[0] + more(np.random.default_rng(1))
    with pytest.raises(ImageError, match="the image holds more than spots on a smooth background"):
        detect(image, method="adapted", noise=1.0)


def test_spots_on_soft_cells_are_taken():
    y, x = np.indices((128, 128))
    cell = 8 / (1 + np.exp((np.hypot(y - 60, x - 70) - 35) / 6))
    finder = finders_of(DetectOptions(method="adapted"), [NoiseModel.white(1.0)], (128, 128))["net"][0]
    image = (scene(9, height=4.0)[0] + cell).astype(np.float32)
    assert finish(adapted._matched(finder, [image], "the image")).sigma == pytest.approx(1.5, rel=0.2)
