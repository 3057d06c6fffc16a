"""Open the dock of a task with a layer chosen and options set."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npe2 import PluginManager, PluginManifest
from qtpy.QtWidgets import QDockWidget

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["dock_of", "open_dock", "open_filled"]

_PLUGIN = "napari-genrecon"
_MANIFEST = Path(__file__).parents[2] / "napari.yaml"
_DOCKS = {"train": "Generate"}  # docks that do not have the name of their task


def dock_of(task: str) -> str:
    """Return the name of the dock of a task, or an empty text if there is none."""
    title = _DOCKS.get(task, task.replace("_", " ").title())
    return title if title in _openers() else ""


def open_filled(viewer: Viewer, task: str, layer: str, options: dict[str, Any]) -> Any:
    """Open the dock of a task or bring it to the front, choose a layer in it, set options, and return its page."""
    page = open_dock(viewer, dock_of(task))
    if hasattr(page, "fill"):  # a page without it has nothing to choose beforehand
        page.fill(layer, options)
    return page


def open_dock(viewer: Viewer, title: str) -> Any:
    """Open a dock by its name or bring it to the front, and return its page.

    A new dock has the name that the menus of napari give it, so that they find it. `add_plugin_dock_widget` gives
    another one, and a page that was opened by the menus would leave its dock empty and move to a second one.
    """
    names = [f"{title} ({shown})" for shown in (_manifest().display_name, _PLUGIN)]
    there = viewer.window.dock_widgets
    # The menus add the display name, and `add_plugin_dock_widget` of scripts the name of the package.
    page = next((there[name] for name in names if name in there), None)
    if page is None:
        from napari_genrecon.widgets import openers  # some of their pages open docks

        page = getattr(openers, _openers()[title])(viewer)
        viewer.window.add_dock_widget(page, name=names[0])
        return page
    # Qt finds no dock of a widget: its parents are asked one by one.
    dock = getattr(page, "native", page)
    while not isinstance(dock, QDockWidget):
        dock = dock.parent()
    dock.show()
    dock.raise_()
    return page


@cache
def _manifest() -> PluginManifest:
    try:
        return PluginManager.instance().get_manifest(_PLUGIN)
    except KeyError:  # plugins were not looked for; reading the file takes a third of a second
        return PluginManifest.from_file(_MANIFEST)


@cache
def _openers() -> dict[str, str]:
    """Return the name of the opener of every dock, by the name of the dock."""
    parts = _manifest().contributions
    names = {command.id: str(command.python_name).partition(":")[2] for command in parts.commands or []}
    return {widget.display_name: names[widget.command] for widget in parts.widgets or []}
