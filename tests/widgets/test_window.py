"""What a page looks like: composites, lists, the split preview, where noise comes from, words."""

import json
import os
import re
import sys

import numpy as np
import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from napari.components import ViewerModel
from seen import RUN, VIEW, box, button, choose, click, field, images, line_on, note, report, said, texts

from napari_genrecon import denoise
from napari_genrecon.noise import NoiseModel
from napari_genrecon.widgets import add_result
from napari_genrecon.widgets.form import Ticks
from napari_genrecon.widgets.openers import DeblurWidget, DenoiseWidget, InpaintWidget
from napari_genrecon.widgets.words import DAMAGE

SHAPE = (64, 72)


@pytest.fixture
def image():
    return np.random.default_rng(0).poisson(40, SHAPE).astype("u2")


@pytest.fixture
def viewer(make_napari_viewer, image):
    viewer = make_napari_viewer()
    viewer.add_image(image, name="cells")
    return viewer


DETAILS = "Shows or hides the measured numbers"  # the button has an arrow in its text, and its tooltip begins so


def press(settle, widget, words):
    click(widget, words)
    settle(widget)


# Composites -----------------------------------------------------------------------------------------------------------


def composite(n=3):
    viewer = ViewerModel()
    channels = np.random.default_rng(0).poisson(40, (n, *SHAPE)).astype("u2")
    viewer.add_image(channels, channel_axis=0, name=[f"c{i}" for i in range(n)])
    return viewer


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_result_takes_the_place_of_its_channel(channel):
    viewer = composite()
    result = add_result(viewer, "denoise", viewer.layers[channel])
    names = [layer.name for layer in viewer.layers if layer.visible]
    assert names == [f"c{i}{' denoise' if i == channel else ''}" for i in range(3)]
    assert result.blending == "additive"
    assert not viewer.layers[f"c{channel}"].visible
    assert viewer.layers.selection.active is result


def test_second_result_of_a_channel_replaces_the_first_on_screen():
    viewer = composite()
    for strength in (1.0, 0.5):
        add_result(viewer, "denoise", viewer.layers["c0"], strength=strength)
    assert [layer.name for layer in viewer.layers if layer.visible] == ["c0 denoise 0.5", "c1", "c2"]


def test_channels_that_are_linked_to_the_source_stay_seen_and_linked_in_all_else():
    viewer = composite()
    red, green, blue = viewer.layers
    viewer.layers.link_layers([red, green, blue])
    result = add_result(viewer, "denoise", green, strength=0.5)
    assert [layer.visible for layer in (red, green, result, blue)] == [True, False, True, True]
    red.visible = False
    assert [layer.visible for layer in (red, green, blue)] == [False, False, False]
    red.visible = True
    assert [layer.visible for layer in (red, green, blue)] == [True, False, True]
    red.gamma = 0.5
    assert green.gamma == 0.5


def test_image_that_only_lies_beside_a_composite_stays_seen(image):
    viewer = composite()
    single = viewer.add_image(image, name="single", translate=(0, 500))
    viewer.layers.move(3, 0)
    result = add_result(viewer, "denoise", single)
    assert single.visible
    assert viewer.layers[-1] is result
    assert result.blending == single.blending


def test_several_channels_run_in_the_order_of_the_list(viewer, docked, image, qtbot):
    viewer.add_image(image, name="other", blending="additive")
    widget = docked(viewer, DenoiseWidget)
    choose(widget, "other", "cells")
    click(widget, RUN)
    qtbot.waitUntil(lambda: "other denoise" in viewer.layers, timeout=60_000)
    assert re.findall(r"New layer '(\w+) denoise'", note(widget)) == ["cells", "other"]


# Lists ----------------------------------------------------------------------------------------------------------------


def test_chosen_image_is_in_sight_in_a_long_list(make_napari_viewer, docked, settle, image):
    viewer = make_napari_viewer(show=True)
    for i in range(9):
        viewer.add_image(image, name=f"image {i}")
    widget = docked(viewer, DenoiseWidget)
    for index in (8, 0, 6):
        viewer.layers.selection.active = viewer.layers[index]
        settle(widget)
        shown = images(widget)
        (item,) = shown.selectedItems()
        assert item.text() == f"image {index}"
        assert shown.viewport().rect().contains(shown.visualItemRect(item).adjusted(0, 1, 0, -1))


