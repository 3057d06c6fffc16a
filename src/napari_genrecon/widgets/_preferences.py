"""What the user chose in napari's Preferences."""

from __future__ import annotations

from typing import Any

__all__ = ["preferences"]


def preferences(section: str) -> dict[str, Any]:
    """The values of one section of our configurations; nothing where napari does not know the plugin (yet)."""
    try:
        from napari.settings import get_plugin_settings

        found = getattr(get_plugin_settings("napari-genrecon"), section)
        return {name: getattr(found, name) for name in type(found).model_fields}
    except (ImportError, AttributeError, KeyError, ValueError):
        return {}
