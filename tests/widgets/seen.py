"""What a user sees of a dock and does with it: its texts, its buttons by their words, its fields by their labels."""

import threading
from dataclasses import dataclass
from functools import partial
from typing import Any

from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QPlainTextEdit,
    QPushButton,
    QTextEdit,
)

from napari_genrecon.widgets.compare.split_line import SplitLine, canvas_of

RUN = "Makes a new layer"  # the button is named after the task, and its tooltip begins so
VIEW = "split: left of the line"  # the choice of what a preview shows has no label, and its tooltip begins so


def _native(page):
    """Return the Qt widget of a page, which a room makes now if it is not there yet."""
    page = getattr(page, "content", page)
    return getattr(page, "native", page)


def button(page, words):
    """Return the button of a dock with this text, or whose tooltip begins so."""
    found = [
        each
        for each in _native(page).findChildren(QPushButton)
        if each.text().replace("&", "") == words or each.toolTip().startswith(words)
    ]
    assert len(found) == 1, f"{len(found)} buttons {words!r}"
    return found[0]


def click(page, words):
    """Click a button as `button` finds it."""
    button(page, words).click()


@dataclass
class Field:
    """A field of a dock, with its value as it is seen: of a choice, the text."""

    native: Any
    page: Any

    @property
    def value(self):
        return self._access()[0]()

    @value.setter
    def value(self, value):
        if isinstance(self.native, QComboBox):
            assert value in self.choices, f"{value!r} is not among {self.choices}"
        self._access()[1](value)

    def _access(self):
        """Return the functions that read and set the value."""
        if isinstance(self.native, QComboBox):
            return self.native.currentText, self.native.setCurrentText
        if isinstance(self.native, QCheckBox):
            return self.native.isChecked, self.native.setChecked
        numbers = self._part(QAbstractSpinBox)  # alone, or beside a slider
        if numbers is not None:
            return numbers.value, partial(_type_number, numbers)
        line = self._part(QLineEdit)  # alone, or beside the button that chooses a file
        return line.text, lambda text: line.setText(str(text))

    def _part(self, kind):
        return self.native if isinstance(self.native, kind) else self.native.findChild(kind)

    @property
    def choices(self):
        """Texts that can be chosen."""
        return [self.native.itemText(row) for row in range(self.native.count())]

    @property
    def shown(self):
        """Whether it is in sight where the dock is, perhaps after scrolling."""
        return self.native.isVisibleTo(self.page)


def _type_number(box, number):
    """Type a number and press Enter, without which a slider does not follow the number beside it."""
    box.setValue(number)
    box.editingFinished.emit()


def field(page, words):
    """Return the field of a dock behind this label, the box to tick with this text, or the one with this tooltip."""
    native = _native(page)
    found = [_beside(label) for label in native.findChildren(QLabel) if label.text() == words]
    found += [each for each in native.findChildren(QCheckBox) if each.text() == words]
    found += [each for each in native.findChildren(QComboBox) if each.toolTip().startswith(words)]
    found = [each for each in found if each is not None]
    assert len(found) == 1, f"{len(found)} fields {words!r}"
    return Field(found[0], native)


def _beside(label):
    """Return the widget behind a label that stands first in a row, else None."""
    row = label.parentWidget().layout()
    begins = isinstance(row, QHBoxLayout) and row.count() > 1 and row.itemAt(0).widget() is label
    return row.itemAt(1).widget() if begins else None


def texts(page):
    """Return every text of a dock: what it reports of the image, and what became of the last job."""
    boxes = _native(page).findChildren(QTextEdit) + _native(page).findChildren(QPlainTextEdit)
    return [box.toPlainText() for box in boxes]


def said(page):
    """Return the texts of a dock as one."""
    return "\n".join(texts(page))


def box(page, name):
    """Return the text of a task's dock that has this name, which screen readers say."""
    found = [each for each in _native(page).findChildren(QTextEdit) if each.accessibleName() == name]
    assert len(found) == 1, f"{len(found)} texts named {name!r}"
    return found[0]


def note(page):
    """Return what a task's dock says of the last job."""
    return box(page, "message").toPlainText()


def report(page):
    """Return the numbers that a task's dock tells of the noise."""
    return box(page, "noise in detail").toPlainText()


def images(page):
    """Return the list of images of a dock."""
    return _native(page).findChildren(QListWidget)[0]


def offered(page):
    """Return the names of the images that can be chosen in the list of a dock."""
    return [images(page).item(row).text() for row in range(images(page).count())]


def chosen(page):
    """Return the names of the images that are chosen in the list of a dock."""
    return [images(page).item(row).text() for row in range(images(page).count()) if images(page).item(row).isSelected()]


def choose(page, *names):
    """Choose these images in the list of a dock, and no others."""
    assert set(names) <= set(offered(page)), f"not all of {names} are among {offered(page)}"
    shown = images(page)
    for row in range(shown.count()):
        shown.item(row).setSelected(shown.item(row).text() in names)


def line_on(viewer):
    """Return the line on the canvas that divides before and after."""
    return canvas_of(viewer).findChild(SplitLine)


def jobs_alive():
    """Return the threads of jobs that are alive."""
    return [each for each in threading.enumerate() if each.name == "napari-genrecon job"]
