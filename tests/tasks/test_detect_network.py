"""Detect with the network: what it finds that filters do not, what it must not find, and the same from all sides."""

import json
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from napari_genrecon import NoiseModel, detect
from napari_genrecon.cli import main
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import OptionError
from napari_genrecon.io.points import read_places
from napari_genrecon.io.record.check import record_at
from napari_genrecon.io.record.methods import methods_text
from napari_genrecon.models import find_model
from napari_genrecon.normal import FWHM
from napari_genrecon.numerics.blobs.filters import Filters, filter_widths, find_blobs, heights_at, noise_field
from napari_genrecon.numerics.blobs.maxima import centred
from napari_genrecon.tasks.detect import DetectOptions, detect_steps, task
from napari_genrecon.tasks.detect.spot_noise import SpotNoise

pytestmark = pytest.mark.filterwarnings("ignore:nothing stands out:napari_genrecon.errors.GenReconWarning")


def scene(seed, n=40, height=6.0, side=128, sigma=1.5, rho=0.0):
    """An image with noise of s.d. 1, and the places of its spots."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(4, side - 5, (n, 2))
    image = noise_field((side, side), (rho, rho), rng).astype(float)
    y, x = np.indices(image.shape)
    for place in places:
        image += height * np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / (2 * sigma**2))
    return image, places


def right_and_false(found, places, near=2.5):
    """How many spots have a point, and how many points have no spot."""
    gap = cKDTree(places).query(found.pixels)[0]
    back = cKDTree(found.pixels).query(places)[0]
    return int((back < near).sum()), int((gap >= near).sum())


def test_more_of_crowded_and_dim_spots_are_found_than_under_filters():
    counts = {"net": np.zeros(2), "log": np.zeros(2)}
    for seed in range(3):
        image, places = scene(seed, n=125, height=2.0)
        for method, total in counts.items():
            total += right_and_false(detect(image, method=method, noise=1.0), places)
    assert counts["net"][0] > counts["log"][0] + 20
    assert counts["net"][1] < 0.08 * counts["net"].sum()


@pytest.mark.parametrize("fdr", [0.3, 0.4])
def test_large_shares_hold_among_crowded_spots(fdr):
    image, places = scene(0, n=125, height=3.0)
    right, false = right_and_false(detect(image, method="net", fdr=fdr, noise=1.0), places)
    assert right > 90
    assert false <= fdr * (right + false)


@pytest.mark.parametrize("rho", [0.0, 0.6], ids=["white", "correlated"])
def test_nothing_is_found_in_noise(rho):
    rng = np.random.default_rng(2)
    noise = [100 + 5 * noise_field((256, 256), (rho, rho), rng) for _ in range(4)]
    assert sum(len(detect(image, method="net")) for image in noise) <= 1


@pytest.mark.filterwarnings("ignore:.* wider than the largest size:napari_genrecon.errors.GenReconWarning")
@pytest.mark.parametrize("height", [1.0, 10.0])
def test_a_texture_of_wide_bumps_is_not_full_of_spots(height):
    """A network that finds more of dim spots may do so by taking texture for them, as filters do."""
    rng = np.random.default_rng(0)
    bumps = gaussian_filter(rng.normal(size=(256, 256)), 5, mode="wrap")
    image = height * bumps / bumps.std() + rng.normal(size=bumps.shape)
    assert len(detect(image, method="log", noise=1.0)) > 30
    assert len(detect(image, method="net", noise=1.0)) <= 2


def test_wide_dim_spots_are_one_point_each_and_in_the_middle():
    right = false = 0
    for seed in range(4):
        image, places = scene(seed, n=15, height=2.0, sigma=2.5, side=160)
        found = right_and_false(detect(image, method="net", noise=1.0), places)
        right, false = right + found[0], false + found[1]
    assert right > 45
    assert false <= 0.05 * (right + false)


def test_no_two_spots_are_nearer_than_they_can_be_told_apart():
    image, _ = scene(5, n=300, height=8.0)
    found = detect(image, method="net", fdr=0.3, noise=1.0)
    gaps = cKDTree(found.pixels).query(found.pixels, k=2)[0][:, 1]
    assert gaps.min() > 1.2 * 0.5 * found.features["size"].min() / FWHM  # sizes are those of the nearest filter


@settings(max_examples=30, deadline=None)
@given(st.floats(15, 25), st.floats(15, 25), st.floats(1, 4), st.lists(st.floats(-1.5, 1.5), min_size=2, max_size=2))
def test_places_move_to_the_middle_of_the_weight(y, x, width, off):
    rows, columns = np.indices((41, 41))
    weights = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * width**2))
    start = np.array([[y, x]]) + off
    moved = centred(weights, start, np.array([width]))
    # two turns with a window as wide as the weight leave a quarter
    np.testing.assert_allclose(moved - [[y, x]], (start - [[y, x]]) / 4, atol=0.06)


def test_no_places_move_nowhere():
    assert centred(np.ones((9, 9)), np.zeros((0, 2)), np.zeros(0)).shape == (0, 2)


def test_spots_in_correlated_noise_are_found_and_few_are_false():
    image, places = scene(0, n=40, height=8.0, side=160, rho=0.6)
    right, false = right_and_false(detect(image, method="net"), places)
    assert right > 34
    assert false <= 4


def facts(pixels, **options):
    return finish(detect_steps(pixels, DetectOptions(**options))).record["found"]


def test_automatic_takes_the_network_where_both_find_as_many():
    image, _ = scene(0, n=40, height=8.0)
    both = facts(image, noise=1.0)
    assert abs(both["of"]["net"] - both["of"]["log"]) <= 3
    assert both["method"] == "net"


@pytest.mark.parametrize(
    ("filters", "network", "taken"), [(21, 20, "net"), (22, 20, "net"), (23, 20, "log"), (0, 0, "net")]
)
def test_automatic_keeps_filters_that_find_more_than_false_points(filters, network, taken):
    searched = [SimpleNamespace(method="log", count=filters), SimpleNamespace(method="net", count=network)]
    assert task._best(searched, 0.05).method == taken


def test_automatic_takes_what_finds_more():
    image, _ = scene(1, n=125, height=3.0)
    both = facts(image, noise=1.0)
    assert both["of"]["net"] > both["of"]["log"]
    assert both["method"] == "net"
    assert both["points"] == [both["of"]["net"]] == facts(image, noise=1.0, method="net")["points"]
    assert both["of"]["log"] == facts(image, noise=1.0, method="log")["points"][0]


def test_automatic_asks_the_network_only_for_what_it_was_trained_on():
    image, _ = scene(0)
    assert set(facts(image)["of"]) == {"log", "net"}
    assert set(facts(image, max_size=12.0)["of"]) == {"log"}
    assert set(facts(np.stack([image] * 3), volume=True, axes="ZYX")["of"]) == {"log"}
    assert set(facts(image, noise=NoiseModel(read_noise=1.0, rho_x=0.9, rho_y=0.9))["of"]) == {"log"}


def test_dark_is_bright_turned_over():
    image, _ = scene(1)
    given = {"noise": 1.0, "method": "net"}
    bright, dark = detect(image, **given), detect(-image, objects="dark", **given)
    assert len(bright) > 20
    np.testing.assert_allclose(bright.pixels, dark.pixels, atol=1e-3)


@pytest.mark.filterwarnings("ignore:.* wider than the largest size:napari_genrecon.errors.GenReconWarning")
def test_other_sizes_are_left_out():
    image, places = scene(3, n=12, height=20.0, sigma=3.0)
    found = detect(image, noise=1.0, method="net")
    assert right_and_false(found, places)[0] > 9
    np.testing.assert_allclose(np.median(found["size"]), 3.0 * 2.355, rtol=0.25)
    assert len(detect(image, noise=1.0, method="net", max_size=3.0)) <= 2


def test_tiles_do_not_show(monkeypatch):
    from napari_genrecon.tasks.detect import finders

    image, _ = scene(4, n=60, side=200)
    whole = detect(image, noise=1.0, method="net")
    monkeypatch.setattr(finders, "TILE", 96)
    parts = detect(image, noise=1.0, method="net")
    assert len(whole) > 30
    np.testing.assert_allclose(parts.pixels, whole.pixels, atol=1e-3)
    np.testing.assert_allclose(parts["z"], whole["z"], rtol=1e-4)


@pytest.mark.parametrize("shape", [(16, 16), (17, 40), (63, 65)])
def test_odd_images_are_searched(shape):
    assert len(detect(np.random.default_rng(0).normal(size=shape), noise=1.0, method="net")) <= 1


def test_images_that_are_too_small_get_a_sentence():
    with pytest.raises(OptionError, match="planes of 1 x 40 pixels are too small for method 'net': take method 'log'"):
        detect(np.zeros((1, 40)), noise=1.0, method="net")


# --- parts ---


def test_heights_of_a_few_places_are_those_of_the_whole_image():
    image = scene(5, side=96)[0].astype(np.float32)
    filters = Filters(filter_widths(2.0, 6.0, 2), (0.3, 0.0), (1.0, 1.0))
    found = find_blobs(image, filters, spots_only=False)
    inside = np.all((found.places > 24) & (found.places < 71), axis=1) & (found.z > 5)
    found = found[inside]
    assert len(found) > 10
    got = heights_at(image, found.places, found.level, filters)
    np.testing.assert_allclose(got, found.z, rtol=0.03)


def known_noise(rho):
    return SpotNoise.of(find_model("auto", "detect").calibration, (rho, rho))


@settings(max_examples=30)
@given(st.floats(0, 0.8), st.floats(-6, 12), st.floats(0.05, 3))
def test_surer_maxima_are_rarer_in_noise(rho, evidence, more):
    less, surer = known_noise(rho).density(np.array([evidence, evidence + more]))
    assert surer <= less < 0.1


# --- three faces ---


def test_command_line_finds_what_python_finds_and_records_the_network(tmp_path):
    image, _ = scene(6)
    tifffile.imwrite(tmp_path / "a.tif", image.astype("f4"))
    assert main(["detect", str(tmp_path / "a.tif"), "--method", "net", "--device", "cpu"]) == 0
    target = tmp_path / "a_detect.csv"
    np.testing.assert_allclose(read_places(target), detect(image.astype("f4"), method="net").pixels, rtol=1e-6)
    record = record_at(target)
    jsonschema.validate(record, json.loads((Path(__file__).parents[2] / "docs" / "record.schema.json").read_text()))
    assert record["model"] == find_model("auto", "detect").facts()
    assert (record["found"]["method"], record["options"]["method"], record["device"]) == ("net", "net", "cpu")
    assert "network" in methods_text(record)
    assert main(["replay", str(target)]) == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "net", "volume": True}, "method 'net' searches plane by plane"),
        ({"method": "net", "max_size": 20.0}, "sizes from 2 to 20 pixels were asked for, and method 'net' knows spots"),
        ({"method": "net", "clicks": np.ones((1, 2))}, "method 'net' looks for spots as it was trained to"),
        ({"method": "adapted", "volume": True}, "method 'adapted' searches plane by plane"),
        ({"method": "best"}, "method must be 'auto', 'log', 'net', 'adapted', 'features' or 'heatmap', got 'best'"),
    ],
)
def test_options_that_cannot_work_get_a_sentence(options, sentence):
    with pytest.raises(OptionError, match=sentence):
        DetectOptions(**options)


def test_noise_that_the_network_does_not_know_gets_a_sentence():
    with pytest.raises(OptionError, match=r"has a correlation of 0\.90, and method 'net' knows up to 0\.8"):
        detect(scene(0)[0], method="net", noise=NoiseModel(read_noise=1.0, rho_x=0.9))
