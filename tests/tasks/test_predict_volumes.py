"""Models that work in three dimensions: learnt from blocks of stacks, used stack by stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from napari_genrecon import predict, train
from napari_genrecon.cli import main
from napari_genrecon.engine.memory import fit_block
from napari_genrecon.engine.run import finish
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.io.reader import open_image
from napari_genrecon.models.card import ModelCard, PerAxis
from napari_genrecon.models.registry import find_model, save_own
from napari_genrecon.models.runtime import build_network
from napari_genrecon.tasks import plan
from napari_genrecon.tasks.predict import PredictOptions, expected_seconds, predict_steps
from napari_genrecon.training import RECIPES, find_recipe, read_options
from napari_genrecon.training.data.dataset import CropOptions

pytestmark = [
    pytest.mark.filterwarnings("ignore::napari_genrecon.errors.GenReconWarning"),
    pytest.mark.usefixtures("own_folders"),
]

NAME = "image2image"
BLOCKS = CropOptions(size=32, depth=4, held_out=0.2, n=60)


def model(channels: int = 1, outputs: int = 1) -> ModelCard:
    """A model with random weights."""
    import torch

    torch.manual_seed(0)
    card = ModelCard(
        name="deep", task="predict", network="volume-unet", shape={"outputs": outputs}, channels=channels,
        halo=PerAxis(0, 5, 96, 96), stride=PerAxis.planes(8, 1), low=(0.0,) * channels, high=(200.0,) * channels,
        dtype="uint16", pixel_size=(0.1, 0.1), units=("micrometer",) * 2,
        result_low=(0.0,) * outputs, result_high=(100.0,) * outputs, result_names=("",) * outputs,
    )  # fmt: skip
    weights = build_network(card).state_dict()
    return save_own(card, {key: 0.5 * weight.numpy() for key, weight in weights.items()})


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype("uint16")


def few_voxels(monkeypatch: pytest.MonkeyPatch, voxels: int) -> None:
    """Let tiles hold no more than so many voxels."""
    monkeypatch.setattr(plan, "_most_pixels", lambda spec, device: voxels // plan._MORE_FOR_VOLUMES)


# --- use ---


def test_tiles_along_z_y_and_x_equal_the_whole_and_lazy_equals_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    model(2, 2)
    seen = image(2, 16, 130, 16)
    whole = finish(predict_steps(seen, PredictOptions(axes="CZYX", device="cpu")))
    few_voxels(monkeypatch, 25_000)
    cut = finish(predict_steps(seen, PredictOptions(axes="CZYX", device="cpu")))
    assert whole.record["tile"]["size"] == [2, 16, 130, 16]
    assert cut.record["tile"]["size"][1] < 16
    np.testing.assert_allclose(cut.data, whole.data, atol=1e-3)  # of 100 grey values
    assert whole.data.std() > 1
    few_voxels(monkeypatch, 30_000)
    sides = predict(seen, axes="CZYX", device="cpu", tile=(24, 16))
    np.testing.assert_allclose(sides, whole.data, atol=1e-3)
    lazy = predict(da.from_array(seen, chunks=(1, 7, 50, 9)), axes="CZYX", device="cpu", tile=(24, 16))
    np.testing.assert_allclose(lazy.compute(), whole.data, atol=1e-3)


def test_a_plane_depends_on_those_within_the_halo_and_on_no_others() -> None:
    card = model()
    seen = image(16, 24, 24)
    changed = seen.copy()
    changed[0] = 0
    moved = np.abs(predict(seen, device="cpu") - predict(changed, device="cpu")).max(axis=(1, 2))
    assert (moved[: card.halo.z + 1] > 1e-6).all()
    assert not moved[card.halo.z + 1 :].any()


@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [
        ((2, 6, 24, 32), "TZYX", (2, 2, 6, 24, 32)),
        ((6, 2, 24, 32), "ZTYX", (2, 6, 2, 24, 32)),
        ((24, 32, 6), "YXZ", (2, 24, 32, 6)),
    ],
)
def test_stacks_of_any_order_are_worked_on_one_by_one(
    shape: tuple[int, ...], axes: str, expected: tuple[int, ...]
) -> None:
    model(1, 2)
    seen = image(*shape)
    made = finish(predict_steps(seen, PredictOptions(axes=axes, device="cpu")))
    assert made.data.shape == expected
    assert made.axes.letters == "C" + axes
    if "T" in axes:
        at = axes.index("T")
        alone = predict(np.take(seen, 1, at), axes="ZYX", device="cpu")
        np.testing.assert_allclose(np.take(made.data, 1, at + 1), alone, atol=1e-3)


def test_region_of_a_stack_has_the_pixels_of_the_whole() -> None:
    model()
    whole = predict(image(20, 40, 48), device="cpu")
    part = predict(image(20, 40, 48), device="cpu", region="Z=8:10, Y=5:30")
    np.testing.assert_allclose(part, whole[8:10, 5:30], atol=1e-3)


def test_voxels_that_are_not_finite_stay_unknown_and_spoil_nothing_else() -> None:
    model(2, 1)
    seen = image(2, 6, 24, 32).astype(np.float32)
    seen[1, 3, 5, 7] = np.inf
    assert np.argwhere(np.isnan(predict(seen, axes="CZYX", device="cpu"))).tolist() == [[0, 3, 5, 7]]


def test_time_that_a_stack_takes_is_known_before_it_runs() -> None:
    model()
    short, long = (expected_seconds(image(*shape), PredictOptions(device="cpu")) for shape in ((2, 8, 8), (8, 16, 8)))
    assert 0 < short == pytest.approx(long / 8)


def test_run_stops_between_the_parts_of_a_tile() -> None:
    model()
    steps = predict_steps(image(6, 24, 32), PredictOptions(device="cpu"))
    seen = [progress for progress in steps if progress.total]
    assert [progress.done for progress in seen] == list(range(12))
    assert seen[-1].total == find_model("deep", "predict").about.parts


@pytest.mark.parametrize(("shape", "axes"), [((40, 48), "YX"), ((3, 40, 48), "TYX")])
def test_image_without_z_is_refused_in_a_sentence(shape: tuple[int, ...], axes: str) -> None:
    model()
    with pytest.raises(ImageError, match=f"'deep' was trained on stacks, and the image has the axes {axes}: say"):
        predict(image(*shape), axes=axes, device="cpu")


@pytest.mark.parametrize("pixels", [10_000, 300_000, 3_000_000, 10**9])
def test_block_fits_into_what_it_may_have(pixels: int) -> None:
    side = (40, 600, 500)
    tile = fit_block(side, halo=(5, 96), stride=8, bytes_per_pixel=10, budget=10 * pixels, max_pixels=10**12)
    grid = TileGrid(side, tile, (5, 96, 96), (1, 1, 1), (1, 8, 8))
    assert max(map(np.prod, plan.read_shapes(grid))) <= pixels or tile == (1, 8, 8)
    assert (tile == (40, 600, 504)) == (pixels == 10**9)


# --- training ---


def stacks(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A noisy stack, and the clean one: structures reach over several planes."""
    rng = np.random.default_rng(seed)
    clean = np.clip(gaussian_filter(rng.normal(size=(12, 128, 128)), (2, 3, 3)), 0, None)
    clean *= 1000 / clean.max()
    return (clean + rng.normal(100, 200, clean.shape)).astype(np.float32), clean.astype(np.float32)


