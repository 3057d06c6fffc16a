import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.optimize import brentq
from scipy.signal import lfilter

from napari_genrecon import NoiseModel, denoise
from napari_genrecon.checks.residual import WIDTHS, limit, limit_at_one_place, residual_z
from napari_genrecon.errors import ImageError

WHITE = NoiseModel.white(10.0)


def neighbours(noise):
    return float((noise[:, 1:] * noise[:, :-1]).mean() / noise.var())


def gaussian(noise, rho):
    """Noise behind a Gaussian filter, of this correlation between neighbours."""
    if not rho:
        return noise
    width = brentq(lambda w: neighbours(gaussian_filter(noise, w, mode="wrap", truncate=8)) - rho, 0.1, 4, xtol=1e-3)
    return gaussian_filter(noise, width, mode="wrap", truncate=8)


def exponential(noise, rho):
    """Noise behind a recursive filter along both dimensions, as a slow detector leaves it."""
    return lfilter([1], [1, -rho], lfilter([1], [1, -rho], noise, axis=0), axis=1)


def noise_image(seed, rho=0.0, shape=(256, 256), kind=gaussian):
    noise = kind(np.random.default_rng(seed).normal(size=shape), rho)
    return 10.0 * noise / noise.std()


def blob(shape=(256, 256), height=30.0, width=3.0):
    y, x = np.indices(shape)
    return height * np.exp(-((y - 120) ** 2 + (x - 90) ** 2) / (2 * width**2))


@pytest.mark.parametrize("rho", [0.0, 0.1, 0.3, 0.7])
@pytest.mark.parametrize("kind", [gaussian, exponential])
def test_noise_alone_has_unit_spread_at_every_width_and_stays_below_the_limit(kind, rho):
    model = NoiseModel(read_noise=10.0, rho_x=rho, rho_y=rho)
    maps = np.stack([residual_z(noise_image(i, rho, kind=kind), np.zeros((256, 256)), model) for i in range(4)])
    np.testing.assert_allclose(maps.std(axis=(0, 2, 3)), 1.0, atol=0.15)
    assert np.abs(maps).max() < limit(4 * 256**2)


def test_an_erased_structure_does_not_raise_the_spread():
    noise = noise_image(0)
    clean, changed = (residual_z(noise + erased, np.zeros((256, 256)), WHITE) for erased in (0, blob(height=100)))
    np.testing.assert_allclose(changed[:, 0, 0] / clean[:, 0, 0], 1, atol=0.05)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_brightest_photon_in_the_window_counts_not_that_of_its_middle(width):
    """Beside a bright object the dark background is a window's middle, or the other way round."""
    y, x = np.indices((256, 256))
    truth = np.where((y // 16 + x // 16) % 2, 0.02, 20.0)
    noisy = np.random.default_rng(0).poisson(truth).astype(float)
    z = residual_z(noisy, truth, NoiseModel(gain=1.0), widths=(width,))
    assert z.max() < limit(z.size)


@pytest.mark.parametrize("photons", [0.1, 1.0, 10.0])
def test_skewed_noise_reaches_as_far_on_either_side_as_a_gaussian(photons):
    """A test that is too careful would find nothing among single photons."""
    truth = np.full((256, 256), photons)
    noisy = [np.random.default_rng(i).poisson(truth).astype(float) for i in range(6)]
    maps = [residual_z(image, truth, NoiseModel(gain=1.0)) for image in noisy]
    usual = np.mean([residual_z(noise_image(i), np.zeros((256, 256)), WHITE).max() for i in range(6)])
    assert np.mean([z.max() for z in maps]) == pytest.approx(usual, abs=0.6)
    assert -np.mean([z.min() for z in maps]) == pytest.approx(usual, abs=0.6)


@pytest.mark.parametrize("photons", [0.3, 3.0])
def test_light_that_was_added_is_not_hidden_by_the_shot_noise_it_would_have(photons):
    y, x = np.indices((256, 256))
    truth = np.full((256, 256), photons)
    spot = np.exp(-((y - 120) ** 2 + (x - 90) ** 2) / 8)
    noisy = np.random.default_rng(3).poisson(truth).astype(float)
    # A spot of s.d. 2 and this peak stands for 8 s.d. of the noise that the result implies: two thirds of its own.
    factor = 8**2 / (4 * np.pi)
    peak = factor / 3 + np.sqrt((factor / 3) ** 2 + factor * photons)
    z = residual_z(noisy, truth + peak * spot, NoiseModel(gain=1.0))
    assert z[:, 117:124, 87:94].min() < -limit(z[0].size)


def test_at_one_place_noise_gets_beyond_its_limit_in_one_of_a_hundred():
    z = np.abs(residual_z(noise_image(0), np.zeros((256, 256)), WHITE)).max(axis=0)
    assert 0.004 < np.mean(z > limit_at_one_place()) < 0.012


def test_the_limit_grows_with_the_pixels_that_noise_has_its_chance_in():
    limits = [limit(n) for n in (0, 100, 10**4, 10**6, 10**9)]
    assert limits == sorted(limits)
    assert limit(10**6, (1.0,)) < limit(10**6)


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_noise_crosses_the_limit_in_at_most_one_image_of_a_hundred(width):
    """The limit is set for so few pixels that it is crossed often enough to count."""
    noise, side = np.random.default_rng(0).normal(size=(2000, 64, 64)), 64
    model = NoiseModel.white(1)
    beyond = [np.abs(residual_z(plane, np.zeros((side, side)), model, widths=(width,))).max() for plane in noise]
    assert np.mean(np.array(beyond) > limit(side**2, (width,))) < 0.02


@pytest.mark.parametrize("sign", [1, -1], ids=["erased", "invented"])
def test_a_faked_structure_stands_out(sign):
    truth = 100.0 + blob()
    restored = truth - sign * blob()
    z = residual_z(truth + noise_image(0), restored, WHITE)
    assert np.abs(z[:, 120, 90]).max() > 6
    found = np.unravel_index(np.abs(z).max(axis=0).argmax(), z.shape[1:])
    assert np.hypot(found[0] - 120, found[1] - 90) < 4
    assert np.sign(z[np.abs(z[:, 120, 90]).argmax(), 120, 90]) == sign


@pytest.mark.parametrize("rho", [0.0, 0.6], ids=["white", "correlated"])
def test_pure_noise_comes_back_flat(rho):
    """No structure is invented where there is none."""
    model = NoiseModel(read_noise=10.0, rho_x=rho, rho_y=rho)
    noisy = 100.0 + noise_image(1, rho)
    restored = denoise(noisy, noise=model)
    assert restored.std() < 2.0
    assert np.abs(residual_z(noisy, restored, model)).max() < limit(noisy.size)


def test_shapes_must_agree():
    with pytest.raises(ImageError, match=r"noisy has shape \(4, 4\) but restored has shape \(4, 5\)"):
        residual_z(np.zeros((4, 4)), np.zeros((4, 5)), WHITE)
