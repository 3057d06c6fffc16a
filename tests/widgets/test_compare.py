"""Comparing finished results: split, hold, side by side, difference, residual, profile."""

import os
import sys

import numpy as np
import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Points
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from seen import line_on

from napari_genrecon.engine.run import finish
from napari_genrecon.errors import ImageError
from napari_genrecon.widgets import add_result
from napari_genrecon.widgets.compare.differences import difference_steps
from napari_genrecon.widgets.compare.pairs import Pair, source_of
from napari_genrecon.widgets.compare.profile import line_of, profile_along
from napari_genrecon.widgets.openers import CompareWidget

SHAPE = (3, 24, 32)


def ramp(shape=SHAPE):
    return np.arange(np.prod(shape), dtype="f4").reshape(shape)


@pytest.fixture
def pages(make_napari_viewer):
    """A viewer with two images, and the page that compares them."""
    viewer = make_napari_viewer()
    viewer.add_image(ramp(), name="cells", scale=(2, 0.5, 0.5))
    viewer.add_image(ramp() + 100, name="cells twin", scale=(2, 0.5, 0.5))
    viewer.dims.set_current_step(0, 1)
    page = CompareWidget(viewer)
    viewer.window.add_dock_widget(page)
    return viewer, page


def picture(viewer):
    """Return the layer that shows both images, which is above all others."""
    return next(layer for layer in reversed(viewer.layers) if " | " in layer.name)


def shown(viewer):
    return picture(viewer).data


# Pairs ----------------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    factor=st.integers(1, 4), start=st.tuples(*[st.integers(0, 5)] * 2), size=st.tuples(*[st.integers(1, 9)] * 2),
    scale=st.floats(0.1, 10), angle=st.sampled_from([0, 30]),
)  # fmt: skip
def test_pixels_of_a_pair_are_those_of_one_place(factor, start, size, scale, angle):
    """A finer image of a part meets the pixels of the coarser one that it lies on, wherever both are put."""
    coarse = ramp((14, 15))
    layer = Image(coarse, scale=(scale, scale), translate=(7, -3), rotate=angle)
    part = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
    fine = coarse[part].repeat(factor, 0).repeat(factor, 1)
    corner = layer.data_to_world(np.array(start) - 0.5 + 0.5 / factor)
    finer = Image(fine, scale=(scale / factor,) * 2, translate=corner, rotate=angle)
    pair = Pair(layer, finer, (0, 0))
    before, after = pair.read(tuple(slice(0, n, 1) for n in pair.shape()))
    np.testing.assert_array_equal(before, fine)
    np.testing.assert_array_equal(after, fine)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"translate": (500, 0)}, "do not overlap"),
        ({"rotate": 30}, "turned or sheared"),
        ({"rgb": True}, "has colours"),
    ],
    ids=["elsewhere", "turned", "colours"],
)
def test_images_that_cannot_be_compared_get_a_sentence(other, sentence):
    data = np.zeros((20, 30, 3), "u1") if other.get("rgb") else ramp((20, 30))
    with pytest.raises(ImageError, match=sentence):
        Pair(Image(ramp((20, 30))), Image(data, **other), (0, 0))


def test_one_image_twice_gets_a_sentence():
    layer = Image(ramp())
    with pytest.raises(ImageError, match="chosen twice"):
        Pair(layer, layer, (0, 0, 0))


def test_source_of_a_result_is_found():
    viewer = ViewerModel()
    noisy = np.random.default_rng(0).poisson(30, (48, 48)).astype("u2")
    other, cells = viewer.add_image(noisy + 1, name="other"), viewer.add_image(noisy, name="cells")
    assert source_of(add_result(viewer, "denoise", cells), [other, cells]) is cells
    assert source_of(cells, list(viewer.layers)) is None


# Pictures -------------------------------------------------------------------------------------------------------------


def test_line_divides_two_finished_images_and_follows_the_plane(pages, qtbot):
    viewer, page = pages
    page.way.value = "split"
    for plane in (1, 2):
        viewer.dims.set_current_step(0, plane)
        before = ramp()[plane]
        left = np.abs(shown(viewer) - before) < 1
        np.testing.assert_array_equal(shown(viewer), np.where(left, before, before + 100))
        assert left[:, 0].all()
        assert not left[:, -1].any()
    share = left.mean()
    line = line_on(viewer)
    line.drag_to(line.parentWidget().width() * 0.9)
    qtbot.waitUntil(lambda: np.mean(np.abs(shown(viewer) - before) < 1) > share)


