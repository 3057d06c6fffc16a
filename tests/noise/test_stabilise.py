import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_genrecon.noise import NoiseModel, stabiliser

CAMERAS = {
    "photons only": (1.0, 0.0),
    "little read noise": (1.0, 0.7),
    "read noise": (2.0, 3.0),
    "much read noise": (0.5, 10.0),
    "no gain": (0.0, 2.0),
}
cameras = pytest.mark.parametrize(("gain", "read"), CAMERAS.values(), ids=CAMERAS)


def _noisy(rng, level, gain, read, size=200_000):
    signal = gain * rng.poisson(level, size) if gain else np.full(size, float(level))
    return 100 + signal + read * rng.standard_normal(size)


@cameras
@pytest.mark.parametrize("level", [0, 0.5, 2, 20, 500])
def test_perfect_denoiser_comes_back_unbiased(gain, read, level):
    noise = stabiliser(NoiseModel(gain=gain, offset=100, read_noise=read))
    y = noise.forward(_noisy(np.random.default_rng(0), level, gain, read))
    sigma = np.hypot(gain * np.sqrt(level), read) or 1
    truth = level * (gain or 1)
    assert abs(noise.inverse(y.mean(dtype=np.float64)) - 100 - truth) < 0.012 * sigma


@cameras
@pytest.mark.parametrize("level", [10, 500])
def test_stabilised_noise_has_unit_strength(gain, read, level):
    y = stabiliser(NoiseModel(gain=gain, offset=100, read_noise=read)).forward(
        _noisy(np.random.default_rng(0), level, gain, read)
    )
    assert y.std() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("read", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("level", [0.3, 2, 50])
@pytest.mark.parametrize("count", [1, 2, 10])
def test_mean_of_images_comes_back_unbiased(read, level, count):
    noise = stabiliser(NoiseModel(gain=2.0, offset=100, read_noise=2 * read))
    images = _noisy(np.random.default_rng(1), level, 2.0, 2 * read, size=(count, 200_000))
    y = noise.forward(images)
    left = np.full(200_000, 1 / count, np.float32)
    of_mean = noise.of_mean(y.mean(axis=0), noise.squared(y, images).mean(axis=0), left)
    if count == 1:
        np.testing.assert_allclose(of_mean, y[0], atol=1e-4)
    assert of_mean.var() < 1.06 / count
    denoised = np.full(1, of_mean.mean(dtype=np.float64))
    sigma = 2 * np.sqrt((level + read**2) / count)
    assert noise.inverse(denoised, variance=left[:1])[0] - 100 - 2 * level == pytest.approx(0, abs=0.03 * sigma)


@pytest.mark.parametrize("read", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("level", [0.3, 1, 20])
def test_strength_that_is_left_of_few_photons_is_known(read, level):
    noise = stabiliser(NoiseModel(gain=2.0, offset=100, read_noise=2 * read))
    y = noise.forward(_noisy(np.random.default_rng(2), level, 2.0, 2 * read))
    assert noise.left(y.mean(keepdims=True))[0] == pytest.approx(min(y.var(), 1), rel=0.03)


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-1e4, 1e4))
def test_stabilised_values_do_not_depend_on_units(scale, shift):
    grey = np.linspace(95.0, 400, 50)
    plain = stabiliser(NoiseModel(gain=2, offset=100, read_noise=3)).forward(grey)
    model = NoiseModel(gain=2 * scale, offset=100 * scale + shift, read_noise=3 * scale)
    np.testing.assert_allclose(stabiliser(model).forward(scale * grey + shift), plain, rtol=1e-3, atol=1e-3)


def test_curve_gives_unit_noise_and_comes_back():
    rng = np.random.default_rng(0)
    levels = np.linspace(0, 200, 9)
    model = NoiseModel(affine=False, curve=tuple((level, (8 - level / 40) ** 2) for level in levels))
    noise = stabiliser(model)
    for level in (40, 100, 160):
        y = noise.forward(level + model.sigma_at(level) * rng.standard_normal(100_000))
        assert y.std() == pytest.approx(1, abs=0.05)
        assert noise.inverse(y.mean(dtype=np.float64)) == pytest.approx(level, abs=0.05)


def test_no_light_is_lost_far_beyond_the_curve():
    model = NoiseModel(affine=False, curve=((0.01, 0.0078), (0.02, 0.012), (0.025, 0.027)))
    noise = stabiliser(model)
    far = np.array([-5.0, -1.0, 1.0, 10.0, 30.0])
    np.testing.assert_allclose(noise.inverse(noise.forward(far)), far, rtol=0.1)


def test_large_offset_loses_nothing():
    image = (4_000_000_000 + np.arange(1000)).astype(np.uint32)
    noise = stabiliser(NoiseModel(offset=4e9, read_noise=2))
    np.testing.assert_allclose(noise.inverse(noise.forward(image), dtype=np.float64), image, atol=1e-3, rtol=0)


def test_missing_pixels_stay_missing_and_shape_stays():
    image = np.full((2, 3), 120.0)
    image[0, 1] = np.nan
    noise = stabiliser(NoiseModel(gain=1, offset=100))
    back = noise.inverse(noise.forward(image))
    assert back.shape == (2, 3)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(back), np.isnan(image))


def test_transform_rises_far_below_the_offset():
    grey = np.linspace(-1000, 1000, 4001)
    noise = stabiliser(NoiseModel(gain=2, offset=100, read_noise=1))
    assert (np.diff(noise.forward(grey)) > 0).all()
    assert (np.diff(noise.inverse(np.linspace(-50, 50, 1001))) > 0).all()


def test_noise_free_model_comes_back_exactly():
    image = np.arange(12.0).reshape(3, 4)
    noise = stabiliser(NoiseModel(levels=(0, 6, 11)))
    np.testing.assert_allclose(noise.inverse(noise.forward(image)), image, rtol=1e-6)


def test_dark_spots_far_below_the_offset_are_no_pits():
    """A line through the measured variances that reaches 0 within the image: below, noise is as strong as elsewhere."""
    model = NoiseModel(gain=0.1, offset=90.0, levels=(60.0, 113.0, 137.0))
    grey = np.linspace(0, 255, 256)
    transform = stabiliser(model)
    stabilised = transform.forward(grey)
    assert (np.diff(stabilised) > 0).all()
    assert stabilised.max() - stabilised.min() < 255 / model.sigma_at(113.0)
    np.testing.assert_allclose(transform.inverse(stabilised)[:80], grey[:80], atol=0.2)
    overshoot = transform.inverse(stabilised.max() + 0.05 * np.ptp(stabilised))
    assert overshoot < 300  # a light of 255 that is overshot by a twentieth of the range


def test_noise_is_stabilised_where_the_image_is_darker_than_its_offset():
    """The measured offset is that of wide dark places; the same line of variances holds in narrow, darker ones."""
    model = NoiseModel(gain=0.99, offset=1434.0, read_noise=37.7, levels=(193.0, 6907.0, 34838.0))
    for light in (200.0, 1000.0, 5000.0):
        counts = np.random.default_rng(0).poisson(light / 0.99, 100_000)
        stabilised = stabiliser(model).forward(0.99 * counts)
        assert stabilised.std() == pytest.approx(1, rel=0.05)
        assert stabiliser(model).inverse(stabilised.mean()) == pytest.approx(light, rel=0.01)
