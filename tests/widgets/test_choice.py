"""Which layer is worked on, what is said about it, and the same from a script."""

import os
import sys
import threading

import numpy as np
import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from napari.components import ViewerModel
from napari.layers import Image
from seen import RUN, button, choose, chosen, click, field, note, report, said, texts

from napari_genrecon import deblur, denoise
from napari_genrecon.errors import GenReconWarning, OptionError
from napari_genrecon.models import runtime
from napari_genrecon.optics import MeasuredPSF, Optics, gaussian_psf
from napari_genrecon.tasks import find_task
from napari_genrecon.widgets import add_result
from napari_genrecon.widgets.layers.add_result import layer_options
from napari_genrecon.widgets.openers import DeblurWidget, DenoiseWidget, InpaintWidget, UpscaleWidget

PLACED = {
    "scale": (0.5, 0.25),
    "translate": (3.0, -7.0),
    "rotate": 30.0,
    "units": ("micrometer",) * 2,
    "axis_labels": ("y", "x"),
    "colormap": "magma",
}
WHERE = {name: value for name, value in PLACED.items() if name != "colormap"}
SHAPE = (64, 72)


@pytest.fixture
def image():
    return np.random.default_rng(0).poisson(40, SHAPE).astype("u2")


@pytest.fixture
def viewer(make_napari_viewer, image):
    viewer = make_napari_viewer()
    viewer.add_image(image, name="cells", **PLACED)
    return viewer


def run(settle, widget):
    click(widget, RUN)
    settle(widget)


def filled(viewer, docked, settle):
    """The widget of inpainting, ready to fill a hole with the fast method."""
    viewer.add_labels(np.pad(np.ones((6, 6), int), ((20, 38), (20, 46))), name="hole", **WHERE)
    viewer.layers.selection.active = viewer.layers["cells"]
    widget = docked(viewer, InpaintWidget)
    field(widget, "mask").value, field(widget, "method").value = "hole", "smooth (biharmonic)"
    settle(widget)
    return widget


def make_active(viewer, name):
    viewer.layers.selection.active = viewer.layers[name]


# Results --------------------------------------------------------------------------------------------------------------


def test_clicked_result_is_what_the_next_task_works_on(viewer, docked, settle):
    denoise, upscale = docked(viewer, DenoiseWidget), docked(viewer, UpscaleWidget)
    run(settle, denoise)
    make_active(viewer, "cells")
    make_active(viewer, "cells denoise")
    for widget in (denoise, upscale):
        assert chosen(widget) == ["cells denoise"]
        settle(widget)
        assert "denoised with napari-genrecon" in said(widget)
        assert any(text.startswith("cells denoise: ") for text in texts(widget))
    run(settle, upscale)
    assert viewer.layers[-1].name == "cells denoise upscale x2"


@pytest.mark.slow
def test_result_of_the_task_itself_leaves_the_choice(viewer, docked, settle):
    widget = docked(viewer, DenoiseWidget)
    for _ in range(2):
        click(widget, "Preview")
        settle(widget)
        run(settle, widget)
        click(widget, "Check result")
        settle(widget)
        assert "Check of" in said(widget)
        assert chosen(widget) == ["cells"]
    np.testing.assert_array_equal(viewer.layers["cells denoise"].data, viewer.layers["cells denoise [1]"].data)


@pytest.mark.parametrize(
    ("blending", "visible"), [("additive", False), ("minimum", False), ("translucent", True), ("opaque", True)]
)
def test_source_that_would_mix_with_its_result_on_screen_is_hidden(image, blending, visible):
    viewer = ViewerModel()
    source = viewer.add_image(image, name="cells", blending=blending)
    result = add_result(viewer, "denoise", source)
    assert (source.visible, result.visible) == (visible, True)


def test_preview_of_another_dock_leaves_the_choice(viewer, docked, settle):
    denoise, upscale = docked(viewer, DenoiseWidget), docked(viewer, UpscaleWidget)
    run(settle, denoise)
    settle(upscale)
    click(upscale, "Preview")
    settle(upscale)
    assert chosen(denoise) == ["cells"]
    assert viewer.layers.selection.active.name == "cells denoise"


