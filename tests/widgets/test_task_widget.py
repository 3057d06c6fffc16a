import os
import re
import sys
import threading
import time

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from napari.layers import Image
from qtpy.QtWidgets import QProgressBar
from seen import (
    RUN,
    VIEW,
    box,
    button,
    choose,
    chosen,
    click,
    field,
    images,
    jobs_alive,
    note,
    offered,
    report,
    said,
    texts,
)

from napari_genrecon import Optics, deblur, denoise, upscale_z
from napari_genrecon.errors import GenReconWarning
from napari_genrecon.io.reader import open_image
from napari_genrecon.models import runtime
from napari_genrecon.tasks.upscale_z import fine_tune_cache
from napari_genrecon.training.adapt import axial
from napari_genrecon.widgets.openers import (
    DeblurWidget,
    DenoiseWidget,
    InpaintWidget,
    UpscaleWidget,
    UpscaleZWidget,
)
from napari_genrecon.widgets.task.preview import PLANES_ONLY

SHAPE = (3, 96, 112)
PLACED = {
    "scale": (2.0, 0.5, 0.5),
    "translate": (10.0, 20.0, 30.0),
    "rotate": 20.0,
    "units": ("micrometer",) * 3,
    "axis_labels": ("z", "y", "x"),
    "colormap": "magma",
    "contrast_limits": (0.0, 90.0),
    "opacity": 0.7,
    "blending": "additive",
}


@pytest.fixture
def noisy():
    return np.random.default_rng(0).poisson(30, SHAPE).astype("u2")


@pytest.fixture
def opened(make_napari_viewer, noisy, qtbot):
    """A viewer with one image, and the widget with its noise measured."""
    viewer = make_napari_viewer()
    layer = viewer.add_image(noisy, name="cells", metadata={"mine": 1}, **PLACED)
    widget = DenoiseWidget(viewer)
    viewer.window.add_dock_widget(widget)
    qtbot.waitUntil(lambda: "Expected time" in said(widget), timeout=60_000)
    qtbot.waitUntil(lambda: not widget.busy)
    return viewer, widget, layer


def wait(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)


def test_run_adds_a_layer_with_everything_but_the_noise(opened, qtbot, noisy):
    viewer, widget, layer = opened
    before = noisy.copy()
    click(widget, RUN)
    wait(qtbot, widget)
    result = viewer.layers["cells denoise"]
    np.testing.assert_array_equal(result.data, denoise(noisy, axes="ZYX"))
    np.testing.assert_array_equal(layer.data, before)
    for name in ("scale", "translate", "rotate", "shear", "contrast_limits"):
        np.testing.assert_allclose(getattr(result, name), getattr(layer, name))
    for name in ("units", "axis_labels", "opacity", "blending"):
        assert getattr(result, name) == getattr(layer, name)
    assert result.colormap.name == "magma"
    assert result.metadata["mine"] == 1
    assert result.metadata["genrecon"]["task"] == "denoise"
    assert any(text.endswith("'cells' is hidden, as the two would add up on screen.") for text in texts(widget))


@pytest.mark.parametrize("view", ["split", "after", "before"])
def test_preview_shows_the_source_and_what_run_will_give(opened, qtbot, noisy, view):
    viewer, widget, layer = opened
    field(widget, VIEW).value = view
    click(widget, "Preview")
    wait(qtbot, widget)
    preview = viewer.layers["cells preview"]
    start = np.round(layer.world_to_data(preview.data_to_world((0, 0, 0)))).astype(int)
    region = tuple(slice(a, a + n) for a, n in zip(start, preview.data.shape, strict=True))
    expected = denoise(noisy, axes="ZYX")[region]
    if view == "split":
        places = np.stack([preview.data_to_world((0, *at)) for at in np.ndindex(expected.shape[1:])])
        left = (places[:, -1] < viewer.scene.camera.center[-1]).reshape(expected.shape)
        assert left.any()
        assert not left.all()
        expected = np.where(left, noisy[region], expected)
    np.testing.assert_allclose(preview.data, noisy[region] if view == "before" else expected, rtol=1e-5)
    np.testing.assert_allclose(preview.contrast_limits, layer.contrast_limits)
    click(widget, RUN)
    wait(qtbot, widget)
    assert [x.name for x in viewer.layers] == ["cells", "cells denoise"]


def cancel_in_the_network(widget, qtbot, monkeypatch, now=lambda: True):
    """Run, and cancel while the network computes, the first time that `now` is true."""
    real = runtime.Model.__call__
    running, go_on = threading.Event(), threading.Event()

    def waiting(self, *args):
        if now():
            running.set()
            go_on.wait(60)
        return real(self, *args)

    monkeypatch.setattr(runtime.Model, "__call__", waiting)
    click(widget, RUN)
    qtbot.waitUntil(running.is_set, timeout=60_000)
    click(widget, "Cancel")
    go_on.set()
    wait(qtbot, widget)


def test_cancel_adds_no_layer(opened, qtbot, monkeypatch):
    viewer, widget, _ = opened
    cancel_in_the_network(widget, qtbot, monkeypatch)
    assert [x.name for x in viewer.layers] == ["cells"]
    assert "Cancelled" in said(widget)
    assert button(widget, RUN).isEnabled()


def test_cancel_says_which_images_were_done_before(opened, qtbot, monkeypatch):
    viewer, widget, layer = opened
    viewer.add_image(layer.data, name="more")
    choose(widget, "cells", "more")
    wait(qtbot, widget)
    added = threading.Event()
    viewer.layers.events.inserted.connect(lambda _: added.set())
    cancel_in_the_network(widget, qtbot, monkeypatch, now=added.is_set)
    assert {x.name for x in viewer.layers} == {"cells", "more", "cells denoise"}
    assert note(widget).startswith("New layer 'cells denoise': done in ")
    assert note(widget).endswith(" Cancelled: no more was added.")


def test_cancel_says_at_once_that_it_was_heard(opened, qtbot):
    _, widget, _ = opened
    click(widget, RUN)
    click(widget, "Cancel")
    assert any(text.startswith("Cancelling: ") for text in texts(widget))
    assert not button(widget, "Cancel").isEnabled()
    wait(qtbot, widget)
    assert "Cancelled: nothing was added." in texts(widget)


