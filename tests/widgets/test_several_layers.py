"""Lists of layers that belong together: their order is the one that is seen, and renaming a layer changes nothing."""

import os
import sys

import numpy as np
import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from qtpy.QtWidgets import QListWidget
from seen import click, images, said

from napari_genrecon.widgets.openers import AugmentWidget, ClassifyWidget, GenerateWidget

FIRST, SECOND = 3, 9  # numbers of the objects of the two images


@pytest.fixture
def viewer(make_napari_viewer, own_folders):
    viewer = make_napari_viewer()
    rng = np.random.default_rng(0)
    for name, number in (("first", FIRST), ("second", SECOND)):
        objects = np.kron(np.eye(2, dtype=np.uint8), np.full((32, 32), number, np.uint8))
        viewer.add_image(rng.poisson(20, (64, 64)).astype("u2"), name=name)
        viewer.add_labels(objects, name=f"{name} objects")
    return viewer


@pytest.fixture
def docked(viewer, qtbot):
    def dock(kind):
        dock = kind(viewer)
        viewer.window.add_dock_widget(dock)
        qtbot.waitUntil(lambda: dock.ready, timeout=60_000)
        return dock

    return dock


def rows(shown):
    return [shown.item(row).text() for row in range(shown.count())]


def list_with(dock, name):
    """Return the first list of a dock that offers this layer."""
    return next(each for each in dock.findChildren(QListWidget) if name in rows(each))


def names_in(shown):
    """Return the chosen names of a list in the order that it shows."""
    return [shown.item(row).text() for row in range(shown.count()) if shown.item(row).isSelected()]


def click_on(shown, *names):
    """Choose names in a list, one after the other."""
    shown.clearSelection()
    for name in names:
        shown.item(rows(shown).index(name)).setSelected(True)


def test_objects_belong_to_their_images_whatever_was_clicked_on_first(viewer, docked, qtbot):
    dock = docked(AugmentWidget)
    click_on(list_with(dock, "first"), "second", "first")
    click_on(list_with(dock, "first objects"), "first objects", "second objects")
    click(dock, "Add as layers")
    qtbot.waitUntil(lambda: "New layers" in said(dock), timeout=60_000)
    for name, number in (("first", FIRST), ("second", SECOND)):
        assert np.unique(viewer.layers[f"{name} augmented: labels"].data).tolist() == [0, number]
    python = dock.page.as_python()
    assert "viewer.layers['first'], labels=viewer.layers['first objects']" in python


@pytest.mark.parametrize("kind", [AugmentWidget, ClassifyWidget, GenerateWidget])
def test_renamed_layers_stay_chosen_and_in_their_places(viewer, docked, kind):
    dock = docked(kind)
    shown = [list_with(dock, name) for name in ("first", "first objects")]
    click_on(shown[0], "first", "second")
    click_on(shown[1], "first objects", "second objects")
    viewer.layers["first"].name = "control"
    viewer.layers["first objects"].name = "cells"
    assert [names_in(each) for each in shown] == [["control", "second"], ["cells", "second objects"]]


def test_renaming_an_image_leaves_what_was_learnt_of_its_objects(make_napari_viewer, monkeypatch, qtbot):
    few = "napari_genrecon.recognition.features.encode"
    monkeypatch.setattr(few, lambda x, *_: x[:, :, ::16, ::16].reshape(len(x), -1))
    viewer = make_napari_viewer()
    objects = np.kron(np.arange(1, 10).reshape(3, 3), np.pad(np.ones((8, 8), int), 4))
    viewer.add_image(np.random.default_rng(0).poisson(20 + 40 * (objects % 2)), name="cells")
    given = ["", "odd", "even", "odd", "even"]
    viewer.add_labels(objects, name="objects", features={"given class": given})
    dock = ClassifyWidget(viewer)
    viewer.window.add_dock_widget(dock)
    click(dock, "Classify")
    qtbot.waitUntil(lambda: "features table" in said(dock), timeout=60_000)
    for name in ("cells", "objects"):
        viewer.layers[name].name = f"{name} of day 1"
    assert names_in(images(dock)) == ["cells of day 1"]
    assert "features table" in said(dock)
    assert "Balanced accuracy" in said(dock)
