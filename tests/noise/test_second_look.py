import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_genrecon.errors import OptionError
from napari_genrecon.noise import NoiseModel, measure_channel
from napari_genrecon.noise.second_look import second_look


def _noise(seed=0, shape=(240, 240), coarse=0.2):
    """Correlated noise of s.d. 1 with a coarse part, and its correlation at distances of 1, 2, 3 and 5 pixels."""
    rng = np.random.default_rng(seed)
    parts = [ndimage.gaussian_filter(rng.standard_normal(shape), width, mode="wrap") for width in (0.7, 2.5)]
    fine, rough = (part / part.std() for part in parts)
    noise = np.sqrt(1 - coarse) * fine + np.sqrt(coarse) * rough
    noise /= noise.std()
    return noise, [float(np.mean(noise[:, lag:] * noise[:, :-lag])) for lag in (1, 2, 3, 5)]


def _flatten(plane, sigma, rho):
    """A denoiser for flat images."""
    return np.full_like(plane, plane.mean())


def _never(plane, sigma, rho):
    raise AssertionError("the denoiser was asked")


def test_strength_and_correlation_are_those_of_what_is_taken_away():
    noise, rho = _noise()
    model = measure_channel([500 + 10 * noise], _flatten)
    assert model.method == "residual"
    assert model.sigma == pytest.approx(10, rel=0.05)
    assert (model.rho_x, *model.far_x) == pytest.approx(rho, abs=0.03)


def test_coarse_part_is_missed_without_it():
    noise, rho = _noise()
    model = measure_channel([500 + 10 * noise])
    assert model.sigma < 9.5
    assert model.rho_x < rho[0] - 0.04
    assert model.far_x == ()


def test_white_noise_is_not_measured_again():
    image = np.random.default_rng(0).normal(100, 5, (240, 240))
    assert measure_channel([image], _never) == measure_channel([image])


def test_texture_that_is_left_in_the_result_keeps_the_first_measurement():
    image = 500 + 10 * _noise()[0]
    leaves = measure_channel([image], lambda plane, sigma, rho: ndimage.gaussian_filter(plane, 1.5))
    assert leaves == measure_channel([image])


@pytest.mark.parametrize("share", [0.3, 3.0], ids=["too little", "too much"])
def test_what_contradicts_the_first_measurement_is_not_believed(share):
    image = 500 + 10 * _noise()[0]
    model = measure_channel([image], lambda plane, sigma, rho: plane - share * (plane - plane.mean()))
    assert model == measure_channel([image])


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-1e3, 1e3))
def test_measurement_follows_units(scale, shift):
    image = 500 + 10 * _noise()[0]
    plain, scaled = (measure_channel([array], _flatten) for array in (image, scale * image + shift))
    assert scaled.sigma == pytest.approx(scale * plain.sigma, rel=0.01)
    assert (scaled.rho_x, *scaled.far_y) == pytest.approx((plain.rho_x, *plain.far_y), abs=0.011)


def test_clipped_background_is_left_out():
    image = 500 + 10 * _noise(shape=(480, 480))[0]
    image[:200] = 470
    image = np.maximum(image, 470)
    assert measure_channel([image], _flatten).sigma == pytest.approx(10, rel=0.07)


def test_missing_pixels_spoil_nothing():
    image = 500 + 10 * _noise()[0]
    image[100, ::40] = np.nan
    assert measure_channel([image], _flatten).sigma == pytest.approx(10, rel=0.05)


def test_stripes_are_not_counted_as_noise_of_pixels():
    image = 500 + 10 * _noise()[0] + np.random.default_rng(1).normal(0, 8, (240, 1))
    model = measure_channel([image], _flatten)
    assert model.row_stripes > 4
    assert model.sigma == pytest.approx(10, rel=0.1)


