import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_genrecon.axes import infer_axes, resolve_axes
from napari_genrecon.engine.intensity import (
    fill_non_finite,
    measure_centre,
    require_real_image,
    sample_crops,
    to_dtype,
)
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
