"""Dock widgets of the tasks, without computations of their own, and `add_result` for scripts."""

from __future__ import annotations

from typing import Any

__all__ = ["add_result"]  # found by __getattr__


def __getattr__(name: str) -> Any:
    """Load `add_result` when it is asked for: a dock that opens needs little of what it needs."""
    if name != "add_result":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from napari_genrecon.widgets.layers.add_result import add_result

    return add_result
