"""The width of the blur is found in the image and used, by a button of Deblur."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from napari_genrecon import measure_blur
from napari_genrecon.widgets.task.widget import DeblurWidget


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


def press(qtbot, page):
    qtbot.waitUntil(lambda: "Expected time" in page._report.value and page._job is None, timeout=60_000)
    page._form["psf_find"].native.click()
    qtbot.waitUntil(lambda: page._job is None, timeout=60_000)


def test_width_is_found_said_and_used(opened, qtbot):
    viewer, page = opened
    found = measure_blur(viewer.layers["spots"])
    press(qtbot, page)
    assert page._form["psf_find"].text == f"Use {found.fwhm:.1f} px"
    assert f"Blur of {found.fwhm:.1f}" in page._status.value
    press(qtbot, page)
    assert page._form["psf_width"].value == pytest.approx(found.fwhm, abs=0.051)
    assert page._form["psf_find"].text == "Find it in the image"


def test_image_that_does_not_tell_says_why_and_changes_nothing(opened, qtbot):
    _, page = opened
    before = page._form["psf_width"].value
    page._layers.value = ["nothing"]
    press(qtbot, page)
    assert "does not tell the width of its blur" in page._status.value
    assert page._form["psf_width"].value == before


def test_another_image_forgets_what_was_found(opened, qtbot):
    _, page = opened
    press(qtbot, page)
    page._layers.value = ["nothing"]
    assert page._form["psf_find"].text == "Find it in the image"


def test_button_is_there_for_a_gaussian_only(opened):
    _, page = opened
    page._form["psf"].value = "computed from optics"
    assert not page._form["psf_find"].visible
