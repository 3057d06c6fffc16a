import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from bench import unseen
from bundled import scenes
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_genrecon.errors import ImageError
from napari_genrecon.noise import NoiseModel, measure_channel


def _accuracy():
    spec = importlib.util.spec_from_file_location("scenes_accuracy", Path(__file__).with_name("scenes_accuracy.py"))
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def _camera(seed=0, shape=(256, 256), gain=2.0, read=3.0):
    rng = np.random.default_rng(seed)
    electrons = 100 + 80 * np.sin(np.arange(shape[1]) / 40) * np.ones(shape)
    return 100 + gain * rng.poisson(electrons) + read * rng.standard_normal(shape)


@pytest.mark.slow
def test_simulated_scenes_are_measured_within_ten_percent():
    results = list(_accuracy().noise_accuracy(32, first_seed=20_000))
    assert np.mean([result.is_right for result in results]) >= 0.9


@settings(max_examples=15, deadline=None)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-1e3, 1e3))
def test_measurement_follows_units(scale, shift):
    image = _camera()
    plain, scaled = measure_channel([image]), measure_channel([scale * image + shift])
    assert scaled.gain == pytest.approx(scale * plain.gain, rel=0.02)
    assert scaled.sigma == pytest.approx(scale * plain.sigma, rel=0.02)
    assert scaled.offset == pytest.approx(scale * plain.offset + shift, abs=1e-3 * scale * plain.sigma)
    assert scaled.rho_x == pytest.approx(plain.rho_x, abs=0.02)


def test_photon_transfer_is_found():
    model = measure_channel([_camera()])
    assert model.gain == pytest.approx(2, rel=0.15)
    assert model.is_white
    assert model.affine
    assert float(model.sigma_at(300)) == pytest.approx(np.sqrt(2 * 200 + 9), rel=0.05)


def test_correlation_is_found_along_each_axis():
    noise = ndimage.gaussian_filter1d(np.random.default_rng(0).standard_normal((256, 256)), 0.7, axis=1)
    model = measure_channel([50 + 5 * noise / noise.std()])
    assert model.rho_x == pytest.approx(np.mean(noise[:, 1:] * noise[:, :-1]) / noise.var(), abs=0.05)
    assert model.rho_y == pytest.approx(0, abs=0.05)
    assert model.sigma == pytest.approx(5, rel=0.05)
    assert model.method == "flat blocks"


@pytest.mark.parametrize(("side", "seed"), [(160, 10), (256, 1), (256, 8)])
def test_structure_without_noise_and_without_an_even_patch_is_measured(side, seed):
    seen = measure_channel([255 * unseen.fibres(np.random.default_rng(seed), (side, side))])
    assert np.isfinite([seen.gain, seen.read_noise, seen.rho_x, seen.rho_y]).all()


def test_blurred_structure_is_not_taken_for_noise():
    rng = np.random.default_rng(0)
    structure = ndimage.gaussian_filter(rng.standard_normal((512, 512)), 2.5)
    image = 1000 + 200 * structure / structure.std() + 5 * rng.standard_normal((512, 512))
    model = measure_channel([image])
    assert model.sigma == pytest.approx(5, rel=0.2)


@pytest.mark.parametrize("peak", [10, 30, 100, 400])
@pytest.mark.parametrize("seed", range(3))
def test_photon_transfer_is_found_where_only_a_few_spots_are_bright(seed, peak):
    rng = np.random.default_rng([seed, peak])
    y, x = np.mgrid[:256, :256]
    cells = sum(np.clip(18 - np.hypot(y - cy, x - cx), 0, 4) / 4 for cy, cx in rng.uniform(30, 226, (5, 2)))
    electrons = peak * (0.02 + np.minimum(cells, 1))
    model = measure_channel([rng.poisson(electrons) + rng.normal(0, 2, electrons.shape)])
    assert float(model.sigma_at(peak)) == pytest.approx(np.sqrt(peak + 4), rel=0.15)
    assert float(model.sigma_at(0.02 * peak)) == pytest.approx(np.sqrt(0.02 * peak + 4), rel=0.06)


def test_noise_of_sparse_scenes_is_right_at_every_grey_level():
    rng = np.random.default_rng(7)
    for draw in (scenes.cells, scenes.filaments) * 4:
        electrons = 100 * np.maximum(draw(rng, (256, 256)), 0)
        model = measure_channel([rng.poisson(electrons) + rng.normal(0, 2, electrons.shape)])
        error = np.log(model.sigma_at(electrons) ** 2 / (electrons + 4)) / 2
        assert np.sqrt(np.mean(error**2)) < 0.06


