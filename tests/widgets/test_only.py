"""The part of an image that a task works on, chosen in the window."""

import os
import sys

import numpy as np
import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from seen import RUN, click, field, note, said

from napari_genrecon import check, denoise, upscale
from napari_genrecon.noise import NoiseModel
from napari_genrecon.widgets.compare.pairs import Pair
from napari_genrecon.widgets.layers.snapshot import visible_region
from napari_genrecon.widgets.openers import DenoiseWidget, UpscaleWidget

SHAPE = (3, 48, 64)
PLACED = {"scale": (2, 0.5, 0.5), "translate": (1, 2, 3), "rotate": 20.0, "axis_labels": ("z", "y", "x")}


@pytest.fixture
def image():
    return np.random.default_rng(0).poisson(40, SHAPE).astype("u2")


@pytest.fixture
def viewer(make_napari_viewer, image):
    viewer = make_napari_viewer()
    viewer.add_image(image, name="cells", **PLACED)
    viewer.dims.set_current_step(0, 1)
    return viewer


def run(viewer, settle, widget):
    click(widget, RUN)
    settle(widget)
    return viewer.layers.selection.active


def rectangle(viewer, low, high):
    """Draw a rectangle that holds the pixels from `low` to before `high` of the image."""
    layer, (top, left), (bottom, right) = viewer.layers["cells"], low, high
    corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
    world = [layer.data_to_world((0, y - 0.5, x - 0.5))[-2:] for y, x in corners]
    viewer.add_shapes([world], shape_type="polygon", name="box")
    viewer.layers.selection.active = layer


@pytest.mark.parametrize(("kind", "task", "factor"), [(DenoiseWidget, denoise, 1), (UpscaleWidget, upscale, 2)])
def test_rectangle_gives_that_part_in_its_place(viewer, docked, settle, image, kind, task, factor):
    rectangle(viewer, (10, 20), (31, 45))
    widget = docked(viewer, kind)
    field(widget, "work on").value = "last rectangle of 'box'"
    part = run(viewer, settle, widget)
    np.testing.assert_array_equal(part.data, task(image, axes="ZYX", region=np.s_[0:3, 10:31, 20:45]))
    source = viewer.layers["cells"]
    before, _ = Pair(source, part, (0, 0, 0)).read(tuple(slice(0, n, 1) for n in part.data.shape))
    np.testing.assert_array_equal(before, image[:, 10:31, 20:45].repeat(factor, 1).repeat(factor, 2))
    assert part.metadata["genrecon"]["options"]["region"] == "Y=10:31, X=20:45"
    assert "region='Y=10:31, X=20:45'" in widget.as_python()


def test_renamed_rectangle_stays_the_part(viewer, docked, settle, image):
    rectangle(viewer, (10, 20), (31, 45))
    widget = docked(viewer, DenoiseWidget)
    field(widget, "work on").value = "last rectangle of 'box'"
    viewer.layers["box"].name = "cell 1"
    assert field(widget, "work on").value == "last rectangle of 'cell 1'"
    part = run(viewer, settle, widget)
    np.testing.assert_array_equal(part.data, denoise(image, axes="ZYX", region=np.s_[0:3, 10:31, 20:45]))


def test_rectangle_in_a_layer_named_like_another_choice_is_the_part(viewer, docked, settle, image):
    rectangle(viewer, (10, 20), (31, 45))
    widget = docked(viewer, DenoiseWidget)
    viewer.layers["box"].name = "the whole image"
    assert field(widget, "work on").value == "the whole image"  # that of this name, and not the layer
    field(widget, "work on").value = "last rectangle of 'the whole image'"
    assert run(viewer, settle, widget).data.shape == (3, 21, 25)


def test_plane_on_screen_goes_into_a_copy_of_the_whole(viewer, docked, settle, image):
    widget = docked(viewer, DenoiseWidget)
    field(widget, "work on").value = "the plane on screen"
    field(widget, "into a copy of the whole image").value = True
    whole = run(viewer, settle, widget)
    np.testing.assert_array_equal(whole.data, denoise(image, axes="ZYX", region="Z=1", whole=True))
    np.testing.assert_array_equal(whole.data[[0, 2]], image[[0, 2]])
    np.testing.assert_allclose(whole.extent.world, viewer.layers["cells"].extent.world)


def test_what_is_on_screen_is_the_part_that_is_seen(make_napari_viewer, docked, settle, image, qtbot):
    viewer = make_napari_viewer(show=True)
    layer = viewer.add_image(image, name="cells", **PLACED)
    viewer.dims.set_current_step(0, 1)
    widget = docked(viewer, DenoiseWidget)
    viewer.scene.camera.center = tuple(layer.data_to_world((1, 20, 30)))
    viewer.scene.camera.zoom *= 4
    qtbot.wait(200)
    field(widget, "work on").value = "what is on screen"
    part = run(viewer, settle, widget)
    assert part.data.shape[0] == 1
    assert part.data.size < layer.data[0].size
    low, high = part.extent.world
    centre = np.array(viewer.scene.camera.center)[-2:]
    assert (low[-2:] < centre).all()
    assert (centre < high[-2:]).all()


