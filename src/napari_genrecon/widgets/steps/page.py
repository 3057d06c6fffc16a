"""Page that runs several tasks in a row: steps are added, taken from a result, edited, saved, and run on images."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Container, Label, LineEdit, ProgressBar, PushButton, Select
from napari.layers import Image
from napari.utils.notifications import show_warning
from qtpy.QtWidgets import QFileDialog

from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import GenReconError, OptionError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.layers import about_layer
from napari_genrecon.io.record.history import made_from_layer
from napari_genrecon.shell import quoted
from napari_genrecon.tasks import TASKS, Result
from napari_genrecon.tasks.pipeline import Pipeline, Step, pipeline_steps, read_pipeline, steps_of
from napari_genrecon.tasks.result_name import result_name
from napari_genrecon.widgets.dock import Dock
from napari_genrecon.widgets.fit import list_of_layers, make_primary, side_by_side, text
from napari_genrecon.widgets.jobs.controls import JobControls
from napari_genrecon.widgets.layers.add_result import add_layers
from napari_genrecon.widgets.layers.choice import LayerChoice
from napari_genrecon.widgets.layers.snapshot import names_of, record_of
from napari_genrecon.widgets.task.compute import LayerSnapshot

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["StepsPage"]

_ROWS = 4  # of the lists of images and of steps before they scroll
_LINES = 8  # of messages before they scroll
_FILES = "Steps (*.json)"
# Options without which a step cannot run, as the docks of these tasks begin with them; seen and edited like all others.
_NEEDED: dict[str, dict[str, Any]] = {"inpaint": {"detect": "hot"}, "deblur": {"psf": 3.0}}
_Made = list[tuple[Result, ImageMeta]]


class StepsPage(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Run several tasks in a row on image layers.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers can be chosen, and that gets the results.
    """

    def __init__(self, viewer: Viewer) -> None:
        # napari gives plugins a proxy of the viewer, and layers that are taken through it fail comparisons with `is`.
        self._viewer: Viewer = getattr(viewer, "__wrapped__", viewer)
        self.steps: list[Step] = []
        self._folder: Path | None = None  # from which paths in the steps start
        self._queue: list[LayerSnapshot] = []
        self._added: list[str] = []  # names of the layers of this run so far
        self._make_controls()
        self._jobs = JobControls((self.run,), self.cancel, self._progress, self.status, after=self._allow_run)
        super().__init__(
            widgets=[
                Label(value="Images"),
                self.images,
                Label(value="Steps, from first to last"),
                self.chosen,
                side_by_side(self.task, self.add_step, self.from_result),
                side_by_side(self.move_up, self.remove_steps, self.open_file, self.save_file),
                side_by_side(Label(value="options"), self.step_options),
                self.keep,
                side_by_side(self.run, self.cancel),
                self._progress,
                self.status,
            ],
            labels=False,
        )
        self._dock = Dock(self, self.native, lambda: None, self.reset_choices)
        self._choice = LayerChoice(self.images, self._viewer.layers)
        self._fit_lists = [list_of_layers(each, _ROWS) for each in (self.images, self.chosen)]
        self.native.layout().addStretch(1)  # room that is not needed stays below
        self._connect()
        self._choose_active()
        self._show()
        self.status.value = "Add steps, or choose a result layer and press 'From result' to do the same again."

    def _make_controls(self) -> None:
        self.images = Select(choices=self._image_names, tooltip="Images that the steps are run on, one after the other")
        self.chosen = Select(choices=(), tooltip="Choose a step to edit, move or remove it")
        self.task = ComboBox(
            choices=[(task.title, task.name) for task in TASKS if task.makes == "image"],
            tooltip="What the next step does",
        )
        self.add_step = PushButton(text="Add", tooltip="Puts this task at the end")
        self.from_result = PushButton(
            text="From result", tooltip="Takes the steps that made the selected layer, to run them on other images"
        )
        self.move_up = PushButton(text="Up", tooltip="The chosen step runs one step earlier")
        self.remove_steps = PushButton(text="Remove", tooltip="Removes the chosen steps")
        self.open_file = PushButton(text="Open…", tooltip="Reads steps from a JSON file")
        self.save_file = PushButton(text="Save…", tooltip="Writes the steps as JSON; 'genrecon run' runs it on folders")
        self.step_options = LineEdit(
            tooltip="Options of the chosen step, such as: strength=0.8, tile=256 (those of the Python function); "
            "what is left out has its default. Press Enter"
        )
        self.step_options.native.setPlaceholderText("such as strength=0.8")
        self.keep = CheckBox(text="add the results of all steps", tooltip="Else only the last one becomes a layer")
        self.run = PushButton(text="Run", tooltip="Makes new layers; the images themselves are not changed")
        make_primary(self.run)
        self.cancel = PushButton(text="Cancel", enabled=False)
        self._progress = ProgressBar(value=0, min=0, max=100, visible=False)
        self.status = text(most=_LINES)

    def _connect(self) -> None:
        for event in (self._viewer.layers.events.inserted, self._viewer.layers.events.removed):
            event.connect(self.reset_choices)
        self._viewer.layers.events.renamed.connect(self.reset_choices)
        self._viewer.layers.events.inserted.connect(self._choose_active)
        self.add_step.changed.connect(lambda: self._change([*self.steps, self._new_step()]))
        self.from_result.changed.connect(self._take)
        self.move_up.changed.connect(self._move_up)
        self.remove_steps.changed.connect(self._remove)
        self.open_file.changed.connect(self._open)
        self.save_file.changed.connect(self._save)
        self.chosen.changed.connect(self._show_options)
        self.step_options.native.editingFinished.connect(self._edit)
        self.run.changed.connect(self._start)

    # Steps ----------------------------------------------------------------------------------------------------------

    def _image_names(self, _widget: object = None) -> list[str]:
        return names_of(self._viewer, Image)

    def _choose_active(self, _event: object = None) -> None:
        """Choose an image where none is chosen yet."""
        active = self._viewer.layers.selection.active
        names = self._image_names()
        if not self.images.value and names:
            self.images.value = [active.name if active is not None and active.name in names else names[0]]

    def _new_step(self) -> Step:
        return Step(self.task.value, _NEEDED.get(self.task.value, {}))

    def _step_names(self) -> list[tuple[str, int]]:
        return [(f"{index + 1}. {step}", index) for index, step in enumerate(self.steps)]

    def reset_choices(self, *_: Any) -> None:
        """Update the choices of layers; napari calls this on docked widgets."""
        self._choice.reset()
        for fit in self._fit_lists:
            fit()

    def _change(self, steps: list[Step], chosen: int | None = None) -> None:
        self.steps = steps
        self._show(len(steps) - 1 if chosen is None else chosen)
        self._say("")

    def _show(self, chosen: int = -1) -> None:
        """Show the steps, with one of them chosen."""
        self.chosen.choices = ()  # else changed entries would move to the end
        self.chosen.choices = self._step_names()
        self.chosen.value = [chosen] if 0 <= chosen < len(self.steps) else []
        self._fit_lists[1]()
        self._show_options()
        self._allow_run()

    def _allow_run(self) -> None:
        """Enable the button where there are steps and no run goes on; steps may be edited during a run."""
        self.run.enabled = bool(self.steps) and self._jobs.job is None

    def _index(self) -> int | None:
        """Return the index of the step that is chosen; None if there is not exactly one."""
        return self.chosen.value[0] if len(self.chosen.value) == 1 else None

    def _show_options(self, _event: object = None) -> None:
        index = self._index()
        self.step_options.enabled = index is not None
        options = {} if index is None else self.steps[index].options
        self.step_options.value = ", ".join(f"{name}={json.dumps(value)}" for name, value in options.items())

    def _edit(self) -> None:
        index = self._index()
        if index is None:
            return
        try:
            step = Step(self.steps[index].task, _options(self.step_options.value))
            # A pipeline of this step alone checks its options.
            Pipeline((step,), self._folder)
        except GenReconError as error:
            self._jobs.refuse(error)
            return
        # Qt tells of the end of editing also when the field loses the focus, unchanged.
        if step != self.steps[index]:
            self._change([*self.steps[:index], step, *self.steps[index + 1 :]], index)

    def _move_up(self, _event: object = None) -> None:
        index = self._index()
        if index:  # neither none nor the first one
            moved = [*self.steps]
            moved[index - 1 : index + 1] = moved[index], moved[index - 1]
            self._change(moved, index - 1)

    def _remove(self, _event: object = None) -> None:
        self._change([step for index, step in enumerate(self.steps) if index not in self.chosen.value])

    def _take(self, _event: object = None) -> None:
        layer = self._viewer.layers.selection.active
        record = {} if layer is None else record_of(layer)
        if not record:
            self._jobs.ask_for("Select the layer of a result first: its steps are taken from its record.")
            return
        try:
            self._change(list(steps_of(record).steps))
        except GenReconError as error:
            self._jobs.refuse(error)

    def _open(self, _event: object = None) -> None:
        path, _ = QFileDialog.getOpenFileName(self.native, "Open steps", "", _FILES)
        if path:
            self.read(path)

    def read(self, path: str | Path) -> None:
        """Take the steps of a file."""
        try:
            found = read_pipeline(path)
        except GenReconError as error:
            self._jobs.refuse(error)
            return
        self._folder = found.folder
        self._change(list(found.steps))

    def _save(self, _event: object = None) -> None:
        path, _ = QFileDialog.getSaveFileName(self.native, "Save steps", "steps.json", _FILES)
        if path:
            self.write(path)

    def write(self, path: str | Path) -> None:
        """Write the steps to a file; the dialog has asked before an existing one is replaced."""
        try:
            saved = self._pipeline().save(Path(path).with_suffix(".json"), overwrite=True)
        except GenReconError as error:
            self._jobs.refuse(error)
            return
        self._say(f"Saved. On a folder of images: genrecon run {quoted(saved)} FOLDER")

    def _pipeline(self) -> Pipeline:
        return Pipeline(tuple(self.steps), self._folder)

    def _say(self, words: str) -> None:
        self._jobs.say(words)

    # Run ------------------------------------------------------------------------------------------------------------

    def _start(self, _event: object = None) -> None:
        # In the order of the list of layers, whatever order they were chosen in.
        layers = [layer for layer in self._viewer.layers if layer.name in self.images.value]
        if not layers:
            self._jobs.ask_for("Choose an image first.")
            return
        try:
            steps = self._pipeline()
        except GenReconError as error:
            self._jobs.refuse(error)
            return
        # All is read now: layers may be changed or removed, and steps edited, while the first image is worked on.
        self._queue, self._added = [LayerSnapshot.of(layer) for layer in layers], []
        self._next(steps, keep=self.keep.value)

    def _next(self, steps: Pipeline, *, keep: bool) -> None:
        if not self._queue:
            return
        taken = self._queue.pop(0)
        about = about_layer({**taken.shown, "name": taken.name}, taken.data.shape)
        used = _for_colours(steps) if taken.shown["rgb"] else steps

        def run() -> Generator[Progress, None, _Made]:
            return pipeline_steps(used, taken.data, about, keep=keep)

        def failed(kind: str, value: Any) -> None:
            self._queue.clear()
            self._jobs.tell(kind, value, self._said())

        def done(made: _Made) -> None:
            self._add(made, taken, steps)
            self._next(steps, keep=keep)

        self._jobs.begin(run, done, failed, title=f"{steps.name} '{taken.name}'")

    def _add(self, made: _Made, taken: LayerSnapshot, steps: Pipeline) -> None:
        """Add the results of one image."""
        name = taken.name
        for number, (result, _about) in enumerate(made):
            last = number == len(made) - 1
            # Only the first step worked on the layer; the others worked on the step before, as their records say.
            record = made_from_layer(result.record, taken.shown["metadata"]) if not number else result.record
            task = str(record["task"])
            # Where all steps are added, each is named after the one before it.
            name = result_name(task, name, record) if len(made) > 1 else f"{taken.name} {steps.name}"
            for warning in record["warnings"]:
                show_warning(f"{name}: {warning}")
            added = add_layers(
                self._viewer, replace(result, record=record), taken.layer, taken.data.shape, name, taken.shown
            )
            added.visible = last
            self._added.append(added.name)
        self._say(self._said())
        # Cancel came too late for this image, but not for those that wait.
        if self._jobs.cancelled:
            self._queue.clear()

    def _said(self) -> str:
        """Name the layers of this run so far."""
        names = self._added
        return f"New layer{'s' if len(names) > 1 else ''}: {', '.join(names)}." if names else ""


def _for_colours(steps: Pipeline) -> Pipeline:
    """Return the steps with results in the dtype of their image, in which alone napari shows RGB."""
    return replace(
        steps, steps=tuple(replace(step, options={**step.options, "keep_dtype": True}) for step in steps.steps)
    )


def _options(given: str) -> dict[str, Any]:
    """Read options as they are written in Python: ``strength=0.8, detect="hot"``; quotes can be left out."""
    found: dict[str, Any] = {}
    for part in _parts(given):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not name:
            raise OptionError(f"options are written as name=value, with commas between them; got {part.strip()!r}")
        try:
            # Words of Python become those of JSON; what JSON cannot read is a text without quotes.
            found[name] = json.loads({"True": "true", "False": "false", "None": "null"}.get(value, value))
        except ValueError:
            found[name] = value
    return found


def _parts(given: str) -> list[str]:
    """Split at the commas that stand before the next ``name=``, as values may hold commas."""
    return [part for part in re.split(r",\s*(?=\w+\s*=)", given) if part.strip()]
