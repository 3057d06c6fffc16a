"""The dock widgets: faces of the tasks, without logic of their own."""

from __future__ import annotations

from typing import Any

__all__ = ["open_denoise"]


def open_denoise(viewer: napari.viewer.Viewer) -> None:  # type: ignore[name-defined]  # noqa: F821  # injected by name
    """Open the widget from a menu."""
    window: Any = viewer.window
    window.add_plugin_dock_widget("napari-genrecon", "Denoise")
