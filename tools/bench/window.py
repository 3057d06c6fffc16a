"""Measure for how long a real window does not answer, journey by journey, driven by mouse and keys from a fresh home.

A timer beats every few milliseconds in the thread of the window; a step's longest pause between two beats is what a
user feels. A signal notes meanwhile where the thread is. The next column is the longest pause without what is not this
plugin's: the time that napari needs to add, remove and draw layers, and Python's garbage collector, which looks at all
objects of the process. The last number is the processor time of the thread within that pause, which depends little on
what else runs on the machine. "Open an empty dock" is what napari itself needs for a dock with one label. A click is
one of the mouse, a drag, or a text that is typed into a field; menus are clicked, too. Needs a display: ``sh
tools/with_display.sh python tools/benchmark.py window``; ``--keep FOLDER`` also saves a picture after each step.
"""

from __future__ import annotations

import compileall
import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

import napari_genrecon
from bench.table import header, row

_FILTER = ("Layers", "Filter")
# Docks, and the menus that they are in.
DOCKS = {
    **dict.fromkeys(
        ("Denoise", "Upscale", "Upscale Z", "Deblur", "Inpaint", "Predict", "Detect", "Steps", "Folder", "Advise"),
        _FILTER,
    ),
    "Compare": ("Layers", "Visualize"),
    "Classify": ("Layers", "Classify"),
    "Generate": ("File", "New Layer"),
    "Augment": ("File", "New Layer"),
}
_BEAT = 5  # ms
_LATE = 0.05  # seconds without a beat from which it is noted where the thread is
_LISTS = ("layerlist.py", "_evented_list.py", "_selectable_list.py")
_NAPARI = "napari: "
_GARBAGE = "garbage collector"
_DRAWING = ("vispy.", "napari._vispy", "OpenGL.")
_OWN = f"{os.sep}napari_genrecon{os.sep}"


def run(only: str, keep: Path | None) -> None:
    """Print the table of all journeys, each in a process and a home of its own."""
    header("step", "clicks", "seconds", "longest pause", "this plugin's", "processor time", "where")
    compileall.compile_dir(Path(napari_genrecon.__file__).parent, quiet=1)  # as pip does when it installs
    names = [*(f"open {dock}" for dock in ("an empty dock", *DOCKS)), *JOURNEYS]
    for name in (name for name in names if only in name):
        with tempfile.TemporaryDirectory() as home:
            given = {"HOME": home, "XDG_CACHE_HOME": f"{home}/cache", "XDG_CONFIG_HOME": f"{home}/config"}
            command = [sys.executable, "-c", "from bench.window import drive; drive()", name, str(keep or "")]
            done = subprocess.run(
                command, env={**os.environ, **given, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False
            )
            if done.returncode:
                row(f"{name}: broke off ({done.returncode})", *[""] * 6)


class Heartbeat:
    """Longest pause of the thread of the window, and where it was meanwhile.

    A signal interrupts this thread and looks at its own stack. Another thread that looked at it would keep frames for
    a moment, and a painter that ends later than its picture makes Qt crash.
    """

    def __init__(self) -> None:
        from qtpy.QtCore import QTimer

        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._seen: dict[str, float] = defaultdict(float)  # seconds by place
        self._looked, self._collecting = time.perf_counter(), False
        self.start()
        self._timer.start(_BEAT)
        signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, _LATE / 5, _LATE / 5)
        gc.callbacks.append(self._collect)

    def start(self) -> None:
        """Begin a step."""
        self._last, self._used = time.perf_counter(), time.thread_time()
        self.longest = 0.0
        self.own: tuple[float, float, str] = (0.0, 0.0, "")  # of this plugin's, its processor time, and where it was

    def _beat(self) -> None:
        now, used = time.perf_counter(), time.thread_time()
        seen, self._seen = self._seen, defaultdict(float)  # the signal may come at any time
        others = [place for place in seen if place == _GARBAGE or place.startswith(_NAPARI)]
        pause, total = now - self._last, sum(seen.values()) or 1.0
        share = 1 - sum(seen[place] for place in others) / total
        most = sorted((item for item in seen.items() if item[0] not in others), key=lambda item: -item[1])[:3]
        where = ", ".join(f"{place} {seconds / total:.0%}" for place, seconds in most)
        self.longest = max(self.longest, pause)
        self.own = max(self.own, (pause * share, (used - self._used) * share, where))
        self._last, self._used = now, used

    def _look(self, _signal: int, frame: Any) -> None:
        now = time.perf_counter()
        if now - self._last > _LATE and frame is not None:
            self._seen[_GARBAGE if self._collecting else _place(frame)] += now - max(self._looked, self._last)
        self._looked = now

    def _collect(self, phase: str, _info: object) -> None:
        now = time.perf_counter()
        if self._collecting:
            self._seen[_GARBAGE] += now - max(self._looked, self._last)
        self._looked, self._collecting = now, phase == "start"


