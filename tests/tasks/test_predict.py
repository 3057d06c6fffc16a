"""Models that make other images: learnt from pairs with channels of their own, and used plane by plane."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from napari_genrecon import predict, train
from napari_genrecon.cli import main
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import ImageError, OptionError, UnknownModelError, WeightsError
from napari_genrecon.io.reader import open_image
from napari_genrecon.models.card import ModelCard, PerAxis
from napari_genrecon.models.registry import find_model, save_own
from napari_genrecon.models.runtime import build_network
from napari_genrecon.tasks import find_task
from napari_genrecon.tasks.files import file_steps
from napari_genrecon.tasks.predict import PredictOptions, predict_steps
from napari_genrecon.tasks.train.data import training_data
from napari_genrecon.training import find_recipe, read_options
from napari_genrecon.training.data.dataset import CropOptions
from napari_genrecon.training.session import train_steps

pytestmark = [
    pytest.mark.filterwarnings("ignore::napari_genrecon.errors.GenReconWarning"),
    pytest.mark.usefixtures("own_folders"),
]

NAME, SMALL = "image2image", CropOptions(size=32, held_out=0.2, n=60)


def model(channels: int, outputs: int, name: str = "stain") -> ModelCard:
    """A model with random weights, whose results lie around 1000 times the number of the channel."""
    import torch

    torch.manual_seed(0)
    card = ModelCard(
        name=name, task="predict", network="image-unet", shape={"outputs": outputs}, channels=channels,
        halo=PerAxis.planes(96, 0), stride=PerAxis.planes(8, 1), low=(0.0,) * channels, high=(200.0,) * channels,
        dtype="uint16", pixel_size=(0.1, 0.1), units=("micrometer",) * 2,
        result_low=tuple(1000.0 * (k + 1) - 100 for k in range(outputs)),
        result_high=tuple(1000.0 * (k + 1) + 100 for k in range(outputs)),
        result_names=tuple(f"stain {k}" for k in range(outputs)),
    )  # fmt: skip
    weights = {key: 0.3 * weight for key, weight in build_network(card).state_dict().items()}
    return save_own(card, {key: weight.numpy() for key, weight in weights.items()})


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype("uint16")


def cells(seed: int = 0, side: int = 192) -> np.ndarray:
    return np.clip(gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 3), 0, None)


# --- the task ---


def test_tiles_equal_the_whole_and_lazy_equals_eager() -> None:
    model(2, 3)
    whole = predict(image(2, 150, 130), axes="CYX", device="cpu")
    assert whole.shape == (3, 150, 130)
    cut = predict(image(2, 150, 130), axes="CYX", device="cpu", tile=32)
    np.testing.assert_allclose(cut, whole, atol=1e-2)  # of 200 grey values
    lazy = predict(da.from_array(image(2, 150, 130), chunks=(1, 50, 50)), axes="CYX", device="cpu", tile=32)
    assert isinstance(lazy, da.Array)
    np.testing.assert_array_equal(lazy.compute(), cut)


@pytest.mark.parametrize(
    ("shape", "axes", "channels", "outputs", "expected"),
    [
        ((40, 48), "YX", 1, 1, (40, 48)),
        ((40, 48), "YX", 1, 2, (2, 40, 48)),
        ((2, 40, 48), "CYX", 2, 1, (1, 40, 48)),
        ((3, 2, 40, 48), "TCYX", 2, 3, (3, 3, 40, 48)),
        ((40, 48, 2), "YXC", 2, 3, (40, 48, 3)),
        ((40, 48, 4), "YXS", 3, 3, (40, 48, 3)),
        ((2, 3, 40, 48), "ZTYX", 1, 2, (2, 2, 3, 40, 48)),
    ],
    ids=["plain", "new channels", "fewer channels", "movie", "channels last", "RGBA", "stack"],
)
def test_result_has_the_channels_of_the_targets_in_the_place_of_those_of_the_image(
    shape: tuple[int, ...], axes: str, channels: int, outputs: int, expected: tuple[int, ...]
) -> None:
    model(channels, outputs)
    result = finish(predict_steps(image(*shape), PredictOptions(axes=axes, device="cpu")))
    assert result.data.shape == expected
    letters = result.axes.letters
    at = next((letters.index(letter) for letter in "CS" if letter in letters), None)
    means = [1000.0] if at is None else np.moveaxis(result.data, at, 0).reshape(outputs, -1).mean(1).tolist()
    assert all(abs(mean - 1000 * (k + 1)) < 500 for k, mean in enumerate(means))


def test_every_plane_is_made_from_its_own_channels() -> None:
    model(2, 2)
    movie = image(3, 2, 40, 48)
    made = predict(movie, axes="TCYX", device="cpu")
    np.testing.assert_array_equal(made[1], predict(movie[1], axes="CYX", device="cpu"))
    swapped = predict(movie[1, ::-1], axes="CYX", device="cpu")
    assert np.abs(swapped - made[1]).max() > 1


def test_region_has_the_pixels_of_the_whole() -> None:
    model(1, 2)
    whole = predict(image(150, 130), device="cpu")
    part = predict(image(150, 130), device="cpu", region="Y=20:60, X=30:100")
    np.testing.assert_allclose(part, whole[:, 20:60, 30:100], atol=1e-2)


def test_pixels_that_are_not_finite_in_any_channel_stay_unknown_and_spoil_nothing_else() -> None:
    model(2, 2)
    seen = image(2, 40, 48).astype(np.float32)
    seen[1, 5, 7] = np.nan
    made = predict(seen, axes="CYX", device="cpu")
    assert np.argwhere(np.isnan(made)).tolist() == [[0, 5, 7], [1, 5, 7]]


def test_image_unlike_those_of_the_training_is_said_to_be_so() -> None:
    model(1, 1)
    like, bright, dim = (
        finish(predict_steps(pixels, PredictOptions(device="cpu", pixel_size=0.1))).record["warnings"]
        for pixels in (image(40, 48), 50 * image(40, 48), image(40, 48) // 40)
    )
    coarse = finish(predict_steps(image(40, 48), PredictOptions(device="cpu", pixel_size=0.4))).record["warnings"]
    assert not any("unlike" in sentence for sentence in like)
    assert any("the grey values of channel 0 go from" in sentence for sentence in bright)
    assert any("the grey values of channel 0 go from" in sentence for sentence in dim)
    assert any("its pixels have 0.4 micrometres, theirs 0.1" in sentence for sentence in coarse)
    assert all("was inferred from other images, not measured" in found[0] for found in (like, bright, dim))


@pytest.mark.parametrize(
    ("pixels", "options", "error", "words"),
    [
        (image(3, 40, 48), {"axes": "CYX"}, ImageError, r"has 3 channels .*'stain' was trained on 2: give those"),
        (image(40, 48), {"axes": "YX"}, ImageError, r"has 1 channel .*'stain' was trained on 2"),
        (image(2, 40, 48), {"axes": "CYX", "region": "C=1"}, OptionError, "predicted together: leave C out"),
        (image(2, 40, 48), {"axes": "CYX", "model": "other"}, UnknownModelError, "no 'predict' model named 'other'"),
        (image(2, 40, 48), {"axes": "CYX", "pixel_size": -1.0}, OptionError, "positive number of micrometres"),
    ],
    ids=["more channels", "fewer channels", "one channel", "model", "pixel size"],
)
def test_what_cannot_work_is_refused_in_a_sentence(pixels: Any, options: Any, error: Any, words: str) -> None:
    model(2, 1)
    with pytest.raises(error, match=words):
        predict(pixels, **options)


def test_without_a_model_or_with_several_it_asks_for_one() -> None:
    with pytest.raises(UnknownModelError, match="there is no model for 'predict' yet: train one"):
        predict(image(40, 48))
    model(1, 1), model(1, 1, name="other")
    with pytest.raises(OptionError, match=r"several models for 'predict' \(other, stain\): choose one"):
        predict(image(40, 48))
    assert predict(image(40, 48), model="other", device="cpu").shape == (40, 48)


def test_colours_that_would_not_stay_colours_are_refused() -> None:
    model(3, 1)
    with pytest.raises(ImageError, match="the image is RGB and 'stain' makes 1 channels: give the image as channels"):
        predict(image(40, 48, 3), axes="YXS")


@pytest.mark.parametrize("changed", [{"result_high": (0.0,)}, {"result_names": ()}, {"result_low": (1.0, 2.0)}])
def test_card_whose_results_have_no_range_is_refused(changed: dict[str, Any]) -> None:
    values = {**model(1, 1).to_dict(), **changed}
    with pytest.raises(WeightsError, match="a model that makes images needs a range"):
        ModelCard.from_dict(values)


def test_command_line_and_python_give_the_same_pixels_with_names_of_the_channels(tmp_path: Path) -> None:
    model(2, 3)
    tifffile.imwrite(
        tmp_path / "a.ome.tif", image(2, 40, 48), metadata={"axes": "CYX", "Channel": {"Name": ["x", "y"]}}
    )
    assert main(["predict", "a.ome.tif", "-o", "b.ome.tif", "--device", "cpu"]) == 0
    written = open_image(tmp_path / "b.ome.tif")
    np.testing.assert_array_equal(np.asarray(written.data), predict(image(2, 40, 48), axes="CYX", device="cpu"))
    assert written.channel_names == ("stain 0", "stain 1", "stain 2")
    assert written.record["nature"] == "predicted"
    assert written.record["model"]["sha256"] == find_model("stain").sha256
    assert main(["replay", "b.ome.tif"]) == 0


# --- the training ---


def pair() -> tuple[np.ndarray, np.ndarray]:
    """An image, and two channels that are to be made of it: the sharp one, and its edges, darker where it is bright."""
    sharp = cells()
    seen = np.random.default_rng(1).normal(100 + 3000 * gaussian_filter(sharp, 1.5), 5)
    return seen.astype(np.float32), np.stack([500 + 1000 * sharp, 900 - 2000 * sharp**2]).astype(np.float32)


def options(**changes: Any) -> Any:
    return read_options({"kind": NAME, "batch": 2, "steps": 2, "device": "cpu", **changes})


def test_model_of_two_steps_keeps_what_the_targets_were() -> None:
    seen, wanted = pair()
    made = train(NAME, seen, wanted, name="mine", crops=SMALL, options=options(), pixel_size=(0.2, 0.2))
    card = find_model("mine", "predict")
    assert (card.channels, card.shape) == (1, {"outputs": 2})
    assert card.result_high[0] == pytest.approx(wanted[0].max(), rel=0.2)
    result = predict(seen, model="mine", device="cpu")
    assert np.corrcoef(result[0].ravel(), wanted[0].ravel())[0, 1] > 0.8  # it begins as the best mixture
    assert np.corrcoef(result[1].ravel(), wanted[1].ravel())[0, 1] > 0.5
    assert made.card.calibration["correlation"][0] > 0.8


def test_training_begins_as_the_best_mixture_of_the_channels() -> None:
    rng = np.random.default_rng(0)
    seen = rng.normal(100, 10, (2, 192, 192)) * np.array([1.0, 5.0])[:, None, None]
    wanted = 3 * seen[:1] - 2 * seen[1:] + 70
    recipe = find_recipe(NAME)
    found = training_data(recipe, [seen], SMALL, {"targets": [wanted], "axes": ["CYX"], "target_axes": ["CYX"]})
    from napari_genrecon.training.session import _card

    card = _card(recipe, found, options(), "x")
    score = recipe.score(recipe.model(card, recipe.network(card, options()), "cpu"), found)
    assert score.shown["correlation"] == pytest.approx(1.0, abs=1e-4)


@pytest.mark.slow
def test_network_learns_what_no_mixture_shows() -> None:
    seen, wanted = pair()
    made = train(NAME, seen, wanted, crops=SMALL, options=options(steps=60, batch=8))
    low, _ = made.card.calibration["gain_95"]
    assert low > 0
    assert not made.card.warnings


def test_network_that_learnt_nothing_says_so() -> None:
    seen, wanted = pair()
    made = train(NAME, seen, np.random.default_rng(5).permutation(wanted.ravel()).reshape(wanted.shape), crops=SMALL,
                 options=options())  # fmt: skip
    assert any("no better than a mixture of the channels" in sentence for sentence in made.card.warnings)


def test_warnings_of_the_weights_that_are_kept_are_told_after_a_resume(tmp_path: Path) -> None:
    seen, wanted = pair()
    shuffled = np.random.default_rng(5).permutation(wanted.ravel()).reshape(wanted.shape)
    found = training_data(find_recipe(NAME), seen, SMALL, {"targets": shuffled})
    finish(train_steps(found, options(steps=1), tmp_path, name="a"))
    with closing(train_steps(found, options(steps=3), tmp_path, name="a")) as steps:
        assert "no better than a mixture of the channels" in next(steps).note


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda x, y: (x, y[:, :100]), ImageError, r"shapes .*\(192, 192\).* and \(2, 100, 192\).*pixel by pixel"),
        (lambda x, y: (x, np.roll(y, (3, -2), (1, 2))), ImageError, "shifted by 3 px along y and -2 px along x"),
        (lambda x, y: (x, np.ones_like(y)), ImageError, r"a channel of the target is constant \(1\)"),
        (lambda x, y: (x, None), OptionError, "nothing was given that is to be made of them"),
        (lambda x, y: ([x, x], [y]), OptionError, "2 images and 1 targets were given"),
        (lambda x, y: (x, np.stack([y[0]] * 5)), ImageError, "5 channels, at most 4"),
    ],
    ids=["shape", "shift", "constant", "none", "number", "channels"],
)
def test_pairs_that_cannot_be_learnt_from_are_refused(change: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        train(NAME, *change(*pair()), crops=SMALL, options=options())


def test_pairs_that_have_nothing_in_common_get_a_note() -> None:
    seen, wanted = pair()
    found = training_data(find_recipe(NAME), seen, SMALL, {"targets": cells(9) * 100})
    assert any("no channel of image 1 and the target has structures in the same places" in n for n in found.notes)
    found = training_data(find_recipe(NAME), seen, SMALL, {"targets": wanted})
    assert not any("structures" in note for note in found.notes)


def test_stains_that_lie_beside_each_other_get_a_note() -> None:
    beside = 50 * np.roll(cells(), (7, -2), (0, 1)) + 100 * cells(9)
    found = training_data(find_recipe(NAME), cells() * 100, SMALL, {"targets": beside})
    assert any("match better shifted by 7 px along y and -2 px along x" in note for note in found.notes)


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_channels_that_the_target_has_no_room_for_are_refused_before_any_work(tmp_path, monkeypatch, ending):
    model(1, 2)
    source = tmp_path / "a.npy"
    np.save(source, image(2, 2, 2, 2, 48, 40))
    monkeypatch.setattr("napari_genrecon.tasks.predict.predict_steps", lambda *_, **__: pytest.fail("it computes"))
    steps = file_steps(find_task("predict"), source, tmp_path / f"b{ending}", PredictOptions(axes="TPQZYX"))
    with pytest.raises(ImageError, match="not CTPQZYX" if "zarr" in ending else "no room for the dimensions CTPQZYX"):
        finish(steps)


def test_unknown_pixels_of_targets_are_not_trained_on() -> None:
    seen, wanted = pair()
    wanted[0, :40, :40] = np.nan
    found = training_data(find_recipe(NAME), seen, SMALL, {"targets": wanted})
    assert np.isfinite(found.targets).all()
    assert any("crops of the targets hold NaN" in note for note in found.notes)


def test_folders_are_paired_by_name_and_a_model_comes_out(tmp_path: Path) -> None:
    seen, wanted = pair()
    for folder, pixels, axes in (("in", seen, "YX"), ("out", wanted, "CYX")):
        (tmp_path / folder).mkdir()
        for name in "ab":
            tifffile.imwrite(tmp_path / folder / f"{name}.ome.tif", pixels, metadata={"axes": axes})
    flags = ["--batch", "2", "--steps", "2", "--device", "cpu", "--size", "32", "--n-crops", "60"]
    assert main(["train", NAME, "in", "out", "--name", "cli", *flags]) == 0
    assert find_model("cli", "predict").shape == {"outputs": 2}
