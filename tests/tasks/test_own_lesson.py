"""The laws of learning from the image that is enlarged: it helps, or it changes nothing and says so."""

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_genrecon import upscale
from napari_genrecon.engine.resample import shrink
from napari_genrecon.engine.run import finish, retold
from napari_genrecon.errors import GenReconWarning, InferenceError
from napari_genrecon.io.check import methods_text
from napari_genrecon.tasks import lessons as memory
from napari_genrecon.tasks.upscale import UpscaleOptions, expected_seconds, upscale_steps
from napari_genrecon.training import own_image
from napari_genrecon.training.own_image import OwnLesson, draw_own, kept_out, smallest_side, train_on_image

QUICK = {"learn": True, "train_steps": 2, "noise": 0}


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch):
    monkeypatch.setattr(memory, "_remembered", {})


def wall(side=192):
    """Bricks of two sizes with narrow joints: what is to be learnt at one size shows at the other."""
    y, x = np.indices((side, side)).astype(float)
    image = np.zeros((side, side))
    for high, wide in ((14, 30), (7, 15)):
        row = y // high
        joint = (y % high < 1.3) | ((x + row % 2 * wide / 2) % wide < 1.3)
        image += np.where(joint, 40.0, 100.0) + 5 * np.sin(row * 12.9)
    return gaussian_filter(image, 0.5)


def texture(shape=(80, 90), seed=0):
    return 100 + 200 * gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.2)


@pytest.fixture
def steps(monkeypatch):
    """Counts the steps of training."""
    taken = []

    def train(*args):
        return retold(train_on_image(*args), lambda loss: taken.extend([loss] * (loss is not None)) or loss)

    monkeypatch.setattr(own_image, "train_on_image", train)
    return taken


@pytest.fixture
def always_used(monkeypatch):
    """However little was learnt, it is used."""
    monkeypatch.setattr(own_image, "_LEAST_GAIN", -99.0)
    monkeypatch.setattr(own_image, "_SHARES", (1.0,))
    monkeypatch.setattr(own_image, "_misfit", lambda *args: 0.0)


@pytest.mark.slow
def test_a_wall_becomes_sharper_and_the_record_says_by_how_much():
    truth = wall()
    image = shrink(truth, 2)
    plain = upscale(image, noise=0)
    result = finish(upscale_steps(image, UpscaleOptions(noise=0, learn=True, train_steps=25)))
    inner = np.s_[4:-4, 4:-4]
    before, after = (np.mean(np.square(made - truth)[inner]) for made in (plain, result.data))
    trained = result.record["trained"]
    assert 10 * np.log10(before / after) > 0.2
    assert trained["gain"] > 0.2
    assert 0 < trained["share"] < 1
    assert f"{trained['gain']:.2f} dB better on the part kept out of the training" in result.record["model"]["chosen"]


@pytest.mark.slow
def test_a_pattern_of_one_size_does_not_mislead():
    """Rings that look like other rings once they are shrunk: what is learnt from those is wrong for these."""
    truth = gaussian_filter(200.0 * (np.hypot(*np.indices((256, 256))) % 9 < 4.5), 0.5)
    image = shrink(truth, 2)
    plain = upscale(image, noise=0)
    learnt = finish(upscale_steps(image, UpscaleOptions(noise=0, learn=True, train_steps=25)))
    before, after = (np.mean(np.square(made - truth)[4:-4, 4:-4]) for made in (plain, learnt.data))
    assert after < 1.01 * before


def test_what_does_not_help_is_not_used_and_said(monkeypatch):
    monkeypatch.setattr(own_image, "_LEAST_GAIN", 99.0)
    image = texture()
    with pytest.warns(GenReconWarning, match="learning from the image did not make the network better for it"):
        learnt = upscale(image, **QUICK)
    np.testing.assert_array_equal(learnt, upscale(image, noise=0))
    record = finish(upscale_steps(image, UpscaleOptions(**QUICK))).record
    assert (record["trained"]["share"], record["trained"]["gain"]) == (0, 0)


