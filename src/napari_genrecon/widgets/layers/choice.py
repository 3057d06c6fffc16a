"""Keep a choice of layers when they are renamed, and the active layer when others are added; fill lists of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_genrecon.widgets.fit import list_of_layers

if TYPE_CHECKING:
    from magicgui.widgets import Select
    from napari import Viewer

_ROWS = 4  # of a list of layers before it scrolls: more would push the buttons out of sight

__all__ = ["LayerChoice", "LayerLists", "chosen_names", "keeping_active"]


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


class LayerLists:
    """Lists of layers that follow a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers can be chosen.
    lists : sequence of Select
        The lists.
    changed : callable
        Called with the event when layers were added, removed or renamed, to `refresh` the lists.
    """

    def __init__(self, viewer: Viewer, lists: Sequence[Select], changed: Callable[[Any], object]) -> None:
        self._layers, self._lists, self._changed = viewer.layers, lists, changed
        self._fits = [list_of_layers(chooser, _ROWS) for chooser in lists]
        self._choices = [LayerChoice(chooser, viewer.layers) for chooser in lists]
        events = viewer.layers.events
        self._events = (events.inserted, events.removed, events.renamed)
        for event in self._events:
            event.connect(changed)

    def leave(self) -> None:
        """Stop listening to the viewer, which outlives the page of the lists."""
        for event in self._events:
            event.disconnect(self._changed)

    def refresh(self) -> None:
        """Read the names of the layers again."""
        for chooser, choice, fit in zip(self._lists, self._choices, self._fits, strict=True):
            choice.reset()
            fit()
            row = chooser.native.parentWidget()  # which else takes all the room there is
            row.setFixedHeight(chooser.native.height() + 6)

    def chosen(self, chooser: Select) -> list[Any]:
        """Return the layers that are chosen in a list."""
        return [self._layers[name] for name in chosen_names(chooser) if name in self._layers]


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
