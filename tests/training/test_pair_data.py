"""Pairs of images: which match, how their grey values are brought together, and what batches make of them."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_genrecon.errors import ImageError
from napari_genrecon.training.data.dataset import Dataset
from napari_genrecon.training.data.match import change, fit_levels, match, require_match, saturated
from napari_genrecon.training.data.pairs import PairBatches
from napari_genrecon.training.options import TrainOptions


def scene(seed=0, side=128):
    return 100 * gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 3) + 50


@pytest.mark.parametrize("shift", [(0, 0), (3, -5), (-7, 2)])
def test_shift_between_two_noisy_images_is_found(shift):
    rng = np.random.default_rng(1)
    first, second = (scene() + rng.normal(0, 10, (128, 128)) for _ in range(2))
    found = match(first, np.roll(second, shift, (0, 1)))
    assert found.shift == shift
    assert found.best > 3 * found.needed


def test_shifted_images_are_refused_with_the_shift():
    with pytest.raises(ImageError, match=r"a and b are shifted by 4 px along y and 0 px along x: register them first"):
        require_match(scene(), np.roll(scene(), 4, 0), "a and b")


def test_images_of_different_fields_are_refused():
    with pytest.raises(ImageError, match=r"a and b do not match: their structures have a correlation of -?0\.\d\d"):
        require_match(scene(0), scene(1), "a and b")


def test_constant_image_is_refused():
    with pytest.raises(ImageError, match=r"one of the two is constant \(7\)"):
        require_match(scene(), np.full((128, 128), 7), "a and b")


@pytest.mark.parametrize(("slope", "offset"), [(0.02, -3.0), (40.0, 1000.0)])
def test_levels_come_back_from_under_noise(slope, offset):
    clean = np.stack([scene(seed) for seed in range(4)])
    noisy = (clean - offset) / slope
    found = fit_levels(clean + np.random.default_rng(9).normal(0, 20, clean.shape), noisy)
    assert found == pytest.approx((slope, offset), rel=0.1)


def test_targets_that_are_negatives_are_refused():
    with pytest.raises(ImageError, match="targets are darker where the images are brighter"):
        fit_levels(scene()[None], -scene()[None])


def test_saturated_share_counts_the_largest_value():
    image = np.arange(10_000.0).reshape(100, 100)
    assert saturated(image) == 1 / 10_000
    assert saturated(np.minimum(image, 6000)) == pytest.approx(0.4)


def test_repeats_that_differ_by_noise_alone_show_no_change_and_moved_ones_do():
    rng = np.random.default_rng(5)
    crops = np.stack([scene(seed) for seed in range(4)]) / 2
    crops[:, :, :64] = 0
    first, second = (crops + rng.normal(size=crops.shape) for _ in range(2))
    assert change(first, second) == pytest.approx(1, abs=0.15)
    assert change(first, np.roll(second, 3, 1)) > 4


def dataset(n=12, side=8):
    x = np.random.default_rng(0).normal(size=(n, 1, side, side)).astype(np.float32)
    told = np.tile(np.array([1.0, 0.2, 0.7], np.float32), (n, 1))
    zeros = np.zeros(n, np.int64)
    return Dataset(
        x=x, targets=2 * x, told=told, source=zeros, place=np.zeros((n, 3), np.int64), label=zeros,
        held_out=np.arange(n) >= n - 2, options={},
    )  # fmt: skip


def test_images_and_targets_are_turned_together_and_so_is_the_correlation():
    batches = PairBatches(dataset(), TrainOptions(batch=64), None, torch.device("cpu"))
    x, targets, told = batches(0, 0)
    torch.testing.assert_close(targets, 2 * x)
    assert {tuple(np.round(row, 3)) for row in told.numpy().tolist()} == {(1.0, 0.2, 0.7), (1.0, 0.7, 0.2)}


def test_quarter_turns_and_only_they_exchange_the_correlations():
    found = dataset()
    ramp = np.arange(8.0, dtype=np.float32)
    found.x[:] = ramp  # varies along x
    x, _, told = PairBatches(found, TrainOptions(batch=64), None, torch.device("cpu"))(1, 0)
    along_y = (x[:, 0, 0, 0] == x[:, 0, 0, 1]).numpy()
    np.testing.assert_array_equal(along_y, told[:, 1].numpy() > 0.5)


def test_batch_of_pairs_depends_on_the_step_alone_and_holds_no_held_out_item():
    found = dataset()
    found.x[found.held_out] = np.inf
    batches = [PairBatches(found, TrainOptions(batch=8), None, torch.device("cpu")) for _ in range(2)]
    batches[0](0, 0)
    assert torch.equal(batches[0](7, 0)[0], batches[1](7, 0)[0])
    assert not torch.equal(batches[0](7, 0)[0], batches[0](8, 0)[0])
    assert torch.isfinite(batches[0](9, 0)[0]).all()


def test_dataset_comes_back_from_its_file_with_what_was_told_and_measured(tmp_path):
    from dataclasses import replace

    found = replace(dataset(), measured={"snr": [3.0, 4.0]})
    found.save(tmp_path / "crops.npz")
    back = Dataset.load(tmp_path / "crops.npz")
    np.testing.assert_array_equal(back.told, found.told)
    assert back.measured == {"snr": [3.0, 4.0]}
    assert back.fingerprint == found.fingerprint
