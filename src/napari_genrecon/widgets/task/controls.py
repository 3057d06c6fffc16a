"""Controls of a task widget and their layout."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Container, FileEdit, ProgressBar, PushButton, Select
from napari.layers import Image, Labels, Points, Shapes

from napari_genrecon.tasks import Task
from napari_genrecon.widgets.fit import list_of_layers, make_primary, scrolled, side_by_side, text
from napari_genrecon.widgets.form import TaskForm
from napari_genrecon.widgets.layers.choice import LayerChoice
from napari_genrecon.widgets.layers.snapshot import is_no_image
from napari_genrecon.widgets.task.details import Details
from napari_genrecon.widgets.task.preview import VIEWS

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["TaskControls"]

_WIDTH = 310  # pixels of the options; rows of buttons may need more
_LINES = 8  # of messages before they scroll: more would push the options out of a low dock
_ROWS = 4  # of the list of images before it scrolls


class TaskControls(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Choice of layers, options and buttons of a task, without their actions.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers can be chosen.
    task : Task
        The task.
    """

    def __init__(self, viewer: Viewer, task: Task) -> None:
        self._viewer, self._task = viewer, task
        self._layers = Select(label="images", choices=self._images, tooltip="One or several image layers")
        self._details = Details()
        self._report, self._verdict = self._details.report, self._details.verdict
        points = task.makes == "points"
        self._target = FileEdit(
            mode="w",
            name="target",
            label="write to",
            filter="CSV (*.csv)" if points else "OME-Zarr, in bounded memory (*.ome.zarr);;OME-TIFF (*.ome.tif)",
            value="",
            tooltip="Write the result to this file while it is made, and show the file; empty keeps it in memory. "
            "Several images need a folder, or {name} in the name of the file, such as "
            + ("{name}_detected.csv" if points else "{name}_denoised.ome.tif"),
        )
        self._bring = PushButton(
            name="bring",
            text="Import a model…",
            tooltip="Adds a model file of yours, or weights of others (safetensors, .pth), of which nothing is run",
        )
        self._give = PushButton(
            name="give",
            text="Export for other programs…",
            tooltip="Writes the model as a package of bioimage.io; a denoiser with the noise of the chosen image",
        )
        extra: list[Any] = [self._target]
        if "model" in [option.name for option in fields(task.options)]:
            extra += [self._bring, self._give] if task.name in ("denoise", "upscale") else [self._bring]
        self._form = TaskForm(task, self._masks, self._images, self._points, extra=extra)
        self._choosers = [LayerChoice(each, viewer.layers) for each in (self._layers, *self._form.choosers)]
        self._make_buttons()
        self._progress = ProgressBar(value=0, min=0, max=100, visible=False)
        self._status = text(most=_LINES)
        self._page = Container(widgets=[self._layers, self._details, self._form.container], labels=False)
        self._fit_list = list_of_layers(self._layers, _ROWS)
        main = side_by_side(self._run, self._preview)
        main.native.layout().setStretch(0, 2)
        main.native.layout().setStretch(1, 1)
        super().__init__(
            widgets=[
                main,
                side_by_side(self._view, self._live, self._cancel),
                self._progress,
                self._status,
                side_by_side(self._check, self._copy, self._methods),
            ],
            labels=False,
        )
        area = scrolled(self._page.native)
        area.setMinimumWidth(_WIDTH)
        self.native.layout().insertWidget(0, area, 1)  # the buttons stay in sight below it
        self._page.margins = (0, 0, 0, 0)
        self._page.native.layout().addStretch(1)  # room that is not needed stays below

    def _make_buttons(self) -> None:
        self._preview = PushButton(
            text="Preview",
            tooltip="Shows what the task makes of the part of the plane on screen",
            visible=self._task.makes == "image",
        )
        self._view = ComboBox(
            choices=VIEWS, visible=False, tooltip="split: left of the line before, right of it after; drag the line"
        )
        self._run = PushButton(text=self._task.title, tooltip="Makes a new layer; the image itself is not changed")
        make_primary(self._run)
        self._cancel = PushButton(text="Cancel", enabled=False)
        self._live = CheckBox(
            text="live",
            value=False,
            tooltip="Add the result at once and compute each plane when you scroll to it",
            visible=self._task.makes == "image",
        )
        self._copy = PushButton(text="Copy as Python", tooltip="Puts the same job as Python code on the clipboard")
        self._methods = PushButton(
            text="Copy methods text", tooltip="Puts the sentences for a paper about the result on the clipboard"
        )
        self._check = PushButton(
            text="Check result",
            visible=self._task.name == "denoise",
            tooltip="Compares the selected result with its image: isolated changes, blur, lost light",
        )

    def _images(self, _widget: object = None) -> list[str]:
        return self._named(Image)

    def _masks(self, _widget: object = None) -> list[str]:
        return self._named(Image | Labels | Shapes)

    def _points(self, _widget: object = None) -> list[str]:
        return self._named(Points)

    def _named(self, kinds: Any) -> list[str]:
        return [layer.name for layer in self._viewer.layers if isinstance(layer, kinds) and not is_no_image(layer)]

    def _chosen(self) -> list[Any]:
        """Return the chosen layers, in the order of the list of layers."""
        return [layer for layer in self._viewer.layers if layer.name in self._layers.value]

    def _chosen_target(self) -> Path | None:
        typed = str(self._target.value)
        return None if typed in ("", ".") else Path(typed)

    def reset_choices(self, *_: Any) -> None:
        """Update the choices of layers; napari calls this on docked widgets."""
        for choice in self._choosers:
            choice.reset()
        self._fit_list()
        self.refresh_models()

    def refresh_models(self) -> None:
        """Update the choice of models, to which a training may have added one."""
        self._form.refresh_models()
