"""The dock widget of a task: layers, noise report, options, preview, run, cancel."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, Container, FileEdit, ProgressBar, PushButton, Select, TextEdit
from napari.layers import Image, Labels, Shapes
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_genrecon.engine.lazy import is_lazy
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import GenReconError, ImageError
from napari_genrecon.io.check import choice_text, methods_text
from napari_genrecon.io.layers import about_layer
from napari_genrecon.tasks import Task, find_task
from napari_genrecon.tasks.files import array_options, write_result_steps
from napari_genrecon.tasks.measure import measure_noise, noise_report
from napari_genrecon.widgets._add_result import add_layers, layer_options, pixels_of
from napari_genrecon.widgets._as_python import as_python
from napari_genrecon.widgets._check import check_layer_steps, deviations_layer
from napari_genrecon.widgets._choice import LayerChoice, keeping_active
from napari_genrecon.widgets._dock import Dock
from napari_genrecon.widgets._fit import scrolled, text
from napari_genrecon.widgets._form import TaskForm
from napari_genrecon.widgets._known_noise import KnownNoise
from napari_genrecon.widgets._layers import (
    display,
    is_no_image,
    layer_axes,
    layer_data,
    part_of_result,
    visible_region,
)
from napari_genrecon.widgets._preview import VIEWS, Preview
from napari_genrecon.widgets._watched import Watched
from napari_genrecon.widgets._words import TimeLeft, duration, sentence
from napari_genrecon.widgets._worker import Job
from napari_genrecon.widgets.files import chosen_saving

__all__ = ["DeblurWidget", "DenoiseWidget", "InpaintWidget", "TaskWidget", "UpscaleWidget"]

_LOG = logging.getLogger(__name__)
_WIDTH = 310  # pixels of the options; rows of buttons may need more
_LINES = 8  # of what is said, before it scrolls
_PREVIEW = "Preview: left half before, right half after; choose beside the button."
_OLD_PREVIEW = "The options have changed since this preview: press Preview to see what they make."


class TaskWidget(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Run one task on image layers.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers can be chosen, and where results go.
    task : Task
        What to do.
    """

    def __init__(self, viewer: Any, task: Task) -> None:
        self._viewer, self._task = getattr(viewer, "__wrapped__", viewer), task
        self._job: Job | None = None
        self._noise = KnownNoise()
        self._preview_layer = Preview(self._viewer)
        self._watched = Watched(self._viewer)
        self._queue: list[Any] = []
        self._seconds: float | None = None
        self._timing: Job | None = None
        self._warnings: list[str] = []  # of the last preview or result
        self._previewed: dict[str, Any] | None = None  # the options of the preview that is shown
        self._layers = Select(label="images", choices=self._choices, tooltip="One or several image layers")
        self._report = TextEdit(label="noise", value="Choose an image layer.")
        self._target = FileEdit(
            mode="w",
            name="target",
            label="write to",
            filter="OME-Zarr, in bounded memory (*.ome.zarr);;OME-TIFF (*.ome.tif)",
            value="",
            tooltip="Write the result to this file while it is made, and show the file; empty keeps it in memory",
        )
        self._form = TaskForm(task, self._masks, self._images, extra=[self._target])
        self._choosers = [LayerChoice(each, self._viewer.layers) for each in (self._layers, *self._form.choosers)]
        self._follows = True  # the layer that is activated
        self._preview = PushButton(text="Preview", tooltip="What will happen to the part of the plane on screen")
        self._view = ComboBox(
            choices=VIEWS, visible=False, tooltip="split: the left half as it is, the right half as it will be"
        )
        self._run = PushButton(text=f"{task.title}", tooltip="Makes a new layer; the image itself is not changed")
        self._cancel = PushButton(text="Cancel", enabled=False)
        self._live = CheckBox(
            text="live", value=False, tooltip="Add the result at once and compute each plane when you scroll to it"
        )
        self._copy = PushButton(text="Copy as Python", tooltip="Puts the same job as Python code on the clipboard")
        self._methods = PushButton(
            text="Copy methods text", tooltip="Puts the sentences for a paper about the result on the clipboard"
        )
        self._check = PushButton(
            text="Check result",
            visible=task.name == "denoise",
            tooltip="Compares the selected result with its image: was anything but noise removed or added?",
        )
        self._record: dict[str, Any] | None = None  # of the last result, or of the one that was clicked on
        self._progress = ProgressBar(value=0, min=0, max=100, visible=False)
        self._status = text(most=_LINES)
        self._page = Container(widgets=[self._layers, self._report, self._form.container], labels=False)
        super().__init__(
            widgets=[
                _row(self._preview, self._view),
                _row(self._run, self._cancel, self._live),
                self._progress,
                self._status,
                _row(self._check, self._copy, self._methods),
            ],
            labels=False,
        )
        area = scrolled(self._page.native)
        area.setMinimumWidth(_WIDTH)
        self.native.layout().insertWidget(0, area, 1)  # the buttons stay in sight below it
        self._page.margins = (0, 0, 0, 0)
        self._report.native.setReadOnly(True)
        self._report.native.setMinimumHeight(150)
        self._layers.native.setMaximumHeight(80)
        self._dock = Dock(self.native, self._end_preview)
        self._connect()
        self._refresh()
        self._follow_active()

    def _connect(self) -> None:
        events = self._viewer.layers.events
        events.inserted.connect(self._refresh)
        events.removed.connect(self._refresh)
        events.renamed.connect(self._rename)
        self._viewer.layers.selection.events.active.connect(self._follow_active)
        self._layers.changed.connect(self._measure)
        self._form.container.changed.connect(self._time_again)
        self._form.container.changed.connect(self._judge_preview)
        self._preview.changed.connect(self._start_preview)
        self._view.changed.connect(self._preview_layer.set_view)
        self._run.changed.connect(self._start_run)
        self._cancel.changed.connect(self._stop)
        self._check.changed.connect(self._start_check)
        self._copy.changed.connect(self._copy_python)
        self._methods.changed.connect(self._copy_methods)
        self._gone = False
        self.native.destroyed.connect(self._leave)

    # Layers ---------------------------------------------------------------------------------------------------------

    def _choices(self, _widget: Any = None) -> list[str]:
        return [layer.name for layer in self._viewer.layers if isinstance(layer, Image) and not is_no_image(layer)]

    def _chosen(self) -> list[Any]:
        return [self._viewer.layers[name] for name in self._layers.value if name in self._viewer.layers]

    def _masks(self, _widget: Any = None) -> list[str]:
        return [
            layer.name
            for layer in self._viewer.layers
            if isinstance(layer, Image | Labels | Shapes) and not is_no_image(layer)
        ]

    def _images(self, _widget: Any = None) -> list[str]:
        return self._choices()

    def reset_choices(self, *_: Any) -> None:
        """Look again which layers there are; napari asks docked widgets to."""
        for choice in self._choosers:
            choice.reset()

    def _refresh(self, _event: Any = None) -> None:
        self.reset_choices()
        self._noise.forget_removed(self._viewer.layers)
        for layer in self._viewer.layers:
            if isinstance(layer, Image):
                layer.events.data.connect(self._measure)  # connecting twice does nothing
        if not self._chosen():
            self._ask_for_layer()

    def _rename(self, event: Any) -> None:
        self._refresh()
        layers = self._chosen()[:1]
        if self._viewer.layers[event.index] in layers and self._noise.of(layer_data(layers[0])) is not None:
            self._show_report()

    def _follow_active(self, _event: Any = None) -> None:
        """Choose the layer that was activated, if it is an image; a mask leaves the choice."""
        active = self._viewer.layers.selection.active
        if not self._follows or (active is not None and is_no_image(active)):
            return
        record = None if active is None else active.metadata.get("genrecon")
        if record is not None:
            self._record = record
        if record is not None or isinstance(active, Image):
            self._status.value = methods_text(record) if record else ""
        if isinstance(active, Image):
            self.reset_choices()
            self._layers.value = [active.name]
        elif not self._chosen():
            self._ask_for_layer()

    @contextmanager
    def _not_following(self) -> Iterator[None]:
        """A result that is added meanwhile is not chosen: the same button works on its source again."""
        self._follows = False
        try:
            yield
        finally:
            self._follows = True

    def _ask_for_layer(self) -> None:
        """Nothing is chosen: say so, and nothing of layers that are gone."""
        self._warnings, self._seconds = [], None
        active = self._viewer.layers.selection.active
        text = "Choose an image layer."
        if active is not None and not isinstance(active, Image):
            text = f"'{active.name}' is a {type(active).__name__} layer: choose an image layer."
        self._report.value = text
        if not self._viewer.layers and self._job is None:
            self._status.value = ""

    # Noise report ---------------------------------------------------------------------------------------------------

    def _measure(self, _event: Any = None) -> None:
        layers = self._chosen()
        if not layers:
            self._ask_for_layer()
        if not layers or self._job is not None:
            return
        self._warnings = []
        if self._noise.of(layer_data(layers[0])) is not None:
            self._seconds = None  # of another layer
            self._show_report()
            self._time_again()
            return
        data, axes = layer_data(layers[0]), layer_axes(layers[0])
        self._report.value = "Measuring the noise…"
        options = self._timed_options(layers[0])

        def steps() -> Any:
            yield Progress(0, 0, "measuring the noise")
            noise = measure_noise(data, axes=axes)
            return noise, self._expected_seconds(data, options)  # loads torch meanwhile

        def done(kind: str, value: Any) -> None:
            self._finish()
            if kind == "ok":
                self._noise.put(data, value[0])
            elif kind == "error":
                self._noise.fail(data)
            if not self._is_chosen(data):
                return
            if kind == "ok":
                self._seconds = value[1]
                self._show_report()
            elif kind == "error":
                self._report.value = sentence(value)

        self._begin(steps, done, quiet=True)

    def _timed_options(self, layer: Any) -> Any:
        """Options by which the expected time is told: a Gaussian stands for every point spread function."""
        widths = {name: 3.0 for name, kind in array_options(self._task).items() if kind == "psf"}
        try:
            return layer_options(self._task, layer, {**self._form.plain_values(), **widths})
        except (GenReconError, ValueError):  # half typed: Run will tell
            return self._task.options(**widths, axes=layer_axes(layer))

    def _expected_seconds(self, data: Any, options: Any) -> float | None:
        """None where the options do not fit the image: Run will tell."""
        try:
            return self._task.expected_seconds(data, options)
        except GenReconError:
            return None

    def _time_again(self, _event: Any = None) -> None:
        """Tell how long it takes with the options as they are now."""
        self._warnings = []  # of other options
        self._tell_time()

    def _tell_time(self) -> None:
        layers = self._chosen()
        if not layers or self._noise.of(layer_data(layers[0])) is None:
            return
        data, options = layer_data(layers[0]), self._timed_options(layers[0])

        def steps() -> Any:
            yield Progress(0, 0, "timing")
            return self._expected_seconds(data, options)

        def done(kind: str, value: Any) -> None:
            self._timing = None
            self._seconds = value if kind == "ok" else None
            if self._is_chosen(data):
                self._show_report()

        if self._timing is not None:
            self._timing.abandon()
        self._timing = Job(steps, lambda _progress: None, done)
        self._timing.start()

    def _show_report(self) -> None:
        layers = self._chosen()
        if not layers:
            return
        layer = layers[0]
        axes = layer_axes(layer)
        report = noise_report(self._noise.of(layer_data(layer)))
        parts = [f"⚠ {warning[:1].upper()}{warning[1:]}." for warning in self._warnings]
        parts += [f"{layer.name}: {axes}{' (assumed)' if axes.assumed else ''}", report]
        if self._seconds is not None:
            parts.append(
                f"Expected time: {duration(self._seconds)}, {axes.n_planes(layer_data(layer).shape)} plane(s)."
            )
        self._report.value = "\n".join(parts)

    def _options(self, layer: Any) -> Any:
        values = self._form.values(lambda kind, name: pixels_of(kind, self._viewer.layers[name], layer))
        return layer_options(self._task, layer, values)

    # Preview --------------------------------------------------------------------------------------------------------

    def _start_preview(self, _event: Any = None) -> None:
        layers = self._chosen()
        if not layers or self._job is not None:
            self._tell_missing(layers)
            return
        layer = layers[0]
        try:
            options, region = self._options(layer), visible_region(self._viewer, layer)
        except (GenReconError, ValueError) as error:
            self._refuse(error)
            return
        asked = self._asked()
        data, shown, name = layer_data(layer), display(layer), layer.name

        def steps() -> Any:
            result = yield from self._task.steps(data, options, lazy=True)
            yield Progress(0, 0, "computing the part on screen")
            after, factors = part_of_result(result.data, data.shape, region)
            return after, np.asarray(data[region]), factors, result.record

        def done(kind: str, value: Any) -> None:
            self._finish()
            if kind == "ok":
                after, before, factors, record = value
                self._show_found(data, record)
                if self._dock.closed:  # nobody could take it away
                    return
                self._preview_layer.show(after, before, region, shown, name, factors)
                self._previewed, self._view.visible = asked, True
                self._judge_preview()
            else:
                self._tell(kind, value)

        self._begin(steps, done)

    def _asked(self) -> dict[str, Any] | None:
        """The options as they are in the form; None where they cannot be."""
        try:
            return {**self._form.plain_values(), **self._form.array_sources()}
        except (GenReconError, ValueError):
            return None

    def _judge_preview(self, _event: Any = None) -> None:
        """Say whether the preview is still one of the options in the form."""
        if self._job is None and self._preview_layer.there:
            self._status.value = _PREVIEW if self._asked() == self._previewed else _OLD_PREVIEW

    def _end_preview(self) -> None:
        self._preview_layer.remove()
        self._view.visible = False

    # Run ------------------------------------------------------------------------------------------------------------

    def _start_run(self, _event: Any = None) -> None:
        if self._job is not None:
            return
        self._queue = self._chosen()
        self._tell_missing(self._queue)
        self._next()

    def _next(self) -> None:
        if not self._queue:
            return
        layer = self._queue.pop(0)
        try:
            options = self._options(layer)
        except (GenReconError, ValueError) as error:
            self._queue.clear()
            self._refuse(error)
            return
        # All that is needed of the layer is taken now: it may be renamed, changed or removed meanwhile.
        data, shown, name, live = layer_data(layer), display(layer), layer.name, self._live.value
        target, started = self._chosen_target(), time.perf_counter()

        def steps() -> Any:
            if target is None:
                return self._task.steps(data, options, lazy=True if live else None)
            about = about_layer({**shown, "name": name}, data.shape)
            return write_result_steps(self._task, data, options, about, target, saving=chosen_saving())

        def done(kind: str, value: Any) -> None:
            self._finish()
            if kind != "ok":
                self._queue.clear()
                self._tell(kind, value)
                return
            self._show_found(data, value.record)
            self._end_preview()
            self._watched.stop()
            for warning in value.record["warnings"]:
                show_warning(f"{name}: {warning}")
            if _nothing_to_fill(value.record):
                self._status.value = _no_layer(value.record, target)
                self._next()
                return
            with self._not_following():
                added = add_layers(self._viewer, value, data.shape, f"{name} {self._task.name}", shown)
            lazy = is_lazy(layer_data(added)) and target is None
            when = "computes each plane when you look at it" if lazy else _took(started)
            self._record = value.record
            said = [f"New layer '{added.name}': {when}."]
            said += [f"Model: {choice_text(value.record)}."] if choice_text(value.record) else []
            said += [f"Written to {target}."] if target else []
            self._status.value = " ".join(said)
            self._next()

        self._watched.start(target)
        self._begin(steps, done)

    def _chosen_target(self) -> Path | None:
        text = str(self._target.value)
        return None if text in ("", ".") else Path(text)

    def _show_found(self, data: Any, record: dict[str, Any]) -> None:
        """Show the noise that a run measured, and what it warns of."""
        self._warnings = list(record["warnings"])
        self._noise.put_recorded(data, record)
        self._tell_time()  # what was learnt for a preview is not learnt again
        if self._noise.of(data) is not None and self._is_chosen(data):
            self._show_report()

    def _is_chosen(self, data: Any) -> bool:
        """Whether these are the pixels that the report is about."""
        return any(layer_data(layer) is data for layer in self._chosen()[:1])

    # Check ----------------------------------------------------------------------------------------------------------

    def _start_check(self, _event: Any = None) -> None:
        result = self._viewer.layers.selection.active
        if self._job is not None:
            return
        if result is None:
            self._ask_for("Select the result layer first.")
            return
        try:
            steps = check_layer_steps(result, list(self._viewer.layers))
        except ImageError as error:
            self._refuse(error)
            return
        name = result.name

        def done(kind: str, value: Any) -> None:
            self._finish()
            if kind != "ok":
                self._tell(kind, value)
                return
            if result in self._viewer.layers:
                pixels, kwargs = deviations_layer(value, result)
                with keeping_active(self._viewer):
                    self._viewer.add_image(pixels, **kwargs)
            self._report.value = f"Check of '{name}'\n{value}"
            self._status.value = f"Checked '{name}': the report is above, the layer '{name}: deviations' shows where."

        self._begin(lambda: steps, done)

    # The job --------------------------------------------------------------------------------------------------------

    def _begin(self, steps: Any, done: Any, *, quiet: bool = False) -> None:
        self._left = TimeLeft()
        self._job = Job(steps, (lambda _progress: None) if quiet else self._on_progress, done)
        for button in (self._run, self._preview):
            button.enabled = False
        self._cancel.enabled = not quiet
        self._progress.visible = not quiet
        self._progress.max = 0
        self._job.start()

    def _on_progress(self, progress: Progress) -> None:
        self._progress.max = 100 if progress.total else 0
        self._progress.value = round(100 * progress.fraction)
        left = self._left.of(progress, time.perf_counter())
        self._status.value = ", ".join(part for part in (progress.note, left) if part)
        self._watched.refresh()

    def _finish(self) -> None:
        self._job = None
        self._progress.visible = False
        self._cancel.enabled = False
        for button in (self._run, self._preview):
            button.enabled = True
        # A layer chosen while the job ran still waits for its report.
        QTimer.singleShot(0, self._measure_if_new)

    def _measure_if_new(self) -> None:
        if self._gone:
            return
        self._noise.forget_removed(self._viewer.layers)
        layers = self._chosen()
        if layers and not self._noise.settled(layer_data(layers[0])):
            self._measure()

    def _stop(self, _event: Any = None) -> None:
        self._queue.clear()
        if self._job is not None:
            self._job.cancel()

    def _leave(self, _event: Any = None) -> None:
        """The window is gone: what still runs must not touch it."""
        self._gone = True
        self._queue.clear()
        for job in (self._job, self._timing):
            if job is not None:
                job.abandon()

    def _tell(self, kind: str, value: Any) -> None:
        self._watched.stop()
        if kind == "cancelled":
            self._status.value = "Cancelled: nothing was added."
            show_info("Cancelled: nothing was added.")
            return
        _LOG.error("the job failed", exc_info=value)
        self._refuse(value)

    def _refuse(self, error: BaseException) -> None:
        """Say why not: in full in the dock, where it can be read again, as napari's notifications cut it off."""
        self._status.value = sentence(error)
        show_error(sentence(error))

    def _ask_for(self, missing: str) -> None:
        self._status.value = missing
        show_warning(missing)

    def _tell_missing(self, layers: list[Any]) -> None:
        if not layers:
            self._ask_for("Choose an image layer first.")

    # Python ---------------------------------------------------------------------------------------------------------

    def _copy_python(self, _event: Any = None) -> None:
        if not self._chosen():
            self._tell_missing([])
            return
        try:
            code = self.as_python()
        except (GenReconError, ValueError) as error:
            self._refuse(error)
            return
        QApplication.clipboard().setText(code)
        self._status.value = "Copied: paste it into napari's console or a script."

    def _copy_methods(self, _event: Any = None) -> None:
        if self._record is None:
            self._ask_for("There is no result yet: run the task, or click on a layer that is a result.")
            return
        QApplication.clipboard().setText(methods_text(self._record))
        self._status.value = "Copied: the sentences for the methods section."

    def as_python(self) -> str:
        """The calls that make the same layers, as Python code."""
        arrays = self._form.array_sources()
        return as_python(self._task, self._chosen(), self._options, arrays, live=self._live.value)


# napari makes dock widgets from classes, and finds the viewer by the name of the parameter.


class DenoiseWidget(TaskWidget):
    """The widget of `denoise`."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer, find_task("denoise"))


class DeblurWidget(TaskWidget):
    """The widget of `deblur`."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer, find_task("deblur"))


class InpaintWidget(TaskWidget):
    """The widget of `inpaint`."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer, find_task("inpaint"))


class UpscaleWidget(TaskWidget):
    """The widget of `upscale`."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer, find_task("upscale"))


def _row(*widgets: Any) -> Container[Any]:
    row = Container(widgets=widgets, layout="horizontal", labels=False)
    row.margins = (0, 0, 0, 0)
    return row


def _nothing_to_fill(record: dict[str, Any]) -> bool:
    return (record.get("mask") or {}).get("filled") == 0


def _no_layer(record: dict[str, Any], target: Path | None) -> str:
    written = f" The image was written to {target} as it is." if target else ""
    return f"No new layer: {'; '.join(record['warnings'])}.{written}"


def _took(started: float) -> str:
    return f"done in {time.perf_counter() - started:.1f} s"
