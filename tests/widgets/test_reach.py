"""What a user reaches for: the chosen images by name, a mask to paint, keys, commands."""

import os
import sys

import numpy as np
import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton
from seen import RUN, box, button, choose, click, field, images, texts

from napari_genrecon import inpaint
from napari_genrecon.tasks import TASKS
from napari_genrecon.widgets.openers import DenoiseWidget, DetectWidget, InpaintWidget

SHAPE = (3, 48, 64)


@pytest.fixture
def image():
    return np.random.default_rng(0).poisson(40, SHAPE).astype("u2")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "Choose images:"),
        (["c4"], "Image: c4"),
        (["c0", "c5"], "2 of 6 images: c0, c5"),
        (["c0", "c1", "c2", "c4", "c5"], "5 of 6 images: c0, c1, c2 and 2 more"),
    ],
    ids=len,
)
def test_chosen_images_are_named_wherever_the_list_is_scrolled_to(make_napari_viewer, image, names, words):
    viewer = make_napari_viewer()
    for i in range(6):
        viewer.add_image(image[0], name=f"c{i}")
    widget = DenoiseWidget(viewer)
    choose(widget, *names)
    assert box(widget, "chosen images").toPlainText() == words


def test_long_name_is_cut_in_its_middle(make_napari_viewer, image):
    viewer = make_napari_viewer()
    viewer.add_image(image[0], name="first of all " + 40 * "x" + " the last")
    widget = DenoiseWidget(viewer)
    words = box(widget, "chosen images").toPlainText()
    assert words.startswith("Image: first of all x")
    assert words.endswith("x the last")
    assert len(words) < 50
    assert images(widget).item(0).toolTip() == viewer.layers[0].name


def test_name_of_a_renamed_image_follows(make_napari_viewer, image):
    viewer = make_napari_viewer()
    layer = viewer.add_image(image[0], name="cells")
    widget = DenoiseWidget(viewer)
    layer.name = "nuclei"
    assert box(widget, "chosen images").toPlainText() == "Image: nuclei"
    viewer.layers.clear()
    assert box(widget, "chosen images").toPlainText() == "No image is open."


def test_mask_button_makes_a_mask_that_is_filled_in(make_napari_viewer, docked, settle, image):
    viewer = make_napari_viewer()
    placed = {"scale": (2, 0.5, 0.5), "translate": (1, 2, 3), "rotate": 20.0}
    layer = viewer.add_image(image, name="cells", axis_labels=("z", "y", "x"), **placed)
    widget = docked(viewer, InpaintWidget)
    field(widget, "method").value = "smooth (biharmonic)"
    click(widget, "Draw a mask")
    mask = viewer.layers["cells: mask"]
    assert (field(widget, "mask").value, mask.mode) == ("cells: mask", "paint")
    np.testing.assert_allclose(mask.extent.world, layer.extent.world)
    mask.paint((1, 20, 30), 1)
    click(widget, RUN)
    settle(widget)
    expected = inpaint(image, mask.data, axes="ZYX", method="biharmonic")
    np.testing.assert_array_equal(viewer.layers["cells inpaint biharmonic"].data, expected)
    assert (expected != image).any()


def test_mask_of_a_colour_image_has_no_colours(make_napari_viewer, docked):
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((20, 30, 3), "u1"), name="colours", rgb=True)
    widget = docked(viewer, InpaintWidget)
    click(widget, "Draw a mask")
    assert viewer.layers["colours: mask"].data.shape == (20, 30)


def test_mask_without_an_image_is_asked_for(make_napari_viewer, docked):
    viewer = make_napari_viewer()
    widget = docked(viewer, InpaintWidget)
    click(widget, "Draw a mask")
    assert "Choose an image layer first." in texts(widget)


def test_keys_run_and_preview(make_napari_viewer, docked, settle, image, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(image[0], name="cells")
    widget = docked(viewer, DenoiseWidget)
    window = viewer.window._qt_window
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    canvas = viewer.window._qt_viewer.canvas.native
    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
    QTest.keyClick(canvas, Qt.Key.Key_Return, control | shift)
    settle(widget)
    assert "cells preview" in viewer.layers
    QTest.keyClick(canvas, Qt.Key.Key_Return, control)
    settle(widget)
    assert "cells denoise" in viewer.layers
    assert "Ctrl+Return" in button(widget, RUN).toolTip()


def starts(page):
    """Return the left edges of all fields in sight that stand beside a label, in pixels of the page."""
    found = []
    for label in page.findChildren(QLabel):
        row = label.parentWidget().layout()
        if label.isVisible() and isinstance(row, QHBoxLayout) and row.count() > 1 and row.itemAt(0).widget() is label:
            found.append(row.itemAt(1).widget().mapTo(page, QPoint(0, 0)).x())
    return found


def test_fields_of_every_dock_stand_below_one_another(make_napari_viewer, qtbot, image):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(image[0], name="cells")
    for dock in [*(task.title for task in TASKS), "Folder", "Compare", "Generate", "Augment"]:
        opened, _ = viewer.window.add_plugin_dock_widget("napari-genrecon", dock)
        qtbot.waitUntil(lambda page=opened: len(starts(page)) > 1 and np.ptp(starts(page)) <= 1, timeout=20_000)


def test_only_inpaint_offers_to_draw_a_mask(make_napari_viewer, docked, image):
    viewer = make_napari_viewer()
    viewer.add_image(image[0], name="cells")
    for kind in (InpaintWidget, DetectWidget, DenoiseWidget):
        buttons = [
            each for each in docked(viewer, kind).native.findChildren(QPushButton) if each.text() == "Draw a mask"
        ]
        assert [each.isHidden() for each in buttons] == [kind is not InpaintWidget]
