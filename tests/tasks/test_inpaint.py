import json
from collections import OrderedDict
from typing import get_args, get_type_hints

import numpy as np
import pytest
from bundled import scenes
from scipy.ndimage import gaussian_filter

from napari_genrecon import detect_damage, inpaint
from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import finish, region_steps
from napari_genrecon.errors import GenReconWarning, ImageError, OptionError, UnknownModelError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.tiff.write import write_tiff_steps
from napari_genrecon.models import find_model
from napari_genrecon.tasks import find_task
from napari_genrecon.tasks.files import file_steps, write_result_steps
from napari_genrecon.tasks.inpaint import InpaintOptions, expected_seconds, findings, inpaint_steps
from napari_genrecon.tasks.inpaint import constants as constants_module
from napari_genrecon.tasks.inpaint import plan as plan_module
from napari_genrecon.tasks.inpaint import planes as planes_module
from napari_genrecon.tasks.inpaint.damage import KINDS
from napari_genrecon.tasks.inpaint.missing_planes import find_neighbours, holds_enough
from napari_genrecon.tasks.pipeline import Pipeline, Step
from napari_genrecon.tasks.pipeline.files import file_pipeline_steps

pytestmark = pytest.mark.filterwarnings("ignore:the mask leaves too few")


def scene(shape=(96, 96)):
    """Smooth waves with a disc of sharp edge, grey values around 100."""
    y, x = np.indices(shape)
    return 100 + 20 * np.sin(x / 4) * np.cos(y / 6) + 40 * (np.hypot(y - 40, x - 50) < 18)


def dropout(shape=(96, 96), part=0.5):
    return np.random.default_rng(0).random(shape) < part


