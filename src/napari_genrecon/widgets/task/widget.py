"""Dock widget of a task: layers, noise report, options, preview, run, cancel."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_genrecon.axes import Axes
from napari_genrecon.engine.lazy import is_lazy
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import GenReconError, ImageError, OptionError
from napari_genrecon.io.record.methods import methods_text
from napari_genrecon.models import ModelCard, find_model
from napari_genrecon.models.registry import import_steps
from napari_genrecon.tasks import Task, defaults_of
from napari_genrecon.tasks.export import export_steps
from napari_genrecon.tasks.result_name import result_name
from napari_genrecon.training import cited
from napari_genrecon.widgets.advise.open_dock import open_filled
from napari_genrecon.widgets.dock import Dock
from napari_genrecon.widgets.jobs.controls import JobControls
from napari_genrecon.widgets.layers.add_result import add_layers, layer_options, pixels_of, told_options
from napari_genrecon.widgets.layers.choice import keeping_active
from napari_genrecon.widgets.layers.new_mask import add_mask
from napari_genrecon.widgets.layers.snapshot import (
    is_no_image,
    layer_axes,
    layer_data,
    record_of,
    shows_planes,
    visible_region,
)
from napari_genrecon.widgets.layers.targets import plan_targets
from napari_genrecon.widgets.layers.watched import Watched
from napari_genrecon.widgets.preferences import follow_preferences, preferences
from napari_genrecon.widgets.task.as_python import as_python
from napari_genrecon.widgets.task.compute import (
    LayerSnapshot,
    about_result,
    nothing_found,
    preview_steps,
    result_steps,
)
from napari_genrecon.widgets.task.controls import TaskControls
from napari_genrecon.widgets.task.noise_report import NoiseReport
from napari_genrecon.widgets.task.preview import PLANES_ONLY, Preview
from napari_genrecon.widgets.words import MODEL_FILES

if TYPE_CHECKING:
    from napari import Viewer

    from napari_genrecon.widgets.task.fields import TaskFields

_REST = 500  # milliseconds without a move of the camera after which it rests: shorter, and a pause in a drag computes
_SOON = 3.0  # seconds that a preview may take to be renewed unasked; longer ones would block the buttons by surprise

__all__ = ["TaskWidget"]


class TaskWidget(TaskControls):
    """Run one task on image layers.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers can be chosen, and that gets the results.
    task : Task
        The task.
    fields : TaskFields
        Fields of its options.
    """

    _adding: ClassVar[TaskWidget | None] = None  # the widget whose result is being added now

    def __init__(self, viewer: Viewer, task: Task, fields: TaskFields) -> None:
        # napari gives plugins a proxy of the viewer, and layers that are taken through it fail comparisons with `is`.
        super().__init__(getattr(viewer, "__wrapped__", viewer), task, fields)
        self._preview_layer, self._watched = Preview(self._viewer, self._preview_gone), Watched(self._viewer)
        self._said_of_preview = ""
        self._edits: WeakKeyDictionary[Any, int] = WeakKeyDictionary()  # of layers: how often each was edited
        self._resting = QTimer(self.native)  # goes with the page
        self._resting.setSingleShot(True)
        self._resting.setInterval(_REST)
        self._resting.timeout.connect(self._follow_view)
        self._queue: list[tuple[LayerSnapshot, Any, Path | None]] = []
        self._running = False  # whether a run goes on, which closing the dock does not end
        self._said: list[str] = []  # messages about the results so far
        self._record: dict[str, Any] | None = None  # of the last result, or of the one that was clicked on
        self._result: Any = None  # the layer that was added last
        self._gone = False
        self._section = f"genrecon_{task.name}"
        self._preferred = preferences(self._section)
        self._jobs = JobControls(
            (self._run, self._preview, self._check, self._bring, self._give),
            self._cancel,
            self._progress,
            self._status,
            self._watched.refresh,
            self._ended,
        )
        self._noise = NoiseReport(
            self._details, task, self._form, self._chosen, self._viewer.layers, self._jobs, self._options, self._joined
        )
        if self._form.widgets_of("psf"):
            from napari_genrecon.widgets.task.bead_psf import BeadButton  # other docks open faster without
            from napari_genrecon.widgets.task.blur_width import BlurFinder

            # Kept, as signals hold them weakly.
            self._beads = BeadButton(self._viewer, self._form, self._chosen, self._jobs)
            self._blur = BlurFinder(self._form, self._chosen, self._jobs)
            self._layers.changed.connect(self._blur.forget)
        self._dock = Dock(self, self.native, self._closed, self._opened)
        self._unread = False  # whether a run has ended while the dock was closed
        self._connect()
        self._refresh()
        self._follow_active()
        self._take_only_image()

    def _connect(self) -> None:
        events = self._viewer.layers.events
        events.inserted.connect(self._refresh)
        events.removed.connect(self._refresh)
        events.renamed.connect(self._rename)
        self._viewer.layers.selection.events.active.connect(self._follow_active)
        self._layers.changed.connect(self._measure)
        self._layers.changed.connect(self._show_options)
        self._layers.changed.connect(self._judge_again)
        for field in (self._form["axes"], *self._form.choosers):
            field.changed.connect(self._show_options)
        self._form.container.changed.connect(self._noise.time_again)
        self._form.container.changed.connect(self._judge_preview)
        self._only.changed.connect(self._noise.time_again)
        self._preview.changed.connect(self._start_preview)
        self._view.changed.connect(self._preview_layer.set_view)
        dims = self._viewer.dims.events
        grid = self._viewer.canvas.grid.events.enabled
        for event in (self._view.changed, dims.current_step, dims.ndisplay, dims.order, grid):
            event.connect(self._judge_again)
        camera = self._viewer.scene.camera.events
        for event in (camera.center, camera.zoom):
            event.connect(self._view_moved)
        self._run.changed.connect(self._start_run)
        self._check.changed.connect(self._start_check)
        self._copy.changed.connect(self._copy_python)
        self._methods.changed.connect(self._copy_methods)
        self._compare.changed.connect(self._open_compare)
        self._new_mask.changed.connect(self._start_mask)
        self._bring.changed.connect(self._choose_model)
        self._teach.changed.connect(self._open_training)
        self._give.changed.connect(self._choose_package)
        follow_preferences(self._section, self._take_preferences)
        self.native.destroyed.connect(self._leave)

    def _leave(self, _event: object = None) -> None:
        """Drop all jobs without reporting them, as the window is gone."""
        self._gone = True
        self._queue.clear()
        self._jobs.abandon()
        self._noise.abandon()

    def _closed(self) -> None:
        """Let a run go on while the dock is closed; cancel other jobs and remove the preview."""
        if self._jobs.at_work and not self._running:
            self._jobs.cancel()
        self._end_preview()

    def _opened(self) -> None:
        self._refresh()
        # To choose another image now would replace the message about the run that has ended.
        if not self._unread:
            self._follow_active()
            self._take_only_image()
        self._unread = False
        self._measure_if_new()

    @property
    def busy(self) -> bool:
        """Whether a job runs, or the time of one is being estimated."""
        return self._job is not None or self._noise.timing is not None

    @property
    def _job(self) -> Any:
        """The job that runs now, or None."""
        return self._jobs.job

    def _take_preferences(self, _event: object = None) -> None:
        """Follow changes in napari's Preferences at once; options that were not changed there stay as they are."""
        before, self._preferred = self._preferred, preferences(self._section)
        for name in () if self._gone else self._preferred.keys() & before.keys():
            if self._preferred[name] != before[name]:
                self._form[name].value = self._preferred[name]

    # Layers ---------------------------------------------------------------------------------------------------------

    def _refresh(self, _event: object = None) -> None:
        self.reset_choices()
        self._noise.forget_removed(self._viewer.layers)
        for layer in self._viewer.layers:
            if isinstance(layer, Image):
                layer.events.data.connect(self._measure)  # connecting twice does nothing
            layer.events.data.connect(self._edited)
            if isinstance(layer, Labels):
                layer.events.paint.connect(self._edited)
                layer.events.set_data.connect(self._judge_again)  # of an undo, napari tells no more
        if not self._chosen():
            self._ask_for_layer()

    def _rename(self, event: Any) -> None:
        self._refresh()
        # The report names its image.
        if self._viewer.layers[event.index] in self._chosen()[:1]:
            self._noise.show()

    def _follow_active(self, _event: object = None) -> None:
        """Choose the layer that was activated, if it is an image. Activating a mask changes nothing."""
        active = self._viewer.layers.selection.active
        if self._dock.closed or self._stays() or (active is not None and is_no_image(active)):
            return
        record = {} if active is None else record_of(active)
        if record:
            self._record = record
        # A result that is clicked on says how it was made, unless a job is reporting there.
        if (record or isinstance(active, Image)) and not self._jobs.at_work:
            # With its name, as another image may be chosen in the list.
            self._status.value = f"'{active.name}': {methods_text(record, defaults_of, cited)}" if record else ""
        if isinstance(active, Image):
            self.reset_choices()
            # The choices were read anew first, as this layer may have been added just now.
            self._layers.value = [active.name]
        elif not self._chosen():
            self._ask_for_layer()

    def _take_only_image(self) -> None:
        """Choose the only image where none is chosen, as a dock is opened beside a mask, say."""
        if not self._chosen() and len(self._layers.choices) == 1:
            self._layers.value = list(self._layers.choices)

    def _stays(self) -> bool:
        """Return whether the choice of layers stays although a result is being added.

        It does after a run of this widget, whose button then works on the source again, and after a run of another
        widget while this one is at work.
        """
        adding = TaskWidget._adding
        return adding is self or (adding is not None and self._jobs.at_work)

    @contextmanager
    def _adding_result(self) -> Iterator[None]:
        TaskWidget._adding = self
        try:
            yield
        finally:
            TaskWidget._adding = None

    def _show_options(self, _event: object = None) -> None:
        """Show the options that matter for the chosen images."""
        layers, typed = self._chosen(), str(self._form["axes"].value or "").upper()
        # Only what every chosen image tells need not be asked for. Typed axes may give its numbers another meaning.
        told = set.intersection(*map(told_options, layers)) if layers and not typed else set()
        self._form.use_for("".join([*(str(layer_axes(layer)) for layer in layers), typed]), told)

    def _ask_for_layer(self) -> None:
        self._noise.ask_for_layer(self._viewer.layers.selection.active)
        if not self._viewer.layers and self._job is None:
            self._status.value = ""

    def _measure(self, _event: object = None) -> None:
        if self._dock.closed:
            return
        if self._chosen():
            self._noise.measure()
        else:
            self._ask_for_layer()

    def _ended(self) -> None:
        # On the next turn of Qt's loop: the result is added only after this, and may begin the next job of a queue.
        QTimer.singleShot(0, self._measure_if_new)

    def _measure_if_new(self) -> None:
        """Measure a layer that was chosen while a job ran."""
        if self._gone or self._dock.closed:
            return
        self._noise.forget_removed(self._viewer.layers)
        if self._noise.is_waiting():
            self._measure()
        self._judge_again()  # nothing is said of the preview while a job runs

    def _options(self, layer: Layer) -> Any:
        def pixels(kind: str, name: str) -> Any:
            given = self._viewer.layers[name]
            return self._noise.of_layer(given) if kind == "noise" else pixels_of(kind, given, layer)

        # Points are found in the whole image.
        part = self._only.options(layer) if self._task.makes == "image" else {}
        return layer_options(self._task, layer, {**self._form.values(pixels), **part})

    def fill(self, layer: str, options: dict[str, Any]) -> None:
        """Choose an image layer and set options in the form."""
        if layer in self._layers.choices:
            self._layers.value = [layer]
        for name, value in options.items():
            self._form[name].value = value

    def _start_mask(self, _event: object = None) -> None:
        """Add an empty mask of the first chosen image, take it, and begin to paint."""
        layers = self._chosen()
        if not layers:
            self._tell_missing([])
            return
        self._form["mask"].value = add_mask(self._viewer, layers[0]).name
        self._jobs.say(f"Paint what is to be filled in, then press {self._task.title}.")

    # Preview --------------------------------------------------------------------------------------------------------

    def _start_preview(self, _event: object = None) -> None:
        layers = self._chosen()
        if not layers or self._job is not None:
            self._tell_missing(layers)
            return
        if not self._task.alike:  # by its shortcut
            self._jobs.ask_for(f"A preview shows an image before and after: press {self._task.title} to see another.")
            return
        if not shows_planes(self._viewer):
            self._jobs.ask_for(PLANES_ONLY)
            return
        layer = layers[0]
        try:
            options, region = self._complete_options(layer), visible_region(self._viewer, layer)
        except (GenReconError, ValueError) as error:
            self._jobs.refuse(error)
            return
        taken, asked, edits = LayerSnapshot.of(layer), self._asked(), self._edits_of(layer)

        def made(found: Any) -> None:
            after, before, factors, result = found
            self._noise.found(taken.data, result.record, given=getattr(options, "noise", None) is not None)
            if self._dock.closed:  # nobody could take it away
                return
            shown, limits = self._preview_layer, result.limits
            shown.show(after, before, region, taken.shown, taken.name, factors, layer, asked, edits, limits)
            self._view.visible = True
            self._judge_preview()

        title = f"Preview of '{taken.name}'"
        self._jobs.begin(lambda: preview_steps(self._task, taken, options, region), made, title=title)

    def _asked(self) -> dict[str, Any] | None:
        """Return the options in the form, with layers and not their names, which may change; None if impossible."""
        layers = {layer.name: layer for layer in self._viewer.layers}
        try:
            given = self._form.array_sources().items()
            sources = {name: layers.get(one, one) if isinstance(one, str) else one for name, one in given}
            return {**self._form.plain_values(), **sources}
        except (GenReconError, ValueError):
            return None

    def _judge_preview(self, _event: object = None) -> None:
        """Say whether the preview still shows the options in the form."""
        if not self._gone and self._job is None and self._preview_layer.there:
            edits = self._edits_of(self._preview_layer.source)
            words = self._preview_layer.words(self._chosen(), self._asked(), edits)
            self._said_of_preview = self._status.value = words

    def _edited(self, event: Any) -> None:
        """Count the edits of a layer: a preview shows what it was before them."""
        self._edits[event.source] = self._edits.get(event.source, 0) + 1
        self._judge_preview()

    def _edits_of(self, source: Any) -> list[tuple[int, int]]:
        """Return how often an image and the layers in the options were edited, and how many edits can be undone."""
        used = [source, *(self._asked() or {}).values()]
        layers = [each for each in used if isinstance(each, Layer)]
        return [(self._edits.get(layer, 0), len(getattr(layer, "_undo_history", ()))) for layer in layers]

    def _view_moved(self, _event: object = None) -> None:
        if not self._gone and self._preview_layer.there:
            self._resting.start()

    def _follow_view(self) -> None:
        """Renew the preview for the view in which the camera rests, where that is fast; else say what is missing."""
        source = self._chosen()[:1]
        if self._gone or self._job is not None or not self._preview_layer.there or not source:
            return
        region = visible_region(self._viewer, source[0])
        seen = np.prod([piece.stop - piece.start for piece in region if piece.stop])  # colours have no ends
        # The expected time of the whole image, for the share of its pixels that is seen; unknown times are too long.
        seconds = (self._noise.seconds or np.inf) * seen / layer_data(source[0]).size
        current = self._preview_layer.is_of(source[0], self._asked(), self._edits_of(source[0]))
        current = current and shows_planes(self._viewer)
        if current and not self._preview_layer.covers(region) and seconds < _SOON:
            self._start_preview()
        else:
            self._judge_again()

    def _judge_again(self, _event: object = None) -> None:
        """Renew the message about the preview, unless another message has replaced it."""
        if not self._gone and self._status.value == self._said_of_preview:
            self._judge_preview()

    def _end_preview(self) -> None:
        self._preview_layer.remove()
        self._view.visible = False

    def _preview_gone(self) -> None:
        """Clear the message about a preview that was removed from outside."""
        if self._gone:
            return
        self._view.visible = False
        if self._status.value == self._said_of_preview:
            self._status.value = ""

    # Run ------------------------------------------------------------------------------------------------------------

    def _start_run(self, _event: object = None) -> None:
        """Read all that the run needs of the layers and the form, and refuse what is impossible before it starts."""
        if self._job is not None:
            return
        layers, self._said = self._chosen(), []
        self._tell_missing(layers)
        try:
            jobs = self._subjects(layers)
            targets = plan_targets(self._chosen_target(), [taken.name for taken, _ in jobs], self._task.name)
            self._queue = [(*job, target) for job, target in zip(jobs, targets, strict=True)]
        except (GenReconError, ValueError) as error:
            self._jobs.refuse(error)
            return
        self._next()

    def _subjects(self, layers: list[Any]) -> list[tuple[LayerSnapshot, Any]]:
        """Return what is worked on, with the options: each layer, or all as channels where the model takes several."""
        if self._are_channels(layers):
            return [(LayerSnapshot.of_channels(layers), self._of_channels(layers))]
        return [(LayerSnapshot.of(layer), self._complete_options(layer)) for layer in layers]

    def _are_channels(self, layers: list[Any]) -> bool:
        if self._task.alike or len(layers) < 2 or len({layer_data(layer).shape for layer in layers}) > 1:
            return False
        # Images that have channels of their own are worked on one by one.
        single = all(layer_axes(layer).channel is None for layer in layers)
        return single and self._task.card(self._form.plain_values()["model"]).channels == len(layers)

    def _complete_options(self, layer: Layer) -> Any:
        """Return the options, or refuse at once those that lack what the task cannot do without, such as a mask."""
        options = self._options(layer)
        if hasattr(options, "require"):
            options.require()
        return options

    def _of_channels(self, layers: list[Any]) -> Any:
        return replace(self._options(layers[0]), axes=Axes(f"C{layer_axes(layers[0])}"))

    def _joined(self) -> tuple[Any, Any] | None:
        """Return pixels and options where the chosen layers are channels of one image."""
        layers = self._chosen()
        if not self._are_channels(layers):
            return None
        return LayerSnapshot.of_channels(layers).data, self._of_channels(layers)

    def _next(self) -> None:
        self._running = bool(self._queue)
        if not self._running:
            return
        taken, options, target = self._queue.pop(0)
        # The time of a result begins now, and not with the first one of the queue.
        taken, live = replace(taken, at=time.perf_counter()), self._live.value

        def failed(kind: str, value: object) -> None:
            # An error, or Cancel, ends the run of all images.
            self._running = False
            self._queue.clear()
            self._watched.stop()
            self._jobs.tell(kind, value, " ".join(self._said))
            self._unread = self._dock.closed

        self._watched.start(target)
        self._jobs.begin(
            lambda: result_steps(self._task, taken, options, target, live=live),
            lambda result: self._add(result, taken, target, given=getattr(options, "noise", None) is not None),
            failed,
            title=f"{self._task.title} '{taken.name}'",
        )

    def _add(self, result: Any, taken: LayerSnapshot, target: Any, *, given: bool) -> None:
        """Add the layer of a result, describe it, and go on with the next layer."""
        record, added = result.record, None
        self._noise.found(taken.data, record, given=given)
        self._end_preview()
        self._watched.stop()
        for warning in record["warnings"]:
            show_warning(f"{taken.name}: {warning}")
        if not nothing_found(record):
            with self._adding_result():
                name = result_name(self._task.name, taken.name, record)
                added = add_layers(
                    self._viewer, result, taken.layer, taken.data.shape, name, taken.shown, stored=target is not None
                )
            self._record = record
            self._result, self._compare.visible = added, isinstance(added, Image)
        # What was written to a file is read lazily, too, but nothing of it is left to compute.
        lazy = isinstance(added, Image) and target is None and is_lazy(layer_data(added))
        self._said.append(about_result(record, added, taken, target, lazy=lazy))
        self._jobs.say(" ".join(self._said))
        if self._dock.closed:
            self._unread = True
            # Nobody sees the message in a dock that is closed.
            show_info(self._said[-1])
        # Cancel came too late for this image, but not for those that wait.
        if self._jobs.cancelled:
            self._queue.clear()
        self._next()

    def _tell_missing(self, layers: list[Any]) -> None:
        if not layers:
            self._jobs.ask_for("Choose an image layer first.")

    def _open_compare(self, _event: object = None) -> None:
        if self._result in self._viewer.layers:
            open_filled(self._viewer, "compare", self._result.name, {})
        else:
            self._jobs.ask_for("The result is no longer among the layers: press Compare after the next run.")

    # Check ----------------------------------------------------------------------------------------------------------

    def _start_check(self, _event: object = None) -> None:
        from napari_genrecon.widgets.task.check import check_layer_steps, deviations_layer  # docks open faster without

        result = self._viewer.layers.selection.active
        if self._job is not None:
            return
        if result is None:
            self._jobs.ask_for("Select the result layer first.")
            return
        try:
            steps = check_layer_steps(result, list(self._viewer.layers))
        except ImageError as error:
            self._jobs.refuse(error)
            return
        name = result.name

        def checked(found: Any) -> None:
            # It may have been removed while it was checked.
            if result in self._viewer.layers:
                pixels, kwargs = deviations_layer(found, result)
                with keeping_active(self._viewer):
                    self._viewer.add_image(pixels, **kwargs)
            where = found.verdict.in_short(f"the layer '{name}: deviations'")
            self._noise.say(f"Checked '{name}': {where}.", f"Check of '{name}'\n{found}")
            self._status.value = f"Checked '{name}': {where}. The report is above."

        self._jobs.begin(lambda: steps, checked, title=f"Check of '{name}'")

    # Models ---------------------------------------------------------------------------------------------------------

    def _choose_model(self, _event: object = None) -> None:
        path, _ = QFileDialog.getOpenFileName(self.native, "Import a model", "", MODEL_FILES)
        if path:
            self.bring(path)

    def bring(self, path: str) -> None:
        """Check a model file, add it to the models, and choose it."""

        def added(card: ModelCard) -> None:
            self.refresh_models()
            # The file may hold a model of another task, which cannot be chosen here.
            if card in self._task.cards():
                self._form["model"].value = card.name
                if self._task.name == "upscale" and card.scaling:
                    self._form["factor"].value = card.scale.x
                self._jobs.say(f"Added and chosen: '{card.name}'. {card.summary}.", "good")
            else:
                self._jobs.say(f"Added: '{card.name}', a model of the task '{card.task}'. {card.summary}.")

        self._jobs.begin(lambda: import_steps(path), added, title="Import a model")

    def _choose_package(self, _event: object = None) -> None:
        path, _ = QFileDialog.getSaveFileName(self.native, "Export the model", "model.zip", "Packages (*.zip)")
        if path:
            self.give(path)

    def give(self, path: str) -> None:
        """Write the chosen model as a package, a denoiser with the noise of the first chosen image."""
        layers, options = self._chosen(), self._form.plain_values()
        name = find_model(options["model"], self._task.models).name
        if self._task.name == "denoise" and not layers:
            self._tell_missing(layers)
            return

        def steps() -> Generator[Progress, None, tuple[str, ...]]:
            yield Progress(0, 0, "measuring the noise")
            noise = self._noise.of_layer(layers[0]) if self._task.name == "denoise" else None
            # The dialog has asked before an existing file is replaced.
            return (yield from export_steps(name, path, noise=noise, factor=options.get("factor", 2), overwrite=True))

        def written(kinds: tuple[str, ...]) -> None:
            self._jobs.say(f"Written to {path}, with weights for {' and '.join(kinds)}.", "good")

        self._jobs.begin(steps, written, title=f"Export '{name}'")

    # Python ---------------------------------------------------------------------------------------------------------

    def _open_training(self, _event: object = None) -> None:
        open_filled(self._viewer, "train", "", {})

    def _copy_python(self, _event: object = None) -> None:
        if not self._chosen():
            self._tell_missing([])
            return
        try:
            code = self.as_python()
        except (GenReconError, ValueError) as error:
            self._jobs.refuse(error)
            return
        QApplication.clipboard().setText(code)
        self._status.value = "Copied: paste it into napari's console or a script."

    def _copy_methods(self, _event: object = None) -> None:
        if self._record is None:
            self._jobs.ask_for("There is no result yet: run the task, or click on a layer that is a result.")
            return
        QApplication.clipboard().setText(methods_text(self._record, defaults_of, cited))
        self._status.value = "Copied: the sentences for the methods section."

    def as_python(self) -> str:
        """Return the calls that make the same layers, as Python code."""
        if self._are_channels(self._chosen()):
            raise OptionError(
                "the chosen layers are the channels of one image: in Python, stack them and call predict(image, "
                "axes='CYX')"
            )
        arrays = self._form.array_sources()
        return as_python(self._task, self._chosen(), self._options, arrays, live=self._live.value)
