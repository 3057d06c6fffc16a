"""Jobs as a user meets them: in a dock, in napari's activity panel, and in a dock that was closed and opened again."""

import os
import sys
import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from qtpy.QtWidgets import QLabel, QProgressBar, QPushButton, QTextEdit
from seen import field, jobs_alive

from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import MissingPackageError
from napari_genrecon.widgets.jobs import controls
from napari_genrecon.widgets.jobs.panel import JobPanel
from napari_genrecon.widgets.jobs.torch_import import as_sentence
from napari_genrecon.widgets.task import widget as task_widget


@pytest.fixture
def gate(monkeypatch):
    """Runs stop half-way until it is set."""
    gate, real = threading.Event(), task_widget.result_steps

    def gated(*args, **kwargs):
        yield Progress(0, 2, "begins")
        yield Progress(1, 2, "half-way")
        assert gate.wait(60)
        return (yield from real(*args, **kwargs))

    monkeypatch.setattr(task_widget, "result_steps", gated)
    yield gate
    gate.set()


class Window:
    """A window with one image and the dock of a task, used through what is seen of it."""

    def __init__(self, viewer, qtbot):
        self.viewer, self._qtbot = viewer, qtbot
        viewer.add_image(np.random.default_rng(0).poisson(30, (64, 72)).astype("u2"), name="cells")
        self.open()
        self._main = weakref.ref(self.page.window())  # napari's fixture complains of what holds its window
        self.until(lambda: self.button("Denoise").isEnabled() and "Expected time" in self.words())

    def open(self):
        dock, page = self.viewer.window.add_plugin_dock_widget("napari-genrecon", "Denoise")
        self._dock, self.page = weakref.ref(dock), page.native
        self.until(lambda: page.ready)

    def close(self):
        self._dock().destroyOnClose()  # what the x does

    def button(self, text):
        return next(found for found in self.page.findChildren(QPushButton) if found.text() == text)

    def words(self):
        return "\n".join(box.toPlainText() for box in self.page.findChildren(QTextEdit))

    def activities(self):
        """Titles and Cancel buttons in napari's activity panel."""
        return {
            label.text(): label.parent().findChild(QPushButton)
            for label in self._main().findChildren(QLabel)
            if label.text().endswith(": ") and label.parent().findChild(QPushButton)
        }

    def layers(self):
        return [layer.name for layer in self.viewer.layers]

    def until(self, condition):
        self._qtbot.waitUntil(condition, timeout=60_000)


@pytest.fixture
def window(make_napari_viewer, qtbot):
    return Window(make_napari_viewer(), qtbot)


def test_reopened_dock_finds_its_job_and_cancels_it(window, gate):
    window.button("Denoise").click()
    window.close()
    window.open()
    window.until(lambda: "half-way" in window.words())
    assert not window.button("Denoise").isEnabled()
    window.button("Cancel").click()
    gate.set()
    window.until(lambda: window.button("Denoise").isEnabled())
    assert "Cancelled: nothing was added." in window.words()
    assert window.layers() == ["cells"]


def test_time_left_is_told_anew_while_a_step_takes_long(window, gate, monkeypatch):
    clock = SimpleNamespace(perf_counter=lambda: 0.0)
    monkeypatch.setattr(controls, "time", clock)
    window.button("Denoise").click()
    window.until(lambda: "half-way, about 1 s left" in window.words())
    clock.perf_counter = lambda: 600.0
    window.until(lambda: "half-way, about 10 min left" in window.words())


def test_buttons_that_would_start_another_job_wait(window, gate):
    window.button("Denoise").click()
    window.until(lambda: "half-way" in window.words())
    starting = ("Denoise", "Preview", "Check result")
    assert not any(window.button(text).isEnabled() for text in starting)
    gate.set()
    window.until(lambda: all(window.button(text).isEnabled() for text in starting))


def test_job_of_a_closed_dock_is_in_the_activity_panel_and_ends_there(window, gate):
    window.button("Denoise").click()
    window.close()
    window.until(lambda: bool(window.activities()))
    ((title, cancel),) = window.activities().items()
    assert title.startswith("Denoise 'cells'")
    cancel.click()
    gate.set()
    window.until(lambda: not window.activities())
    assert window.layers() == ["cells"]
    window.open()
    window.until(lambda: "Cancelled: nothing was added." in window.words())


def test_result_made_while_the_dock_was_closed_is_a_layer_and_told_when_it_is_opened(window, gate):
    window.button("Denoise").click()
    window.close()
    gate.set()
    window.until(lambda: "cells denoise" in window.layers())
    window.open()
    assert "New layer 'cells denoise': done in" in window.words()
    assert window.button("Denoise").isEnabled()


def test_page_keeps_its_options_and_measures_what_came_while_it_was_closed(window):
    slider = field(window.page, "strength")
    slider.value = 0.4
    window.close()
    window.viewer.add_image(np.random.default_rng(1).poisson(90, (64, 72)).astype("u2"), name="later")
    assert "later" not in window.words()
    window.open()
    window.until(lambda: "later: " in window.words() and "Expected time" in window.words())
    assert slider.value == pytest.approx(0.4)


def test_closing_the_window_ends_a_job_whose_dock_is_closed(window, gate, qtbot):
    window.button("Denoise").click()
    window.close()
    with qtbot.waitSignal(window.page.destroyed, timeout=10_000):
        window.viewer.close()
    assert jobs_alive()
    gate.set()
    qtbot.waitUntil(lambda: not jobs_alive(), timeout=60_000)
    qtbot.wait(50)  # to tell its end to a page that is gone would be an error, which fails the test


@pytest.mark.parametrize("error", [OSError("[WinError 1114] DLL initialization failed"), ImportError("cannot import")])
def test_torch_that_cannot_be_loaded_is_one_sentence_said_once(window, monkeypatch, error):
    shown = []
    monkeypatch.setattr(controls, "show_error", shown.append)

    def failing(*args, **kwargs):
        yield Progress(0, 1)
        exec(compile("raise error", "torch/__init__.py", "exec"), {"__name__": "torch", "error": error})

    monkeypatch.setattr(task_widget, "result_steps", failing)
    for _ in range(2):
        window.button("Denoise").click()
        window.until(lambda: window.button("Denoise").isEnabled())
        assert f"PyTorch cannot be loaded: {error}. On Windows this happens where napari's window" in window.words()
    assert len(shown) == 1


def test_panel_shows_its_bar_while_it_works_and_words_while_there_are_some(qtbot):
    panel, gate = JobPanel([]), threading.Event()

    def steps():
        yield Progress(0, 0, "step")
        assert gate.wait(60)

    qtbot.addWidget(panel.native)
    panel.native.show()
    bar, words = panel.native.findChild(QProgressBar), panel.native.findChild(QTextEdit)
    assert not bar.isVisible()
    assert not words.isVisible()
    panel.begin(steps, lambda _: panel.say("Made.", "good"), title="Make")
    qtbot.waitUntil(lambda: words.toPlainText() == "Make, step", timeout=10_000)
    assert bar.isVisible()
    gate.set()
    qtbot.waitUntil(lambda: words.toPlainText() == "Made.", timeout=10_000)
    assert words.isVisible()
    assert not bar.isVisible()
    panel.say("")
    assert not words.isVisible()


def test_other_errors_stay_what_they_are():
    for error in (OSError("disk"), ImportError("zarr"), RuntimeError("torch"), MissingPackageError("dask"), None):
        assert as_sentence(error) is error
