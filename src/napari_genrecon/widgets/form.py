"""Form with a widget for every option of an options dataclass.

Seldom needed options are folded away behind "more options". One that is not at its default stays in sight, so that
nothing acts unseen.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from magicgui.widgets import CheckBox, Container, LineEdit, create_widget
from magicgui.widgets.bases import ValueWidget

from napari_genrecon.errors import OptionError
from napari_genrecon.models import known_devices
from napari_genrecon.models.registry import BUNDLED
from napari_genrecon.options import hints_of
from napari_genrecon.tasks import Task
from napari_genrecon.widgets.layers.arrays import ArrayField, Names, Other, PsfField
from napari_genrecon.widgets.layers.noise_field import NoiseField
from napari_genrecon.widgets.preferences import preferences
from napari_genrecon.widgets.words import CHOICE_WORDS, DAMAGE, LABELS

__all__ = ["Form", "TaskForm", "Ticks"]

_LONGEST_SLIDER = 100  # range of a slider; a wider one would be too coarse to set and gets a number field

Choices = Mapping[str, Sequence[Any]]


class Form:
    """Form with one widget per option, in the order of the dataclass.

    Parameters
    ----------
    options : type
        The dataclass.
    choices : mapping
        Choices by the option's name, or by the word that stands for them in the dataclass: values, or pairs of the text
        that is shown and the value.
    defaults : mapping
        Defaults that replace those of the dataclass.
    labels : mapping
        Labels that replace the names of the options.
    arrays : mapping
        Names of the layers that can be chosen, by the kind of array that an option is, or "noise".
    left_out : sequence of str
        Options that have their widget elsewhere.
    advanced : sequence of str
        Further options that belong behind "more options", besides those the dataclass marks so.
    extra : sequence of widgets
        Further widgets behind "more options".
    """

    def __init__(
        self,
        options: type,
        *,
        choices: Choices | None = None,
        defaults: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
        arrays: Mapping[str, Names] | None = None,
        left_out: Sequence[str] = (),
        advanced: Sequence[str] = (),
        extra: Sequence[ValueWidget] = (),
    ) -> None:
        self._layers = dict(arrays or {})
        self._arrays: dict[str, ArrayField] = {}
        self._texts: dict[str, type] = {}  # options whose empty line means None
        self._usual: dict[str, Any] = {widget.name: widget.value for widget in extra}  # what a widget shows at first
        plain: list[ValueWidget] = []
        folded: list[ValueWidget] = []
        values = {option.name: option.default for option in fields(options)}
        wanted = dict(defaults or {})
        known = {"devices": _devices(str({**values, **wanted}.get("device", "auto"))), **(choices or {})}
        for name, hint in hints_of(options).items():
            # Options are declared as Annotated[kind, metadata].
            kind, metadata = typing.get_args(hint)[:2]
            place = folded if metadata.get("advanced") or name in advanced else plain
            if "array" in metadata or name in self._layers:
                field = self._arrays[name] = self._array_field(name, metadata)
                place.extend(field.widgets)
                self._usual[name] = field.chooser.value
            elif metadata.get("form", True) and name not in left_out:
                widget = _widget(name, kind, metadata, values[name], known, (labels or {}).get(name))
                place.append(widget)
                self._note_text(name, kind, widget)
                self._usual[name] = widget.value
                # After `_usual` is noted: what the Preferences have set stays in sight as not usual.
                if name in wanted:
                    widget.value = wanted[name]
        # Fields of arrays are read by themselves, see `values`.
        fielded = {widget.name for field in self._arrays.values() for widget in field.widgets}
        self._names = [widget.name for widget in [*plain, *folded] if widget.name not in fielded]
        # What a field of an array shows below its choice goes with the choice.
        self._folded = [widget for widget in (*folded, *extra) if widget.name in self._usual]
        self._unused: set[str] = set()
        self._kept: set[str] = set()  # folded options that stay in sight
        self.container = Container(widgets=[*plain, *self._more(), *folded, *extra], labels=True)
        self.container.margins = (0, 0, 0, 0)
        self._show_folded()

    def __getitem__(self, name: str) -> ValueWidget:
        widget: ValueWidget = self.container[name]
        return widget

    def _array_field(self, name: str, metadata: dict[str, Any]) -> ArrayField:
        if name == "noise":
            return NoiseField(self._layers["noise"])
        kind, names = metadata["array"], self._layers[metadata["array"]]
        if kind == "psf":
            return PsfField(name, _label(name), metadata["tooltip"], names)
        return ArrayField(name, LABELS.get(name, _label(name)), metadata["tooltip"], names, kind=kind)

    @property
    def choosers(self) -> list[ValueWidget]:
        """Widgets in which a layer is chosen."""
        return [field.chooser for field in self._arrays.values()]

    def use(self, unused: Collection[str]) -> None:
        """Hide options that have no effect at present, whether or not "more options" is ticked."""
        self._unused = set(unused)
        for name in (*self._names, *self._arrays):
            if self[name] not in self._folded:
                self[name].visible = name not in self._unused
        self._show_folded()

    def is_usual(self, name: str) -> bool:
        """Return whether an option is at its default, which the Preferences do not change."""
        return bool(self[name].value == self._usual[name])

    def keep_in_sight(self, name: str) -> None:
        """Show an option from now on, also where it is folded away."""
        self._kept.add(name)
        self._show_folded()

    def _more(self) -> list[ValueWidget]:
        """Return the box "more options", or none where nothing is folded away."""
        if not self._folded:
            return []
        more = CheckBox(
            name="more",
            label="more options",
            tooltip="Show the options that are seldom needed; what is not at its default always stays in sight",
        )
        more.changed.connect(self._show_folded)
        for widget in self._folded:
            widget.changed.connect(partial(self._show_changed, widget))
        return [more]

    def _show_folded(self, _event: object = None) -> None:
        for widget in self._folded:
            widget.visible = self._is_in_sight(widget)

    def _show_changed(self, widget: ValueWidget, _value: object = None) -> None:
        """Show an option that was set from elsewhere. One that is back at its default stays where the mouse is."""
        if self._is_in_sight(widget):
            widget.visible = True

    def _is_in_sight(self, widget: ValueWidget) -> bool:
        name = widget.name
        shown = self["more"].value or name in self._kept or not self.is_usual(name)
        return shown and name not in self._unused

    def _note_text(self, name: str, kind: Any, widget: ValueWidget) -> None:
        # Lines of options that can be None; an empty text would not do as their value.
        if isinstance(widget, LineEdit) and type(None) in typing.get_args(kind):
            self._texts[name] = int if int in typing.get_args(kind) else str

    def values(self, pixels_of: Callable[[str, str], Any] = lambda _kind, name: name) -> dict[str, Any]:
        """Return the values as keywords of the options. An empty line means None.

        Parameters
        ----------
        pixels_of : callable
            Returns the pixels of a layer from the kind of array that is wanted and the layer's name.

        Raises
        ------
        GenReconError
            If text is no number, or an array cannot be read.
        """
        arrays = {name: field.value(partial(pixels_of, field.kind)) for name, field in self._arrays.items()}
        return self.plain_values() | arrays

    def plain_values(self) -> dict[str, Any]:
        """Return the values of all options but arrays."""
        found = {name: self[name].value for name in self._names}
        for name, convert in self._texts.items():
            text = str(found[name] or "").strip()
            try:
                found[name] = convert(text) if text else None
            except ValueError:
                raise OptionError(f"{self[name].label} must be a whole number or empty, got {text!r}") from None
        return found

    def array_sources(self) -> dict[str, Any]:
        """Return the source of every option that is an array, see `ArrayField.source`."""
        return {name: field.source() for name, field in self._arrays.items()}

    def widgets_of(self, name: str) -> list[ValueWidget]:
        """Return the widgets of an option that is an array, or none where there is no such option."""
        return self._arrays[name].widgets if name in self._arrays else []


class Ticks(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Boxes to tick for an option that is a list of words separated by commas.

    Parameters
    ----------
    words : sequence of str, or of (str, str)
        Words of the option, or pairs of the text that is shown and the word.
    value : str
        Words that are ticked at first, separated by commas.
    **keywords
        Keywords of the container.
    """

    def __init__(self, words: Sequence[Any], value: str, **keywords: Any) -> None:
        pairs = [pair if isinstance(pair, tuple) else (pair, pair) for pair in words]
        tooltip = keywords.get("tooltip")
        self._boxes = {word: CheckBox(name=f"tick_{word}", text=shown, tooltip=tooltip) for shown, word in pairs}
        super().__init__(widgets=list(self._boxes.values()), labels=False, layout="vertical", **keywords)
        self.margins = (0, 0, 0, 0)
        self.native.layout().setSpacing(1)
        # Last, as it ticks boxes that the container must have.
        self.value = value

    @property
    def value(self) -> str:
        """Words that are ticked, separated by commas."""
        return ",".join(word for word, box in self._boxes.items() if box.value)

    @value.setter
    def value(self, value: str) -> None:
        ticked = [word.strip() for word in value.split(",")]
        for word, box in self._boxes.items():
            box.value = word in ticked


