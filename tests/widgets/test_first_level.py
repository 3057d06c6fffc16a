"""The first level of a dock: what most people need, and everything that is not at its default."""

import os
import sys

import numpy as np
import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from qtpy.QtWidgets import QPushButton
from seen import box, button, choose, field, said

from napari_genrecon.models import ModelCard
from napari_genrecon.models.registry import save_own
from napari_genrecon.tasks import TASKS
from napari_genrecon.widgets import openers
from napari_genrecon.widgets.advise.open_dock import open_filled
from napari_genrecon.widgets.form import TaskForm


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.random.default_rng(0).poisson(40, (48, 64)).astype("u2"), name="cells")
    return viewer


@pytest.fixture
def stack(viewer):
    return viewer.add_image(np.zeros((3, 48, 64)), name="stack", axis_labels=("z", "y", "x"))


def none(_widget=None):
    return []


def forms():
    return [TaskForm(task, none, none, none) for task in TASKS]


def other_value(widget):
    """Return a value of a field that is not its present one, or that one where there is no other."""
    if hasattr(widget, "choices"):
        return widget.choices[-1]
    value = widget.value
    return not value if isinstance(value, bool) else "9" if isinstance(value, str) else value + 1


def test_nothing_folded_away_acts_unseen():
    """Every option of every task is in sight as soon as it is not at its default, whoever set it."""
    for form in forms():
        folded = [name for name in form.plain_values() if form[name].native.isHidden()]
        assert folded
        for name in folded:
            usual, form[name].value = form[name].value, other_value(form[name])
            assert form[name].native.isHidden() == (form[name].value == usual), name


def test_changed_option_stays_when_the_options_are_folded_again(viewer, docked):
    page = docked(viewer, openers.DenoiseWidget)
    field(page, "more options").value = True
    field(page, "mix in original").value = 0.3
    field(page, "more options").value = False
    assert (field(page, "mix in original").shown, field(page, "keep number type").shown) == (True, False)
    field(page, "mix in original").value = 0.0
    assert field(page, "mix in original").shown  # the slider does not vanish under the mouse
    field(page, "more options").value = True
    field(page, "more options").value = False
    assert not field(page, "mix in original").shown


def test_preference_that_is_no_default_is_in_sight(viewer, docked):
    from napari.settings import get_plugin_settings

    section = get_plugin_settings("napari-genrecon").genrecon_denoise
    section.keep_dtype = True
    try:
        page = docked(viewer, openers.DenoiseWidget)
        assert field(page, "keep number type").value
        assert field(page, "keep number type").shown
    finally:
        section.keep_dtype = False


def test_models_are_offered_where_there_is_one_of_the_users_own(viewer, docked, monkeypatch, tmp_path):
    monkeypatch.setenv("GENRECON_MODELS", str(tmp_path))
    page = docked(viewer, openers.UpscaleWidget)
    assert not field(page, "model").shown
    card = ModelCard(name="mine", task="upscale", network="srnet", told=("sigma", "factor"))
    save_own(card, {"w": np.zeros(1, np.float32)})
    page.reset_choices()
    assert field(page, "model").shown
    assert "mine" in field(page, "model").choices


def test_task_without_a_model_shows_where_to_get_one(viewer, docked, monkeypatch, tmp_path):
    monkeypatch.setenv("GENRECON_MODELS", str(tmp_path))
    page = docked(viewer, openers.PredictWidget)
    assert "no model" in said(page)
    assert all(button(page, words).isVisible() for words in ("Import a model…", "Train a model…"))
    button(page, "Train a model…").click()
    assert "Generate (GenRecon)" in viewer.window.dock_widgets
    others = docked(viewer, openers.DenoiseWidget).native.findChildren(QPushButton)
    assert not any(each.text() == "Train a model…" for each in others)


def test_button_brings_the_dock_that_a_menu_opened_to_the_front(viewer):
    page = openers.CompareWidget(viewer)
    dock = viewer.window.add_dock_widget(page, name="Compare (GenRecon)")  # the name that the menus of napari give
    dock.hide()
    assert open_filled(viewer, "compare", "cells", {}) is page
    assert dock.isVisible()
    assert list(viewer.window.dock_widgets) == ["Compare (GenRecon)"]


def test_frames_are_offered_for_movies_and_stacks_only(viewer, docked, stack):
    page = docked(viewer, openers.DenoiseWidget)
    choose(page, "cells")
    assert not field(page, "frames").shown
    choose(page, "stack")
    assert field(page, "frames").shown
    field(page, "frames").value = "planes of a stack (Z)"
    choose(page, "cells")
    assert field(page, "frames").shown


def test_points_to_go_by_replace_the_sizes(viewer, docked):
    viewer.add_points([[20, 20]], name="clicks")
    page = docked(viewer, openers.DetectWidget)
    sizes = ("false share", "smallest (px)", "largest (px)", "objects")
    assert [field(page, name).shown for name in (*sizes, "all marked in")] == [True] * 4 + [False]
    field(page, "like these points").value = "clicks"
    assert [field(page, name).shown for name in (*sizes, "all marked in")] == [False] * 4 + [True]
    field(page, "like these points").value = "none"
    assert [field(page, name).shown for name in (*sizes, "all marked in")] == [True] * 4 + [False]


def test_message_settles_and_scrolls_only_where_it_must(viewer, docked, qtbot):
    """A scroll bar wraps the text, which makes it higher, which asks for another height of the box."""
    viewer.window._qt_window.resize(1366, 768)
    page = docked(viewer, openers.DenoiseWidget)
    message = box(page, "message")
    document = message.document().clone()

    def height(words, width):
        document.setPlainText(words)
        document.setTextWidth(width)
        return document.size().height()

    narrow = message.width() - message.verticalScrollBar().sizeHint().width()
    tight = [words for n in range(40, 80) if height(words := n * "grain ", message.width()) < height(words, narrow)]
    changes = []
    message.document().documentLayout().documentSizeChanged.connect(changes.append)

    def rests():
        changes.clear()
        qtbot.wait(100)
        return not changes

    for words in (*tight[:3], "short", 500 * "grain "):
        message.setPlainText(words)
        qtbot.waitUntil(rests)
        assert message.verticalScrollBar().isVisible() == (len(words) > 1000)


def test_factor_along_z_is_offered_where_the_voxels_do_not_decide_it(viewer, docked, stack):
    thick = viewer.add_image(np.zeros((3, 48, 64)), name="thick", axis_labels=("z", "y", "x"), scale=(4, 1, 1))
    page = docked(viewer, openers.UpscaleZWidget)
    page.fill("thick", {})
    assert field(page, "factor").shown  # no unit: its scale may be anything
    thick.units = ("micrometer",) * 3
    page.fill("stack", {})
    page.fill("thick", {})
    assert not field(page, "factor").shown
    page.fill("stack", {})
    assert field(page, "factor").shown
