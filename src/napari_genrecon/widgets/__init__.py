"""The dock widgets: faces of the tasks, without logic of their own; for scripts, `add_result`."""

from __future__ import annotations

from napari_genrecon.widgets.layers.add_result import add_result

__all__ = ["add_result"]
