import os
import sys

import numpy as np
import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from qtpy.QtCore import QEvent, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLabel, QLineEdit
from seen import field, said

from napari_genrecon import classify
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import OptionError
from napari_genrecon.widgets.classify import page as classify_page
from napari_genrecon.widgets.classify.store import GIVEN
from napari_genrecon.widgets.classify.target import RING
from napari_genrecon.widgets.openers import ClassifyWidget

PLACED = {"scale": (0.5, 0.25), "translate": (30, 40), "units": ("micrometer",) * 2, "axis_labels": ("y", "x")}


def squares(seed=0):
    """Twelve objects, small ones and large ones by turns, in noise."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((60, 80), np.int32)
    for i in range(12):
        side = 6 + 6 * (i % 2)
        labels[20 * (i // 4) + 3 :, 20 * (i % 4) + 3 :][:side, :side] = i + 1
    return rng.poisson(20 + 60 * (labels > 0)).astype(np.uint16), labels


@pytest.fixture
def opened(make_napari_viewer, monkeypatch, tmp_path):
    """A viewer with objects, and the page."""
    monkeypatch.setenv("GENRECON_MODELS", str(tmp_path / "models"))
    # The encoder is tested by itself, and takes a second for twelve objects.
    few = "napari_genrecon.recognition.features.encode"
    monkeypatch.setattr(few, lambda x, *_: x[:, :, ::16, ::16].reshape(len(x), -1))
    viewer = make_napari_viewer()
    image, labels = squares()
    viewer.add_image(image, name="cells", **PLACED)
    viewer.add_labels(labels, name="objects", features={"index": [3, 5], "mine": ["a", "b"]}, **PLACED)
    dock = ClassifyWidget(viewer)
    viewer.window.add_dock_widget(dock)
    return viewer, dock.page


def point(viewer, label, layer="objects"):
    """Put the mouse over an object."""
    y, x = np.argwhere(squares()[1] == label)[0]
    viewer.mouse_over_canvas = True
    viewer.cursor.position = tuple(viewer.layers[layer].data_to_world((y + 1, x + 1)))


def give(viewer, page, classes, layer="objects"):
    for label, key in classes.items():
        point(viewer, label, layer)
        page.press(key)


def press(qtbot, page, button):
    button.changed.emit(True)
    settle(qtbot, page)


def settle(qtbot, page):
    qtbot.waitUntil(lambda: not page.panel.busy, timeout=60_000)


def counts(page):
    """Return the numbers of labels that the list of classes shows."""
    return [label.text() for label in page.native.findChildren(QLabel) if label.text().endswith(("label", "labels"))]


def features(viewer, column, layer="objects"):
    table = viewer.layers[layer].features
    return dict(zip(table["index"], table[column], strict=True))


GIVEN_KEYS = {1: 1, 3: 1, 2: 2, 4: 2}


def test_window_and_python_give_the_same_probabilities(opened, qtbot):
    viewer, page = opened
    give(viewer, page, GIVEN_KEYS)
    assert page.store.counts() == [2, 2]
    press(qtbot, page, page.run)
    names = {1: "class 1", 3: "class 1", 2: "class 2", 4: "class 2"}
    found = classify(viewer.layers["cells"], viewer.layers["objects"], names)
    written = features(viewer, "probability")
    assert [written[label] for label in range(1, 13)] == found.probability.tolist()
    assert [features(viewer, "class")[label] for label in range(1, 13)] == ["class 1", "class 2"] * 6


def test_a_network_is_offered_with_ten_labels_of_each_class_and_trained_when_asked_for(
    make_napari_viewer, monkeypatch, qtbot, tmp_path
):
    monkeypatch.setenv("GENRECON_MODELS", str(tmp_path))
    few = "napari_genrecon.recognition.features.encode"
    monkeypatch.setattr(few, lambda x, *_: x[:, :, ::16, ::16].reshape(len(x), -1))
    trained = []

    def steps(planes, y, k, folds, device):
        trained.append(len(y))
        yield Progress(0, 1, "training a network")
        raise OptionError("this network learns nothing")

    monkeypatch.setattr("napari_genrecon.tasks.classify.result.train_steps", steps)
    viewer = make_napari_viewer()
    rng = np.random.default_rng(0)
    labels = np.kron(np.arange(1, 26).reshape(5, 5), np.pad(np.ones((8, 8), int), 4))
    given = {label: f"class {1 + label % 2}" for label in range(1, 23)} | {1: "class 1"}  # one is wrong
    viewer.add_image(rng.poisson(20 + 40 * (labels % 2) * (labels > 0)), name="cells")
    table = {"index": list(given), GIVEN: list(given.values())}
    viewer.add_labels(labels, name="objects", features=table)
    dock = ClassifyWidget(viewer)
    viewer.window.add_dock_widget(dock)
    page = dock.page
    press(qtbot, page, page.run)
    assert "train a network, too" in page.verdict.value
    page.network.value = True
    viewer.mouse_over_canvas = True
    viewer.cursor.position = (2 * 16 + 8, 0 * 16 + 8)
    page.press(1 + 11 % 2)  # a label that is given does not train a network
    settle(qtbot, page)
    assert trained == []
    press(qtbot, page, page.run)
    assert trained == [22]
    assert "learns nothing" in page.panel.words


def test_only_images_and_their_objects_are_asked_for(opened):
    _, page = opened
    shown = [
        not chooser.native.isHidden() for chooser in (page.chooser.images, page.chooser.targets, page.chooser.objects)
    ]
    assert shown == [True, False, True]


def test_columns_of_the_user_stay_and_given_classes_are_kept_in_one(opened, qtbot):
    viewer, page = opened
    give(viewer, page, GIVEN_KEYS)
    press(qtbot, page, page.run)
    assert features(viewer, "mine")[3] == "a"
    assert {k: v for k, v in features(viewer, GIVEN).items() if isinstance(v, str)} == {
        1: "class 1", 3: "class 1", 2: "class 2", 4: "class 2",
    }  # fmt: skip


def test_keys_of_the_classes_are_not_cut_off(opened):
    _, page = opened
    keys = [label for label in page.native.findChildren(QLabel) if label.text() in ("1", "2")]
    assert len(keys) == 2
    assert all(key.sizeHint().width() <= key.width() for key in keys)


def test_zero_takes_a_class_away_and_other_keys_replace_it(opened):
    viewer, page = opened
    give(viewer, page, {1: 1, 2: 2})
    give(viewer, page, {1: 2, 2: 0})
    assert page.store.classes == {(0, 1): 1}
    assert features(viewer, GIVEN)[2] == ""


def test_keys_are_undone_one_by_one(opened):
    viewer, page = opened
    give(viewer, page, {1: 1, 2: 2})
    give(viewer, page, {1: 2, 2: 0})
    found = []
    for _ in range(4):
        page.undo()
        found.append(dict(page.store.classes))
    assert found == [{(0, 1): 1, (0, 2): 1}, {(0, 1): 0, (0, 2): 1}, {(0, 1): 0}, {}]
    assert page.panel.words == "Undone: object 1 of 'objects' has no class again."
    assert counts(page) == ["0 labels", "0 labels"]
    assert features(viewer, GIVEN)[1] == ""


def test_undo_takes_back_what_was_painted_after_the_last_key(opened):
    viewer, page = opened
    layer = viewer.layers["objects"]
    give(viewer, page, {1: 1})
    layer.paint((55, 75), 20)
    assert 20 in layer.data
    page.undo()
    assert 20 not in layer.data
    assert page.store.classes == {(0, 1): 0}


def test_undo_gives_no_class_that_was_removed(opened):
    viewer, page = opened
    page.classes.set_names(["small", "large", "odd"])
    give(viewer, page, {5: 3})
    give(viewer, page, {5: 1})
    page.classes.set_names(["small", "large"])
    page.undo()
    assert page.store.classes == {(0, 5): 0}


def test_renamed_and_removed_classes_are_so_in_the_features(opened):
    viewer, page = opened
    give(viewer, page, {1: 1, 2: 2})
    page.classes.set_names(["small", "large", "odd"])
    assert features(viewer, GIVEN)[1] == "small"
    give(viewer, page, {5: 3})
    page.classes.set_names(["small", "large"])
    assert page.store.counts() == [1, 1]


def test_classes_are_found_again_by_a_new_page(opened, qtbot):
    viewer, page = opened
    page.classes.set_names(["small", "large"])
    give(viewer, page, GIVEN_KEYS)
    page.chooser.images.value = []
    page.chooser.images.value = ["cells"]  # of which nothing is known any more
    page.classes.set_names(["class 1", "class 2"])
    assert page.store.counts() == [2, 2]
    assert page.classes.names == ["large", "small"]


@pytest.mark.slow
def test_suggestion_is_marked_and_its_class_leads_to_the_next(opened, qtbot):
    viewer, page = opened
    press(qtbot, page, page.next)
    first = page.target.key
    assert RING in viewer.layers
    y, x = viewer.layers["objects"].world_to_data(viewer.layers[RING].data_to_world(viewer.layers[RING].data[0]))
    assert squares()[1][round(y), round(x)] == first[1]
    page.press(1)
    settle(qtbot, page)
    assert page.store.classes == {first: 0}
    assert page.target.key not in (None, first)
    point(viewer, 12)  # the mouse is moved to another object
    page.press(2)
    settle(qtbot, page)
    assert page.store.classes == {first: 0, (0, 12): 1}


def test_labels_are_learnt_from_as_they_are_given(opened, qtbot, monkeypatch):
    viewer, page = opened
    described, real = [], classify_page.labelling_steps
    monkeypatch.setattr(
        classify_page, "labelling_steps", lambda *args, **kw: described.append(args) or real(*args, **kw)
    )
    give(viewer, page, GIVEN_KEYS)
    press(qtbot, page, page.run)
    give(viewer, page, {5: 1})
    settle(qtbot, page)
    table = page.table
    counts = [table.item(i, j).text() for i in range(table.rowCount()) for j in range(table.columnCount())]
    assert sum(map(int, counts)) == 5
    assert len(described) == 1


def test_colours_are_those_of_the_classes_and_the_own_ones_come_back(opened, qtbot):
    viewer, page = opened
    layer = viewer.layers["objects"]
    before = layer.colormap
    give(viewer, page, GIVEN_KEYS)
    np.testing.assert_allclose(layer.get_color(1)[:3], np.array([0xE6, 0x9F, 0x00]) / 255, atol=0.01)
    press(qtbot, page, page.run)
    assert layer.get_color(1)[3] > layer.get_color(5)[3] > 0  # given, and predicted
    page.colour.value = "margin"
    assert not np.allclose(layer.get_color(1)[:3], np.array([0xE6, 0x9F, 0x00]) / 255, atol=0.05)
    page.colour.value = "nothing"
    assert layer.colormap is before or layer.colormap == before


def give_points(viewer, page, classes):
    viewer.mouse_over_canvas = True
    for index, key in classes.items():
        viewer.cursor.position = tuple(viewer.layers["spots"].data_to_world(viewer.layers["spots"].data[index]))
        page.press(key)


@pytest.fixture
def spots(opened):
    """The viewer and the page with points on the objects instead of labels, four of which have a class."""
    viewer, page = opened
    y, x = np.divmod(np.arange(12), 4)
    viewer.add_points(np.stack([20 * y + 8, 20 * x + 8], 1), name="spots", features={"mine": range(12)}, **PLACED)
    page.chooser.objects.value = ["spots"]
    give_points(viewer, page, {0: 1, 2: 1, 1: 2, 3: 2})
    page.form["size"].value = "24"
    return viewer, page


def classes_of(viewer):
    """Return the given classes of points by what the user wrote about each."""
    table = viewer.layers["spots"].features
    return {int(mine): name for mine, name in zip(table["mine"], table[GIVEN], strict=True) if isinstance(name, str)}


def test_points_can_be_classified(spots, qtbot):
    viewer, page = spots
    press(qtbot, page, page.run)
    table = viewer.layers["spots"].features
    assert list(table["class"]) == ["class 1", "class 2"] * 6
    assert list(table["mine"]) == list(range(12))


def test_given_classes_stay_with_their_points_where_others_are_removed(spots, qtbot):
    viewer, page = spots
    press(qtbot, page, page.run)
    layer = viewer.layers["spots"]
    layer.selected_data = {0}
    layer.remove_selected()
    assert "press Classify to learn again" in said(page)
    assert counts(page) == ["1 label", "2 labels"]
    give_points(viewer, page, {4: 2})  # the sixth of before
    expected = {1: "class 2", 2: "class 1", 3: "class 2", 5: "class 2"}
    assert {number: name for number, name in classes_of(viewer).items() if name} == expected


def test_points_that_are_added_have_no_class(spots, qtbot):
    viewer, page = spots
    give_points(viewer, page, {11: 2})
    press(qtbot, page, page.run)
    layer = viewer.layers["spots"]
    layer.selected_data = {11}  # napari gives new points the features of the selected one
    layer.add([5, 5])
    assert counts(page) == ["2 labels", "3 labels"]
    new = layer.features.iloc[-1]
    assert not {new[GIVEN], new["class"]} & {"class 1", "class 2"}


def test_result_of_points_that_were_removed_meanwhile_is_not_written(spots, qtbot):
    viewer, page = spots
    page.run.changed.emit(True)
    layer = viewer.layers["spots"]
    layer.selected_data = {0}
    layer.remove_selected()
    settle(qtbot, page)
    assert "class" not in layer.features
    assert "press Classify to learn again" in said(page)


def test_points_are_described_once(spots, qtbot, monkeypatch):
    _, page = spots
    described, real = [], classify_page.labelling_steps
    monkeypatch.setattr(
        classify_page, "labelling_steps", lambda *args, **kw: described.append(args) or real(*args, **kw)
    )
    press(qtbot, page, page.run)
    press(qtbot, page, page.run)
    assert len(described) == 1


def test_only_objects_are_chosen_also_where_they_come_after_the_dock(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    dock = ClassifyWidget(viewer)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(lambda: dock.ready, timeout=60_000)
    viewer.add_image(squares()[0], name="cells")
    viewer.add_labels(squares()[1], name="objects")
    assert field(dock, "objects").native.selectedItems()[0].text() == "objects"


def test_kept_model_classifies_another_image_without_labels(opened, qtbot):
    viewer, page = opened
    give(viewer, page, GIVEN_KEYS)
    press(qtbot, page, page.run)
    page.model_name.value = "sizes"
    page.save.changed.emit(True)
    assert "Kept as 'sizes'" in page.panel.words
    image, labels = squares(1)
    viewer.add_image(image, name="new", **PLACED)
    viewer.add_labels(labels, name="new objects", **PLACED)
    page.chooser.images.value, page.chooser.objects.value = ["new"], ["new objects"]
    press(qtbot, page, page.use)
    assert [features(viewer, "class", "new objects")[n] for n in range(1, 13)] == ["class 1", "class 2"] * 6
    assert not page.save.enabled  # nothing new was learnt


def test_painted_objects_are_described_again(opened, qtbot):
    viewer, page = opened
    give(viewer, page, GIVEN_KEYS)
    press(qtbot, page, page.run)
    viewer.layers["objects"].data[50:55, 70:75] = 99
    press(qtbot, page, page.run)
    assert features(viewer, "class")[99] in ("class 1", "class 2")


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ({}, "no object has a class: label at least two objects of each"),
        ({1: 1, 3: 1}, "all labels are of the class 'class 1'"),
        ({1: 1, 3: 1, 2: 2}, "the class 'class 2' has 1 labelled object:"),
        ({1: 7}, "there is no class 7: the list has 2"),
    ],
    ids=["none", "one class", "one object", "no such class"],
)
def test_labels_that_do_not_do_get_a_sentence(opened, qtbot, classes, words):
    viewer, page = opened
    give(viewer, page, classes)
    if max(classes.values(), default=0) < 7:
        press(qtbot, page, page.run)
    assert words in page.panel.words
    assert "class" not in viewer.layers["objects"].features


@pytest.mark.parametrize("end", ["Enter", "mouse"])
def test_keys_give_classes_again_once_a_name_is_typed(opened, end):
    _, page = opened
    window, name = page.classes.window(), page.classes.findChildren(QLineEdit)[0]
    name.setFocus()
    QTest.keyClicks(name, "small")
    assert window.focusWidget() is name
    if end == "Enter":
        QTest.keyClick(name, Qt.Key.Key_Return)
    else:
        QApplication.sendEvent(page.classes, QEvent(QEvent.Type.Leave))
    assert window.focusWidget() is not name  # the next key would be typed into it


def test_name_that_is_chosen_can_be_typed_with_the_mouse_elsewhere(opened):
    _, page = opened
    name = page.classes.findChildren(QLineEdit)[0]
    name.setFocus()
    QApplication.sendEvent(page.classes, QEvent(QEvent.Type.Leave))
    assert page.classes.window().focusWidget() is name


def test_key_with_the_mouse_beside_the_image_gives_no_class(opened):
    viewer, page = opened
    point(viewer, 3)
    viewer.mouse_over_canvas = False  # on its way to a button
    page.press(1)
    assert page.store.classes == {}


def test_key_gives_no_class_to_what_a_suggestion_moved_away_from_the_mouse(opened, qtbot):
    viewer, page = opened
    point(viewer, 12)
    press(qtbot, page, page.next)
    page.press(1)
    given = dict(page.store.classes)
    page.press(2)  # before there is a next suggestion
    assert page.store.classes == given


def test_suggestions_go_on_where_a_class_was_given_while_it_learnt(opened, qtbot):
    viewer, page = opened
    give(viewer, page, GIVEN_KEYS)
    press(qtbot, page, page.next)
    page.press(1)
    give(viewer, page, {12: 2})
    settle(qtbot, page)
    assert page.target.key is not None


@pytest.fixture
def two_images(opened):
    """The viewer and the page with a second image of other objects above the first one, both chosen."""
    viewer, page = opened
    image, labels = squares(1)
    labels[labels == 1] = 0
    viewer.add_image(image, name="more cells", **PLACED)
    viewer.add_labels(labels, name="more objects", **PLACED)
    page.chooser.images.value = ["cells", "more cells"]
    return viewer, page


def test_key_gives_the_class_to_the_object_that_is_seen(two_images):
    viewer, page = two_images
    page.chooser.objects.value = ["objects", "more objects"]
    point(viewer, 3)
    page.press(1)
    assert features(viewer, GIVEN, "more objects")[3] == "class 1"
    assert GIVEN not in viewer.layers["objects"].features
    point(viewer, 1)  # one of the image below, which cannot be seen
    page.press(1)
    assert "there is no object under the mouse" in said(page)
    viewer.layers["more cells"].visible = False
    page.press(1)
    assert features(viewer, GIVEN)[1] == "class 1"


def test_objects_of_several_images_are_asked_for_each(two_images):
    viewer, page = two_images
    page.chooser.objects.value = ["objects"]
    point(viewer, 3)
    page.press(1)
    assert "'objects' is chosen for several images" in said(page)
    page.chooser.together.value = True
    page.press(1)
    assert features(viewer, GIVEN)[3] == "class 1"


def test_key_over_no_object_says_so(opened):
    viewer, page = opened
    viewer.mouse_over_canvas = True
    viewer.cursor.position = (0.0, 0.0)
    page.press(1)
    assert "there is no object under the mouse" in page.panel.words
    assert page.store.classes == {}


def test_page_without_layers_says_what_to_choose(make_napari_viewer):
    viewer = make_napari_viewer()
    page = ClassifyWidget(viewer).page
    page.press(1)
    assert "choose an image layer, and the Labels or Points layer" in page.panel.words


@pytest.mark.slow
def test_removed_layers_end_what_belongs_to_them(opened, qtbot):
    viewer, page = opened
    give(viewer, page, GIVEN_KEYS)
    press(qtbot, page, page.next)
    viewer.layers.remove("objects")
    assert page.target.key is None
    assert RING not in viewer.layers
