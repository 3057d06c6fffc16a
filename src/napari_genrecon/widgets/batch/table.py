"""Table of the images of a batch: what is done, what is being done and how long it takes, what failed and why."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_genrecon.widgets.words import TimeLeft

if TYPE_CHECKING:
    from napari_genrecon.tasks.batch import Row

__all__ = ["BatchTable"]

_TITLES = ("image", "state")
_WIDTH = 180  # pixels of the names; the state takes the rest
_ROWS = 6  # in sight without scrolling
_COLOURS = {"done": "#3fae5a", "done before": "#3fae5a", "failed": "#e8743b", "running": "#2a9df4"}


class BatchTable(QTableWidget):  # type: ignore[misc]  # Qt is not followed by mypy
    """Table with a row for each image; only rows that have changed are written again."""

    def __init__(self) -> None:
        super().__init__(0, len(_TITLES))
        self.rows: tuple[Row, ...] = ()
        self._left = TimeLeft()
        self.setHorizontalHeaderLabels(_TITLES)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(True)
        self.verticalHeader().hide()
        self.setColumnWidth(0, _WIDTH)
        self.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.setMinimumHeight(self.fontMetrics().lineSpacing() * 2 * (_ROWS + 1))
        self.hide()  # until there is something to show

    @property
    def chosen(self) -> Row | None:
        """The row that is chosen, or None."""
        found = self.selectionModel().selectedRows()
        return self.rows[found[0].row()] if found and found[0].row() < len(self.rows) else None

    def show_rows(self, rows: Sequence[Row]) -> None:
        """Show these rows; the one that is being worked on comes into sight."""
        before, self.rows = self.rows, tuple(rows)
        self.setVisible(bool(rows))
        # Other images: all is written anew. The same ones: only what changed, as a long table would flicker and stall.
        if [row.image for row in before] != [row.image for row in self.rows]:
            before = ()
            self.clearContents()
            self.setRowCount(len(self.rows))
        for index, row in enumerate(self.rows):
            # Rows are frozen, so that one that has changed is another object.
            if not before or row is not before[index]:
                self._show(index, row, begins=not before or before[index].state != row.state)

    def _show(self, index: int, row: Row, *, begins: bool) -> None:
        # Each image has a speed of its own.
        if begins and row.state == "running":
            self._left = TimeLeft()
        self._put(index, 0, row.image.name, str(row.image))
        self._put(index, 1, self._state(row), row.sentence or str(row.result), _COLOURS.get(row.state, ""))
        # Only when the state changes: a row must not jump into sight at every step of its image.
        if begins and row.state != "waiting":
            self.resizeRowToContents(index)
            self.scrollToItem(self.item(index, 0))

    def _state(self, row: Row) -> str:
        if row.state == "failed":
            return f"failed: {row.sentence}"
        if row.state != "running":
            notes = f", {len(row.notes)} note{'s' if len(row.notes) > 1 else ''}" if row.notes else ""
            return row.state + notes
        done = f"{row.progress.fraction:.0%}" if row.progress.total else "begins"
        return ", ".join(filter(None, [done, self._left.of(row.progress, time.perf_counter())]))

    def _put(self, index: int, column: int, words: str, tooltip: str, colour: str = "") -> None:
        item: Any = self.item(index, column)
        if item is None:
            item = QTableWidgetItem()
            self.setItem(index, column, item)
        item.setText(words)
        item.setToolTip(tooltip)
        item.setForeground(QBrush(QColor(colour)) if colour else QBrush())
