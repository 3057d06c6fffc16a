"""Classify page: choose objects, give classes by key, learn, follow suggestions, keep the model."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, Container, LineEdit, PushButton
from napari.layers import Labels, Points
from napari.layers.base import ActionType

from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import GenReconError, OptionError
from napari_genrecon.models import list_models
from napari_genrecon.options import hints_of
from napari_genrecon.recognition.saved import load_classifier
from napari_genrecon.tasks.classify.labelling import Labelling, labelling_steps
from napari_genrecon.tasks.classify.network import NEEDED
from napari_genrecon.tasks.classify.options import ClassifyOptions
from napari_genrecon.tasks.classify.result import Classification, learn_steps, predict_steps
from napari_genrecon.widgets.classify.classes import MOST, ClassList
from napari_genrecon.widgets.classify.objects import is_over, object_at
from napari_genrecon.widgets.classify.report import ConfusionTable
from napari_genrecon.widgets.classify.source import facts_of, fingerprint
from napari_genrecon.widgets.classify.store import COLOUR_BY, Store
from napari_genrecon.widgets.classify.target import Target
from napari_genrecon.widgets.fit import heading, make_primary, text
from napari_genrecon.widgets.form import Form
from napari_genrecon.widgets.jobs.panel import JobPanel
from napari_genrecon.widgets.train.crop_source import CropChooser

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["ClassifyPage"]

_LEAST = 2  # labels of each class: cross-validation needs one to learn from and one to test
_CHANGES = (ActionType.ADDED, ActionType.REMOVED, ActionType.CHANGED)  # of points, when they are done
_CHANGED = "The objects have changed: press Classify to learn again."
_KEYS = (
    "Put the mouse over an object and press the key of its class, or 0 to take it away; Ctrl+Z undoes that. Label ten "
    "of each class."
)


class ClassifyPage(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Page to classify the objects of a Labels or Points layer.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers can be chosen.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._store: Store | None = None
        self._labelling: tuple[Any, Labelling] | None = None  # with what it was made from
        self._found: Classification | None = None
        self._again = False  # learn again when the job that runs has ended
        self._then: Callable[[], object] | None = None  # what to do with the next result
        self.target = Target(viewer)
        self.chooser = CropChooser(viewer)
        self.chooser.only_objects()
        self.form = Form(ClassifyOptions, left_out=("network",), advanced=("size", "seed", "device"))
        self.classes = ClassList(self._classes_changed)
        self.keys = CheckBox(value=True, text="keys give classes", tooltip="Or leave these keys to the tools of napari")
        self.next = PushButton(text="Label this next", tooltip="Go to the object whose class would help most")
        self.run = PushButton(text="Classify", tooltip="Learn from your labels, and classify all objects")
        make_primary(self.run)
        self.follow = CheckBox(
            value=True,
            text="learn again after every label",
            tooltip="Classes are then always those of all your labels; without, press Classify",
        )
        about = hints_of(ClassifyOptions)["network"].__metadata__[0]
        self.network = CheckBox(value=False, text=about["label"], tooltip=about["tooltip"])
        self.colour = ComboBox(
            label="colour by", choices=COLOUR_BY, value="class", tooltip="What the colours of the objects show"
        )
        self.table, self.verdict = ConfusionTable(), text()
        self.model_name = LineEdit(label="name", tooltip="Letters, digits, '.', '_' and '-'")
        self.save = PushButton(
            text="Keep the model", enabled=False, tooltip="Puts what was learnt into the list below, for other images"
        )
        self.model = ComboBox(label="model", choices=self._models, tooltip="Models that you kept")
        self.use = PushButton(text="Classify with it", tooltip="No labels are needed")
        self.panel = JobPanel([self.next, self.run, self.use], after=self._job_ended)
        boxes = [Container(widgets=[widget], labels=True) for widget in (self.colour, self.model_name, self.model)]
        for box in (*boxes, self.form.container):
            box.margins = (0, 0, 0, 0)
        super().__init__(
            widgets=[
                heading("1. Objects"), self.chooser, self.form.container,
                heading("2. Classes"), text(_KEYS), self.keys,
                heading("3. Learn"), self.next, self.run, self.follow, self.network, self.panel, boxes[0], self.verdict,
                heading("4. Keep, and use on other images"), boxes[1], self.save, boxes[2], self.use,
            ],
            labels=False,
        )  # fmt: skip
        # Qt widgets among those of magicgui: its containers do not take them.
        layout = self.native.layout()
        layout.insertWidget(layout.indexOf(self.keys.native), self.classes)
        layout.insertWidget(layout.indexOf(self.verdict.native) + 1, self.table)
        self.chooser.on_choice = self._forget
        self.next.changed.connect(self._next)
        self.run.changed.connect(self._learn)
        self.use.changed.connect(self._use)
        self.save.changed.connect(self._save)
        self.colour.changed.connect(self._paint)
        viewer.layers.events.removed.connect(self._layer_removed)

    def leave(self) -> None:
        """Drop all jobs, as the window is gone."""
        self.chooser.leave()
        self.panel.abandon()
        self._viewer.layers.events.removed.disconnect(self._layer_removed)
        self._store = None  # the layers may outlive the page, and tell it of their points

    # --- the choice of layers ---

    @property
    def store(self) -> Store:
        """Given classes of the objects that are chosen now.

        Raises
        ------
        OptionError
            If no objects are chosen.
        """
        layers = [objects for _, objects in self.chooser.pairs()]
        if not layers:
            raise OptionError("choose an image layer, and the Labels or Points layer of its objects, first")
        shared = [layer for index, layer in enumerate(layers) if layer in layers[:index]]
        if shared:
            raise OptionError(
                f"'{shared[0].name}' is chosen for several images: choose a layer of objects for each, or tick "
                "that they are channels of one image"
            )
        # Made when it is used first, and again when other layers are chosen.
        if self._store is None or self._store.layers != layers:
            self._forget()
            self._store = Store(layers)
            for layer in layers:
                if isinstance(layer, Points):
                    layer.events.data.connect(self._points_changed)  # connecting twice does nothing
                else:
                    layer.events.paint.connect(self._painted)
            self.chooser.following = False  # a click on another image is to look at it, no other choice
            self._store.read(self.classes.names)
            self.classes.set_names(self._store.names)
        return self._store

    def _forget(self) -> None:
        """Let go of what belongs to other layers."""
        if self._store is not None:
            self._store.restore()
        self._store = self._found = self._labelling = None
        self.target.clear()
        self._show(None)
        self.panel.forget()

    def _points_changed(self, event: Any) -> None:
        """Take up what is given to the points that are there now, and drop what was found before."""
        if self._store is None or event.source not in self._store.layers or event.action not in _CHANGES:
            return
        added = event.data_indices if event.action == ActionType.ADDED else ()
        self._store, self._found = self._store.read_again(event.source, added), None
        self.target.clear()
        self._show(None)
        self.classes.show_counts(self._store.counts())
        if not self.panel.busy:
            self.panel.say(_CHANGED)

    def _painted(self, event: Any) -> None:
        """Leave Ctrl+Z to napari, as labels were edited last."""
        if self._store is not None and event.source in self._store.layers:
            self._store.before.clear()

    def _layer_removed(self, event: Any) -> None:
        if self._store is not None and event.value in self._store.layers:
            self._forget()

    # --- classes ---

    def press(self, key: int) -> None:
        """Give the object that is meant the class of a key; 0 takes its class away."""
        try:
            store = self.store
            if key > len(store.names):
                raise OptionError(f"there is no class {key}: the list has {len(store.names)}")
            store.set(self._meant(store), key - 1 if key else None)
        except GenReconError as error:
            self.panel.complain(error)
            return
        self._given(store)

    def undo(self) -> None:
        """Take back the last class that was given or taken away by key; without one, napari's last edit of labels."""
        active = self._viewer.layers.selection.active
        if self._store is not None and self._store.before:
            self.panel.say(self._store.undo())
            self._given(self._store)
        elif isinstance(active, Labels):
            active.undo()

    def _given(self, store: Store) -> None:
        """Show the classes that are given now, and learn from them."""
        store.write_given()
        store.colour(self.colour.value, self._found)
        self.classes.show_counts(store.counts())
        # Before it is cleared: whoever follows suggestions gets the next one after each label.
        suggested = self.target.key is not None
        self.target.clear()
        # Not before the objects are described, which takes long and which the user starts by a button.
        if self._labelling is not None and self.follow.value and self._learnable():
            self._learn(then=self._next if suggested else None)
        elif suggested:
            self._next()

    def _meant(self, store: Store) -> tuple[int, int]:
        """Return the object under the mouse or, unless the mouse has moved to one, the object that was suggested."""
        moved = self.target.mouse_moved()
        if self.target.key is not None and not moved:
            return self.target.key
        if self._viewer.dims.ndisplay == 3:
            raise OptionError("objects are labelled plane by plane: switch to the 2D view first")
        # napari keeps the place where the mouse was last, even if it left the canvas or the camera moved since.
        if self._viewer.mouse_over_canvas and moved and (found := self._pointed_at(store)):
            return found
        if self.target.key is not None:
            return self.target.key
        raise OptionError("there is no object under the mouse: move it over one, and press the key again")

    def _pointed_at(self, store: Store) -> tuple[int, int] | None:
        """Return the object under the mouse that is seen: an image covers the objects of the images below it."""
        pairs, layers = self.chooser.pairs(), self._viewer.layers
        for index in sorted(range(len(pairs)), key=lambda i: layers.index(pairs[i][0]), reverse=True):
            image, objects = pairs[index][0], store.layers[index]
            if objects.visible and (number := object_at(objects, self._viewer)):
                return index, number
            if image.visible and is_over(image, self._viewer):
                return None
        return None

    def _classes_changed(self) -> None:
        if self._store is not None:
            self._store.rename(self.classes.names)
            self.classes.show_counts(self._store.counts())

    def _learnable(self) -> bool:
        counts = [count for count in self.store.counts() if count]
        return len(counts) >= 2 and min(counts) >= _LEAST

    # --- jobs ---

    def _described(self, model: Any = None) -> Callable[[], Generator[Progress, None, Labelling]]:
        """Return steps that describe the objects, or that return at once what is known of them."""
        # The widgets are read here, in the thread of the window; the steps run in another one.
        source, options = self.chooser.source(), ClassifyOptions(**self.form.values())
        # All that the features depend on: descriptions are kept for as long as this stays the same.
        made_from = (fingerprint(source), options.size, model.card.name if model is not None else "")

        def steps() -> Generator[Progress, None, Labelling]:
            if self._labelling is not None and self._labelling[0] == made_from:
                return self._labelling[1]
            facts = {"size": None if model else options.size, "device": options.device}
            found = yield from labelling_steps(source.images, **facts_of(source), **facts, model=model)
            self._labelling = (made_from, found)
            return found

        return steps

    def _learn(self, _event: object = None, then: Callable[[], object] | None = None) -> None:
        if self.panel.busy:
            # A label given while it learns is not lost: it learns once more when the job has ended.
            self._again, self._then = True, then or self._then
            return
        try:
            network = bool(self.network.value) and _event is not None  # not after every label
            options = ClassifyOptions(**self.form.values(), network=network)
            store, described = self.store, self._described()
        except GenReconError as error:
            self.panel.complain(error)
            return
        # Copies, as labels are given while the job runs.
        given, names = dict(store.classes), list(store.names)
        used = [c for c, count in enumerate(store.counts()) if count]  # a class may have no label yet

        def steps() -> Generator[Progress, None, Classification]:
            labelling = yield from described()
            # Numbers among the classes that have labels; -1 for objects without.
            table = np.array([used.index(c) if c >= 0 else -1 for c in labelling.given(given)], np.int64)
            return (yield from learn_steps(labelling.objects, table, [names[c] for c in used], options))

        self._begin(steps, store, then, "Classify objects")

    def _use(self, _event: object = None) -> None:
        """Classify with a model that was kept."""
        try:
            if not self.model.value:
                raise OptionError("there is no model yet: keep one first")
            store, model = self.store, load_classifier(self.model.value)
            described, device = self._described(model), str(self.form["device"].value)
        except GenReconError as error:
            self.panel.complain(error)
            return
        # Labels would change their meaning with other names, so that these are shown only where there are none.
        if not store.classes:
            self.classes.set_names(list(model.classifier.classes)[:MOST])

        def steps() -> Generator[Progress, None, Classification]:
            labelling = yield from described()
            return (yield from predict_steps(labelling.objects, model, device=device))

        self._begin(steps, store, None, "Classify objects")

    def _begin(self, steps: Any, store: Store, then: Callable[[], object] | None, title: str) -> None:
        self._then = then

        def done(found: Classification) -> None:
            if self._store is not store:
                self.panel.say(_CHANGED)
                return
            self._found = found
            store.write_result(found)
            self._paint()
            self._show(found)
            self.panel.say(_summary(found))
            if self._then is not None and not self.panel.busy:  # else it learns again, and the result of that counts
                then, self._then = self._then, None
                then()

        self.panel.begin(steps, done, title=title)

    def _next(self, _event: object = None) -> None:
        """Go to the object that is most useful to label."""
        try:
            store, described = self.store, self._described()
        except GenReconError as error:
            self.panel.complain(error)
            return
        self.panel.begin(described, lambda labelling: self._go(store, labelling), title="Find what to label")

    def _go(self, store: Store, labelling: Labelling) -> None:
        if self._store is not store:
            self.panel.say(_CHANGED)
            return
        found = self._found
        # A result of other objects says nothing of these.
        margin = found.margin if found is not None and len(found) == len(labelling.objects) else None
        row = labelling.next(store.classes, margin)
        if row is None:
            self.panel.say("All objects have a class.", "good")
            return
        objects = labelling.objects
        index, number = int(objects.image[row]), int(objects.label[row])
        pairs = self.chooser.pairs()
        for other, layers in enumerate(pairs):
            # With several images, only the one of the object is shown; a single one is left as the user has it.
            for layer in layers if len(pairs) > 1 else ():
                layer.visible = other == index
        self.target.go((index, number), pairs[index][0], objects.place[row].tolist(), objects.setting.side)
        guess = ""
        if found is not None and margin is not None:
            guess = f" Now {found.classes[found.predicted[row]]} ({found.probability[row]:.0%})."
        self.panel.say(f"Number {number} of '{pairs[index][1].name}': press the key of its class.{guess}")

    def _job_ended(self) -> None:
        self.save.enabled = self._found is not None and self._found.scores is not None
        if self._again:
            self._again = False  # before learning begins, which may ask for one more round
            self._learn(then=self._then)

    # --- results ---

    def _paint(self, _event: object = None) -> None:
        if self._store is not None:
            self._store.colour(self.colour.value, self._found)

    def _show(self, found: Classification | None) -> None:
        scores = found.scores if found is not None else None
        self.table.show_scores(scores)
        self.verdict.value = "" if found is None or scores is None else f"{scores.verdict}{_offer(found)}"
        self.save.enabled = scores is not None

    def _save(self, _event: object = None) -> None:
        name = str(self.model_name.value).strip()
        try:
            if self._found is None:
                raise OptionError("there is no model yet: press 'Classify' first")
            self._found.save(name)
        except GenReconError as error:
            self.panel.complain(error)
            return
        self.model.reset_choices()
        self.model.value = name
        self.panel.say(f"Kept as '{name}'. On other images: choose their layers, and press 'Classify with it'.", "good")

    def _models(self, _widget: object = None) -> list[tuple[str, str]]:
        return [(card.name, card.name) for card in list_models("classify")]


def _offer(found: Classification) -> str:
    """Offer a network where there are labels enough for one."""
    counts = np.bincount(found.given[found.given >= 0])
    if found.about_network or counts.min() < NEEDED or (found.scores and found.scores.balanced_accuracy == 1):
        return ""
    return " With so many labels a network of your own may do better: tick 'train a network, too', and press Classify."


def _summary(found: Classification) -> str:
    counts = np.bincount(found.predicted, minlength=len(found.classes))
    parts = [f"{count} {name}" for name, count in zip(found.classes, counts, strict=True)]
    notes = "".join(f" {note[:1].upper()}{note[1:]}." for note in found.notes)
    return f"{', '.join(parts)}. They are in the features table.{notes}"
