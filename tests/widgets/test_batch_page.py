"""A folder of images from the window: as a user chooses, starts, stops, goes on and opens results."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import tifffile

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from qtpy.QtCore import Qt

from napari_genrecon import denoise, measure_noise
from napari_genrecon.cli import main
from napari_genrecon.io.reader import open_image
from napari_genrecon.noise.same import compare
from napari_genrecon.tasks.pipeline import Pipeline, Step
from napari_genrecon.widgets.batch.choice import STEPS
from napari_genrecon.widgets.openers import BatchWidget


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name in "abc":
        tifffile.imwrite(tmp_path / "in" / f"{name}.tif", rng.poisson(30, (40, 48)).astype("u2"))
    return tmp_path


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def page(viewer):
    found = BatchWidget(viewer)
    viewer.window.add_dock_widget(found)
    return found


def rest(qtbot, page):
    qtbot.waitUntil(lambda: not page.busy, timeout=60_000)


def press(qtbot, page, button):
    qtbot.mouseClick(button.native, Qt.MouseButton.LeftButton)
    rest(qtbot, page)


def choose(qtbot, page, *paths):
    page.take(list(paths))
    rest(qtbot, page)


def states(page):
    shown = [page.table.item(row, 1).text() for row in range(page.table.rowCount())]
    return [text.partition(", ")[0] if text.startswith("done") else text for text in shown]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_folder_is_listed_before_anything_is_done(page, folder, qtbot):
    choose(qtbot, page, folder / "in")
    assert [page.table.item(row, 0).text() for row in range(3)] == ["a.tif", "b.tif", "c.tif"]
    assert states(page) == ["waiting"] * 3
    assert page.status.value == "3 images."
    assert names(folder / "in") == ["a.tif", "b.tif", "c.tif"]


def test_window_and_command_line_write_the_same_and_know_each_others_results(page, folder, qtbot, capsys):
    out = folder / "out"
    assert main(["upscale", str(folder / "in" / "a.tif"), "-o", f"{out}/"]) == 0
    page.work.task.value, page.folder.value = "upscale", out
    choose(qtbot, page, folder / "in")
    press(qtbot, page, page.run)
    assert states(page) == ["done before", "done", "done"]
    assert page.status.value == "1 done before, 2 done."
    capsys.readouterr()
    assert main(["upscale", str(folder / "in"), "-o", f"{out}/", "--resume"]) == 0
    assert capsys.readouterr().out.count("(done before)") == 3
    assert main(["upscale", str(folder / "in" / "b.tif"), "-o", str(folder / "b.ome.tif")]) == 0
    np.testing.assert_array_equal(tifffile.imread(folder / "b.ome.tif"), tifffile.imread(out / "b_upscale.ome.tif"))


@pytest.mark.parametrize("task", ["denoise", "deblur", "inpaint"])
def test_options_of_each_task_reach_the_results(page, folder, qtbot, task):
    from napari_genrecon.io.record.check import find_record
    from napari_genrecon.widgets.layers.arrays import Other

    page.work.task.value = task
    given = {"denoise": ("strength", 0.5), "deblur": ("method", "rl"), "inpaint": ("method", "biharmonic")}[task]
    page.work.form[given[0]].value = given[1]
    if task == "inpaint":
        tifffile.imwrite(folder / "mask.tif", np.eye(40, 48, dtype="u1"))
        page.work.form["mask"].value, page.work.form["mask_file"].value = Other.FILE, folder / "mask.tif"
    choose(qtbot, page, folder / "in" / "a.tif")
    press(qtbot, page, page.run)
    assert states(page) == ["done"], page.status.value
    record = find_record(folder / "in" / f"a_{task}.ome.tif")
    assert record["options"][given[0]] == given[1]
    press(qtbot, page, page.run)
    assert states(page) == ["done before"]


def test_steps_of_a_file_are_run_on_a_folder(page, folder, qtbot):
    page = page.content  # attributes are set on the page, not on its room
    path = Pipeline((Step("inpaint", {"detect": "hot"}), Step("upscale"))).save(folder / "mine.json")
    page.work.task.value = STEPS
    page.run.native.click()
    assert "Choose a folder or files first" in page.status.value
    page.inputs = [folder / "in"]
    page.run.native.click()
    assert "choose the file of the steps" in page.status.value
    page.work.steps.value = path
    press(qtbot, page, page.run)
    assert states(page) == ["done"] * 3
    assert "a_mine.ome.tif" in names(folder / "in")


def test_failure_is_a_sentence_in_its_row_and_the_rest_go_on(viewer, page, folder, qtbot):
    (folder / "in" / "b.tif").write_bytes(b"II*\0 broken")
    page.work.task.value, page.pattern.value = "upscale", "{name}_x2"
    choose(qtbot, page, folder / "in")
    press(qtbot, page, page.run)
    assert [state.partition(":")[0] for state in states(page)] == ["done", "failed", "done"]
    assert "b.tif" in states(page)[1]
    assert "2 done, 1 failed" in page.status.value
    page.table.selectRow(1)
    assert page.status.value in states(page)[1]
    assert not page.open_result.enabled
    page.table.selectRow(2)
    press(qtbot, page, page.open_result)
    assert viewer.layers[-1].data.shape == (80, 96)


def test_stopped_folder_goes_on_where_it_was_even_after_the_dock_was_closed(viewer, page, folder, qtbot):
    page.work.task.value, page.folder.value = "upscale", folder / "out"
    choose(qtbot, page, folder / "in")
    page.table.show_rows, shown = _stopping(page), page.table.show_rows
    press(qtbot, page, page.run)
    page.table.show_rows = shown
    assert "Stopped" in page.status.value
    assert names(folder / "out") == ["a_upscale.ome.tif"]
    assert states(page)[0] == "done"
    viewer.window.remove_dock_widget(page.native)
    found = BatchWidget(viewer)
    assert found is page
    viewer.window.add_dock_widget(found)
    press(qtbot, page, page.run)
    assert states(page) == ["done before", "done", "done"]


def _stopping(page):
    """Show rows as always, and press Stop when the second image begins."""
    real = page.table.show_rows

    def show(rows):
        real(rows)
        if rows[1].state == "running" and page.stop.enabled:
            page.stop.native.click()

    return show


def test_run_goes_on_while_the_dock_is_closed(viewer, page, folder, qtbot):
    page.work.task.value = "upscale"
    choose(qtbot, page, folder / "in")
    page.run.native.click()
    viewer.window.remove_dock_widget(page.native)
    rest(qtbot, page)
    assert len(names(folder / "in")) == 6
    viewer.window.add_dock_widget(page)
    assert states(page) == ["done"] * 3


@pytest.mark.parametrize(("pattern", "said"), [("same", "cannot name the results"), ("{name}.png", "names no format")])
def test_names_that_cannot_be_are_refused_before_anything_is_written(page, folder, qtbot, pattern, said):
    page.pattern.value = pattern
    choose(qtbot, page, folder / "in")
    press(qtbot, page, page.run)
    assert said in page.status.value
    assert len(names(folder / "in")) == 3


def test_empty_folder_says_so(page, folder, qtbot):
    (folder / "empty").mkdir()
    choose(qtbot, page, folder / "empty")
    assert "there is no image that can be opened in the folder" in page.status.value


def test_table_is_there_once_there_are_images(page, folder, qtbot):
    assert page.table.isHidden()
    choose(qtbot, page, folder / "in")
    assert not page.table.isHidden()


@pytest.mark.slow
def test_workers_on_this_machine_write_what_the_window_would(page, folder, qtbot):
    page.pattern.value, page.folder.value = "{name}.ome.zarr", folder / "cluster"
    choose(qtbot, page, folder / "in" / "a.tif")
    page.on_cluster.value = True
    assert page.scheduler.value == "local"
    qtbot.mouseClick(page.run.native, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not page.busy, timeout=300_000)
    assert states(page) == ["done"]
    expected = denoise(tifffile.imread(folder / "in" / "a.tif"))
    made = open_image(folder / "cluster" / "a.ome.zarr")
    assert compare(np.asarray(made.data), expected, [measure_noise(tifffile.imread(folder / "in" / "a.tif"))]).same