def test_verdict_is_whole_while_details_are_shown(make_napari_viewer, docked, image, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1000, 600)
    viewer.add_image(image, name="an image with a name that needs a second line")
    widget = docked(viewer, DenoiseWidget)
    click(widget, DETAILS)
    try:
        qtbot.wait(100)
        verdict = box(widget, "noise")
        assert box(widget, "noise in detail").isVisible()
        assert verdict.height() >= verdict.document().size().height()
    finally:
        click(widget, DETAILS)  # or all docks would show them from now on


# The split preview ----------------------------------------------------------------------------------------------------


def split_at(preview, image, clean):
    """The first column that is the result; checked to be the same in every row."""
    after = np.isclose(preview, clean, rtol=1e-5) & (preview != image)
    column = int(np.argmax(after.any(axis=0)))
    np.testing.assert_allclose(preview[:, :column], image[:, :column])
    np.testing.assert_allclose(preview[:, column:], clean[:, column:], rtol=1e-5)
    return column


def test_line_stays_where_it_is_while_the_camera_moves_and_can_be_dragged(viewer, docked, settle, image, qtbot):
    widget = docked(viewer, DenoiseWidget)
    press(settle, widget, "Preview")
    preview, line, clean = viewer.layers["cells preview"], line_on(viewer), denoise(image)
    camera = viewer.scene.camera
    camera.zoom = line.parentWidget().width() / 80
    for move in (lambda: None, lambda: setattr(camera, "center", (0, 32, 50)), lambda: line.drag_to(20)):
        move()
        qtbot.wait(60)
        place = camera.center[-1] + line.offset / camera.zoom
        assert abs(split_at(preview.data, image, clean) - place) <= 1
    assert line.cursor().shape() == line.cursor().shape().SplitHCursor
    field(widget, VIEW).value = "after"
    assert line.isHidden()


def test_view_that_leaves_the_preview_gets_a_new_one(viewer, docked, settle, monkeypatch, qtbot):
    from napari_genrecon.widgets.task import widget as module

    widget = docked(viewer, DenoiseWidget)
    monkeypatch.setattr(module, "visible_region", lambda *_: (slice(0, 30), slice(0, 30)))
    press(settle, widget, "Preview")
    first = viewer.layers["cells preview"]
    viewer.scene.camera.zoom *= 1.1
    qtbot.wait(1000)  # twice as long as a camera has to rest
    assert viewer.layers["cells preview"] is first  # it is all in sight
    monkeypatch.setattr(module, "visible_region", lambda *_: (slice(20, 64), slice(20, 72)))
    viewer.scene.camera.zoom *= 1.1
    qtbot.waitUntil(lambda: viewer.layers["cells preview"].data.shape == (44, 52), timeout=60_000)
    settle(widget)


# Noise from elsewhere -------------------------------------------------------------------------------------------------


def elsewhere(viewer, widget, kind, tmp_path):
    if kind == "layer":
        viewer.add_image(np.random.default_rng(1).normal(10, 4, SHAPE).astype("f4"), name="a number")
        viewer.layers.selection.active = viewer.layers["cells"]
        field(widget, "noise").value = "of 'a number'"  # and not the choice of this name
    elif kind == "number":
        field(widget, "noise").value, field(widget, "s.d.").value = "a number", 12.5
    else:
        (tmp_path / "n.json").write_text(json.dumps(NoiseModel(gain=2, read_noise=3).to_dict()))
        field(widget, "noise").value, field(widget, "report").value = "a saved report", tmp_path / "n.json"