def test_torch_error_is_reported_and_frees_the_buttons(opened, qtbot, monkeypatch):
    viewer, widget, _ = opened
    shown = []
    monkeypatch.setattr("napari_genrecon.widgets.jobs.controls.show_error", shown.append)

    def fail(*args):
        raise RuntimeError("mat1 and mat2 cannot be multiplied")

    monkeypatch.setattr(runtime.Model, "__call__", fail)
    click(widget, RUN)
    wait(qtbot, widget)
    assert "RuntimeError: mat1 and mat2" in shown[0]
    assert [x.name for x in viewer.layers] == ["cells"]
    assert button(widget, RUN).isEnabled()
    assert not button(widget, "Cancel").isEnabled()


def test_source_removed_while_running_still_gives_its_result(opened, qtbot):
    viewer, widget, layer = opened
    click(widget, RUN)
    viewer.layers.remove(layer)
    wait(qtbot, widget)
    assert [x.name for x in viewer.layers] == ["cells denoise"]


def test_copied_python_makes_the_same_layer(opened, noisy):
    viewer, widget, _ = opened
    field(widget, "strength").value = 0.5
    exec(widget.as_python(), {"viewer": viewer})
    np.testing.assert_array_equal(viewer.layers["cells denoise 0.5"].data, denoise(noisy, strength=0.5, axes="ZYX"))


def test_live_result_is_lazy(opened, qtbot, noisy):
    viewer, widget, _ = opened
    field(widget, "live, as you scroll").value = True
    click(widget, RUN)
    wait(qtbot, widget)
    lazy = viewer.layers["cells denoise"].data
    assert not isinstance(lazy, np.ndarray)
    np.testing.assert_allclose(np.asarray(lazy[1]), denoise(noisy, axes="ZYX")[1], rtol=1e-5)


@pytest.mark.parametrize("active", ["mask", None])
def test_only_image_is_taken_whatever_layer_is_active(make_napari_viewer, noisy, active):
    viewer = make_napari_viewer()
    viewer.add_image(noisy, name="cells")
    viewer.add_labels(np.zeros(noisy.shape, int), name="mask")
    viewer.layers.selection.active = None if active is None else viewer.layers[active]
    widget = DenoiseWidget(viewer)
    assert chosen(widget) == ["cells"]
    assert "choose an image layer" not in said(widget).lower()


def test_several_images_are_left_to_the_user(make_napari_viewer, noisy):
    viewer = make_napari_viewer()
    for name in ("cells", "more"):
        viewer.add_image(noisy, name=name)
    viewer.add_labels(np.zeros(noisy.shape, int), name="mask")
    widget = DenoiseWidget(viewer)
    assert chosen(widget) == []
    assert "'mask' is a Labels layer: choose an image layer." in texts(widget)


def test_other_layers_are_refused_in_a_sentence(make_napari_viewer):
    viewer = make_napari_viewer()
    widget = DenoiseWidget(viewer)
    viewer.add_labels(np.zeros((8, 8), int), name="mask")
    assert "'mask' is a Labels layer: choose an image layer." in texts(widget)
    assert "mask" not in offered(widget)


