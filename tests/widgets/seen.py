"""What a user sees of a dock and does with it: its texts, and its buttons by their words."""

from qtpy.QtWidgets import QListWidget, QPlainTextEdit, QPushButton, QTextEdit

RUN = "Makes a new layer"  # the button is named after the task, and its tooltip begins so


def _native(page):
    """Return the Qt widget of a page, which a room makes now if it is not there yet."""
    return getattr(page, "content", page).native


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


def texts(page):
    """Return every text of a dock: what it reports of the image, and what became of the last job."""
    boxes = _native(page).findChildren(QTextEdit) + _native(page).findChildren(QPlainTextEdit)
    return [box.toPlainText() for box in boxes]


def said(page):
    """Return the texts of a dock as one."""
    return "\n".join(texts(page))


def chosen(page):
    """Return the names of the images that are chosen in the list of a dock."""
    shown = _native(page).findChildren(QListWidget)[0]
    return [shown.item(row).text() for row in range(shown.count()) if shown.item(row).isSelected()]
