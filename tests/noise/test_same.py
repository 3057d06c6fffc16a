"""What counts as the same image: bit for bit, or within a bound in units of the noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_genrecon.noise import NoiseModel
from napari_genrecon.noise.same import SAME, Comparison, alike, compare

NOISE = [NoiseModel.white(5)]


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(200, 20, (64, 64)).astype("f4")


@given(st.floats(0, 3), st.floats(0.01, 1e4))
def test_float_images_are_the_same_up_to_the_bound_and_no_further(ratio, sigma):
    image = np.random.default_rng(0).normal(0, 3 * sigma, (32, 32))
    other = image.copy()
    other[3, 4] += ratio * SAME * sigma
    assert compare(other, image, [NoiseModel.white(sigma)]).same is (ratio <= 1)


@pytest.mark.parametrize("sigma", [0.7, 5, 40, 3000])
@pytest.mark.parametrize("dtype", ["u2", "i4"])
def test_integers_may_tip_over_where_they_are_rounded_but_not_move(sigma, dtype):
    exact = np.random.default_rng(0).normal(20_000, 3 * sigma, (256, 256))
    noise = [NoiseModel.white(sigma)]
    first = np.rint(exact).astype(dtype)
    assert compare(np.rint(exact + 1e-5 * sigma).astype(dtype), first, noise).same
    assert not compare(np.rint(exact + 1e-2 * sigma).astype(dtype), first, noise).same
    changed = first.copy()
    changed[5, 6] += 2 + int(sigma)
    assert not compare(changed, first, noise).same


def test_float32_that_cannot_hold_the_bound_may_be_rounded_otherwise():
    large = np.random.default_rng(0).normal(6e6, 1, (32, 32)).astype("f4")  # steps of half a noise s.d.
    assert compare(np.nextafter(large, np.float32(np.inf)), large, [NoiseModel.white(1)]).same
    assert not compare(large + 4, large, [NoiseModel.white(1)]).same


def test_the_weakest_noise_of_the_channels_is_the_unit(image):
    found = compare(image + 0.05, image, [NoiseModel.white(5), NoiseModel.white(50)])
    assert found.deviation == pytest.approx(0.01, rel=1e-3)
    assert not found.same
    assert compare(image + 0.05, image, [NoiseModel.white(500)]).same


@pytest.mark.parametrize("noise", [[], [NoiseModel()], [NoiseModel.white(1e-9).to_dict()]])
def test_without_noise_a_hundredth_of_the_contrast_is_the_unit(image, noise):
    found = compare(image + 0.02, image, noise)
    assert found.deviation == pytest.approx(0.1, rel=0.05)
    assert "hundredths of the image's s.d." in str(found)
    assert not found.same
    assert compare(image + 1e-4, image, noise).same


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_must_stay_as_it_is(image, value):
    image[2, 3] = value
    assert compare(image, image.copy(), NOISE).identical
    other = image.copy()
    other[2, 3] = 200
    assert not compare(other, image, NOISE).same
    assert not compare(image, other, NOISE).same


def test_large_integers_that_floats_cannot_tell_apart_are_not_identical():
    image = np.array([[2**62, 5]])
    other = np.array([[2**62 + 1, 5]])
    assert not compare(other, image).identical


def test_parts_add_up_to_the_whole(image):
    other = image + np.float32(0.003)
    parts = Comparison(NOISE)
    for rows in (slice(0, 20), slice(20, 64)):
        parts.add(other[rows], image[rows])
    whole = compare(other, image, NOISE)
    assert (parts.largest, parts.same) == (whole.largest, whole.same)
    assert parts.deviation == pytest.approx(whole.deviation)


def test_records_are_alike_up_to_what_was_measured():
    record = {"noise": [{"gain": 0.5, "curve": [[1.0, 2.0]]}], "model": {"name": "a"}, "mask": None, "n": 3}
    assert alike(record, {**record, "noise": [{"gain": 0.5 * (1 + 1e-9), "curve": [[1.0, 2.0 + 1e-9]]}]})
    for other in ({"noise": [{"gain": 0.51, "curve": [[1.0, 2.0]]}]}, {"model": {"name": "b"}}, {"n": 4}, {"mask": 1}):
        assert not alike(record, {**record, **other})
    assert not alike(record, {})