@pytest.mark.parametrize("kind", ["layer", "number", "report"])
def test_noise_from_elsewhere_counts_is_recorded_and_copied(viewer, docked, settle, tmp_path, kind, qtbot):
    widget = docked(viewer, DenoiseWidget)
    own = report(widget)
    elsewhere(viewer, widget, kind, tmp_path)
    expected = {"layer": "that of 'a number', s.d. ", "number": "as typed, s.d. 12.5 ", "report": "as in n.json"}
    qtbot.waitUntil(lambda: expected[kind] in said(widget), timeout=60_000)
    settle(widget)
    press(settle, widget, RUN)
    result = viewer.layers.selection.active
    (model,) = map(NoiseModel.from_dict, result.metadata["genrecon"]["noise"])
    assert model.sigma == pytest.approx({"layer": 4, "number": 12.5, "report": 3}[kind], rel=0.1)
    np.testing.assert_array_equal(result.data, denoise(viewer.layers["cells"].data, noise=model))
    pixels = result.data.copy()
    viewer.layers.remove(result)
    exec(widget.as_python(), {"viewer": viewer})
    np.testing.assert_array_equal(viewer.layers.selection.active.data, pixels)
    viewer.layers.selection.active = viewer.layers["cells"]
    field(widget, "noise").value = "of this image"
    qtbot.waitUntil(lambda: "Denoising will" in said(widget), timeout=60_000)
    settle(widget)
    of_noise = [line for line in own.splitlines() if "noise s.d." in line]
    assert of_noise[0] in said(widget)  # what was given is not taken for that of the image


def test_report_that_is_not_there_is_named_at_once(viewer, docked, qtbot):
    widget = docked(viewer, DenoiseWidget)
    field(widget, "noise").value = "a saved report"
    qtbot.waitUntil(lambda: "Choose the file of the noise report" in said(widget), timeout=5_000)


# Options --------------------------------------------------------------------------------------------------------------


def test_ticks_are_words_in_the_order_of_the_option():
    ticks = Ticks(("a", ("B, in words", "b"), "c"), "c, a", name="several")
    assert ticks.value == "a,c"
    ticks.value = "b"
    assert ticks.value == "b"
    assert [box.value for box in ticks] == [False, True, False]


def test_damage_is_ticked(viewer, docked):
    widget = docked(viewer, InpaintWidget)
    for label, _ in DAMAGE:
        field(widget, label).value = label in ("hot and dead pixels", "dropped frames or slices")
    assert "detect='hot,frames'" in widget.as_python()


def test_report_follows_typed_axes(make_napari_viewer, docked, settle, image, qtbot):
    viewer = make_napari_viewer()
    viewer.add_image(np.stack([image, image * 3]), name="two", axis_labels=("z", "y", "x"))
    widget = docked(viewer, DenoiseWidget)
    for axes, words in (("CYX", "two: CYX, 2 planes"), ("CQX", "⚠ Axes 'CQX' do not fit"), ("", "two: ZYX, 2 planes")):
        field(widget, "axes").value = axes
        qtbot.waitUntil(lambda words=words: any(text.startswith(words) for text in texts(widget)), timeout=20_000)
        settle(widget)
        assert ("channel 1\n" in said(widget)) == (axes == "CYX")


# Words ----------------------------------------------------------------------------------------------------------------


def test_no_page_shows_tags(make_napari_viewer, qtbot):
    from qtpy.QtWidgets import QLabel, QTextEdit

    from napari_genrecon.widgets.openers import GenerateWidget

    room = GenerateWidget(make_napari_viewer())
    qtbot.addWidget(room)
    page = room.content
    words = [box.toPlainText() for box in page.findChildren(QTextEdit)] + [x.text() for x in page.findChildren(QLabel)]
    assert any("Dataset" in text for text in words)
    assert not [text for text in words if re.search(r"</?[a-z]+>", text)]
    page.train.leave(), page.sample.leave(), page.explore.leave()


def test_verdict_is_seen_and_details_are_folded_until_asked_for(viewer, docked):
    widget, other = docked(viewer, DenoiseWidget), docked(viewer, DeblurWidget)
    verdict = box(widget, "noise").toPlainText()
    assert re.fullmatch(r"Noise: \w+\. Denoising will .*\. Takes about \d+\ss\.", verdict)
    assert not any(word in verdict for word in ("DN", "rho", "correlation"))
    assert box(widget, "noise in detail").isHidden()
    try:
        click(widget, DETAILS)
        for page in (widget, other, docked(viewer, DenoiseWidget)):  # all docks remember
            assert not box(page, "noise in detail").isHidden()
    finally:
        click(widget, DETAILS)


def test_main_button_is_the_biggest(make_napari_viewer, docked, image, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(image, name="cells")
    widget = docked(viewer, DenoiseWidget)
    qtbot.wait(100)
    run, preview, cancel = (button(widget, words) for words in (RUN, "Preview", "Cancel"))
    area = {each: each.width() * each.height() for each in (run, preview, cancel)}
    assert area[run] > 1.5 * max(area[preview], area[cancel])
