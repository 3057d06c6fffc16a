"""The dock widgets: faces of the tasks, without logic of their own; for scripts, `add_result`."""

from __future__ import annotations

from typing import Any

from napari_genrecon.widgets.layers.add_result import add_result

__all__ = [
    "add_result",
    "open_deblur",
    "open_denoise",
    "open_generate",
    "open_inpaint",
    "open_upscale",
    "open_upscale_z",
]

# napari's menus call these with the viewer, which it finds by the name in the annotation.


def open_denoise(viewer: napari.viewer.Viewer) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Open the widget from a menu."""
    _open(viewer, "Denoise")


def open_upscale(viewer: napari.viewer.Viewer) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Open the widget from a menu."""
    _open(viewer, "Upscale")


def open_upscale_z(viewer: napari.viewer.Viewer) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Open the widget from a menu."""
    _open(viewer, "Upscale Z")


def open_deblur(viewer: napari.viewer.Viewer) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Open the widget from a menu."""
    _open(viewer, "Deblur")


def open_inpaint(viewer: napari.viewer.Viewer) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Open the widget from a menu."""
    _open(viewer, "Inpaint")


def open_generate(viewer: napari.viewer.Viewer) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Open the widget from a menu."""
    _open(viewer, "Generate")


def _open(viewer: Any, name: str) -> None:
    viewer.window.add_plugin_dock_widget("napari-genrecon", name)
