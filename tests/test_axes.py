import pytest

from napari_genrecon.axes import infer_axes, resolve_axes
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
        ((64, 64, 5), "ZYX"),
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
