"""Fields of the options of a task."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, FileEdit, PushButton
from napari.layers import Image, Labels, Points, Shapes

from napari_genrecon.tasks import Task
from napari_genrecon.widgets.form import TaskForm
from napari_genrecon.widgets.layers.snapshot import names_of
from napari_genrecon.widgets.task.only import Only

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["TaskFields"]


class TaskFields:
    """Fields of the options of a task; a part of its page, which is made in two turns of Qt's loop.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers can be chosen.
    task : Task
        The task.

    Attributes
    ----------
    form : TaskForm
        The options, and behind "more options" the following.
    target, live : magicgui widgets
        File that the result is written to, and whether planes are computed as they are looked at.
    bring, teach, give : PushButton
        Import, train and export a model.
    only : Only
        Part of the image that is worked on.
    """

    def __init__(self, viewer: Viewer, task: Task) -> None:
        def named(kinds: Any) -> Any:
            return lambda _widget=None: names_of(viewer, kinds)

        points = task.makes == "points"
        self.target = FileEdit(
            mode="w",
            name="target",
            label="write to",
            filter="CSV (*.csv)" if points else "OME-Zarr, in bounded memory (*.ome.zarr);;OME-TIFF (*.ome.tif)",
            value="",
            tooltip="Write the result to this file while it is made, and show the file; empty keeps it in memory. "
            "Several images need a folder, or {name} in the name of the file, such as "
            + ("{name}_detected.csv" if points else "{name}_denoised.ome.tif"),
        )
        self.bring = PushButton(
            name="bring",
            text="Import a model…",
            tooltip="Adds a model file of yours, or weights of others (safetensors, .pth, .onnx, .zip), whose code is "
            "never run",
        )
        self.teach = PushButton(
            name="teach",
            text="Train a model…",
            tooltip="Opens the dock in which models are trained on your own images; they appear here then",
        )
        self.live = CheckBox(
            name="live",
            label="live, as you scroll",
            value=False,
            tooltip="Add the result at once and compute each plane when you scroll to it",
            visible=task.makes == "image",
        )
        self.give = PushButton(
            name="give",
            text="Export for other programs…",
            tooltip="Writes the model as a package of bioimage.io; a denoiser with the noise of the chosen image",
        )
        # Only images can be computed plane by plane.
        extra: list[Any] = [self.target] if points else [self.live, self.target]
        if "model" in [option.name for option in fields(task.options)]:
            extra += [self.bring, self.give] if task.name in ("denoise", "upscale") else [self.bring]
        # A task without any model is of no use before one is brought or trained: these buttons are not folded away.
        lacks_model = not task.cards()
        extra += [self.teach] if lacks_model else []
        self.form = TaskForm(task, named(Image | Labels | Shapes), named(Image), named(Points), extra=extra)
        for name in ("bring", "teach") if lacks_model else ():
            self.form.keep_in_sight(name)
        # Tasks whose results have other pixels than the image have no option `whole`.
        self.only = Only(viewer, enlarges=not hasattr(task.options(), "whole"))
        self.only.visible = not points