def _devices(chosen: str) -> list[str]:
    """Return the devices to choose from, and with them the one of the Preferences, which may not exist here."""
    return list(dict.fromkeys((*known_devices(), chosen)))


def _label(name: str) -> str:
    return name.upper() if name == "psf" else name.replace("_", " ")


def _as_seen(tooltip: str) -> str:
    """Name values as the lists of choices do."""
    for value, shown in CHOICE_WORDS.items():
        tooltip = tooltip.replace(f"'{value}'", f"'{shown}'")
    return tooltip


def _widget(
    name: str, kind: Any, metadata: dict[str, Any], default: Any, known: Choices, label: str | None
) -> ValueWidget:
    label, tooltip = label or metadata.get("label") or _label(name), _as_seen(metadata["tooltip"])
    common: dict[str, Any] = {"name": name, "label": label, "options": {"tooltip": tooltip}}
    if "several" in metadata:
        words = known.get(name, metadata["several"])
        return Ticks(words, default, name=name, label=label, tooltip=tooltip)
    choices = metadata.get("choices")
    if choices is not None:
        # In this order: choices for this option, those that its word stands for, or those of the dataclass.
        found = known[name] if name in known else known[choices] if isinstance(choices, str) else choices
        common["options"]["choices"] = [(CHOICE_WORDS.get(c, c), c) if isinstance(c, str) else c for c in found]
        return create_widget(default, widget_type="ComboBox", **common)
    limits = {key: metadata[key] for key in ("min", "max", "step") if key in metadata}
    if kind is float:
        common["options"] |= limits
        wide = metadata["max"] - metadata["min"] > _LONGEST_SLIDER
        return create_widget(default, widget_type="FloatSpinBox" if wide else "FloatSlider", **common)
    if kind is int:
        # Qt's box holds 32 bits; magicgui would otherwise stop at 999.
        common["options"] |= {"max": 2**31 - 1, **limits}
        return create_widget(default, widget_type="SpinBox", **common)
    if kind is bool:
        return create_widget(default, widget_type="CheckBox", **common)
    # Text, and numbers that can be None: no box for numbers can be empty.
    return create_widget("" if default is None else str(default), widget_type="LineEdit", **common)


