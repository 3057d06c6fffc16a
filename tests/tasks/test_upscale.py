"""The laws of upscaling, on a network of random weights: none of them depends on how good the weights are."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import manual_seed

from napari_genrecon import NoiseModel, denoise, upscale
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import GenReconWarning, ImageError, OptionError, UnknownModelError
from napari_genrecon.models import ModelCard, PerAxis, list_models, registry, runtime
from napari_genrecon.models.networks.srnet import UpscaleNet
from napari_genrecon.numerics.resample import enlarge, shrink
from napari_genrecon.tasks.upscale import UpscaleOptions, expected_seconds, upscale_steps

PACKAGED = list_models("upscale")
FACTORS = (2, 3, 4)


@pytest.fixture(scope="module", autouse=True)
def random_networks(tmp_path_factory):
    """A model whose details are random, and as large as those of trained weights; and one that denoises first."""
    manual_seed(0)
    weights = UpscaleNet().state_dict()
    weights |= {name: 30 * weight for name, weight in weights.items() if name.startswith("tails")}
    folder = tmp_path_factory.mktemp("weights")
    path = folder / "random.safetensors"
    save_file(weights, path)
    denoiser = list_models("denoise")[0]
    spec = ModelCard(
        name="upscale-random",
        task="upscale",
        network="srnet",
        told=("sigma", "factor"),
        path=str(path),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        halo=PerAxis.planes(17, 0),
        bytes_per_pixel=1200,
        work=0.65,
        summary="random",
        licence="none",
    )
    noisy = replace(spec, name="upscale-noisy", denoiser=denoiser.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "MODELS", (denoiser, spec, noisy))
        yield


def scene(shape, seed=0, sigma=2.0):
    """Grey values around 200 with structure and a little noise."""
    y, x = np.indices(shape[-2:])
    clean = 200 + 60 * np.sin(x / 5) * np.cos(y / 7) + 50 * (np.hypot(x - 20, y - 15) < 9)
    return clean + np.random.default_rng(seed).normal(0, sigma, shape)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [
        ((20, 30), None, (20, 30)),
        ((1, 1), None, (1, 1)),
        ((2, 20, 30), None, (2, 20, 30)),
        ((2, 20, 2, 30), "ZYCX", (2, 20, 2, 30)),
        ((20, 30, 3), None, (20, 30, 3)),
    ],
    ids=str,
)
def test_y_and_x_grow_and_nothing_else(shape, axes, expected, factor):
    image = (scene((20, 30))[0, 0] + np.random.default_rng(0).normal(size=shape)).astype(np.float32)
    letters = axes or {2: "YX", 3: "YXS" if shape[-1] == 3 else "ZYX"}[len(shape)]
    result = finish(upscale_steps(image, UpscaleOptions(factor=factor, noise=0, axes=axes)))
    assert result.data.shape == tuple(n * factor if a in "YX" else n for n, a in zip(expected, letters, strict=True))
    assert result.axes.letters == letters
    assert result.data.dtype == np.float32


@pytest.mark.parametrize("factor", FACTORS)
def test_pixel_centres_stay_where_they_are(factor):
    """The centroid of a spot, in the pixels of the image, by the transform that `upscaled_transform` gives."""
    from napari_genrecon import upscaled_transform

    y, x = np.indices((41, 47))
    spot = 1000 * np.exp(-0.5 * ((y - 18.3) ** 2 + (x - 25.6) ** 2) / 3**2)
    large = enlarge(spot, factor)
    scale, translate = upscaled_transform((1, 1), (0, 0), (factor, factor))
    centroid = [(np.indices(large.shape)[i] * large).sum() / large.sum() * scale[i] + translate[i] for i in (0, 1)]
    np.testing.assert_allclose(centroid, (18.3, 25.6), atol=1e-3)


def test_network_adds_no_shift_of_the_whole():
    """What is added to the bicubic enlargement starts as nothing and is placed by the same grid."""
    image = scene((40, 50))
    manual_seed(0)
    import torch

    net = UpscaleNet()
    for tail in net.tails.values():
        torch.nn.init.zeros_(tail.weight)
    tensor = torch.from_numpy(image.astype("f4"))[None, None]
    with torch.inference_mode():
        large = net(tensor - 200, torch.zeros_like(tensor), 3)[0, 0].numpy() + 200
    np.testing.assert_allclose(large[9:-9, 9:-9], enlarge(image, 3)[9:-9, 9:-9], atol=1e-3)


@pytest.mark.parametrize(
    ("factor", "consistent", "tile"),
    [
        pytest.param(2, False, 8, marks=pytest.mark.slow),
        (2, True, 20),
        (3, False, 31),
        (3, True, 64),
        (4, False, 64),
        (4, True, 31),
    ],
)
@pytest.mark.filterwarnings("ignore:the image is noisy")
def test_tile_does_not_change_the_result(factor, consistent, tile):
    image = scene((90, 70))
    options = {"factor": factor, "noise": NoiseModel(gain=0.05, read_noise=1.0), "consistent": consistent}
    whole = upscale(image, **options, tile=200)
    assert np.abs(upscale(image, **options, tile=tile) - whole).max() <= 1e-4


@given(st.sampled_from([0.01, 37.0]), st.sampled_from([-500.0, 0.0, 1e4]), st.sampled_from(FACTORS))
@settings(max_examples=6, deadline=None)
def test_result_follows_gain_and_offset(gain, offset, factor):
    image = scene((40, 40))
    expected = gain * upscale(image, factor=factor, noise=2.0).astype(float) + offset
    got = upscale(gain * image + offset, factor=factor, noise=2.0 * gain)
    assert np.abs(got - expected).max() <= 2e-3 * gain + np.spacing(np.float32(np.abs(expected).max()))


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("value", [0, 7, 60000])
def test_constant_image_comes_back(factor, value):
    image = np.full((2, 23, 31), value, "u2")
    np.testing.assert_array_equal(upscale(image, factor=factor), np.full((2, 23 * factor, 31 * factor), value))


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "u8", "f2", "f8", ">u2", ">f4"])
def test_keep_dtype_is_the_rounded_result(dtype):
    image = np.clip(scene((24, 24)) * 0.6, 0, 255).astype(dtype)
    kept = upscale(image, noise=0, keep_dtype=True)
    assert kept.dtype == image.dtype
    plain = upscale(image, noise=0)
    half = 0.501 if kept.dtype.kind in "iu" else 0.1
    np.testing.assert_allclose(kept.astype(float), plain, atol=half)


def test_large_offset_loses_no_grey_values():
    image = scene((40, 40)).round()
    near = upscale(image, noise=0)
    far = upscale((image + 3e9).astype(np.uint32), noise=0, keep_dtype=True)
    assert np.abs((far.astype(float) - 3e9) - near).max() <= 0.51


@pytest.mark.parametrize("kind", ["dask", "zarr"])
def test_lazy_equals_eager(kind):
    import dask.array as da
    import zarr

    image = scene((2, 70, 60)).astype("u2")
    source = da.from_array(image, chunks=(1, 64, 50)) if kind == "dask" else zarr.array(image, chunks=(1, 64, 50))
    lazy = upscale(source, factor=3, noise=2.0, tile=32)
    assert isinstance(lazy, da.Array)
    assert lazy.shape == (2, 210, 180)
    np.testing.assert_allclose(lazy.compute(), upscale(image, factor=3, noise=2.0), atol=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_non_finite_pixels_become_squares_and_spoil_nothing(value):
    image = scene((48, 48))
    holed = image.copy()
    holed[[10, 30], [20, 44]] = value
    result, whole = upscale(holed, factor=3, noise=2.0), upscale(image, factor=3, noise=2.0)
    np.testing.assert_array_equal(np.isfinite(result), np.isfinite(holed).repeat(3, 0).repeat(3, 1))
    np.testing.assert_array_equal(result[30:33, 60:63], np.float32(value))
    far = np.hypot(*(np.indices(result.shape) - np.array([31, 61])[:, None, None])) > 60
    far &= np.hypot(*(np.indices(result.shape) - np.array([91, 133])[:, None, None])) > 60
    assert np.abs(result - whole)[far].max() < 0.01  # the noise has a s.d. of 2
    assert np.abs(result - whole)[np.isfinite(result)].max() < 200


@pytest.mark.parametrize("factor", FACTORS)
def test_consistent_result_shrinks_to_the_image(factor):
    image = scene((60, 60), sigma=0)
    plain, consistent = (upscale(image, factor=factor, noise=0, consistent=c) for c in (False, True))
    errors = [np.abs(shrink(result.astype(float), factor) - image).std() for result in (plain, consistent)]
    assert errors[1] < 0.2 * errors[0]


def test_record_tells_how_well_the_result_shrinks_to_the_image():
    image = scene((3, 60, 50))
    image[0, 5, 5] = np.nan
    result = finish(upscale_steps(image, UpscaleOptions(noise=0, tile=30)))
    planes = zip(result.data[1:], image[1:], strict=True)
    errors = [shrink(large.astype(float), 2) - small for large, small in planes]
    assert result.record["consistency"]["rms"][0] == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=0.1)


def test_consistent_result_shrinks_to_the_image_with_its_noise():
    image = scene((60, 60), sigma=4)
    result = finish(upscale_steps(image, UpscaleOptions(noise=4.0, consistent=True)))
    assert result.record["model"]["denoiser"]
    assert np.std(shrink(result.data.astype(float), 2) - image) < 0.4


def test_consistent_with_noise_gets_a_note():
    with pytest.warns(GenReconWarning, match="consistent with it, noise included: denoise first"):
        upscale(scene((20, 20)), noise=2.0, consistent=True)


def test_measured_noise_is_left_in_where_it_is_correlated():
    from scipy.ndimage import gaussian_filter

    image = 200 + gaussian_filter(np.random.default_rng(0).normal(0, 20, (128, 128)), 1.0)
    advice = (
        r"looks correlated .* left in: if it is noise, choose the model 'upscale-noisy' instead of 'auto', or denoise"
    )
    with pytest.warns(GenReconWarning, match=advice):
        result = upscale(image)
    np.testing.assert_array_equal(result, upscale(image, noise=0))


def test_reason_for_the_model_and_warning_say_the_same_of_correlated_noise():
    from scipy.ndimage import gaussian_filter

    image = 200 + gaussian_filter(np.random.default_rng(0).normal(0, 20, (128, 128)), 1.0)
    record = finish(upscale_steps(image, UpscaleOptions())).record
    why = record["model"]["chosen"]
    assert why.endswith("was left in")
    assert record["warnings"][0].startswith(why)
    assert finish(upscale_steps(image, UpscaleOptions(noise=0))).record["model"]["chosen"] != why


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        (0, "upscale-random"),
        (3.0, "upscale-noisy"),
        (NoiseModel(read_noise=2.0, rho_x=0.5), "upscale-noisy"),
        (NoiseModel(gain=1.0, read_noise=0.0), "upscale-noisy"),
    ],
    ids=["none", "white", "correlated, given", "photon counts"],
)
def test_auto_takes_the_model_by_the_noise(noise, expected):
    record = finish(upscale_steps(scene((20, 20)), UpscaleOptions(noise=noise))).record
    assert record["model"]["name"] == expected


@pytest.mark.parametrize(("sigma", "expected"), [(0.0, "upscale-random"), (12.0, "upscale-noisy")])
def test_auto_measures_whether_there_is_noise(sigma, expected):
    image = (
        50.0 + 200 * (np.indices((160, 160)) // 40).sum(0) % 3 + np.random.default_rng(0).normal(0, sigma, (160, 160))
    )
    assert finish(upscale_steps(image, UpscaleOptions())).record["model"]["name"] == expected


def test_a_model_for_noisy_images_is_denoise_first():
    image = scene((60, 50), sigma=8.0)
    clean = denoise(image, noise=8.0)
    told = upscale(image, noise=8.0)
    after, without = (upscale(plane, noise=0) for plane in (clean, image))
    assert np.std(told - after) < 0.3 * np.std(told - without)


def test_a_model_that_leaves_noise_in_gets_a_note():
    with pytest.warns(GenReconWarning, match=r"is noisy and upscale-random does not remove noise: choose another"):
        upscale(scene((20, 20)), noise=5.0, model="upscale-random")


@pytest.mark.parametrize("factor", FACTORS)
def test_self_ensemble_is_the_same_for_every_turned_and_mirrored_image(factor):
    image = scene((30, 24), sigma=0)
    result = upscale(image, factor=factor, noise=0, self_ensemble=True)
    turned = upscale(np.rot90(image[::-1]), factor=factor, noise=0, self_ensemble=True)
    np.testing.assert_allclose(turned, np.rot90(result[::-1]), atol=1e-3)


def test_rgb_keeps_its_channels_and_alpha_is_repeated():
    rgba = np.random.default_rng(0).integers(0, 255, (32, 32, 4), dtype="u1")
    result = upscale(rgba, noise=0)
    np.testing.assert_array_equal(result[..., 3], rgba[..., 3].repeat(2, 0).repeat(2, 1))
    one = upscale(rgba[..., 1], noise=0)
    np.testing.assert_allclose(result[..., 1], one, atol=1e-3)


def test_channels_have_noise_models_of_their_own():
    weak, strong = (200 + np.random.default_rng(0).normal(0, s, (128, 128)) for s in (2.0, 20.0))
    record = finish(upscale_steps(np.stack([weak, strong]), UpscaleOptions(axes="CYX"))).record
    assert [round(m["read_noise"]) for m in record["noise"]] == [2, 20]


def test_noise_that_depends_on_the_signal_changes_the_result_where_it_is_bright():
    dark = np.arange(80) < 40
    image = np.where(dark, 100.0, 1000.0) + np.random.default_rng(0).normal(0, np.where(dark, 1.0, 30.0), (60, 80))
    model = {"model": "upscale-noisy"}
    plain, told = upscale(image, noise=0, **model), upscale(image, noise=NoiseModel(gain=1.0, offset=100.0), **model)
    change = np.abs(told - plain)
    assert change[:, 110:].mean() > 3 * change[:, :40].mean()


def test_input_is_never_changed():
    image = scene((40, 40))
    image[3, 3] = np.nan
    before = image.copy()
    image.flags.writeable = False
    upscale(image, noise=0, consistent=True)
    np.testing.assert_array_equal(image, before)


def test_memmap_gives_an_array(tmp_path):
    image = scene((30, 30)).astype("f4")
    mapped = np.memmap(tmp_path / "image", "f4", "w+", shape=image.shape)
    mapped[:] = image
    np.testing.assert_array_equal(upscale(mapped, noise=0), upscale(image, noise=0))


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"factor": 5}, OptionError, "factor must be 2, 3 or 4, got 5"),
        ({"factor": 2.5}, OptionError, "factor must be 2, 3 or 4, got 2.5"),
        ({"noise": -3.0}, OptionError, "noise must be 0 or more grey values, got -3.0"),
        ({"noise": float("nan")}, OptionError, "noise must be 0 or more grey values, got nan"),
        ({"noise": (NoiseModel(), NoiseModel())}, OptionError, "noise holds 2 models but the image has 1 channels"),
        ({"tile": 0}, OptionError, "tile must be a positive number of pixels, got 0"),
        ({"model": "upscale-randon"}, UnknownModelError, "did you mean 'upscale-random'"),
        ({"device": "tpu"}, OptionError, "device 'tpu' is not available here"),
        ({"axes": "ZYX"}, ImageError, "names 3 dimensions but the image has 2"),
    ],
    ids=lambda v: str(v) if isinstance(v, dict) else "",
)
def test_options_that_cannot_work_get_a_sentence(options, kind, sentence):
    with pytest.raises(kind, match=sentence):
        upscale(scene((32, 32)), **options)


def test_record_says_how_it_was_made():
    image = scene((2, 20, 30))
    record = finish(upscale_steps(image, UpscaleOptions(factor=3, noise=2.0))).record
    assert json.loads(json.dumps(record)) == record
    assert (record["task"], record["nature"], record["factor"]) == ("upscale", "upscaled", [1, 3, 3])
    assert record["options"]["factor"] == 3
    assert record["model"]["name"] == "upscale-noisy"
    assert record["model"]["chosen"] == "the image is noisy (s.d. 2 grey values)"
    assert record["model"]["denoiser"]["name"] == "denoise-2d"
    assert record["output"]["shape"] == [2, 60, 90]
    assert NoiseModel.from_dict(record["noise"][0]).sigma == 2.0


def test_closing_the_steps_stops_between_tiles(monkeypatch):
    calls = []
    real = runtime.Model.__call__
    monkeypatch.setattr(runtime.Model, "__call__", lambda self, *a: calls.append(1) or real(self, *a))
    steps = upscale_steps(scene((5, 20, 20)), UpscaleOptions(noise=0))
    while not calls:
        next(steps)
    steps.close()
    assert len(calls) == 1


def test_a_tile_is_small_enough_to_be_cancelled_in_time():
    from napari_genrecon.axes import infer_axes
    from napari_genrecon.models import find_model
    from napari_genrecon.tasks.plan import plan_grid

    grid = plan_grid((2048, 2048), infer_axes((2048, 2048)), find_model("auto", "upscale"), tile=None, device="cpu")
    assert np.prod([n + 2 * h for n, h in zip(grid.tile, grid.halo, strict=True)]) <= 264_000 / 0.65


def test_expected_seconds_are_those_of_the_model_that_a_run_takes():
    from napari_genrecon.models import find_model

    noisy = np.random.default_rng(0).poisson(20, (96, 96)).astype("f4")
    chosen = finish(upscale_steps(noisy, UpscaleOptions())).record["model"]
    assert chosen["name"] != find_model("auto", "upscale").name  # that of images without noise
    auto, named = (expected_seconds(noisy, UpscaleOptions(model=name)) for name in ("auto", chosen["name"]))
    assert auto == named  # the time of each model is measured once


def test_expected_seconds_grow_with_the_planes():
    plane, options = scene((64, 64)), UpscaleOptions()
    one, ten = expected_seconds(plane, options), expected_seconds(np.stack([plane] * 10), options)
    assert ten == pytest.approx(10 * one)


@pytest.mark.parametrize("options", [{}, {"consistent": True}, {"self_ensemble": True, "consistent": True}], ids=str)
def test_progress_counts_every_step_of_a_tile(options):
    told = []
    finish(upscale_steps(scene((2, 40, 40)), UpscaleOptions(noise=0, tile=24, **options)), told.append)
    known = [progress for progress in told if progress.total]
    done = [progress.done for progress in known]
    assert done == sorted(done)
    assert done[-1] == known[0].total == known[-1].total
    assert len(set(done)) == known[0].total + 1  # no step is told twice, none is left out