def test_rgb_keeps_its_look(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    image = np.clip(np.random.default_rng(0).normal([[[60, 120, 180]]], 8, (64, 64, 3)), 0, 255).astype("u1")
    viewer.add_image(image, name="slide", rgb=True)
    widget = DenoiseWidget(viewer)
    click(widget, RUN)
    wait(qtbot, widget)
    qtbot.waitUntil(lambda: "slide" in chosen(widget), timeout=60_000)
    wait(qtbot, widget)
    click(widget, RUN)
    wait(qtbot, widget)
    result = viewer.layers["slide denoise"]
    assert result.rgb
    assert result.data.dtype == np.uint8


def test_replaced_pixels_are_measured_again(opened, qtbot):
    _, widget, layer = opened
    before = report(widget)
    layer.data = np.random.default_rng(1).normal(500, 40, SHAPE)
    qtbot.waitUntil(lambda: "Expected time" in said(widget) and report(widget) != before, timeout=60_000)


def test_pixels_changed_in_place_are_what_is_denoised(opened, qtbot):
    viewer, widget, layer = opened
    layer.data[...] = np.random.default_rng(1).poisson(300, SHAPE)
    layer.refresh()
    click(widget, RUN)
    wait(qtbot, widget)
    np.testing.assert_array_equal(viewer.layers["cells denoise"].data, denoise(layer.data, axes="ZYX"))


def test_all_chosen_layers_are_processed_in_turn(opened, qtbot, noisy):
    viewer, widget, _ = opened
    viewer.add_image(noisy[0], name="plane")
    wait(qtbot, widget)
    choose(widget, "cells", "plane")
    wait(qtbot, widget)
    click(widget, RUN)
    qtbot.waitUntil(lambda: "plane denoise" in viewer.layers, timeout=60_000)
    np.testing.assert_array_equal(viewer.layers["plane denoise"].data, denoise(noisy[0]))
    assert viewer.layers["cells denoise"].data.shape == SHAPE
    assert note(widget).count("New layer") == 2


def test_time_of_a_result_does_not_count_those_before_it(opened, qtbot, noisy):
    viewer, widget, _ = opened
    viewer.add_image(noisy[0], name="plane")
    wait(qtbot, widget)
    choose(widget, "cells", "plane")
    wait(qtbot, widget)
    start = time.perf_counter()
    click(widget, RUN)
    qtbot.waitUntil(lambda: "plane denoise" in viewer.layers, timeout=60_000)
    told = [float(seconds) for seconds in re.findall(r"done in ([\d.]+) s", note(widget))]
    assert sum(told) <= time.perf_counter() - start + 0.1  # each is rounded


def test_renamed_layer_stays_in_the_choice_and_names_the_result(opened, qtbot):
    viewer, widget, layer = opened
    layer.name = "embryo"
    assert offered(widget) == ["embryo"]
    assert chosen(widget) == ["embryo"]
    assert any(text.startswith("embryo: ") for text in texts(widget))
    click(widget, RUN)
    layer.name = "renamed while it ran"
    wait(qtbot, widget)
    assert "embryo denoise" in viewer.layers


def test_second_result_gets_a_name_of_its_own(opened, qtbot):
    viewer, widget, _ = opened
    for _ in range(2):
        click(widget, RUN)
        wait(qtbot, widget)
    assert {x.name for x in viewer.layers} == {"cells", "cells denoise", "cells denoise [1]"}


def test_zarr_and_multiscale_layers_give_lazy_results_of_the_full_resolution(make_napari_viewer, qtbot, noisy):
    import zarr

    viewer = make_napari_viewer()
    stored = zarr.create_array(store={}, shape=SHAPE, chunks=(1, 64, 64), dtype="u2")
    stored[:] = noisy
    viewer.add_image([stored, stored[:, ::2, ::2]], name="pyramid", multiscale=True, contrast_limits=(0, 90))
    widget = DenoiseWidget(viewer)
    wait(qtbot, widget)
    click(widget, RUN)
    wait(qtbot, widget)
    result = viewer.layers["pyramid denoise"]
    assert result.data.shape == SHAPE
    np.testing.assert_allclose(np.asarray(result.data), denoise(noisy, axes="ZYX"), rtol=1e-5)


def test_no_network_runs_in_the_thread_of_the_window(opened, qtbot, monkeypatch):
    _, widget, _ = opened
    real, threads = runtime.Model.__call__, []

    def noting(self, *args):
        threads.append(threading.current_thread())
        return real(self, *args)

    monkeypatch.setattr(runtime.Model, "__call__", noting)
    for words in ("Preview", RUN):
        threads.clear()
        click(widget, words)
        wait(qtbot, widget)
        assert threads
        assert threading.main_thread() not in threads


@pytest.mark.slow
def test_closing_the_viewer_stops_the_job(make_napari_viewer, qtbot, monkeypatch):
    viewer = make_napari_viewer()
    viewer.add_image(np.random.default_rng(0).poisson(30, (20, 300, 300)), name="stack")
    widget = DenoiseWidget(viewer)
    viewer.window.add_dock_widget(widget)
    wait(qtbot, widget)
    entered, calls = threading.Event(), []
    real = runtime.Model.__call__

    def counting(self, *args):
        calls.append(1)
        entered.set()
        return real(self, *args)

    monkeypatch.setattr(runtime.Model, "__call__", counting)
    click(widget, RUN)
    qtbot.waitUntil(entered.is_set, timeout=60_000)
    assert jobs_alive()
    viewer.close()
    qtbot.waitUntil(lambda: not jobs_alive(), timeout=60_000)
    assert len(calls) < 20


def test_rare_options_are_folded_away_until_asked_for(opened):
    _, widget, _ = opened
    assert not field(widget, "tile side").shown
    field(widget, "more options").value = True
    assert field(widget, "tile side").shown


def test_preferences_are_the_defaults(make_napari_viewer):
    from napari.settings import get_plugin_settings

    section = get_plugin_settings("napari-genrecon").genrecon_denoise
    section.strength = 0.7
    try:
        assert field(DenoiseWidget(make_napari_viewer()), "strength").value == pytest.approx(0.7)
    finally:
        section.strength = 1.0


@pytest.fixture
def preferred():
    """What napari's Preferences say of deblurring; as it was, after the test."""
    from napari.settings import get_plugin_settings

    section = get_plugin_settings("napari-genrecon").genrecon_deblur
    before = section.model_dump()
    yield section
    section.update(before)


def test_open_dock_follows_what_is_changed_in_the_preferences(make_napari_viewer, preferred):
    widget = DeblurWidget(make_napari_viewer())
    before = preferred.model_dump()
    labels = ("method", "strength", "device", "keep number type")
    at_first = [field(widget, label).value for label in labels]
    field(widget, "iterations").value = "12"
    preferred.update({"method": "rl", "strength": 0.5, "device": "cpu", "keep_dtype": True})
    changed = [field(widget, label).value for label in labels]
    assert changed == ["Richardson-Lucy (rl)", 0.5, "processor (cpu)", True]
    preferred.update(before)  # Cancel
    assert [field(widget, label).value for label in labels] == at_first
    field(widget, "strength").value = 0.7
    preferred.method = "rl"
    assert (field(widget, "strength").value, field(widget, "iterations").value) == (pytest.approx(0.7), "12")


@pytest.mark.parametrize("ending", [".ome.zarr", ".ome.tif"])
def test_result_written_to_a_file_is_shown_from_it(opened, qtbot, noisy, tmp_path, ending):
    viewer, widget, layer = opened
    target = tmp_path / f"result{ending}"
    field(widget, "write to").value = target
    click(widget, RUN)
    wait(qtbot, widget)
    assert [x.name for x in viewer.layers] == ["cells", "cells denoise"]
    result = viewer.layers["cells denoise"]
    np.testing.assert_allclose(np.asarray(result.data), denoise(noisy, axes="ZYX"), rtol=1e-5)
    np.testing.assert_allclose(result.scale, layer.scale)
    assert open_image(target).record["task"] == "denoise"
    click(widget, RUN)
    wait(qtbot, widget)
    assert "exists already" in said(widget)


def test_methods_text_is_about_the_result_that_was_clicked_on(opened, qtbot):
    from qtpy.QtWidgets import QApplication

    viewer, widget, layer = opened
    field(widget, "strength").value = 0.5
    click(widget, RUN)
    wait(qtbot, widget)
    viewer.layers.selection.active = layer
    viewer.layers.selection.active = viewer.layers["cells denoise 0.5"]
    assert note(widget).startswith("'cells denoise 0.5': The image was denoised with napari-genrecon")
    click(widget, "Copy methods text")
    assert QApplication.clipboard().text().startswith("The image was denoised")
    assert "strength 0.5" in QApplication.clipboard().text()


@pytest.fixture
def expected_seconds(monkeypatch):
    """Return a function that reads the expected time of a dock, which is not rounded meanwhile."""
    monkeypatch.setattr("napari_genrecon.widgets.task.noise_report.duration", lambda seconds: f"{seconds} s")
    return lambda widget: float(re.search(r"Expected time: (\S+) s", report(widget))[1])


def test_expected_time_follows_the_options(make_napari_viewer, qtbot, expected_seconds):
    viewer = make_napari_viewer()
    viewer.add_image(
        np.random.default_rng(0).poisson(30, SHAPE).astype("u2"), name="stack", axis_labels=("z", "y", "x")
    )
    widget = UpscaleWidget(viewer)
    qtbot.waitUntil(lambda: "Expected time" in said(widget) and not widget.busy, timeout=60_000)
    of_planes = expected_seconds(widget)
    field(widget, "8 views").value = True
    wait(qtbot, widget)
    assert expected_seconds(widget) > 4 * of_planes
    field(widget, "8 views").value = False
    wait(qtbot, widget)
    assert expected_seconds(widget) == pytest.approx(of_planes)


@pytest.mark.slow
def test_run_after_a_preview_of_upscale_z_trains_nothing_and_says_that_it_takes_less(
    make_napari_viewer, qtbot, monkeypatch, expected_seconds
):
    monkeypatch.setattr(fine_tune_cache, "_cache", {})
    taken = []
    train = axial.train_on_planes
    monkeypatch.setattr(axial, "train_on_planes", lambda *args: taken.append(args) or train(*args))
    viewer = make_napari_viewer()
    image = np.random.default_rng(0).poisson(30, (4, 40, 40)).astype("u2")
    viewer.add_image(image, name="stack", axis_labels=("z", "y", "x"), scale=(2.0, 1.0, 1.0), units=("um",) * 3)
    widget = UpscaleZWidget(viewer)
    qtbot.waitUntil(lambda: "Expected time" in said(widget) and not widget.busy, timeout=60_000)
    field(widget, "train steps").value = 8
    qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)
    before = expected_seconds(widget)
    click(widget, "Preview")
    wait(qtbot, widget)
    assert expected_seconds(widget) < 0.5 * before
    click(widget, RUN)
    wait(qtbot, widget)  # its threads share the warning filters
    assert len(taken) == 1
    made = viewer.layers["stack upscale z x2 8 steps"]
    fine_tune_cache._cache.clear()
    with pytest.warns(GenReconWarning, match="2 times more planes"):
        script = upscale_z(image, spacing=2.0, train_steps=8, axes="ZYX")
    np.testing.assert_array_equal(made.data, script)


