"""A denoiser of one's own: from pairs or repeats to a model that denoises, whatever face of the program is used."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from scipy.ndimage import gaussian_filter

from napari_genrecon import denoise, load_model, train
from napari_genrecon.axes import resolve_axes
from napari_genrecon.cli import main
from napari_genrecon.errors import GenReconWarning, ImageError, OptionError
from napari_genrecon.models.registry import find_model, list_models
from napari_genrecon.models.runtime import build_network
from napari_genrecon.noise import NoiseModel
from napari_genrecon.tasks.denoise import measured_planes
from napari_genrecon.tasks.model_fit import notes_on_model
from napari_genrecon.tasks.train.data import training_data
from napari_genrecon.tasks.train.files import paired
from napari_genrecon.training import find_recipe, read_options
from napari_genrecon.training.data.dataset import CropOptions
from napari_genrecon.training.runs.store import find_runs

TINY = {"batch": 2, "steps": 2, "device": "cpu"}
SMALL = CropOptions(size=32, held_out=0.2, n=60)
FLAGS = ["--batch", "2", "--steps", "2", "--device", "cpu", "--size", "32", "--n-crops", "60"]

pytestmark = pytest.mark.usefixtures("own_folders")


def clean(seed=0, side=192):
    image = gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 3)
    return 200 + 4000 * np.clip(image, 0, None)


def noisy(image, seed):
    return np.random.default_rng(seed).poisson(image / 10) * 10.0 + 100


def options(kind, **changes):
    return read_options({"kind": kind, **TINY, **changes})


@pytest.fixture(scope="module")
def repeats():
    return [noisy(clean(), seed).astype("uint16") for seed in range(3)]


# --- the data ---


def test_network_is_trained_on_what_it_sees_in_use(repeats):
    found = training_data(find_recipe("noise2noise"), repeats, SMALL, {})
    kernel = measured_planes(np.stack(repeats), resolve_axes("TYX", (3, 192, 192)))
    frame, y, x = found.place[5]
    plane = repeats[frame].astype(np.float32)
    whole = kernel.channels[0].stabilise(kernel.channels[0].even(plane)[0])
    np.testing.assert_allclose(found.x[5, 0], whole[y : y + 32, x : x + 32], atol=1e-3)
    assert found.told[5].tolist() == pytest.approx([1.0, *kernel.channels[0].noise.correlations])


def test_target_of_a_repeat_is_the_mean_of_the_others_and_never_itself(repeats):
    found = training_data(find_recipe("noise2noise"), repeats, SMALL, {})
    residual = (found.targets - found.x).std()
    assert found.measured["frames"] == 2
    assert residual == pytest.approx(np.sqrt(1 + 1 / 2), rel=0.1)  # in noise s.d.
    assert np.corrcoef(found.x.ravel(), found.targets.ravel())[0, 1] < 0.99


def test_frame_of_a_movie_is_learnt_from_its_neighbour():
    movie = np.stack([noisy(clean() + 40 * t, t) for t in range(4)]).astype(np.float32)
    found = training_data(find_recipe("noise2noise"), movie, SMALL, {"axes": "TYX"})
    step = np.median((found.targets - found.x).mean(axis=(1, 2, 3))[found.place[:, 0] < 3])
    assert step > 0
    last = (found.targets - found.x).mean(axis=(1, 2, 3))[found.place[:, 0] == 3]
    assert np.median(last) < 0  # from the frame before
    assert any("frames along T is learnt from its neighbour" in note for note in found.notes)


def test_movie_in_which_things_move_gets_a_note_or_is_refused():
    def movie(step):
        """Every second frame has its upper half moved by so many pixels."""
        frames = np.stack([clean() / 10 + 400] * 4)
        frames[1::2, :96] = np.roll(frames[1::2, :96], step, 2)
        return np.random.default_rng(9).normal(frames, 4)

    recipe, where = find_recipe("noise2noise"), {"axes": "TYX"}
    assert "things move" not in "; ".join(training_data(recipe, movie(0), SMALL, where).notes)
    assert "What moves is learnt to be blurred" in "; ".join(training_data(recipe, movie(1), SMALL, where).notes)
    with pytest.raises(ImageError, match="things move, and would be learnt to be blurred"):
        training_data(recipe, movie(8), SMALL, where)


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (12.0, 5000.0), (0.01, -3.0)])
def test_brightness_of_targets_does_not_matter(gain, offset):
    image = clean()
    found = training_data(
        find_recipe("care"), noisy(image, 0), SMALL, {"targets": (gain * image + offset).astype(np.float32)}
    )
    kernel = measured_planes(noisy(image, 0), resolve_axes(None, image.shape))
    channel = kernel.channels[0]
    _, y, x = found.place[0]
    grey = channel.transform.inverse(found.targets[0, 0] + channel.centre)
    np.testing.assert_allclose(grey.mean(), image[y : y + 32, x : x + 32].mean() + 100, rtol=0.03)


def test_channels_become_planes_with_noise_of_their_own():
    two = np.stack([noisy(clean(), 0), 3 * noisy(clean(1), 1)])
    targets = np.stack([clean(), clean(1)])
    found = training_data(find_recipe("care"), two, SMALL, {"targets": targets, "axes": "CYX"})
    assert found.x.shape[1:] == found.targets.shape[1:] == (1, 32, 32)
    assert found.measured["channels"] == 2
    assert (found.targets - found.x).std() == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize(
    ("images", "where", "sentence"),
    [
        (clean(), {}, "no clean ones"),
        (noisy(clean(), 0), {"targets": clean()[:150]}, "must match pixel by pixel, channel by channel"),
        (noisy(clean(), 0), {"targets": clean(5)}, "the image and its target do not match"),
        (noisy(clean(), 0), {"targets": np.roll(clean(), 6, 1)}, "are shifted by 0 px along y and 6 px along x"),
        (clean(), {"targets": noisy(clean(), 0)}, "the target is noisier than the image"),
        (noisy(clean(), 0), {"targets": noisy(clean(), 0)}, "the image and its target have the same pixels"),
        (noisy(clean(), 0), {"targets": np.full((192, 192), 9.0)}, r"one of the two is constant \(9\)"),
        (noisy(clean(), 0), {"targets": np.minimum(clean(), 240)}, "% of the pixels of the target are at its largest"),
        (
            [noisy(clean(), 0)] * 2,
            {"targets": [clean()]},
            "2 images and 1 targets were given: give one target for each image",
        ),
        (noisy(clean(), 0)[:64, :64], {"targets": clean()[:64, :64]}, "too small to hold out|are needed"),
    ],
    ids=["none", "shape", "other-field", "shift", "swapped", "itself", "constant", "saturated", "count", "too-little"],
)
def test_pairs_that_cannot_be_trained_on_get_a_sentence(images, where, sentence):
    with pytest.raises((ImageError, OptionError), match=sentence):
        training_data(find_recipe("care"), images, SMALL, where)


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (noisy(clean(), 0), "repeats of a field are needed"),
        ([noisy(clean(), 0), noisy(clean(), 1)[:100]], "the repeats have different shapes"),
        ([noisy(clean(), 0), noisy(clean(7), 1)], "frames 0 and 1 do not match"),
    ],
    ids=["one", "shapes", "other-field"],
)
def test_repeats_that_cannot_be_trained_on_get_a_sentence(images, sentence):
    with pytest.raises(ImageError, match=sentence):
        training_data(find_recipe("noise2noise"), images, SMALL, {})


def test_crops_whose_target_is_not_finite_are_left_out():
    target = clean()
    target[10, 10] = np.nan
    recipe = find_recipe("care")
    whole, holed = (
        training_data(recipe, noisy(clean(), 0), replace(SMALL, n=None), {"targets": t}) for t in (clean(), target)
    )
    assert 0 < len(holed) < len(whole)
    assert np.isfinite(holed.targets).all()


def test_targets_for_repeats_are_refused(repeats):
    with pytest.raises(OptionError, match="Noise2Noise learns from repeats alone: leave out the targets"):
        training_data(find_recipe("noise2noise"), repeats, SMALL, {"targets": repeats})


def test_options_that_a_denoiser_cannot_have_get_a_sentence(repeats):
    with pytest.raises(OptionError, match="elastic must be 0 for a denoiser, got 1"):
        options("care", elastic=1.0)
    with pytest.raises(OptionError, match="is judged on held-out crops, and there are none"):
        train("noise2noise", repeats, options=options("noise2noise"), crops=replace(SMALL, held_out=0.0))
    assert find_runs() == []


# --- the model ---


@pytest.mark.slow
def test_model_that_is_not_better_says_so_and_gives_the_pixels_of_the_bundled_one(repeats):
    model = train("noise2noise", repeats, name="mito", crops=SMALL, options=options("noise2noise", rate=1e-9))
    assert model.card.calibration["share"] == 0
    assert "not better than the bundled model, which is kept" in model.card.warnings[0]
    with pytest.warns(GenReconWarning, match="not better than the bundled model, which is kept"):
        mine = denoise(repeats[0], model="mito", device="cpu")
    np.testing.assert_array_equal(mine, denoise(repeats[0], device="cpu"))


def test_weights_that_make_it_worse_are_given_up(repeats):
    recipe = find_recipe("noise2noise")
    found = training_data(recipe, repeats, SMALL, {})
    start = load_model("denoise-2d", "cpu")
    network, rng = build_network(start.card), np.random.default_rng(0)
    weights = {name: w + 0.05 * w.std() * rng.normal(size=w.shape) for name, w in start.weights().items()}
    network.load_state_dict({name: torch.from_numpy(w.astype("f4")) for name, w in weights.items()})
    score = recipe.score(recipe.model(start.card, network, "cpu"), found)
    assert score.card["calibration"]["share"] == 0
    assert "not better than the bundled model" in score.card["warnings"][0]
    for name, weight in start.weights().items():
        np.testing.assert_array_equal(score.weights[name], weight)


@pytest.fixture
def _spoiled(monkeypatch):
    """Start from bundled weights that are worse than they could be, so that little training helps."""
    from napari_genrecon.models import runtime

    real = runtime.trained_network

    def worse(card, weights=None):
        network = real(card, weights)
        if not card.path and weights is None:
            network.tail.weight.data *= 0.8
        return network

    monkeypatch.setattr(runtime, "trained_network", worse)
    runtime.load_network.cache_clear()
    yield
    runtime.load_network.cache_clear()


@pytest.mark.slow
@pytest.mark.usefixtures("_spoiled")
def test_training_that_helps_is_kept_and_used(repeats):
    model = train(
        "care", repeats[0], (clean() + 100).astype("f4"), name="mito", crops=SMALL,
        options=options("care", steps=20, batch=4),
    )  # fmt: skip
    card = find_model("mito", "denoise")
    assert card.calibration["gain_95"][0] > 0.1
    assert 0.1 < card.calibration["share"] <= 1
    assert "dB" in card.summary
    assert not card.warnings
    other = noisy(clean(3), 9).astype("uint16")
    errors = [np.mean((denoise(other, model=m, device="cpu") - clean(3) - 100) ** 2) for m in ("auto", "mito")]
    assert errors[1] < 0.98 * errors[0]
    assert model.card.network == card.network
    tiled = denoise(other, model="mito", tile=64, device="cpu")
    np.testing.assert_allclose(tiled, denoise(other, model="mito", device="cpu"), atol=0.05)


@pytest.mark.slow
def test_command_line_and_script_train_the_same_denoiser(tmp_path, capsys):
    for seed in range(2):
        image = clean(seed)
        for folder, pixels in (("low", noisy(image, seed)), ("high", image)):
            (tmp_path / folder).mkdir(exist_ok=True)
            tifffile.imwrite(
                tmp_path / folder / f"{seed}.tif", pixels.astype("uint16"), imagej=True, resolution=(5, 5),
                metadata={"unit": "um"},
            )  # fmt: skip
    assert main(["train", "care", "low", "high", "--name", "command", *FLAGS]) == 0
    said = capsys.readouterr()
    assert "2 pairs by name" in said.err
    assert "trained command  (denoise, yours" in said.out or "trained command  (denoise" in said.out
    low, high = ([tifffile.imread(tmp_path / kind / f"{seed}.tif") for seed in range(2)] for kind in ("low", "high"))
    made = train("care", low, high, name="script", crops=SMALL, options=options("care"))
    for name, weight in load_model("command", "cpu").weights().items():
        np.testing.assert_array_equal(weight, made.weights()[name])
    assert [card.name for card in list_models("denoise")] == ["denoise-2d", "command", "script"]
    assert find_model("command").pixel_size == pytest.approx((0.2, 0.2))
    assert main(["denoise", "low/0.tif", "--model", "command", "-o", "out.ome.tif"]) == 0
    written = tifffile.imread("out.ome.tif")
    assert (written.shape, written.dtype) == ((192, 192), np.float32)
    assert abs(written.mean() - low[0].mean()) < 5


def test_two_inputs_or_named_targets_are_needed_on_the_command_line(tmp_path, capsys):
    for name in "abc":
        tifffile.imwrite(f"{name}.tif", noisy(clean(), 0).astype("uint16"))
    assert main(["train", "care", "a.tif", "b.tif", "c.tif", *FLAGS]) == 1
    assert "CARE trains on pairs, and 3 inputs were given" in capsys.readouterr().err


# --- pairs of files ---


@pytest.mark.parametrize(
    ("images", "targets", "pairs", "note"),
    [
        ("a.tif b.tif", "b.ome.tif a.ome.tif", "a a b b", "2 pairs by name"),
        ("low1.tif low2.tif", "high1.tif high2.tif", "low1 high1 low2 high2", "2 pairs by order"),
        ("a.tif b.tif", "b.tif c.tif", "b b", "2 files have no partner"),
        ("x.tif", "y.tif", "x y", ""),
    ],
)
def test_files_are_paired_by_name_or_else_by_order(tmp_path, images, targets, pairs, note):
    found, notes = paired(*([tmp_path / name for name in names.split()] for names in (images, targets)))
    assert [path.name.partition(".")[0] for pair in found for path in pair] == pairs.split()
    assert note in "; ".join(notes)


def test_files_that_cannot_be_paired_get_a_sentence(tmp_path):
    with pytest.raises(OptionError, match="2 images and 1 targets, and none have the same name"):
        paired([tmp_path / "a.tif", tmp_path / "b.tif"], [tmp_path / "c.tif"])


# --- where it fits ---


@pytest.mark.parametrize(
    ("noise", "size", "sentence"),
    [
        ({}, 0.2, ""),
        ({"read_noise": 40.0}, 0.2, "its signal is 2.5 times its noise, theirs 10 times"),
        ({"rho_x": 0.6}, 0.2, "has a correlation of 0.60, theirs had 0"),
        ({}, 0.1, "its pixels have 0.1 micrometres, theirs 0.2"),
        ({"channels": 2}, None, "it has 2 channels, they had 1"),
    ],
    ids=["alike", "darker", "correlated", "pixels", "channels"],
)
def test_image_unlike_the_training_data_gets_a_note(noise, size, sentence):
    channels = noise.pop("channels", 1)
    card = replace(
        find_model("denoise-2d"), name="mito", pixel_size=(0.2, 0.2), units=("micrometer",) * 2,
        calibration={"data": {"snr": [10.0, 10.0], "rho": [0.0, 0.0], "channels": 1}},
    )  # fmt: skip
    model = NoiseModel(**{"read_noise": 10.0, "levels": (0.0, 50.0, 100.0), **noise})
    notes = notes_on_model(card, [model] * channels, size)
    assert bool(notes) == bool(sentence)
    assert sentence in "".join(notes)


def test_bundled_model_has_nothing_to_say_about_the_image():
    assert notes_on_model(find_model("denoise-2d"), [NoiseModel.white(5.0)], 0.1) == []