def scratch(shape=(96, 96), width=3):
    mask = np.zeros(shape, bool)
    mask[shape[0] // 2 : shape[0] // 2 + width, 10:-10] = True
    return mask


def error(a, b, mask):
    return float(np.sqrt(np.mean((np.asarray(a, float) - b)[mask] ** 2)))


def steps_of(image, mask, **options):
    return finish(inpaint_steps(image, InpaintOptions(mask=mask, **options)))


@pytest.mark.parametrize("method", ["network", "pnp"])
@pytest.mark.parametrize("mask", [dropout(), dropout(part=0.8), scratch()], ids=["half", "most", "scratch"])
@pytest.mark.slow
def test_networks_fill_better_than_the_biharmonic_equation(mask, method):
    ratios = []
    for seed in (1, 2, 3):  # the leaves that one scratch hides may be those that any guess gets wrong
        clean = 200 * scenes.dead_leaves(np.random.default_rng(seed), mask.shape)
        damaged = np.where(mask, 0, clean)
        ours, classical = (inpaint(damaged, mask, method=each) for each in (method, "biharmonic"))
        ratios.append(error(ours, clean, mask) / error(classical, clean, mask))
    assert np.exp(np.mean(np.log(ratios))) < 0.9


@pytest.mark.parametrize("method", ["network", "pnp", "biharmonic"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i8", "u8", "f2", "f4", "f8", ">u2"])
def test_known_pixels_come_back_bit_by_bit(dtype, method):
    mask = scratch((48, 48))
    image = (scene((48, 48)) + (2**60 if dtype == "u8" else 0)).astype(dtype)
    result = inpaint(image, mask, method=method, keep_dtype=True)
    assert result.dtype == image.dtype
    assert result[~mask].tobytes() == image[~mask].tobytes()


@pytest.mark.parametrize("share", [pytest.param(0.01, marks=pytest.mark.slow), 0.03])
def test_noise_is_measured_between_hot_pixels(share):
    rng = np.random.default_rng(0)
    clean = 100 + 60.0 * (np.hypot(*(np.indices((160, 160)) - 80)) < 40)
    image, hot = rng.poisson(clean).astype("u2"), rng.random(clean.shape) < share
    measured = [steps_of(np.where(hot, 60_000, image), hot), steps_of(image, scratch(image.shape))]
    there, whole = (result.record["noise"][0] for result in measured)
    assert there["sigma"] == pytest.approx(whole["sigma"], rel=0.02)
    assert not [warning for result in measured for warning in result.record["warnings"]]


def test_known_pixels_equal_the_input_without_keep_dtype():
    mask, image = dropout((48, 48)), scene((48, 48)).astype(np.float64)
    np.testing.assert_array_equal(inpaint(image, mask)[~mask], image[~mask])


@pytest.mark.parametrize("method", ["network", "pnp"])
@pytest.mark.parametrize(("gain", "offset"), [(1e-3, 0.0), (-2.0, 500.0), (300.0, -1e4)])
def test_gain_and_offset_pass_through(method, gain, offset):
    image, mask = scene((64, 64)), dropout((64, 64))
    expected = gain * inpaint(image, mask, method=method).astype(float) + offset
    got = inpaint(gain * image + offset, mask, method=method)
    tolerance = 0.02 if gain > 0 else 1.0  # a negative is another image to a network, but not to us
    assert error(got, expected, mask) < tolerance * abs(gain) * error(scene((64, 64)), 100, mask)


@pytest.mark.slow
def test_what_stands_under_the_mask_does_not_matter():
    mask = dropout()
    results = [inpaint(np.where(mask, value, scene()), mask) for value in (0, 65535, np.nan)]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.slow
@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
def test_non_finite_pixels_stay_and_spoil_nothing(value):
    mask, image = scratch(), scene()
    holed = image.copy()
    holed[[20, 50], [30, 5]] = value
    result = inpaint(holed, mask)
    np.testing.assert_array_equal(np.isfinite(result), np.isfinite(holed))
    assert error(result, image, mask) < 1.2 * error(inpaint(image, mask), image, mask)


@pytest.mark.parametrize("method", ["network", "pnp", "biharmonic"])
def test_constant_image_comes_back(method):
    image = np.full((40, 40), 7, "u2")
    np.testing.assert_array_equal(inpaint(image, dropout((40, 40)), method=method, keep_dtype=True), image)


@pytest.mark.parametrize("shape", [(1, 2), (3, 3), (2, 50), (9, 17)], ids=str)
def test_small_images(shape):
    mask = np.zeros(shape, bool)
    mask[0, 0] = True
    assert np.isfinite(inpaint(scene(shape), mask)).all()


@pytest.mark.slow
def test_noise_of_known_pixels_is_not_drawn_into_the_hole():
    clean, mask = scene((128, 128)), scratch((128, 128), 6)
    noisy = clean + np.random.default_rng(0).normal(0, 8, clean.shape)
    told, exact = inpaint(noisy, mask, noise=8.0), inpaint(noisy, mask, method="biharmonic")
    assert error(told, clean, mask) < 0.8 * error(exact, clean, mask)


@pytest.mark.slow
def test_samples_differ_inside_the_mask_and_nowhere_else():
    mask, image = scratch(width=8), scene()
    result = steps_of(image, mask, n=3)
    assert result.data.shape == (3, *image.shape)
    assert result.axes.letters == "QYX"
    spread = np.ptp(result.data, axis=0)
    assert (spread[mask] > 0).all()
    np.testing.assert_array_equal(spread[~mask], 0)


def test_seed_makes_samples_repeatable():
    mask, image = scratch((48, 48)), scene((48, 48))
    first, again, other = (inpaint(image, mask, n=2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other)[:, mask].mean() > 0.9


@pytest.mark.slow
def test_spread_grows_with_the_distance_from_known_pixels():
    image = scene() + np.random.default_rng(0).normal(0, 2, (96, 96))
    mask = np.zeros(image.shape, bool)
    mask[30:60, 30:60] = True
    spread = inpaint(image, mask, n=6, noise=2.0).std(axis=0)
    assert spread[42:48, 42:48].mean() > 1.5 * spread[mask & ~_shrunk(mask)].mean()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["random", "scratch"])
def test_the_truth_lies_within_two_sd_of_the_spread(kind):
    """The fillings themselves differ less than they miss the truth; their layer of spread is scaled."""
    y, x = np.indices((96, 96))
    mask = (
        np.random.default_rng(2).random((96, 96)) < 0.5
        if kind == "random"
        else np.abs(x - 40 - 20 * np.sin(y / 20)) < 3
    )
    truth = 200 * scenes.dead_leaves(np.random.default_rng(1), (96, 96))
    result = steps_of(truth + np.random.default_rng(0).normal(0, 2, truth.shape), mask, n=6, noise=2.0)
    missed = np.abs(result.data.mean(axis=0) - truth)[mask]
    assert np.mean(missed <= 2 * result.data.std(axis=0)[mask]) < 0.8
    assert np.mean(missed <= 2 * result.companions["spread"][mask]) >= 0.9


def test_the_spread_of_every_channel_has_a_factor_of_its_own():
    image = np.stack([scene((48, 48)), 3 * scene((48, 48))[::-1]])
    result = steps_of(image, scratch((48, 48)), n=2, noise=1.0, axes="CYX")
    factors = result.record["spread"]
    assert min(factors) >= 1
    for channel, factor in enumerate(factors):
        expected = factor * result.data.std(axis=0)[channel]
        np.testing.assert_allclose(result.companions["spread"][channel], expected, rtol=1e-4, atol=1e-5)


def _shrunk(mask):
    from scipy.ndimage import binary_erosion

    return binary_erosion(mask)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "method"), [(1, "network"), (1, "pnp"), (2, "pnp")])
def test_tile_hardly_changes_the_result(n, method):
    image, mask = 200 * scenes.dead_leaves(np.random.default_rng(1), (288, 32)), dropout((288, 32))
    whole, tiled = (np.atleast_3d(inpaint(image, mask, tile=tile, n=n, method=method).T) for tile in (288, 96))
    assert error(whole, tiled, mask.T) < 0.02 * error(whole, image.T[..., None], mask.T)


def test_tile_without_masked_pixels_is_copied_without_the_network(monkeypatch):
    from napari_genrecon.models import runtime

    steps_of(scene((64, 64)), scratch((64, 64)), method="network")  # measures the speed of the network, once
    heights = []
    real = runtime.Model.__call__
    monkeypatch.setattr(runtime.Model, "__call__", lambda self, y, **how: heights.append(y.shape) or real(self, y))
    image, mask = np.stack([scene((64, 64))] * 3), np.zeros((3, 64, 64), bool)
    steps_of(
        image, mask | np.array([False, True, False])[:, None, None] & scratch((64, 64)), axes="TYX", method="network"
    )
    one = len(heights)
    heights.clear()
    steps_of(image[1:2], scratch((64, 64))[None], axes="TYX", method="network")
    assert len(heights) == one


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("kind", ["dask", "zarr"])
def test_lazy_equals_eager(kind, n):
    import dask.array as da
    import zarr

    image, mask = np.stack([scene((64, 72))] * 3).astype("u2"), scratch((64, 72))[None].repeat(3, 0)
    mask[1] = True
    source = da.from_array(image, chunks=(1, 64, 50)) if kind == "dask" else zarr.array(image, chunks=(1, 64, 50))
    lazy = steps_of(source, mask, n=n).data
    assert isinstance(lazy, da.Array)
    np.testing.assert_allclose(lazy.compute(), steps_of(image, mask, n=n).data, atol=1e-3)


def test_missing_plane_is_mixed_from_its_neighbours():
    stack = np.stack([scene() + 10 * t for t in range(5)])
    mask = np.zeros(stack.shape, bool)
    mask[2:4] = True
    with pytest.warns(GenReconWarning, match="2 planes were missing as a whole and were mixed from their neighbours"):
        result = inpaint(np.where(mask, 0, stack), mask, axes="TYX", noise=1.0)
    assert error(result, stack, mask) < 2


def test_missing_plane_is_filled_in_time_before_depth():
    movie = np.arange(3 * 3)[:, None, None].reshape(3, 3, 1, 1) * np.ones((16, 16)) * [1.0]
    mask = np.zeros(movie.shape, bool)
    mask[1, 2] = True
    result = steps_of(movie, mask, axes="TZYX", method="biharmonic").data
    np.testing.assert_allclose(result[1, 2], 5)


@pytest.mark.parametrize("tile", [None, 64], ids=["whole", "tiled"])
def test_dropped_frame_of_a_drifting_movie_lies_where_it_was(tile):
    wide = gaussian_filter(np.random.default_rng(0).standard_normal((180, 180)), 3) * 800
    movie = np.stack([wide[20 : 20 + 128, 20 - 3 * t : 20 - 3 * t + 128] for t in range(4)])
    movie += np.random.default_rng(1).normal(0, 5, movie.shape)
    mask = planes_of(movie.shape, 2)
    found = steps_of(np.where(mask, 0, movie), mask, axes="TYX", noise=5.0, tile=tile).data[2]
    truth = wide[20:148, 14:142]
    assert np.std((found - truth)[8:-8, 8:-8]) < 5  # a mixture of both places: 30


def growing(count=7, shape=(64, 64)):
    """A stack whose planes grow brighter."""
    return np.stack([scene(shape) + 10 * t for t in range(count)]).astype("f4")


def test_missing_plane_keeps_its_contrast_where_one_neighbour_has_a_hole():
    rng = np.random.default_rng(0)
    truth = 3000 * gaussian_filter((rng.random((96, 96)) < 0.01).astype(float), 1.5)
    stack = np.stack([truth, truth, truth + 40]) + rng.normal(0, 3, (3, 96, 96))
    mask = planes_of(stack.shape, 1)
    mask[0, 30:60, 30:60] = True
    found = steps_of(stack, mask, axes="ZYX", noise=3.0).data[1]
    off = found - truth - 20
    assert off[30:60, 30:60].std() < 6  # continued from the rim alone: 20 and more
    assert abs(off[30:60, 30:60].mean()) < 3  # of 20, the half of what the neighbours differ by


def planes_of(shape, *missing):
    mask = np.zeros(shape, bool)
    mask[list(missing)] = True
    return mask


@pytest.mark.parametrize("left", [0, 1, 200], ids=["nothing", "one pixel", "one part in twenty"])
@pytest.mark.parametrize("by", ["NaN", "mask"])
def test_planes_with_next_to_nothing_in_them_are_no_neighbours(left, by):
    stack, mask = growing(), planes_of((7, 64, 64), 3)
    hidden = np.arange(64 * 64).reshape(64, 64) >= left
    far = steps_of(stack, planes_of(stack.shape, 3, 4), axes="ZYX").data[3]  # from 2 and 5
    damaged = stack.copy()
    damaged[4][hidden] = np.nan
    if by == "mask":
        mask[4] = hidden | (left == 0)
    result = steps_of(damaged, mask, axes="ZYX").data[3]
    assert np.abs(result - far).max() < 0.1 * np.ptp(far)
    assert np.ptp(result) > 0.9 * np.ptp(stack[3])


def test_only_planes_beside_missing_ones_are_looked_at():
    stack = growing(40, (32, 32))
    stack[20] = np.nan
    mask, asked = planes_of(stack.shape, 19), []

    def enough(plane):
        asked.append(plane)
        return holds_enough(stack, mask, Axes("ZYX"), plane)

    found = finish(find_neighbours(mask.all(axis=(1, 2)), Axes("ZYX"), enough))
    assert found == {(19,): (((18,), 2 / 3), ((21,), 1 / 3))}
    assert asked == [(18,), (20,), (21,)]


def test_no_plane_worth_filling_from_is_told():
    stack = growing(4)
    stack[1:] = np.nan
    stack[1:, :2] = 100
    with pytest.warns(GenReconWarning, match="1 plane was missing as a whole and no plane beside it holds more than a"):
        assert np.isfinite(inpaint(stack, planes_of(stack.shape, 0), axes="ZYX")[0]).all()


@pytest.mark.parametrize("missing", [(0,), (4,), (3, 4)], ids=["first", "last", "last two"])
def test_end_of_a_stack_is_filled_from_one_plane_and_says_so(missing):
    stack = growing(5)
    result = steps_of(stack, planes_of(stack.shape, *missing), axes="ZYX")
    one, nearest = len(missing) == 1, 1 if missing[0] == 0 else missing[0] - 1
    for plane in missing:
        np.testing.assert_allclose(result.data[plane], stack[nearest], atol=0.1)
    assert [note for note in result.record["warnings"] if "missing" in note] == [
        f"{len(missing)} plane{'' if one else 's'} {'was' if one else 'were'} missing as a whole and "
        f"{'was' if one else 'were'} filled from the nearest plane, as there is one on one side only: "
        "what moved stands where it was there"
    ]


def test_colours_of_a_missing_plane_count_once():
    stack = np.stack([growing(5, (48, 48))] * 3, axis=-1).astype("u1")
    result = steps_of(stack, planes_of(stack.shape, 2), axes="ZYXS")
    assert any(note.startswith("1 plane was missing as a whole and was mixed") for note in result.record["warnings"])


@pytest.mark.parametrize("missing", [pytest.param(False, marks=pytest.mark.slow), True], ids=["scratches", "plane"])
def test_mask_of_an_rgb_stack_may_leave_out_the_colours(missing):
    stack = np.stack([growing(3, (48, 48))] * 3, axis=-1).astype("u1")
    mask = np.stack([scratch((48, 48), width) for width in (1, 2, 3)])
    mask[1] |= missing
    whole = np.broadcast_to(mask[..., None], stack.shape)
    np.testing.assert_array_equal(steps_of(stack, mask, axes="ZYXS").data, steps_of(stack, whole, axes="ZYXS").data)


@pytest.mark.parametrize("mask", [5, 0.0, True, "mask.tif"])
def test_mask_that_is_no_array_gets_a_sentence(mask):
    with pytest.raises(OptionError, match=f"mask must be an array.*got {mask!r}"):
        inpaint(scene(), mask)


def test_channel_missing_as_a_whole_gets_a_sentence():
    mask = np.zeros((2, 32, 32), bool)
    mask[0] = True
    with pytest.raises(ImageError, match=r"covers plane \(0,\) as a whole, and there is no other plane along T or Z"):
        inpaint(np.stack([scene((32, 32))] * 2), mask, axes="CYX")


def test_rgb_keeps_its_channels_and_alpha_is_copied():
    rgba = np.full((48, 48, 4), [50, 120, 200, 77], "u1")
    result = inpaint(rgba, scratch((48, 48)), keep_dtype=True)
    np.testing.assert_array_equal(result, rgba)


def test_plane_mask_holds_for_all_planes():
    stack, mask = np.stack([scene((48, 48))] * 2), scratch((48, 48))
    np.testing.assert_array_equal(inpaint(stack, mask), inpaint(stack, np.stack([mask] * 2)))


def test_input_is_never_changed():
    image, mask = scene((48, 48)), scratch((48, 48))
    before = image.copy(), mask.copy()
    image.flags.writeable = mask.flags.writeable = False
    inpaint(image, mask)
    np.testing.assert_array_equal((image, mask), before)


@pytest.mark.parametrize(
    ("mask", "options", "note"),
    [
        (np.zeros((32, 32)), {}, "the mask marks no pixel, so the image is unchanged"),
        (np.zeros((32, 32)), {"n": 2, "method": "pnp"}, "the mask marks no pixel, so the image is unchanged"),
        (None, {"detect": "stripes"}, "^looking for stripes found nothing, so the image is unchanged"),
        (np.zeros((32, 32)), {"detect": "hot, frames"}, "no pixel and looking for hot, frames found nothing, so"),
    ],
    ids=["mask", "several fillings", "detect", "both"],
)
def test_nothing_to_fill_brings_the_image_back_with_a_note(mask, options, note):
    image = np.random.default_rng(0).normal(100, 5, (32, 32)).astype("f4")
    with pytest.warns(GenReconWarning, match=note):
        result = inpaint(image, mask, **options)
    np.testing.assert_array_equal(result, np.broadcast_to(image, result.shape))


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"mask": None}, OptionError, "no mask: give one that is 1 where pixels are to be filled in"),
        ({"mask": np.ones((32, 32))}, ImageError, "covers the whole image: nothing is known"),
        ({"mask": np.ones((3, 32))}, ImageError, r"mask has shape \(3, 32\) but image has shape \(32, 32\)"),
        ({"method": "telea"}, OptionError, "method must be 'auto', 'network', 'pnp' or 'biharmonic', got 'telea'"),
        ({"n": 0}, OptionError, "n must lie between 1 and 64, got 0"),
        ({"n": 2, "method": "biharmonic"}, OptionError, "method 'biharmonic' gives one filling, and n is 2"),
        (
            {"n": 2, "method": "network"},
            OptionError,
            "gives one filling, and n is 2: choose 'auto' or 'pnp'",
        ),
        ({"n": "two"}, OptionError, "n must be a whole number, got 'two'"),
        ({"seed": -1}, OptionError, "seed must be 0 or more, got -1"),
        ({"detect": "hot,cold"}, OptionError, "no kind of damage named 'cold'; choose from: hot, saturated"),
        ({"noise": -3.0}, OptionError, "the s.d. of noise must be above 0, got -3.0"),
        ({"tile": 0}, OptionError, "tile must be a positive number of pixels, got 0"),
        ({"model": "inpain-2d"}, UnknownModelError, "did you mean 'inpaint-2d'"),
        ({"model": "denoice-2d", "method": "pnp"}, UnknownModelError, "did you mean 'denoise-2d'"),
        ({"device": "tpu"}, OptionError, "device 'tpu' is not available here"),
    ],
    ids=lambda v: str(list(v)) if isinstance(v, dict) else "",
)
def test_options_that_cannot_work_get_a_sentence(options, kind, sentence):
    with pytest.raises(kind, match=sentence):
        inpaint(scene((32, 32)), **{"mask": scratch((32, 32)), **options})


