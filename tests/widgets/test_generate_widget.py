import os
import sys
from dataclasses import replace

import numpy as np
import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from seen import jobs_alive, said

from napari_genrecon import load_model, train
from napari_genrecon.engine.run import Progress
from napari_genrecon.models.registry import CARDED, find_model, weights_path
from napari_genrecon.training import read_options
from napari_genrecon.training.data.cut import cut_crops
from napari_genrecon.training.data.dataset import CropOptions
from napari_genrecon.training.runs.store import find_run
from napari_genrecon.widgets.generate import sample_page
from napari_genrecon.widgets.generate.explore_page import TOOLS
from napari_genrecon.widgets.openers import GenerateWidget
from napari_genrecon.widgets.train import run_view
from napari_genrecon.widgets.train.page import SHEET
from napari_genrecon.widgets.train.run_snapshot import RunSnapshot

PLACED = {"scale": (0.5, 0.25), "translate": (30, 40), "units": ("micrometer",) * 2, "axis_labels": ("y", "x")}
SIDE, COUNT = 40, 15  # pixels between the cells, cells along a side
WALK, BLEND, ELSE, ANOMALY, RANK, MAP = TOOLS


def cells(seed=0):
    """An image of discs of different brightness, and which pixels are which disc."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((SIDE * COUNT,) * 2)
    disc = (y % SIDE - SIDE // 2) ** 2 + (x % SIDE - SIDE // 2) ** 2 < 60
    labels = np.where(disc, y // SIDE * COUNT + x // SIDE + 1, 0)
    grey = rng.uniform(200, 900, COUNT**2 + 1)[labels] * disc
    return (grey + rng.normal(100, 10, grey.shape)).clip(0).astype("u2"), labels


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the runs and models of a tiny VAE and a tiny GAN, each trained for a few steps."""
    folder = tmp_path_factory.mktemp("generate")
    image, labels = cells()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENRECON_RUNS", str(folder / "runs"))
        patch.setenv("GENRECON_MODELS", str(folder / "models"))
        for kind in ("vae", "dcgan"):
            options = read_options({"kind": kind, "width": 4, "latent": 6, "steps": 3, "batch": 8, "device": "cpu"})
            scale = {"pixel_size": (0.5, 0.25), "units": ("micrometer",) * 2}
            train(kind, image, name=f"tiny-{kind}", labels=labels, options=options, **scale)
    return folder


@pytest.fixture
def opened(make_napari_viewer, monkeypatch, trained):
    """A viewer with cells and their labels, and the widget, with the tiny models."""
    monkeypatch.setenv("GENRECON_RUNS", str(trained / "runs"))
    monkeypatch.setenv("GENRECON_MODELS", str(trained / "models"))
    viewer = make_napari_viewer()
    return viewer, *with_cells(viewer)


def with_cells(viewer):
    image, labels = cells()
    layer = viewer.add_image(image, name="cells", **PLACED)
    viewer.add_labels(labels, name="objects", **PLACED)
    widget = GenerateWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.sample.choice.refresh("tiny-vae")
    widget.explore.choice.refresh("tiny-vae")
    return widget, layer


def press(qtbot, page, button):
    button.changed.emit(True)
    qtbot.waitUntil(lambda: not page.panel.busy, timeout=60_000)


def test_bundled_models_are_there_as_soon_as_the_widget_is_docked(make_napari_viewer, monkeypatch, tmp_path):
    """On a fresh installation, without a look for new ones; to be docked resets every choice."""
    monkeypatch.setenv("GENRECON_MODELS", str(tmp_path / "nothing"))
    viewer = make_napari_viewer()
    widget = GenerateWidget(viewer)
    viewer.window.add_dock_widget(widget)
    for page in (widget.sample, widget.explore):
        assert set(page.choice.model.choices) == set(CARDED)
        assert page.choice.card.name in CARDED
        assert page.run.enabled
        assert "Trained on 14656 crops" in said(page)


def explore(qtbot, widget, tool):
    page = widget.explore
    page.tool.value = tool
    press(qtbot, page, page.run)
    return page


# --- train ---


