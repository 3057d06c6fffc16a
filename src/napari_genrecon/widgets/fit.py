"""What lets a page fit a narrow and low dock: words in full, choices cut off, a page that scrolls."""

from __future__ import annotations

import math
from typing import Any

from magicgui.widgets import TextEdit
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFrame, QScrollArea, QSizePolicy, QWidget

__all__ = ["COLOURS", "Words", "scrolled", "slim", "text", "tint"]

COLOURS = {"": "", "good": "color: #3fae5a;", "bad": "color: #e8743b;"}
"""Style sheets of words."""
_FLAT = "border: none; padding: 0px; background-color: transparent;"
_LOWEST = 60  # pixels of a page that scrolls


class Words(TextEdit):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Words as they are: Qt takes those that have tags in them, as names of layers may, for rich text."""

    def set_value(self, value: Any) -> None:
        """Show them."""
        self.native.setPlainText(value)


def text(value: str = "", most: int = 0) -> Words:
    """Words that wrap, within long names as well, and can be copied; no label, which cuts such names off.

    Parameters
    ----------
    value : str
        The words.
    most : int
        How many lines are shown without scrolling, fewer where there is no room; 0 shows all, always.
    """
    box = Words(value=value)
    native = box.native
    native.setReadOnly(True)
    native.setFrameShape(QFrame.Shape.NoFrame)
    native.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
    native.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    if not most:
        native.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    native.document().setDocumentMargin(1)
    tint(box)

    def fit(_size: Any = None) -> None:
        height = math.ceil(native.document().size().height())
        line = native.fontMetrics().lineSpacing()
        native.setMinimumHeight(min(height, line + 2) if most else height)
        native.setMaximumHeight(min(height, most * line + 2) if most else height)

    native.document().documentLayout().documentSizeChanged.connect(fit)
    fit()
    return box


def tint(words: Words, look: str = "") -> None:
    """Show words of `text` plain, ``"good"`` or ``"bad"``."""
    words.native.setStyleSheet(f"QTextEdit, QTextEdit > QWidget {{ {_FLAT} {COLOURS[look]} }}")


def slim(native: QWidget) -> None:
    """Let long choices be cut off rather than make a page wider than its dock."""
    for box in native.findChildren(QComboBox):
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(12)


def scrolled(native: QWidget) -> QScrollArea:
    """A page that scrolls, and takes the room that there is."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Ignored)
    area.setMinimumHeight(_LOWEST)
    slim(native)
    area.setWidget(native)
    return area