def options(**changes: Any) -> Any:
    return read_options({"kind": NAME, "batch": 2, "steps": 2, "device": "cpu", **changes})


def test_model_that_is_trained_on_blocks_takes_stacks_and_knows_its_reach() -> None:
    seen, wanted = stacks()
    made = train(NAME, seen, wanted, name="deep", axes="ZYX", crops=BLOCKS, options=options(), pixel_size=(0.2, 0.2))
    card = find_model("deep", "predict")
    assert card.about.volumes
    assert (card.halo, card.stride) == (PerAxis(0, 5, 96, 96), PerAxis.planes(8, 1))
    assert made.card.calibration["correlation"][0] > 0.2
    result = predict(seen, model="deep", axes="ZYX", device="cpu")
    assert result.shape == seen.shape
    assert np.corrcoef(result.ravel(), wanted.ravel())[0, 1] > 0.2


def test_training_in_3d_begins_with_what_the_network_for_planes_begins_with() -> None:
    from napari_genrecon.tasks.train.data import training_data
    from napari_genrecon.training.session import _card

    seen, wanted = stacks()
    recipe = find_recipe(NAME)
    found = training_data(recipe, [seen], BLOCKS, {"targets": [wanted], "axes": ["ZYX"]})
    assert found.x.shape[1:] == found.targets.shape[1:] == (1, 4, 32, 32)
    deep = _card(recipe, found, options(), "x")
    flat = ModelCard.from_dict({**deep.to_dict(), "network": "image-unet"})
    results = []
    for card in (deep, flat):
        network = recipe.network(card, options()).eval()
        tail = next(weight for name, weight in network.named_parameters() if name == "tail.weight")
        tail.data += 0.1  # of nothing, which hides all else
        made = recipe.model(card, network, "cpu")
        block = seen[None, None, :4, :32, :32] / 500 - 1
        results.append(made(block)[0, 0] if card is deep else np.stack([made(plane) for plane in block[0, 0]]))
    np.testing.assert_allclose(results[0], results[1], atol=1e-5)


