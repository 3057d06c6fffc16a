"""Detect in the window: points as a layer over their image, and what is said."""

import os
import sys

import numpy as np
import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from napari.layers import Points, Shapes
from qtpy.QtWidgets import QCheckBox
from seen import RUN, button, chosen, click, field, said

from napari_genrecon import NoiseModel, detect
from napari_genrecon.io.points import read_places
from napari_genrecon.widgets import add_result
from napari_genrecon.widgets.openers import DetectWidget
from napari_genrecon.widgets.task.known_noise import KnownNoise

PLACED = {"scale": (2.0, 0.5, 0.5), "translate": (10.0, 20.0, 30.0), "rotate": 20.0, "units": ("um",) * 3}


@pytest.fixture
def movie():
    """Three planes of noise with a spot each."""
    image = np.random.default_rng(1).normal(100, 1, (3, 80, 96))
    y, x = np.indices((80, 96))
    for time, place in enumerate([(20, 30), (40, 50), (60, 70)]):
        image[time] += 12 * np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / 4.5)
    return image


@pytest.fixture
def opened(make_napari_viewer, movie, qtbot):
    viewer = make_napari_viewer()
    layer = viewer.add_image(movie, name="cells", metadata={"mine": 1}, **PLACED)
    widget = DetectWidget(viewer)
    viewer.window.add_dock_widget(widget)
    qtbot.waitUntil(lambda: "Expected time" in said(widget) and not widget.busy, timeout=60_000)
    return viewer, widget, layer


def run(widget, qtbot):
    click(widget, RUN)
    qtbot.waitUntil(lambda: not widget.busy and "ew layer" in said(widget), timeout=60_000)


def test_button_adds_points_that_lie_on_their_image(opened, qtbot, movie):
    viewer, widget, layer = opened
    run(widget, qtbot)
    found = viewer.layers[-1]
    assert isinstance(found, Points)
    assert found.name == "cells detect"
    np.testing.assert_allclose(found.data, detect(movie, axes="ZYX").pixels)
    np.testing.assert_allclose(found.data_to_world(found.data[0]), layer.data_to_world(found.data[0]))
    assert list(map(str, found.units)) == ["micrometer"] * 3
    assert {"score", "z", "size", "false_share"} <= set(found.features.columns)
    assert found.metadata["mine"] == 1
    assert found.metadata["genrecon"]["task"] == "detect"
    assert "3 found, method: network for spots (net)." in said(widget)
    assert chosen(widget) == ["cells"]  # the button works on the image again


def test_what_only_images_have_is_not_offered(opened):
    _, widget, _ = opened
    field(widget, "more options").value = True
    assert field(widget, "write to").shown
    assert button(widget, "Preview").isHidden()
    boxes = [each.text() for each in widget.native.findChildren(QCheckBox) if not each.isHidden()]
    assert "boxes" in boxes
    assert "live, as you scroll" not in boxes


def test_points_are_written_where_the_dock_says(opened, qtbot, tmp_path):
    viewer, widget, _ = opened
    field(widget, "write to").value = tmp_path / "points.csv"
    run(widget, qtbot)
    np.testing.assert_allclose(read_places(tmp_path / "points.csv"), viewer.layers[-1].data, rtol=1e-6)
    assert (tmp_path / "points.csv.genrecon.json").exists()
    viewer.layers.remove(viewer.layers[-1])
    click(widget, RUN)
    assert "exists already" in said(widget)


def test_nothing_found_adds_no_layer_and_says_so(opened, qtbot):
    viewer, widget, layer = opened
    layer.data = np.random.default_rng(1).normal(100, 1, (3, 80, 96))
    qtbot.waitUntil(lambda: not widget.busy and "Expected time" in said(widget), timeout=60_000)
    run(widget, qtbot)
    assert len(viewer.layers) == 1
    assert "No new layer: nothing stands out from the noise" in said(widget)


def test_result_line_names_the_method_that_was_taken(opened, qtbot):
    _, widget, _ = opened
    field(widget, "largest (px)").value = 20  # wider than the network knows
    run(widget, qtbot)
    assert "method: filters (log)." in said(widget)


