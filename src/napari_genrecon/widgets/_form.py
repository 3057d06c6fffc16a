"""An options dataclass as a form."""

from __future__ import annotations

import typing
from dataclasses import fields
from typing import Any

from magicgui.widgets import CheckBox, Container, create_widget
from magicgui.widgets.bases import ValueWidget

from napari_genrecon.models import list_models
from napari_genrecon.tasks import Task

__all__ = ["make_form", "read_form"]

_MORE = "more"
_DEVICES = ("auto", "cpu", "cuda", "mps")


def make_form(task: Task) -> Container[ValueWidget]:
    """One widget per option, in the order of the dataclass, with the defaults of napari's Preferences."""
    hints = typing.get_type_hints(task.options, include_extras=True)
    defaults = {option.name: option.default for option in fields(task.options)} | _preferences(task)
    plain: list[ValueWidget] = []
    advanced: list[ValueWidget] = []
    for name, hint in hints.items():
        kind, metadata = typing.get_args(hint)[:2]
        if metadata.get("form", True):
            widget = _widget(task, name, kind, metadata, defaults[name])
            (advanced if metadata.get("advanced") else plain).append(widget)
    return Container(widgets=[*plain, *_folded(advanced)], labels=True)


def _folded(widgets: list[ValueWidget]) -> list[ValueWidget]:
    """A box that shows the widgets behind it when it is ticked."""
    if not widgets:
        return []
    more = CheckBox(name=_MORE, label="more options", tooltip="Show the options that are seldom needed")

    def show(visible: bool) -> None:
        for widget in widgets:
            widget.visible = visible

    more.changed.connect(show)
    show(False)
    return [more, *widgets]


def _widget(task: Task, name: str, kind: Any, metadata: dict[str, Any], default: Any) -> ValueWidget:
    common: dict[str, Any] = {
        "name": name,
        "label": name.replace("_", " "),
        "options": {"tooltip": metadata["tooltip"]},
    }
    choices = {"models": ["auto", *(s.name for s in list_models(task.name))], "devices": list(_DEVICES)}
    if metadata.get("choices") in choices:
        common["options"]["choices"] = choices[metadata["choices"]]
        return create_widget(default, widget_type="ComboBox", **common)
    if kind is float:
        common["options"] |= {"min": metadata["min"], "max": metadata["max"], "step": metadata["step"]}
        return create_widget(default, widget_type="FloatSlider", **common)
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


def read_form(form: Container[ValueWidget]) -> dict[str, Any]:
    """The values as keywords of the options; an empty line means None.

    Raises
    ------
    ValueError
        If a number is not one.
    """
    values = {widget.name: widget.value for widget in form if widget.name != _MORE}
    for name in ("axes", "tile"):
        text = str(values.get(name) or "").strip()
        values[name] = (int(text) if name == "tile" else text) if text else None
    return values