def test_record_says_how_it_was_made():
    record = steps_of(scene((48, 48)).astype("u2"), scratch((48, 48)), n=2, seed=5).record
    assert (record["task"], record["nature"], record["seed"]) == ("inpaint", "inpainted", 5)
    assert record["mask"] == {"filled": 3 * 28, "planes": 0}
    assert record["model"]["name"] == "denoise-2d"
    assert record["axes"] == {"letters": "QYX", "assumed": True}
    assert json.loads(json.dumps(record)) == record


@pytest.mark.parametrize(("hidden", "method", "model"), [(0.0, "network", "inpaint-2d"), (1e9, "pnp", "denoise-2d")])
def test_auto_takes_what_fills_hidden_pixels_better_and_says_so(monkeypatch, hidden, method, model):

    def found(*_):
        yield
        return hidden

    monkeypatch.setattr(constants_module, "hidden_error", found)
    monkeypatch.setattr(findings, "_findings", OrderedDict())  # what an earlier test found counts for nothing
    record = steps_of(scene((48, 48)), scratch((48, 48))).record
    assert (record["options"]["method"], record["method"], record["model"]["name"]) == ("auto", method, model)


def test_several_fillings_are_drawn_by_plug_and_play():
    record = steps_of(scene((48, 48)), scratch((48, 48)), n=2).record
    assert (record["method"], record["model"]["name"]) == ("pnp", "denoise-2d")


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
@pytest.mark.parametrize("door", ["file", "steps", "layer"])
def test_fillings_that_the_target_has_no_room_for_are_refused_before_any_work(tmp_path, monkeypatch, door, ending):
    source, target = tmp_path / "a.ome.tif", tmp_path / f"b{ending}"
    movie, about = np.zeros((2, 2, 2, 8, 9), "u2"), ImageMeta(axes=Axes("TCZYX"))
    finish(write_tiff_steps(source, movie, about))
    monkeypatch.setattr("napari_genrecon.tasks.inpaint.inpaint_steps", lambda *_, **__: pytest.fail("it computes"))
    task, options = find_task("inpaint"), InpaintOptions(detect="hot", n=2, axes="TCZYX")
    steps = {
        "file": lambda: file_steps(task, source, target, options),
        "steps": lambda: file_pipeline_steps(Pipeline((Step("inpaint", {"detect": "hot", "n": 2}),)), source, target),
        "layer": lambda: write_result_steps(task, movie, options, about, target),
    }
    with pytest.raises(ImageError, match="not QTCZYX" if "zarr" in ending else "no room for the dimensions QTCZYX"):
        finish(steps[door]())
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(("task", "more"), [("inpaint", {"detect": "hot"}), ("denoise", {"keep_dtype": True})])
@pytest.mark.parametrize("door", ["file", "steps", "layer"])
def test_numbers_that_the_target_has_no_room_for_are_refused_before_any_work(tmp_path, monkeypatch, door, task, more):
    source, target, image = tmp_path / "a.npy", tmp_path / "b.ome.tif", np.zeros((8, 9), np.int64)
    np.save(source, image)
    monkeypatch.setattr(f"napari_genrecon.tasks.{task}.{task}_steps", lambda *_, **__: pytest.fail("it computes"))
    found, about = find_task(task), ImageMeta(axes=Axes("YX"))
    steps = {
        "file": lambda: file_steps(found, source, target, found.options(**more)),
        "steps": lambda: file_pipeline_steps(Pipeline((Step(task, more),)), source, target),
        "layer": lambda: write_result_steps(found, image, found.options(**more), about, target),
    }
    with pytest.raises(ImageError, match=r"OME-TIFF cannot store int64: write it as \.ome\.zarr"):
        finish(steps[door]())
    assert list(tmp_path.iterdir()) == [source]


