"""The list of classes: a key, a colour, a name and the number of labels of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

__all__ = ["COLOURS", "MOST", "ClassList"]

COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#8c564b", "#bcbd22")
"""Colours of the classes; the first seven can be told apart by the colour-blind (Okabe & Ito, 2008)."""

MOST = len(COLOURS)
"""Number of classes: one for each key from 1 to 9."""


class ClassList(QWidget):  # type: ignore[misc]  # Qt is not followed by mypy
    """Editable list of classes.

    Parameters
    ----------
    on_change : callable
        Called when a name was changed or a class was added or removed.
    """

    def __init__(self, on_change: Callable[[], object]) -> None:
        super().__init__()
        self._on_change = on_change
        self._rows: list[tuple[QLabel, QLineEdit, QLabel]] = []
        self._grid = QGridLayout()
        self.add_button, self.remove_button = QPushButton("Add class"), QPushButton("Remove last")
        self.add_button.clicked.connect(lambda: self.set_names([*self.names, self._new_name()]))
        self.remove_button.clicked.connect(lambda: self.set_names(self.names[:-1]))
        buttons = QHBoxLayout()
        buttons.addWidget(self.add_button)
        buttons.addWidget(self.remove_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._grid)
        layout.addLayout(buttons)
        self._grid.setColumnStretch(1, 1)
        self.set_names(["class 1", "class 2"])

    @property
    def names(self) -> list[str]:
        """Names of the classes, by their keys; a name that is empty or repeats another is made different."""
        found: list[str] = []
        for index, (_, name, _) in enumerate(self._rows):
            # Names are columns of values in the features: two classes of one name would become one.
            plain = name.text().strip() or f"class {index + 1}"
            found.append(plain if plain not in found else f"{plain} ({index + 1})")
        return found

    def set_names(self, names: Sequence[str]) -> None:
        """Show these classes, at least two and at most nine."""
        wanted = list(names)[:MOST]
        while len(self._rows) > len(wanted):
            # From the end, as keys and colours belong to places in the list and not to names.
            for widget in self._rows.pop():
                self._grid.removeWidget(widget)
                widget.deleteLater()
        while len(self._rows) < len(wanted):
            self._add_row()
        for (_, line, _), name in zip(self._rows, wanted, strict=True):
            # Setting the same text would move the cursor of a line that is being edited.
            if line.text() != name:
                line.setText(name)
        self.add_button.setEnabled(len(wanted) < MOST)
        self.remove_button.setEnabled(len(wanted) > 2)
        self._on_change()

    def show_counts(self, counts: Sequence[int]) -> None:
        """Show the number of labels of each class."""
        for (_, _, label), count in zip(self._rows, counts, strict=False):
            label.setText(f"{count} label" + ("s" if count != 1 else ""))

    def leaveEvent(self, event: QEvent) -> None:  # Qt's name
        """End the typing of a name as the mouse goes to the image, where keys give classes."""
        super().leaveEvent(event)
        for _, name, _ in self._rows:
            if name.isModified():  # one that was only clicked may be typed with the mouse elsewhere
                name.clearFocus()
                name.setModified(False)

    def _add_row(self) -> None:
        index = len(self._rows)
        key = QLabel(str(index + 1))
        key.setFixedWidth(24)
        key.setAlignment(Qt.AlignmentFlag.AlignCenter)
        key.setStyleSheet(
            f"QLabel {{ background-color: {COLOURS[index]}; color: black; font-weight: bold; padding: 2px 0px; }}"
        )
        key.setToolTip(f"Key {index + 1} gives this class to the object under the mouse")
        name, count = QLineEdit(), QLabel("0 labels")
        # When editing ends, not at every letter: each change rewrites the features of the layers.
        name.editingFinished.connect(self._on_change)
        name.returnPressed.connect(name.clearFocus)  # or the next key would be typed into it
        for column, widget in enumerate((key, name, count)):
            self._grid.addWidget(widget, index, column)
        self._rows.append((key, name, count))

    def _new_name(self) -> str:
        return f"class {len(self._rows) + 1}"
