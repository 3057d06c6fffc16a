"""The docks Augment and Advise, in a window."""

import json
import os
import sys

import numpy as np
import pytest
from napari.layers import Image

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from seen import choose, chosen, click, field

from napari_genrecon import augment
from napari_genrecon.engine.run import Progress
from napari_genrecon.io.layers import read_layers
from napari_genrecon.tasks.advise.advice import Advice
from napari_genrecon.widgets.advise import page as advise_page
from napari_genrecon.widgets.advise.open_dock import dock_of
from napari_genrecon.widgets.augment.page import SHEET
from napari_genrecon.widgets.openers import AdviseWidget, AugmentWidget, InpaintWidget

SCALE = {"scale": (0.5, 0.5), "units": ("micrometer", "micrometer"), "axis_labels": ("y", "x")}


def scene(seed=0):
    rng = np.random.default_rng(seed)
    labels = np.zeros((64, 64), np.int32)
    labels[10:20, 12:22], labels[40:52, 30:44] = 3, 9
    return rng.poisson(20 + 40 * (labels > 0)).astype("u2"), labels, np.array([[14.5, 16.5], [45.5, 36.5]])


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer()
    image, labels, points = scene()
    viewer.add_image(image, name="cells", **SCALE)
    viewer.add_labels(labels, name="objects", **SCALE)
    viewer.add_points(points, name="marks", **SCALE)
    return viewer


def docked(viewer, kind):
    dock = kind(viewer)
    viewer.window.add_dock_widget(dock)
    return dock.page


def press(qtbot, page, button):
    button.changed.emit(True)
    qtbot.waitUntil(lambda: not page.panel.busy, timeout=60_000)
    qtbot.wait(20)


@pytest.mark.slow
def test_contact_sheet_shows_image_labels_and_points_and_changes_nothing(viewer, qtbot):
    page = docked(viewer, AugmentWidget)
    before = viewer.layers["cells"].data.copy()
    press(qtbot, page, page.show_sheet)
    names = {layer.name for layer in viewer.layers}
    assert names == {"cells", "objects", "marks", SHEET, f"{SHEET}: labels", f"{SHEET}: points"}
    sheet, labels = viewer.layers[SHEET], viewer.layers[f"{SHEET}: labels"].data
    assert sheet.data.dtype == "uint16"
    rows = viewer.layers[f"{SHEET}: points"].data.round().astype(int)
    assert (labels[tuple(rows.T)] > 0).mean() > 0.9
    np.testing.assert_array_equal(viewer.layers["cells"].data, before)
    assert "the first 8 new images of 'cells'" in page.panel.words
    press(qtbot, page, page.show_sheet)
    assert {layer.name for layer in viewer.layers} == names  # replaced, and not a source itself
    assert SHEET not in page.chooser.images.choices


def test_layers_of_new_images_are_those_of_python(viewer, qtbot):
    page = docked(viewer, AugmentWidget)
    page.fill("cells", {"n": 3, "rotate": 40.0, "seed": 5})
    press(qtbot, page, page.add)
    image, labels, points = scene()
    expected = augment(image, labels, points, n=3, rotate=40.0, seed=5)
    made = viewer.layers["cells augmented"]
    np.testing.assert_array_equal(made.data, np.stack([one.image for one in expected]))
    np.testing.assert_array_equal(viewer.layers["cells augmented: labels"].data, [one.labels for one in expected])
    marks = viewer.layers["cells augmented: points"].data
    for index, one in enumerate(expected):
        np.testing.assert_allclose(marks[marks[:, 0] == index, 1:], one.points)
    assert made.metadata["genrecon"]["nature"] == "synthetic"
    np.testing.assert_allclose(made.scale, (1, 0.5, 0.5))
    assert "cells augmented" not in page.chooser.images.choices


TURNED = {"translate": (300.0, -20.0), "rotate": 30, "shear": [0.2], "affine": [[0, 2, 5], [2, 0, 0], [0, 0, 1]]}


