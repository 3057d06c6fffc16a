import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_genrecon import NoiseModel, deblur, gaussian_psf
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import GenReconWarning, ImageError, OptionError, UnknownModelError
from napari_genrecon.tasks.deblur import DeblurOptions, deblur_steps, expected_seconds
from napari_genrecon.tasks.deblur.cost import Cost

SIGMA = 3.0
FWHM = 4.0
METHODS = pytest.mark.parametrize("method", ["pnp", "rl"])


def scene(shape=(96, 96), seed=0, sigma=SIGMA, fwhm=FWHM):
    """Discs and lines in grey values around 100; (truth, blurred and noisy). Light comes in over the borders."""
    y, x = np.indices((shape[0] + 64, shape[1] + 64))
    truth = 40 + 150 * (np.hypot((x % 40) - 20, (y % 36) - 18) < 9) + 120.0 * ((x + y) % 30 < 2)
    inside = (slice(32, -32),) * 2
    blurred = gaussian_filter(truth, fwhm / 2.3548)[inside]
    return truth[inside], blurred + np.random.default_rng(seed).normal(0, sigma, shape)


def error(a, b):
    return float(np.sqrt(np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2)))


@pytest.mark.parametrize("noise", [None, SIGMA], ids=["measured", "given"])
@pytest.mark.slow
def test_plug_and_play_comes_nearer_to_the_truth_than_richardson_lucy(noise):
    truth, seen = scene()
    best = min(error(deblur(seen, FWHM, noise=SIGMA, method="rl", iterations=n), truth) for n in (2, 5, 10))
    result = deblur(seen, FWHM, noise=noise)
    assert result.dtype == np.float32
    assert best < error(seen, truth)
    assert error(result, truth) < 0.9 * best


@METHODS
def test_light_is_conserved(method):
    for seed in range(2):
        seen = scene(seed=seed)[1]
        assert deblur(seen, FWHM, noise=SIGMA, method=method).mean() == pytest.approx(seen.mean(), rel=0.01)


@METHODS
def test_borders_do_not_ring(method):
    truth, seen = scene((80, 80))
    wrong = np.abs(deblur(seen, FWHM, noise=SIGMA, method=method) - truth)
    inside = (slice(8, -8),) * 2
    edge = (wrong.sum() - wrong[inside].sum()) / (wrong.size - wrong[inside].size)
    assert edge < 1.6 * wrong[inside].mean()


@METHODS
@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4", "f8", ">u2"])
def test_any_real_dtype(dtype, method):
    image = np.clip(0.5 * scene((48, 56))[1], 0, 255).round()
    expected = deblur(image, FWHM, noise=SIGMA, method=method, iterations=2)
    got = deblur(image.astype(dtype), FWHM, noise=SIGMA, method=method, iterations=2, keep_dtype=True)
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_allclose(got.astype(float), expected, atol=0.51)


@METHODS
@pytest.mark.parametrize(("gain", "offset"), [(0.01, 0.0), (37.0, -500.0), (1.0, 3e6)])
def test_result_follows_gain_and_offset(method, gain, offset):
    image = scene((64, 64))[1]
    expected = gain * deblur(image, FWHM, noise=SIGMA, method=method).astype(float) + offset
    got = deblur(gain * image + offset, FWHM, noise=gain * SIGMA, method=method)
    assert np.abs(got - expected).max() <= 5e-3 * gain * SIGMA + np.spacing(np.float32(np.abs(expected).max()))


@METHODS
def test_tile_does_not_change_the_result(method):
    image = scene((240, 64))[1]
    whole = deblur(image, FWHM, noise=SIGMA, method=method, tile=240)
    assert np.abs(deblur(image, FWHM, noise=SIGMA, method=method, tile=120) - whole).max() <= 0.05 * SIGMA


@pytest.mark.parametrize("kind", ["dask", "zarr"])
def test_lazy_equals_eager(kind):
    import dask.array as da
    import zarr

    image = np.stack([scene((100, 90), seed)[1] for seed in range(2)]).astype("u2")
    source = da.from_array(image, chunks=(1, 64, 50)) if kind == "dask" else zarr.array(image, chunks=(1, 64, 50))
    lazy = deblur(source, FWHM, noise=SIGMA, iterations=2)
    assert isinstance(lazy, da.Array)
    np.testing.assert_allclose(lazy.compute(), deblur(image, FWHM, noise=SIGMA, iterations=2), atol=1e-3 * SIGMA)


@METHODS
@pytest.mark.parametrize("value", [np.nan, -np.inf], ids=str)
def test_non_finite_pixels_stay_and_spoil_nothing(value, method):
    image = scene((72, 72))[1]
    holed = image.copy()
    holed[[10, 50], [20, 60]] = value
    holed[30:32, 40:42] = value
    result, whole = (deblur(a, FWHM, noise=SIGMA, method=method) for a in (holed, image))
    np.testing.assert_array_equal(np.isfinite(result), np.isfinite(holed))
    np.testing.assert_array_equal(result[10, 20], np.float32(value))
    finite = np.isfinite(holed)
    assert error(result[finite], whole[finite]) < SIGMA