def test_result_of_another_dock_leaves_the_choice_of_one_that_is_at_work(viewer, docked, settle, monkeypatch):
    denoise, upscale = docked(viewer, DenoiseWidget), docked(viewer, UpscaleWidget)
    go_on = threading.Event()
    waits = runtime.Model.__call__

    def wait_to_denoise(model, *args):
        if model.card.task == "denoise":
            go_on.wait(60)
        return waits(model, *args)

    monkeypatch.setattr(runtime.Model, "__call__", wait_to_denoise)
    click(denoise, RUN)
    field(upscale, "model").value = "upscale-2d"  # which needs no denoiser
    run(settle, upscale)
    assert viewer.layers.selection.active.name == "cells upscale x2 upscale-2d"
    go_on.set()
    settle(denoise)
    assert chosen(denoise) == ["cells"]
    assert any(text.startswith("New layer 'cells denoise'") for text in texts(denoise))


@pytest.mark.parametrize("docked_first", [True, False], ids=["opened later", "docked later"])
def test_active_result_is_chosen(make_napari_viewer, docked, settle, image, docked_first):
    viewer = make_napari_viewer()
    widget = docked(viewer, DenoiseWidget) if docked_first else None
    viewer.add_image(image, name="saved", metadata={"genrecon": {"task": "denoise"}})
    widget = widget or docked(viewer, DenoiseWidget)
    settle(widget)
    assert chosen(widget) == ["saved"]
    assert "processed with napari-genrecon" in said(widget)


# Names ----------------------------------------------------------------------------------------------------------------


def test_renamed_layers_stay_chosen(viewer, docked, settle):
    widget = filled(viewer, docked, settle)
    viewer.layers["cells"].name = "embryo"
    viewer.layers["hole"].name = "scratch"
    assert chosen(widget) == ["embryo"]
    assert any(text.startswith("embryo: ") for text in texts(widget))
    assert field(widget, "mask").value == "scratch"
    run(settle, widget)
    np.testing.assert_array_equal(
        viewer.layers["embryo inpaint biharmonic: filled pixels"].data, viewer.layers["scratch"].data
    )


def test_name_that_another_layer_has_does_not_move_the_choice(viewer, docked, image):
    viewer.add_image(image, name="other", **PLACED)
    widget = docked(viewer, DenoiseWidget)
    choose(widget, "cells")
    viewer.layers["other"].name = "cells"
    assert chosen(widget) == ["cells"]
    viewer.layers["cells"].name = "cells [1]"
    assert [layer.name for layer in viewer.layers] == ["cells [2]", "cells [1]"]
    assert chosen(widget) == ["cells [2]"]


@pytest.mark.parametrize("name", ["<b>bold</b> & <i>it</i>", "a\nb", "µm 细胞 🔬"], ids=["tags", "lines", "scripts"])
def test_odd_names_are_told_as_they_are(viewer, docked, settle, name):
    viewer.layers["cells"].name = name
    widget = docked(viewer, DenoiseWidget)
    assert any(text.startswith(f"{name}: YX") for text in texts(widget))
    assert "\nExpected time: " in said(widget)
    run(settle, widget)
    assert any(text.startswith(f"New layer '{name} denoise': ") for text in texts(widget))
    assert viewer.layers[-1].name == f"{name} denoise"


def test_mask_with_the_name_of_another_choice_can_be_chosen(viewer, docked, settle, image):
    widget = filled(viewer, docked, settle)
    viewer.layers["hole"].name = "none"
    assert field(widget, "mask").value == "'none'"
    field(widget, "mask").value = "none"
    click(widget, RUN)
    assert "no mask: give one" in note(widget)  # at once, before a job is begun
    viewer.layers["none"].name = "hole"
    assert field(widget, "mask").value == "none"
    viewer.layers["hole"].name = "none"
    field(widget, "mask").value = "'none'"
    run(settle, widget)
    changed = viewer.layers.selection.active.data != image
    assert not changed[viewer.layers["none"].data == 0].any()
    assert changed.any()