def test_closing_the_steps_stops_between_runs_of_the_network(monkeypatch):
    from napari_genrecon.models import runtime

    calls = []
    real = runtime.Model.__call__
    monkeypatch.setattr(runtime.Model, "__call__", lambda self, *a: calls.append(1) or real(self, *a))
    steps = inpaint_steps(scene((48, 48)), InpaintOptions(mask=scratch((48, 48)), method="pnp"))
    while not calls:
        next(steps)
    steps.close()
    assert len(calls) == 1


def test_progress_tells_samples():
    notes = []
    options = InpaintOptions(mask=scratch((48, 48)), n=2)
    finish(inpaint_steps(scene((48, 48)), options), notes.append)
    assert notes[-1].note == "sample 2 of 2"
    assert notes[-1].fraction == 1


def test_expected_seconds_grow_with_the_samples():
    image, mask = scene((256, 256)), scratch((256, 256))
    one, eight = (expected_seconds(image, InpaintOptions(mask=mask, n=n, method="pnp")) for n in (1, 8))
    assert 3 * one < eight <= 8 * one


# Damage --------------------------------------------------------------------------------------------------------------


def noisy(shape, seed=0):
    return scene(shape[-2:]) + np.random.default_rng(seed).normal(0, 3, shape)


@pytest.mark.parametrize("kind", KINDS)
def test_clean_images_hold_no_damage(kind):
    movie = np.stack([noisy((96, 96), seed=t) for t in range(5)])
    assert not detect_damage(movie, kinds=kind, axes="TYX").any()


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind != "saturated"]
)  # the brightest leaves all have one grey value
@pytest.mark.parametrize("simulate", [scenes.cells, scenes.filaments, scenes.dead_leaves], ids=lambda f: f.__name__)
def test_noise_free_scenes_hold_no_damage(kind, simulate):
    clean = 200 * simulate(np.random.default_rng(4), (192, 160))
    assert not detect_damage(clean.astype("f4"), kinds=kind).any()