def test_crops_are_shown_and_counted_before_training(opened, qtbot):
    viewer, widget, layer = opened
    press(qtbot, widget.train, widget.train.show_crops)
    sheet = viewer.layers[SHEET]
    assert sheet.data.shape == (6 * 33 - 1, 8 * 33 - 1)
    np.testing.assert_allclose(sheet.scale, layer.scale)
    assert sheet.units == layer.units
    assert sheet.extent.world[0][1] > layer.extent.world[1][1], "it covers the image"
    source = widget.train.chooser.source()
    crops = cut_crops(source.images, CropOptions(mode="objects"), **source.where)
    assert f"{len(crops)} crops" in widget.train.panel.words
    assert f"{int(crops.held_out.sum())} held out" in widget.train.panel.words


def test_contact_sheet_replaces_the_one_before_and_is_no_choice(opened, qtbot):
    viewer, widget, _ = opened
    for _ in range(2):
        press(qtbot, widget.train, widget.train.show_crops)
    assert [layer.name for layer in viewer.layers] == ["cells", "objects", SHEET]
    assert SHEET not in widget.train.chooser.images.choices


@pytest.mark.parametrize(
    ("mode", "words"), [("whole", "ready crops must have 32x32 pixels"), ("objects", "choose a Labels or Points layer")]
)
def test_what_cannot_be_cut_is_said_in_the_widget(opened, qtbot, mode, words):
    viewer, widget, _ = opened
    widget.train.chooser.mode.value = mode
    widget.train.chooser.objects.value = []
    for button in (widget.train.show_crops, widget.train.start):
        press(qtbot, widget.train, button)
        assert words in widget.train.panel.words
        assert button.enabled
    assert [layer.name for layer in viewer.layers] == ["cells", "objects"]


def test_what_was_missing_is_not_said_any_more_once_it_is_chosen(opened, qtbot):
    _, widget, _ = opened
    for page, button in ((widget.train, widget.train.show_crops), (widget.explore, widget.explore.run)):
        widget.explore.tool.value = RANK
        page.chooser.images.value = []
        press(qtbot, page, button)
        assert "choose an image layer first" in page.panel.words
        page.chooser.images.value = ["cells"]
        assert page.panel.words == ""


def test_points_are_objects_where_they_lie_in_the_world(opened):
    viewer, widget, layer = opened
    places = [[100.0, 120.0], [200.0, 240.0]]
    points = [layer.data_to_world(place) for place in places]
    viewer.add_points(np.array(points) / 2, scale=(2, 2), name="marks")
    widget.train.chooser.objects.value = ["marks"]
    np.testing.assert_allclose(widget.train.chooser.source().where["points"][0], places)


def test_layers_of_one_shape_can_be_channels(opened):
    viewer, widget, layer = opened
    viewer.add_image(layer.data[::-1], name="actin", **PLACED)
    chooser = widget.train.chooser
    chooser.images.value = ["cells", "actin"]
    chooser.together.value = True
    source = chooser.source()
    crops = cut_crops(source.images, CropOptions(mode="objects"), **source.where)
    assert crops.channels == 2
    assert crops.channel_names == ("cells", "actin")


def test_only_the_options_of_the_recipe_are_shown(opened):
    _, widget, _ = opened
    form = widget.train.recipe
    form.container["more"].value = True
    assert form["r1"].native.isHidden()
    form["kind"].value = "dcgan"
    assert not form["r1"].native.isHidden()
    assert form["beta"].native.isHidden()
    assert widget.train.model_name.value == "cells-gan"


@pytest.mark.slow
def test_run_in_a_process_of_its_own_gives_a_model_that_can_be_sampled(opened, qtbot):
    _, widget, _ = opened
    page = widget.train
    for name, value in {"width": 4, "latent": 6, "steps": 3, "batch": 8, "device": "cpu"}.items():
        page.recipe[name].value = value
    page.model_name.value = "from-window"
    press(qtbot, page, page.start)
    assert "Started 'from-window'" in page.panel.words
    qtbot.waitUntil(lambda: page.runs.snapshot.chosen.name == "from-window", timeout=10_000)
    qtbot.waitUntil(lambda: page.runs.snapshot.state == "finished", timeout=120_000)
    qtbot.waitUntil(lambda: widget.sample.choice.model.value == "from-window", timeout=10_000)
    assert page.runs.snapshot.samples.shape == (36, 1, 32, 32)
    assert "can be sampled" in page.runs.words
    assert page.runs.resume.native.isVisibleTo(page.native)