def _place(frame: Any) -> str:
    """Return the function of this plugin that a thread is in and the module in which it ends up, or that napari works.

    What napari does while a layer is added, removed or first drawn is its own; listeners of this plugin are not.
    """
    inner = frame.f_globals.get("__name__", "")
    if inner.startswith(_DRAWING):
        return f"{_NAPARI}drawing"
    while frame is not None:
        name = frame.f_code.co_filename
        if _OWN in name:
            return f"{name.partition(_OWN)[2].removesuffix('.py')}:{frame.f_code.co_name} > {inner}"
        if name.endswith(_LISTS) and frame.f_code.co_name in ("insert", "remove", "__delitem__"):
            return f"{_NAPARI}layers"
        frame = frame.f_back
    return inner


class Window:
    """A window that is used through what is seen of it."""

    def __init__(self, journey: str, keep: str) -> None:
        import napari

        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1366, 768)
        self.page: Any = None
        self._keep, self._journey, self._steps = Path(keep) if keep else None, journey, 0
        self._clicks, self._began = 0, time.perf_counter()
        self._sum: list[tuple[int, float, float]] = []  # clicks, seconds and longest pause of the steps so far
        self.beat = Heartbeat()

    def step(self, what: str, do: Callable[[], object], until: Callable[[], object] = lambda: True) -> None:
        """Do something, wait for its end, and print how long the window did not answer meanwhile."""
        self.wait(lambda: True)
        self.begin()
        do()
        self.wait(until, rest=False)
        clicks, seconds = self._clicks, time.perf_counter() - self._began
        self.wait(lambda: True)
        self._sum.append((clicks, seconds, self.beat.own[0]))
        self._row(what, clicks, seconds, self.beat.longest, *self.beat.own)
        self._steps += 1
        self.picture(what)

    def begin(self) -> None:
        """Begin to count."""
        self._clicks, self._began = 0, time.perf_counter()
        self.beat.start()

    def end(self) -> None:
        """Print the sum of all steps."""
        clicks, seconds, own = zip(*self._sum, strict=True)
        row(f"**{self._journey}**", sum(clicks), f"{sum(seconds):.0f}", "", f"{1000 * max(own):.0f} ms", "", "")

    def _row(self, what: str, clicks: int, seconds: float, *rest: Any) -> None:
        *times, where = rest
        cells = [f"{1000 * each:.0f} ms" for each in times]
        row(f"{self._journey}: {what}", clicks, f"{seconds:.1f}", *cells, where)

    def picture(self, what: str) -> None:
        """Save a picture of the window if that was asked for."""
        if self._keep is not None:
            self._keep.mkdir(parents=True, exist_ok=True)
            name = f"{self._journey} {self._steps:02} {what}".replace(" ", "-").replace("/", "-")
            self.viewer.screenshot(self._keep / f"{name}.png", canvas_only=False, flash=False)

    def wait(self, until: Callable[[], object], seconds: float = 1500, *, rest: bool = True) -> None:
        """Let the window work until a condition is true, and some more."""
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                self.picture("stuck")
                raise SystemExit(f"{self._journey}: did not get there in time; it said: {self.words()}")
            QApplication.processEvents()
            time.sleep(0.002)
        end = time.monotonic() + (0.5 if rest else 0)
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.002)

    def sample(self, name: str = "fluorescence_2d") -> None:
        """Open a sample image."""
        self.viewer.open_sample("napari-genrecon", name)
        self.viewer.reset_view()
        self.wait(lambda: True)

    def sample_by_menu(self, title: str) -> None:
        """Open a sample image by its menu."""
        menu = self.menu("File", "Open Sample", "GenRecon")
        self.beat.start()
        self._choose(menu, title)

    def open(self, dock: str) -> None:
        """Open a dock by its menu."""
        *menus, entry = [*DOCKS[dock], f"{dock} (GenRecon)"]
        menu = self.menu(*menus)
        self.beat.start()  # menus are napari's
        self._choose(menu, entry)
        self.look_at(dock)

    def look_at(self, dock: str) -> None:
        """Use this dock from now on."""
        self.page = self._dock(dock).inner_widget()

    def opened(self, dock: str) -> bool:
        """Return whether a dock shows its page."""
        found = self._dock(dock)
        return found is not None and bool(found.inner_widget().ready)

    def _dock(self, dock: str) -> Any:
        return self.viewer.window._wrapped_dock_widgets.get(f"{dock} (GenRecon)")

    def ready(self) -> bool:
        """Return whether the page of the dock is in sight."""
        return bool(self.page.ready)

    def empty_dock(self) -> None:
        """Open a dock with nothing but a label."""
        from qtpy.QtWidgets import QLabel

        self.viewer.window.add_dock_widget(QLabel("empty"), name="empty")

    def menu(self, *titles: str) -> Any:
        """Open a menu of the window, and menus within it, by clicks."""
        found: Any = self.viewer.window._qt_window.menuBar()
        for title in titles:
            found = self._choose(found, title).menu()
            self.wait(found.isVisible, rest=False)
        return found

    def _choose(self, menu: Any, title: str) -> Any:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        action = next(each for each in menu.actions() if each.text().replace("&", "") == title)
        self._clicks += 1
        QTest.mouseClick(menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(action).center())
        return action

    def button(self, text: str) -> Any:
        """Return a button of the dock that is seen."""
        from qtpy.QtWidgets import QAbstractButton

        return next(each for each in self.page.findChildren(QAbstractButton) if each.text() == text and _seen(each))

    def page_button(self, part: str) -> Any:
        """Return a button of the dock that is seen and whose text has this part."""
        from qtpy.QtWidgets import QPushButton

        return next(each for each in self.page.findChildren(QPushButton) if part in each.text() and _seen(each))

    def combo(self, text: str) -> Any:
        """Return the list of the dock that has this entry."""
        from qtpy.QtWidgets import QComboBox

        return next(each for each in self.page.findChildren(QComboBox) if each.findText(text) >= 0 and _seen(each))

    def field(self, label: str) -> Any:
        """Return the field beside a label."""
        from qtpy.QtWidgets import QAbstractSpinBox, QCheckBox, QComboBox, QLabel, QLineEdit, QListWidget

        for found in self.page.findChildren(QLabel):
            if found.text() == label and found.isVisible():
                for kind in (QComboBox, QAbstractSpinBox, QLineEdit, QCheckBox, QListWidget):
                    if fields := [each for each in found.parent().findChildren(kind) if each.isVisible()]:
                        return fields[0]
        raise LookupError(f"no field {label!r} in the dock")

    def click(self, widget: Any) -> None:
        """Click on a button, or any widget, after scrolling to it."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QCheckBox, QScrollArea

        for area in self.page.findChildren(QScrollArea):
            if area.isAncestorOf(widget):
                area.ensureWidgetVisible(widget)
        self._clicks += 1
        at = QPoint(8, widget.height() // 2) if isinstance(widget, QCheckBox) else widget.rect().center()
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=at)

    def pick(self, entries: Any, title: str) -> None:
        """Click on an entry of a list, after scrolling to it."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        item = next(entries.item(index) for index in range(entries.count()) if entries.item(index).text() == title)
        entries.scrollToItem(item)
        self._clicks += 1
        QTest.mouseClick(entries.viewport(), Qt.MouseButton.LeftButton, pos=entries.visualItemRect(item).center())

    def type(self, widget: Any, words: str) -> None:
        """Replace the text of a field, or choose the entry of a list that begins with it; ends with Return."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QComboBox

        if isinstance(widget, QComboBox):
            self._clicks += 1
            widget.setFocus()
        else:
            self.click(widget)
            QTest.keyClick(widget, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        QTest.keyClicks(widget, words)
        QTest.keyClick(widget, Qt.Key.Key_Return)

    def choose_path(self, button: Any, path: Path) -> None:
        """Click on a button and paste a path into the dialog that it opens."""
        from qtpy.QtCore import Qt, QTimer
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication, QLineEdit

        def fill() -> None:
            line = QApplication.activeModalWidget().findChild(QLineEdit)
            QApplication.clipboard().setText(str(path))  # typed letters would be completed meanwhile
            QTest.keyClick(line, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
            QTest.keyClick(line, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
            QTest.keyClick(line, Qt.Key.Key_Return)
            self._clicks += 1

        QTimer.singleShot(1000, fill)
        self.click(button)

    def drag(self, start: tuple[float, float], stop: tuple[float, float]) -> None:
        """Drag the mouse over the canvas between two places, in shares of its width and height."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication

        canvas = self.viewer.window._qt_viewer.canvas.native
        ends = [QPoint(round(x * canvas.width()), round(y * canvas.height())) for x, y in (start, stop)]
        self._clicks += 1
        QTest.mouseMove(canvas, ends[0])
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=ends[0])
        for share in np.linspace(0, 1, 12):
            QTest.mouseMove(canvas, ends[0] + (ends[1] - ends[0]) * float(share))
            QApplication.processEvents()
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=ends[1])

    def after(self, seconds: float) -> Callable[[], bool]:
        """Return whether so many seconds have passed since now, as a condition."""
        end = time.monotonic() + seconds
        return lambda: time.monotonic() > end

    def words(self) -> str:
        """Return all text that is seen in the dock."""
        from qtpy.QtWidgets import QTextEdit

        boxes = [] if self.page is None else self.page.findChildren(QTextEdit)
        return "\n".join(box.toPlainText() for box in boxes if box.isVisible())

    def says(self, *words: str) -> Callable[[], bool]:
        """Return whether one of these words is seen in the dock, as a condition."""
        return lambda: any(each in self.words() for each in words)


