"""Train page: choose crops and a recipe, start; below, the runs and their progress."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from magicgui.widgets import Container, LineEdit, PushButton

from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import GenReconError
from napari_genrecon.options import hints_of
from napari_genrecon.plural import duration
from napari_genrecon.tasks.train import training_data
from napari_genrecon.training import all_options, all_recipes, find_recipe, read_options
from napari_genrecon.training.data.augment import contact_sheet
from napari_genrecon.training.data.dataset import CropOptions, Dataset
from napari_genrecon.training.options import TrainOptions
from napari_genrecon.training.runs.store import Run, start_run
from napari_genrecon.widgets.fit import heading, make_primary, text
from napari_genrecon.widgets.form import Form
from napari_genrecon.widgets.jobs.panel import JobPanel
from napari_genrecon.widgets.layers.choice import chosen_names
from napari_genrecon.widgets.layers.places import look_at, put
from napari_genrecon.widgets.pictures import sheet
from napari_genrecon.widgets.train.crop_source import CropChooser, Source, crop_options
from napari_genrecon.widgets.train.run_view import RunView
from napari_genrecon.widgets.words import about_crops

if TYPE_CHECKING:
    from napari import Viewer

    from napari_genrecon.training.recipe import Recipe

__all__ = ["SHEET", "TrainForms", "TrainPage"]

_OPTIONS = all_options()  # with this module, in a thread: it loads all recipes
SHEET = "crops to train on"
_ROWS, _COLUMNS = 6, 8  # of the sheet of crops: enough to judge them, and its pixels stay visible


class TrainForms:
    """Forms of the options of a training; a part of its page, which is made in two turns of Qt's loop."""

    def __init__(self) -> None:
        self.cutting = Form(CropOptions, left_out=("mode",), advanced=("stride", "n", "seed", "held_out"))
        self.recipe = Form(
            _OPTIONS,
            choices={"kind": [(recipe.title, recipe.name) for recipe in all_recipes()]},
            labels={"kind": "recipe", "minutes": "time"},
            defaults={"minutes": 10.0},
        )