@pytest.mark.parametrize(("width", "step"), [(1, 3.0), (2, 2.0), (5, -2.0), (12, 2.0)])
@pytest.mark.parametrize("turned", [False, True], ids=["rows", "columns"])
def test_stripes_are_found_though_they_are_fainter_than_the_noise(width, step, turned):
    image, expected = noisy((200, 160)), np.zeros((200, 160), bool)
    expected[60 : 60 + width] = expected[120 : 120 + width] = True
    image[expected] += step * 1.4
    found = detect_damage(image.T if turned else image, kinds="stripes")
    np.testing.assert_array_equal(found.T if turned else found, expected)


def test_band_wider_than_a_stripe_and_a_horizon_are_left():
    image = noisy((128, 128))
    image[40:70] += 50
    image[100:] += 50
    assert not detect_damage(image, kinds="stripes").any()


def test_hot_and_dead_pixels_are_found_also_at_the_edge():
    image = noisy((96, 96))
    image[[0, 33, 95], [10, 44, 95]] += [200, 200, -200]
    assert np.argwhere(detect_damage(image, kinds=["hot"])).tolist() == [[0, 10], [33, 44], [95, 95]]


def test_saturated_pixels_are_found():
    image = np.clip(noisy((96, 96)) * 2, 0, 255).astype("u1")
    np.testing.assert_array_equal(detect_damage(image, kinds="saturated"), image == 255)


