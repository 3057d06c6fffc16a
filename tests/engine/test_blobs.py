"""Filters that find blobs: where they are, how high noise makes them, and what is no blob."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_genrecon.numerics.blobs.false_discovery import false_shares
from napari_genrecon.numerics.blobs.filters import (
    Filters,
    filter_widths,
    find_blobs,
    joined,
    noise_density,
    noise_field,
    z_maps,
)
from napari_genrecon.numerics.blobs.maxima import highest_around


def filters(rho=(0.0, 0.0), sizes=(2.0, 6.0), spacing=(1.0, 1.0)):
    return Filters(filter_widths(*sizes, len(rho)), rho, spacing)


def spot(shape, place, height, sigma, spacing=None):
    grid = np.indices(shape) - np.reshape(place, (-1,) + (1,) * len(shape))
    steps = np.reshape(spacing or (1.0,) * len(shape), (-1,) + (1,) * len(shape))
    return height * np.exp(-((grid * steps) ** 2).sum(0) / (2 * sigma**2))


@settings(max_examples=20)
@given(st.floats(12, 28), st.floats(12, 28), st.floats(1.0, 2.4))
def test_spot_is_found_at_its_place_and_size(y, x, sigma):
    used = filters()
    found = find_blobs(spot((40, 40), (y, x), 30.0, sigma), used)
    best = int(np.argmax(found.z))
    assert np.abs(found.places[best] - (y, x)).max() < 0.25
    assert used.sizes[found.level[best]] == pytest.approx(2.355 * sigma, rel=0.2)


def test_height_is_that_of_a_matched_filter():
    """A filter of the right width loses 8 % to one that also knows the background (sqrt(pi) height sigma in 2D)."""
    found = find_blobs(spot((64, 64), (32, 32), 1.0, 1.5) * 8, filters(sizes=(3.53, 3.54)))
    assert found.z.max() == pytest.approx(0.918 * np.sqrt(np.pi) * 8 * 1.5, rel=0.02)


@pytest.mark.parametrize("rho", [(0.0, 0.0), (0.6, 0.6), (0.0, 0.5)], ids=["white", "correlated", "along x"])
def test_noise_has_as_many_maxima_as_are_expected(rho):
    used, rng = filters(rho), np.random.default_rng(0)
    fields = [noise_field((256, 256), rho, rng) for _ in range(4)]
    found = joined([find_blobs(field, used, spots_only=False) for field in fields], 2)
    for index in range(1, len(used.widths) - 2):  # the finest sees single pixels, of which there are fewer maxima
        seen = np.count_nonzero(found.z[found.level == index] > 3.2)
        expected = 4 * 256**2 * float(noise_density(used, index, np.array(3.2)))
        assert abs(seen - expected) < 4 * np.sqrt(expected) + 0.15 * expected


def test_noise_has_no_more_maxima_at_the_edge_of_the_image_than_inside():
    rng = np.random.default_rng(1)
    found = joined([find_blobs(rng.normal(size=(200, 200)), filters(), spots_only=False) for _ in range(6)], 2)
    rim = np.min([found.places, 199 - found.places], axis=(0, 2)) < 4.5
    high = found.z > 2.8
    assert np.count_nonzero(rim & high) / (200**2 - 190**2) < 1.1 * np.count_nonzero(~rim & high) / 190**2


def test_edge_of_a_large_disc_is_no_spot():
    y, x = np.indices((128, 128))
    disc = 30.0 * (np.hypot(y - 64, x - 64) < 36) + np.random.default_rng(0).normal(size=(128, 128))
    strong = [found.z > 6 for found in (find_blobs(disc, filters()), find_blobs(disc, filters(), spots_only=False))]
    assert strong[0].sum() == 0 < 20 < strong[1].sum()


def test_parts_of_an_image_have_the_maxima_of_the_whole():
    values = np.random.default_rng(0).normal(size=(96, 160)).astype("f4")
    whole, left = find_blobs(values, filters()), find_blobs(values[:, :120], filters(), [(True, True), (True, False)])
    kept, same = whole.places[:, 1] < 80, left.places[:, 1] < 80
    np.testing.assert_allclose(
        np.sort(whole.z[kept]), np.sort(left.z[same]), rtol=2e-2
    )  # each is taken from its own mean


def test_spot_in_a_volume_with_thick_planes_is_found():
    volume = spot((12, 48, 48), (6, 20, 30), 30.0, 2.0, spacing=(3.0, 1.0, 1.0))
    found = find_blobs(volume, filters((0.0,) * 3, spacing=(3.0, 1.0, 1.0)))
    np.testing.assert_allclose(found.places[np.argmax(found.z)], (6, 20, 30), atol=0.2)


@pytest.mark.parametrize("width", [1.5, 2.1])
@pytest.mark.parametrize("longer", [1.0, 2.5, 4.0])
def test_spots_that_a_microscope_draws_out_along_z_are_found(width, longer):
    steps = (3.0 / longer, 1.0, 1.0)  # for a spot that is longer, planes seem nearer
    volume = spot((18, 48, 48), (8, 20, 30), 30.0, width, spacing=steps)
    found = find_blobs(volume, filters((0.0,) * 3, spacing=(3.0, 1.0, 1.0)))
    np.testing.assert_allclose(found.places[np.argmax(found.z)], (8, 20, 30), atol=0.2)


@pytest.mark.parametrize("axis", [0, 1, 2], ids="zyx")
def test_edge_of_a_body_or_a_rod_in_a_volume_is_no_spot(axis):
    grid = np.indices((30, 40, 40)) - np.reshape((15, 20, 20), (3, 1, 1, 1))
    ball = (grid**2).sum(0) < 12**2
    rod = np.exp(-(np.delete(grid, axis, 0) ** 2).sum(0) / 4.5)
    for body in (ball, rod):
        volume = 30.0 * body + np.random.default_rng(0).normal(size=body.shape)
        found = find_blobs(volume, filters((0.0,) * 3, spacing=(1.0, 1.0, 1.0)))
        assert not (found.z > 6).any()


@pytest.mark.parametrize(("planes", "largest"), [(2, 8.0), (8, 20.0)])
def test_object_in_a_stack_thinner_than_itself_has_one_maximum_under_each_filter(planes, largest):
    values = noise_field((planes, 64, 64), (0.0, 0.3, 0.3), np.random.default_rng(1))
    filters = Filters(filter_widths(2.0, largest, 3), (0.0, 0.3, 0.3), (1.0, 1.0, 1.0))
    found = find_blobs(values, filters, spots_only=False)
    wide = found[np.array(filters.widths)[found.level] > planes]
    columns = [(level, *place) for level, place in zip(wide.level, np.round(wide.places[:, 1:]), strict=True)]
    assert columns
    assert len(set(columns)) == len(columns)


def test_volume_has_the_maps_of_one_that_goes_on_as_its_mirror_image():
    values = noise_field((12, 48, 48), (0.0,) * 3, np.random.default_rng(0))
    filters = Filters(filter_widths(2.0, 6.0, 3), (0.0,) * 3, (1.0, 1.0, 1.0))
    longer = z_maps(np.pad(values, [(24, 24), (0, 0), (0, 0)], mode="symmetric"), filters)[:, 24:-24]
    np.testing.assert_allclose(z_maps(values, filters), longer, atol=2e-3)


@given(st.lists(st.floats(0, 50), min_size=1, max_size=30))
def test_false_shares_grow_with_chance_and_are_those_of_benjamini_and_hochberg(chance):
    found = false_shares(chance)
    order = np.argsort(chance, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    assert (found >= 0).all()
    assert (found <= 1).all()
    kept = [k for k in range(1, len(chance) + 1) if np.sort(chance)[k - 1] <= 0.05 * k]
    assert np.count_nonzero(found <= 0.05) == max(kept, default=0)


@settings(max_examples=30)
@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3, 5, 7, 9]), st.sampled_from([1, 3, 11]))
def test_highest_around_is_that_of_a_maximum_filter(height, width, side_y, side_x):
    values = np.random.default_rng(height * width).normal(size=(height, width)).astype(np.float32)
    expected = ndimage.maximum_filter(values, (side_y, side_x), mode="nearest")
    np.testing.assert_array_equal(highest_around(values, (side_y, side_x)), expected)