def test_noise_of_few_photons_is_not_read_too_low():
    counts = np.random.default_rng(0).poisson(0.4, (240, 240))
    image = (counts + np.roll(counts, 1, axis=1)) / 2
    model = NoiseModel(gain=0.5, read_noise=0.01, rho_x=0.5)
    found = second_look([image], (-np.inf, np.inf), model, _flatten)
    assert found.gain == pytest.approx(0.5, rel=0.06)
    assert found.rho_x == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("left", "gain"), [(0.0, 0.9), (0.0, 4.0), (0.3, 2.0)], ids=["too low", "too high", "right"])
def test_dependence_on_light_agrees_with_what_is_taken_away(left, gain):
    """`left` is the part of the noise that the denoiser leaves where it is bright."""
    level = np.where(np.arange(240) < 120, 100.0, 400.0) + np.zeros((240, 1))
    noise, rho = _noise(coarse=0.0)
    dim, bright = slice(0, 120), slice(120, 240)

    def two_levels(plane, sigma, rho):
        clean = plane.copy()
        clean[:, dim] = plane[:, dim].mean()
        clean[:, bright] = plane[:, bright].mean() + left * (plane[:, bright] - plane[:, bright].mean())
        return clean

    model = NoiseModel(offset=100, gain=gain, read_noise=np.sqrt(200), rho_x=rho[0], rho_y=rho[0])
    found = second_look([level + np.sqrt(2 * level) * noise], (-np.inf, np.inf), model, two_levels)
    dark, light = found.variance_at(np.array([100, 400]))
    assert light / dark == pytest.approx(4, rel=0.08)


def test_sharpened_noise_is_told_from_white_noise():
    white = np.random.default_rng(0).standard_normal((512, 512))
    noise = white + 0.6 * (white - ndimage.gaussian_filter(white, 1))
    lag = np.mean(noise[:, 1:] * noise[:, :-1]) / noise.var()
    found = measure_channel([100 + 5 * noise], _flatten)
    assert found.sigma == pytest.approx(5 * noise.std(), rel=0.01)
    assert found.rho_x == pytest.approx(lag, abs=0.01)
    assert measure_channel([100 + 5 * white]).is_white


def test_large_images_cost_eight_small_planes():
    asked = []

    def count(plane, sigma, rho):
        asked.append(plane.size)
        return _flatten(plane, sigma, rho)

    measure_channel([500 + 10 * _noise(shape=(1200, 1200))[0]], count)
    assert len(asked) == 8
    assert max(asked) <= 256**2


def test_model_with_far_correlations_survives_json_and_older_ones_load():
    model = NoiseModel(read_noise=2, rho_x=0.5, far_x=(0.2, 0.1, 0.05), far_y=(0.0, 0.0, 0.0))
    stored = json.loads(json.dumps(model.to_dict()))
    assert NoiseModel.from_dict(stored) == model
    older = {key: value for key, value in stored.items() if not key.startswith("far")}
    assert NoiseModel.from_dict(older).far_x == ()


@pytest.mark.parametrize(
    ("far", "message"),
    [
        ((0.2,), r"at distances of \(2, 3, 5\) pixels, or nothing; got \(0.2,\)"),
        (0.2, "or nothing; got 0.2"),
        ((0.2, 0.1, 2), "between -1 and 1; got 2"),
        ((0.2, 0.1, "x"), "must be a number, got 'x'"),
    ],
)
def test_far_correlations_that_cannot_be_are_refused(far, message):
    with pytest.raises(OptionError, match=message):
        NoiseModel(far_x=far)


def test_report_tells_the_size_of_grains_and_their_coarse_part():
    grains = NoiseModel(read_noise=1, rho_x=0.62, rho_y=0.62)
    assert "noise grains about 2.4 pixels wide" in str(grains)
    assert "coarse" not in str(grains)
    coarse = NoiseModel(read_noise=1, rho_x=0.62, rho_y=0.62, far_x=(0.23, 0.15, 0.06), far_y=(0.2, 0.1, 0.0))
    assert "noise grains about 2.4 pixels wide, with a coarse part" in str(coarse)