@pytest.mark.parametrize("scale", [(0.5, 0.5), (-0.5, 0.5)], ids=["plain", "mirrored"])
def test_layers_of_new_images_lie_in_the_frame_of_their_source(viewer, qtbot, scale):
    for name in ("cells", "objects", "marks"):
        layer = viewer.layers[name]
        layer.scale = scale
        layer.translate, layer.rotate, layer.shear, layer.affine = TURNED.values()
    page = docked(viewer, AugmentWidget)
    page.fill("cells", {"n": 2})
    press(qtbot, page, page.add)
    for name in ("cells augmented", "cells augmented: labels", "cells augmented: points"):
        for pixel in ((0, 0), (63, 10)):
            there = viewer.layers[name].data_to_world((1, *pixel))
            np.testing.assert_allclose(there, (1, *viewer.layers["cells"].data_to_world(pixel)))
        assert [str(unit) for unit in viewer.layers[name].units] == ["pixel", "micrometer", "micrometer"]


def test_files_of_new_images_lie_in_the_frame_of_their_source(viewer, qtbot, tmp_path):
    cells = viewer.layers["cells"]
    cells.translate, cells.rotate, cells.shear, cells.affine = TURNED.values()
    page = docked(viewer, AugmentWidget)
    page.fill("cells", {"n": 1})
    page.write(tmp_path / "a")
    qtbot.waitUntil(lambda: not page.panel.busy, timeout=60_000)
    for path in (tmp_path / "a").rglob("*.tif"):
        ((data, keywords, _),) = read_layers(path)
        np.testing.assert_allclose(Image(data, **keywords).data_to_world((63, 10)), cells.data_to_world((63, 10)))


def test_code_of_the_page_makes_the_same_layers_in_the_same_place(viewer, qtbot):
    for name in ("cells", "objects", "marks"):
        layer = viewer.layers[name]
        layer.translate, layer.rotate, layer.shear, layer.affine = TURNED.values()
    page = docked(viewer, AugmentWidget)
    page.fill("cells", {"n": 2, "elastic": 3.0})
    press(qtbot, page, page.add)
    made, before = list(viewer.layers)[3:], len(viewer.layers)
    exec(page.as_python(), {"viewer": viewer})
    for layer, by_code in zip(made, list(viewer.layers)[before:], strict=True):
        np.testing.assert_array_equal(by_code.data, layer.data)
        np.testing.assert_allclose(by_code.data_to_world((1, 63, 10)), layer.data_to_world((1, 63, 10)))
        assert (by_code.units, by_code.axis_labels) == (layer.units, layer.axis_labels)
        assert by_code.metadata["genrecon"]["nature"] == "synthetic"


def test_typed_axes_count_before_those_of_the_layer(viewer, qtbot):
    frames = np.stack([scene()[0]] * 3)
    viewer.add_image(frames, name="frames")
    page = docked(viewer, AugmentWidget)
    page.fill("frames", {"n": 1, "axes": "TYX"})
    page.chooser.label_layers.value = page.chooser.point_layers.value = []
    press(qtbot, page, page.add)
    made = viewer.layers["frames augmented"].data[0]
    np.testing.assert_array_equal(made[0], made[2])  # frames move alike, planes of a stack do not


def test_folder_of_several_layers_is_split_by_layer(viewer, qtbot, tmp_path):
    for seed in (1, 2):
        image, labels, _ = scene(seed)
        viewer.add_image(image, name=f"cells {seed}", **SCALE)
        viewer.add_labels(labels, name=f"objects {seed}", **SCALE)
    page = docked(viewer, AugmentWidget)
    page.chooser.images.value = ["cells", "cells 1", "cells 2"]
    page.chooser.label_layers.value = ["objects", "objects 1", "objects 2"]
    page.chooser.point_layers.value = []
    page.form["n"].value = 2
    page.write(tmp_path / "a")
    qtbot.waitUntil(lambda: not page.panel.busy, timeout=60_000)
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert [parent["split"] for parent in manifest["parents"]].count("validation") == 1
    assert "4 new images from 2 to train on, 1 set aside" in page.panel.words


