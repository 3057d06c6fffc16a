import json

import dask.array as da
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_genrecon import NoiseModel, deblur, denoise, inpaint, measure_noise, upscale
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import GenReconWarning, ImageError, OptionError, UnknownModelError
from napari_genrecon.tasks.denoise import DenoiseOptions, denoise_steps, expected_seconds

SIGMA = 5.0
WHITE = NoiseModel.white(SIGMA)


def scene(shape, seed=0, sigma=SIGMA):
    """Grey values around 200 with structure and white noise; (clean, noisy)."""
    y, x = np.indices(shape[-2:])
    clean = np.broadcast_to(200 + 60 * np.sin(x / 9) * np.cos(y / 14) + 50 * (np.hypot(x - 40, y - 30) < 15), shape)
    return clean, clean + np.random.default_rng(seed).normal(0, sigma, shape)


def error(a, b):
    return float(np.sqrt(np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2)))


@pytest.mark.parametrize("noise", [None, SIGMA, WHITE], ids=["measured", "number", "model"])
def test_noise_is_removed_and_grey_values_are_kept(noise):
    clean, noisy = scene((192, 192))
    result = denoise(noisy, noise=noise)
    assert result.dtype == np.float32
    assert error(result, clean) < 0.45 * SIGMA
    assert abs(result.mean() - clean.mean()) < 0.02 * SIGMA


def test_photon_counts_without_read_noise_are_denoised():
    clean = 5 + 30 * (np.hypot(*(np.indices((96, 96)) - 48)) < 20)
    counts = np.random.default_rng(0).poisson(clean)
    result = denoise(counts, noise=NoiseModel(gain=1, read_noise=0))
    assert error(result, clean) < 0.5 * error(counts, clean)
    with pytest.warns(GenReconWarning, match="no noise was found"):
        denoise(np.zeros((32, 32)), noise=NoiseModel(gain=1, read_noise=0))


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">u2", ">f4"])
def test_any_real_dtype(dtype):
    clean, noisy = scene((64, 80))
    scaled = (noisy * 0.5).astype(dtype) if dtype == "u1" else noisy.astype(dtype)
    result = denoise(scaled, noise=SIGMA * (0.5 if dtype == "u1" else 1))
    assert result.dtype == np.float32
    assert error(result, clean * (0.5 if dtype == "u1" else 1)) < 0.7 * SIGMA


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "u8", "f8", ">u2"])
def test_keep_dtype_is_the_rounded_result(dtype):
    image = np.clip(scene((64, 64))[1] * 0.7, 0, 255).astype(dtype)
    kept = denoise(image, noise=SIGMA, keep_dtype=True)
    assert kept.dtype == image.dtype
    np.testing.assert_allclose(kept.astype(float), denoise(image, noise=SIGMA), atol=0.501)


def test_large_offset_loses_no_grey_values():
    noisy = (scene((96, 96))[1]).round()
    shifted = (noisy + 3e9).astype(np.uint32)
    near, far = denoise(noisy, noise=SIGMA), denoise(shifted, noise=SIGMA, keep_dtype=True)
    assert np.abs((far.astype(float) - 3e9) - near).max() <= 0.51


def test_clipped_pixels_are_counted(monkeypatch):
    from napari_genrecon.models import runtime

    monkeypatch.setattr(runtime.Model, "__call__", lambda self, y, sigma, rho: y + np.float32(7))
    image = np.full((20, 20), 100, np.uint8)
    image[:2] = 230
    with pytest.warns(GenReconWarning, match=r"^40 pixels did not fit into uint8 \(0 to 255\) and were clipped$"):
        result = denoise(image, noise=SIGMA, keep_dtype=True)
    np.testing.assert_array_equal(np.unique(result), [135, 255])


