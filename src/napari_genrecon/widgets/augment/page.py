"""Page of "Augment": choose layers, look at a contact sheet, then add layers or write a folder."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import Container, FloatSlider, PushButton
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import GenReconError
from napari_genrecon.tasks.augment import AugmentOptions, Example
from napari_genrecon.tasks.augment.contact import Contact, contact_steps
from napari_genrecon.tasks.augment.folder import Source, folder_steps, summary
from napari_genrecon.widgets.augment.add_examples import add_examples, example_steps, with_axes
from napari_genrecon.widgets.augment.layer_sources import SourceChooser
from napari_genrecon.widgets.fit import heading, make_primary, text
from napari_genrecon.widgets.form import Form
from napari_genrecon.widgets.jobs.panel import JobPanel
from napari_genrecon.widgets.layers.choice import chosen_names
from napari_genrecon.widgets.layers.places import beside, look_at
from napari_genrecon.widgets.layers.snapshot import NO_IMAGE

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["SHEET", "AugmentPage"]

SHEET = "new images, some"
_ZOOM = 0.65  # of what `look_at` shows around a layer: the sheet is what counts now, and not its surroundings
_MARK = 30  # times that a point fits into the side of a picture of the sheet


class AugmentPage(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Page to make new training images from the layers of a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers can be chosen, and that gets the results.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self.chooser = SourceChooser(viewer)
        self.form = Form(
            AugmentOptions,
            labels={"n": "new images", "gamma": "contrast (gamma)", "elastic": "deformation", "exposure": "new noise"},
            advanced=("blur", "cutout", "seed"),
        )
        self.validation = FloatSlider(
            value=0.2, min=0.0, max=0.5, step=0.05, label="set aside",
            tooltip="Share of the images that goes unchanged into the folder 'validation', to measure a model on",
        )  # fmt: skip
        self.show_sheet = PushButton(text="Contact sheet", tooltip="Shows the first new images side by side")
        make_primary(self.show_sheet)
        self.add = PushButton(text="Add as layers", tooltip="Adds all new images of each layer, marked as synthetic")
        self.save = PushButton(text="Write a folder…", tooltip="OME-TIFF, labels, points as CSV, and manifest.json")
        self.copy = PushButton(text="Copy as Python", tooltip="Puts the same job as Python code on the clipboard")
        self.panel = JobPanel([self.show_sheet, self.add, self.save])
        shown = Container(widgets=[self.show_sheet, self.copy], layout="horizontal", labels=False)
        made = Container(widgets=[self.add, self.save], layout="horizontal", labels=False)
        kept = Container(widgets=[self.validation], labels=True)
        super().__init__(
            widgets=[
                text("New training images from old ones; labels and points move along. They are synthetic, not data."),
                heading("1. Images"), self.chooser,
                heading("2. Changes"), self.form.container, shown,
                heading("3. Make them"), kept, made, self.panel,
            ],
            labels=False,
        )  # fmt: skip
        for row in (self.form.container, shown, made, kept):
            row.margins = (0, 0, 0, 0)
        # What a message says holds for the choice that it was made from.
        self.chooser.changed.connect(self.panel.forget)
        self.form.container.changed.connect(self.panel.forget)
        self.show_sheet.changed.connect(self._show_sheet)
        self.add.changed.connect(self._add)
        self.save.changed.connect(self._save)
        self.copy.changed.connect(self._copy)

    def leave(self) -> None:
        """Drop the job, as the window is gone."""
        self.chooser.leave()
        self.panel.abandon()

    def fill(self, layer: str, options: dict[str, Any]) -> None:
        """Choose an image layer and set options."""
        if layer in self.chooser.images.choices:
            self.chooser.images.value = [layer]
        for name, value in options.items():
            self.form[name].value = value

    def _job(self) -> tuple[list[Source], AugmentOptions] | None:
        """Return what was chosen, or show why it is refused and return None."""
        try:
            options = AugmentOptions(**self.form.values())
            return [with_axes(source, options) for source in self.chooser.sources()], options
        except (GenReconError, ValueError) as error:
            self.panel.complain(error)
            return None

    # --- contact sheet ---

    def _show_sheet(self, _event: object = None) -> None:
        job = self._job()
        if job is None:
            return
        sources, options = job
        self.panel.begin(
            lambda: contact_steps(sources[0], options),
            self._sheet_made(sources[0]),
            title=f"Contact sheet of '{sources[0].name}'",
        )

    def _sheet_made(self, source: Source) -> Callable[[Contact], None]:
        def shown(found: Contact) -> None:
            layer = _put_sheet(self._viewer, found, source)
            low, high = layer.extent.world  # corners of the sheet, in world units
            look_at(self._viewer, layer, side=_ZOOM * float(max((high - low)[-2:])))
            part = "" if found.whole else "the middle of "
            self.panel.say(
                f"Side by side: {part}the first {found.n} new images of '{source.name}'. Are objects still objects, "
                "and labels and points on them? Then make them below."
            )

        return shown

    # --- layers ---

    def _add(self, _event: object = None) -> None:
        job = self._job()
        if job is None:
            return
        sources, options = job
        # Read now, as the layers may be moved while the job runs.
        places = self.chooser.places()

        def steps() -> Generator[Progress, None, list[list[Example]]]:
            found = []
            for source in sources:
                found.append((yield from example_steps(source, options)))
            return found

        def made(found: list[list[Example]]) -> None:
            added = [add_examples(self._viewer, *each) for each in zip(sources, places, found, strict=True)]
            names = ", ".join(f"'{layer.name}'" for layer in added)
            self.panel.say(
                f"New layers: {names}, {options.n} images in each, one after the other with the slider "
                "below the image. They are synthetic.",
                "good",
            )

        self.panel.begin(steps, made, title="Augment")

    # --- folder ---

    def _save(self, _event: object = None) -> None:
        # First of all, so that nobody chooses a folder for a job that is refused.
        if self._job() is None:
            return
        path = QFileDialog.getExistingDirectory(self.native, "Choose an empty folder, or make a new one")
        if path:
            self.write(Path(path))

    def write(self, folder: Path) -> None:
        """Write the new images of all chosen layers into a folder."""
        # All is read now, as the widgets may change while the job runs.
        job, validation = self._job(), float(self.validation.value)
        if job is None:
            return
        sources, options = job

        def written(manifest: dict[str, Any]) -> None:
            notes = "".join(f" {note[0].upper()}{note[1:]}." for note in manifest["notes"])
            self.panel.say(f"Written to {folder}: {summary(manifest)}.{notes}", "good")

        self.panel.begin(
            lambda: folder_steps(sources, folder, options, validation=validation), written, title=f"Write {folder.name}"
        )

    # --- Python ---

    def _copy(self, _event: object = None) -> None:
        if self._job() is not None:
            QApplication.clipboard().setText(self.as_python())
            self.panel.say("Copied: paste it into napari's console or a script.")

    def as_python(self) -> str:
        """Return the calls that make the same layers, as Python code."""
        options, defaults = asdict(AugmentOptions(**self.form.values())), asdict(AugmentOptions())
        given = [f"{name}={value!r}" for name, value in options.items() if value != defaults[name]]
        lists = {"labels": self.chooser.label_layers, "points": self.chooser.point_layers}
        others = {kind: chosen_names(chooser) for kind, chooser in lists.items()}
        lines = ["from napari_genrecon.widgets import add_augmented", ""]
        for index, image in enumerate(chosen_names(self.chooser.images)):
            layers = [f"viewer.layers[{image!r}]"]
            layers += [
                f"{kind}=viewer.layers[{names[index]!r}]" for kind, names in others.items() if index < len(names)
            ]
            lines.append(f"add_augmented(viewer, {', '.join([*layers, *given])})")
        return "\n".join(lines)


def _put_sheet(viewer: Viewer, found: Contact, source: Source) -> Any:
    """Add the contact sheet with its labels and points beside the other layers, in place of an earlier one."""
    # Only layers that are marked as ours: a layer of the user may have the same name.
    for name in (f"{SHEET}: points", f"{SHEET}: labels", SHEET):
        if name in viewer.layers and NO_IMAGE in viewer.layers[name].metadata:
            viewer.layers.remove(viewer.layers[name])
    axes, about = source.about.axes, source.about.filled()
    place: dict[str, Any] = {
        "scale": tuple(about.scale[i] for i in (axes.y, axes.x)),
        "units": tuple(about.units[i] for i in (axes.y, axes.x)),
        "translate": beside(viewer)[:2],  # Y and X
        "metadata": {NO_IMAGE: True},
    }
    # Axes before Y and X, such as channels; labels and points of the sheet have none.
    extra = found.image.ndim - 2 if not axes.rgb else 0
    limits = {} if axes.rgb else {"contrast_limits": _limits(found.image)}
    layer = viewer.add_image(found.image, name=SHEET, rgb=axes.rgb, **limits, **_with_extra(place, extra))
    if found.labels is not None:
        viewer.add_labels(found.labels, name=f"{SHEET}: labels", opacity=0.35, **place)
    if found.points is not None and len(found.points):
        viewer.add_points(
            found.points, name=f"{SHEET}: points", size=max(3, found.side // _MARK), face_color="yellow", **place
        )
    # napari activates what was added last; the sheet is what is looked at, and not its points.
    viewer.layers.selection.active = layer
    return layer


def _limits(image: Any) -> tuple[float, float]:
    """Return contrast limits that a few hot pixels do not set."""
    low, high = np.nanpercentile(image, [0.5, 99.8])
    return (float(low), float(high)) if low < high else (float(low), float(low) + 1)


def _with_extra(place: dict[str, Any], n: int) -> dict[str, Any]:
    return {
        **place,
        "scale": (*(1.0,) * n, *place["scale"]),
        "units": (*("pixel",) * n, *place["units"]),
        "translate": (*(0.0,) * n, *place["translate"]),
    }