def test_axes_that_do_not_fit_are_named_until_they_do(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    widget = UpscaleWidget(viewer)
    field(widget, "axes").value = "TCZYX"
    viewer.add_image(np.random.default_rng(0).poisson(30, (64, 72)).astype("u2"), name="plane")
    qtbot.waitUntil(lambda: "Axes 'TCZYX' do not fit" in said(widget), timeout=60_000)
    assert "Expected time" not in said(widget)
    field(widget, "axes").value = "YX"  # others, which fit, not those of before, whose noise is known
    qtbot.waitUntil(lambda: "Expected time" in said(widget), timeout=60_000)
    assert "do not fit" not in said(widget)


@pytest.mark.slow
def test_upscaled_layer_and_its_preview_lie_on_the_source(make_napari_viewer, qtbot):
    """The centre of a bright spot is at the same place in the world before and after."""
    viewer = make_napari_viewer()
    image = np.random.default_rng(0).normal(10, 0.1, (60, 80)).astype("f4")
    image[28:32, 40:44] = 200
    placed = {"scale": (0.5, 0.25), "translate": (3, -7), "rotate": 30, "shear": [0.2], "units": ("micrometer",) * 2}
    source = viewer.add_image(image, name="spot", **placed)
    widget = UpscaleWidget(viewer)
    wait(qtbot, widget)
    field(widget, "factor").value = "3"
    for words, view, name in (
        ("Preview", "before", "spot preview"),
        ("Preview", "after", "spot preview"),
        (RUN, "after", "spot upscale x3"),
    ):
        field(widget, VIEW).value = view
        click(widget, words)
        wait(qtbot, widget)
        layer = viewer.layers[name]
        assert np.allclose(np.array(layer.scale) * 3, source.scale)
        places = [x.data_to_world(np.argwhere(np.asarray(x.data) > 100).mean(axis=0)) for x in (source, layer)]
        np.testing.assert_allclose(*places, atol=0.02)


def test_several_fillings_lie_on_their_source_with_mask_and_spread(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    image = np.random.default_rng(0).normal(50, 2, (48, 56)).astype("f4")
    source = viewer.add_image(image, name="cells", scale=(0.5, 0.5), translate=(3, 4), rotate=20)
    hole = np.pad(np.ones((6, 6), int), ((20, 22), (20, 30)))
    viewer.add_labels(hole, name="hole", scale=(0.5, 0.5), translate=(3, 4), rotate=20)
    viewer.layers.selection.active = source
    widget = InpaintWidget(viewer)
    wait(qtbot, widget)
    field(widget, "mask").value = "hole"
    field(widget, "fillings").value = 2
    click(widget, RUN)
    wait(qtbot, widget)
    result, spread = viewer.layers["cells inpaint 2 fillings"], viewer.layers["cells inpaint 2 fillings: spread"]
    assert result.data.shape == (2, 48, 56)
    assert spread.data.shape == (48, 56)
    known = viewer.layers["hole"].data == 0
    np.testing.assert_array_equal(result.data[:, known], np.broadcast_to(image[known], (2, known.sum())))
    assert (spread.data[known] == 0).all()
    np.testing.assert_array_equal(viewer.layers[f"{result.name}: filled pixels"].data, ~known)
    for point in ((0, 0), (10, 30)):
        expected = source.data_to_world(point)
        np.testing.assert_allclose(result.data_to_world((0, *point))[1:], expected)
        np.testing.assert_allclose(spread.data_to_world(point), expected)


@pytest.mark.slow
def test_copied_python_names_the_mask(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    image = np.random.default_rng(0).normal(50, 2, (96, 112)).astype("f4")
    viewer.add_labels(np.pad(np.ones((6, 6), int), ((20, 70), (20, 86))), name="hole")
    viewer.add_image(image, name="cells")
    widget = InpaintWidget(viewer)
    wait(qtbot, widget)
    field(widget, "mask").value = "hole"
    click(widget, RUN)
    wait(qtbot, widget)
    window = viewer.layers["cells inpaint"].data.copy()
    viewer.layers.remove("cells inpaint")
    exec(widget.as_python(), {"viewer": viewer})
    np.testing.assert_array_equal(viewer.layers["cells inpaint"].data, window)


@pytest.mark.slow
def test_drawing_on_an_rgb_stack_fills_the_pixels_under_it_and_so_does_the_copied_python(make_napari_viewer, qtbot):
    viewer, placed = make_napari_viewer(), {"scale": (3, 0.5, 0.5), "translate": (30, 40, 50)}
    image = np.random.default_rng(0).integers(40, 60, (3, 48, 56, 3), "u1")
    source = viewer.add_image(image, name="cells", rgb=True, **placed)
    corners = [source.data_to_world((1, y, x)) for y, x in ((10, 10), (10, 20), (20, 20), (20, 10))]
    viewer.add_shapes([corners], shape_type="polygon", name="drawing")
    viewer.layers.selection.active = source
    widget = InpaintWidget(viewer)
    wait(qtbot, widget)
    under = np.zeros((3, 48, 56), bool)
    under[1, 10:21, 10:21] = True
    for mask in ("drawing", "cells inpaint: filled pixels"):  # what we say was filled is a mask, too
        field(widget, "mask").value = mask
        click(widget, RUN)
        wait(qtbot, widget)
        made = viewer.layers.selection.active
        np.testing.assert_array_equal(viewer.layers[f"{made.name}: filled pixels"].data, under)
        np.testing.assert_array_equal(made.data[~under], image[~under])
        before = set(viewer.layers)
        exec(widget.as_python(), {"viewer": viewer})
        copied = viewer.layers.selection.active
        np.testing.assert_array_equal(copied.data, made.data)
        for layer in set(viewer.layers) - before:
            viewer.layers.remove(layer)
        viewer.layers.selection.active = source
        wait(qtbot, widget)


def test_report_tells_of_hot_pixels_of_the_image_but_not_of_the_result_that_is_free_of_them(make_napari_viewer, qtbot):
    viewer, rng = make_napari_viewer(), np.random.default_rng(0)
    image = rng.normal(50, 2, (64, 64)).astype("f4")
    image[rng.integers(0, 64, 20), rng.integers(0, 64, 20)] = 500
    source = viewer.add_image(image, name="cells")
    widget = InpaintWidget(viewer)
    viewer.window.add_dock_widget(widget)
    wait(qtbot, widget)
    assert "There are hot or dead pixels" in said(widget)
    field(widget, "hot and dead pixels").value = True
    field(widget, "method").value = "network"  # it measures the noise of what is known
    click(widget, RUN)
    wait(qtbot, widget)
    result = next(each for each in viewer.layers if isinstance(each, Image) and each is not source)
    for layer, hot in ((result, False), (source, True)):
        choose(widget, layer.name)
        wait(qtbot, widget)
        assert layer.name in report(widget)
        assert ("There are hot or dead pixels" in said(widget)) == hot


def test_mask_on_other_pixels_than_the_image_gets_a_sentence(make_napari_viewer, qtbot, monkeypatch):
    viewer, told = make_napari_viewer(), []
    monkeypatch.setattr("napari_genrecon.widgets.jobs.controls.show_error", told.append)
    viewer.add_labels(np.ones((48, 56), int), name="hole")
    viewer.add_image(np.random.default_rng(0).normal(50, 2, (48, 56)), name="cells", scale=(0.5, 0.5))
    widget = InpaintWidget(viewer)
    wait(qtbot, widget)
    field(widget, "mask").value = "hole"
    click(widget, RUN)
    assert "pixels of 'hole' do not lie on those of 'cells'" in told[0]
    assert "cells inpaint" not in viewer.layers


def test_unit_that_no_file_knows_matters_only_where_a_file_is_written(make_napari_viewer, qtbot, tmp_path):
    viewer = make_napari_viewer()
    viewer.add_image(np.random.default_rng(0).poisson(30, (64, 64)), name="map", units=("mile", "mile"))
    widget = DenoiseWidget(viewer)
    wait(qtbot, widget)
    click(widget, RUN)
    wait(qtbot, widget)
    assert "map denoise" in viewer.layers
    field(widget, "write to").value = tmp_path / "a.ome.zarr"
    click(widget, RUN)
    wait(qtbot, widget)
    assert "is in mile, which cannot be stored" in said(widget)
    assert list(tmp_path.iterdir()) == []


def test_check_tells_what_was_removed_and_shows_where(opened, qtbot):
    viewer, widget, layer = opened
    click(widget, RUN)
    wait(qtbot, widget)
    assert viewer.layers.selection.active.name == "cells denoise"
    click(widget, "Check result")
    wait(qtbot, widget)
    assert "isolated changes: none found" in said(widget)
    assert "nothing was found" in said(widget)
    deviations = viewer.layers["cells denoise: deviations"]
    assert deviations.data.shape == SHAPE
    np.testing.assert_allclose(deviations.scale, layer.scale)
    assert deviations.units == layer.units


def test_check_says_when_the_image_is_gone(opened, qtbot):
    viewer, widget, layer = opened
    click(widget, RUN)
    wait(qtbot, widget)
    viewer.layers.remove(layer)
    click(widget, "Check result")
    wait(qtbot, widget)
    assert "the image that 'cells denoise' was made from is not among the layers" in said(widget)


@pytest.fixture
def deblurring(make_napari_viewer, qtbot):
    """A viewer with one calibrated image, and the widget of deblurring."""
    viewer = make_napari_viewer()
    image = np.random.default_rng(0).poisson(60, (64, 72)).astype("u2")
    viewer.add_image(image, name="cells", scale=(0.1, 0.1), units=("micrometer",) * 2)
    widget = DeblurWidget(viewer)
    viewer.window.add_dock_widget(widget)
    wait(qtbot, widget)
    return viewer, widget, image


@pytest.mark.slow
def test_psf_computed_from_optics_takes_the_pixel_size_of_the_layer(deblurring, qtbot):
    viewer, widget, image = deblurring
    field(widget, "PSF").value = "computed from optics"
    field(widget, "NA").value, field(widget, "wavelength (nm)").value = 1.2, 600
    click(widget, RUN)
    wait(qtbot, widget)
    window = viewer.layers["cells deblur NA 1.2"].data.copy()
    np.testing.assert_array_equal(window, deblur(image, Optics(na=1.2, wavelength=600, pixel_size=0.1)))
    assert viewer.layers["cells deblur NA 1.2"].metadata["genrecon"]["psf"]["optics"]["pixel_size"] == pytest.approx(
        0.1
    )
    viewer.layers.remove("cells deblur NA 1.2")
    exec(widget.as_python(), {"viewer": viewer})
    np.testing.assert_array_equal(viewer.layers["cells deblur NA 1.2"].data, window)


def test_pinhole_and_excitation_are_asked_of_a_confocal_microscope(deblurring):
    _, widget, _ = deblurring
    asked = [field(widget, label) for label in ("pinhole (AU)", "excitation (nm)")]
    field(widget, "PSF").value = "computed from optics"
    assert [each.shown for each in asked] == [False, False]
    assert "pinhole" not in widget.as_python().replace("pinhole=None", "")
    field(widget, "microscope").value, asked[1].value = "confocal", "488"
    assert [each.shown for each in asked] == [True, True]
    assert "pinhole=1.0, excitation=488.0" in widget.as_python()
    field(widget, "PSF").value = "cells"
    assert [each.shown for each in asked] == [False, False]


@pytest.mark.slow
def test_preview_tells_that_the_psf_is_too_wide_until_that_changes(make_napari_viewer, qtbot):
    rng = np.random.default_rng(0)
    light = np.zeros((128, 128))
    light[tuple(rng.integers(0, 128, (2, 100)))] = 5e3
    viewer = make_napari_viewer()
    viewer.add_image(rng.poisson(10 + gaussian_filter(light, 1.5)).astype("u2"), name="points")
    widget = DeblurWidget(viewer)
    viewer.window.add_dock_widget(widget)
    qtbot.waitUntil(lambda: "Expected time" in said(widget) and not widget.busy, timeout=60_000)
    field(widget, "width (px)").value = 7.0
    click(widget, "Preview")
    wait(qtbot, widget)
    assert any(text.startswith("⚠ The image shows fine detail") for text in texts(widget))
    assert "a Gaussian of up to 3" in said(widget)
    field(widget, "width (px)").value = 3.5
    qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)
    assert "⚠" not in said(widget)
    click(widget, "Preview")
    wait(qtbot, widget)
    assert "⚠" not in said(widget)


def test_psf_from_a_file_is_that_of_the_layer(deblurring, qtbot, tmp_path):
    import tifffile

    viewer, widget, image = deblurring
    psf = np.outer(*[np.array([1, 4, 6, 4, 1], "f4")] * 2)
    tifffile.imwrite(tmp_path / "bead.tif", psf)
    field(widget, "PSF").value, field(widget, "PSF file").value = "from a file", tmp_path / "bead.tif"
    click(widget, RUN)
    wait(qtbot, widget)
    np.testing.assert_array_equal(viewer.layers["cells deblur"].data, deblur(image, psf))


def test_only_the_fields_of_the_chosen_psf_are_shown(deblurring):
    _, widget, _ = deblurring
    for choice, shown in (("computed from optics", ["NA"]), ("from a file", ["PSF file"]), ("cells", [])):
        field(widget, "PSF").value = choice
        assert [label for label in ("width (px)", "NA", "PSF file") if field(widget, label).shown] == shown


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"PSF": "computed from optics", "NA": 1.6}, "na must be below the refractive index of the immersion"),
        ({"PSF": "computed from optics", "pixel size (µm)": "small"}, "must be a number or empty, got 'small'"),
        ({"PSF": "from a file"}, "choose the file of the PSF: none is given"),
        ({"PSF": "from a file", "PSF file": "bead.tif"}, "the PSF: there is no '"),
        ({"iterations": "many"}, "iterations must be a whole number or empty, got 'many'"),
    ],
    ids=["aperture", "pixel size", "no file", "file not there", "no number"],
)
def test_psf_that_cannot_be_gets_a_sentence(deblurring, monkeypatch, values, sentence):
    from napari_genrecon.widgets.jobs import controls as _job_life

    shown = []
    monkeypatch.setattr(_job_life, "show_error", shown.append)
    viewer, widget, _ = deblurring
    for label, value in values.items():
        field(widget, label).value = value
    for words in ("Preview", RUN, "Copy as Python"):
        click(widget, "Copy methods text")  # which says that there is none
        assert sentence not in note(widget)
        click(widget, words)
        assert sentence in note(widget)
    assert [sentence in text for text in shown] == [True] * 3
    assert len(viewer.layers) == 1