@pytest.mark.parametrize(
    ("images", "sentence"),
    [([], "choose an image layer first"), (["cells", "other"], "1 layer of labels is chosen for 2 images")],
)
def test_page_says_what_is_missing(viewer, qtbot, images, sentence):
    viewer.add_image(scene(3)[0], name="other", **SCALE)
    page = docked(viewer, AugmentWidget)
    page.chooser.images.value = images
    press(qtbot, page, page.add)
    assert sentence in page.panel.words
    assert not any("augmented" in layer.name for layer in viewer.layers)


# --- Advise ---


def test_advice_opens_the_right_dock_filled_in(viewer, qtbot, monkeypatch):
    page = docked(viewer, AdviseWidget)
    page.image.value = "cells"
    press(qtbot, page, page.look)
    assert page.advice
    assert "worth doing with 'cells'" in page.panel.words
    advice = Advice(
        rule="r", task="inpaint", do=True, title="t", reason="r", source="s", options={"detect": "hot,stripes"}
    )

    def steps(*args, **facts):
        yield Progress(0, 0)
        return None, (advice,)

    monkeypatch.setattr(advise_page, "advise_steps", steps)
    press(qtbot, page, page.look)
    click(page, "Open Inpaint")
    assert "Inpaint (GenRecon)" in viewer.window.dock_widgets
    form = InpaintWidget(viewer)
    qtbot.waitUntil(lambda: not form.busy, timeout=60_000)
    assert field(form, "stripes").value
    assert chosen(form) == ["cells"]


def test_advice_is_for_its_image_whatever_it_is_named_now(viewer, qtbot, monkeypatch):
    viewer.add_image(scene(1)[0], name="other", **SCALE)
    form = InpaintWidget(viewer)
    viewer.window.add_dock_widget(form, name="Inpaint (GenRecon)")
    qtbot.waitUntil(lambda: form.ready and not form.busy, timeout=60_000)
    page = docked(viewer, AdviseWidget)
    page.image.value = "cells"
    advice = Advice(rule="r", task="inpaint", do=True, title="t", reason="r", source="s", options={"detect": "stripes"})

    def steps(*args, **facts):
        yield Progress(0, 0)
        return None, (advice,)

    monkeypatch.setattr(advise_page, "advise_steps", steps)
    press(qtbot, page, page.look)
    choose(form, "other")
    viewer.layers["cells"].name = "day 1"
    click(page, "Open Inpaint")
    assert chosen(form) == ["day 1"]


@pytest.fixture
def asked(monkeypatch):
    """List that gets what the page tells of its layers when it asks for advice."""
    facts, real = [], advise_page.advise_steps
    monkeypatch.setattr(advise_page, "advise_steps", lambda *args, **kw: facts.append(kw) or real(*args, **kw))
    return facts


def test_advice_counts_images_labels_and_points(viewer, qtbot, asked):
    page = docked(viewer, AdviseWidget)
    viewer.add_image(scene(1)[0], name="other")
    page.goal.value = "train"
    page.image.value = "cells"
    press(qtbot, page, page.look)
    (facts,) = asked
    assert (facts["images"], len(facts["points"])) == (2, 2)
    assert facts["labels"].max() == 9
    assert {"few labelled images", "too few crops"} <= {advice.rule for advice in page.advice}
    page.goal.value = "see"
    assert page.advice == ()  # it was about something else
    assert len(page.cards) == 0


def test_advice_counts_the_classes_that_were_given(viewer, qtbot, asked):
    viewer.layers["objects"].features = {"given class": ["", "one", "one", "two", ""]}
    page = docked(viewer, AdviseWidget)
    page.image.value = "cells"
    press(qtbot, page, page.look)
    assert asked[0]["classes"] == (2, 1)


def test_advise_without_an_image_asks_for_one(make_napari_viewer, qtbot):
    page = docked(make_napari_viewer(), AdviseWidget)
    page.look.changed.emit(True)
    assert "open an image" in page.panel.words


def test_docks_of_tasks_are_found_by_their_names():
    assert [dock_of(task) for task in ("denoise", "upscale_z", "train", "augment")] == [
        "Denoise", "Upscale Z", "Generate", "Augment",
    ]  # fmt: skip
    assert dock_of("no such task") == ""