def _texture(rng, power=3.0, shape=(512, 512)):
    """A random field whose spectrum falls as a power of frequency, stronger here and weaker there; s.d. 1."""
    y, x = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    spectrum = np.fft.rfft2(rng.standard_normal(shape)) * (y**2 + x**2 + 1e-3) ** (-power / 4)
    field = np.fft.irfft2(spectrum, shape) * np.exp(0.7 * ndimage.zoom(rng.standard_normal((16, 16)), 32, order=1))
    return field / field.std()


@pytest.mark.parametrize("sigma", [5, 15, 25])
def test_texture_under_white_noise_is_not_taken_for_correlated_noise(sigma):
    rng = np.random.default_rng(sigma)
    model = measure_channel([128 + 40 * _texture(rng) + rng.normal(0, sigma, (512, 512))])
    assert model.is_white
    assert model.sigma == pytest.approx(sigma, rel=0.25)


@pytest.mark.parametrize("rho", [0.4, 0.6, 0.75, 0.85])
@pytest.mark.parametrize("axes", [(0,), (0, 1)], ids=["y", "x and y"])
def test_smooth_noise_is_not_taken_for_texture(rho, axes):
    noise = np.random.default_rng(0).standard_normal((512, 512))
    for axis in axes:
        noise = ndimage.gaussian_filter1d(noise, np.sqrt(-1 / (4 * np.log(rho))), axis=axis, mode="wrap")
    model = measure_channel([100 + 10 * noise / noise.std()])
    assert model.rho_y == pytest.approx(np.mean(noise[1:] * noise[:-1]) / noise.var(), abs=0.06)
    assert not model.textured
    assert model.sigma == pytest.approx(10, rel=0.1 if rho < 0.8 else 0.25)


def test_measurement_is_deterministic():
    assert measure_channel([_camera()]) == measure_channel([_camera()])


def test_padding_is_left_out():
    padded = np.pad(_camera(), 128)
    assert float(measure_channel([padded]).sigma_at(300)) == pytest.approx(np.sqrt(409), rel=0.07)


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", [0.001, 0.1])
def test_missing_pixels_spoil_nothing(missing, part):
    rng = np.random.default_rng(0)
    image = rng.normal(100, 5, (256, 256))
    image[rng.random(image.shape) < part] = missing
    assert measure_channel([image]).sigma == pytest.approx(5, rel=0.06)


def test_saturation_is_reported_and_left_out():
    image = np.minimum(_camera(), 400).round().astype(np.uint16)
    model = measure_channel([image])
    assert model.saturation_level == 400
    assert model.saturated_fraction == pytest.approx((image == 400).mean())
    assert float(model.sigma_at(300)) == pytest.approx(np.sqrt(409), rel=0.1)


def test_stripes_are_told_from_pixel_noise():
    rng = np.random.default_rng(0)
    model = measure_channel([rng.normal(100, 5, (256, 256)) + rng.normal(0, 4, (256, 1))])
    assert model.row_stripes == pytest.approx(4, rel=0.15)
    assert model.column_stripes == 0
    assert model.sigma == pytest.approx(5, rel=0.05)


def test_hot_and_dead_pixels_are_counted():
    rng = np.random.default_rng(0)
    image = rng.normal(100, 5, (256, 256))
    image[8::32, 8::32] += 300
    image[20::32, 20::32] -= 300
    model = measure_channel([image])
    assert model.hot_fraction == pytest.approx(128 / 256**2)
    assert model.sigma == pytest.approx(5, rel=0.06)


@pytest.mark.parametrize("value", [1000, 65535, "random", "exponential"])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.05])
def test_hot_pixels_do_not_reach_the_measurement(share, value):
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:256, :256]
    electrons = 100 + 150 * np.exp(-((y - 90) ** 2 + (x - 100) ** 2) / 900)
    image = rng.poisson(electrons)
    hot = rng.random(image.shape) < share
    values = {"random": rng.integers(500, 4095, hot.sum()), "exponential": 250 + rng.exponential(500, hot.sum())}
    image[hot] = values.get(value, value)
    model = measure_channel([image.astype(np.uint16)])
    np.testing.assert_allclose(model.sigma_at([100, 250]), np.sqrt([100, 250]), rtol=0.1)
    assert model.is_white
    assert model.saturation_level is None
    assert model.hot_fraction == pytest.approx(hot.mean(), rel=0.1)