def test_training_that_failed_is_not_used(monkeypatch):
    """Weights that are not finite must not be mixed in, not even with a share of nothing."""
    monkeypatch.setattr(own_image, "OwnLesson", lambda **given: OwnLesson(**given, rate=1e38))
    image = texture()
    with pytest.warns(GenReconWarning, match="did not make the network better"):
        np.testing.assert_array_equal(upscale(image, **QUICK), upscale(image, noise=0))


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize(("shape", "axes"), [((140, 150), "YX"), ((2, 140, 150), "CYX"), ((140, 150, 3), "YXS")])
@pytest.mark.slow
def test_every_factor_and_every_channel(always_used, factor, shape, axes):
    image = np.moveaxis(texture((3, 140, 150)), 0, -1) if axes == "YXS" else texture(shape)
    result = finish(upscale_steps(image, UpscaleOptions(factor=factor, axes=axes, **QUICK)))
    assert result.data.shape == tuple(n * factor if a in "YX" else n for n, a in zip(shape, axes, strict=True))
    assert result.record["trained"]["planes"] == {"YX": 1, "CYX": 2, "YXS": 3}[axes]
    assert np.abs(result.data - upscale(image, factor=factor, noise=0, axes=axes)).max() > 0.01


def test_the_same_seed_gives_the_same_pixels_and_another_does_not(always_used):
    image = texture()
    first = upscale(image, seed=3, **QUICK)
    memory._remembered.clear()
    np.testing.assert_array_equal(upscale(image, seed=3, **QUICK), first)
    assert (upscale(image, seed=4, **QUICK) != first).any()


@pytest.mark.parametrize("changed", [{"consistent": True}, {"self_ensemble": True}, {"tile": 40}], ids=str)
def test_what_was_learnt_for_a_preview_is_not_learnt_again(always_used, steps, changed):
    image = texture()
    finish(upscale_steps(image, UpscaleOptions(**QUICK), lazy=True))
    assert len(steps) == 2
    result = finish(upscale_steps(image, UpscaleOptions(**QUICK, **changed)))
    assert len(steps) == 2
    memory._remembered.clear()
    anew = finish(upscale_steps(image, UpscaleOptions(**QUICK, **changed)))
    assert len(steps) == 4
    np.testing.assert_array_equal(result.data, anew.data)
    assert result.record["trained"] == anew.record["trained"]


@pytest.mark.parametrize("changed", [{"seed": 1}, {"train_steps": 3}, {"factor": 3}], ids=str)
def test_other_lessons_are_learnt(always_used, steps, changed):
    image, options = texture((120, 120)), {**QUICK, **changed}
    first, other = (finish(upscale_steps(image, UpscaleOptions(**given))) for given in (QUICK, options))
    assert len(steps) == 2 + options["train_steps"]
    assert first.record["trained"] != other.record["trained"]


def test_lazy_equals_eager(always_used):
    import dask.array as da

    image = texture((2, 80, 90))
    lazy = upscale(da.from_array(image, chunks=(1, 50, 50)), tile=32, **QUICK)
    assert isinstance(lazy, da.Array)
    np.testing.assert_allclose(lazy.compute(), upscale(image, **QUICK), atol=2e-3)


def test_result_follows_gain_and_offset(always_used):
    image = texture()
    expected = 3.0 * upscale(image, **QUICK).astype(float) - 50
    assert np.abs(upscale(3.0 * image - 50, **QUICK) - expected).max() <= 0.01  # of a range of 600


