import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_genrecon.axes import infer_axes, resolve_axes
from napari_genrecon.engine.intensity import fill_non_finite, measure_centre, require_real_image, sample_crops, to_dtype
from napari_genrecon.engine.missing import find_missing, without_missing
from napari_genrecon.errors import ImageError

INTEGERS = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"]
FLOATS = hnp.arrays(np.float64, (6, 7), elements=st.floats(allow_nan=True, allow_infinity=True, width=64))


@given(FLOATS, st.sampled_from(INTEGERS))
def test_to_dtype_never_wraps(values, name):
    dtype = np.dtype(name)
    limits = np.iinfo(dtype)
    converted, clipped = to_dtype(values, dtype)
    for value, got in zip(values.ravel(), converted.ravel().tolist(), strict=True):
        want = 0 if np.isnan(value) else min(max(_rounded(value), limits.min), limits.max)
        assert got == want
    inside = sum(not np.isnan(v) and limits.min <= _rounded(v) <= limits.max for v in values.ravel())
    # float64 cannot tell 2**63 - 1 from 2**63: a value exactly there may be counted either way.
    edge = sum(abs(v) in (2.0**63, 2.0**64) for v in values.ravel())
    assert abs(clipped - (values.size - inside)) <= edge


def _rounded(value):
    return value if np.isinf(value) else int(np.rint(value))


@pytest.mark.parametrize("name", [*INTEGERS, "f2", "f4", "f8", ">u2", "<f4"])
def test_to_dtype_keeps_what_fits(name):
    dtype = np.dtype(name)
    values = np.arange(100).astype(dtype)
    converted, clipped = to_dtype(values, dtype)
    assert converted.dtype == dtype
    assert clipped == 0
    np.testing.assert_array_equal(converted, values)


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((0, 5)), "empty: shape"),
        (np.zeros((4, 4), bool), "boolean"),
        (np.zeros((4, 4), complex), "complex"),
        (np.array([["a", "b"]], object), "real numbers"),
        (np.array([["a", "b"]]), "real numbers"),
    ],
    ids=["empty", "bool", "complex", "object", "text"],
)
def test_what_is_not_a_real_image_gets_a_sentence(array, sentence):
    with pytest.raises(ImageError, match=sentence):
        require_real_image(array.shape, array.dtype)


def test_all_nan_gets_a_sentence():
    with pytest.raises(ImageError, match="no finite pixel"):
        measure_centre([np.full((4, 4), np.nan)])


class Counting:
    """An array that counts the pixels it gives away."""

    def __init__(self, array):
        self.array, self.read, self.shape, self.dtype = array, 0, array.shape, array.dtype

    def __getitem__(self, region):
        self.read += self.array[region].size
        return self.array[region]


@pytest.mark.parametrize(
    "shape", [(100, 512, 512), (2048, 2048), (5000, 5000), (3, 4, 600, 700), (40, 10, 10)], ids=str
)
def test_a_stack_is_sampled_not_read(shape):
    source = Counting(np.broadcast_to(np.float32(1), shape))
    crops = sample_crops(source, infer_axes(shape))
    assert 1 <= len(crops) <= 64
    assert all(crop.ndim == 2 for crop in crops)
    assert source.read <= 64 * 256**2


def test_crops_of_one_channel_hold_that_channel_only():
    image = np.stack([np.full((2, 300, 300), c) for c in range(3)], axis=1)
    for crop in sample_crops(image, resolve_axes("TCYX", image.shape), channel=2):
        assert (crop == 2).all()


def test_the_same_planes_are_sampled_whatever_the_order_of_dimensions():
    image = np.arange(8 * 5 * 3).reshape(8, 5, 3, 1, 1) * np.ones((4, 4))
    expected = sample_crops(image, resolve_axes("PTZYX", image.shape))
    for letters in ("TZPYX", "ZPTYX"):
        moved = image.transpose(*map("PTZYX".index, letters))
        np.testing.assert_array_equal(sample_crops(moved, resolve_axes(letters, moved.shape)), expected)


