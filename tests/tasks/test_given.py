"""Layers, arrays and paths as the image of a public function."""

import inspect
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from napari.layers import Image, Labels, Points, Shapes

import napari_genrecon
from napari_genrecon import Optics, augment, check, deblur, denoise, detect_damage, inpaint, measure_noise, upscale
from napari_genrecon.errors import GenReconWarning, ImageError, OptionError
from napari_genrecon.tasks.given import given_images, given_points

pytestmark = pytest.mark.filterwarnings("ignore:.* of the pixels are hot or dead ones")

NOISY = np.random.default_rng(0).poisson(50, (2, 32, 40)).astype("u2")
NOISY[:, 5, 7] = 5000  # something to inpaint
CALLS = {
    "denoise": denoise,
    "upscale": upscale,
    "deblur": lambda image: deblur(image, 2.0, method="rl", iterations=1),
    "inpaint": lambda image: inpaint(image, detect="hot", method="biharmonic", noise=7.0),
    "measure_noise": measure_noise,
    "detect_damage": detect_damage,
    "check": lambda image: str(check(image, image)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (None, "the image is None and not an array"),
        ([Image(NOISY)] * 2, r"the image is a list of 2 \(Image, Image\) and not an array"),
        ({"a": 1}, "the image is of type dict and not an array"),
    ],
    ids=["None", "layers", "dict"],
)
def test_what_is_no_image_is_named(call, wrong, said):
    with pytest.raises(ImageError, match=said):
        call(wrong)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("path", ["cells.tif", Path("cells.tif")], ids=["str", "Path"])
def test_path_is_told_from_an_array(call, path):
    with pytest.raises(ImageError, match=r"the image is the path 'cells\.tif' and not an array: read it first"):
        call(path)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_layer_gives_what_its_pixels_and_axes_give(call):
    layer = Image(NOISY, axis_labels=("c", "y", "x"))
    multiscale = Image([NOISY, NOISY[:, ::2, ::2]], multiscale=True, axis_labels=("c", "y", "x"))
    found, same = call(layer), call(multiscale)
    assert np.array_equal(found, same) if isinstance(found, np.ndarray) else found == same
    if call is denoise:
        np.testing.assert_array_equal(found, denoise(NOISY, axes="CYX"))


def test_typed_axes_count_before_those_of_a_layer():
    layer = Image(NOISY, axis_labels=("c", "y", "x"))
    np.testing.assert_array_equal(denoise(layer, axes="ZYX"), denoise(NOISY, axes="ZYX"))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_layer_of_another_kind_gets_a_sentence(call):
    with pytest.raises(ImageError, match="'marks' is a points layer, and an image layer is needed"):
        call(Points(np.zeros((3, 2)), name="marks"))


def test_optics_take_the_pixel_size_of_the_layer():
    optics = Optics(na=1.2, wavelength=520, refractive_index=1.33)
    layer = Image(NOISY[0], scale=(0.1, 0.1), units=("micrometer",) * 2)
    given = deblur(NOISY[0], Optics(na=1.2, wavelength=520, refractive_index=1.33, pixel_size=0.1), iterations=1)
    np.testing.assert_array_equal(deblur(layer, optics, iterations=1), given)
    with pytest.raises(OptionError, match="does not say how large a pixel is"):
        deblur(Image(NOISY[0]), optics)


def test_masks_and_point_spread_functions_can_be_layers():
    mask = np.zeros(NOISY[0].shape, "u1")
    mask[5:8, 5:8] = 1
    filled = [inpaint(NOISY[0], given, method="biharmonic", noise=7.0) for given in (Labels(mask), mask)]
    np.testing.assert_array_equal(*filled)
    with pytest.raises(ImageError, match="is a shapes layer, and a labels or image layer is needed"):
        inpaint(NOISY[0], Shapes(np.array([[0, 0], [0, 5], [5, 5]]), shape_type="polygon"))
    with pytest.raises(OptionError, match=r"the psf is the path 'bead\.tif' and not an array"):
        deblur(NOISY[0], "bead.tif")
    psf = np.outer([1, 2, 1], [1, 2, 1]).astype(float)
    np.testing.assert_array_equal(
        deblur(NOISY[0], Image(psf), method="rl", iterations=1), deblur(NOISY[0], psf, method="rl", iterations=1)
    )


def test_layers_can_be_trained_on():
    pixels, axes = given_images([Image(NOISY, axis_labels=("c", "y", "x"))] * 2, None)
    assert [p is NOISY for p in pixels] == [True, True]
    assert [str(letters) for letters in axes] == ["CYX", "CYX"]
    assert given_images(NOISY, "ZYX") == (NOISY, "ZYX")
    assert given_points([Points([[1, 2]])], None)[0].tolist() == [[1, 2]]


PLACES = np.array([[4.0, 5.0], [10.0, 3.0]])


@pytest.mark.parametrize("image", [Image(NOISY[0], scale=(0.5, 0.5), translate=(3, -2), rotate=20), NOISY[0]])
def test_points_of_a_layer_are_where_it_shows_them_on_the_layer_of_the_image(image):
    turned = isinstance(image, Image)
    shown = [image.data_to_world(place) for place in PLACES] if turned else PLACES
    marks = Points(np.array(shown) / 2, scale=(2, 2)) if turned else Points(PLACES)
    np.testing.assert_allclose(given_points(marks, image), PLACES)
    np.testing.assert_allclose(given_points([marks] * 2, [image] * 2), [PLACES] * 2)
    np.testing.assert_allclose(given_points(PLACES, image), PLACES)
    np.testing.assert_allclose(
        augment(image, axes="YX", points=marks, n=1)[0].points, augment(NOISY[0], points=PLACES, n=1)[0].points
    )


@pytest.mark.parametrize("channels", [2, 5])
def test_channels_last_are_channels_and_it_is_said(channels):
    noisy = np.random.default_rng(0).poisson(40 * np.arange(1, channels + 1), (32, 32, channels))
    with pytest.warns(GenReconWarning, match="assumed axes 'YXC' for the shape .* set 'ZYX'"):
        found = denoise(noisy)
    np.testing.assert_array_equal(found, denoise(noisy, axes="YXC"))
    for say in (measure_noise, detect_damage, lambda image: check(image, image)):
        with pytest.warns(GenReconWarning, match="assumed axes 'YXC'"):
            say(noisy)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_one_channel_last_is_the_plane(call):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".* of the pixels are hot or dead ones")
        found, plane = call(NOISY[0][..., None]), call(NOISY[0])
    if isinstance(found, np.ndarray):
        np.testing.assert_allclose(found[..., 0], plane, rtol=1e-5)


FUNCTIONS = [f for name in napari_genrecon.__all__ if inspect.isfunction(f := getattr(napari_genrecon, name))]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_help_tells_what_can_be_passed_and_what_comes_back(function):
    signature = inspect.signature(function)
    named = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]  # deprecated ones
    said = [signature.return_annotation, *(p.annotation for p in named)]
    assert "Any" not in said
    assert inspect.Parameter.empty not in said