@pytest.mark.slow
@given(st.sampled_from([0.01, 1.0, 37.0]), st.sampled_from([-500.0, 0.0, 1e4]))
@settings(max_examples=6, deadline=None)
def test_result_follows_gain_and_offset(gain, offset):
    """denoise(a*x + b) = a*denoise(x) + b, noise measured both times, to 1e-3 sigma and float32's own rounding."""
    image = scene((128, 128))[1]
    expected = gain * denoise(image).astype(float) + offset
    got = denoise(gain * image + offset)
    assert np.abs(got - expected).max() <= 2e-3 * gain * SIGMA + np.spacing(np.float32(np.abs(expected).max()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "axes"),
    [((70, 60), None), ((3, 70, 60), None), ((2, 2, 70, 60), "TCYX"), ((2, 1, 2, 40, 50), "TZCYX"), ((70, 60, 3), None),
     ((2, 70, 60, 3), None), ((2, 70, 3, 60), "ZYCX")],
    ids=str,
)  # fmt: skip
def test_planes_are_denoised_one_by_one(shape, axes):
    image = 200 + np.random.default_rng(0).normal(0, SIGMA, shape)
    result = denoise(image, noise=SIGMA, axes=axes)
    assert result.shape == shape
    assert result.std() < 0.3 * SIGMA


def test_stack_equals_its_planes():
    stack = scene((3, 64, 72))[1]
    planes = np.stack([denoise(plane, noise=SIGMA) for plane in stack])
    # The centre is that of the whole stack, and the network's dependence on it is small but not nothing.
    np.testing.assert_allclose(denoise(stack, noise=SIGMA), planes, atol=0.02 * SIGMA)


def test_channels_have_noise_models_of_their_own():
    weak, strong = (200 + np.random.default_rng(0).normal(0, s, (128, 128)) for s in (2.0, 20.0))
    record = finish(denoise_steps(np.stack([weak, strong]), DenoiseOptions(axes="CYX"))).record
    assert [round(m["read_noise"]) for m in record["noise"]] == [2, 20]


def test_rgb_keeps_its_channels_and_alpha_is_copied():
    rgba = np.clip(np.random.default_rng(0).normal([[[50, 120, 200, 77]]], SIGMA, (64, 64, 4)), 0, 255).astype("u1")
    result = denoise(rgba, noise=SIGMA)
    np.testing.assert_array_equal(result[..., 3], rgba[..., 3])
    np.testing.assert_allclose(result[..., :3].mean((0, 1)), [50, 120, 200], atol=1)


@pytest.mark.parametrize("tile", [pytest.param(8, marks=pytest.mark.slow), 40, 64, 200])
def test_tile_does_not_change_the_result(tile):
    image = scene((150, 170))[1]
    whole = denoise(image, noise=SIGMA)
    assert np.abs(denoise(image, noise=SIGMA, tile=tile) - whole).max() <= 1e-4 * SIGMA


@pytest.mark.parametrize("tile", [pytest.param(40, marks=pytest.mark.slow), 64])
def test_tile_does_not_change_the_mean_of_views(tile):
    image = scene((141, 133))[1]
    whole = denoise(image, noise=WHITE, self_ensemble=True, tile=200)
    np.testing.assert_allclose(denoise(image, noise=WHITE, self_ensemble=True, tile=tile), whole, atol=1e-3 * SIGMA)


def test_self_ensemble_is_the_same_for_every_turned_and_mirrored_image():
    image = scene((64, 48))[1]
    noise = NoiseModel(read_noise=SIGMA, rho_x=0.5, far_x=(0.2, 0.1, 0.0), rho_y=0.1)
    swapped = NoiseModel(read_noise=SIGMA, rho_y=0.5, far_y=(0.2, 0.1, 0.0), rho_x=0.1)
    result = denoise(image, noise=noise, self_ensemble=True)
    turned = denoise(np.rot90(image[::-1]), noise=swapped, self_ensemble=True)
    np.testing.assert_allclose(turned, np.rot90(result[::-1]), atol=1e-3 * SIGMA)


@pytest.mark.parametrize("kind", ["dask", "zarr"])
def test_lazy_equals_eager(kind):
    import dask.array as da
    import zarr

    image = scene((2, 150, 130))[1].astype("u2")
    source = da.from_array(image, chunks=(1, 64, 50)) if kind == "dask" else zarr.array(image, chunks=(1, 64, 50))
    lazy = denoise(source, tile=64, axes="ZYX")
    assert isinstance(lazy, da.Array)
    np.testing.assert_allclose(lazy.compute(), denoise(image, tile=64, axes="ZYX"), atol=1e-4 * SIGMA)


