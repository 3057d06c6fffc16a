"""What the tests of the docks share."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `seen`


@pytest.fixture
def settle(qtbot):
    """Return a function that waits until nothing runs in the page of a task, nor waits for its turn."""

    def wait(page):
        qtbot.wait(20)
        qtbot.waitUntil(lambda: page._job is None and page._noise.timing is None, timeout=60_000)

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
