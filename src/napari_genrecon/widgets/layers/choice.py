"""Keep a choice of layers when they are renamed, and the active layer when others are added."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from magicgui.widgets import Select
    from napari import Viewer

__all__ = ["LayerChoice", "chosen_names", "keeping_active"]


class LayerChoice:
    """Keep the chosen layers chosen when layers are renamed, added or removed.

    Parameters
    ----------
    chooser : ComboBox or Select
        Widget whose values are names of layers, or words for something else.
    layers : napari LayerList
        Layers of the viewer.
    """

    def __init__(self, chooser: Any, layers: Any) -> None:
        self._chooser, self._layers = chooser, layers
        self._chosen: list[Any] = []
        self._multiple = isinstance(chooser.value, list | tuple)  # a Select, not a ComboBox
        chooser.changed.connect(self._store)
        self._store(chooser.value)

    def reset(self) -> None:
        """Read the names of the layers again."""
        kept = [layer for layer in self._chosen if layer in self._layers]
        # Nothing is to be kept, or the choice has changed, which the chooser reports.
        if not kept or len(kept) < len(self._chosen):
            self._chooser.reset_choices()
            return
        names = [layer.name for layer in kept]
        with self._chooser.changed.blocked():  # it is the same choice
            if not set(names) <= set(self._chooser.choices):
                self._chooser.choices = ()  # a renamed layer would move to the end of the list
            self._chooser.reset_choices()
            self._chooser.value = names if self._multiple else names[0]

    def _store(self, value: list[str] | str | None) -> None:
        names = value if isinstance(value, list | tuple) else [value]
        self._chosen = [self._layers[name] for name in names if isinstance(name, str) and name in self._layers]


def chosen_names(chooser: Select) -> list[str]:
    """Return what is chosen in a list in the order that it shows, whatever was clicked on first."""
    chosen = chooser.value
    return [name for name in chooser.choices if name in chosen]


@contextmanager
def keeping_active(viewer: Viewer) -> Iterator[None]:
    """Keep the active layer while others are added, without events about it."""
    selection = viewer.layers.selection
    active = selection.active
    with selection.events.active.blocker():
        try:
            yield
        finally:
            # napari has made each layer that was added the active one.
            selection.active = active