@pytest.mark.slow
def test_model_for_stacks_learns_from_the_planes_above_and_below() -> None:
    (seen, wanted), (new, truth) = stacks(), stacks(1)
    errors = []
    for crops in (BLOCKS, CropOptions(size=32, held_out=0.2, n=240)):
        made = train(NAME, seen, wanted, axes="ZYX", crops=crops, options=options(batch=16, steps=40))
        errors.append(np.mean((predict(new, model=made.card.name, axes="ZYX", device="cpu") - truth) ** 2))
    assert errors[0] < 0.9 * errors[1]


@pytest.mark.parametrize("recipe", [name for name in RECIPES if not find_recipe(name).kept_3d])
def test_recipe_that_takes_planes_refuses_blocks_in_a_sentence(recipe: str) -> None:
    seen, wanted = stacks()
    targets = {"targets": wanted} if "targets" in find_recipe(recipe).needs else {}
    with pytest.raises(OptionError, match=r"takes planes: leave out the depth.*Image to image trains in 3D, too"):
        train(recipe, seen, axes="ZYX", crops=BLOCKS, **targets)


@pytest.mark.parametrize(
    ("axes", "depth", "error", "words"),
    [
        ("TYX", 4, ImageError, "blocks are cut from stacks, and this image has the axes TYX: say which"),
        ("ZYX", 13, ImageError, "blocks of 13 planes were asked for, and the stacks have 12 along Z"),
        ("ZYX", 1, OptionError, "depth must"),
    ],
)
def test_stacks_that_have_no_blocks_are_refused_in_a_sentence(axes: str, depth: int, error: Any, words: str) -> None:
    seen, wanted = stacks()
    with pytest.raises(error, match=words):
        train(NAME, seen, wanted, axes=axes, crops=CropOptions(size=32, depth=depth, held_out=0.2), options=options())


def test_command_line_trains_on_stacks_and_keeps_voxels_axes_and_units(tmp_path: Path) -> None:
    seen, wanted = stacks()
    about = {
        "axes": "ZYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1, "PhysicalSizeZ": 0.4,
        **{f"PhysicalSize{letter}Unit": "µm" for letter in "XYZ"},
    }  # fmt: skip
    for name, pixels in (("low", seen), ("high", wanted)):
        tifffile.imwrite(tmp_path / f"{name}.ome.tif", pixels, metadata=about)
    flags = ["--batch", "2", "--steps", "2", "--device", "cpu", "--size", "32", "--n-crops", "60", "--depth", "4"]
    assert main(["train", NAME, "low.ome.tif", "high.ome.tif", "--name", "cli", *flags]) == 0
    assert main(["predict", "low.ome.tif", "-o", "made.ome.tif", "--model", "cli", "--device", "cpu"]) == 0
    made, source = open_image(tmp_path / "made.ome.tif"), open_image(tmp_path / "low.ome.tif")
    assert made.about.axes.letters == "ZYX"
    assert made.about.scale == source.about.scale
    assert made.about.units == source.about.units
    np.testing.assert_array_equal(np.asarray(made.data), predict(seen, model="cli", axes="ZYX", device="cpu"))
