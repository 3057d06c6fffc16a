"""Noise report of a task widget: the verdict is always shown, the details on request."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import Container, PushButton

from napari_genrecon.widgets.fit import text
from napari_genrecon.widgets.preferences import follow_preferences, prefer, preferences

__all__ = ["Details"]

_SECTION = "genrecon_window"
_FOLD = "QPushButton { text-align: left; border: none; background: transparent; padding: 1px; }"


class Details(Container[Any]):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Text that is always shown, and details behind a button. Whether they are shown is a preference of all docks.

    Attributes
    ----------
    verdict, report : Words
        Text that is always shown, and the details.
    """

    def __init__(self) -> None:
        self.verdict, self.report = text(), text()
        self.fold = PushButton(tooltip="Shows or hides the measured numbers, here and in all docks")
        self.fold.native.setStyleSheet(_FOLD)
        super().__init__(widgets=[self.verdict, self.fold, self.report], labels=False)
        self.margins = (0, 0, 0, 0)
        self.native.layout().setSpacing(2)
        self._open, self._any = bool(preferences(_SECTION).get("details", False)), False
        self._gone = False
        self.native.destroyed.connect(self._leave)
        self.fold.changed.connect(self._toggle)
        follow_preferences(_SECTION, self._follow)
        self.write("Choose an image layer.")

    def write(self, verdict: str, details: str = "") -> None:
        """Show another text; without details there is nothing to unfold."""
        # Without details the report says the same, and is not shown.
        self.verdict.value, self.report.value = verdict, details or verdict
        self._any = bool(details)
        self._show()

    def unfold(self) -> None:
        """Show the details without changing the preference."""
        self._open = True
        self._show()

    def _toggle(self, _event: object = None) -> None:
        self._open = not self._open
        # All docks follow this. Where napari does not know the plugin it does nothing, so this one is shown by hand.
        prefer(_SECTION, details=self._open)
        self._show()

    def _leave(self, _event: object = None) -> None:
        self._gone = True

    def _follow(self, _event: object = None) -> None:
        # Preferences outlive the docks that follow them.
        if self._gone:
            return
        self._open = bool(preferences(_SECTION).get("details", self._open))
        self._show()

    def _show(self) -> None:
        self.fold.text = f"{'▾' if self._open else '▸'} Details"
        self.fold.visible = self._any
        self.report.visible = self._open and self._any
