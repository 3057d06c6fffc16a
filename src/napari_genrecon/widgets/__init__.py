"""Dock widgets of the tasks, without computations of their own, and `add_result` for scripts."""

from __future__ import annotations

from napari_genrecon.widgets.layers.add_result import add_result

__all__ = ["add_result"]
