import numpy as np
import pytest
from scipy.special import j1

from napari_genrecon import gaussian_psf, simulate_psf
from napari_genrecon.errors import OptionError
from napari_genrecon.optics import as_psf

OPTICS = {"na": 1.4, "wavelength": 0.52, "refractive_index": 1.515, "pixel_size": 0.05}


def width(profile):
    """Full width at half maximum, in samples, of a symmetric profile around its middle."""
    half = profile[len(profile) // 2 :] / profile.max()
    i = int(np.argmax(half < 0.5))
    return 2 * (i - 1 + (half[i - 1] - 0.5) / (half[i - 1] - half[i]))


@pytest.mark.parametrize("fwhm", [1.0, 3.0, 5.9])
def test_gaussian_has_its_width_and_sum_1(fwhm):
    psf = gaussian_psf(fwhm)
    assert psf.sum() == pytest.approx(1)
    assert psf.shape[0] % 2
    middle = psf[len(psf) // 2] / psf.max()
    assert middle[len(psf) // 2 + 1] == pytest.approx(2 ** (-4 / fwhm**2))


def test_gaussian_takes_one_width_per_dimension():
    psf = gaussian_psf((8.0, 3.0, 3.0))
    assert psf.ndim == 3
    assert psf.shape[0] > psf.shape[1] == psf.shape[2]


def test_low_aperture_in_focus_is_the_airy_pattern():
    """The scalar limit (Born & Wolf, 8.5.2)."""
    na, wavelength, pixel = 0.1, 0.5, 0.1
    psf = simulate_psf(na=na, wavelength=wavelength, refractive_index=1.0, pixel_size=pixel, shape=(1, 151))[0]
    v = 2 * np.pi * na / wavelength * pixel * np.maximum(np.abs(np.arange(151) - 75), 1e-9)
    np.testing.assert_allclose(psf / psf.max(), (2 * j1(v) / v) ** 2, atol=0.01)


def test_low_aperture_on_the_axis_is_a_squared_sinc():
    """Born & Wolf, 8.8.2: I = sinc^2(u / 4), u = 2 pi / wavelength * na^2 * z."""
    psf = simulate_psf(na=0.1, wavelength=0.5, refractive_index=1.0, pixel_size=0.01, z_step=4.0, shape=(41, 1, 1))
    u = 2 * np.pi / 0.5 * 0.1**2 * 4.0 * (np.arange(41) - 20)
    axis = psf[:, 0, 0]
    np.testing.assert_allclose(axis / axis.max(), np.sinc(u / 4 / np.pi) ** 2, atol=0.02)


@pytest.mark.parametrize("kind", ["widefield", "confocal", "two-photon"])
def test_simulated_psf_is_centred_symmetric_and_of_sum_1(kind):
    psf = simulate_psf(**OPTICS, z_step=0.2, kind=kind)
    assert psf.sum() == pytest.approx(1)
    assert np.unravel_index(psf.argmax(), psf.shape) == tuple(n // 2 for n in psf.shape)
    for axis in range(3):
        np.testing.assert_allclose(psf, np.flip(psf, axis), atol=1e-12)


def test_high_aperture_is_as_wide_as_measured_ones():
    """0.51 wavelength / NA laterally, and a confocal PSF is narrower by about the square root of 2."""
    wide = simulate_psf(**OPTICS)
    confocal = simulate_psf(**OPTICS, kind="confocal")
    expected = 0.51 * OPTICS["wavelength"] / OPTICS["na"] / OPTICS["pixel_size"]
    assert width(wide[len(wide) // 2]) == pytest.approx(expected, rel=0.2)
    assert width(wide[len(wide) // 2]) / width(confocal[len(confocal) // 2]) == pytest.approx(2**0.5, rel=0.1)


def test_light_is_the_same_in_every_plane_of_a_widefield_psf():
    psf = simulate_psf(**OPTICS, z_step=0.2, shape=(5, 121, 121))
    np.testing.assert_allclose(psf.sum(axis=(1, 2)), 0.2, rtol=0.05)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"na": 1.6}, "na must be below the refractive index 1.515 of the immersion, got 1.6"),
        ({"wavelength": 0}, "wavelength must be a positive number, got 0"),
        ({"pixel_size": float("nan")}, "pixel_size must be a positive number, got nan"),
        ({"kind": "light-sheet"}, "kind must be one of widefield, confocal, two-photon; got 'light-sheet'"),
        ({"wavelength": 520.0}, r"PSF would be \d+ pixels wide, at most 2001 can be: .* in one unit"),
        ({"shape": (3, 9, 9)}, r"shape must be positive and \(Y, X\), or \(Z, Y, X\) with a z_step"),
    ],
)
def test_optics_that_cannot_be_get_a_sentence(changes, sentence):
    with pytest.raises(OptionError, match=sentence):
        simulate_psf(**OPTICS | changes)


@pytest.mark.parametrize(
    ("psf", "sentence"),
    [
        (np.ones(5), r"psf has shape \(5,\)"),
        (np.zeros((3, 3)), "finite numbers of a positive sum"),
        (np.full((3, 3), np.nan), "finite numbers of a positive sum"),
        (np.ones((3, 3), complex), "psf has dtype complex128"),
        (-2.0, "the FWHM of a PSF must be a positive number of pixels, at most 588, got -2"),
        (1e9, r"at most 588, got 1e\+09"),
    ],
    ids=["1d", "zero", "nan", "complex", "negative", "wide"],
)
def test_what_is_no_psf_gets_a_sentence(psf, sentence):
    with pytest.raises(OptionError, match=sentence):
        as_psf(psf)


CONFOCAL = {**OPTICS, "kind": "confocal", "pixel_size": 0.02, "shape": (61, 61)}


def confocal_width(**settings):
    psf = simulate_psf(**CONFOCAL | settings)
    return width(psf[30]) * 0.02


def test_a_nearly_closed_pinhole_is_a_closed_one():
    np.testing.assert_allclose(
        simulate_psf(**CONFOCAL, pinhole=0.02), simulate_psf(**CONFOCAL), atol=1e-3 * simulate_psf(**CONFOCAL).max()
    )


def test_an_open_pinhole_leaves_the_excitation():
    exciting = simulate_psf(**OPTICS | {"wavelength": 0.488, "pixel_size": 0.02}, shape=(61, 61))
    assert confocal_width(pinhole=8, excitation=0.488) == pytest.approx(width(exciting[30]) * 0.02, rel=0.01)


def test_width_grows_with_the_pinhole_and_shrinks_with_the_excitation():
    widths = [confocal_width(pinhole=size) for size in (0.1, 0.5, 1.0, 2.0)]
    assert widths == sorted(widths)
    assert confocal_width(pinhole=1) == pytest.approx(0.198, rel=0.02)  # 1 Airy unit, NA 1.4, 520 nm
    assert confocal_width(pinhole=1, excitation=0.488) < confocal_width(pinhole=1)


def test_the_pinhole_is_a_disk():
    """Against a convolution on a fine grid, in the limit of a small aperture, where the theory is scalar."""
    from scipy.signal import fftconvolve

    optics = {"na": 0.1, "wavelength": 0.5, "refractive_index": 1.0, "pixel_size": 0.1}
    wide = simulate_psf(**optics, shape=(201, 201))
    y, x = (np.indices(wide.shape) - 100) * 0.1
    disk = np.hypot(y, x) <= 0.5 * 1.22 * 0.5 / 0.1
    expected = wide * fftconvolve(wide, disk.astype(float), mode="same")
    found = simulate_psf(**optics, kind="confocal", pinhole=1, shape=(201, 201))
    middle = slice(60, 141)
    np.testing.assert_allclose(
        (found / found.max())[middle, middle], (expected / expected.max())[middle, middle], atol=0.01
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kind": "widefield", "pinhole": 1}, "pinhole fits only a confocal microscope; got pinhole 1"),
        ({"kind": "two-photon", "excitation": 0.4}, "excitation fits only a confocal microscope"),
        ({"pinhole": 0}, "pinhole must be a positive number, got 0"),
        ({"pinhole": 11}, "pinhole must be at most 10 Airy units, got 11"),
    ],
)
def test_pinholes_that_cannot_be_get_a_sentence(settings, sentence):
    with pytest.raises(OptionError, match=sentence):
        simulate_psf(**CONFOCAL | settings)
