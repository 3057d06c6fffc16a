"""Rooms of pages: a dock is there at once, its page on later turns, or as soon as something of it is used."""

import os
import sys

import numpy as np
import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from seen import chosen, field

from napari_genrecon.widgets.openers import DenoiseWidget, GenerateWidget, StepsWidget


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.add_image(np.random.default_rng(0).poisson(40, (64, 72)).astype("u2"), name="cells")
    return viewer


def test_page_fills_its_dock_on_later_turns(viewer, qtbot):
    room = StepsWidget(viewer)
    viewer.window.add_dock_widget(room)
    assert not room.made
    qtbot.waitUntil(lambda: room.ready, timeout=60_000)
    assert room.run.native.window() is room.window()


def test_room_is_ready_once_its_page_is_seen(viewer, qtbot):
    """Qt shows what is put into a layout a turn later: that it has its place is not enough."""
    room = StepsWidget(viewer)
    qtbot.addWidget(room)
    page = room.content.native
    room.show()
    room._go_on()
    assert page.parent() is room
    assert not room.ready
    qtbot.waitUntil(lambda: room.ready, timeout=60_000)
    assert page.isVisible()


def test_value_that_is_set_at_once_stays(viewer, qtbot, settle):
    room = DenoiseWidget(viewer)
    viewer.window.add_dock_widget(room)
    field(room, "strength").value = 0.5
    qtbot.waitUntil(lambda: room.ready, timeout=60_000)
    settle(room)
    assert field(room, "strength").value == 0.5


def test_page_that_is_filled_before_it_is_made_has_the_values(viewer, settle):
    room = DenoiseWidget(viewer)
    room.fill("cells", {"strength": 0.25})
    assert not room.made
    settle(room)
    assert field(room, "strength").value == 0.25
    assert chosen(room) == ["cells"]


def test_dock_that_is_closed_at_once_makes_its_page_when_it_opens_again(viewer, qtbot):
    room = StepsWidget(viewer)
    viewer.window.add_dock_widget(room)
    viewer.window.remove_dock_widget(room)
    qtbot.wait(300)
    assert not room.made
    assert StepsWidget(viewer) is room
    viewer.window.add_dock_widget(room)
    qtbot.waitUntil(lambda: room.ready, timeout=60_000)


def test_page_learns_that_its_dock_was_closed_and_opened(viewer, qtbot, settle):
    room = DenoiseWidget(viewer)
    viewer.window.add_dock_widget(room)
    qtbot.waitUntil(lambda: room.ready, timeout=60_000)
    settle(room)
    viewer.window.remove_dock_widget(room)
    viewer.add_image(viewer.layers["cells"].data, name="later")
    assert chosen(room) == ["cells"]
    viewer.window.add_dock_widget(room)
    assert chosen(room) == ["later"]


def test_page_that_is_used_at_once_learns_that_its_dock_was_closed(viewer):
    room = DenoiseWidget(viewer)
    viewer.window.add_dock_widget(room)
    assert chosen(room) == ["cells"]  # which makes the page
    viewer.window.remove_dock_widget(room)
    viewer.add_image(viewer.layers["cells"].data, name="later")
    assert chosen(room) == ["cells"]


def test_attribute_that_is_missing_is_an_error_of_the_page(viewer):
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = StepsWidget(viewer).no_such_thing


def test_further_tabs_are_made_unasked_and_each_when_it_is_used(viewer, qtbot):
    room = GenerateWidget(viewer)
    viewer.window.add_dock_widget(room)
    assert room.explore.run.text.startswith("Start")
    qtbot.waitUntil(lambda: all(room.tabs.widget(i).layout().count() for i in range(3)), timeout=60_000)
