"""The Train page for a denoiser of one's own: which layers it asks for, what it shows, and where the model appears."""

import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from magicgui.widgets import Container, PushButton
from scipy.ndimage import gaussian_filter

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from qtpy.QtCore import QPoint
from seen import field, jobs_alive, said

from napari_genrecon.engine.run import Progress
from napari_genrecon.models.card import check_name
from napari_genrecon.models.registry import find_model
from napari_genrecon.training import all_recipes
from napari_genrecon.widgets.fit import scrolled
from napari_genrecon.widgets.openers import DenoiseWidget, GenerateWidget
from napari_genrecon.widgets.train import run_view
from napari_genrecon.widgets.train.page import SHEET
from napari_genrecon.widgets.train.run_snapshot import RunSnapshot
from napari_genrecon.widgets.train.run_view import RunView

PLACED = {"scale": (0.2, 0.2), "units": ("micrometer",) * 2}


def scene(seed=0):
    return 200 + 4000 * np.clip(gaussian_filter(np.random.default_rng(seed).normal(size=(192, 192)), 3), 0, None)


def noisy(seed):
    return (np.random.default_rng(seed).poisson(scene() / 10) * 10 + 100).astype("uint16")


@pytest.fixture
def opened(make_napari_viewer, own_folders):
    """A viewer with a noisy and a clean image, and the Generate widget on its Train page with the recipe CARE."""
    viewer = make_napari_viewer()
    viewer.add_image(scene().astype("uint16"), name="clean", **PLACED)
    viewer.add_image(noisy(0), name="noisy", **PLACED)
    widget = GenerateWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.train.recipe["kind"].value = "care"
    widget.train.cutting["size"].value = 32
    return viewer, widget


def press(qtbot, page, button):
    button.changed.emit(True)
    qtbot.waitUntil(lambda: not page.panel.busy, timeout=60_000)


def test_recipe_shows_the_layers_it_needs_and_takes_its_own_defaults(opened):
    _, widget = opened
    page, chooser = widget.train, widget.train.chooser
    assert not chooser.targets.native.isHidden()
    assert chooser.mode.native.isHidden()
    assert (chooser.images.value, chooser.targets.value) == (["noisy"], [])
    assert page.recipe["minutes"].value == 3
    assert page.model_name.value == "noisy-care"
    page.recipe["kind"].value = "noise2noise"
    assert chooser.targets.native.isHidden()
    page.recipe["kind"].value = "vae"
    assert not chooser.mode.native.isHidden()
    assert page.recipe["minutes"].value == 10
    assert page.cutting["size"].value == 32  # as it was set by hand


@pytest.mark.parametrize("kind", [recipe.name for recipe in all_recipes()])
def test_name_that_is_suggested_is_one_that_a_model_can_have(opened, kind):
    viewer, widget = opened
    viewer.layers["noisy"].name = "  day 1: (noisy) µm.tif"
    widget.train.recipe["kind"].value = kind
    widget.train.chooser.images.value = [viewer.layers[1].name]
    assert check_name(widget.train.model_name.value).startswith("day-1")


def test_noise2void_takes_noisy_layers_alone_says_what_its_score_means_and_shows_its_crops(opened, qtbot):
    viewer, widget = opened
    page = widget.train
    page.recipe["kind"].value = "noise2void"
    assert page.chooser.targets.native.isHidden()
    assert "no truth is known: the score rests on the noise" in said(page)
    assert page.recipe["minutes"].value == 3
    page.chooser.images.value = ["noisy"]
    press(qtbot, page, page.show_crops)
    assert SHEET in viewer.layers, page.panel.words
    assert "shows some, changed as in training" in page.panel.words


def test_pairs_are_shown_side_by_side_before_training(opened, qtbot):
    viewer, widget = opened
    widget.train.chooser.targets.value = ["clean"]
    press(qtbot, widget.train, widget.train.show_crops)
    assert "shows pairs of image and target" in widget.train.panel.words
    picture = viewer.layers[SHEET].data
    left, right = picture[:32, :32].ravel(), picture[:32, 33:65].ravel()
    assert np.corrcoef(left, right)[0, 1] > 0.5
    assert left.std() > right.std()  # noise


