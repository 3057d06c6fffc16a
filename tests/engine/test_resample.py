from itertools import accumulate

import numpy as np
import pytest

from napari_genrecon.numerics.resample import back_project, binned, enlarge, shrink

by_factor = pytest.mark.parametrize("factor", [1, 2, 3, 4])


@by_factor
@pytest.mark.parametrize("resample", [enlarge, shrink], ids=["enlarge", "shrink"])
def test_constant_stays_constant(resample, factor):
    np.testing.assert_allclose(resample(np.full((12, 24), 5.0), factor), 5.0, rtol=1e-14)


@by_factor
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 12)], ids=str)
def test_sides_follow_the_factor(shape, factor):
    large = enlarge(np.ones(shape, np.float32), factor)
    assert large.shape == (shape[0] * factor, shape[1] * factor)
    assert large.dtype == np.float32
    assert shrink(large, factor).shape == shape


def test_weights_of_halving_are_those_of_imresize():
    """Keys' kernel stretched by 2: -3 -9 29 111 111 29 -9 -3 over 256; of these, what meets input pixel 8."""
    impulse = np.zeros((2, 16))
    impulse[:, 8] = 1
    np.testing.assert_allclose(shrink(impulse, 2)[0] * 256, [0, 0, -3, 29, 111, -9, 0, 0], atol=1e-12)


def test_weights_of_doubling_are_those_of_keys():
    """At a quarter of a pixel: -9, 111, 29, -3 over 128, and mirrored."""
    impulse = np.zeros((1, 7))
    impulse[0, 3] = 1
    expected = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 128
    np.testing.assert_allclose(enlarge(impulse, 2)[0, 3:11], expected)


@by_factor
@pytest.mark.parametrize("resample", [enlarge, shrink], ids=["enlarge", "shrink"])
def test_centroid_stays_in_place(resample, factor):
    y, x = np.indices((48, 60))
    spot = np.exp(-0.5 * ((y - 22.7) ** 2 + (x - 31.2) ** 2) / 5**2)
    result = resample(spot, factor)
    ratio = len(result) / len(spot)
    centroid = [(np.indices(result.shape)[i] * result).sum() / result.sum() for i in (0, 1)]
    np.testing.assert_allclose((np.array(centroid) + 0.5) / ratio - 0.5, (22.7, 31.2), atol=1e-3)


@by_factor
@pytest.mark.parametrize("resample", [enlarge, shrink], ids=["enlarge", "shrink"])
def test_straight_line_stays_straight(resample, factor):
    ramp = np.tile(np.arange(48.0), (24, 1))
    row = resample(ramp, factor)[0]
    inner = row[len(row) // 4 : -len(row) // 4]
    np.testing.assert_allclose(np.diff(inner) * len(row) / 48, 1.0, atol=1e-12)


@by_factor
def test_back_projection_agrees_more_with_every_round(factor):
    rng = np.random.default_rng(0)
    small, guess = rng.random((20, 24)), rng.random((20 * factor, 24 * factor))
    rounds = accumulate(range(4), lambda large, _: back_project(large, small, factor), initial=guess)
    errors = [np.std(shrink(large, factor) - small) for large in rounds]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2 * errors[0]


def test_squares_are_averaged_and_what_is_left_over_is_cut():
    image = np.arange(2 * 5 * 7, dtype=np.float32).reshape(2, 5, 7)
    means = [
        [[image[n, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean() for x in range(3)] for y in range(2)] for n in (0, 1)
    ]
    np.testing.assert_array_equal(binned(image, 2), np.array(means, np.float32))
    np.testing.assert_array_equal(binned(image, 1), image)
