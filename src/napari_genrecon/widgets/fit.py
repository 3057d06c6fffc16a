"""Make a page fit a narrow and low dock: text wraps, long choices are cut off, the page scrolls."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from magicgui.widgets import Container, PushButton, Select, TextEdit
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QComboBox, QFrame, QHBoxLayout, QLabel, QScrollArea, QSizePolicy, QWidget

__all__ = [
    "COLOURS",
    "Words",
    "heading",
    "line_up",
    "list_of_layers",
    "make_primary",
    "scrolled",
    "side_by_side",
    "slim",
    "text",
    "tint",
]

COLOURS = {"": "", "good": "color: #3fae5a;", "bad": "color: #e8743b;"}
"""Style sheets of text by its tone."""
_FLAT = "border: none; padding: 0px; background-color: transparent;"
_WIDEST = 140  # pixels of labels of fields: longer ones stand out rather than leave no room to all fields
_LOWEST = 60  # pixels: least height of a page that scrolls, so that some rows stay in sight
_CHOSEN = "background-color: #2a66c8; color: #ffffff;"  # contrast of 5.4 to 1 on either theme
_LIST = f"QListWidget::item:selected {{ {_CHOSEN} }}"
_PRIMARY = (
    f"QPushButton {{ {_CHOSEN} font-weight: bold; min-height: 30px; border-radius: 3px; }}"
    "QPushButton:hover { background-color: #3a78de; } QPushButton:pressed { background-color: #1f55ad; }"
    "QPushButton:disabled { background-color: #73808f; color: #d5dae0; }"
)


class Words(TextEdit):  # type: ignore[misc]  # magicgui is not followed by mypy
    """Plain text. Qt would take text with tags, which names of layers may have, for rich text."""

    def set_value(self, value: object) -> None:
        """Show this text."""
        self.native.setPlainText(value)


def text(value: str = "", most: int = 0) -> Words:
    """Return text that wraps, also within long names, and can be copied. A label would cut long names off.

    Parameters
    ----------
    value : str
        The text.
    most : int
        Number of lines that are shown without scrolling, or fewer where there is no room. 0 always shows all.
    """
    box = Words(value=value)
    native = box.native
    native.setReadOnly(True)
    native.setFrameShape(QFrame.Shape.NoFrame)
    native.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
    native.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    # The width that its text would like must not widen the page.
    native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    if not most:
        native.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    native.document().setDocumentMargin(1)
    tint(box)

    def fit(_size: object = None) -> None:
        height = _height_without_bar(native) if most else math.ceil(native.document().size().height())
        line = native.fontMetrics().lineSpacing()
        native.setMinimumHeight(min(height, line + 2) if most else height)
        native.setMaximumHeight(min(height, most * line + 2) if most else height)
        if most:
            policy = Qt.ScrollBarPolicy
            native.setVerticalScrollBarPolicy(
                policy.ScrollBarAsNeeded if native.height() < height else policy.ScrollBarAlwaysOff
            )

    # The height follows from the wrapped text, which is known only after the layout.
    native.document().documentLayout().documentSizeChanged.connect(fit)
    if most:
        native.installEventFilter(_Resized(native, fit))
    fit()
    return box


class _Resized(QObject):  # type: ignore[misc]  # Qt is not followed by mypy
    """Call a function when a widget gets another size."""

    def __init__(self, native: QWidget, fit: Callable[[], object]) -> None:
        super().__init__(native)
        self._fit = fit

    def eventFilter(self, _native: QObject, event: QEvent) -> bool:  # Qt's name
        if event.type() == QEvent.Type.Resize:
            self._fit()
        return False


def _height_without_bar(native: Any) -> int:
    """Return the height of the text in the whole width of its box, in pixels.

    With a scroll bar it may wrap into a further line. A box that was made as high would need no bar, so that the text
    would be lower again, and so on without end.
    """
    # A copy, as another width on the document itself would lay it out anew and call this again.
    whole = native.document().clone()
    whole.setTextWidth(native.width())
    return math.ceil(whole.size().height())


def tint(words: Words, look: str = "") -> None:
    """Show text of `text` in a tone: plain, ``"good"`` or ``"bad"``."""
    words.native.setStyleSheet(f"QTextEdit, QTextEdit > QWidget {{ {_FLAT} {COLOURS[look]} }}")


def heading(value: str) -> Words:
    """Return text in bold, as the title of a part of a page."""
    words = text(value)
    # By a style sheet, as that of napari counts more than the font of the widget.
    words.native.setStyleSheet(f"{words.native.styleSheet()} QTextEdit {{ font-weight: bold; }}")
    return words


def make_primary(button: PushButton) -> None:
    """Make a button the most visible one of its page."""
    button.native.setStyleSheet(_PRIMARY)


def list_of_layers(chooser: Select, rows: int) -> Callable[[], None]:
    """Give a list of layers the height it needs, and keep the chosen layer readable and in sight.

    Parameters
    ----------
    chooser : Select
        The list.
    rows : int
        Number of rows that it shows at most.

    Returns
    -------
    callable
        Fits the height again after layers were added or removed.
    """
    native = chooser.native
    native.setStyleSheet(_LIST)
    # Long names show their start and end: a horizontal scroll bar would cover the only row.
    native.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    native.setTextElideMode(Qt.TextElideMode.ElideMiddle)
    later = QTimer(native)  # the list is filled and chosen from in several steps
    later.setSingleShot(True)

    def show_chosen() -> None:
        for item in native.selectedItems()[:1]:
            native.scrollToItem(item)

    def fit() -> None:
        shown = min(max(native.count(), 1), rows)
        for row in range(native.count()):
            native.item(row).setToolTip(native.item(row).text())  # names that are cut off
        native.setFixedHeight(shown * (native.fontMetrics().lineSpacing() + 2) + 2 * native.frameWidth())
        later.start(0)

    later.timeout.connect(show_chosen)
    native.itemSelectionChanged.connect(lambda: later.start(0))
    fit()
    return fit


def slim(native: QWidget) -> None:
    """Cut long choices off instead of making a page wider than its dock."""
    for box in native.findChildren(QComboBox):
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(12)


def line_up(native: QWidget) -> None:
    """Give the labels of all fields of a page one width, so that the fields stand below one another.

    magicgui does so within a container only, and a page has several. Call it when the page has its style.
    """
    # The labels of fields stand first in a row; other labels are text and pictures.
    labels = [label for label in native.findChildren(QLabel) if _begins_row(label)]
    width = min(max((label.sizeHint().width() for label in labels), default=0), _WIDEST)
    for label in labels:
        label.setFixedWidth(max(width, label.sizeHint().width()))


def _begins_row(label: QLabel) -> bool:
    layout = label.parentWidget().layout()
    return isinstance(layout, QHBoxLayout) and layout.count() > 1 and layout.itemAt(0).widget() is label


def scrolled(native: QWidget) -> QScrollArea:
    """Return a page within an area that scrolls and takes the room that there is."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Ignored)
    area.setMinimumHeight(_LOWEST)
    slim(native)
    area.setWidget(native)
    return area


def side_by_side(*widgets: Any) -> Container[Any]:
    """Return a row of widgets without margins of its own."""
    row = Container(widgets=widgets, layout="horizontal", labels=False)
    row.margins = (0, 0, 0, 0)
    return row