@pytest.mark.slow
def test_run_goes_on_when_the_viewer_is_closed_and_is_found_again(opened, qtbot, make_napari_viewer):
    viewer, widget, _ = opened
    page = widget.train
    for name, value in {"width": 4, "latent": 6, "minutes": 30.0, "batch": 8, "device": "cpu"}.items():
        page.recipe[name].value = value
    page.model_name.value = "survivor"
    press(qtbot, page, page.start)
    run = find_run("survivor")
    try:
        viewer.close()
        again, _ = with_cells(make_napari_viewer())
        view = again.train.runs
        qtbot.waitUntil(
            lambda: view.snapshot.chosen is not None and view.snapshot.chosen.name == "survivor", timeout=10_000
        )
        qtbot.waitUntil(
            lambda: view.snapshot.state == "running" and view.snapshot.progress is not None, timeout=120_000
        )
        assert "napari may be closed" in view.words
        view.stop.changed.emit(True)
        qtbot.waitUntil(lambda: view.snapshot.state == "stopped", timeout=60_000)
        assert load_model("survivor").card.steps > 0
        assert "only" in view.words
        assert "Asked" not in said(view)
    finally:
        run.stop()


def test_closed_viewer_looks_at_no_run_any_more(opened, qtbot, monkeypatch):
    viewer, widget, _ = opened
    read, run = [], find_run("tiny-vae")

    def steps(name):
        yield Progress(0, 0)
        read.append(name)
        return RunSnapshot(runs=((run, "running"),), chosen=run, state="running")

    monkeypatch.setattr(run_view, "snapshot_steps", steps)
    widget.train.runs.choose(run)
    qtbot.waitUntil(lambda: len(read) > 2, timeout=20_000)
    with qtbot.waitSignal(widget.native.destroyed, timeout=10_000):
        viewer.close()
    qtbot.waitUntil(lambda: not jobs_alive(), timeout=10_000)
    read.clear()
    qtbot.wait(1500)  # it would read once a second
    assert read == []


# --- sample ---


def test_samples_are_a_layer_that_says_that_it_is_synthetic(opened, qtbot):
    viewer, widget, layer = opened
    page = widget.sample
    page.form["n"].value, page.form["seed"].value = 5, "3"
    press(qtbot, page, page.run)
    made = viewer.layers["tiny-vae synthetic"]
    # Several threads add numbers up in an order of their own.
    np.testing.assert_allclose(made.data, load_model("tiny-vae").sample(5, seed=3), rtol=1e-6)
    np.testing.assert_allclose(made.scale, (1, *layer.scale))
    assert made.units[1:] == layer.units
    assert made.axis_labels == ("sample", "y", "x")
    assert made.metadata["genrecon"]["nature"] == "synthetic"
    assert made.metadata["genrecon"]["options"]["seed"] == 3


def test_sheet_and_stack_are_both_named_and_few_steps_are_warned_of(opened, qtbot):
    viewer, widget, _ = opened
    page = widget.sample
    page.form["n"].value, page.sheet.value = 4, True
    press(qtbot, page, page.run)
    names = [layer.name for layer in viewer.layers if "synthetic" in layer.name]
    assert len(names) == 2
    assert all(f"'{name}'" in page.panel.words for name in names)
    assert f"beside it '{names[1]}': all at once" in page.panel.words
    for words in (page.panel.words, said(page.choice)):
        assert "Beware: it was trained for only 3 steps" in words
    assert any("only 3 steps" in told for told in viewer.layers[names[0]].metadata["genrecon"]["warnings"])


def test_samples_are_not_what_is_trained_on_next(opened, qtbot):
    _, widget, _ = opened
    press(qtbot, widget.sample, widget.sample.run)
    assert widget.train.chooser.images.value == ["cells"]


