"""The expected error in the window: a hidden layer in the place of the result, from which the check reads."""

import os
import sys

import dask.array as da
import numpy as np
import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from seen import RUN, click, field, note, report

from napari_genrecon import denoise
from napari_genrecon.io.reader import open_image
from napari_genrecon.widgets import add_result
from napari_genrecon.widgets.openers import DenoiseWidget

PLACED = {"scale": (0.5, 0.2), "translate": (3, 4), "rotate": 20, "units": ("micrometer",) * 2}


@pytest.fixture
def opened(make_napari_viewer, qtbot):
    """A viewer with one image, and the widget that asks for the expected error of it."""
    viewer = make_napari_viewer()
    viewer.add_image(np.random.default_rng(0).poisson(30, (64, 72)).astype("u2"), name="cells", **PLACED)
    widget = DenoiseWidget(viewer)
    viewer.window.add_dock_widget(widget)
    qtbot.waitUntil(lambda: not widget.busy, timeout=300_000)
    field(widget, "expected error").value = True
    return viewer, widget


def press(qtbot, widget, words):
    click(widget, words)
    qtbot.waitUntil(lambda: not widget.busy, timeout=300_000)


def test_run_adds_a_hidden_layer_as_the_script_does_and_check_reads_it(opened, qtbot):
    viewer, widget = opened
    image = viewer.layers["cells"]
    press(qtbot, widget, RUN)
    layer = viewer.layers["cells denoise: expected error"]
    expected = denoise(image.data, uncertainty=True)[1]
    np.testing.assert_array_equal(layer.data, expected)
    assert not layer.visible
    np.testing.assert_allclose(layer.data_to_world((3, 5)), image.data_to_world((3, 5)))
    assert layer.units == image.units
    assert "hidden layer 'cells denoise: expected error'" in note(widget)
    assert "uncertainty=True" in widget.as_python()
    press(qtbot, widget, "Check result")
    assert "the result can be trusted least around" in report(widget)
    viewer.layers.selection.active = layer
    press(qtbot, widget, "Check result")
    assert "this is the expected error of a result: choose the result itself" in note(widget)
    made = add_result(viewer, "denoise", image, uncertainty=True)
    np.testing.assert_array_equal(viewer.layers[f"{made.name}: expected error"].data, expected)


@pytest.mark.parametrize("ending", ["ome.tif", "ome.zarr"])
def test_written_results_have_the_file_of_their_error_beside_them(opened, qtbot, tmp_path, ending):
    viewer, widget = opened
    field(widget, "write to").value = tmp_path / f"a.{ending}"
    press(qtbot, widget, RUN)
    stored = open_image(tmp_path / f"a_expected_error.{ending}")
    shown = viewer.layers["cells denoise: expected error"]
    full = shown.data[0] if shown.multiscale else shown.data
    np.testing.assert_array_equal(np.asarray(full), np.asarray(stored.data))
    assert stored.scale == pytest.approx(PLACED["scale"])


def test_colours_show_the_worst_of_them(make_napari_viewer):
    viewer = make_napari_viewer()
    image = np.clip(np.random.default_rng(0).normal([[[50, 120, 200]]], [5, 10, 5], (48, 56, 3)), 0, 255).astype("u1")
    made = add_result(viewer, "denoise", viewer.add_image(image, name="section"), uncertainty=True)
    layer = viewer.layers[f"{made.name}: expected error"]
    worst = denoise(image, keep_dtype=True, uncertainty=True)[1].max(axis=-1)
    np.testing.assert_array_equal(layer.data, worst)


def test_live_results_compute_their_error_when_it_is_looked_at(make_napari_viewer):
    viewer = make_napari_viewer()
    stack = np.random.default_rng(0).poisson(30, (2, 48, 56)).astype("f4")
    cells = viewer.add_image(da.from_array(stack, chunks=(1, 48, 56)), name="cells", axis_labels=("z", "y", "x"))
    made = add_result(viewer, "denoise", cells, uncertainty=True)
    error = viewer.layers[f"{made.name}: expected error"].data
    assert isinstance(error, da.Array)
    np.testing.assert_array_equal(np.asarray(error[1]), denoise(stack, axes="ZYX", uncertainty=True)[1][1])