@pytest.mark.parametrize("value", [0.0, 100.0, "bright"])
def test_dead_lines_are_found(value):
    image = noisy((96, 96))
    image[40] = image[40] + 40 if value == "bright" else value
    image[:, 70] = image[:, 70] + 40 if value == "bright" else value
    expected = np.zeros(image.shape, bool)
    expected[40] = expected[:, 70] = True
    np.testing.assert_array_equal(detect_damage(image, kinds=("lines",)), expected)


def test_dropped_frames_are_found():
    movie = noisy((7, 48, 48))
    movie[2], movie[4], movie[6] = 0, movie[3], 100 + np.random.default_rng(1).normal(0, 1, (48, 48))
    found = detect_damage(movie, kinds="frames", axes="TYX")
    np.testing.assert_array_equal(found.all(axis=(1, 2)), [False, False, True, False, True, False, True])
    assert found.any(axis=(1, 2)).sum() == 3


def test_detected_damage_is_filled():
    clean = scene()
    image = clean + np.random.default_rng(0).normal(0, 1, clean.shape)
    image[30, 40] += 300
    image[60] = 0
    result = inpaint(image, detect="hot,lines")
    assert np.abs(result - clean).max() < 8


def test_window_can_offer_what_to_detect():
    metadata = get_args(get_type_hints(InpaintOptions, include_extras=True)["detect"])[1]
    assert metadata["several"] == KINDS
    assert InpaintOptions(detect=",".join(KINDS)).detect