def test_sampling_is_repeatable():
    image = np.random.default_rng(0).normal(size=(3, 3000, 3000)).astype("f4")
    first, second = (sample_crops(image, infer_axes(image.shape)) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


def test_non_finite_pixels_become_their_neighbours_mean():
    plane = np.full((20, 20), 7.0)
    plane[3, 4], plane[10, 10], plane[0, 0] = np.nan, np.inf, -np.inf
    filled, bad = fill_non_finite(plane, centre=100.0)
    np.testing.assert_allclose(filled, 7.0)
    assert bad.sum() == 3


def test_large_hole_is_filled_with_the_centre():
    plane = np.full((40, 40), 7.0)
    plane[5:35, 5:35] = np.nan
    filled, _ = fill_non_finite(plane, centre=100.0)
    assert filled[20, 20] == 100.0
    assert np.isfinite(filled).all()


def _scene(seed=0):
    y, x = np.mgrid[:128, :128]
    truth = 100 + 150 * np.exp(-((y - 60) ** 2 + (x - 70) ** 2) / 600) + 80 * (np.hypot(y - 40, x - 50) < 12)
    return np.random.default_rng(seed).poisson(truth).astype(np.float32)


PLACES = {"margin": np.s_[:, :20], "bar": np.s_[10:20, 5:30], "top": np.s_[:9]}


@pytest.mark.parametrize("where", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("value", [65535, 1000, -9999, -32768, 1e6])
def test_constant_regions_far_outside_the_rest_are_missing(where, value):
    image = _scene()
    image[where] = value
    assert find_missing([image]) == (value,)
    assert find_missing([image.astype(np.int64)]) == (value,)
    assert np.isnan(without_missing(image, (value,))[where]).all()
    other = -5000 if value > 0 else 5000
    image[60:90, 100:] = other
    assert set(find_missing([image])) == {value, other}


def test_a_margin_among_hot_pixels_is_missing():
    image = _scene()
    image[np.random.default_rng(1).random(image.shape) < 0.03] = 30000
    assert find_missing([np.pad(image, 16, constant_values=65535)]) == (65535,)


def _saturated_cells():
    y, x = np.mgrid[:128, :128]
    cells = 1e4 * np.exp(-((y - 60) ** 2 + (x - 70) ** 2) / 100)
    return np.minimum(np.random.default_rng(0).poisson(20 + cells), 4095)


NORMAL = {
    "noise": _scene(),
    "dark and flat": np.maximum(_scene() - 130, 0),
    "saturated": np.minimum(_scene(), 200),
    "saturated cells": _saturated_cells(),
    "mask": np.where(_scene() > 150, 255, 0),
    "labels": np.kron(np.arange(64).reshape(8, 8), np.ones((16, 16), int)),
    "few levels": np.round(_scene() / 60),
    "single photons": 50 * np.random.default_rng(0).poisson(0.05, (128, 128)),
    "constant": np.full((128, 128), 7),
}


@pytest.mark.parametrize("image", NORMAL.values(), ids=NORMAL)
def test_nothing_is_missing_in_normal_images(image):
    assert find_missing([image]) == ()


@pytest.mark.parametrize("offset", [0.0, 3e9])
def test_filling_keeps_small_noise_on_large_grey_values(offset):
    plane = np.random.default_rng(0).normal(offset, 1, (32, 32))
    plane[10:14, 10:14] = np.nan
    assert abs(fill_non_finite(plane, offset)[0][10:14, 10:14] - offset).max() < 2


def test_floats_that_do_not_fit_are_clipped_and_counted():
    converted, clipped = to_dtype(np.array([70000.0, -1e9, 5.0, np.nan, np.inf]), np.dtype(np.float16))
    assert clipped == 2
    np.testing.assert_array_equal(converted, np.array([65504, -65504, 5, np.nan, np.inf], np.float16))
