"""Several tasks in a row, from the window: as a user adds, edits, saves, opens and runs them."""

from __future__ import annotations

import os
import sys
import threading
import warnings

import numpy as np
import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)


from napari_genrecon import pipeline
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import GenReconWarning
from napari_genrecon.tasks.pipeline import pipeline_steps
from napari_genrecon.widgets.layers.add_result import add_result
from napari_genrecon.widgets.openers import StepsWidget


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer()
    noisy = np.random.default_rng(0).poisson(30, (40, 48)).astype(np.uint16)
    viewer.add_image(noisy, name="cells", scale=(0.2, 0.2), units=("um", "um"))
    return viewer


@pytest.fixture
def page(viewer):
    found = StepsWidget(viewer)
    viewer.window.add_dock_widget(found)
    return found


def press(qtbot, page, button):
    button.native.click()
    qtbot.waitUntil(lambda: not page.cancel.enabled, timeout=60_000)


def put(page, *tasks):
    for task in tasks:
        page.task.value = task
        page.add_step.native.click()


def test_steps_that_are_put_together_give_what_the_script_gives(viewer, page, qtbot):
    cells = viewer.layers["cells"]
    put(page, "denoise", "upscale")
    page.images.value = ["cells"]
    press(qtbot, page, page.run)
    made = viewer.layers["cells denoise-upscale"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GenReconWarning)  # about what is left of the noise
        script = pipeline(["denoise", "upscale"], cells)
    np.testing.assert_allclose(made.data, script, atol=1e-3)
    np.testing.assert_allclose(made.scale, (0.1, 0.1))
    assert "New layer: cells denoise-upscale" in page.status.value


def test_results_of_all_steps_are_added_on_request(viewer, page, qtbot):
    put(page, "denoise", "upscale")
    page.images.value, page.keep.value = ["cells"], True
    press(qtbot, page, page.run)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells denoise", "cells denoise upscale x2"]


@pytest.mark.parametrize("keep", [False, True])
def test_colours_stay_in_their_dtype(viewer, page, qtbot, keep):
    colours = np.random.default_rng(0).poisson(90, (40, 48, 3)).astype(np.uint8)
    viewer.add_image(colours, name="slide", rgb=True)
    put(page, "denoise", "upscale")
    page.images.value, page.keep.value = ["slide"], keep
    press(qtbot, page, page.run)
    made = viewer.layers[2:]
    assert [layer.name for layer in made][-1] in page.status.value
    assert [layer.data.dtype for layer in made] == [np.uint8] * (2 if keep else 1)


def test_steps_that_are_edited_during_a_run_change_nothing_of_it(viewer, page, qtbot):
    viewer.add_image(viewer.layers["cells"].data, name="more")
    put(page, "denoise")
    page.images.value = ["cells", "more"]
    page.run.native.click()
    page.chosen.value = [0]
    page.remove_steps.native.click()
    put(page, "upscale")
    assert not page.run.enabled  # two runs would share one queue
    qtbot.waitUntil(lambda: page.run.enabled, timeout=60_000)
    assert [layer.name for layer in viewer.layers] == ["cells", "more", "cells denoise", "more denoise"]
    assert page.status.value == "New layers: cells denoise, more denoise."


def test_cancel_says_which_images_were_done_before(viewer, page, qtbot, monkeypatch):
    viewer.add_image(viewer.layers["cells"].data, name="more")
    put(page, "denoise")
    page.images.value = ["cells", "more"]
    begun, go_on = [], threading.Event()

    def steps(*given, **options):
        begun.append(given)
        if len(begun) == 2:
            go_on.wait(60)
            yield Progress(0, 0)
        return (yield from pipeline_steps(*given, **options))

    monkeypatch.setattr("napari_genrecon.widgets.steps.page.pipeline_steps", steps)
    page.run.native.click()
    qtbot.waitUntil(lambda: len(begun) == 2, timeout=60_000)
    page.cancel.native.click()
    go_on.set()
    qtbot.waitUntil(lambda: page.run.enabled, timeout=60_000)
    assert [layer.name for layer in viewer.layers] == ["cells", "more", "cells denoise"]
    assert page.status.value == "New layer: cells denoise. Cancelled: no more was added."


def test_steps_of_a_result_are_taken_edited_saved_and_opened_again(viewer, page, tmp_path):
    viewer.layers.selection.active = add_result(viewer, "denoise", viewer.layers["cells"], strength=0.5)
    page.from_result.native.click()
    assert str(page.steps[0]) == "Denoise (strength 0.5)"
    page.chosen.value = [0]
    page.step_options.value = "strength=0.8, keep_dtype=True"
    page.step_options.native.editingFinished.emit()
    assert dict(page.steps[0].options) == {"strength": 0.8, "keep_dtype": True}
    page.write(tmp_path / "mine")
    page.chosen.value = [0]
    page.remove_steps.native.click()
    assert not page.steps
    assert not page.run.enabled
    page.read(tmp_path / "mine.json")
    assert str(page.steps[0]) == "Denoise (strength 0.8, keep dtype True)"


def test_the_order_can_be_changed(page):
    put(page, "upscale", "denoise")
    page.chosen.value = [1]
    page.move_up.native.click()
    assert [step.task for step in page.steps] == ["denoise", "upscale"]
    shown = page.chosen.native
    assert [shown.item(row).text() for row in range(shown.count())] == ["1. Denoise", "2. Upscale"]


@pytest.mark.parametrize("text", ["strength=7", "power=2", "strength"])
def test_options_that_cannot_work_are_refused_and_change_nothing(page, text):
    put(page, "denoise")
    page.chosen.value = [0]
    page.step_options.value = text
    page.step_options.native.editingFinished.emit()
    assert dict(page.steps[0].options) == {}
    assert page.status.value


def test_without_an_image_or_a_result_it_says_what_to_do(viewer, page):
    put(page, "denoise")
    viewer.layers.clear()
    page.run.native.click()
    assert "Choose an image first" in page.status.value
    page.from_result.native.click()
    assert "Select the layer of a result first" in page.status.value


@pytest.mark.parametrize(("task", "shown"), [("inpaint", "detect"), ("deblur", "psf")])
def test_step_that_was_only_added_can_run(page, qtbot, task, shown):
    put(page, task)
    assert page.step_options.value.startswith(f"{shown}=")
    page.images.value = ["cells"]
    press(qtbot, page, page.run)
    assert page.status.value.startswith("New layer: cells")
