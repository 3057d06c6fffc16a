"""The laws of upscaling along z, on a network of random weights that is trained for a step or none."""

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_genrecon import NoiseModel, upscale, upscale_z
from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import finish, map_progress
from napari_genrecon.errors import GenReconWarning, ImageError, InferenceError, OptionError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.numerics.slices import sliced
from napari_genrecon.tasks.files import about_result
from napari_genrecon.tasks.pixel_size import calibrated
from napari_genrecon.tasks.upscale_z import UpscaleZOptions, expected_seconds, fine_tune_cache, upscale_z_steps
from napari_genrecon.training.adapt import axial
from napari_genrecon.training.adapt.axial import train_on_planes

QUICK = {"train_steps": 1, "noise": 0}


def stack(shape=(5, 40, 36), seed=0):
    """Smooth structure around 100."""
    rng = np.random.default_rng(seed)
    return 100 + 200 * gaussian_filter(rng.normal(size=shape), (0.7, 1.5, 1.5)).astype("f4")


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((5, 20, 24), None),
        ((2, 3, 20, 24), "TZYX"),
        ((3, 2, 20, 24), "ZCYX"),
        ((20, 24, 5), "YXZ"),
        ((20, 4, 24), "YZX"),
    ],
    ids=str,
)
def test_z_grows_and_nothing_else(shape, axes, factor):
    image = 100 + np.random.default_rng(0).normal(size=shape)
    result = finish(upscale_z_steps(image, UpscaleZOptions(factor=factor, axes=axes, **QUICK)))
    letters = axes or "ZYX"
    assert result.data.shape == tuple(n * factor if a == "Z" else n for n, a in zip(shape, letters, strict=True))
    assert result.axes.letters == letters
    assert result.data.dtype == np.float32


def test_the_order_of_the_dimensions_does_not_matter():
    image = stack()
    plain = upscale_z(image, **QUICK)
    other = upscale_z(np.moveaxis(image, 0, 2), axes="YXZ", **QUICK)
    np.testing.assert_allclose(np.moveaxis(other, 2, 0), plain, atol=1e-3)


def test_result_lies_on_the_stack():
    """The centroid of a spot in world coordinates."""
    z, y, x = np.indices((9, 24, 24))
    spot = (1000 * np.exp(-0.5 * (((z - 4.2) / 1.2) ** 2 + ((y - 11) / 3) ** 2 + ((x - 12) / 3) ** 2))).astype("f4")
    options = UpscaleZOptions(spacing=3.0, axes="ZYX", train_steps=0, noise=0)
    result = finish(upscale_z_steps(spot, options))
    about = ImageMeta(axes=result.axes, scale=(1.5, 0.5, 0.5), units=("micrometer",) * 3, translate=(10.0, 0.0, -3.0))
    placed = about_result(about, result, result.record)
    assert placed.scale == (0.5, 0.5, 0.5)
    assert placed.translate == (9.5, 0.0, -3.0)
    weights = np.clip(result.data - 20, 0, None)
    centroid = [(np.indices(weights.shape)[i] * weights).sum() / weights.sum() for i in range(3)]
    world = [c * s + t for c, s, t in zip(centroid, placed.scale, placed.translate, strict=True)]
    np.testing.assert_allclose(world, (10 + 4.2 * 1.5, 5.5, 3.0), atol=0.1)


def test_planes_that_span_their_dtype_are_not_taken_for_flat_ones():
    """127 less -128 is -1 in int8."""
    image = np.clip(8 * (stack() - 100), -128, 127).astype("i1")
    assert all((plane.min(), plane.max()) == (-128, 127) for plane in image)
    assert finish(upscale_z_steps(image, UpscaleZOptions(**QUICK))).record["trained"]["planes"] == 5


def test_torch_error_while_learning_is_told_as_one_of_ours(monkeypatch):
    def fail(*args):
        raise RuntimeError("CUDA error: something failed")

    monkeypatch.setattr(fine_tune_cache, "_cache", {})
    monkeypatch.setattr(axial, "_loss", fail)
    with pytest.raises(InferenceError, match="failed while running: CUDA error"):
        upscale_z(stack(), **QUICK)