def test_clicks_alone_say_how_to_mark_a_region_and_a_region_gives_a_score(opened, qtbot):
    viewer, widget, layer = opened
    field(widget, "like these points").value = viewer.add_points([layer.data_to_world([0, 20, 30])]).name
    run(widget, qtbot)
    assert "draw a rectangle in which every object is clicked on, and choose it as 'all marked in'" in said(widget)
    assert "F1" not in said(widget)


def test_python_of_the_dock_adds_the_same_points(opened, qtbot):
    viewer, widget, _ = opened
    field(widget, "false share").value = 0.1
    run(widget, qtbot)
    by_button = viewer.layers[-1]
    exec(widget.as_python(), {"viewer": viewer})  # what a user would paste
    assert viewer.layers[-1] is not by_button
    np.testing.assert_array_equal(viewer.layers[-1].data, by_button.data)
    assert by_button.name == "cells detect fdr 0.1"


@pytest.mark.filterwarnings("error::FutureWarning")
def test_rings_of_a_volume_are_cuts_through_spheres_and_thick_slices_show_the_planes_around(make_napari_viewer):
    viewer = make_napari_viewer()
    z, y, x = np.indices((9, 40, 40))
    stack = np.random.default_rng(0).normal(size=z.shape)
    layer = viewer.add_image(stack + 9 * np.exp(-((z - 4.3) ** 2 + (y - 20) ** 2 + (x - 20) ** 2) / 8), name="stack")
    found = add_result(viewer, "detect", layer, volume=True)
    ((_, y, x),), radius = found.data, found.size[0] / 2

    def ring_covers(plane, distance):
        viewer.dims.set_current_step(0, plane)
        return found.get_value((plane, y, x + distance), world=True) == 0

    assert ring_covers(4, radius - 0.5)
    assert not ring_covers(3, 0)
    viewer.dims.margin_left = viewer.dims.margin_right = (radius, 0, 0)
    assert ring_covers(3, radius / 2)
    assert not ring_covers(3, radius - 0.1)


def test_boxes_are_a_shapes_layer_over_the_objects(opened, qtbot, movie):
    viewer, widget, layer = opened
    field(widget, "boxes").value = True
    run(widget, qtbot)
    found, expected = viewer.layers[-1], detect(movie, axes="ZYX", boxes=True)
    assert isinstance(found, Shapes)
    assert found.shape_type == ["rectangle"] * 3
    np.testing.assert_allclose(found.data, expected.boxes)
    np.testing.assert_allclose(found.data_to_world(found.data[0][0]), layer.data_to_world(found.data[0][0]))
    np.testing.assert_allclose(found.features["x_max"], expected["x_max"])


def test_clicks_are_taken_from_a_points_layer_where_it_lies(opened, qtbot, movie):
    viewer, widget, layer = opened
    clicks = viewer.add_points([layer.data_to_world([0, 20, 30])])
    field(widget, "like these points").value = clicks.name
    run(widget, qtbot)
    found = viewer.layers[-1]
    assert isinstance(found, Points)
    assert found.metadata["genrecon"]["found"]["clicks"] == 1
    for place in ((0, 20, 30), (1, 40, 50), (2, 60, 70)):
        assert np.linalg.norm(found.data - place, axis=1).min() < 1.5


def test_clicks_outside_the_image_are_refused_in_a_sentence(opened, qtbot):
    viewer, widget, _ = opened
    clicks = viewer.add_points([[900.0, 900.0, 900.0]])
    field(widget, "like these points").value = clicks.name
    click(widget, RUN)
    qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)
    assert "1 of 1 click lies outside the image" in said(widget)


def test_noise_of_the_mean_of_colours_is_not_taken_for_that_of_each():
    known, pixels, noise = KnownNoise(), np.zeros((4, 4, 3)), (NoiseModel.white(1.0),) * 3
    known.put(pixels, "YXS", noise)
    record = {"noise": [NoiseModel.white(0.6).to_dict()], "axes": {"letters": "YXS"}}
    assert not known.put_recorded(pixels, record)
    assert known.of(pixels, "YXS") == noise