def _seen(widget: Any) -> bool:
    return bool(widget.isVisible())


def drive() -> None:
    """Drive the journey that the command line names; run by `run` in a new process."""
    name, keep = sys.argv[1:]
    window = Window(name, keep)
    if name.startswith("open "):
        dock = name.removeprefix("open ")
        window.sample()
        if dock in DOCKS:
            window.step("first time", lambda: window.open(dock), lambda: window.page.ready)
        else:
            window.step("first time", window.empty_dock)
        window.wait(lambda: True)
    else:
        JOURNEYS[name](window)
        window.end()
    os._exit(0)  # nothing is left to save, and leaving napari takes seconds


def first_result(window: Window) -> None:
    """Denoise: preview, options, run, check, compare."""
    window.sample()
    window.step("open Denoise", lambda: window.open("Denoise"), window.says("Takes"))
    window.step("preview", lambda: window.click(window.button("Preview")), window.says("Preview: "))
    window.step("type strength", lambda: window.type(window.field("strength"), "0.8"))
    window.step("more options", lambda: window.click(window.button("more options")))
    window.step("run", lambda: window.click(window.button("Denoise")), window.says("New layer"))
    window.step("run again", lambda: window.click(window.button("Denoise")), window.says("[1]"))
    window.step("check", lambda: window.click(window.button("Check result")), window.says("Checked"))


