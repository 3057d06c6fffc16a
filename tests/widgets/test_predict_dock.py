"""Image to image in the window: layers become channels when it trains and when it predicts."""

import os
import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from seen import RUN, button, choose, click, note, said

from napari_genrecon import predict, train
from napari_genrecon.training import read_options
from napari_genrecon.training.data.dataset import CropOptions
from napari_genrecon.widgets.openers import GenerateWidget, PredictWidget
from napari_genrecon.widgets.train.page import SHEET

pytestmark = pytest.mark.filterwarnings("ignore::napari_genrecon.errors.GenReconWarning")
PLACED = {"scale": (0.2, 0.2), "units": ("micrometer",) * 2}


def scene(seed, width=3.0):
    return 200 + 4000 * np.clip(gaussian_filter(np.random.default_rng(seed).normal(size=(192, 192)), width), 0, None)


@pytest.fixture
def viewer(make_napari_viewer, own_folders):
    viewer = make_napari_viewer()
    for seed, name in enumerate(("red", "green")):
        viewer.add_image(scene(seed), name=name, colormap=name, **PLACED)
    for power, name in ((1, "stain A"), (2, "stain B"), (3, "stain C")):
        viewer.add_image((scene(0) + scene(1)) ** power / 1000.0 ** (power - 1), name=name, **PLACED)
    return viewer


def trained(viewer):
    data = {layer.name: layer.data for layer in viewer.layers}
    images, targets = (np.stack([data[name] for name in names]) for names in (NAMES, TARGETS))
    options = read_options({"kind": "image2image", "batch": 2, "steps": 2, "device": "cpu"})
    crops = CropOptions(size=32, held_out=0.2, n=60)
    train("image2image", images, targets, name="stains", axes="CYX", crops=crops, options=options)
    return images


NAMES, TARGETS = ("red", "green"), ("stain A", "stain B", "stain C")


def test_layers_are_trained_on_as_channels_of_an_image_and_of_its_target(viewer, qtbot):
    widget = GenerateWidget(viewer)
    viewer.window.add_dock_widget(widget)
    page = widget.train
    page.recipe["kind"].value = "image2image"
    page.cutting["size"].value = 32
    page.chooser.images.value, page.chooser.targets.value = list(NAMES), list(TARGETS)
    assert not page.chooser.together.native.isHidden()
    page.chooser.targets.value = list(TARGETS[:1])
    page.start.changed.emit(True)
    assert "2 images and 1 target are chosen: choose a target for each image, or tick that" in page.panel.words
    page.chooser.targets.value = list(TARGETS)
    page.chooser.together.value = True
    source = page.chooser.source()
    assert [np.shape(x) for x in (*source.images, *source.where["targets"])] == [(2, 192, 192), (3, 192, 192)]
    assert source.where["target_names"] == TARGETS
    page.show_crops.changed.emit(True)
    qtbot.waitUntil(lambda: not page.panel.busy, timeout=60_000)
    assert SHEET in viewer.layers, page.panel.words
    assert "shows pairs of image and target" in page.panel.words
    page.recipe["kind"].value = "care"
    assert page.chooser.together.native.isHidden()  # a denoiser takes channels by themselves


def test_stacks_are_cut_into_blocks_of_the_depth_that_was_typed_and_only_for_recipes_that_take_them(viewer, qtbot):
    rng = np.random.default_rng(0)
    clean = np.clip(gaussian_filter(rng.normal(size=(8, 128, 128)), (1, 3, 3)), 0, None) * 1000
    viewer.add_image(clean, name="clean stack", scale=(0.6, 0.2, 0.2))
    viewer.add_image(clean + rng.normal(100, 50, clean.shape), name="noisy stack", scale=(0.6, 0.2, 0.2))
    widget = GenerateWidget(viewer)
    viewer.window.add_dock_widget(widget)
    page = widget.train
    page.recipe["kind"].value = "image2image"
    assert not page.cutting["depth"].native.isHidden()
    page.cutting["size"].value, page.cutting["depth"].value = 32, "4"
    page.chooser.images.value, page.chooser.targets.value = ["noisy stack"], ["clean stack"]
    page.show_crops.changed.emit(True)
    qtbot.waitUntil(lambda: not page.panel.busy, timeout=60_000)
    assert "crops of 4 planes of 32 x 32 px" in page.panel.words
    assert viewer.layers[SHEET].data.shape == (6 * 33 - 1, 8 * 33 - 1)
    page.recipe["kind"].value = "care"
    assert page.cutting["depth"].native.isHidden()
    page.show_crops.changed.emit(True)
    qtbot.waitUntil(lambda: not page.panel.busy, timeout=60_000)
    assert "crops of 32 x 32 px" in page.panel.words


@pytest.mark.slow
def test_chosen_layers_are_the_channels_of_a_model_that_takes_as_many(viewer, qtbot):
    images = trained(viewer)
    viewer.layers["red"].contrast_limits = (0, 10)
    dock = PredictWidget(viewer)
    page = getattr(dock, "page", dock)
    viewer.window.add_dock_widget(dock)
    page.refresh_models()
    choose(page, *NAMES)
    qtbot.waitUntil(lambda: not page.busy, timeout=60_000)
    qtbot.waitUntil(lambda: "Expected time" in said(page), timeout=60_000)
    before = len(viewer.layers)
    click(page, RUN)
    qtbot.waitUntil(lambda: not page.busy, timeout=60_000)
    assert len(viewer.layers) == before + 1, note(page)
    (made,) = viewer.layers[before:]
    np.testing.assert_array_equal(made.data, predict(images, axes="CYX", device="cpu"))
    assert [float(step) for step in made.scale] == [1.0, 0.2, 0.2]
    assert made.metadata["genrecon"]["nature"] == "predicted"
    assert made.contrast_limits[1] > 1000  # its own grey values, not those of the image


def test_dock_offers_no_preview_and_asks_for_a_model_where_there_is_none(viewer, qtbot):
    dock = PredictWidget(viewer)
    page = getattr(dock, "page", dock)
    viewer.window.add_dock_widget(dock)
    assert button(page, "Preview").isHidden()
    choose(page, "red")
    qtbot.waitUntil(lambda: not page.busy, timeout=60_000)
    before = len(viewer.layers)
    click(page, RUN)
    assert "there is no model" in note(page).lower()  # at once, before a job is begun
    click(page, "Preview")  # as its keys do
    assert "press Predict" in said(page)
    assert len(viewer.layers) == before
