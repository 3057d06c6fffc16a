"""Values of this plugin in napari's Preferences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["follow_preferences", "prefer", "preferences"]


def preferences(section: str) -> dict[str, Any]:
    """Return the values of one section; empty where napari does not know the plugin (yet)."""
    found = _section(section)
    # Of the class: pydantic warns of `model_fields` asked of an instance.
    return {} if found is None else {name: getattr(found, name) for name in type(found).model_fields}


def prefer(section: str, **values: Any) -> None:
    """Set values of a section, as if in the Preferences; do nothing where napari does not know the plugin."""
    found = _section(section)
    if found is not None:
        # All at once, so that listeners are called once.
        found.update(values)


def follow_preferences(section: str, changed: Callable[[Any], object]) -> None:
    """Call a function with an event whenever values of a section have changed."""
    found = _section(section)
    if found is not None:
        found.events.connect(changed)


def _section(name: str) -> Any:
    try:
        from napari.settings import get_plugin_settings

        # napari knows the section once it has read the manifest; scripts and tests may never do so.
        return getattr(get_plugin_settings("napari-genrecon"), name)
    except (ImportError, AttributeError, KeyError, ValueError):
        return None
