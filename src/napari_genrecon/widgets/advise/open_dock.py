"""Open the dock of a task with a layer chosen and options set."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npe2 import PluginManager, PluginManifest

if TYPE_CHECKING:
    from napari import Viewer

__all__ = ["dock_of", "open_filled"]

_PLUGIN = "napari-genrecon"
_MANIFEST = Path(__file__).parents[2] / "napari.yaml"
_DOCKS = {"train": "Generate"}  # docks that do not have the name of their task


def dock_of(task: str) -> str:
    """Return the name of the dock of a task, or an empty text if there is none."""
    title = _DOCKS.get(task, task.replace("_", " ").title())
    return title if title in _titles() else ""


@cache
def _titles() -> tuple[str, ...]:
    try:
        manifest = PluginManager.instance().get_manifest(_PLUGIN)
    except KeyError:  # plugins were not looked for; reading the file takes a third of a second
        manifest = PluginManifest.from_file(_MANIFEST)
    widgets = manifest.contributions.widgets or []
    return tuple(widget.display_name for widget in widgets)


def open_filled(viewer: Viewer, task: str, layer: str, options: dict[str, Any]) -> Any:
    """Open the dock of a task, choose a layer in it and set options, and return its page."""
    _, page = viewer.window.add_plugin_dock_widget(_PLUGIN, dock_of(task))
    if hasattr(page, "fill"):  # a page without it has nothing to choose beforehand
        page.fill(layer, options)
    return page