def test_what_is_on_screen_of_a_multiscale_layer_is_no_more_than_is_seen(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    pixels = np.zeros((2048, 1024), "u2")
    scaled = viewer.add_image([pixels, pixels[::2, ::2]], multiscale=True, scale=(0.5, 0.5), rotate=20)
    plain = viewer.add_image(pixels, scale=(0.5, 0.5), rotate=20)
    viewer.scene.camera.center = tuple(plain.data_to_world((1500, 300)))
    # napari keeps all that it has loaded of a level while a smaller part of it is looked at.
    for zoom in (2.0, 8.0):
        viewer.scene.camera.zoom = zoom
        qtbot.wait(100)
        seen = visible_region(viewer, scaled)
        assert seen == visible_region(viewer, plain)
    low, high = plain.corner_pixels
    assert seen == tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))


def test_typed_part_and_its_mistakes(viewer, docked, settle, monkeypatch):
    shown = []
    monkeypatch.setattr("napari_genrecon.widgets.jobs.controls.show_error", shown.append)
    widget = docked(viewer, DenoiseWidget)
    field(widget, "work on").value = "as typed below"
    field(widget, "part").value = "Z=7"
    run(viewer, settle, widget)
    assert "lies outside the image" in said(widget)
    assert shown == [note(widget)]
    field(widget, "part").value = "Z=2"
    assert run(viewer, settle, widget).data.shape == (1, *SHAPE[1:])


def test_rectangle_beside_the_image_gets_a_sentence(viewer, docked, settle, monkeypatch):
    monkeypatch.setattr("napari_genrecon.widgets.jobs.controls.show_error", lambda _: None)
    rectangle(viewer, (-40, -40), (-10, -10))
    widget = docked(viewer, DenoiseWidget)
    field(widget, "work on").value = "last rectangle of 'box'"
    run(viewer, settle, widget)
    assert "holds no pixel of 'cells'" in said(widget)
    assert len(viewer.layers) == 2


@pytest.mark.parametrize("whole", [False, True], ids=["part", "copy"])
def test_check_compares_the_part_with_its_place_in_the_image(viewer, docked, settle, image, whole):
    rectangle(viewer, (10, 20), (31, 45))
    widget = docked(viewer, DenoiseWidget)
    field(widget, "work on").value = "last rectangle of 'box'"
    field(widget, "into a copy of the whole image").value = whole
    result = run(viewer, settle, widget)
    noise = NoiseModel.from_dict(result.metadata["genrecon"]["noise"][0])
    region = np.s_[0:3, 10:31, 20:45]
    click(widget, "Check result")
    settle(widget)
    shown = viewer.layers[f"{result.name}: deviations"]
    clean = denoise(image, axes="ZYX", region=region)
    np.testing.assert_array_equal(shown.data, check(image[region], clean, noise=noise, axes="ZYX").deviations)
    before = [viewer.layers["cells"].data_to_world(index) for index in [(0, 10, 20), (2, 30, 44)]]
    np.testing.assert_allclose([shown.data_to_world(index) for index in [(0, 0, 0), (2, 20, 24)]], before)
    assert "Checked" in said(widget)


def test_check_of_a_part_of_another_image_says_so(viewer, docked, settle, image, monkeypatch):
    monkeypatch.setattr("napari_genrecon.widgets.jobs.controls.show_error", lambda _: None)
    widget = docked(viewer, DenoiseWidget)
    field(widget, "work on").value = "the plane on screen"
    result = run(viewer, settle, widget)
    viewer.layers["cells"].data = image[:, ::-1].copy()
    settle(widget)
    viewer.layers.selection.active = result
    click(widget, "Check result")
    settle(widget)
    assert f"the image that '{result.name}' was made from is not among the layers" in said(widget)


@pytest.mark.parametrize("part", ["the plane on screen", "what is on screen"])
@pytest.mark.parametrize("look", [{"order": (1, 0, 2)}, {"ndisplay": 3}], ids=["from the side", "3D"])
def test_part_on_screen_is_refused_where_no_plane_is_shown(viewer, docked, look, part):
    widget = docked(viewer, DenoiseWidget)
    field(widget, "work on").value = part
    for name, value in look.items():
        setattr(viewer.dims, name, value)
    click(widget, RUN)
    assert "there is no plane, y by x, on screen to work on" in note(widget)
    assert len(viewer.layers) == 1
