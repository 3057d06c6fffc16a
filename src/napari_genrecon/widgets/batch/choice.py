"""Choose what is done to every image of a folder: a task with its options, or steps in a row from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magicgui.widgets import ComboBox, Container, FileEdit

from napari_genrecon.noise import read_noise
from napari_genrecon.tasks import TASKS, find_task
from napari_genrecon.tasks.batch import Work, pipeline_work, task_work
from napari_genrecon.tasks.pipeline import read_pipeline
from napari_genrecon.widgets.form import TaskForm
from napari_genrecon.widgets.layers.arrays import chosen_file

__all__ = ["STEPS", "WorkChoice"]

STEPS = "steps of a file"


class WorkChoice(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Choice of a task, with the form of its options below."""

    def __init__(self) -> None:
        titles = [(task.title, task.name) for task in TASKS if task.makes == "image"]
        self.task = ComboBox(
            label="task", choices=[*titles, ("Steps in a row", STEPS)], tooltip="What is done to every image"
        )
        self.steps = FileEdit(
            label="steps",
            mode="r",
            filter="Steps (*.json)",
            value="",
            tooltip="A file of steps: 'Save…' in the dock Steps writes one",
        )
        self._forms: dict[str, TaskForm] = {}
        first = Container(widgets=[self.task, self.steps], labels=True)
        super().__init__(widgets=[first], labels=False)
        self.margins = first.margins = (0, 0, 0, 0)
        self.task.changed.connect(self._show)
        self._show()

    @property
    def form(self) -> TaskForm | None:
        """The form of the chosen task, or None for steps."""
        return self._forms.get(self.task.value)

    def work(self) -> Work:
        """Return what was chosen.

        Raises
        ------
        GenReconError
            If an option cannot work, or a file cannot be read.
        """
        if self.task.value != STEPS:
            return self._task_work()
        path = chosen_file("steps", self.steps.value)
        return pipeline_work(read_pipeline(path), path.stem)

    def _task_work(self) -> Work:
        form, task = self._forms[self.task.value], find_task(self.task.value)
        # Sources and not pixels: what belongs to an image is read with that image, in the thread of the job.
        sources = form.array_sources()
        # The noise is read below once, for all images; other files are read for each.
        files = {name: source for name, source in sources.items() if isinstance(source, Path) and name != "noise"}
        arrays: dict[str, Any] = {name: None if name in files else source for name, source in sources.items()}
        if isinstance(arrays.get("noise"), Path):
            arrays["noise"] = read_noise(arrays["noise"])
        return task_work(task, task.options(**form.plain_values(), **arrays), files)

    def _show(self, _event: object = None) -> None:
        """Show the form of the chosen task; one that was shown before keeps its values."""
        name = self.task.value
        if name != STEPS and name not in self._forms:
            # Made when it is chosen first, as each form loads its task.
            self._forms[name] = TaskForm(find_task(name), _none, _none, _none, files=True)
            self.append(self._forms[name].container)
        self.steps.visible = name == STEPS
        for other, form in self._forms.items():
            form.container.visible = other == name


def _none(_widget: object = None) -> list[str]:
    return []  # layers are no options for images in files