def test_the_same_seed_gives_the_same_pixels_and_another_does_not():
    image = stack()
    first, again, other = (upscale_z(image, seed=seed, **QUICK) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("consistent", [False, True])
@pytest.mark.slow
def test_tile_does_not_change_the_result(consistent):
    image = stack((70, 40, 36))
    whole = upscale_z(image, consistent=consistent, **QUICK)
    assert np.abs(upscale_z(image, consistent=consistent, tile=(16, 20), **QUICK) - whole).max() <= 2e-3


def test_lazy_equals_eager():
    import dask.array as da

    image = stack()
    lazy = upscale_z(da.from_array(image, chunks=(2, 20, 20)), tile=24, **QUICK)
    assert isinstance(lazy, da.Array)
    np.testing.assert_allclose(lazy.compute(), upscale_z(image, **QUICK), atol=1e-3)


@pytest.mark.slow
def test_training_brings_the_result_nearer_to_the_truth():
    """Planes of the kind that the network learns from: it must beat itself untrained."""
    rng = np.random.default_rng(1)
    truth = 1000 * gaussian_filter(rng.normal(size=(48, 48, 48)), 1.3).astype("f4")
    image = sliced(truth, 3, 1.0)
    errors = [np.std(upscale_z(image, factor=3, noise=0, train_steps=steps) - truth) for steps in (0, 25)]
    assert errors[1] < 0.95 * errors[0]


def test_consistent_result_shows_the_stack():
    image = stack((8, 40, 36))
    plain, consistent = (finish(upscale_z_steps(image, UpscaleZOptions(consistent=c, **QUICK))) for c in (False, True))
    assert consistent.record["consistency"]["rms"][0] < 0.5 * plain.record["consistency"]["rms"][0]
    shown = sliced(consistent.data.astype(float), 2, 1.0)
    assert consistent.record["consistency"]["rms"][0] == pytest.approx(np.std(shown - image), rel=0.05)


def test_record_says_how_the_network_was_trained():
    result = finish(upscale_z_steps(stack(), UpscaleZOptions(factor=4, seed=7, **QUICK)))
    record = result.record
    assert json.loads(json.dumps(record)) == record
    assert record["factor"] == [4, 1, 1]
    assert (record["trained"]["steps"], record["seed"]) == (1, 7)
    assert len(record["trained"]["sha256"]) == 64


def test_closing_the_steps_stops_between_two_steps_of_training():
    steps = upscale_z_steps(stack(), UpscaleZOptions(train_steps=1000, noise=0))
    for progress in steps:
        if progress.note.startswith("training on the planes"):
            break
    steps.close()
    assert progress.note == "training on the planes: 1 of 1000 steps"


@pytest.fixture
def training_steps(monkeypatch):
    """Empty the cache and count the steps of training."""
    taken = []

    def train(*args):
        return map_progress(train_on_planes(*args), lambda loss: taken.append(loss) or loss)

    monkeypatch.setattr(fine_tune_cache, "_cache", {})
    monkeypatch.setattr(axial, "train_on_planes", train)
    return taken


@pytest.mark.parametrize("changed", [{}, {"consistent": True}, {"tile": 20}, {"keep_dtype": True}], ids=str)
def test_what_was_learnt_for_a_preview_is_not_learnt_again_and_gives_the_same_pixels(training_steps, changed):
    image = stack().astype("u2")
    finish(upscale_z_steps(image, UpscaleZOptions(**QUICK), lazy=True))
    assert len(training_steps) == 1
    result = finish(upscale_z_steps(image, UpscaleZOptions(**QUICK, **changed)))
    assert len(training_steps) == 1
    fine_tune_cache._cache.clear()
    anew = finish(upscale_z_steps(image, UpscaleZOptions(**QUICK, **changed)))
    assert len(training_steps) == 2
    np.testing.assert_array_equal(result.data, anew.data)
    assert result.record["trained"] == anew.record["trained"]


@pytest.mark.parametrize(
    "changed",
    [{"seed": 1}, {"thickness": 1.2}, {"train_steps": 2}, {"factor": 3}, {"spacing": 1.9}, {"noise": 3.0}],
    ids=str,
)
def test_other_options_train_again(training_steps, changed):
    options = {**QUICK, **changed}
    first, other = (finish(upscale_z_steps(stack(), UpscaleZOptions(**given))) for given in (QUICK, options))
    assert len(training_steps) == 1 + options["train_steps"]
    assert first.record["trained"] != other.record["trained"]


def test_a_pixel_that_changed_is_learnt_from(training_steps):
    image = stack()
    upscale_z(image, **QUICK)
    image[2, 10, 10] += 1
    upscale_z(image, **QUICK)
    assert len(training_steps) == 2


def test_expected_time_is_shorter_once_it_was_learnt(training_steps):
    options = UpscaleZOptions(**QUICK | {"train_steps": 3})
    before = expected_seconds(stack(), options)
    finish(upscale_z_steps(stack(), options, lazy=True))
    assert expected_seconds(stack(), options) < 0.5 * before
    assert expected_seconds(stack(seed=1), options) == pytest.approx(before)


@pytest.mark.parametrize("noise", [0, 5.0], ids=["clean", "noisy"])
def test_progress_is_a_share_of_all_that_is_to_be_done(training_steps, noise):
    told = []
    finish(upscale_z_steps(stack(), UpscaleZOptions(train_steps=5, noise=noise)), told.append)
    known = [progress for progress in told if progress.total]
    assert len({progress.total for progress in known}) == 1
    shares = [progress.fraction for progress in known]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    first = next(progress for progress in known if progress.note.startswith("training"))
    assert first.fraction < 0.3
    assert all(progress.fraction < first.fraction for progress in known[: known.index(first)])
    assert any(0 < progress.fraction < first.fraction for progress in known) == bool(noise)


def bordered(image):
    """As a stack that was turned or registered: every plane has a border of NaN."""
    spoilt = image.copy()
    spoilt[:, :4] = spoilt[:, :, -3:] = np.nan
    return spoilt


def test_stack_with_a_border_of_nan_learns_from_what_is_inside(training_steps):
    image = stack()
    result = finish(upscale_z_steps(bordered(image), UpscaleZOptions(**QUICK)))
    inside = finish(upscale_z_steps(image[:, 4:, :-3], UpscaleZOptions(**QUICK)))
    assert result.record["trained"]["planes"] == len(image)
    assert result.record["trained"]["loss"] == pytest.approx(inside.record["trained"]["loss"], rel=1e-4)
    np.testing.assert_array_equal(np.isfinite(result.data), np.isfinite(bordered(image)).repeat(2, axis=0))


def test_a_plane_of_which_little_is_left_does_not_narrow_the_others(training_steps):
    image = stack()
    image[2, :, 9:] = np.nan
    assert finish(upscale_z_steps(image, UpscaleZOptions(**QUICK))).record["trained"]["planes"] == len(image) - 1


def test_stack_full_of_nan_gets_the_true_reason():
    image = stack()
    image[:, ::5, ::5] = np.nan
    with pytest.raises(ImageError, match=r"NaN or infinite pixels leave no box of 8 x 8 pixels whole in any of them"):
        upscale_z(image, **QUICK)


def test_non_finite_pixels_are_repeated_along_z_and_spoil_nothing():
    image = stack()
    image[2, 10, 10] = np.nan
    result = upscale_z(image, factor=3, **QUICK)
    np.testing.assert_array_equal(np.isfinite(result), np.isfinite(image).repeat(3, axis=0))


@pytest.mark.parametrize(
    ("spacing", "factor"), [(1.6, 2), (3.2, 3), (4.4, 4), (14.0, 4)], ids=["1.6", "3.2", "4.4", "14"]
)
def test_spacing_decides_the_factor_and_says_so(spacing, factor):
    options = UpscaleZOptions(spacing=spacing, train_steps=1, noise=0)
    result = finish(upscale_z_steps(stack((3, 40, 40)), options))
    assert result.record["factor"] == [factor, 1, 1]
    assert (
        f"{spacing:.3g} times as tall as wide, so there are {factor} times more planes" in result.record["warnings"][0]
    )


def test_spacing_comes_from_the_voxel_size_unless_it_is_given():
    about = ImageMeta(axes=Axes("ZYX"), scale=(0.9, 0.3, 0.3), units=("micrometer",) * 3)
    untold, given = UpscaleZOptions(axes="ZYX"), UpscaleZOptions(axes="ZYX", spacing=2.0)
    assert calibrated(untold, lambda: about).spacing == pytest.approx(3.0)
    assert calibrated(untold, lambda: ImageMeta(axes=Axes("ZYX"))).spacing is None
    assert calibrated(given, lambda: about).spacing == 2.0


def test_a_flat_image_has_no_expected_time():
    with pytest.raises(ImageError, match="upscale_z needs a z-stack, and this image has the axes YX"):
        expected_seconds(np.ones((40, 40)), UpscaleZOptions())


@pytest.mark.parametrize(
    ("image", "options", "kind", "sentence"),
    [
        (np.ones((40, 40)), {}, ImageError, r"upscale_z needs a z-stack, and this image has the axes YX"),
        (np.ones((5, 40, 40)), {"axes": "TYX"}, ImageError, r"needs a z-stack, and this image has the axes TYX"),
        (np.ones((1, 40, 40)), {}, ImageError, r"needs two planes of at least 8 pixels .* got 1 planes of 40 x 40"),
        (np.ones((9, 6, 40)), {}, ImageError, r"needs two planes of at least 8 pixels .* got 9 planes of 6 x 40"),
        (np.ones((5, 40, 40)), {}, ImageError, r"trains on the planes of the stack, and none of them shows anything"),
        (stack(), {"spacing": 1.1}, OptionError, r"makes voxels as tall as wide, and these are 1.10 times as tall"),
        (stack(), {"spacing": -1.0}, OptionError, r"spacing must be a positive number of pixels, got -1.0"),
        (stack(), {"thickness": 9.0}, OptionError, "thickness must lie between 0.3 and 3, got 9.0"),
        (stack(), {"train_steps": -1}, OptionError, "train_steps must lie between 0 and 5000, got -1"),
    ],
    ids=lambda v: str(v) if isinstance(v, dict) else "",
)
def test_what_cannot_work_gets_a_sentence(image, options, kind, sentence):
    with pytest.raises(kind, match=sentence):
        upscale_z(image, **{**QUICK, **options})


@pytest.mark.slow
def test_noise_is_removed_on_the_way():
    truth = 100 + 1000 * gaussian_filter(np.random.default_rng(1).normal(size=(32, 48, 48)), 2.0).astype("f4")
    noisy = sliced(truth, 2, 1.0) + np.random.default_rng(0).normal(0, 20, (16, 48, 48)).astype("f4")
    told, untold = (upscale_z(noisy, train_steps=10, noise=noise) for noise in (NoiseModel.white(20.0), 0))
    assert np.std(told - truth) < 0.7 * np.std(untold - truth)


def test_consistent_with_noise_gets_a_note():
    with pytest.warns(GenReconWarning, match="consistent with it, noise included: denoise first"):
        upscale_z(stack(), train_steps=0, noise=2.0, consistent=True)


def test_photon_counts_without_read_noise_are_denoised_before_the_training():
    notes = []
    counts = np.random.default_rng(0).poisson(stack() - stack().min() + 5).astype(float)
    options = UpscaleZOptions(noise=NoiseModel(gain=1.0, read_noise=0.0), train_steps=0)
    finish(upscale_z_steps(counts, options), lambda progress: notes.append(progress.note))
    assert any("denoising planes" in note for note in notes)


def test_the_old_keyword_gives_the_same_pixels_and_is_deprecated():
    options = {"factor": 3, "thickness": 1.2, **QUICK}
    with pytest.warns(DeprecationWarning, match=r"call upscale_z\("):
        old = upscale(stack(), along="Z", **options)
    np.testing.assert_array_equal(old, upscale_z(stack(), **options))
    with pytest.raises(OptionError, match="got along='T'"):
        upscale(stack(), along="T")


@pytest.mark.parametrize("option", ["faktor", "learn", "thickness"])
def test_unknown_keyword_of_upscale_is_named(option):
    """Keywords that the old way takes must not make it take any."""
    with pytest.raises(TypeError, match=rf"upscale\(\) got an unexpected keyword argument '{option}'"):
        upscale(stack(), **{option: 2})


@pytest.mark.parametrize(("image", "options"), [(np.ones((40, 40)), {}), (stack(), {"spacing": 1.1})])
def test_what_is_no_stack_is_refused_before_anything_is_measured(image, options):
    with pytest.raises((ImageError, OptionError), match=r"upscale_z (needs a z-stack|makes voxels as tall as wide)"):
        next(upscale_z_steps(image, UpscaleZOptions(**options)))
