"""List of training runs with the progress and the buttons of the chosen one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from magicgui.widgets import ComboBox, Container, FloatSpinBox, PushButton
from qtpy.QtCore import QPoint, QTimer
from qtpy.QtWidgets import QMessageBox, QScrollArea, QScrollBar

from napari_genrecon.engine.run import Progress
from napari_genrecon.training import find_recipe
from napari_genrecon.training.runs.store import Run
from napari_genrecon.widgets.fit import text, tint
from napari_genrecon.widgets.jobs.panel import JobPanel, picture_label, show_picture
from napari_genrecon.widgets.jobs.worker import Job
from napari_genrecon.widgets.pictures import pixmap, sheet
from napari_genrecon.widgets.plot import Plot
from napari_genrecon.widgets.train.run_snapshot import RunSnapshot, curves, snapshot_steps, state_words
from napari_genrecon.widgets.words import ago

__all__ = ["RunView"]

_EVERY = 1000  # milliseconds between two readings of the runs
_RARELY = 5000  # milliseconds, while nothing runs: spares the disk
_HEIGHT = 165  # pixels: height of the plot with its title
_WIDTH = 320  # pixels: width of the samples, as the dock
_ABOVE = 30  # pixels above the view: its heading
_PENS = ("#4c9be8", "#e8a33d")
_ASKED = "The training saves and stops; this takes some seconds."
_ACTIVE = ("starting", "running")


class RunView(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Show the runs by reading their folders again and again; it has no other state of theirs.

    Parameters
    ----------
    on_model : callable
        Called when a run has made a model; with its name if that happened just now, else with "".
    """

    def __init__(self, on_model: Callable[[str], object]) -> None:
        self._on_model, self._snapshot, self._wanted = on_model, RunSnapshot(runs=()), ""
        self._job: Job | None = None
        self._revealed: tuple[QScrollBar, int] | None = None  # where the page was scrolled to, until there is a picture
        self._shown_choices: tuple[tuple[str, str], ...] = ()
        self._shown_end = ("", "")  # run and state that the suggested minutes are for
        self._models: dict[str, tuple[str, str]] = {}  # model and state that were reported, by run
        self.runs = ComboBox(label="run", choices=(), tooltip="All trainings on this computer")
        self._state = text()
        self._curves = ComboBox(choices=(), tooltip="What is measured while it trains, by the title of the plot")
        self._plot = Plot(_HEIGHT)
        self._samples = picture_label()
        self._samples.tooltip = "Always of the same random numbers or crops: what changes is the model"
        self._caption = text()
        self.stop = PushButton(text="Stop", tooltip="Keeps the best and the last weights; can be resumed")
        self.resume = PushButton(text="Resume", tooltip="Goes on exactly where it was saved last")
        self._minutes = FloatSpinBox(
            label="until", value=10, min=0.1, max=100_000, step=1, tooltip="Minutes of training in all, after Resume"
        )
        self._minutes.native.setSuffix(" min in all")
        self._minutes.native.setDecimals(1)
        self.remove = PushButton(text="Delete run", tooltip="Deletes its files; a model it has made stays")
        self._panel = JobPanel([])
        row = Container(widgets=[self.stop, self.resume, self._minutes], layout="horizontal", labels=False)
        super().__init__(
            widgets=[self.runs, self._state, row, self._panel, self._curves, self._caption, self._samples, self.remove],
            labels=False,
        )
        self.margins = row.margins = (0, 0, 0, 0)
        self.native.layout().insertWidget(5, self._plot)
        for button, act in ((self.stop, self._stop), (self.resume, self._resume), (self.remove, self._remove)):
            button.changed.connect(act)
        self.runs.changed.connect(self._choose)
        self._curves.changed.connect(self._draw_curves)
        self._timer = QTimer()  # without a parent: it can be stopped when the window is gone already
        self._timer.timeout.connect(self._poll)
        self._timer.start(_EVERY)
        self._show()
        self._poll()

    @property
    def snapshot(self) -> RunSnapshot:
        """The runs as they were read last."""
        return self._snapshot

    @property
    def words(self) -> str:
        """Description of the chosen run."""
        return str(self._state.value)

    def choose(self, run: Run) -> None:
        """Choose a run."""
        self._wanted = run.name
        self._poll()

    def reveal(self) -> None:
        """Scroll to the progress now, and once more when there is a picture, unless the user scrolls before."""
        self._revealed = _scroll_to(self)

    def leave(self) -> None:
        """Stop reading, as the window is gone. The runs go on."""
        with suppress(RuntimeError):  # at the end of the program Qt deletes what it finds, in any order
            self._timer.stop()
        if self._job is not None:
            self._job.abandon()
        self._panel.abandon()

    # --- reading ---

    def _poll(self) -> None:
        if self._job is not None:  # the last reading still goes on, as the disk is slow
            return
        wanted = self._wanted
        self._job = Job(
            lambda: snapshot_steps(wanted), lambda _: None, lambda kind, found: self._take(wanted, kind, found)
        )
        self._job.start()

    def _take(self, wanted: str, kind: str, value: Any) -> None:
        self._job = None
        if wanted != self._wanted:  # another run was chosen meanwhile
            self._poll()
        elif kind == "ok":
            self._snapshot = value
            self._wanted = value.chosen.name if value.chosen else ""
            self._show()
            active = any(state in _ACTIVE for _, state in value.runs)
            self._timer.setInterval(_EVERY if active else _RARELY)
            self._tell_new_models()
        else:
            self._state.value = f"The runs cannot be read: {value}"

    def _tell_new_models(self) -> None:
        chosen = self._snapshot.chosen
        key, now = (chosen.name, (self._snapshot.model, self._snapshot.state)) if chosen else ("", ("", ""))
        before = self._models.get(key)
        if chosen and self._snapshot.model and before != now:
            self._on_model(self._snapshot.model if before else "")  # one that was finished before is not chosen for you
        self._models[key] = now

    # --- showing ---

    def _show(self) -> None:
        snapshot = self._snapshot
        self._reveal_picture()
        self._show_choices()
        words, style = state_words(snapshot)
        self._state.value = words
        tint(self._state, style)
        active, there = snapshot.state in _ACTIVE, snapshot.chosen is not None
        if self._panel.words == _ASKED and not active:
            self._panel.say("")
        self.runs.visible = there
        self.stop.visible = active
        self.resume.visible = self._minutes.visible = there and not active
        self.remove.visible = there and not active
        titles = [found.title for found in curves(snapshot)]
        if list(self._curves.choices) != titles:
            self._curves.choices = titles
        self._curves.visible = bool(titles)
        self._draw_curves()
        self._samples.visible = self._caption.visible = snapshot.samples is not None
        if snapshot.samples is not None and snapshot.chosen is not None:
            recipe = find_recipe(snapshot.chosen.kind)
            self._caption.value = recipe.caption
            show_picture(self._samples, pixmap(sheet(snapshot.samples, recipe.columns), _WIDTH))

    def _reveal_picture(self) -> None:
        """Scroll to a picture that was shown before, when there is room for it now, unless the user scrolled."""
        if self._revealed is None or not self._samples.visible:
            return
        bar, value = self._revealed
        self._revealed = None
        if bar.value() == value:
            _scroll_to(self)

    def _show_choices(self) -> None:
        choices = tuple(
            (f"{r.name}  ({find_recipe(r.kind).label}, {s}, {ago(r.created)})", r.name) for r, s in self._snapshot.runs
        )
        if choices != self._shown_choices:
            self._shown_choices = choices
            with self.runs.changed.blocked():
                self.runs.choices = choices
        if self._snapshot.chosen is None:
            return
        with self.runs.changed.blocked():
            self.runs.value = self._wanted
        now = (self._wanted, self._snapshot.state)
        if now != self._shown_end:
            self._shown_end, minutes = now, self._snapshot.chosen.options["minutes"]
            self._minutes.value = 2 * minutes if self._snapshot.state == "finished" else minutes

    def _draw_curves(self, _event: object = None) -> None:
        chosen = [found for found in curves(self._snapshot) if found.title == self._curves.value]
        self._plot.setVisible(bool(chosen))
        for found in chosen[:1]:
            names, plot = [], self._plot.items
            plot.clear()
            plot.setLabel("bottom", "minutes")
            for (name, (x, y)), colour in zip(found.lines.items(), _PENS, strict=False):
                # A single point makes no line.
                plot.plot(x, y, pen={"color": colour, "width": 2}, symbol="o" if len(x) == 1 else None)
                names.append(f"<span style='color: {colour}'>{name}</span>")
            plot.setTitle(" · ".join(names), size="8pt")  # a legend that covers no curve

    # --- buttons ---

    def _choose(self, name: Any) -> None:
        if name:
            self._wanted = name
            self._poll()

    def _stop(self, _event: object = None) -> None:
        self._act(lambda run: run.stop(), _ASKED)

    def _resume(self, _event: object = None) -> None:
        run, minutes = self._snapshot.chosen, float(self._minutes.value)
        if run is None:
            return
        given = None if minutes == run.options["minutes"] else minutes
        self._act(lambda run: run.resume(minutes=given), "")

    def _remove(self, _event: object = None) -> None:
        run = self._snapshot.chosen
        if run is None:
            return
        question = f"Delete the training '{run.name}' with its crops and checkpoints? A model it has made stays."
        if QMessageBox.question(self.native, "Delete run", question) == QMessageBox.StandardButton.Yes:
            self._act(lambda run: run.remove(), f"Deleted '{run.name}'.")

    def _act(self, act: Callable[[Run], object], words: str) -> None:
        """Change the chosen run in a thread, as disks can be slow."""
        run = self._snapshot.chosen
        if run is None:
            return

        def steps() -> Any:
            yield Progress(0, 0, "")
            act(run)

        def done(_result: Any) -> None:
            self._panel.say(words)
            self._timer.setInterval(_EVERY)
            self._poll()

        self._panel.begin(steps, done, title=f"Training '{run.name}'")


def _scroll_to(view: RunView) -> tuple[QScrollBar, int] | None:
    """Scroll the page of a view so that the view begins at its top, as far as there is room below.

    Returns
    -------
    (QScrollBar, int) or None
        Where the page is scrolled to; None if it does not scroll.
    """
    area = view.native.parentWidget()
    while area is not None and not isinstance(area, QScrollArea):
        area = area.parentWidget()
    if area is None:
        return None
    bar = area.verticalScrollBar()
    bar.setValue(view.native.mapTo(area.widget(), QPoint(0, 0)).y() - _ABOVE)
    return bar, bar.value()