@pytest.mark.parametrize("way", ["split", "side"])
def test_images_are_named_as_they_are_now(pages, way):
    viewer, page = pages
    page.way.value = way
    viewer.layers["cells"].name = "control"
    assert "'control'" in page.words.value
    assert "'cells'" not in page.words.value


def test_upscaled_result_is_compared_with_its_source(make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.add_image(ramp((16, 20)), name="cells", scale=(0.5, 0.5))
    large = viewer.add_image(
        ramp((16, 20)).repeat(2, 0).repeat(2, 1), name="large", scale=(0.25, 0.25), translate=(-0.125, -0.125)
    )
    page = CompareWidget(viewer)
    page.before.value, page.after.value, page.way.value = "cells", "large", "before"
    np.testing.assert_array_equal(shown(viewer), large.data)
    np.testing.assert_allclose(picture(viewer).extent.world, large.extent.world)


@pytest.mark.parametrize(("way", "held"), [("split", "before"), ("after", "before"), ("before", "after")])
def test_other_image_is_shown_while_the_key_is_held(pages, way, held):
    viewer, page = pages
    page.way.value = way
    canvas = viewer.window._qt_viewer.canvas.native
    both = {"before": ramp()[1], "after": ramp()[1] + 100}
    before = shown(viewer).copy()
    QTest.keyPress(canvas, Qt.Key.Key_H)
    np.testing.assert_array_equal(shown(viewer), both[held])
    QTest.keyRelease(canvas, Qt.Key.Key_H)
    np.testing.assert_array_equal(shown(viewer), before)


def test_side_by_side_shows_two_layers_and_ends_as_it_began(pages):
    viewer, page = pages
    hidden, third = viewer.add_image(ramp(), name="hidden", visible=False), viewer.add_image(ramp(), name="third")
    zoom = viewer.scene.camera.zoom
    page.way.value = "side"
    grid = viewer.canvas.grid
    places = [grid.position(viewer.layers.index(name), viewer.layers) for name in ("cells", "cells twin")]
    assert grid.enabled
    assert places == [(0, 0), (0, 1)]
    assert not third.visible
    page.way.value = "off"
    assert not grid.enabled
    assert (third.visible, hidden.visible) == (True, False)
    assert viewer.scene.camera.zoom == pytest.approx(zoom)


def test_side_by_side_shows_two_of_layers_that_are_linked(pages):
    viewer, page = pages
    third = viewer.add_image(ramp(), name="third")
    viewer.layers.link_layers(list(viewer.layers))
    page.way.value = "side"
    assert [layer.visible for layer in viewer.layers] == [True, True, False]
    page.way.value = "off"
    assert all(layer.visible for layer in viewer.layers)
    viewer.layers["cells"].gamma = 0.5
    assert third.gamma == 0.5


def test_closing_the_dock_leaves_nothing(pages, qtbot):
    viewer, page = pages
    page.way.value = "split"
    viewer.window.remove_dock_widget(page.native)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells twin"]
    QTest.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_H)
    assert len(viewer.layers) == 2


def test_removed_image_ends_the_comparison(pages):
    viewer, page = pages
    page.way.value = "split"
    viewer.layers.remove("cells twin")
    assert [layer.name for layer in viewer.layers] == ["cells"]


def test_slow_pixels_are_read_beside_the_window(make_napari_viewer, qtbot):
    """The window never computes a lazy image itself, and never shows another plane in the place of one."""
    import threading

    import dask.array as da

    threads = set()

    def slow(block):
        if block.size and block.shape != (1, 1, 1):
            threads.add(threading.current_thread())
        return block

    viewer = make_napari_viewer()
    lazy = da.from_array(ramp(), chunks=(1, 24, 32)).map_blocks(slow, dtype="f4")
    viewer.add_image(ramp(), name="cells")
    viewer.add_image(lazy, name="lazy", contrast_limits=(0, 2000), visible=False)
    page = CompareWidget(viewer)
    page.before.value, page.after.value = "cells", "lazy"
    threads.clear()
    page.way.value = "after"
    qtbot.waitUntil(lambda: "cells | lazy" in viewer.layers)
    viewer.dims.set_current_step(0, 2)
    assert not picture(viewer).visible
    qtbot.waitUntil(lambda: picture(viewer).visible)
    np.testing.assert_array_equal(shown(viewer), ramp()[2])