def test_sentence_names_the_field_of_the_window(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    viewer.add_image(np.random.default_rng(0).poisson(60, (64, 72)).astype("u2"), name="no unit")
    widget = DeblurWidget(viewer)
    wait(qtbot, widget)
    field(widget, "PSF").value = "computed from optics"
    click(widget, RUN)
    assert "give the pixel size (pixel_size) in micrometres" in said(widget)
    assert field(widget, "pixel size (µm)").shown


SENTENCE = "The image was deblurred with napari-genrecon. " * 20


def test_docks_fit_a_low_window_with_their_buttons_in_sight(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    window = viewer.window._qt_window
    window.resize(1200, 700)
    name = "2026_HeLa_H2B_mCherry_tubulin_GFP_63x_oil_position_0007_timepoint_0123_channel_GFP_raw"
    viewer.add_image(np.random.default_rng(0).poisson(60, (64, 72)).astype("u2"), name=name)
    widgets = [DeblurWidget(viewer), DenoiseWidget(viewer)]
    for widget in widgets:
        viewer.window.add_dock_widget(widget)
        wait(qtbot, widget)
        field(widget, "more options").value = True
        box(widget, "message").setPlainText(SENTENCE)
        widget.native.findChild(QProgressBar).show()
    field(widgets[0], "PSF").value = "computed from optics"
    qtbot.wait(200)
    assert window.height() == 700
    assert window.minimumSizeHint().height() <= 700
    docks = [widget.native.parent() for widget in widgets]
    assert window.tabifiedDockWidgets(docks[0]) == [docks[1]]
    for widget, dock in zip(widgets, docks, strict=True):
        dock.raise_()
        qtbot.wait(100)
        assert widget.native.height() > 500
        assert widget.native.width() < 400
        words = ("Preview", RUN, "Cancel", "Copy as Python", "Copy methods text")
        parts = [*(button(widget, each) for each in words), box(widget, "message")]
        assert [part.visibleRegion().boundingRect().size() for part in parts] == [part.size() for part in parts]


@pytest.mark.parametrize(
    ("words", "lines"),
    [("", 0), ("Copied.", 1), ("New layer 'spots denoise': done in 17.4 s.", 1), ("_".join("abcdefgh" * 10), 4)],
    ids=["nothing", "a word", "a line", "a long name"],
)
def test_words_take_the_lines_that_they_need(qtbot, words, lines):
    from qtpy.QtWidgets import QVBoxLayout, QWidget

    from napari_genrecon.widgets.fit import text

    page = QWidget()
    qtbot.addWidget(page)
    layout = QVBoxLayout(page)
    labels = [text(words), text(words, most=8)]
    for label in labels:
        layout.addWidget(label.native)
    layout.addStretch(1)
    page.resize(340, 400)
    page.show()
    qtbot.waitExposed(page)
    qtbot.wait(100)
    for label in labels:
        native, document = label.native, label.native.document()
        assert label.value == words
        assert native.height() >= document.size().height() - 1
        assert native.height() < (max(lines, 1) + 1) * native.fontMetrics().lineSpacing()
        assert document.idealWidth() <= native.viewport().width()


def test_preview_hides_what_lies_between_it_and_its_source(opened, qtbot, noisy):
    viewer, widget, _ = opened
    viewer.add_image(np.full(SHAPE, 90, "u2"), name="in the way", **PLACED)
    wait(qtbot, widget)
    viewer.layers.selection.active = viewer.layers["cells"]
    wait(qtbot, widget)
    for view in ("before", "after"):
        field(widget, VIEW).value = view
        click(widget, "Preview")
        wait(qtbot, widget)
        assert "cells preview" in viewer.layers, note(widget)
        preview = viewer.layers["cells preview"]
        assert viewer.layers.index(preview) == len(viewer.layers) - 1
        assert (preview.blending, preview.opacity) == ("opaque", 1.0)


def test_preview_of_a_colour_image_has_its_colours_on_the_left(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    image = np.clip(np.random.default_rng(0).normal([[[60, 120, 180]]], 8, (64, 64, 3)), 0, 255).astype("u1")
    viewer.add_image(image, name="slide", rgb=True)
    widget = DenoiseWidget(viewer)
    wait(qtbot, widget)
    click(widget, "Preview")
    wait(qtbot, widget)
    preview = viewer.layers["slide preview"]
    assert preview.rgb
    start = np.round(preview.data_to_world((0, 0))).astype(int)
    left = int(viewer.scene.camera.center[-1] - start[1])
    rows, columns = slice(start[0], start[0] + preview.data.shape[0]), slice(start[1], start[1] + left)
    np.testing.assert_array_equal(preview.data[:, :left], image[rows, columns])


def test_status_says_when_the_preview_is_of_other_options(opened, qtbot):
    _, widget, _ = opened
    field(widget, "strength").value = 0.5
    assert "preview" not in said(widget)
    click(widget, "Preview")
    wait(qtbot, widget)
    shown = note(widget)
    assert shown.startswith("Preview: left of the line before")
    field(widget, "strength").value = 1.2
    assert any(text.startswith("The options have changed since this preview") for text in texts(widget))
    field(widget, "strength").value = 0.5
    assert shown in texts(widget)


def test_options_changed_while_a_preview_is_made_are_told(opened, qtbot):
    _, widget, _ = opened
    click(widget, "Preview")
    field(widget, "strength").value = 1.5
    wait(qtbot, widget)
    assert any(text.startswith("The options have changed since this preview") for text in texts(widget))


def test_status_says_when_the_image_of_the_preview_was_replaced(opened, qtbot):
    _, widget, layer = opened
    click(widget, "Preview")
    wait(qtbot, widget)
    layer.data = layer.data[:, ::-1].copy()
    wait(qtbot, widget)
    assert note(widget).startswith("What this preview was made from has changed")
    click(widget, "Preview")
    wait(qtbot, widget)
    assert note(widget).startswith("Preview: left of the line before")


@pytest.fixture
def preview_of_mask(make_napari_viewer, noisy, qtbot):
    """A viewer, Inpaint and a mask of one stroke, whose preview has begun."""
    viewer = make_napari_viewer()
    viewer.add_image(noisy[0], name="cells")
    widget = InpaintWidget(viewer)
    viewer.window.add_dock_widget(widget)
    qtbot.waitUntil(lambda: "Expected time" in said(widget), timeout=60_000)
    click(widget, "Draw a mask")
    mask = viewer.layers["cells: mask"]
    mask.paint((40, 40), 1)
    click(widget, "Preview")
    return viewer, widget, mask


@pytest.mark.parametrize("when", ["meanwhile", "after it"])
def test_status_says_when_the_mask_of_the_preview_was_painted_on(preview_of_mask, qtbot, when):
    _, widget, mask = preview_of_mask
    if when == "after it":
        wait(qtbot, widget)
        assert note(widget).startswith("Preview: left of the line before")
    mask.paint((60, 60), 1)
    wait(qtbot, widget)
    assert note(widget).startswith("What this preview was made from has changed")


def test_status_follows_an_undo_and_a_redo_in_the_mask_of_the_preview(preview_of_mask, qtbot):
    _, widget, mask = preview_of_mask
    wait(qtbot, widget)
    mask.undo()
    assert note(widget).startswith("What this preview was made from has changed")
    mask.redo()
    assert note(widget).startswith("Preview: left of the line before")
    mask.undo()
    mask.paint((20, 20), 1)  # as many strokes as before
    assert note(widget).startswith("What this preview was made from has changed")


def test_options_of_the_preview_name_a_renamed_mask_still(preview_of_mask, qtbot):
    viewer, widget, mask = preview_of_mask
    wait(qtbot, widget)
    mask.name = "scratch"
    viewer.dims.events.current_step()  # the message is renewed when the view moves
    wait(qtbot, widget)
    assert note(widget).startswith("Preview: left of the line before")
    mask.paint((60, 60), 1)
    assert note(widget).startswith("What this preview was made from has changed")


def test_status_names_the_image_of_the_preview_where_another_is_chosen(opened, qtbot, noisy):
    viewer, widget, _ = opened
    viewer.add_image(noisy[::-1], name="other", **PLACED)
    choose(widget, "cells")
    wait(qtbot, widget)
    click(widget, "Preview")
    wait(qtbot, widget)
    choose(widget, "other")
    wait(qtbot, widget)
    assert note(widget).startswith("Preview of 'cells': ")


def test_status_says_what_the_preview_shows_and_when_it_is_of_another_plane(opened, qtbot):
    viewer, widget, _ = opened
    viewer.dims.set_current_step(0, 1)
    click(widget, "Preview")
    wait(qtbot, widget)
    assert viewer.dims.current_step[0] == 1  # of a layer that does not start at 0
    for view, words in (("after", "Preview: as it will be"), ("before", "Preview: as it is now")):
        field(widget, VIEW).value = view
        assert any(text.startswith(words) for text in texts(widget))
    viewer.dims.set_current_step(0, 2)
    assert "The preview is of another plane: press Preview to see this one." in texts(widget)
    viewer.dims.set_current_step(0, 1)
    assert any(text.startswith("Preview: as it is now") for text in texts(widget))
    click(widget, "Copy as Python")
    viewer.dims.set_current_step(0, 2)
    assert note(widget).startswith("Copied: ")


def test_preview_of_the_first_of_several_layers_says_so(opened, qtbot, noisy):
    viewer, widget, _ = opened
    viewer.add_image(noisy[0], name="plane")
    choose(widget, "cells", "plane")
    wait(qtbot, widget)
    click(widget, "Preview")
    wait(qtbot, widget)
    assert any(text.startswith("Preview of 'cells': ") for text in texts(widget))


def test_preview_follows_the_contrast_of_its_source(opened, qtbot):
    viewer, widget, layer = opened
    click(widget, "Preview")
    wait(qtbot, widget)
    layer.contrast_limits, layer.gamma, layer.colormap = (20, 40), 0.5, "green"
    for view in ("split", "after"):
        field(widget, VIEW).value = view
        preview = viewer.layers["cells preview"]
        assert (list(preview.contrast_limits), preview.gamma, preview.colormap.name) == ([20, 40], 0.5, "green")


def test_preview_is_seen_whatever_the_pixels_looked_like_that_are_replaced(make_napari_viewer, qtbot):
    image = np.random.default_rng(0).normal(500, 20, (64, 64))
    image[10::20, 10::20] = 60_000
    viewer = make_napari_viewer()
    viewer.add_image(image, name="camera")
    viewer.add_image(image > 50_000, name="hot")
    widget = InpaintWidget(viewer)
    choose(widget, "camera")
    field(widget, "mask").value, field(widget, "method").value = "hot", "smooth (biharmonic)"
    wait(qtbot, widget)
    click(widget, "Preview")
    wait(qtbot, widget)
    assert viewer.layers["camera preview"].contrast_limits[1] == image[image < 50_000].max()


@pytest.mark.parametrize("name", ["image", "plate_2_well_B07_field_04_" * 4], ids=["short", "long"])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_list_of_images_is_as_high_as_they_need(make_napari_viewer, qtbot, noisy, n, name):
    viewer = make_napari_viewer(show=True)
    widget = DenoiseWidget(viewer)
    viewer.window.add_dock_widget(widget)
    for i in range(n):
        viewer.add_image(noisy[0], name=f"{name} {i}")
    wait(qtbot, widget)
    qtbot.wait(50)
    shown = images(widget)
    line = shown.fontMetrics().lineSpacing()
    needed = shown.visualItemRect(shown.item(n - 1)).bottom() if n else line
    assert needed <= shown.viewport().height() < needed + 2 * line


def test_preview_that_was_removed_by_hand_is_not_spoken_of(opened, qtbot):
    viewer, widget, _ = opened
    click(widget, "Preview")
    wait(qtbot, widget)
    viewer.layers.remove("cells preview")
    click(widget, "Copy as Python")
    field(widget, "strength").value = 1.5
    assert note(widget).startswith("Copied: ")


@pytest.mark.parametrize("when", ["shown", "being made"])
def test_closing_the_dock_takes_the_preview_away(opened, qtbot, when):
    viewer, widget, _ = opened
    click(widget, "Preview")
    if when == "shown":
        wait(qtbot, widget)
    viewer.window.remove_dock_widget(widget.native)
    wait(qtbot, widget)
    assert [x.name for x in viewer.layers] == ["cells"]


def test_what_is_missing_is_said_in_the_dock(make_napari_viewer, qtbot):
    widget = DenoiseWidget(make_napari_viewer())
    for words, answer in ((RUN, "Choose an image layer first."), ("Copy methods text", "There is no result yet")):
        click(widget, words)
        assert answer in said(widget)


def test_options_of_another_dock_say_nothing_about_its_preview(opened, qtbot):
    viewer, widget, _ = opened
    other = UpscaleWidget(viewer)
    wait(qtbot, other)
    for each in (other, widget):  # the second preview takes the place of the first
        click(each, "Preview")
        wait(qtbot, each)
    click(other, "Copy as Python")
    field(other, "factor").value = "3"
    assert note(other).startswith("Copied: ")


def test_preview_asks_for_planes_and_hides_while_they_are_not_shown(opened, qtbot):
    viewer, widget, _ = opened
    click(widget, "Preview")
    wait(qtbot, widget)
    preview, shown = viewer.layers["cells preview"], note(widget)
    dims, grid = viewer.dims, viewer.canvas.grid
    for of, setting, other, planes in (
        (dims, "ndisplay", 3, 2), (dims, "order", (1, 0, 2), (0, 1, 2)), (grid, "enabled", True, False)
    ):  # fmt: skip
        setattr(of, setting, other)
        assert PLANES_ONLY in texts(widget)
        assert not preview.visible
        click(widget, "Preview")
        assert not widget.busy
        assert PLANES_ONLY in texts(widget)
        setattr(of, setting, planes)
        assert shown in texts(widget)
        assert preview.visible
    viewer.dims.order = (0, 2, 1)  # the same planes, mirrored
    click(widget, "Preview")
    wait(qtbot, widget)
    assert shown in texts(widget)


def test_preview_in_the_place_of_another_leaves_nothing_of_it_in_its_dock(opened, qtbot):
    viewer, widget, _ = opened
    other = UpscaleWidget(viewer)
    viewer.window.add_dock_widget(other)
    wait(qtbot, other)
    for each in (other, widget):
        click(each, "Preview")
        wait(qtbot, each)
    assert [x.name for x in viewer.layers] == ["cells", "cells preview"]
    assert note(other) == ""
    assert not field(other, VIEW).shown
    field(other, VIEW).value = "after"
    assert viewer.layers["cells preview"].data.shape[-1] <= SHAPE[-1]
    assert any(text.startswith("Preview: ") for text in texts(widget))
