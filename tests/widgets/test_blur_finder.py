"""Deblur without a PSF in hand: its width is found in the image, or it is made from points on beads."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from seen import button, choose, chosen, click, field, said

from napari_genrecon import measure_blur, psf_from_beads
from napari_genrecon.widgets.openers import DeblurWidget


@pytest.fixture
def opened(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    rng = np.random.default_rng(0)
    spots = np.where(rng.random((256, 256)) < 0.003, 5e3, 0.0)
    viewer.add_image(rng.normal(100, 5, (128, 128)).astype(np.float32), name="nothing")
    viewer.add_image(rng.poisson(gaussian_filter(spots, 1.5) + 5.0).astype(np.float32), name="spots")
    page = DeblurWidget(viewer)
    viewer.window.add_dock_widget(page)
    return viewer, page


FIND = "Small spots in a raw image"  # the button also says what it found, and its tooltip begins so


def press(qtbot, page):
    qtbot.waitUntil(lambda: "Expected time" in said(page) and not page.busy, timeout=60_000)
    click(page, FIND)
    qtbot.waitUntil(lambda: not page.busy, timeout=60_000)


def test_width_is_found_said_and_used(opened, qtbot):
    viewer, page = opened
    found = measure_blur(viewer.layers["spots"])
    press(qtbot, page)
    assert button(page, FIND).text() == f"Use {found.fwhm:.1f} px"
    assert f"Blur of {found.fwhm:.1f}" in said(page)
    press(qtbot, page)
    assert field(page, "width (px)").value == pytest.approx(found.fwhm, abs=0.051)
    assert button(page, FIND).text() == "Find it in the image"


def test_image_that_does_not_tell_says_why_and_changes_nothing(opened, qtbot):
    _, page = opened
    before = field(page, "width (px)").value
    choose(page, "nothing")
    press(qtbot, page)
    assert "does not tell the width of its blur" in said(page)
    assert field(page, "width (px)").value == before


def test_another_image_forgets_what_was_found(opened, qtbot):
    _, page = opened
    press(qtbot, page)
    choose(page, "nothing")
    assert button(page, FIND).text() == "Find it in the image"


def test_button_is_there_for_a_gaussian_only(opened):
    _, page = opened
    field(page, "PSF").value = "computed from optics"
    assert button(page, FIND).isHidden()
    field(page, "PSF").value = "Gaussian of this width"
    assert not button(page, FIND).isHidden()


def test_psf_is_made_from_points_on_beads_and_chosen(opened, qtbot):
    viewer, page = opened
    spots = viewer.layers["spots"].data
    far = [(y, x) for y in (30, 90, 150) for x in (30, 90, 150)]
    image = np.zeros((180, 180))
    image[tuple(np.transpose(far))] = 2e4
    viewer.add_image(
        np.random.default_rng(0).poisson(gaussian_filter(image, 1.5) + 5.0), name="beads", scale=(0.2, 0.2)
    )
    places = [*far, (2, 2)]
    viewer.add_points(np.multiply(places, 0.2), name="places")
    choose(page, "beads")
    qtbot.waitUntil(lambda: "Expected time" in said(page) and not page.busy, timeout=60_000)
    click(page, "Make it from points on beads")
    qtbot.waitUntil(lambda: not page.busy, timeout=60_000)
    made = viewer.layers["beads PSF"]
    np.testing.assert_array_equal(made.data, psf_from_beads(viewer.layers["beads"].data, places).pixels)
    assert tuple(made.scale) == (0.2, 0.2)
    assert field(page, "PSF").value == "beads PSF"
    assert "PSF of 9 beads; left out: 1 at the border" in said(page)
    assert chosen(page) == ["beads"]
    np.testing.assert_array_equal(viewer.layers["spots"].data, spots)


def test_without_points_it_says_what_to_do(opened, qtbot):
    _, page = opened
    qtbot.waitUntil(lambda: "Expected time" in said(page) and not page.busy, timeout=60_000)
    click(page, "Make it from points on beads")
    assert "put a point on each bead in a Points layer" in said(page)