def test_richardson_lucy_keeps_dark_spots_dark():
    """There is no wide dark place from which the offset could be measured."""
    y, x = np.indices((128, 128))
    truth = np.where(np.hypot((x % 42) - 21, (y % 42) - 21) < 7, 3000.0, 20000.0)
    seen = np.random.default_rng(0).poisson(gaussian_filter(truth, 1.3, mode="wrap"))
    result = deblur(seen, 3.0, method="rl")
    assert result.min() < 3300
    assert result.mean() == pytest.approx(seen.mean(), rel=0.005)


def test_psf_that_is_too_wide_is_noticed_beside_an_empty_plane():
    image = scene((128, 128))[1]
    stack = np.stack([image, np.full_like(image, np.nan)])
    with pytest.warns(GenReconWarning, match="fine detail"):
        deblur(stack, 3 * FWHM, axes="ZYX", noise=SIGMA, method="rl", iterations=1)


@METHODS
def test_input_and_psf_are_never_changed(method):
    image, psf = scene((40, 40))[1], 5 * gaussian_psf(FWHM)
    image[3, 3] = np.nan
    copies = image.copy(), psf.copy()
    image.flags.writeable = psf.flags.writeable = False
    deblur(image, psf, method=method, noise=SIGMA, iterations=1)
    np.testing.assert_array_equal(image, copies[0])
    np.testing.assert_array_equal(psf, copies[1])


@pytest.mark.parametrize("image", [np.full((40, 40), 7, "u2"), np.full((1, 1), 3.5), np.zeros((2, 9, 9))], ids=str)
@METHODS
def test_constant_image_comes_back_with_a_note(image, method):
    with pytest.warns(GenReconWarning, match="the image is constant, so it comes back unchanged"):
        np.testing.assert_array_equal(deblur(image, FWHM, method=method), image)


def test_image_without_noise_is_sharpened_with_a_note():
    truth, seen = scene((64, 64), sigma=0.0)
    with pytest.warns(GenReconWarning, match="no noise was found in the image: 0.001 of its range was taken for it"):
        result = deblur(seen, FWHM, noise=NoiseModel())
    assert error(result, truth) < 0.75 * error(seen, truth)


def test_number_is_a_gaussian_psf():
    image = scene((48, 48))[1]
    np.testing.assert_array_equal(deblur(image, FWHM, noise=SIGMA), deblur(image, gaussian_psf(FWHM), noise=SIGMA))


@METHODS
def test_psf_of_three_dimensions_brings_light_back_to_its_plane(method):
    truth = np.full((5, 32, 32), 20.0)
    truth[2, 8:24, 8:24] = 400
    psf = gaussian_psf((2.5, 3.0, 3.0))
    seen = gaussian_filter(truth, np.array([2.5, 3.0, 3.0]) / 2.3548, mode="nearest")
    seen += np.random.default_rng(0).normal(0, SIGMA, seen.shape)
    result = deblur(seen, psf, noise=SIGMA, method=method)
    assert error(result, truth) < {"pnp": 0.75, "rl": 0.9}[method] * error(seen, truth)
    middle = (slice(10, 22),) * 2
    assert result[2][middle].mean() > 1.2 * seen[2][middle].mean()


@pytest.mark.parametrize("axes", ["ZYX", "YZX", "TZYX", "CZYX"])
def test_stacks_are_found_wherever_z_is(axes):
    stack = np.stack([scene((24, 30), seed)[1] for seed in range(3)])
    psf = gaussian_psf((2.0, 3.0, 3.0))
    expected = deblur(stack, psf, noise=SIGMA, method="rl")
    image = np.moveaxis(stack, 0, 1) if axes == "YZX" else stack[(None,) * (len(axes) - 3)]
    got = deblur(image, psf, noise=SIGMA, method="rl", axes=axes)
    np.testing.assert_allclose(
        np.moveaxis(got, 1, 0) if axes == "YZX" else got.reshape(stack.shape), expected, rtol=1e-4
    )


def test_rgb_keeps_its_channels_and_alpha_is_copied():
    rgba = np.clip(np.random.default_rng(0).normal([[[50, 120, 200, 77]]], SIGMA, (32, 32, 4)), 0, 255).astype("u1")
    result = deblur(rgba, 2.0, noise=SIGMA, iterations=2)
    np.testing.assert_array_equal(result[..., 3], rgba[..., 3])
    np.testing.assert_allclose(result[..., :3].mean((0, 1)), [50, 120, 200], atol=1)


def test_more_strength_is_smoother():
    image = scene((64, 64))[1]
    for method in ("pnp", "rl"):
        results = [deblur(image, FWHM, noise=SIGMA, method=method, strength=s) for s in (0.3, 1.0, 1.6)]
        roughness = [np.abs(np.diff(result)).mean() for result in results]
        assert roughness == sorted(roughness, reverse=True), method


