"""Choose a trained model, and show what is known about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from magicgui.widgets import ComboBox, Container

from napari_genrecon.errors import OptionError
from napari_genrecon.models import ModelCard, list_models, load_model
from napari_genrecon.widgets.fit import text
from napari_genrecon.widgets.words import about_model

__all__ = ["ModelChoice", "Models"]

_KEPT = 4  # models that stay loaded: enough to compare a few without loading again


class Models:
    """Load models and keep the last ones; for worker threads, as the first one also loads torch."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[str, str], Any] = {}

    def load(self, card: ModelCard) -> Any:
        """Return the model of a card; load it again where another has taken its name."""
        key = (card.name, f"{card.created} {card.steps}")
        if key not in self._loaded:
            while len(self._loaded) >= _KEPT:
                # A dict keeps its order: the first is the one that was loaded first.
                del self._loaded[next(iter(self._loaded))]
            self._loaded[key] = load_model(card.name)
        return self._loaded[key]


class ModelChoice(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Choice of a model, with its card in words.

    Parameters
    ----------
    on_change : callable
        Called with the card, or None, whenever another model is chosen.
    """

    def __init__(self, on_change: Callable[[ModelCard | None], object]) -> None:
        self._on_change = on_change
        self._cards: dict[str, ModelCard] = {}
        self.model = ComboBox(label="model", choices=self._choices, tooltip="Bundled models, and those you trained")
        self._about = text()
        super().__init__(widgets=[self.model, self._about], labels=False)
        self.margins = (0, 0, 0, 0)
        self.model.changed.connect(self._changed)

    @property
    def card(self) -> ModelCard | None:
        """Card of the chosen model, or None."""
        return self._cards.get(self.model.value)

    def chosen(self) -> ModelCard:
        """Return the card of the chosen model.

        Raises
        ------
        OptionError
            If there is none.
        """
        if self.card is None:
            raise OptionError("there is no model yet: train one on the first page")
        return self.card

    def refresh(self, wanted: str = "") -> None:
        """Update the list of models."""
        # Blocked, as both steps below would report a change; one report follows at the end.
        with self.model.changed.blocked():
            self.model.reset_choices()
            if wanted in self._cards:
                self.model.value = wanted
        self._changed()

    def _choices(self, _widget: object = None) -> list[tuple[str, str]]:
        """List the user's models, then the bundled ones; magicgui asks again whenever the widget gets a parent."""
        # Bundled models have no path.
        cards = sorted(list_models("sample"), key=lambda card: not card.path)
        self._cards = {card.name: card for card in cards}
        return [(f"{card.name}  ({card.about.label})", card.name) for card in cards]

    def _changed(self, _event: object = None) -> None:
        self._about.value = about_model(self.card) if self.card else "No model yet: train one on the first page."
        self._on_change(self.card)
