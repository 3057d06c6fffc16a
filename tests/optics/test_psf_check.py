import numpy as np
import pytest
from bundled import scenes
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, rotate

from napari_genrecon import deblur, gaussian_psf, simulate_psf
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import GenReconWarning, OptionError
from napari_genrecon.optics import as_psf
from napari_genrecon.optics.psf_check import detail_beyond, measured_notes, size_notes, widest_gaussian
from napari_genrecon.tasks.deblur import DeblurOptions, deblur_steps

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


def cells_seen(rng):
    """Discs blurred by a Gaussian of 4 px, with shot noise."""
    y, x = np.indices((192, 192))
    places = zip(*rng.uniform((0, 0, 6, 2e3), (192, 192, 15, 8e3), (20, 4)).T, strict=True)
    sharp = sum(light * (np.hypot(y - cy, x - cx) < radius) for cy, cx, radius, light in places)
    return rng.poisson(100 + gaussian_filter(sharp, 4 / FWHM)).astype(np.float32)


def with_a_hole(image):
    image[60:90, 70:100] = np.nan
    return image


DAMAGES = {
    "nothing": lambda image: image,
    "a hole": with_a_hole,
    "single missing pixels": lambda image: np.where(np.random.default_rng(1).random(image.shape) < 0.02, np.nan, image),
    "saturated": lambda image: np.minimum(image, np.quantile(image, 0.98)).astype(np.uint16),
    "striped": lambda image: image + np.random.default_rng(1).normal(0, 30, (len(image), 1)),
    "turned and padded": lambda image: rotate(image, 20, order=1),
    "8 bits": lambda image: np.round(image / image.max() * 255).astype(np.uint8),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_true_psf_is_not_blamed_for_damage(damage):
    image = damage(cells_seen(np.random.default_rng(3)))
    deblur(image, 4.0, method="rl", iterations=1)  # pytest makes an error of every warning


def marked(image, rows, columns, value):
    image[rows, columns] = value
    return image


ALL = slice(None)
DEFECTS = {
    "hot row": lambda image: marked(image, 80, ALL, 65535),
    "half a hot row": lambda image: marked(image, 80, slice(90, None), 30000),
    "dead column": lambda image: marked(image, ALL, 80, 0),
    "two dead rows": lambda image: marked(image, slice(80, 82), ALL, 0),
    "2 x 2 hot": lambda image: marked(image, slice(70, 72), slice(90, 92), 60000),
    "2 x 2 warm": lambda image: marked(image, slice(70, 72), slice(90, 92), 9000),
    "two hot side by side": lambda image: marked(image, 70, slice(90, 92), 60000),
    "two hot at a corner": lambda image: marked(image, [70, 71], [90, 91], 60000),
}


@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS)
def test_defects_of_the_camera_are_no_detail_and_hide_none(defect):
    image = defect(cells_seen(np.random.default_rng(3)))
    deblur(image, 4.0, method="rl", iterations=1)  # pytest makes an error of every warning
    with pytest.warns(GenReconWarning, match="more than 3 times stronger"):
        deblur(image, 8.0, method="rl", iterations=1)


@pytest.mark.parametrize("name", ["nothing", "striped", "8 bits"])
def test_psf_that_is_too_wide_is_noticed(name):
    image = DAMAGES[name](cells_seen(np.random.default_rng(3)))
    with pytest.warns(GenReconWarning, match="more than 3 times stronger"):
        deblur(image, 8.0, method="rl", iterations=1)


def test_noise_that_was_given_too_small_is_not_taken_for_detail():
    deblur(cells_seen(np.random.default_rng(3)), 4.0, noise=10.0, method="rl", iterations=1)


def test_measured_psf_is_told_what_is_wrong_with_it():
    bead = 1000 * np.pad(gaussian_psf(4.0), 8) / gaussian_psf(4.0).max()
    assert measured_notes(bead) == ()
    assert measured_notes(bead + np.random.default_rng(0).normal(0, 3, bead.shape)) == ()
    optics = {"na": 1.4, "wavelength": 0.52, "refractive_index": 1.515, "kind": "widefield"}
    assert measured_notes(simulate_psf(pixel_size=0.1, z_step=0.3, **optics)) == ()
    (pedestal,) = measured_notes(bead + 100)
    assert "offset of the camera" in pedestal
    (off,) = measured_notes(np.roll(bead, (5, -3), (0, 1)))
    assert "(+5, -3) px" in off
    image = cells_seen(np.random.default_rng(3))
    with pytest.warns(GenReconWarning, match="moved the other way"):
        deblur(image, np.roll(bead, (5, -3), (0, 1)), method="rl", iterations=1)


@pytest.mark.parametrize("as_what", ["itself", "of another dtype", "with one more dimension"])
def test_image_is_not_taken_for_its_own_psf(as_what):
    image = cells_seen(np.random.default_rng(3))
    given = {"itself": image, "of another dtype": image.astype(float), "with one more dimension": image[None]}[as_what]
    with pytest.raises(OptionError, match="the psf is the image itself: give the image of a point"):
        deblur(image if as_what != "with one more dimension" else image[None], given, method="rl", iterations=1)


def test_psf_that_looks_like_another_image_is_told():
    rng = np.random.default_rng(3)
    image, other = cells_seen(rng), cells_seen(rng)
    said = size_notes(as_psf(other), image.shape)
    assert "was an image given as the PSF?" in said[0]
    with pytest.warns(
        GenReconWarning, match=r"the PSF has 192 x 192 pixels for an image of 192 x 192, and only \d+% of"
    ):
        deblur(image, other, method="rl", iterations=1)


@pytest.mark.parametrize("kind", ["widefield", "confocal", "two-photon"])
def test_psf_as_large_as_the_image_is_none(kind):
    optics = {"na": 1.2, "wavelength": 0.52, "refractive_index": 1.33, "pixel_size": 0.1, "kind": kind}
    assert size_notes(simulate_psf(shape=(96, 96), **optics), (96, 96)) == ()
    assert size_notes(simulate_psf(shape=(24, 64, 64), z_step=0.3, **optics), (24, 64, 64)) == ()
    assert size_notes(as_psf(3.0), (14, 14)) == ()
    assert size_notes(as_psf(20.0), (80, 80)) == ()


UNCHECKED = {
    "": lambda image: image,
    "the noise of the image is correlated": lambda image: (
        image + gaussian_filter(np.random.default_rng(1).normal(0, 2000, image.shape), 0.8)
    ),
    "the image is smaller than 96 x 96 pixels": lambda image: image[:90],
    "saturated": DAMAGES["saturated"],
}


@pytest.mark.parametrize("reason", UNCHECKED)
def test_record_says_why_the_psf_could_not_be_checked(reason):
    image = UNCHECKED[reason](cells_seen(np.random.default_rng(3)))
    record = finish(deblur_steps(image, DeblurOptions(psf=4.0, method="rl", iterations=1))).record
    assert len(record["psf"]["unchecked"]) == bool(reason)
    assert all(reason in told for told in record["psf"]["unchecked"])