def test_photons_on_a_dark_background_are_no_hot_pixels():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:256, :256]
    photons = 0.02 + 30 * np.exp(-((y - 90) ** 2 + (x - 100) ** 2) / 900)
    image = 20 + 28 * rng.poisson(photons) + rng.normal(0, 1.5, photons.shape)
    model = measure_channel([image.round().astype(np.uint16)])
    assert model.hot_fraction < 1e-4
    assert model.gain == pytest.approx(28, rel=0.1)


def test_thin_lines_are_no_hot_pixels():
    image = np.random.default_rng(0).normal(100, 5, (128, 128))
    image[20::30] += 300
    image[:, 50] += 300
    assert measure_channel([image]).hot_fraction < 1e-3


def test_single_photons_are_no_hot_pixels():
    counts = 50 * np.random.default_rng(0).poisson(0.05, (256, 256)).astype(np.uint16)
    assert measure_channel([counts]).hot_fraction == 0


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_handful_of_photons_in_a_block_still_follow_their_line(seed):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:320, :320]
    photons = np.full((320, 320), 0.01)
    for top, left in rng.uniform(20, 300, (6, 2)):
        photons += 30 * np.exp(-((y - top) ** 2 + (x - left) ** 2) / 2 / 2**2)
    model = measure_channel([rng.poisson(photons).astype(np.uint16)])
    assert model.affine
    np.testing.assert_allclose(model.sigma_at([0.01, 8, 30]), np.sqrt([0.01, 8, 30]), rtol=0.2)


def test_rounding_to_whole_numbers_is_part_of_the_noise():
    image = np.random.default_rng(0).normal(100, 0.5, (256, 256)).round().astype(np.uint8)
    assert measure_channel([image]).sigma == pytest.approx(image.std(), rel=0.08)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (64, 64)], ids=str)
def test_constant_image_has_no_noise(shape, dtype):
    model = measure_channel([np.full(shape, 7, dtype)])
    assert (model.sigma, model.offset, model.hot_fraction) == (0, 7, 0)


@pytest.mark.parametrize("width", [8, 9, 12, 15])
@pytest.mark.parametrize("seed", range(4))
def test_white_noise_of_narrow_images_is_white(width, seed):
    model = measure_channel([np.random.default_rng(seed).normal(100, 10, (100, width))])
    assert model.is_white
    assert model.sigma == pytest.approx(10, rel=0.25)


@pytest.mark.parametrize("shape", [(1, 30), (5, 7), (12, 12), (20, 33)], ids=str)
def test_small_image_is_measured_roughly(shape):
    model = measure_channel([np.random.default_rng(1).normal(50, 4, shape)])
    assert 1.5 < model.sigma < 8


def test_compressed_grey_values_follow_a_curve():
    counts = np.random.default_rng(0).poisson(np.add.outer(np.arange(512) / 4, np.arange(512) / 2) + 2)
    model = measure_channel([20 * np.log1p(counts)])
    truth = 20 / np.sqrt(200)
    assert not model.affine
    assert float(model.sigma_at(20 * np.log1p(200))) == pytest.approx(truth, rel=0.15)


@pytest.mark.parametrize(
    ("crops", "message"),
    [
        ([], "no finite pixels"),
        ([np.zeros((0, 5))], "no finite pixels"),
        ([np.full((9, 9), np.nan)], "check that the image is not empty or all NaN"),
        ([np.zeros(5)], r"two axes \(Y, X\), got shape \(5,\)"),
        ([np.zeros((5, 5), complex)], "real numbers, got dtype complex128"),
        ([np.zeros((5, 5), bool)], "real numbers, got dtype bool"),
        ([np.zeros((5, 5), object)], "real numbers, got dtype object"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_a_reason(crops, message):
    with pytest.raises(ImageError, match=message):
        measure_channel(crops)


def test_measured_model_survives_a_dictionary():
    model = measure_channel([_camera()])
    assert NoiseModel.from_dict(model.to_dict()) == model


def test_white_noise_over_blurred_structure_is_no_texture():
    rng = np.random.default_rng(0)
    blurred = ndimage.gaussian_filter(rng.standard_normal((256, 256)), 4)
    image = 600 + np.abs(60 * blurred / blurred.std()) + rng.normal(0, 10, blurred.shape)
    model = measure_channel([image])
    assert model.sigma == pytest.approx(10, rel=0.05)
    assert model.is_white
    assert not model.textured