def test_memmap_gives_an_array(tmp_path):
    image = scene((64, 64))[1].astype("f4")
    mapped = np.memmap(tmp_path / "image", "f4", "w+", shape=image.shape)
    mapped[:] = image
    np.testing.assert_array_equal(denoise(mapped, noise=SIGMA), denoise(image, noise=SIGMA))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_non_finite_pixels_stay_and_spoil_nothing(value):
    image = scene((96, 96))[1]
    holed = image.copy()
    holed[[10, 50], [20, 60]] = value
    result, whole = denoise(holed, noise=SIGMA), denoise(image, noise=SIGMA)
    np.testing.assert_array_equal(np.isfinite(result), np.isfinite(holed))
    np.testing.assert_array_equal(result[10, 20], np.float32(value))
    assert np.abs(result - whole)[np.isfinite(holed)].max() < SIGMA


@pytest.mark.parametrize("image", [np.full((40, 40), 7, "u2"), np.full((1, 1), 3.5), np.zeros((2, 9, 9))], ids=str)
def test_image_without_noise_comes_back_unchanged_with_a_note(image):
    with pytest.warns(GenReconWarning, match="no noise was found in the image, so it comes back unchanged"):
        np.testing.assert_array_equal(denoise(image), image)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_where_there_is_next_to_no_noise_next_to_nothing_changes(strength):
    """The error of the network at the edge of the disc is larger than such noise."""
    clean = scene((128, 128))[0]
    assert np.abs(denoise(clean, noise=1e-3, strength=strength) - clean).max() <= 8.5e-3 * strength


def test_input_is_never_changed():
    image = scene((64, 64))[1]
    image[3, 3] = np.nan
    before = image.copy()
    image.flags.writeable = False
    denoise(image, blend=0.5)
    np.testing.assert_array_equal(image, before)


def test_strength_zero_changes_nothing():
    image = scene((64, 64))[1].astype("f4")
    np.testing.assert_array_equal(denoise(image, strength=0.0), image)


def test_more_strength_removes_more():
    image = np.random.default_rng(0).normal(100, SIGMA, (128, 128))
    spreads = [denoise(image, noise=SIGMA, strength=s).std() for s in (0.3, 0.7, 1.0)]
    assert spreads == sorted(spreads, reverse=True)


def test_blend_mixes_in_the_original():
    image = scene((64, 64))[1]
    clean = denoise(image, noise=SIGMA)
    np.testing.assert_allclose(denoise(image, noise=SIGMA, blend=0.25), 0.75 * clean + 0.25 * image, rtol=1e-5)
    np.testing.assert_allclose(denoise(image, noise=SIGMA, blend=1.0), image, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"strength": 2.0}, OptionError, "strength must lie between 0 and 1.5, got 2.0"),
        ({"strength": float("nan")}, OptionError, "strength must lie between 0 and 1.5, got nan"),
        ({"blend": -0.1}, OptionError, "blend must lie between 0 and 1, got -0.1"),
        ({"noise": -3.0}, OptionError, "the s.d. of noise must be above 0, got -3.0"),
        ({"noise": (WHITE, WHITE)}, OptionError, "noise holds 2 models but the image has 1 channels"),
        ({"noise": "10"}, OptionError, "noise must be a NoiseModel .* or a number or None, got '10'"),
        ({"noise": (10.0, None)}, OptionError, "got None"),
        ({"tile": 0}, OptionError, "tile must be a positive number of pixels, got 0"),
        ({"model": "denoice-2d"}, UnknownModelError, "did you mean 'denoise-2d'"),
        ({"device": "tpu"}, OptionError, "device 'tpu' is not available here"),
        ({"axes": "ZYX"}, ImageError, "names 3 dimensions but the image has 2"),
    ],
    ids=lambda v: str(v) if isinstance(v, dict) else "",
)
def test_options_that_cannot_work_get_a_sentence(options, kind, sentence):
    with pytest.raises(kind, match=sentence):
        denoise(scene((32, 32))[1], **options)


