"""Results that are computed while they are looked at: the window does not wait, and who reads them gets true pixels."""

import os
import pickle
import sys
import threading
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
from dask.callbacks import Callback

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from napari.components import ViewerModel
from qtpy.QtWidgets import QPushButton

from napari_genrecon.axes import Axes
from napari_genrecon.engine.lazy import is_dask
from napari_genrecon.io.reader import open_image
from napari_genrecon.tasks.task import Result
from napari_genrecon.widgets.layers.add_result import add_layers
from napari_genrecon.widgets.layers.files import write_tiff
from napari_genrecon.widgets.layers.live import LiveArray, _Plane, live
from napari_genrecon.widgets.layers.snapshot import display

SHAPE = (12, 32, 40)


class Slow:
    """An array in two tiles a plane, each of which waits for the gate, and who has computed which plane."""

    def __init__(self, kind="f4"):
        self.gate, self.computed, self.threads = threading.Event(), [], set()
        self.truth = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(kind)
        self.array = da.from_array(self.truth, chunks=(1, 16, 40)).map_blocks(self._wait, dtype=kind)

    def _wait(self, block):
        if block.size:  # dask looks at an empty one
            assert self.gate.wait(60)
            self.computed.append(int(block.flat[0]) // (SHAPE[1] * SHAPE[2]))
            self.threads.add(threading.current_thread())
        return block


@pytest.fixture
def slow(request):
    slow = Slow(getattr(request, "param", "f4"))
    yield slow
    slow.gate.set()


@pytest.fixture
def opened(make_napari_viewer, slow):
    """A viewer with an image and its live result; the layer of the result."""
    viewer = make_napari_viewer()
    source = viewer.add_image(slow.truth, name="cells", axis_labels=("z", "y", "x"))
    viewer.dims.set_current_step(0, 3)
    result = Result(slow.array, Axes("ZYX"), {"schema": "genrecon-record/1", "warnings": [], "options": {}})
    return viewer, add_layers(viewer, result, source, SHAPE, "cells denoise", display(source))


def on_screen(viewer, layer):
    """Values of the layer's first column on screen."""
    step = viewer.dims.current_step[0]
    return np.array([layer.get_value((step, y, 0)) for y in range(SHAPE[1])], float)


def test_window_does_not_wait_and_gets_the_plane_when_it_is_there(opened, slow, qtbot):
    viewer, layer = opened
    assert np.isnan(on_screen(viewer, layer)).all()
    qtbot.waitUntil(lambda: "'cells denoise' on screen is being computed" in str(viewer.status), timeout=10_000)
    slow.gate.set()
    qtbot.waitUntil(lambda: not np.isnan(on_screen(viewer, layer)).any(), timeout=10_000)
    np.testing.assert_array_equal(on_screen(viewer, layer), slow.truth[3, :, 0])
    assert threading.main_thread() not in slow.threads


def test_scrolling_fast_computes_what_is_on_screen_at_last(opened, slow, qtbot):
    viewer, layer = opened
    for step in range(SHAPE[0]):
        viewer.dims.set_current_step(0, step)
    slow.gate.set()
    qtbot.waitUntil(lambda: not np.isnan(on_screen(viewer, layer)).any(), timeout=10_000)
    assert slow.computed[-2:] == [11, 11]
    assert len(slow.computed) <= 3  # a tile that was being computed is finished
    viewer.dims.set_current_step(0, 3)
    qtbot.waitUntil(lambda: not np.isnan(on_screen(viewer, layer)).any(), timeout=10_000)
    viewer.dims.set_current_step(0, 11)
    assert not np.isnan(on_screen(viewer, layer)).any()  # kept
    assert slow.computed[-1] == 3


@pytest.mark.parametrize("slow", ["f4", "u2"], indirect=True)
def test_whoever_reads_the_layer_gets_true_pixels(opened, slow, tmp_path):
    _, layer = opened
    data = layer.data
    slow.gate.set()
    np.testing.assert_array_equal(np.asarray(data[3]), slow.truth[3])
    np.testing.assert_array_equal(np.asarray(data), slow.truth)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(live_of(slow.truth)))[3], slow.truth[3])
    assert float(np.mean(data)) == pytest.approx(slow.truth.mean())
    (path,) = write_tiff(str(tmp_path / "a.ome.tif"), [layer.as_layer_data_tuple()])
    np.testing.assert_array_equal(np.asarray(open_image(path).data), slow.truth)


def live_of(array):
    viewer = SimpleNamespace(window=object(), layers=ViewerModel().layers)
    return live(viewer, da.from_array(array, chunks=(1, 16, 40)), "x")


def test_live_array_is_a_dask_array_and_so_is_what_is_made_from_it():
    data = live_of(np.zeros(SHAPE, "f4"))
    assert type(data) is LiveArray
    assert is_dask(data)
    for made in (data + 1, data.rechunk((2, 32, 40)), data.transpose(2, 1, 0), data[0], da.stack([data, data])):
        assert type(made) is da.Array


def test_without_a_window_nothing_is_live():
    array = da.zeros(SHAPE)
    assert live(ViewerModel(), array, "x") is array


@pytest.mark.parametrize("how", ["removed", "hidden", "cancelled"])
def test_layer_that_is_not_looked_at_is_not_computed_any_more(opened, slow, qtbot, how):
    viewer, layer = opened
    if how == "removed":
        viewer.layers.remove(layer)
    elif how == "hidden":
        layer.visible = False
    else:
        qtbot.waitUntil(lambda: bool(cancel_buttons(viewer)), timeout=10_000)
        cancel_buttons(viewer)[0].click()
    slow.gate.set()
    qtbot.wait(500)
    assert len(slow.computed) <= 2  # of four: what was begun is finished
    if how == "hidden":
        layer.visible = True
        qtbot.waitUntil(lambda: not np.isnan(on_screen(viewer, layer)).any(), timeout=10_000)


def cancel_buttons(viewer):
    """In the activity panel of this viewer: windows of earlier tests may not be gone yet."""
    found = viewer.window._qt_window.findChildren(QPushButton)
    return [button for button in found if button.text() == "Cancel"]


def test_error_is_told_once_and_leaves_the_plane_empty(opened, slow, qtbot, monkeypatch):
    viewer, layer = opened
    told = []
    monkeypatch.setattr("napari_genrecon.widgets.layers.live.show_error", told.append)
    monkeypatch.setattr(slow, "computed", None)  # to append to it fails
    slow.gate.set()
    qtbot.waitUntil(lambda: bool(told), timeout=10_000)
    qtbot.wait(100)
    assert len(told) == 1
    assert "This failed unexpectedly (AttributeError" in told[0]
    assert np.isnan(on_screen(viewer, layer)).all()


def test_tiles_are_computed_without_the_cache_that_napari_gives_dask(slow):
    slow.gate.set()
    asked = []
    with Callback(start=asked.append):
        _Plane(slow.array[:1]).compute_next()
    assert asked == []