def denoised(window: Window) -> None:
    """Open a noisy image and denoise it."""
    window.sample()
    window.open("Denoise")
    window.wait(window.says("Takes"))
    window.click(window.button("Denoise"))
    window.wait(window.says("New layer"))


def compare(window: Window) -> None:
    """Compare a result with its source: split, side by side, difference, residual, along a line."""
    denoised(window)
    window.step("open Compare", lambda: window.click(window.button("Compare")), lambda: window.opened("Compare"))
    window.look_at("Compare")
    for way in ("side by side", "only after", "split"):
        window.step(way, lambda way=way: window.type(window.field("show"), way))
    window.step("difference", lambda: window.click(window.button("Difference")), window.says("New layer"))
    window.step("residual", lambda: window.click(window.button("Residual")), window.says("residual in noise"))
    window.step("begin a line", lambda: window.click(window.button("Draw a line")))
    window.step("draw it", lambda: window.drag((0.4, 0.4), (0.6, 0.6)), window.says("The band is the noise"))


def folder(window: Window, cluster: str = "") -> None:
    """Denoise a folder of three images, one of them damaged."""
    window.sample()
    images = Path(tempfile.mkdtemp()) / "plate"
    images.mkdir()
    for index in range(3):
        tifffile.imwrite(images / f"well {index}.tif", np.roll(window.viewer.layers[0].data, 50 * index, axis=0))
    (images / "well 1.tif").write_bytes(b"cut short")
    window.step("open Folder", lambda: window.open("Folder"), window.ready)
    window.step("choose it", lambda: window.choose_path(window.button("Folder…"), images), window.says("3 images"))
    window.step("start", lambda: window.click(window.button("Start")), window.says("2 done, 1 failed"))
    window.step("again", lambda: window.click(window.button("Start")), window.says("2 done before"))


def cluster(window: Window) -> None:
    """Denoise a folder on workers of a cluster on this machine."""
    window.sample()
    images = Path(tempfile.mkdtemp()) / "plate"
    images.mkdir()
    for index in range(2):
        tifffile.imwrite(images / f"well {index}.tif", np.roll(window.viewer.layers[0].data, 50 * index, axis=0))
    window.open("Folder")
    window.wait(window.ready)
    window.choose_path(window.button("Folder…"), images)
    window.wait(window.says("2 images"))
    window.type(window.field("named"), "{name}_clean.ome.zarr")
    window.step("on a cluster", lambda: window.click(window.button("compute on a cluster")))
    window.step("start", lambda: window.click(window.button("Start")), window.says("2 done"))


