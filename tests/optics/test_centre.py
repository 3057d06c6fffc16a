"""A PSF whose centre lies between pixels does not move the image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import center_of_mass, gaussian_filter

from napari_genrecon import MeasuredPSF, deblur, gaussian_psf
from napari_genrecon.optics.centre import FARTHEST, centred_psf


def gaussian(shape, centre, sigma=1.5):
    grids = np.meshgrid(*(np.arange(n) - at for n, at in zip(shape, centre, strict=True)), indexing="ij")
    psf = np.exp(-sum(grid**2 for grid in grids) / (2 * sigma**2))
    return psf / psf.sum()


def beside_the_middle(psf):
    return np.abs(np.subtract(center_of_mass(psf), [n // 2 for n in psf.shape])).max()


@given(
    shape=st.lists(st.integers(8, 23), min_size=2, max_size=3),
    offset=st.lists(st.floats(-1.4, 1.4), min_size=3, max_size=3),
    sigma=st.floats(0.7, 1.5),
)
def test_symmetric_psf_is_centred_and_keeps_its_light(shape, offset, sigma):
    shape = [n + 6 for n in shape]  # so that it is not cut off on one side
    psf = gaussian(shape, [n // 2 + by for n, by in zip(shape, offset, strict=False)], sigma)
    moved = centred_psf(psf)
    assert beside_the_middle(moved) < 0.08
    assert moved.sum() == pytest.approx(1)
    assert moved.min() >= 0


@pytest.mark.parametrize("side", range(2, 24))
def test_even_sides_have_their_centre_between_pixels(side):
    for psf in (gaussian((side, 9), ((side - 1) / 2, 4)), np.ones((side, side))):
        assert beside_the_middle(centred_psf(psf)) < 1e-6


def image_of_a_point(ndim):
    image = np.zeros((13, 65, 65)[-ndim:])
    image[tuple(n // 2 for n in image.shape)] = 2000
    return image


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("side", range(8, 24))
def test_image_stays_where_it_is(side, ndim):
    seen = 20 + gaussian_filter(image_of_a_point(ndim), 1.5)
    shape = (7, side, side)[-ndim:]
    psf = gaussian(shape, [(n - 1) / 2 for n in shape])
    sharp = deblur(seen, psf, method="rl", iterations=3, noise=1.0) - 20
    assert beside_the_middle(np.maximum(sharp - 1, 0)) < 0.1


def test_resampled_psf_of_even_sides_is_centred():
    psf = gaussian((20, 22), (9.5, 10.5), 2.0)
    found = MeasuredPSF(pixels=psf, pixel_size=(0.1, 0.1), image_pixel_size=(0.05, 0.17)).psf()
    assert beside_the_middle(found) < 0.05


def test_lopsided_psf_is_taken_as_it_is():
    line = np.where(np.arange(21) < 10, 0, np.exp(-(np.arange(21) - 10) / 2.0))
    psf = np.outer(line, gaussian_psf(3.0).sum(axis=0)[:13])
    assert centred_psf(psf) is psf


def test_psf_cut_out_beside_its_peak_is_left():
    psf = gaussian((21, 21), (10 + FARTHEST + 0.6, 10))
    assert centred_psf(psf) is psf
    with pytest.warns(Warning, match=r"peak of the PSF lies \(\+2, \+0\) px .* moved the other way"):
        deblur(image_of_a_point(2), psf, method="rl", iterations=1, noise=1.0)
