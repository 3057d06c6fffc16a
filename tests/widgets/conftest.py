"""What the tests of the docks share."""

import sys
from pathlib import Path

import pytest

from napari_genrecon.widgets.room import Room

sys.path.insert(0, str(Path(__file__).parent))  # for `seen`


@pytest.fixture
def settle(qtbot):
    """Return a function that waits until the page of a task is in sight, and nothing runs in it or waits."""

    def wait(page):
        qtbot.wait(20)
        if isinstance(page, Room) and page.parent() is not None:  # the page comes on later turns of Qt's loop
            qtbot.waitUntil(lambda: page.ready, timeout=60_000)
        qtbot.waitUntil(lambda: not page.busy, timeout=60_000)

    return wait


@pytest.fixture
def docked(settle):
    """Return a function that opens the dock of a task and waits until it has measured."""

    def dock(viewer, kind):
        page = kind(viewer)
        viewer.window.add_dock_widget(page)
        settle(page)
        return page

    return dock
