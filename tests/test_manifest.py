import inspect
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
from npe2 import PluginManifest

import napari_genrecon
from napari_genrecon.tasks import TASKS

MANIFEST = PluginManifest.from_file(Path(napari_genrecon.__file__).with_name("napari.yaml"))


def test_commands_that_are_used_exist_and_resolve():
    parts = MANIFEST.contributions
    known = {command.id: command for command in parts.commands}
    used = [item.command for item in [*parts.widgets, *parts.sample_data, *parts.readers, *parts.writers]]
    used += [item.command for items in parts.menus.values() for item in items]
    assert set(used) == set(known)
    for command in known.values():
        assert callable(command.python_name and _resolve(command.python_name))


def _resolve(name):
    from importlib import import_module

    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


def test_menus_are_ones_that_napari_accepts():
    from napari._app_model.constants import MenuId

    assert set(MANIFEST.contributions.menus) <= set(MenuId.contributables())


def expected_entries(task):
    """What napari.yaml must hold for a task, by the list it belongs to."""
    command = f"napari-genrecon.{task.name}"
    widget = f"napari_genrecon.widgets.openers:{task.options.__name__.removesuffix('Options')}Widget"
    return {
        "commands": {"id": command, "title": f"{task.title}…", "python_name": widget},
        "widgets": {"command": command, "display_name": task.title},
        "menus": {"command": command},
        "configurations": {"key": f"genrecon_{task.name}", "title": task.title},
    }


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_manifest_holds_what_each_task_needs(task):
    parts = MANIFEST.contributions
    found = {
        "commands": [command.model_dump() for command in parts.commands],
        "widgets": [widget.model_dump() for widget in parts.widgets],
        "menus": [item.model_dump() for item in parts.menus["napari/layers/filter"]],
        "configurations": [{"key": key, "title": section.title} for key, section in _named(parts.configurations)],
    }
    for kind, entry in expected_entries(task).items():
        assert any(entry.items() <= other.items() for other in found[kind]), f"napari.yaml lacks, under {kind}: {entry}"


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_limits_in_preferences_are_those_of_the_options(task):
    hints = get_type_hints(task.options, include_extras=True)
    section = dict(_named(MANIFEST.contributions.configurations))[f"genrecon_{task.name}"]
    for name, entry in section.properties.items():
        metadata = getattr(hints[name], "__metadata__", ({},))[0]
        assert (entry.minimum, entry.maximum) == (metadata.get("min"), metadata.get("max")), name
        if isinstance(metadata.get("choices"), tuple):
            assert tuple(entry.enum) == metadata["choices"], name


def test_defaults_in_preferences_are_those_of_the_options():
    sections = MANIFEST.contributions.configurations
    for task in TASKS:
        section = next(s for key, s in _named(sections) if key == f"genrecon_{task.name}")
        for name, entry in section.properties.items():
            assert entry.default == getattr(task.options(), name)


def test_preferences_say_what_they_do():
    for _, section in _named(MANIFEST.contributions.configurations):
        for name, entry in section.properties.items():
            assert entry.description, f"{section.title}: {name}"


def test_menus_and_palette_list_each_widget_once():
    """Menus open the widgets themselves: a command of its own for that stands beside them in the palette."""
    commands = {widget.command for widget in MANIFEST.contributions.widgets}
    listed = [item.command for items in MANIFEST.contributions.menus.values() for item in items]
    assert sorted(listed) == sorted(commands)
    assert not any("GenRecon" in command.title for command in MANIFEST.contributions.commands)


def _named(sections):
    return sections.items() if isinstance(sections, dict) else [(s.key, s) for s in sections]


@pytest.mark.parametrize("key", [sample.key for sample in MANIFEST.contributions.sample_data])
def test_samples_open(key):
    command = next(sample.command for sample in MANIFEST.contributions.sample_data if sample.key == key)
    names = {command.id: command.python_name for command in MANIFEST.contributions.commands}
    for data, keywords, kind in _resolve(names[command])():
        assert kind in ("image", "labels")
        assert np.isfinite(data).all()
        assert len(keywords["axis_labels"]) == data.ndim - bool(keywords.get("rgb"))
        assert "scale" not in keywords or len(keywords["scale"]) == len(keywords["units"])


def test_discovery_loads_neither_torch_nor_us():
    code = "import npe2, sys; npe2.PluginManager.instance().discover(); "
    code += "print({'torch', 'napari_genrecon.tasks'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"


@pytest.mark.parametrize("widget", MANIFEST.contributions.widgets, ids=lambda widget: widget.display_name)
def test_menus_can_open_every_widget(widget):
    """The menus of napari refuse what is no class of a widget; its `add_plugin_dock_widget` does not."""
    qtpy = pytest.importorskip("qtpy.QtWidgets")
    from magicgui.widgets.bases import Widget

    names = {command.id: command.python_name for command in MANIFEST.contributions.commands}
    opener = _resolve(names[widget.command])
    assert issubclass(opener, (qtpy.QWidget, Widget))
    assert "napari_viewer" in inspect.signature(opener.__init__).parameters