def test_renamed_psf_stays_chosen(viewer, docked):
    widget = docked(viewer, DeblurWidget)
    field(widget, "PSF").value = "cells"
    viewer.layers["cells"].name = "bead"
    assert field(widget, "PSF").value == "bead"
    viewer.layers.remove("bead")
    assert field(widget, "PSF").value == "Gaussian of this width"
    assert field(widget, "width (px)").shown


# The report -----------------------------------------------------------------------------------------------------------


def test_run_that_measures_no_noise_leaves_the_measured(viewer, docked, settle):
    widget = filled(viewer, docked, settle)
    before = report(widget)
    assert "noise s.d." in before
    run(settle, widget)
    assert "cells inpaint biharmonic" in viewer.layers
    assert report(widget) == before


@pytest.mark.parametrize("kind", ["labels", "shapes"])
def test_mask_that_is_drawn_leaves_report_and_choice(viewer, docked, settle, kind):
    widget = docked(viewer, InpaintWidget)
    settle(widget)
    before = report(widget)
    assert "Expected time" in before
    if kind == "labels":
        viewer.add_labels(np.zeros(SHAPE, int), name="scratch")
    else:
        viewer.add_shapes(np.array([[2, 2], [2, 9], [9, 9]]), shape_type="polygon", name="scratch")
    assert report(widget) == before
    assert chosen(widget) == ["cells"]


@pytest.mark.slow
def test_nothing_is_said_of_layers_that_are_gone(viewer, docked, settle):
    widget = docked(viewer, DenoiseWidget)
    run(settle, widget)
    viewer.layers.remove("cells")
    settle(widget)
    assert "cells:" not in said(widget)
    viewer.layers.clear()
    assert (report(widget), note(widget)) == ("Choose an image layer.", "")
    viewer.add_labels(np.zeros(SHAPE, int), name="mask")
    viewer.layers.clear()
    assert "Choose an image layer." in texts(widget)


def test_layer_removed_while_it_is_measured_gets_no_report(viewer, settle):
    widget = DenoiseWidget(viewer)
    assert widget.busy
    viewer.layers.clear()
    settle(widget)
    assert "Choose an image layer." in texts(widget)


def test_layer_chosen_while_another_is_measured_gets_its_own_report(viewer, image, qtbot):
    widget = DenoiseWidget(viewer)
    viewer.add_image(image[:48] * 7, name="other")
    assert widget.busy
    qtbot.waitUntil(lambda: "noise s.d." in said(widget), timeout=60_000)
    assert any(text.startswith("other: ") for text in texts(widget))


def test_known_layer_chosen_while_another_is_measured_gets_its_report(viewer, docked, settle, image):
    widget = docked(viewer, DenoiseWidget)
    known = report(widget)
    viewer.add_image(image[:48] * 7, name="other")
    assert widget.busy
    choose(widget, "cells")
    settle(widget)
    assert report(widget) == known


def test_layer_chosen_while_a_job_runs_is_told_to_wait_and_then_measured(viewer, docked, settle, image, qtbot):
    widget = docked(viewer, DenoiseWidget)
    click(widget, RUN)
    viewer.add_image(image[:48] * 7, name="other")
    assert "other: the noise is measured as soon as the running job has ended." in texts(widget)
    qtbot.waitUntil(lambda: "noise s.d." in said(widget), timeout=60_000)
    assert any(text.startswith("other: ") for text in texts(widget))
    settle(widget)


# Nothing to fill ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "stripes", "sentence"),
    [
        ("none", True, "looking for stripes found nothing, so the image is unchanged"),
        ("hole", False, "the mask marks no pixel, so the image is unchanged"),
    ],
    ids=["detect", "mask"],
)
def test_nothing_to_fill_adds_no_layer_and_says_what_was_looked_for(
    viewer, docked, settle, monkeypatch, mask, stripes, sentence
):
    from napari_genrecon.widgets.task import widget as task_widget

    warned = []
    monkeypatch.setattr(task_widget, "show_warning", warned.append)
    widget = filled(viewer, docked, settle)
    viewer.layers["hole"].data = np.zeros(SHAPE, int)
    field(widget, "mask").value, field(widget, "stripes").value = mask, stripes
    field(widget, "method").value = "automatic"
    before = list(viewer.layers)
    run(settle, widget)
    assert list(viewer.layers) == before
    assert f"No new layer: {sentence}." in texts(widget)
    assert warned == [f"cells: {sentence}"]


