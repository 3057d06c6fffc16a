"""One map for image, labels and points, and the symmetries of a plane."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_genrecon.numerics.coordinate_map import CoordinateMap, knot_weights, random_map
from napari_genrecon.numerics.symmetries import random_ways, turned, turned_points


@settings(max_examples=15)
@given(
    seed=st.integers(0, 10_000),
    shape=st.sampled_from([(20, 33), (64, 64), (300, 200), (5, 48, 64), (24, 64, 64)]),
    elastic=st.sampled_from([0.0, 2.0, 50.0]),
    scale=st.sampled_from([0.0, 0.5]),
)
def test_forward_is_the_inverse_of_backward_and_nothing_folds(seed, shape, elastic, scale):
    rng = np.random.default_rng(seed)
    found, drawn = random_map(rng, shape, rotate=180, scale=scale, elastic=elastic)
    points = rng.uniform(0, np.array(shape) - 1, (50, len(shape)))
    np.testing.assert_allclose(found.backward(found.forward(points)), points, atol=1e-3)
    assert found.steepness() * drawn["scale"] <= 0.4 + 1e-9
    assert drawn["elastic"] <= elastic


@pytest.mark.parametrize("shape", [(20, 33), (6, 20, 33)])
def test_places_of_a_grid_are_those_of_its_points(shape):
    found, _ = random_map(np.random.default_rng(1), shape, rotate=20, scale=0.1, elastic=1.0)
    plane = 2 if len(shape) == 3 else 0
    places = found.places(plane)
    y, x = 7, 11
    point = np.array([[float(plane), y, x][-len(shape) :]])
    np.testing.assert_allclose(places.where[:, y, x], found.backward(point)[0], atol=1e-9)
    assert not places.outside[y, x]


def test_map_of_nothing_is_the_identity():
    found, drawn = random_map(np.random.default_rng(0), (20, 20))
    assert found.is_identity
    assert drawn == {"angle": 0.0, "scale": 1.0, "elastic": 0.0}


def test_half_a_turn_of_a_plane_reads_it_backwards():
    plane = np.arange(12, dtype=np.uint16).reshape(3, 4)
    places = CoordinateMap((3, 4), -np.eye(2)).places()
    np.testing.assert_array_equal(places.linear(plane, 0), plane[::-1, ::-1])
    np.testing.assert_array_equal(places.nearest(plane), plane[::-1, ::-1])


def test_weights_of_knots_sum_to_one_and_are_exact_at_the_knots():
    for linear in (False, True):
        places = np.linspace(0, 4, 33)
        np.testing.assert_allclose(knot_weights(places, 5, linear=linear).sum(1), 1, atol=1e-12)
        np.testing.assert_allclose(knot_weights(np.arange(5.0), 5, linear=linear), np.eye(5), atol=1e-12)


@pytest.mark.parametrize("way", range(8))
def test_points_turn_with_their_pixels(way):
    plane = np.arange(35).reshape(5, 7)
    points = np.argwhere(plane >= 0).astype(float)
    moved = turned_points(points, way, (5, 7)).astype(int)
    np.testing.assert_array_equal(turned(plane, way)[tuple(moved.T)], plane.ravel())


def test_ways_of_a_rectangle_keep_its_shape():
    assert set(random_ways(np.random.default_rng(0), 200, square=False)) == {0, 2, 4, 6}
    assert set(random_ways(np.random.default_rng(0), 200, square=True)) == set(range(8))
