"""Sample page: make new pictures, and check that they are new."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox, Container, PushButton
from numpy.typing import NDArray
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_genrecon.checks.memorisation import Memorisation
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import GenReconError
from napari_genrecon.models.card import ModelCard
from napari_genrecon.models.registry import export_model, import_steps
from napari_genrecon.tasks.sample import SampleOptions, sample_steps
from napari_genrecon.tasks.task import Result
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.widgets.fit import make_primary, text
from napari_genrecon.widgets.form import Form
from napari_genrecon.widgets.generate.memorised import STRANGE, check_steps, pairs, verdict, with_channels
from napari_genrecon.widgets.generate.model_choice import ModelChoice
from napari_genrecon.widgets.jobs.panel import JobPanel, picture_label, show_picture
from napari_genrecon.widgets.layers.places import colour_code, look_at, put_pictures, shows_colours
from napari_genrecon.widgets.pictures import pixmap, sheet
from napari_genrecon.widgets.words import MODEL_FILES

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["SamplePage"]

_SHOWN, _COLUMNS, _WIDTH = 40, 10, 330  # samples shown in the dock, in rows of 10, and the width of all in pixels


class SamplePage(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Page to sample a model into a new layer.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer that gets the layer.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self.on_models: Callable[[str], object] = self._refresh
        self._made: tuple[str, NDArray[Any]] | None = None  # model and pictures that were made last
        self._pairs: tuple[Any, list[str]] | None = None  # layer of a check, and words for each of its slices
        self.form = Form(
            SampleOptions,
            left_out=("model",),
            labels={"n": "how many"},
            defaults={"n": 100},
            advanced=("seed", "truncation", "device"),
        )
        self.sheet = CheckBox(
            text="also as one picture side by side", value=False, tooltip="Adds a second layer, to see all at once"
        )
        self.run = PushButton(text="Make samples", tooltip="Adds a new layer, marked as synthetic")
        make_primary(self.run)
        self.check = PushButton(
            text="Are they new?", tooltip="Puts the nearest training crop beside every sample: does the model copy?"
        )
        self.copy = PushButton(text="Copy as Python", tooltip="Puts the same job as Python code on the clipboard")
        self.import_file = PushButton(text="Import…", tooltip="Adds a model file from another computer")
        self.export_file = PushButton(text="Export…", tooltip="Writes the chosen model as one file")
        buttons = [self.run, self.check, self.import_file, self.export_file]
        # The end of a job enables all buttons, also where there is no model; `choice` is made only below.
        self.panel = JobPanel(buttons, after=lambda: self._model_changed(self.choice.card))
        self.form["seed"].native.setPlaceholderText("empty: new pictures each time")
        self._picture, self._slice = picture_label(), text()
        self._picture.tooltip = f"The first {_SHOWN} of the samples"
        self.choice = ModelChoice(self._model_changed)
        row = Container(widgets=[self.run, self.check, self.copy], layout="horizontal", labels=False)
        files = Container(widgets=[self.import_file, self.export_file], layout="horizontal", labels=False)
        super().__init__(
            widgets=[
                text("New pictures like those a model was trained on. They are synthetic, not data."),
                self.choice, files, self.form.container, self.sheet, row, self.panel, self._slice, self._picture,
            ],
            labels=False,
        )  # fmt: skip
        row.margins = files.margins = (0, 0, 0, 0)
        self.run.changed.connect(self._run)
        self.check.changed.connect(self._check)
        self.copy.changed.connect(self._copy)
        self.import_file.changed.connect(self._import)
        self.export_file.changed.connect(self._export)
        viewer.dims.events.current_step.connect(self._slice_changed)
        self.choice.refresh()

    def _refresh(self, wanted: str) -> None:
        self.choice.refresh(wanted)

    def leave(self) -> None:
        """Drop all jobs, as the window is gone."""
        self._viewer.dims.events.current_step.disconnect(self._slice_changed)
        self.panel.abandon()

    def as_python(self) -> str:
        """Return the calls that make the same layer, as Python code."""
        options, card = self._options(), self.choice.chosen()
        given = "" if options.seed is None else f", seed={options.seed}"
        given += "" if options.truncation == 1 else f", truncation={options.truncation:g}"
        # Dimensions before Y and X: pictures, and channels if the model has several that are no colours.
        rgb = shows_colours(card)
        extra = 2 if card.channels > 1 and not rgb else 1
        scale = (*(1,) * extra, *card.pixel_size)
        units = (*("pixel",) * extra, *card.units)
        return (
            "from napari_genrecon import sample\n"
            f"pictures = sample({options.model!r}, {options.n}{given}){colour_code(card)}\n"
            f"viewer.add_image(pictures, {'rgb=True, ' if rgb else ''}name={card.name + ' synthetic'!r}, "
            f"scale={scale}, units={units}, "
            "metadata={'genrecon': {'nature': 'synthetic'}})"
        )

    # --- models as files ---

    def _import(self, _event: object = None) -> None:
        path, _ = QFileDialog.getOpenFileName(self.native, "Import a model", "", MODEL_FILES)
        if path:
            self.bring(path)

    def bring(self, path: str) -> None:
        """Check a model file and add it to the models."""

        def steps() -> Generator[Progress, None, ModelCard]:
            yield Progress(0, 0, "Checking the file")
            return (yield from import_steps(path))

        def added(card: ModelCard) -> None:
            self.on_models(card.name)
            self.panel.say(f"Added the model '{card.name}'.", "good")

        self.panel.begin(steps, added, title="Import a model")

    def _export(self, _event: object = None) -> None:
        card = self.choice.card
        if card is None:
            return
        path, _ = QFileDialog.getSaveFileName(
            self.native, "Export the model", f"{card.name}.safetensors", "Models (*.safetensors)"
        )
        if not path:
            return

        def steps() -> Generator[Progress, None, None]:
            yield Progress(0, 0, "Writing the file")
            export_model(card.name, path, overwrite=True)  # the dialog has asked

        self.panel.begin(steps, lambda _: self.panel.say(f"Written to {path}.", "good"), title=f"Export '{card.name}'")

    # --- making ---

    def _model_changed(self, card: ModelCard | None) -> None:
        self.form.use([] if card is not None and card.about.truncates else ["truncation"])
        for button in (self.run, self.check, self.export_file):
            button.enabled = card is not None and not self.panel.busy

    def _options(self) -> SampleOptions:
        card = self.choice.chosen()
        values = self.form.values()
        # Its field is hidden, and may hold what was typed for another model.
        if not card.about.truncates:
            values["truncation"] = 1.0
        return SampleOptions(**{**values, "model": card.name})

    def _run(self, _event: object = None) -> None:
        try:
            options, card = self._options(), self.choice.chosen()
        except (GenReconError, ValueError) as error:
            self.panel.complain(error)
            return
        started = time.perf_counter()

        def shown(result: Result) -> None:
            layer, side_by_side = self._add(result, card)
            seed = result.record["options"]["seed"]
            took = f"{time.perf_counter() - started:.1f} s, seed {seed}"
            said = (
                f"New layer '{layer.name}': {len(result.data)} pictures in {took}. Move the slider below the image to "
                "see one after the other."
                if side_by_side is None
                else f"New layers '{layer.name}': {len(result.data)} pictures, one after the other with the slider "
                f"below the image; and beside it '{side_by_side.name}': all at once. Made in {took}."
            )
            beware = "".join(f" Beware: {caution}." for caution in card.cautions)
            self.panel.say(said + beware, "bad" if beware else "good")

        self.panel.begin(lambda: sample_steps(options), shown, title=f"Samples of '{card.name}'")

    def _add(self, result: Result, card: ModelCard) -> tuple[Any, Any]:
        """Add the layer of the pictures, and that of all side by side or None."""
        pictures = result.data
        self._made = (card.name, pictures)
        given = {"replace": False, "helper": False, "metadata": {"genrecon": result.record}}
        layer = put_pictures(self._viewer, card, pictures, f"{card.name} synthetic", "sample", **given)
        above = None
        if self.sheet.value:
            side_by_side = sheet(with_channels(pictures, card), int(np.ceil(np.sqrt(len(pictures)))))
            shown = side_by_side[0] if card.channels == 1 else side_by_side
            above = put_pictures(self._viewer, card, shown, f"{card.name} synthetic, side by side", "c", **given)
        look_at(self._viewer, layer if above is None else above)
        show_picture(self._picture, pixmap(sheet(with_channels(pictures, card)[:_SHOWN], _COLUMNS), _WIDTH))
        return layer, above

    # --- checking ---

    def _check(self, _event: object = None) -> None:
        try:
            options, card = self._options(), self.choice.chosen()
        except (GenReconError, ValueError) as error:
            self.panel.complain(error)
            return
        # Samples of another model would be compared with crops that it has never seen.
        made = self._made[1] if self._made is not None and self._made[0] == card.name else None
        title = f"Check of '{card.name}'"
        self.panel.begin(
            lambda: check_steps(card, options, made), lambda found: self._checked(card, *found), title=title
        )

    def _checked(self, card: ModelCard, samples: NDArray[Any], crops: Dataset, found: Memorisation) -> None:
        # The smallest distance first.
        order = np.argsort(found.ratio)
        picture = pairs(samples, crops, found)[order]
        shown = picture[:, 0] if card.channels == 1 else picture
        name = f"{card.name}: sample | nearest training crop"
        layer = put_pictures(self._viewer, card, shown, name, "sample")
        words = [
            f"Sample {index} (left), nearest training crop (right): distance {found.ratio[index]:.2f} times that of "
            f"real held-out crops{' - too near' if found.ratio[index] < found.near else ''}."
            for index in order
        ]
        self._pairs = (layer, words)
        look_at(self._viewer, layer)
        self._viewer.dims.set_current_step(self._viewer.dims.ndim - layer.ndim, 0)
        look = "bad" if found.warning else "" if np.median(found.ratio) > STRANGE else "good"
        self.panel.say(f"{verdict(found)} Layer '{layer.name}', the nearest first.", look)
        self._slice_changed()

    def _slice_changed(self, _event: object = None) -> None:
        """Show the distance of the pair that is on screen."""
        if self._pairs is None or self._pairs[0] not in self._viewer.layers:
            self._slice.value = ""
            return
        layer, words = self._pairs
        # The dimensions of a layer are the last ones of the viewer.
        step = self._viewer.dims.current_step[self._viewer.dims.ndim - layer.ndim]
        self._slice.value = words[step] if 0 <= step < len(words) else ""

    def _copy(self, _event: object = None) -> None:
        try:
            QApplication.clipboard().setText(self.as_python())
            self.panel.say("Copied: paste it into napari's console or a script.")
        except (GenReconError, ValueError) as error:
            self.panel.complain(error)