@pytest.mark.parametrize(
    "work",
    [denoise, upscale, lambda image: deblur(image, 4.7), lambda image: inpaint(image, detect="hot")],
    ids=["denoise", "upscale", "deblur", "inpaint"],
)
@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((0, 5)), "image is empty"),
        (np.full((8, 8), np.nan), "no finite pixel"),
        (np.zeros((8, 8), complex), "complex"),
        (np.zeros((8, 8), bool), "boolean"),
        (np.zeros(8), "at least two dimensions"),
        (np.ma.masked_array(np.eye(8), np.eye(8) > 0), "masked array, and 8 of its pixels"),
        (np.float32(1e20) * np.eye(8, dtype=np.float32), "grey values of 1e\\+20, and at most 1e\\+18"),
        (1e-30 * np.eye(8), "grey values of at most 1e-30, and below 1e-15 none"),
        ([[1, 2], [3]], "the image is no array"),
        (torch.ones((8, 8), dtype=torch.bfloat16), "of type Tensor and cannot become a NumPy array: .*BFloat16"),
        (da.ones((8, 8))[da.ones(8) > 0], "its size is not known; call its compute_chunk_sizes"),
    ],
    ids=["empty", "nan", "complex", "bool", "1d", "masked", "huge", "tiny", "ragged", "tensor", "unknown size"],
)
def test_images_that_cannot_be_worked_on_get_a_sentence(work, image, sentence):
    with pytest.raises(ImageError, match=sentence):
        work(image)


def test_record_says_how_it_was_made():
    result = finish(denoise_steps(scene((3, 48, 56))[1], DenoiseOptions(noise=SIGMA, strength=0.8)))
    record = result.record
    assert record["task"] == "denoise"
    assert record["nature"] == "restored"
    assert record["options"]["strength"] == 0.8
    assert record["axes"] == {"letters": "ZYX", "assumed": True}
    assert record["model"]["name"] == "denoise-2d"
    assert len(record["model"]["sha256"]) == 64
    assert NoiseModel.from_dict(record["noise"][0]).sigma == SIGMA
    assert record["input"]["shape"] == [3, 48, 56]
    assert record["input"]["dtype"] == "float64"
    assert len(record["input"]["fingerprint"]) == 64


def test_record_is_json():
    import json

    record = finish(denoise_steps(scene((48, 56))[1], DenoiseOptions())).record
    assert json.loads(json.dumps(record)) == record


def test_same_record_gives_the_same_bits():
    image = scene((100, 90))[1]
    np.testing.assert_array_equal(denoise(image), denoise(image))


def test_progress_tells_planes():
    notes = []
    finish(denoise_steps(scene((3, 48, 56))[1], DenoiseOptions(noise=SIGMA)), notes.append)
    assert notes[-1].note == "3 of 3 planes done"
    assert notes[-1].fraction == 1


def test_closing_the_steps_stops_between_tiles(monkeypatch):
    from napari_genrecon.models import runtime

    calls = []
    real = runtime.Model.__call__
    monkeypatch.setattr(runtime.Model, "__call__", lambda self, *a: calls.append(1) or real(self, *a))
    steps = denoise_steps(scene((5, 48, 56))[1], DenoiseOptions(noise=SIGMA))
    while not calls:
        next(steps)
    steps.close()
    assert len(calls) == 1


def test_out_of_memory_goes_on_with_smaller_tiles(monkeypatch):
    from napari_genrecon.models import runtime

    image = scene((256, 256))[1]
    expected = denoise(image, noise=SIGMA, tile=256)
    real = runtime.Model.__call__

    def small(self, y, *args):
        if y.size > 60_000:
            raise MemoryError
        return real(self, y, *args)

    monkeypatch.setattr(runtime.Model, "__call__", small)
    notes = []
    result = finish(denoise_steps(image, DenoiseOptions(noise=SIGMA, tile=256)), notes.append)
    assert "out of memory: tiles reduced" in notes[-1].note
    assert result.record["tile"]["size"] < [256, 256]
    assert np.abs(result.data - expected).max() <= 1e-4 * SIGMA


def test_expected_seconds_grow_with_the_planes():
    plane, options = scene((64, 64))[1], DenoiseOptions()
    one, ten = expected_seconds(plane, options), expected_seconds(np.stack([plane] * 10), options)
    assert ten == pytest.approx(10 * one)


