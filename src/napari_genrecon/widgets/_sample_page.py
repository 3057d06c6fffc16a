"""The page that makes new pictures, and checks that they are new."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import numpy as np
from magicgui.widgets import CheckBox, Container, PushButton
from numpy.typing import NDArray
from qtpy.QtWidgets import QApplication

from napari_genrecon.checks.memorisation import Memorisation, check_memorisation
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import GenReconError, OptionError
from napari_genrecon.models.card import ModelCard
from napari_genrecon.tasks.result import Result
from napari_genrecon.tasks.sample import SampleOptions, sample_steps
from napari_genrecon.training.crops import Crops
from napari_genrecon.training.runs import find_runs
from napari_genrecon.widgets._form import Form
from napari_genrecon.widgets._job_panel import JobPanel, picture_label, show_picture, text
from napari_genrecon.widgets._model_choice import ModelChoice
from napari_genrecon.widgets._pictures import pixmap, sheet
from napari_genrecon.widgets._places import look_at, put, stack_keywords

__all__ = ["SamplePage", "check_steps", "pairs", "training_crops", "verdict"]

_SHOWN, _COLUMNS, _WIDTH = 40, 10, 330
_STRANGE = 1.5  # ratio of distances from which on samples do not look like data


class SamplePage(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Sample a model into a new layer.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer goes.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._made: tuple[str, NDArray[Any]] | None = None  # model and pictures that were made last
        self._pairs: tuple[Any, list[str]] | None = None  # layer of a check, and words for each of its slices
        self.form = Form(
            SampleOptions, left_out=("model",), labels={"n": "how many"}, defaults={"n": 100}, advanced=("device",)
        )
        self.sheet = CheckBox(text="also as one picture side by side", value=False)
        self.run = PushButton(text="Make samples", tooltip="Adds a new layer, marked as synthetic")
        self.check = PushButton(
            text="Are they new?", tooltip="Puts the nearest training crop beside every sample: does the model copy?"
        )
        self.copy = PushButton(text="Copy as Python", tooltip="Puts the same as Python code on the clipboard")
        self.panel = JobPanel([self.run, self.check])
        self._picture, self._slice = picture_label(), text()
        self.choice = ModelChoice(self._model_changed)
        buttons = Container(widgets=[self.run, self.check, self.copy], layout="horizontal", labels=False)
        super().__init__(
            widgets=[
                text("New pictures like those a model was trained on. They are <b>synthetic</b>: no data."),
                self.choice, self.form.container, self.sheet, buttons, self.panel, self._slice, self._picture,
            ],
            labels=False,
        )  # fmt: skip
        self.form.container.margins = buttons.margins = (0, 0, 0, 0)
        self.run.changed.connect(self._run)
        self.check.changed.connect(self._check)
        self.copy.changed.connect(self._copy)
        viewer.dims.events.current_step.connect(self._slice_changed)
        self.choice.refresh()

    def leave(self) -> None:
        """The window is gone."""
        self._viewer.dims.events.current_step.disconnect(self._slice_changed)
        self.panel.abandon()

    def as_python(self) -> str:
        """The calls that make the same layer."""
        options, card = self._options(), self.choice.chosen()
        given = "" if options.seed is None else f", seed={options.seed}"
        given += "" if options.truncation == 1 else f", truncation={options.truncation:g}"
        extra = 2 if card.channels > 1 else 1
        scale = (*(1,) * extra, *card.pixel_size)
        units = (*("pixel",) * extra, *card.units)
        return (
            "from napari_genrecon import sample\n"
            f"pictures = sample({options.model!r}, {options.n}{given})\n"
            f"viewer.add_image(pictures, name={card.name + ' synthetic'!r}, scale={scale}, units={units}, "
            "metadata={'genrecon': {'nature': 'synthetic'}})"
        )

    # --- making ---

    def _model_changed(self, card: ModelCard | None) -> None:
        self.form.use([] if card is not None and card.kind == "dcgan" else ["truncation"])
        for button in (self.run, self.check):
            button.enabled = card is not None and not self.panel.busy

    def _options(self) -> SampleOptions:
        card = self.choice.chosen()
        values = self.form.values()
        if card.kind != "dcgan":
            values["truncation"] = 1.0
        return SampleOptions(**{**values, "model": card.name})

    def _run(self, _event: Any = None) -> None:
        try:
            options, card = self._options(), self.choice.chosen()
        except (GenReconError, ValueError) as error:
            self.panel.complain(error)
            return
        started = time.perf_counter()

        def shown(result: Result) -> None:
            layer = self._add(result, card)
            seed = result.record["options"]["seed"]
            self.panel.say(
                f"New layer '{layer.name}': {len(result.data)} pictures in {time.perf_counter() - started:.1f} s, "
                f"seed {seed}. Move the slider below the image to see one after the other.",
                "good",
            )

        self.panel.begin(lambda: sample_steps(options), shown)

    def _add(self, result: Result, card: ModelCard) -> Any:
        pictures = result.data
        self._made = (card.name, pictures)
        keywords = stack_keywords(card, pictures, "sample")
        layer = put(
            self._viewer, pictures, f"{card.name} synthetic",
            replace=False, helper=False, metadata={"genrecon": result.record}, **keywords,
        )  # fmt: skip
        if self.sheet.value:
            side_by_side = sheet(_channels(pictures, card), int(np.ceil(np.sqrt(len(pictures)))))
            shown = side_by_side[0] if card.channels == 1 else side_by_side
            more = stack_keywords(card, shown, "c") | {"axis_labels": ("c", "y", "x")[-shown.ndim :]}
            layer = put(
                self._viewer, shown, f"{card.name} synthetic, side by side",
                replace=False, helper=False, metadata={"genrecon": result.record}, **more,
            )  # fmt: skip
        look_at(self._viewer, layer)
        show_picture(self._picture, pixmap(sheet(_channels(pictures, card)[:_SHOWN], _COLUMNS), _WIDTH))
        return layer

    # --- checking ---

    def _check(self, _event: Any = None) -> None:
        try:
            options, card = self._options(), self.choice.chosen()
        except (GenReconError, ValueError) as error:
            self.panel.complain(error)
            return
        made = self._made[1] if self._made is not None and self._made[0] == card.name else None
        self.panel.begin(lambda: check_steps(card, options, made), lambda found: self._checked(card, *found))

    def _checked(self, card: ModelCard, samples: NDArray[Any], crops: Crops, found: Memorisation) -> None:
        order = np.argsort(found.ratio)
        picture = pairs(samples, crops, found)[order]
        shown = picture[:, 0] if card.channels == 1 else picture
        layer = put(
            self._viewer, shown, f"{card.name}: sample | nearest training crop", **stack_keywords(card, shown, "sample")
        )
        words = [
            f"Sample {index} (left), nearest training crop (right): distance {found.ratio[index]:.2f} times that of "
            f"real held-out crops{' - too near' if found.ratio[index] < found.near else ''}."
            for index in order
        ]
        self._pairs = (layer, words)
        look_at(self._viewer, layer)
        self._viewer.dims.set_current_step(self._viewer.dims.ndim - shown.ndim, 0)
        self.panel.say(f"{verdict(found)} Layer '{layer.name}', the nearest first.", "bad" if found.warning else "good")
        self._slice_changed()

    def _slice_changed(self, _event: Any = None) -> None:
        """Say the ratio of the pair that is on screen."""
        if self._pairs is None or self._pairs[0] not in self._viewer.layers:
            self._slice.value = ""
            return
        layer, words = self._pairs
        step = self._viewer.dims.current_step[self._viewer.dims.ndim - layer.ndim]
        self._slice.value = words[step] if 0 <= step < len(words) else ""

    def _copy(self, _event: Any = None) -> None:
        try:
            QApplication.clipboard().setText(self.as_python())
            self.panel.say("Copied: paste it into napari's console or a script.")
        except (GenReconError, ValueError) as error:
            self.panel.complain(error)


def check_steps(
    card: ModelCard, options: SampleOptions, made: NDArray[Any] | None
) -> Generator[Progress, None, tuple[NDArray[Any], Crops, Memorisation]]:
    """Compare samples, made now if there are none, with the crops the model was trained on.

    Raises
    ------
    OptionError
        If those crops are not on this computer.
    """
    yield Progress(0, 0, "Looking for the crops it was trained on")
    crops = training_crops(card)
    samples = made if made is not None else (yield from sample_steps(options)).data
    yield Progress(0, 0, f"Comparing {len(samples)} samples with {len(crops.training)} crops")
    return samples, crops, check_memorisation(_channels(samples, card), crops.training, crops.testing)


def training_crops(card: ModelCard) -> Crops:
    """The crops that a model was trained on, from the run that made it.

    Raises
    ------
    OptionError
        If they are not there.
    """
    runs = find_runs()
    for run in [*(r for r in runs if r.model() == card.name), *(r for r in runs if r.model() != card.name)]:
        try:
            crops = run.crops()
        except GenReconError:  # deleted or damaged: not the crops that are looked for
            continue
        if crops.fingerprint == card.data:
            return crops
    raise OptionError(
        f"the crops that '{card.name}' was trained on are not on this computer, so its samples cannot be compared with "
        "them: this check is for models that you trained here and whose run you kept"
    )


def verdict(found: Memorisation) -> str:
    """What a check found, in words."""
    median = float(np.median(found.ratio))
    if found.warning:
        first = f"{found.warning[:1].upper()}{found.warning[1:]}."
    else:
        first = (
            f"All clear: no sign of copying. {100 * found.copies:.0f} % of {len(found.ratio)} samples are very near to "
            "a training crop (of real cells it would be 1 %)."
        )
    second = f"The median sample is {median:.2f} times as far from its nearest training crop as real held-out crops are"
    return f"{first} {second}{'; it may not look like a cell yet: train for longer.' if median > _STRANGE else '.'}"


def pairs(samples: NDArray[Any], crops: Crops, found: Memorisation) -> NDArray[np.float32]:
    """(N, C, Y, 2 X + 1) each sample, a dark line, its nearest training crop."""
    left = np.asarray(samples, np.float32).reshape(len(samples), *crops.x.shape[1:])
    right = crops.training[found.nearest].astype(np.float32)
    floor = np.broadcast_to(np.asarray(crops.low, np.float32)[None, :, None, None], (*left.shape[:3], 1))
    return np.concatenate([left, floor, right], axis=-1)


def _channels(pictures: NDArray[Any], card: ModelCard) -> NDArray[Any]:
    return pictures if card.channels > 1 else pictures[:, None]