# Python ---------------------------------------------------------------------------------------------------------------


def facts(layer):
    """All that tells whether two layers are the same, but for the time it took."""
    record = {k: v for k, v in layer.metadata["genrecon"].items() if k not in ("seconds", "utc", "tile")}
    place = [np.asarray(getattr(layer, name)).tolist() for name in ("scale", "translate", "rotate", "shear")]
    look = getattr(layer, "colormap", None) and layer.colormap.name
    return layer.name, place, layer.units, layer.axis_labels, look, layer.visible, record


@pytest.mark.slow
def test_copied_python_makes_the_same_layers(viewer, docked, settle):
    widget = filled(viewer, docked, settle)
    same_as_window(viewer, settle, widget)


def test_copied_python_lies_on_the_field_of_view_when_upscaled(viewer, docked, settle):
    widget = docked(viewer, UpscaleWidget)
    field(widget, "factor").value = "3"
    same_as_window(viewer, settle, widget)
    np.testing.assert_allclose(viewer.layers["cells upscale x3"].scale, np.array(PLACED["scale"]) / 3)


def test_copied_python_of_optics_and_typed_axes(make_napari_viewer, docked, settle, image):
    viewer = make_napari_viewer()
    viewer.add_image(np.stack([image, image + 9]), name="two", scale=(1, 0.1, 0.1), units=("micrometer",) * 3)
    widget = docked(viewer, DeblurWidget)
    field(widget, "PSF").value, field(widget, "NA").value = "computed from optics", 0.8
    field(widget, "z step (µm)").value = "0"
    field(widget, "axes").value, field(widget, "method").value = "CYX", "Richardson-Lucy (rl)"
    same_as_window(viewer, settle, widget)
    assert viewer.layers[-1].metadata["genrecon"]["axes"]["letters"] == "CYX"


@pytest.mark.slow
@pytest.mark.parametrize("shape_type", ["polygon", "line"])
def test_copied_python_fills_the_pixels_of_shapes(viewer, docked, settle, shape_type):
    widget = filled(viewer, docked, settle)
    corners = np.array([[10, 12], [30, 40]] if shape_type == "line" else [[10, 10], [10, 30], [25, 30]])
    viewer.add_shapes(corners, shape_type=shape_type, edge_width=4, name="drawn", **WHERE)
    field(widget, "mask").value = "drawn"
    same_as_window(viewer, settle, widget)
    assert viewer.layers["cells inpaint biharmonic: filled pixels"].data.any()


def test_copied_python_of_a_live_result_is_lazy(viewer, docked):
    widget = docked(viewer, DenoiseWidget)
    field(widget, "live, as you scroll").value = True
    exec(widget.as_python(), {"viewer": viewer})
    assert not isinstance(viewer.layers["cells denoise"].data, np.ndarray)


def same_as_window(viewer, settle, widget):
    before = list(viewer.layers)
    run(settle, widget)
    window = [layer for layer in viewer.layers if layer not in before]
    assert window
    code = widget.as_python()
    for layer in window:
        viewer.layers.remove(layer)
    exec(code, {"viewer": viewer})
    pasted = [layer for layer in viewer.layers if layer not in before]
    assert list(map(facts, pasted)) == list(map(facts, window))
    for one, other in zip(pasted, window, strict=True):
        np.testing.assert_array_equal(np.asarray(one.data), np.asarray(other.data))


def test_copy_without_a_choice_asks_for_a_layer(make_napari_viewer, monkeypatch):
    from qtpy.QtWidgets import QApplication

    from napari_genrecon.widgets.jobs import controls

    warned = []
    monkeypatch.setattr(controls, "show_warning", warned.append)
    QApplication.clipboard().setText("mine")
    widget = DenoiseWidget(make_napari_viewer())
    click(widget, "Copy as Python")
    assert warned == ["Choose an image layer first."]
    assert (QApplication.clipboard().text(), note(widget)) == ("mine", "Choose an image layer first.")


def test_unknown_task_gets_a_sentence(viewer):
    with pytest.raises(
        OptionError, match="no task named 'sharpen'; choose from: denoise, upscale, upscale_z, deblur, inpaint"
    ):
        add_result(viewer, "sharpen", viewer.layers["cells"])


