"""Choices of layers by name that stay with their layers, and layers that are added without being activated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["LayerChoice", "keeping_active"]


class LayerChoice:
    """Keeps a choice with its layers when they are renamed.

    Parameters
    ----------
    chooser : ComboBox or Select
        Whose values are names of layers, or words for something else.
    layers : napari LayerList
        Of the viewer.
    """

    def __init__(self, chooser: Any, layers: Any) -> None:
        self._chooser, self._layers = chooser, layers
        self._chosen: list[Any] = []
        self._multiple = isinstance(chooser.value, list | tuple)
        chooser.changed.connect(self._remember)
        self._remember(chooser.value)

    def reset(self) -> None:
        """Look again which layers there are, and what they are called."""
        kept = [layer for layer in self._chosen if layer in self._layers]
        if not kept or len(kept) < len(self._chosen):
            self._chooser.reset_choices()
            return
        names = [layer.name for layer in kept]
        with self._chooser.changed.blocked():  # it is the same choice
            self._chooser.reset_choices()
            self._chooser.value = names if self._multiple else names[0]

    def _remember(self, value: Any) -> None:
        names = value if self._multiple else [value]
        self._chosen = [self._layers[name] for name in names if isinstance(name, str) and name in self._layers]


@contextmanager
def keeping_active(viewer: Any) -> Iterator[None]:
    """Layers that are added meanwhile are not activated: nobody hears that they were for a moment."""
    selection = viewer.layers.selection
    active = selection.active
    with selection.events.active.blocker():
        try:
            yield
        finally:
            selection.active = active