def counted(monkeypatch, owner, name):
    calls, original = [], getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs))
    return calls


@pytest.mark.slow
def test_what_was_found_is_found_again_only_for_other_pixels_or_options(monkeypatch):
    image, mask = scene(), scratch()
    calls = counted(monkeypatch, constants_module, "find_recipe")
    damage = counted(monkeypatch, plan_module, "detect_damage")

    def found(**options):
        finish(inpaint_steps(image, InpaintOptions(mask=mask.copy(), detect="hot", **options), lazy=True))
        return len(calls), len(damage)

    first = found()
    assert found() == first == found(tile=64)
    assert found(noise=1.0)[0] == first[0] + 1
    image[0, 0] += 50
    assert found() == (first[0] + 2, first[1] + 1)


def test_part_of_a_preview_computes_that_part_only(monkeypatch):
    image = scene((160, 640))
    mask = dropout((160, 640), 0.1)
    options = InpaintOptions(mask=mask, noise=1.0, method="network")
    result = finish(inpaint_steps(image, options, lazy=True))
    seen, network = [], planes_module.load_network(find_model("auto", "inpaint"), "cpu")
    recorded = lambda p, noise: seen.append(p.shape[1:]) or network(p)  # noqa: E731
    monkeypatch.setattr(planes_module, "load_network", lambda *_, precision: recorded)
    part = finish(region_steps(*result.tiles, np.s_[20:60, 500:560]))
    assert max(n * m for n, m in seen) <= (60 + 104) * (60 + 2 * 104)
    np.testing.assert_allclose(part, result.data[20:60, 500:560].compute(), atol=0.5)