class TrainPage(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Page to train a model on the layers of a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers can be chosen.
    forms : TrainForms
        Forms of its options.
    on_model : callable
        Called when there is a new model, with its name.
    """

    def __init__(self, viewer: Viewer, forms: TrainForms, on_model: Callable[[str], object]) -> None:
        self._viewer, self._named = viewer, False
        self.cutting, self.recipe = forms.cutting, forms.recipe
        self.chooser = CropChooser(viewer)
        self.show_crops = PushButton(text="Show crops", tooltip="Cuts them and shows some, changed as in training")
        self._kind = str(self.recipe["kind"].value)  # whose defaults the forms show
        self._about_data = text()
        self.model_name = LineEdit(label="name", tooltip="Name of the model: letters, digits, '.', '_' and '-'")
        self.start = PushButton(text="Start training", tooltip="In a process of its own: the window stays free")
        make_primary(self.start)
        self.panel = JobPanel([self.show_crops, self.start])
        self.runs = RunView(on_model)
        named = Container(widgets=[self.model_name], labels=True)
        super().__init__(
            widgets=[
                heading("1. Recipe"),
                self.recipe.container,
                heading("2. Dataset"),
                self._about_data, self.chooser, self.cutting.container, self.show_crops,
                named, self.start, self.panel,
                heading("3. Progress"),
                self.runs,
            ],
            labels=False,
        )  # fmt: skip
        for form in (self.cutting.container, self.recipe.container, named):
            form.margins = (0, 0, 0, 0)
        self.show_crops.changed.connect(self._show_crops)
        self.start.changed.connect(self._start)
        self.recipe["kind"].changed.connect(self._recipe_changed)
        self.recipe["minutes"].changed.connect(self._recipe_changed)
        self.chooser.images.changed.connect(self._suggest_name)
        self.model_name.native.textEdited.connect(self._name_typed)
        self.chooser.on_choice = self.panel.forget
        self.recipe["minutes"].native.setDecimals(1)
        self.recipe["minutes"].native.setSuffix(" min")
        self._recipe_changed()

    def leave(self) -> None:
        """Drop all jobs, as the window is gone. Training runs go on."""
        self.chooser.leave()
        self.panel.abandon()
        self.runs.leave()

    # --- what counts ---

    def _recipe_changed(self, _event: object = None) -> None:
        """Show only the options of the chosen recipe, and the training time on the button."""
        kind = self.recipe["kind"].value
        if kind != self._kind:
            before, after = find_recipe(self._kind), find_recipe(kind)
            _take_defaults(self.recipe, before.options(), after.options())
            _take_defaults(self.cutting, before.crops, after.crops)
            self._kind = kind
        self._about_data.value = find_recipe(kind).about_data
        self.chooser.use(find_recipe(kind).needs, channels=not find_recipe(kind).stabilised)
        self.cutting.use([] if find_recipe(kind).kept_3d else ["depth"])
        self.recipe.use([name for name, owners in _recipe_options().items() if kind not in owners])
        self.start.text = f"Start training ({duration(60 * self.recipe['minutes'].value)})"
        self._suggest_name()

    def _suggest_name(self, _event: object = None) -> None:
        if not self._named:
            image = next(iter(chosen_names(self.chooser.images)), "model")
            label = find_recipe(self.recipe["kind"].value).label.lower()
            # The name of a model is also that of its file.
            plain, kind = (re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") for name in (image, label))
            self.model_name.value = f"{plain[:40] or 'model'}-{kind}"

    def _name_typed(self, typed: str) -> None:
        self._named = bool(typed)

    def _job(self) -> tuple[Source, CropOptions, TrainOptions] | None:
        """Return everything that was chosen, or show why it is refused and return None."""
        try:
            source, options = self.chooser.source(), read_options(self.recipe.values())
            return source, crop_options(self.chooser, self._crop_values(find_recipe(options.recipe))), options
        except (GenReconError, ValueError) as error:
            self.panel.complain(error)
            return None

    def _crop_values(self, recipe: Recipe) -> dict[str, Any]:
        values = self.cutting.values()
        return values if recipe.kept_3d else {**values, "depth": None}  # what was typed for another recipe

    # --- buttons ---

    def _show_crops(self, _event: object = None) -> None:
        job = self._job()
        if job is None:
            return
        source, cutting, options = job

        def steps() -> Generator[Progress, None, tuple[Dataset, Any]]:
            yield Progress(0, 0, "Cutting crops")
            crops = training_data(find_recipe(options.recipe), source.images, cutting, source.where)
            yield Progress(0, 0, "Changing some as in training")
            return crops, pairs(crops) if crops.targets is not None else changed_crops(crops, options)

        def shown(found: tuple[Dataset, Any]) -> None:
            crops, picture = found
            layer = self._add_sheet(crops, picture)
            look_at(self._viewer, layer)
            what = "pairs of image and target" if crops.targets is not None else "some, changed as in training"
            self.panel.say(f"{about_crops(crops)} The layer '{layer.name}' shows {what}.")

        self.panel.begin(steps, shown, title="Cut crops")

    def _add_sheet(self, crops: Dataset, picture: Any) -> Any:
        """Add the contact sheet as a layer, with channels as slices."""
        single = len(picture) == 1
        return put(
            self._viewer,
            picture[0] if single else picture,
            SHEET,
            scale=crops.pixel_size if single else (1.0, *crops.pixel_size),
            units=crops.units if single else ("pixel", *crops.units),
            axis_labels=("y", "x") if single else ("c", "y", "x"),
            # Crops whose values are no grey values have no range, see `Dataset`, and targets have one of their own.
            contrast_limits=(min(crops.low), max(crops.high))
            if len(crops.low) and crops.targets is None
            else limits_of(picture),
        )

    def _start(self, _event: object = None) -> None:
        job, name = self._job(), str(self.model_name.value).strip()
        if job is None:
            return
        source, cutting, options = job

        def steps() -> Generator[Progress, None, tuple[Dataset, Run]]:
            yield Progress(0, 0, "Cutting crops")
            crops = training_data(find_recipe(options.recipe), source.images, cutting, source.where)
            yield Progress(0, 0, "Starting the process that trains")
            return crops, start_run(crops, options, name=name)

        def started(found: tuple[Dataset, Run]) -> None:
            crops, run = found
            self.panel.say(f"Started '{run.name}': {about_crops(crops)}")
            self.runs.choose(run)
            self.runs.reveal()

        self.panel.begin(steps, started, title=f"Start training '{name}'")


def changed_crops(crops: Dataset, options: TrainOptions) -> Any:
    """Return a (C, Y, X) sheet of some training crops, changed as these options change them."""
    changes = {name: getattr(options, name) for name in ("flips", "intensity", "elastic")}
    picture = contact_sheet(crops, _ROWS, _COLUMNS, seed=options.seed, **changes)
    return picture[None] if picture.ndim == 2 else np.moveaxis(picture, -1, 0)


def pairs(crops: Dataset) -> Any:
    """Return a (1, Y, X) sheet of some training crops, each with its target on the right.

    It shows the first channel of each, and the middle plane of blocks.
    """
    assert crops.targets is not None
    training = np.flatnonzero(~crops.held_out)
    # Spread evenly, as crops of one image follow each other. A pair takes two places of the sheet.
    chosen = training[np.linspace(0, len(training) - 1, min(_ROWS * _COLUMNS // 2, len(training))).astype(int)]
    parts = [crops.x[chosen, :1], crops.targets[chosen, :1]]
    if crops.depth:
        parts = [part[:, :, crops.depth // 2] for part in parts]
    if crops.low:  # grey values, those of the targets on a scale of their own
        parts = [_from_0_to_1(part) for part in parts]
    both = np.stack(parts, axis=1)  # (N, 2, 1, Y, X)
    return sheet(both.reshape(-1, *both.shape[2:]), _COLUMNS)  # (2 N, 1, Y, X): image, target, image ...


def _from_0_to_1(crops: Any) -> Any:
    low, high = limits_of(crops)
    return (crops - low) / (high - low)


def limits_of(picture: Any) -> tuple[float, float]:
    """Return contrast limits that leave out the darkest and brightest pixels."""
    low, high = np.percentile(picture, [0.5, 99.8])
    return float(low), float(max(high, low + 1e-6))


def _take_defaults(form: Form, before: Any, after: Any) -> None:
    """Change the options that have the defaults of one recipe to those of another; what was typed stays."""
    values = form.plain_values()
    for name in values:
        old, new = getattr(before, name, None), getattr(after, name, None)
        # A value that differs from the default of the recipe before was typed, and stays.
        if values[name] == old and new not in (None, old):
            form[name].value = str(new) if isinstance(form[name], LineEdit) else new
        elif values[name] == old and new is None and isinstance(form[name], LineEdit):
            form[name].value = ""


def _recipe_options() -> dict[str, tuple[str, ...]]:
    """Return the options that not all recipes have, with the names of those that do."""
    # An option's hint is Annotated: its second part holds, beside words for the form, the recipes that have the option.
    found = {name: get_args(hint)[1].get("kind") for name, hint in hints_of(_OPTIONS).items()}
    return {name: kind for name, kind in found.items() if kind}
