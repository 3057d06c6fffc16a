import pytest

from napari_genrecon.axes import Axes, assumption, infer_axes, resolve_axes
from napari_genrecon.errors import ImageError


@pytest.mark.parametrize(
    ("shape", "letters"),
    [
        ((64, 64), "YX"),
        ((3, 64, 64), "ZYX"),
        ((2, 3, 64, 64), "TZYX"),
        ((2, 3, 4, 64, 64), "TZCYX"),
        ((64, 64, 3), "YXS"),
        ((64, 64, 4), "YXS"),
        ((5, 64, 64, 3), "ZYXS"),
        ((64, 8, 4), "ZYX"),
        ((64, 64, 1), "YXC"),
        ((64, 64, 2), "YXC"),
        ((64, 64, 8), "YXC"),
        ((64, 64, 9), "ZYX"),
        ((9, 64, 64, 2), "ZYXC"),
        ((2, 3, 4, 64, 64, 3), "TZPYXS"),
        ((2, 3, 4, 64, 64, 2), "TZPYXC"),
    ],
    ids=str,
)
def test_axes_rule(shape, letters):
    axes = infer_axes(shape)
    assert axes.letters == letters
    assert axes.assumed


def test_given_axes_are_not_marked_as_assumed():
    assert not resolve_axes("cyx", (3, 64, 64)).assumed


@pytest.mark.parametrize(
    ("axes", "shape", "problem"),
    [
        ("YX", (3, 64, 64), "names 2 dimensions but the image has 3"),
        ("YYX", (3, 64, 64), "a letter appears twice"),
        ("ZCX", (3, 64, 64), "Y and X must both be named"),
        ("XYZ", (3, 64, 64), "Y must come before X"),
        ("SYX", (3, 64, 64), "must come last"),
        ("YXS", (64, 64, 5), "length 3 .* got 5"),
        ("CYXS", (2, 64, 64, 3), "not both"),
        ("Z-X", (3, 64, 64), "only letters"),
    ],
    ids=lambda v: str(v),
)
def test_axes_that_do_not_fit_get_a_sentence(axes, shape, problem):
    with pytest.raises(ImageError, match=problem):
        resolve_axes(axes, shape)


@pytest.mark.parametrize("shape", [(64,), (1, 2, 3, 4, 64, 64)], ids=str)
def test_shapes_without_a_rule_get_a_sentence(shape):
    with pytest.raises(ImageError, match="dimensions"):
        infer_axes(shape)


def test_channel_axis_is_c_before_s():
    assert resolve_axes("TCYX", (2, 3, 8, 8)).channel == 1
    assert resolve_axes("YXS", (8, 8, 3)).channel == 2
    assert resolve_axes("ZYX", (3, 8, 8)).channel is None


def test_colours_that_a_layer_denies_are_channels():
    assert infer_axes((64, 64, 3), rgb=False).letters == "YXC"


@pytest.mark.parametrize(
    ("shape", "other"),
    [
        ((512, 512, 5), "ZYX"),
        ((9, 512, 512, 2), "TZYX"),
        ((512, 512, 4), "YXC"),
        ((7, 512, 512, 4), "ZYXC"),
        ((2, 512, 512), "CYX"),
        ((10, 3, 512, 512), "TCYX"),
        ((3, 10, 512, 512), "CZYX"),
        ((512, 512, 20), "YXC"),
        ((10, 512, 512, 20), "ZYXC"),
    ],
    ids=str,
)
def test_other_reading_of_a_shape_is_named_and_fits_it(shape, other):
    axes = infer_axes(shape)
    said = assumption(axes, shape)
    assert said.startswith(f"assumed axes '{axes}' for the shape {shape}; if ")
    assert said.endswith(f", set '{other}' (axes)")
    assert resolve_axes(other, shape).letters == other
    assert not assumption(Axes(axes.letters), shape)  # they were given


@pytest.mark.parametrize(
    "shape", [(512, 512), (512, 512, 1), (512, 512, 3), (30, 512, 512), (100, 30, 512, 512), (3, 64, 64)], ids=str
)
def test_shapes_with_one_likely_reading_say_nothing(shape):
    assert not assumption(infer_axes(shape), shape)


def test_rgba_in_eight_bits_is_rgba():
    assert not assumption(infer_axes((512, 512, 4)), (512, 512, 4), eight_bit=True)