def test_pixels_that_are_kept_out_are_a_quarter_and_teach_nothing():
    plane = texture((128, 192)).astype("f4")
    out = kept_out(plane.shape, 2)
    assert out.mean() == 0.25
    lesson = OwnLesson(factor=2, steps=1, seed=0)
    pair = own_image._pair(plane, 2)
    changed = own_image._pair(plane, 2)
    changed.large[...] = np.where(out, 1e6, plane)
    for step in range(5):
        _, large, weight = draw_own([pair], lesson, step)
        _, other, same = draw_own([changed], lesson, step)
        np.testing.assert_array_equal(weight, same)
        np.testing.assert_array_equal(large * weight, other * weight)


def test_progress_is_a_share_of_all_that_is_to_be_done():
    told = []
    finish(upscale_steps(texture(), UpscaleOptions(**QUICK | {"train_steps": 5})), told.append)
    known = [progress for progress in told if progress.total]
    assert len({progress.total for progress in known}) == 1
    shares = [progress.fraction for progress in known]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert known[0].note == "learning from the image: 1 of 5 steps"
    assert known[0].fraction < 0.3
    trials = [progress.fraction for progress in known if progress.note == "judging what was learnt"]
    assert trials[-1] > trials[0]  # they take as long as some steps


def test_closing_the_steps_stops_between_two_steps_of_training():
    running = upscale_steps(texture(), UpscaleOptions(**QUICK | {"train_steps": 1000}))
    for progress in running:
        if progress.note.startswith("learning"):
            break
    running.close()
    assert progress.note == "learning from the image: 1 of 1000 steps"
    assert not memory._remembered


def test_expected_time_counts_the_training_once():
    image, options = texture(), UpscaleOptions(**QUICK)
    plain, before = (expected_seconds(image, given) for given in (UpscaleOptions(noise=0), options))
    assert before > 2 * plain
    finish(upscale_steps(image, options, lazy=True))
    assert expected_seconds(image, options) == pytest.approx(plain)


@pytest.mark.parametrize(
    ("image", "options", "reason"),
    [
        (texture(), {"noise": 20.0}, "noise is removed from it, and what remains would be learnt"),
        (texture(), {"noise": 0, "model": "upscale-2d-microscope"}, "noise is removed from it"),
        (np.full((90, 90), 7), {"noise": 0}, r"it needs a plane of 68 x 68 pixels or more"),
        (texture((60, 200)), {"noise": 0}, r"it needs a plane of 68 x 68 pixels or more"),
        (texture((110, 110)), {"noise": 0, "factor": 4}, r"it needs a plane of 136 x 136 pixels or more"),
    ],
    ids=["noisy", "denoising model", "flat", "low", "small for 4"],
)
def test_what_cannot_be_learnt_from_is_enlarged_without_and_said(steps, image, options, reason):
    with pytest.warns(GenReconWarning, match=f"learning from the image was left out: {reason}"):
        result = upscale(image, learn=True, **options)
    assert not steps
    np.testing.assert_array_equal(result, upscale(image, **options))
    plain, learning = (expected_seconds(image, UpscaleOptions(learn=learn, **options)) for learn in (False, True))
    assert learning == pytest.approx(plain)


def test_a_border_of_nan_is_no_hindrance(always_used):
    image = texture()
    holed = image.copy()
    holed[:5] = holed[:, -4:] = np.nan
    whole, inside = (finish(upscale_steps(given, UpscaleOptions(**QUICK))).record for given in (holed, image[5:, :-4]))
    assert whole["trained"]["loss"] == pytest.approx(inside["trained"]["loss"], rel=1e-6)


@pytest.mark.parametrize("dtype", ["i1", "i2"])
def test_an_image_that_spans_its_dtype_is_not_taken_for_a_flat_one(dtype):
    """The difference of its extremes does not fit into its own dtype: -128 from 127 is -1 in int8."""
    unit = texture() - 100
    top = np.iinfo(dtype).max
    image = np.clip(unit * top * 1.5 / np.abs(unit).max(), -top - 1, top).astype(dtype)
    assert image.min() < 0.99 * -top
    assert image.max() > 0.99 * top
    record = finish(upscale_steps(image, UpscaleOptions(**QUICK))).record
    assert record["trained"]["planes"] == 1