def steps(window: Window) -> None:
    """Put three steps together, edit one, run them."""
    window.sample()
    window.step("open Steps", lambda: window.open("Steps"), window.ready)
    for task in ("Inpaint", "Denoise", "Upscale"):
        window.type(window.combo("Denoise"), task)
        window.step(f"add {task}", lambda: window.click(window.button("Add")))
    window.step("type an option", lambda: window.type(window.field("options"), "factor=2"))
    window.step("run", lambda: window.click(window.button("Run")), window.says("New layer"))


def region(window: Window) -> None:
    """Draw a rectangle and denoise only that."""
    window.sample("drifting_movie")
    window.open("Denoise")
    window.wait(window.says("Takes"))
    image = window.viewer.layers[0]
    window.viewer.add_shapes(name="box", ndim=2)
    window.viewer.layers["box"].mode = "add_rectangle"
    window.step("draw a rectangle", lambda: window.drag((0.4, 0.4), (0.6, 0.6)))
    window.viewer.layers.selection.active = image
    window.step("choose it", lambda: window.type(window.field("work on"), "last rectangle"))
    window.step("run", lambda: window.click(window.button("Denoise")), window.says("New layer"))
    window.step("check", lambda: window.click(window.button("Check result")), window.says("Checked"))


def deblur(window: Window) -> None:
    """Find the width of the blur, use it, preview and run."""
    window.sample("beads")
    window.viewer.layers.remove("beads PSF")
    window.step("open Deblur", lambda: window.open("Deblur"), window.says("Takes"))
    window.step("find it", lambda: window.click(window.button("Find it in the image")), window.says("px"))
    window.step("use it", lambda: window.click(window.page_button("Use")))
    window.step("preview", lambda: window.click(window.button("Preview")), window.says("Preview: "))
    window.step("run", lambda: window.click(window.button("Deblur")), window.says("New layer"))


def inpaint(window: Window) -> None:
    """Begin a mask with its button, paint on it, and fill it in."""
    window.sample()
    window.step("open Inpaint", lambda: window.open("Inpaint"), window.says("Takes"))
    window.step("begin a mask", lambda: window.click(window.page_button("mask")))
    window.step("paint", lambda: window.drag((0.4, 0.4), (0.6, 0.6)))
    window.step("run", lambda: window.click(window.button("Inpaint")), window.says("New layer"))


def train(window: Window) -> None:
    """Train a denoiser from two layers, watch it, stop it, and use it."""
    window.sample("low_and_high")
    window.step("open Generate", lambda: window.open("Generate"), window.ready)
    window.step("choose the recipe", lambda: window.type(window.field("recipe"), "CARE"))
    window.step("choose the image", lambda: window.pick(window.field("images"), "little light"))
    window.step("choose its target", lambda: window.pick(window.field("targets"), "much light"))
    window.step("show crops", lambda: window.click(window.button("Show crops")), window.says("The layer"))
    window.step("start", lambda: window.click(window.page_button("Start training")), window.says("Started '"))
    window.step("until it trains", lambda: None, window.says("steps in"))
    window.step("watch 20 s", lambda: None, window.after(20))
    window.step("stop", lambda: window.click(window.button("Stop")), window.says("can be chosen in the dock"))
    window.viewer.layers.selection.active = window.viewer.layers["little light"]
    window.step("open Denoise", lambda: window.open("Denoise"), window.says("Takes"))
    window.step("choose the model", lambda: window.type(window.field("model"), "little"))
    window.step("run", lambda: window.click(window.button("Denoise")), window.says("New layer"))


def explore(window: Window) -> None:
    """Walk between images of a shipped model."""
    window.step("open Generate", lambda: window.open("Generate"), window.ready)


def napari_alone(window: Window) -> None:
    """Paint in the first Labels layer of a session, and begin the first Shapes layer, without this plugin's docks."""
    window.sample()
    viewer = window.viewer

    def begin_mask() -> None:
        viewer.add_labels(np.zeros(viewer.layers[0].data.shape, np.uint8)).mode = "paint"

    window.step("first Labels layer", begin_mask)
    window.step("paint", lambda: window.drag((0.4, 0.4), (0.6, 0.6)))
    window.step("first Shapes layer", lambda: setattr(viewer.add_shapes(ndim=2), "mode", "add_rectangle"))


JOURNEYS: dict[str, Callable[[Window], None]] = {
    "first result": first_result, "compare": compare, "folder": folder, "cluster": cluster, "steps": steps,
    "region": region, "deblur": deblur, "inpaint": inpaint, "train": train, "explore": explore,
    "napari alone": napari_alone,
}  # fmt: skip