@pytest.mark.parametrize("value", [4000.0, -3000.0], ids=["hot", "dead"])
def test_a_hot_pixel_stays_as_it_is_and_spoils_nothing_around_it(value):
    noisy = np.random.default_rng(0).normal(500, 10, (96, 96)).astype(np.float32)
    hot = noisy.copy()
    hot[40, 50] = value
    clean, result = (denoise(image, noise=NoiseModel.white(10.0)) for image in (noisy, hot))
    assert result[40, 50] == value
    clean[40, 50] = value
    np.testing.assert_allclose(result, clean, atol=4)


def test_masked_array_without_a_masked_pixel_is_an_array():
    image = np.random.default_rng(0).normal(100, 5, (32, 32))
    np.testing.assert_array_equal(denoise(np.ma.masked_array(image)), denoise(image))


def test_channel_without_a_finite_pixel_is_named():
    image = np.stack([np.eye(32), np.full((32, 32), np.nan)])
    with pytest.raises(ImageError, match="channel 1 holds no finite pixel"):
        denoise(image, axes="CYX")


def test_noise_may_be_a_number_per_channel():
    image = np.random.default_rng(0).normal(100, 5, (2, 32, 32))
    models = (NoiseModel.white(5.0), NoiseModel.white(2.0))
    np.testing.assert_array_equal(
        denoise(image, axes="CYX", noise=[5.0, 2.0]), denoise(image, axes="CYX", noise=models)
    )


@pytest.mark.parametrize("share", [0.001, 0.02])
@pytest.mark.parametrize("value", [400, 65535, None], ids=["fixed", "saturated", "random"])
@pytest.mark.parametrize("given", [None, 10.0], ids=["measured", "given"])
def test_hot_pixels_change_nothing_else_and_come_back_as_they_were(share, value, given):
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:128, :128]
    truth = 100 + 30 * np.exp(-((y - 60) ** 2 + (x - 50) ** 2) / 400)
    image = rng.poisson(truth).astype(np.uint16)
    hot = rng.random(image.shape) < share
    without = denoise(image, noise=given)[~hot] - truth[~hot]
    image[hot] = value or rng.integers(400, 4095, hot.sum())
    with pytest.warns(GenReconWarning, match=r"% of the pixels are hot or dead .* inpaint"):
        clean = denoise(image, noise=given)
    rest = clean[~hot] - truth[~hot]
    assert np.sqrt(np.mean(rest**2)) < 1.1 * np.sqrt(np.mean(without**2))
    np.testing.assert_array_equal(clean[hot], image[hot])


@pytest.mark.parametrize("value", [65535, -9999, 1e6])
def test_padding_reaches_no_further_than_its_edge_and_comes_back_as_it_was(value):
    image = np.random.default_rng(0).poisson(100, (128, 128)).astype(np.float32)
    image[:, :24] = np.nan
    as_missing = denoise(image)
    image[:, :24] = value
    with pytest.warns(GenReconWarning, match=f"constant grey value {value:.10g} lie far outside"):
        clean = denoise(image)
    np.testing.assert_array_equal(clean[:, :24], image[:, :24])
    np.testing.assert_array_equal(clean[:, 24:], as_missing[:, 24:])
    model = measure_noise(image)
    assert model.missing_levels == (value,)
    assert "far outside the rest" in str(model)
    assert NoiseModel.from_dict(json.loads(json.dumps(model.to_dict()))) == model


@pytest.mark.parametrize(
    ("offset", "dtype", "wide"),
    [(3_000_000_000, "u4", True), (1e9, "f8", True), (-(10**15), "i8", True), (50, "i8", False)],
)
def test_the_result_holds_what_the_image_resolves(offset, dtype, wide):
    import dask.array as da

    image = (np.random.default_rng(0).poisson(100, (64, 64)) + offset).astype(dtype)
    clean = denoise(image)
    assert clean.dtype == (np.float64 if wide else np.float32)
    assert np.abs(clean - offset - 100).max() < 10
    np.testing.assert_array_equal(denoise(da.from_array(image)).compute(), clean)


def test_a_result_kept_in_float16_never_overshoots_to_infinity():
    image = np.random.default_rng(0).normal(65300, 150, (64, 64)).clip(0, 65504).astype(np.float16)
    assert np.isfinite(denoise(image, noise=150.0, keep_dtype=True)).all()
