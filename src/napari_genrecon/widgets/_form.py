"""An options dataclass as a form."""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from magicgui.widgets import CheckBox, Container, create_widget
from magicgui.widgets.bases import ValueWidget

from napari_genrecon.models import list_models
from napari_genrecon.tasks import Task
from napari_genrecon.widgets._arrays import ArrayField, Names, PsfField

__all__ = ["Form"]

_DEVICES = ("auto", "cpu", "cuda", "mps")
_TEXTS = {"axes": str, "tile": int, "iterations": int}  # empty lines mean None


class Form:
    """One widget per option, in the order of the dataclass, with the defaults of napari's Preferences.

    Parameters
    ----------
    task : Task
        Whose options.
    masks, images : callable
        Names of the layers that can be a mask, or a point spread function.
    extra : sequence of widgets
        Shown among the options that are seldom needed.
    """

    def __init__(self, task: Task, masks: Names, images: Names, extra: Sequence[ValueWidget] = ()) -> None:
        self._task, self._layers = task, {"mask": masks, "psf": images}
        self._arrays: dict[str, ArrayField] = {}
        plain: list[ValueWidget] = []
        advanced: list[ValueWidget] = []
        defaults = {option.name: option.default for option in fields(task.options)} | _preferences(task)
        for name, hint in typing.get_type_hints(task.options, include_extras=True).items():
            kind, metadata = typing.get_args(hint)[:2]
            if "array" in metadata:
                field = (PsfField if metadata["array"] == "psf" else ArrayField)(
                    name, _label(name), metadata["tooltip"], self._layers[metadata["array"]]
                )
                self._arrays[name] = field
                plain += field.widgets
            elif metadata.get("form", True):
                widget = _widget(task, name, kind, metadata, defaults[name])
                (advanced if metadata.get("advanced") else plain).append(widget)
        fielded = {widget.name for field in self._arrays.values() for widget in field.widgets}
        self._names = [widget.name for widget in [*plain, *advanced] if widget.name not in fielded]
        self.container = Container(widgets=[*plain, *_folded([*advanced, *extra])], labels=True)

    def __getitem__(self, name: str) -> ValueWidget:
        widget: ValueWidget = self.container[name]
        return widget

    def reset_choices(self, _event: Any = None) -> None:
        """Look again which layers there are."""
        for field in self._arrays.values():
            field.chooser.reset_choices()

    def values(self, pixels_of: Callable[[str], Any]) -> dict[str, Any]:
        """The values as keywords of the options; an empty line means None.

        Parameters
        ----------
        pixels_of : callable
            The pixels of a layer by its name, as a mask or an image.

        Raises
        ------
        ValueError
            If a number is not one.
        GenReconError
            If an array cannot be had.
        """
        found = {name: self[name].value for name in self._names}
        for name, convert in _TEXTS.items():
            if name in found:
                text = str(found[name] or "").strip()
                found[name] = convert(text) if text else None
        return found | {name: field.value(pixels_of) for name, field in self._arrays.items()}

    def array_sources(self) -> dict[str, Any]:
        """For every option that is an array: where it comes from, see `ArrayField.source`."""
        return {name: field.source() for name, field in self._arrays.items()}


def _folded(widgets: list[ValueWidget]) -> list[ValueWidget]:
    """A box that shows the widgets behind it when it is ticked."""
    if not widgets:
        return []
    more = CheckBox(name="more", label="more options", tooltip="Show the options that are seldom needed")

    def show(visible: bool) -> None:
        for widget in widgets:
            widget.visible = visible

    more.changed.connect(show)
    show(False)
    return [more, *widgets]


def _label(name: str) -> str:
    return name.upper() if name == "psf" else name.replace("_", " ")


def _widget(task: Task, name: str, kind: Any, metadata: dict[str, Any], default: Any) -> ValueWidget:
    common: dict[str, Any] = {"name": name, "label": _label(name), "options": {"tooltip": metadata["tooltip"]}}
    choices = metadata.get("choices")
    if choices is not None:
        known = {"models": ["auto", *(s.name for s in list_models(task.name))], "devices": list(_DEVICES)}
        common["options"]["choices"] = known[choices] if isinstance(choices, str) else list(choices)
        return create_widget(default, widget_type="ComboBox", **common)
    limits = {key: metadata[key] for key in ("min", "max", "step") if key in metadata}
    if kind is float:
        common["options"] |= limits
        return create_widget(default, widget_type="FloatSlider", **common)
    if kind is int:
        common["options"] |= {"max": 2**31 - 1, **limits}
        return create_widget(default, widget_type="SpinBox", **common)
    if kind is bool:
        return create_widget(default, widget_type="CheckBox", **common)
    return create_widget("" if default is None else str(default), widget_type="LineEdit", **common)


def _preferences(task: Task) -> dict[str, Any]:
    """What napari's Preferences say; nothing where napari does not know the plugin (yet)."""
    try:
        from napari.settings import get_plugin_settings

        section = getattr(get_plugin_settings("napari-genrecon"), f"genrecon_{task.name}")
        return {name: getattr(section, name) for name in type(section).model_fields}
    except (ImportError, AttributeError, KeyError, ValueError):
        return {}
