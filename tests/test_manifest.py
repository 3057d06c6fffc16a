import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest

import napari_genrecon

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


def test_defaults_in_preferences_are_those_of_the_options():
    from napari_genrecon.tasks import TASKS

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
    from napari_genrecon.io import samples

    for data, keywords, kind in getattr(samples, key)():
        assert kind in ("image", "labels")
        assert np.isfinite(data).all()
        assert len(keywords["axis_labels"]) == data.ndim


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