class TaskForm(Form):
    """Form of the options of a task, with the defaults of napari's Preferences.

    Parameters
    ----------
    task : Task
        The task.
    masks, images, points : callable
        Return the names of the layers that can be a mask, a point spread function or source of the noise, or points.
    extra : sequence of widgets
        Further widgets behind "more options".
    files : bool
        Whether a mask is chosen as a file.
    """

    def __init__(
        self,
        task: Task,
        masks: Names,
        images: Names,
        points: Names,
        extra: Sequence[ValueWidget] = (),
        *,
        files: bool = False,
    ) -> None:
        # Before the form is made, which calls `_array_field`.
        self._task, self._files = task, files
        models = self._models()
        super().__init__(
            task.options,
            advanced=("noise", "model") if _are_bundled(models) else ("noise",),
            choices={"models": models, "detect": DAMAGE},
            labels=LABELS,
            defaults=preferences(f"genrecon_{task.name}"),
            arrays={"mask": masks, "psf": images, "maps": images, "noise": images, "points": points},
            extra=extra,
        )

    def _array_field(self, name: str, metadata: dict[str, Any]) -> ArrayField:
        if not self._files or metadata.get("array") != "mask":
            return super()._array_field(name, metadata)
        return ArrayField(name, _label(name), metadata["tooltip"], self._layers["mask"], (Other.NONE, Other.FILE))

    def use_for(self, axes: str, told: Collection[str] = ()) -> None:
        """Hide options that say nothing of an image with these axes, and those that others replace or need.

        `told` names options that the image itself gives.

        One that is not at its default stays in sight, unless another has replaced it.
        """
        # An array that was chosen counts as given.
        given = {*told, *(name for name, field in self._arrays.items() if not self.is_usual(name))}
        unused = []
        for name, hint in hints_of(self._task.options).items():
            metadata = typing.get_args(hint)[1]
            axis, other = metadata.get("needs_axis", ""), metadata.get("needs", "")
            lacking = (axis and not set(axis) & set(axes)) or (other and other not in given)
            if metadata.get("unless") in given or (lacking and self.is_usual(name)):
                unused.append(name)
        self.use(unused)

    def _models(self) -> list[str]:
        return ["auto", *(spec.name for spec in self._task.cards())]

    def refresh_models(self) -> None:
        """Update the list of models, to which a training may have added one; the choice stays if it still exists."""
        if "model" not in self._names:
            return
        widget, models = self["model"], self._models()
        if list(widget.choices) != models:
            chosen = widget.value
            # Listeners are not called: another list of models is no choice of the user.
            with widget.changed.blocked():
                widget.choices = [(CHOICE_WORDS.get(name, name), name) for name in models]
                widget.value = chosen if chosen in models else "auto"
            # With a model of the user there is something to choose.
            if not _are_bundled(models):
                self.keep_in_sight("model")


def _are_bundled(choices: Sequence[str]) -> bool:
    """Return whether only models that are shipped can be chosen, of which "automatic" takes the right one."""
    return len(choices) > 1 and set(choices[1:]) <= set(BUNDLED)
