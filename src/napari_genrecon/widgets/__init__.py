"""Dock widgets of the tasks, without computations of their own, and what they add to a viewer, for scripts."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["add_augmented", "add_result"]  # found by __getattr__

_MODULES = {"add_augmented": "augment.add_examples", "add_result": "layers.add_result"}


def __getattr__(name: str) -> Any:
    """Load a function when it is asked for: a dock that opens needs little of what it needs."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