def test_copied_python_makes_the_same_layer(opened, qtbot):
    viewer, widget, _ = opened
    page = widget.sample
    page.choice.refresh("tiny-dcgan")
    page.form["n"].value, page.form["seed"].value, page.form["truncation"].value = 4, "3", 0.5
    press(qtbot, page, page.run)
    exec(page.as_python(), {"viewer": viewer})
    first, second = viewer.layers["tiny-dcgan synthetic"], viewer.layers["tiny-dcgan synthetic [1]"]
    np.testing.assert_array_equal(first.data, second.data)
    np.testing.assert_allclose(first.scale, second.scale)
    assert first.units == second.units
    assert second.metadata["genrecon"]["nature"] == "synthetic"


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_pictures_of_a_model_of_rgb_images_are_rgb(make_napari_viewer, qtbot, monkeypatch, tmp_path, dtype):
    monkeypatch.setenv("GENRECON_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("GENRECON_MODELS", str(tmp_path / "models"))
    image, labels = cells()
    image = np.stack([image.clip(0, 255)] * 3, axis=-1).astype("u1")
    image = (image / 255).astype(dtype) if dtype == "float32" else image
    options = read_options({"kind": "vae", "width": 4, "latent": 6, "steps": 3, "batch": 8, "device": "cpu"})
    train("vae", image, name="stained", labels=labels, options=options)
    viewer = make_napari_viewer()
    viewer.add_image(image, name="slide", rgb=True)
    viewer.add_labels(labels, name="objects")
    widget = GenerateWidget(viewer)
    viewer.window.add_dock_widget(widget)
    page = widget.sample
    page.choice.refresh("stained")
    page.form["n"].value, page.form["seed"].value, page.sheet.value = 4, "3", True
    press(qtbot, page, page.run)
    made, sheet = viewer.layers["stained synthetic"], viewer.layers["stained synthetic, side by side"]
    assert (made.rgb, made.data.shape, made.axis_labels) == (True, (4, 32, 32, 3), ("sample", "y", "x"))
    assert (sheet.rgb, sheet.data.shape) == (True, (65, 65, 3))
    assert made.data.dtype == dtype
    exec(page.as_python(), {"viewer": viewer})
    second = viewer.layers["stained synthetic [1]"]
    assert second.rgb
    np.testing.assert_array_equal(made.data, second.data)
    widget.explore.choice.refresh("stained")
    page = explore(qtbot, widget, WALK)
    walk = viewer.layers["stained walk"]
    before = walk.data.copy()
    page.results.value.value = 3.0
    qtbot.waitUntil(lambda: (walk.data != before).any())
    assert (walk.rgb, walk.data.shape, walk.data.dtype) == (True, (32, 32, 3), dtype)


def test_truncation_is_offered_for_a_gan_only(opened):
    _, widget, _ = opened
    widget.sample.form["more"].value = True
    box = widget.sample.form["truncation"].native
    assert box.isHidden()
    widget.sample.choice.refresh("tiny-dcgan")
    assert not box.isHidden()


def test_copies_of_training_crops_are_found_and_shown_beside_them(opened, qtbot, monkeypatch):
    viewer, widget, _ = opened
    page, crops = widget.sample, find_run("tiny-vae").crops()
    real = sample_page.sample_steps

    def copying(options):
        return replace((yield from real(options)), data=crops.training[:9, 0].astype("f4"))

    monkeypatch.setattr(sample_page, "sample_steps", copying)
    press(qtbot, page, page.run)
    press(qtbot, page, page.check)
    assert "copies its training data" in page.panel.words
    pairs = viewer.layers["tiny-vae: sample | nearest training crop"].data
    np.testing.assert_allclose(pairs[..., :32], pairs[..., 33:])


def test_check_without_the_training_crops_says_so(opened, qtbot, monkeypatch, tmp_path):
    _, widget, _ = opened
    monkeypatch.setenv("GENRECON_RUNS", str(tmp_path))
    press(qtbot, widget.sample, widget.sample.check)
    assert "are not on this computer" in widget.sample.panel.words


def test_hostile_model_file_is_refused_in_a_sentence(opened, qtbot, tmp_path):
    _, widget, _ = opened
    page, path = widget.sample, tmp_path / "theirs.safetensors"
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    page.bring(str(path))
    qtbot.waitUntil(lambda: not page.panel.busy, timeout=60_000)
    assert "is neither a safetensors file" in page.panel.words
    assert "theirs" not in page.choice.model.choices


def test_imported_model_is_chosen_on_both_pages(opened, qtbot, tmp_path, monkeypatch):
    _, widget, _ = opened
    source = weights_path(find_model("tiny-dcgan"))
    monkeypatch.setenv("GENRECON_MODELS", str(tmp_path))
    widget.sample.bring(str(source))
    qtbot.waitUntil(lambda: not widget.sample.panel.busy, timeout=60_000)
    assert widget.sample.choice.card.name == widget.explore.choice.card.name == "tiny-dcgan"


# --- explore ---


def test_slider_moves_the_layer_along_one_latent_axis(opened, qtbot):
    viewer, widget, _ = opened
    page = explore(qtbot, widget, WALK)
    results, model = page.results, load_model("tiny-vae")
    axis = results.axis.choices[1]
    results.axis.value = axis
    results.value.value = 2.5
    expected = model.traverse(model.latents(1, 0)[0], axis, [2.5])[0]
    qtbot.waitUntil(lambda: np.array_equal(viewer.layers["tiny-vae walk"].data, expected), timeout=10_000)


def test_blend_begins_and_ends_with_its_two_pictures(opened, qtbot):
    viewer, widget, _ = opened
    widget.explore.first.value, widget.explore.second.value = 4, 9
    explore(qtbot, widget, BLEND)
    model, blend = load_model("tiny-vae"), viewer.layers["tiny-vae blend 4 to 9"].data
    ends = [model.sample(1, seed=seed)[0] for seed in (4, 9)]
    np.testing.assert_allclose(blend[[0, -1]], ends, rtol=1e-5)


def test_real_cell_comes_before_what_it_could_stand_for(opened, qtbot):
    viewer, widget, layer = opened
    widget.explore.first.value = 60
    explore(qtbot, widget, ELSE)
    place = np.array(divmod(59, COUNT)) * SIDE + SIDE // 2 - 16
    crop = layer.data[place[0] : place[0] + 32, place[1] : place[1] + 32]
    found = viewer.layers["tiny-vae of 60"].data
    np.testing.assert_array_equal(found[0], crop)
    assert len(found) == 11


def test_cell_that_does_not_exist_is_a_sentence(opened, qtbot):
    _, widget, _ = opened
    widget.explore.first.value = 4000
    assert "no crop of object 4000" in explore(qtbot, widget, ELSE).panel.words


@pytest.mark.parametrize("shape", [(), (2,)], ids=["plane", "stack"])
def test_anomaly_map_lies_on_its_image_and_is_high_where_it_was_changed(opened, qtbot, shape):
    viewer, widget, layer = opened
    image = np.broadcast_to(layer.data, (*shape, *layer.data.shape)).copy()
    image[..., 200:204, 200:204] = 5000
    one = ((1.0,), (0.0,), ("micrometer",), ("z",)) if shape else ((), (), (), ())
    placed = {key: (*first, *PLACED[key]) for key, first in zip(PLACED, one, strict=True)}
    odd = viewer.add_image(image, name="odd", **placed)
    page = widget.explore
    page.chooser.mode.value = "grid"
    explore(qtbot, widget, ANOMALY)
    found = viewer.layers["odd anomaly (tiny-vae)"]
    assert found.data.shape == image.shape
    np.testing.assert_allclose(found.scale, odd.scale)
    np.testing.assert_allclose(found.translate, odd.translate)
    peak = np.unravel_index(found.data.argmax(), found.data.shape)
    assert all(200 <= index < 204 for index in peak[-2:])


def test_outlier_scores_join_the_features_of_the_objects_worst_selected(opened, qtbot):
    import pandas as pd

    viewer, widget, layer = opened
    objects = viewer.layers["objects"]
    objects.features = pd.DataFrame({"index": [9, 3], "mine": [1.5, 2.5]})
    page = explore(qtbot, widget, RANK)
    table = objects.features.set_index("index")
    assert len(table) == COUNT**2
    assert table.loc[3, "mine"] == 2.5
    worst = table["outlier score"].idxmax()
    assert table.loc[worst, "outlier rank"] == 1
    assert objects.selected_label == worst
    assert page.results.odd.item(0).text().startswith(f"object {worst}:")
    crops = cut_crops(layer.data, CropOptions(mode="objects", held_out=0), labels=objects.data)
    expected = load_model("tiny-vae").outlier_scores(crops.x[:64, 0])
    np.testing.assert_allclose(table.loc[crops.label[:64], "outlier score"], expected)


def ranked_meanwhile(opened, qtbot, change):
    """Rank cells that are points in a layer with an image of their own, which `change` gets while the job runs."""
    viewer, widget, _ = opened
    places = [(y, x) for y in range(60, 540, 80) for x in range(60, 540, 80)]
    points = viewer.add_points(places, name="marks", **PLACED)
    viewer.layers["objects"].visible = False
    page = widget.explore
    page.chooser.mode.value, page.chooser.objects.value = "objects", ["marks"]
    page.tool.value = RANK
    page.run.changed.emit(True)
    assert page.panel.busy
    change(points)
    qtbot.waitUntil(lambda: not page.panel.busy, timeout=60_000)
    return page, points


def test_scores_find_objects_that_are_renamed_meanwhile(opened, qtbot):
    page, points = ranked_meanwhile(opened, qtbot, lambda points: setattr(points, "name", "other"))
    assert points.features["outlier rank"].min() == 1
    assert "in the features of 'other'" in page.panel.words
    opened[2].name = "renamed"
    opened[0].scene.camera.center = (0, 0, 0)
    page.results.odd.setCurrentRow(3)
    assert opened[0].scene.camera.center != (0, 0, 0)


def test_scores_are_not_given_to_points_that_changed_meanwhile(opened, qtbot):
    page, points = ranked_meanwhile(opened, qtbot, lambda points: setattr(points, "data", points.data[1:]))
    assert "outlier score" not in points.features
    assert "The points of 'marks' have changed since, so the scores are in the list only: rank again." in (
        page.panel.words
    )
    assert page.results.odd.count() == 36


def test_cells_of_the_list_are_called_by_the_numbers_that_their_points_have_now(opened, qtbot):
    page, points = ranked_meanwhile(opened, qtbot, lambda points: None)
    (odd, gone), words = np.argsort(points.features["outlier rank"])[:2], page.results.odd.item
    points.data = np.concatenate([[[9, 9]], np.delete(points.data, gone, axis=0)])  # one goes, one comes in front
    page.results.odd.setCurrentRow(1)
    assert f"Object {gone + 1}, which is gone or was moved since." in said(page)
    page.results.odd.setCurrentRow(0)
    now = odd + 2 - (gone < odd)
    assert words(0).text().startswith(f"object {odd + 1}:")
    assert page.first.value == now
    assert f"Object {odd + 1}{f', now {now}' if now != odd + 1 else ''}." in said(page)


def test_points_of_a_map_keep_their_crops_when_others_are_removed(opened, qtbot):
    viewer, widget, _ = opened
    page = explore(qtbot, widget, MAP)
    points = viewer.layers["tiny-vae map"]
    number = int(points.features["number"][17])
    points.selected_data = {3, 5}
    points.remove_selected()
    points.selected_data = {15}
    qtbot.waitUntil(lambda: f"Object {number}" in said(page), timeout=10_000)


def test_latent_map_shows_the_crop_of_the_picked_point(opened, qtbot):
    viewer, widget, layer = opened
    page = explore(qtbot, widget, MAP)
    points = viewer.layers["tiny-vae map"]
    assert len(points.data) == COUNT**2
    assert points.units == layer.units
    assert "area of the object" in page.results.colour.choices
    page.results.colour.value = "area of the object"
    points.selected_data = {17}
    qtbot.waitUntil(lambda: f"Object {points.features['number'][17]}" in said(page), timeout=10_000)
    assert page.first.value == points.features["number"][17]


def test_gan_says_that_it_cannot_look_at_real_cells(opened):
    _, widget, _ = opened
    page = widget.explore
    page.choice.refresh("tiny-dcgan")
    assert page.run.enabled
    page.tool.value = RANK
    assert "cannot encode real cells" in said(page)
    assert not page.run.enabled


def test_other_grey_values_than_the_models_are_warned_of(opened, qtbot):
    viewer, widget, layer = opened
    viewer.add_image(layer.data / 65535, name="scaled", **PLACED)
    assert "Beware: the grey values here" in explore(qtbot, widget, RANK).panel.words


def test_two_viewers_each_have_their_own(opened, qtbot, make_napari_viewer):
    viewer, widget, _ = opened
    other = make_napari_viewer()
    second, _ = with_cells(other)
    press(qtbot, widget.sample, widget.sample.run)
    explore(qtbot, second, WALK)
    assert [layer.name for layer in viewer.layers] == ["cells", "objects", "tiny-vae synthetic"]
    assert [layer.name for layer in other.layers] == ["cells", "objects", "tiny-vae walk"]