@pytest.mark.parametrize("image", [1e-300 * texture(), 2**59 + texture().astype(int) % 20], ids=["tiny", "far off"])
def test_differences_that_are_lost_in_floats_teach_nothing_and_break_nothing(image):
    with pytest.warns(GenReconWarning, match="did not make the network better"):
        assert np.isfinite(upscale(image, **QUICK)).all()


@pytest.mark.parametrize("count", [1, 3, 12])
@pytest.mark.parametrize("side", [34, 100, 317, 400, 1025])
def test_what_is_judged_is_spread_over_the_plane_and_takes_no_more_time_for_a_large_one(side, count):
    planes = [np.zeros((2 * side, 2 * side + 40), np.float32)] * count
    windows = [own_image._windows((side, side + 20), count)] * count
    seen = np.zeros((side, side + 20), int)
    for rows, columns in windows[0]:
        assert seen[rows, columns].size == (rows.stop - rows.start) * (columns.stop - columns.start)
        assert min(seen[rows, columns].shape) >= 34
        seen[rows, columns] += 1
    assert seen.max() == 1
    assert np.abs(seen - seen[::-1, ::-1]).mean() < 0.1  # no side is preferred
    _, pixels = own_image.trials(planes, 2)
    assert pixels == count * seen.sum() <= max(own_image._JUDGED, count * 34 * 60)


def test_every_quarter_of_a_large_plane_has_a_say():
    """What is flat in the middle is judged by what is around it."""
    plane = np.full((1600, 1600), 0.0, np.float32)
    plane[::2, :300] = plane[::2, -300:] = plane[:300:2] = plane[-300::2] = 1
    judged = own_image._judged([own_image._pair(plane, 2)], 2)
    assert sum(np.ptp(pair.large) > 0 for pair in judged) >= len(judged) / 2


@pytest.mark.parametrize("said", ["CUDA error: something failed", "CUDA out of memory"], ids=["failed", "memory"])
@pytest.mark.parametrize("where", ["_loss", "_enlarged"], ids=["training", "trial"])
def test_torch_error_while_learning_is_told_as_one_of_ours(monkeypatch, where, said):
    def fail(*args):
        raise RuntimeError(said)

    monkeypatch.setattr(own_image, where, fail)
    error, match = (MemoryError, said) if "memory" in said else (InferenceError, f"'upscale-2d' failed.*{said}")
    with pytest.raises(error, match=match):
        upscale(texture(), **QUICK)
    assert not memory._remembered


def test_smallest_side_is_enough():
    for factor in (2, 3, 4):
        side = smallest_side(factor)
        record = finish(upscale_steps(texture((side, side)), UpscaleOptions(factor=factor, **QUICK))).record
        assert record["trained"]["steps"] == 2


def test_record_can_be_stored_and_tells_the_seed():
    record = finish(upscale_steps(texture(), UpscaleOptions(**QUICK, seed=7))).record
    assert json.loads(json.dumps(record)) == record
    assert record["seed"] == 7
    assert record["options"]["learn"] is True


def test_methods_text_tells_what_became_of_the_training(always_used, monkeypatch):
    used = finish(upscale_steps(texture(), UpscaleOptions(**QUICK))).record
    assert "The model was trained further for 2 steps on 1 plane of the image itself." in methods_text(used)
    mixed = {**used, "trained": {**used["trained"], "share": 0.3}}
    assert "of the image itself; its weights are 30% those and 70% those of the package." in methods_text(mixed)
    monkeypatch.setattr(own_image, "_LEAST_GAIN", 99.0)
    memory._remembered.clear()
    tried = finish(upscale_steps(texture(), UpscaleOptions(**QUICK))).record
    assert "was tried and did not help; its weights are those of the package." in methods_text(tried)