def test_typed_axes_count_when_optics_take_their_size_from_the_layer():
    layer = Image(np.ones((3, 32, 32)), scale=(0.3, 0.1, 0.1), units=("um",) * 3)
    optics = Optics(na=1.2, wavelength=600, refractive_index=1.33)
    flat = layer_options(find_task("deblur"), layer, {"psf": optics, "axes": "CYX"}).psf
    deep = layer_options(find_task("deblur"), layer, {"psf": optics}).psf
    assert (flat.pixel_size, flat.z_step) == (pytest.approx(0.1), 0.0)
    assert (deep.pixel_size, deep.z_step) == (pytest.approx(0.1), pytest.approx(0.3))


@pytest.mark.parametrize("source", ["layer", "file"])
def test_psf_of_other_pixels_is_brought_to_those_of_the_layer(make_napari_viewer, docked, settle, tmp_path, source):
    import tifffile

    viewer = make_napari_viewer()
    bead, cells = gaussian_psf(8.0).astype("f4"), np.random.default_rng(0).poisson(60, (64, 72)).astype("f4")
    viewer.add_image(bead, name="bead", scale=(50, 50), units=("nm",) * 2)
    viewer.add_image(cells, name="cells", scale=(0.1, 0.1), units=("um",) * 2)
    tifffile.imwrite(tmp_path / "bead.tif", bead, imagej=True, resolution=(20, 20), metadata={"unit": "um"})
    widget = docked(viewer, DeblurWidget)
    field(widget, "PSF").value = "bead" if source == "layer" else "from a file"
    field(widget, "PSF file").value = tmp_path / "bead.tif"
    run(settle, widget)
    made = viewer.layers.selection.active
    psf = MeasuredPSF(pixels=bead, pixel_size=(0.05, 0.05), image_pixel_size=(0.1, 0.1))
    facts = made.metadata["genrecon"]["psf"]
    assert (facts["resampled"], facts["shape"]) == (True, list(psf.psf().shape))
    with pytest.warns(GenReconWarning, match="the PSF was resampled from its pixels of 0.05 x 0.05"):
        expected = deblur(cells, psf)
    np.testing.assert_allclose(made.data, expected, rtol=1e-5)
    with pytest.warns(GenReconWarning, match="the PSF was resampled from its pixels of 0.05 x 0.05"):
        exec(widget.as_python(), {"viewer": viewer})
    np.testing.assert_array_equal(viewer.layers.selection.active.data, made.data)


def test_camera_maps_are_a_layer(make_napari_viewer, docked, settle, image):
    viewer = make_napari_viewer()
    rng = np.random.default_rng(0)
    maps = np.stack([rng.normal(0, 3, image.shape), rng.uniform(1, 1.2, image.shape), rng.uniform(1, 90, image.shape)])
    viewer.add_image(maps, name="maps")
    viewer.add_image(image, name="cells")
    widget = docked(viewer, DenoiseWidget)
    field(widget, "camera maps").value = "maps"
    assert "camera=viewer.layers['maps']" in widget.as_python()
    run(settle, widget)
    expected = denoise(image, camera=maps)
    np.testing.assert_array_equal(viewer.layers["cells denoise"].data, expected)
    assert viewer.layers["cells denoise"].metadata["genrecon"]["camera"]["shape"] == [3, *image.shape]


def test_what_waits_for_a_job_is_dropped_with_the_window(make_napari_viewer, image, qtbot):
    from qtpy.QtCore import QEvent, QObject

    viewer = make_napari_viewer()
    viewer.add_image(image, name="cells")
    native = DenoiseWidget(viewer).native

    class Closing(QObject):
        """Closes the window when a job has ended, just before the dock looks whether a layer waits."""

        def eventFilter(self, run, event):
            if event.type() == QEvent.Type.EnabledChange and run.isEnabled():
                native.deleteLater()
            return False

    closing = Closing()
    button(native, RUN).installEventFilter(closing)
    with qtbot.waitSignal(native.destroyed, timeout=60_000):
        pass
    qtbot.wait(50)  # an error in there fails the test
