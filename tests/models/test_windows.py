"""Sums of pixels around each, which are those of SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_genrecon.models import weighted_planes
from napari_genrecon.models.filters import windows
from napari_genrecon.normal import gaussian_taps
from napari_genrecon.numerics.motion import Motion
from napari_genrecon.numerics.resample import lanczos
from napari_genrecon.tasks.denoise.following import follow, moved

sides = st.integers(1, 40)
parts = st.floats(-9, 9)


@pytest.mark.parametrize(("outside", "mode"), [(0.0, "constant"), (None, "nearest")])
@given(height=sides, width=sides, sigma=st.sampled_from([0.5, 1.5, 3.0]), strip=st.sampled_from([7, 2**17]))
@settings(max_examples=30, deadline=None)
def test_a_gaussian_filter_is_that_of_scipy_whatever_the_strips(outside, mode, height, width, sigma, strip):
    plane = np.random.default_rng(height).normal(size=(height, width)).astype(np.float32)
    taps = gaussian_taps(sigma)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "_STRIP", strip)
        found = weighted_planes(plane[None], (taps, taps), outside)[0]
    np.testing.assert_allclose(found, ndimage.gaussian_filter(plane, sigma, mode=mode, truncate=4), atol=1e-5)


@given(dy=parts, dx=parts)
@settings(max_examples=30, deadline=None)
def test_squares_move_linearly_as_in_scipy(dy, dx):
    planes = np.random.default_rng(0).normal(size=(2, 24, 31)).astype(np.float32)
    right = [ndimage.shift(plane, (dy, dx), order=1, mode="grid-constant", cval=3.0) for plane in planes]
    np.testing.assert_allclose(moved(planes, Motion(dy, dx), 3.0), right, atol=1e-5)


@given(dy=parts, dx=parts)
@settings(max_examples=30, deadline=None)
def test_fine_detail_moves_as_its_spectrum_says(dy, dx):
    spots = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(96, 96)), 1.2, mode="wrap")
    right = np.fft.ifft2(ndimage.fourier_shift(np.fft.fft2(spots), (dy, dx))).real[16:-16, 16:-16]
    state = np.zeros((9, 96, 96), np.float32)
    state[0] = spots
    assert np.sqrt(np.mean((follow(state, Motion(dy, dx))[0, 16:-16, 16:-16] - right) ** 2)) < 0.01 * spots.std()


@given(dy=st.integers(-30, 30), dx=st.integers(-30, 30))
@settings(max_examples=20, deadline=None)
def test_whole_pixels_move_exactly_and_the_edge_is_repeated(dy, dx):
    state = np.random.default_rng(0).normal(size=(10, 20, 24)).astype(np.float32)
    rows, columns = (np.clip(np.arange(n) - by, 0, n - 1) for n, by in zip((20, 24), (dy, dx), strict=True))
    for plane in (0, 2, 9):
        assert (follow(state, Motion(dy, dx))[plane] == state[plane][np.ix_(rows, columns)]).all() or not (dy or dx)


@given(part=st.floats(0, 1, exclude_max=True))
def test_interpolation_keeps_what_is_even(part):
    assert abs(lanczos(part).sum() - 1) < 1e-12


def test_planes_that_cannot_be_written_are_averaged_too():
    plane = np.zeros((1, 8, 9), np.float32)
    plane.setflags(write=False)
    assert not weighted_planes(plane, ([(0, 1.0)], [(-1, 0.5), (1, 0.5)])).any()
