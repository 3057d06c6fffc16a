"""Controls of a task widget and their layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container, ProgressBar, PushButton, Select
from napari.layers import Image
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut

from napari_genrecon.tasks import Task
from napari_genrecon.tasks.files import array_options
from napari_genrecon.widgets.compare.split_layer import VIEWS
from napari_genrecon.widgets.fit import list_of_layers, make_primary, scrolled, side_by_side, text
from napari_genrecon.widgets.layers.choice import LayerChoice
from napari_genrecon.widgets.layers.snapshot import names_of
from napari_genrecon.widgets.task.details import Details
from napari_genrecon.widgets.task.fields import TaskFields

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["TaskControls"]

_WIDTH = 310  # pixels of the options; rows of buttons may need more
_LINES = 8  # of messages before they scroll: more would push the options out of a low dock
_NAMED = 3  # chosen images that are named: more would take more lines than the list
RUN_KEYS, PREVIEW_KEYS = "Ctrl+Return", "Ctrl+Shift+Return"
_NAME = 36  # characters of a name: as many as fit into a line of the narrowest dock
_ROWS = 4  # of the list of images before it scrolls


def _short(name: str) -> str:
    """Return the start and the end of a long name, as the list does."""
    half = _NAME // 2
    return name if len(name) <= _NAME else f"{name[:half].rstrip()}…{name[-half:].lstrip()}"


class TaskControls(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Choice of layers, options and buttons of a task, without their actions.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers can be chosen.
    task : Task
        The task.
    fields : TaskFields
        Fields of its options.
    """

    def __init__(self, viewer: Viewer, task: Task, fields: TaskFields) -> None:
        self._viewer, self._task = viewer, task
        self._layers = Select(
            label="images", choices=self._images, tooltip="Images to work on: each gets a result of its own"
        )
        self._said_images = text()
        self._details = Details()
        self._report, self._verdict = self._details.report, self._details.verdict
        self._target, self._live, self._only, self._form = fields.target, fields.live, fields.only, fields.form
        self._bring, self._teach, self._give = fields.bring, fields.teach, fields.give
        self._choosers = [
            LayerChoice(each, viewer.layers) for each in (self._layers, *self._form.choosers, self._only.part)
        ]
        self._make_buttons()
        self._progress = ProgressBar(value=0, min=0, max=100, visible=False)
        self._status = text(most=_LINES)
        self._page = Container(
            widgets=[
                self._said_images,
                self._layers,
                self._details,
                self._only,
                self._new_mask,
                self._form.container,
            ],
            labels=False,
        )
        self._fit_list = list_of_layers(self._layers, _ROWS)
        self._name_for_screen_readers()
        main = side_by_side(self._run, self._preview)
        main.native.layout().setStretch(0, 2)
        main.native.layout().setStretch(1, 1)
        below = side_by_side(self._view, self._compare, self._cancel)
        below.native.layout().insertStretch(2, 1)  # alone, Cancel would be larger than the main button
        super().__init__(
            widgets=[
                main,
                below,
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
        self._layers.changed.connect(self._say_images)
        self._say_images()
        # The keys click the button, so they do nothing while it is disabled.
        for keys, button in ((RUN_KEYS, self._run), (PREVIEW_KEYS, self._preview)):
            QShortcut(QKeySequence(keys), self.native).activated.connect(button.native.click)

    def _name_for_screen_readers(self) -> None:
        """Name what has no label: screen readers say these names."""
        names = {
            "chosen images": self._said_images,
            "images": self._layers,
            "noise": self._verdict,
            "noise in detail": self._report,
            "view of the preview": self._view,
            "message": self._status,
        }
        for name, widget in names.items():
            widget.native.setAccessibleName(name)

    def _make_buttons(self) -> None:
        self._new_mask = PushButton(
            text="Draw a mask",
            visible="mask" in array_options(self._task),
            tooltip="Adds a Labels layer on the image, takes it as the mask, and begins to paint",
        )
        self._preview = PushButton(
            text="Preview",
            tooltip=f"Shows what the task makes of the part of the plane on screen ({PREVIEW_KEYS})",
            visible=self._task.makes == "image" and self._task.alike,
        )
        self._view = ComboBox(
            choices=VIEWS, visible=False, tooltip="split: left of the line before, right of it after; drag the line"
        )
        self._compare = PushButton(
            text="Compare",
            visible=False,
            tooltip="Shows the result beside its image: split by a line, differences, lines",
        )
        self._run = PushButton(
            text=self._task.title, tooltip=f"Makes a new layer; the image itself is not changed ({RUN_KEYS})"
        )
        make_primary(self._run)
        self._cancel = PushButton(text="Cancel", enabled=False, tooltip="Ends after the step that is computed now")
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
        return names_of(self._viewer, Image)

    def _chosen(self) -> list[Any]:
        """Return the chosen layers, in the order of the list of layers."""
        return [layer for layer in self._viewer.layers if layer.name in self._layers.value]

    def _say_images(self, _event: object = None) -> None:
        """Name the chosen images, which the list shows only where it is scrolled to them."""
        chosen, n = self._layers.value, len(self._layers.choices)
        names = [name for name in self._layers.choices if name in chosen]  # not in the order of the clicks
        shown = ", ".join(map(_short, names[:_NAMED])) + (
            f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        )
        which = "Image" if len(names) == 1 else f"{len(names)} of {n} images"
        self._said_images.value = f"{which}: {shown}" if names else "Choose images:" if n else "No image is open."

    def _chosen_target(self) -> Path | None:
        typed = str(self._target.value)
        # The path of an empty field is ".".
        return None if typed in ("", ".") else Path(typed)

    def reset_choices(self, *_: Any) -> None:
        """Update the choices of layers; napari calls this on docked widgets."""
        for choice in self._choosers:
            choice.reset()
        self._fit_list()
        self._say_images()
        self.refresh_models()

    def refresh_models(self) -> None:
        """Update the choice of models, to which a training may have added one."""
        self._form.refresh_models()
