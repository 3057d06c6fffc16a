import numpy as np
import pytest

from napari_genrecon.normal import FWHM
from napari_genrecon.numerics.slices import back_project_slices, slice_profile, sliced

by_factor = pytest.mark.parametrize("factor", [2, 3, 4])


@by_factor
@pytest.mark.parametrize("thickness", [0.3, 1.0, 3.0])
def test_profile_is_a_mean_in_the_middle_of_its_rows(factor, thickness):
    first, weights = slice_profile(factor, thickness)
    assert weights.sum() == pytest.approx(1)
    assert (weights * (first + np.arange(len(weights)))).sum() == pytest.approx((factor - 1) / 2)


def test_profile_has_the_width_that_was_asked_for():
    first, weights = slice_profile(4, 2.0)
    rows = first + np.arange(len(weights)) - 1.5
    assert np.sqrt((weights * rows**2).sum()) * FWHM == pytest.approx(8, rel=0.07)  # it is cut at 2.5 s.d.


@by_factor
def test_a_ramp_stays_a_ramp(factor):
    """Away from the ends, which are mirrored."""
    fine = np.arange(40.0 * factor)[:, None]
    planes = sliced(fine, factor, 1.0)[:, 0]
    np.testing.assert_allclose(planes[3:-3], factor * np.arange(40)[3:-3] + (factor - 1) / 2, atol=1e-9)


@pytest.mark.parametrize("shape", [(12,), (12, 5), (12, 5, 7)], ids=str)
def test_only_the_first_dimension_becomes_shorter(shape):
    fine = np.full(shape, 7, np.float32)
    thin = sliced(fine, 3, 1.0)
    assert thin.dtype == np.float32
    np.testing.assert_allclose(thin, np.full((4, *shape[1:]), 7), rtol=1e-6)


@by_factor
def test_back_projection_leaves_little_of_a_mismatch(factor):
    rng = np.random.default_rng(0)
    stack, fine = rng.normal(size=(12, 6, 5)), np.zeros((12 * factor, 6, 5))
    left = [np.std(stack - sliced(back_project_slices(fine, stack, factor, 1.0, n), factor, 1.0)) for n in (0, 5, 20)]
    assert left[0] > 2 * left[1] > 4 * left[2]
