import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from napari_genrecon import deblur, simulate_psf
from napari_genrecon.errors import GenReconWarning
from napari_genrecon.optics import as_psf
from napari_genrecon.optics.psf_check import detail_beyond, widest_gaussian
from napari_genrecon.training import scenes

FWHM = 2.355  # of a Gaussian, in s.d.
FLAT, READ_NOISE = 10.0, 2.0


def points(rng, shape):
    """Single molecules: no specimen holds finer detail."""
    image = np.zeros(shape, np.float32)
    image[rng.integers(0, shape[0], 300), rng.integers(0, shape[1], 300)] = 5.0
    return image


def seen(kind, sigma, seed=0, side=256):
    rng = np.random.default_rng([seed, 4])
    light = FLAT + 300 * gaussian_filter(kind(rng, (side, side)), sigma)
    image = rng.poisson(light) + rng.normal(0, READ_NOISE, light.shape)
    return image, float(light.mean() + READ_NOISE**2)


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.5])
@pytest.mark.parametrize("kind", [points, scenes.cells, scenes.filaments, scenes.puncta])
def test_true_psf_fits(kind, sigma):
    for seed in range(4):
        image, variance = seen(kind, sigma, seed)
        assert detail_beyond([image], as_psf(FWHM * sigma), [variance]) < 2


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.5])
def test_psf_that_is_too_wide_does_not_fit(sigma):
    image, variance = seen(points, sigma)
    assert detail_beyond([image], as_psf(1.25 * FWHM * sigma), [variance]) > 3


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.5])
def test_widest_gaussian_is_that_of_single_points(sigma):
    image, variance = seen(points, sigma)
    assert widest_gaussian([image], [variance]) == pytest.approx(FWHM * sigma, rel=0.1)


@given(gain=st.floats(1e-3, 1e3), offset=st.floats(-1e4, 1e4))
def test_units_of_the_grey_values_do_not_matter(gain, offset):
    image, variance = seen(points, 1.5, side=96)
    psf = as_psf(4.0)
    expected = detail_beyond([image], psf, [variance])
    assert detail_beyond([gain * image + offset], psf, [gain**2 * variance]) == pytest.approx(expected, rel=1e-3)


def test_nothing_is_said_where_nothing_can_be_seen():
    noise = np.random.default_rng(0).normal(0, 1, (128, 128))
    assert detail_beyond([noise], as_psf(6.0), [1.0]) == 0
    assert detail_beyond([noise[:20, :20]], as_psf(6.0), [1.0]) == 0
    assert detail_beyond([], as_psf(6.0), []) == 0
    assert widest_gaussian([noise], [1.0]) == 0 or widest_gaussian([noise], [1.0]) > 10


def test_psf_in_3d_is_judged_by_what_reaches_a_plane():
    optics = {"na": 1.2, "wavelength": 0.52, "refractive_index": 1.33, "z_step": 0.3, "kind": "widefield"}
    psf = simulate_psf(pixel_size=0.1, **optics)
    volume = np.zeros((len(psf), 128, 128), np.float32)
    rng = np.random.default_rng(0)
    volume[tuple(rng.integers(0, n, 400) for n in volume.shape)] = 1e4
    light = FLAT + np.abs(np.fft.ifftn(np.fft.fftn(volume) * np.fft.fftn(psf, s=volume.shape, axes=(0, 1, 2))))
    planes = list(rng.poisson(light[len(psf) // 2 - 3 : len(psf) // 2 + 3]).astype(float))
    assert detail_beyond(planes, psf, planes) < 3  # shot noise: the variance is the mean
    assert detail_beyond(planes, simulate_psf(pixel_size=0.05, **optics), planes) > 3


@pytest.mark.parametrize("seed", range(6))
def test_noise_of_a_bright_middle_is_not_taken_for_detail(seed):
    sharp = np.zeros((96, 96))
    sharp[30:60, 46] = 1000
    light = 20 + gaussian_filter(sharp, 2)
    image = np.random.default_rng(seed).poisson(light).astype(float)
    assert detail_beyond([image], as_psf(FWHM * 2), [image]) < 3


def test_deblur_warns_of_a_psf_that_is_too_wide_and_of_no_other():
    image, _ = seen(points, 1.5)
    with pytest.warns(GenReconWarning, match="than this PSF can have let through.*Gaussian of up to 3"):
        deblur(image, 2 * FWHM * 1.5, method="rl", iterations=2)
    deblur(image, FWHM * 1.5, method="rl", iterations=2)  # pytest makes an error of every warning
