"""The verdict and the confusion matrix of a classifier."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem

from napari_genrecon.recognition.scores import Scores

__all__ = ["ConfusionTable"]

_RIGHT, _WRONG = QColor("#2f8f4e"), QColor("#b5482c")  # white figures have a contrast of more than 4 to 1 on both


class ConfusionTable(QTableWidget):  # type: ignore[misc]  # Qt is not followed by mypy
    """Table of given classes (rows) and predicted ones (columns); hidden until there are scores."""

    def __init__(self) -> None:
        super().__init__()
        self.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QTableWidget.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setToolTip("Rows: the class you gave; columns: the class predicted without having seen that object")
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.setVisible(False)

    def show_scores(self, scores: Scores | None) -> None:
        """Show the confusion matrix; hide the table where there is none."""
        self.setVisible(scores is not None)
        if scores is None:
            return
        k = len(scores.classes)
        self.setRowCount(k)
        self.setColumnCount(k)
        self.setVerticalHeaderLabels([f"you: {name}" for name in scores.classes])
        self.setHorizontalHeaderLabels(list(scores.classes))
        for i, row in enumerate(scores.confusion.tolist()):
            for j, count in enumerate(row):
                self.setItem(i, j, _cell(count, sum(row), right=i == j))
        # Qt gives every table the same height, with a scroll bar or empty room.
        height = self.horizontalHeader().sizeHint().height() + sum(self.rowHeight(i) for i in range(k)) + 4
        self.setFixedHeight(height)


def _cell(count: int, total: int, *, right: bool) -> QTableWidgetItem:
    item = QTableWidgetItem(str(count))
    item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
    if count and total:
        colour = QColor(_RIGHT if right else _WRONG)
        # Opacity by the share of the row, so that rare classes show as clearly as frequent ones; 60 to be seen at all.
        colour.setAlpha(60 + round(195 * count / total))
        item.setBackground(colour)
        item.setForeground(QColor("white"))
    return item