@pytest.mark.parametrize(
    ("targets", "words"),
    [([], "choose the targets, too"), (["noisy"], "'noisy' is chosen as an image and as its target")],
    ids=["none", "same"],
)
def test_layers_that_make_no_pair_are_refused_in_the_page(opened, qtbot, targets, words):
    _, widget = opened
    widget.train.chooser.targets.value = targets
    press(qtbot, widget.train, widget.train.start)
    assert words in widget.train.panel.words


def test_images_that_do_not_match_are_refused_in_the_page(opened, qtbot):
    viewer, widget = opened
    viewer.layers["clean"].data = np.roll(scene(), 9, 0)
    widget.train.chooser.targets.value = ["clean"]
    press(qtbot, widget.train, widget.train.start)
    assert "are shifted by 9 px along y and 0 px along x" in widget.train.panel.words


@pytest.mark.parametrize("user_scrolls", [False, True])
def test_page_scrolls_to_the_progress_and_to_its_picture_unless_the_user_scrolls(qtbot, monkeypatch, user_scrolls):
    found, read = [RunSnapshot(runs=())], []

    def steps(name):
        yield Progress(0, 0)
        read.append(name)
        return found[-1]

    monkeypatch.setattr(run_view, "snapshot_steps", steps)
    view, above = RunView(lambda name: None), PushButton(text="Start training")
    page = Container(widgets=[above, view], labels=False)
    above.native.setFixedHeight(400)
    area = scrolled(page.native)
    qtbot.addWidget(area)
    area.resize(380, 200)
    area.show()
    bar = area.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 200)
    view.reveal()
    assert bar.value() == bar.maximum()  # there is not room enough below yet
    reached = bar.value()
    if user_scrolls:
        bar.setValue(reached - 20)
    page.native.setMinimumHeight(1500)  # as with curves
    run = SimpleNamespace(name="mito", kind="care", created="", options={"minutes": 1})
    pictures = np.zeros((3, 1, 32, 32), "f4")
    found.append(RunSnapshot(runs=((run, "running"),), chosen=run, state="running", samples=pictures))
    view.choose(run)
    qtbot.waitUntil(lambda: bar.maximum() > reached + 400 and "started" in view.words)
    read.clear()
    view.choose(run)
    qtbot.waitUntil(lambda: bool(read) and not jobs_alive())
    qtbot.wait(50)
    view.leave()
    top = view.native.mapTo(area.widget(), QPoint(0, 0)).y()
    assert bar.value() == (reached - 20 if user_scrolls else top - 30)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["care", "noise2void"])
def test_denoiser_trained_in_the_window_can_be_chosen_in_denoise(opened, qtbot, kind):
    viewer, widget = opened
    widget.train.recipe["kind"].value = kind
    widget.train.chooser.images.value, widget.train.chooser.targets.value = ["noisy"], ["clean"]
    denoise = DenoiseWidget(viewer)
    viewer.window.add_dock_widget(denoise.native)
    page = widget.train
    for name, value in {"steps": 2, "batch": 2, "device": "cpu"}.items():
        page.recipe[name].value = value
    page.cutting["n"].value = "60"
    page.model_name.value = "mito"
    press(qtbot, page, page.start)
    assert "Started 'mito'" in page.panel.words
    qtbot.waitUntil(lambda: page.runs.snapshot.state == "finished", timeout=120_000)
    qtbot.waitUntil(lambda: "mito" in field(denoise, "model").choices, timeout=10_000)
    assert "can be chosen in the dock Denoise" in page.runs.words
    samples = page.runs.snapshot.samples  # rows of a held-out crop: as it is, before and now
    assert len(samples) % 3 == 0
    assert samples.shape[1:] == (1, 32, 32)
    assert find_model("mito", "denoise").pixel_size == pytest.approx((0.2, 0.2))