@pytest.mark.parametrize("lazy", [False, True])
def test_limits_are_those_of_known_pixels_where_the_filled_ones_lie_beyond(lazy):
    image, mask = scene(), scratch()
    image[mask] = 60000
    result = finish(inpaint_steps(image, InpaintOptions(mask=mask, method="biharmonic"), lazy=lazy))
    assert result.limits == (-np.inf, image[~mask].max())


def test_expected_seconds_are_those_of_the_masked_part():
    image = np.zeros((4, 600, 600), np.uint16)
    one, all_planes = np.zeros(image.shape, bool), np.zeros(image.shape, bool)
    all_planes[:, 5::40, 5::40] = True
    one[0] = all_planes[0]
    seconds = [expected_seconds(image, InpaintOptions(mask=m, method="network")) for m in (one, all_planes)]
    assert seconds[1] == pytest.approx(4 * seconds[0])
    told = expected_seconds(image, InpaintOptions(mask=all_planes, detect="hot", method="network"))
    assert told >= seconds[1]


def test_progress_counts_only_tiles_that_are_filled():
    image, mask = np.random.default_rng(0).normal(size=(40, 24, 24)), np.zeros((40, 24, 24), bool)
    mask[[3, 37], 10, 10:14] = True
    seen = list(inpaint_steps(image, InpaintOptions(mask=mask, noise=1.0, method="network")))
    halves = [p.fraction for p in seen if p.note.startswith("20 of 40")]
    assert halves[0] == pytest.approx(0.5)