@pytest.mark.parametrize(
    ("psf", "options", "kind", "sentence"),
    [
        (FWHM, {"method": "wiener"}, OptionError, "method must be 'pnp' or 'rl', got 'wiener'"),
        (FWHM, {"strength": 0.0}, OptionError, "strength for method 'pnp' must be 0.1 or more, got 0.0"),
        (FWHM, {"strength": -1, "method": "rl"}, OptionError, "strength must lie between 0 and 2, got -1"),
        (FWHM, {"iterations": 0}, OptionError, "iterations must be 1 or more, got 0"),
        (FWHM, {"iterations": 2.5}, OptionError, "iterations must be a whole number or None, got 2.5"),
        (FWHM, {"strength": "hi"}, OptionError, "strength must be a number, got 'hi'"),
        (FWHM, {"noise": -3.0}, OptionError, "the s.d. of noise must be above 0, got -3.0"),
        (FWHM, {"tile": 0}, OptionError, "tile must be a positive number of pixels, got 0"),
        (FWHM, {"model": "denoice-2d"}, UnknownModelError, "did you mean 'denoise-2d'"),
        (FWHM, {"device": "tpu"}, OptionError, "device 'tpu' is not available here"),
        (None, {}, OptionError, "psf is needed"),
        ([[1.0, 2.0], [3.0]], {}, OptionError, "psf is no array of numbers"),
        (np.zeros((3, 3)), {}, OptionError, "psf must hold finite numbers of a positive sum, got a sum of 0"),
        (250.0, {}, OptionError, "psf is a Gaussian 250 pixels wide, and the image has 32 x 32 pixels"),
        (np.ones((3, 3, 3)), {}, ImageError, r"psf has shape \(3, 3, 3\) \(Z, Y, X\) but the image, of axes YX"),
    ],
    ids=str,
)
def test_options_that_cannot_work_get_a_sentence(psf, options, kind, sentence):
    with pytest.raises(kind, match=sentence):
        deblur(scene((32, 32))[1], psf, **options)


@METHODS
def test_record_says_how_it_was_made_and_is_json(method):
    options = DeblurOptions(psf=gaussian_psf(FWHM), noise=SIGMA, method=method)
    record = finish(deblur_steps(scene((40, 48))[1], options)).record
    assert json.loads(json.dumps(record)) == record
    assert (record["task"], record["nature"]) == ("deblur", "deblurred")
    assert record["options"]["iterations"] == {"pnp": 8, "rl": 10}[method]
    assert record["psf"]["shape"] == [15, 15]
    assert len(record["psf"]["sha256"]) == 64
    assert (record["model"] is None) == (method == "rl")
    assert NoiseModel.from_dict(record["noise"][0]).sigma == SIGMA


@METHODS
@pytest.mark.parametrize("psf", [FWHM, gaussian_psf((2.0, 3.0, 3.0))], ids=["planes", "stack"])
def test_progress_comes_in_every_iteration_and_ends_at_1(method, psf):
    seen = []
    image = np.stack([scene((24, 30), seed)[1] for seed in range(2)])
    finish(deblur_steps(image, DeblurOptions(psf=psf, noise=SIGMA, method=method, iterations=3)), seen.append)
    fractions = [p.fraction for p in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert len(seen) >= 3 + 3
    assert max(np.diff(fractions)) < 0.34


def test_closing_the_steps_stops_within_a_tile(monkeypatch):
    from napari_genrecon.models import runtime

    calls = []
    real = runtime.Model.__call__
    monkeypatch.setattr(runtime.Model, "__call__", lambda self, *a: calls.append(1) or real(self, *a))
    steps = deblur_steps(scene((48, 56))[1], DeblurOptions(psf=FWHM, noise=SIGMA))
    while not calls:
        next(steps)
    steps.close()
    assert len(calls) == 1


def test_expected_seconds_grow_with_the_planes():
    plane, options = scene((64, 64))[1], DeblurOptions(psf=FWHM)
    one, ten = expected_seconds(plane, options), expected_seconds(np.stack([plane] * 10), options)
    assert ten == pytest.approx(10 * one)


@pytest.mark.parametrize("psf", [gaussian_psf(4.0), gaussian_psf((3.0, 4.0, 4.0))], ids=["2d", "3d"])
def test_steps_of_a_tile_are_those_that_it_yields(psf):
    image = np.random.default_rng(0).normal(100, 5, (4, 32, 32))
    kernel, source, grid = finish(deblur_steps(image, DeblurOptions(psf=psf, iterations=2), lazy=True)).tiles
    tile = next(grid.tiles())
    steps = Cost(psf.shape, 2, 1e-8, 1e-6).steps((4, 32, 32)[-psf.ndim :])
    assert len(steps) == 1 + len(list(kernel(source[tile.src], tile)))


def test_expected_seconds_grow_with_the_iterations_and_the_psf(monkeypatch):
    def given_speeds(shape, _largest, _method, iterations, *_):  # measured ones depend on what else runs
        return Cost(shape, iterations, 1e-8, 1e-6)

    monkeypatch.setattr("napari_genrecon.tasks.deblur.task.measure_cost", given_speeds)
    plane = scene((64, 64))[1]
    few, many, wide = (
        expected_seconds(plane, DeblurOptions(psf=psf, method="rl", iterations=n))
        for psf, n in ((3.0, 10), (3.0, 1000), (60.0, 1000))
    )
    assert many > 10 * few
    assert wide > 2 * many