# Differences ----------------------------------------------------------------------------------------------------------


def test_difference_and_residual_are_those_of_the_pixels(pages, qtbot):
    viewer, page = pages
    rng = np.random.default_rng(0)
    viewer.layers["cells"].data = rng.normal(500, 10, SHAPE).astype("f4")
    viewer.layers["cells twin"].data = np.full(SHAPE, 500, "f4")
    for kind in ("difference", "residual"):
        getattr(page, kind).changed.emit(True)
        qtbot.waitUntil(lambda: not page.panel.busy, timeout=60_000)
    change = viewer.layers["cells twin"].data - viewer.layers["cells"].data
    added = viewer.layers["cells twin: difference"]
    np.testing.assert_array_equal(added.data, change)
    np.testing.assert_allclose(added.extent.world, viewer.layers["cells"].extent.world)
    assert viewer.layers["cells twin: residual in noise s.d."].data.std() == pytest.approx(1, abs=0.05)


def test_what_is_said_of_a_pair_goes_with_it(pages, qtbot):
    viewer, page = pages
    viewer.add_image(ramp()[:, ::2, ::2], name="coarse", scale=(2, 1, 1))
    page.after.value = "coarse"
    page.residual.native.click()
    qtbot.waitUntil(lambda: not page.panel.busy, timeout=60_000)
    assert "'cells' and 'coarse' differ" in page.panel.words
    page.after.value = "cells twin"
    assert page.panel.words == ""


def test_residual_of_other_pixels_gets_a_sentence():
    made = {"genrecon": {"task": "deblur", "input": {}}}
    pair = Pair(Image(ramp()), Image(ramp(), metadata=made), (0, 0, 0))
    with pytest.raises(ImageError, match="take the difference"):
        finish(difference_steps(pair, "residual"))


# Profile --------------------------------------------------------------------------------------------------------------


def test_profile_of_a_ramp_is_the_ramp(pages, qtbot):
    viewer, page = pages
    viewer.add_shapes([[[0.5, 1.0], [0.5, 11.0]]], shape_type="line", name="line")  # row 1, columns 2 to 22
    page.line.value = "line"
    qtbot.waitUntil(lambda: not page.plot.isHidden(), timeout=60_000)
    (distance, before), (_, after) = (curve.getData() for curve in page.plot.items.listDataItems()[-2:])
    np.testing.assert_allclose(before, ramp()[1, 1, 2] + distance / 0.5)
    np.testing.assert_allclose(after, before + 100)
    assert distance[-1] == pytest.approx(10)


def test_profile_follows_the_plane_and_ends_outside_the_image(pages):
    viewer, _ = pages
    viewer.dims.set_current_step(0, 2)
    points = Points([[0.0, 0.0], [0.0, 20.0]])
    pair = Pair(viewer.layers["cells"], viewer.layers["cells twin"], tuple(viewer.dims.point))
    found = profile_along(pair, line_of(points), tuple(viewer.dims.point), None)
    assert found.before[0] == ramp()[2, 0, 0]
    assert np.isnan(found.before[-1])


def test_layer_without_a_line_gets_a_sentence():
    with pytest.raises(ImageError, match="draw two points"):
        line_of(Points([[0.0, 0.0]]))


# Where it is found ----------------------------------------------------------------------------------------------------


def test_right_click_on_a_result_compares_it_with_its_source(pages, monkeypatch):
    from napari._app_model import get_app_model
    from napari._app_model.constants import MenuId

    viewer, page = pages
    made = {"task": "denoise", "input": {"shape": list(SHAPE), "dtype": "float32"}}
    viewer.add_image(ramp(), name="cells denoise", metadata={"genrecon": made})
    app = get_app_model()
    titles = {
        item.command.id: item.command.title
        for item in app.menus.get_menu(MenuId.LAYERLIST_CONTEXT)
        if hasattr(item, "command")
    }
    assert titles["napari-genrecon.right_click.compare"] == "Compare…"
    opened = []
    monkeypatch.setattr("napari_genrecon.widgets.right_click.open_filled", lambda *given: opened.append(given))
    app.commands.execute_command("napari-genrecon.right_click.compare").result()
    assert opened[0][1:] == ("compare", "cells denoise", {})
    page.fill("cells denoise", {})
    assert (page.before.value, page.after.value, page.way.value) == ("cells", "cells denoise", "split")
