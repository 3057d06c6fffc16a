"""Laws of datasets: any size, flat or deep, with what belongs to each item."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import device

from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.training import find_recipe
from napari_genrecon.training.data.augment import augment
from napari_genrecon.training.data.batches import Batches
from napari_genrecon.training.data.cut import cut_crops
from napari_genrecon.training.data.dataset import CropOptions, Dataset
from napari_genrecon.training.options import TrainOptions


def stack(*shape, seed=0):
    return np.random.default_rng(seed).poisson(50, shape).astype("u2")


@settings(max_examples=12)
@given(size=st.integers(4, 40), depth=st.integers(2, 5), mode=st.sampled_from(["grid", "random"]))
def test_every_block_is_what_the_stack_holds_at_its_place(size, depth, mode):
    image = stack(2, 11, 90, 100)
    options = CropOptions(size=size, depth=depth, mode=mode, n=40, held_out=0.0)
    blocks = cut_crops(image, options, axes="TZYX", needed=1)
    assert blocks.x.shape[1:] == (1, depth, size, size)
    for x, (plane, row, column) in zip(blocks.x, blocks.place, strict=True):
        t, z = divmod(plane, 11)
        expected = image[t, z : z + depth, row : row + size, column : column + size]
        np.testing.assert_array_equal(x[0], expected)


def test_blocks_of_objects_lie_around_them():
    labels = np.zeros((12, 90, 90), int)
    for n in range(1, 4):
        labels[2 * n + 2, 22 * n : 22 * n + 6, 40:46] = n
    blocks = cut_crops(stack(12, 90, 90), CropOptions(size=20, depth=4, held_out=0.0), labels=labels, needed=1)
    assert blocks.place[:, 0].tolist() == [2, 4, 6]
    assert blocks.label.tolist() == [1, 2, 3]


def test_targets_are_cut_where_the_images_are():
    image = stack(200, 200)
    pairs = cut_crops(image, CropOptions(size=24), targets=image * 2.0)
    np.testing.assert_array_equal(pairs.targets, 2 * pairs.x)
    with pytest.raises(ImageError, match=r"\(200, 200\) and \(100, 200\): they must match"):
        cut_crops(image, CropOptions(size=24), targets=image[:100])


def test_blocks_need_a_stack():
    with pytest.raises(ImageError, match="has the axes TYX: say which dimension is Z"):
        cut_crops(stack(8, 64, 64), CropOptions(depth=4), axes="TYX")


def test_what_belongs_to_the_items_is_kept_and_counts(tmp_path):
    plain = cut_crops(stack(200, 200), CropOptions(size=24))
    full = replace(plain, targets=plain.x[:, :, ::2], labels=np.arange(len(plain)) % 3)
    full.save(tmp_path / "d.npz")
    found = Dataset.load(tmp_path / "d.npz")
    np.testing.assert_array_equal(found.targets, full.targets)
    np.testing.assert_array_equal(found.labels, full.labels)
    assert len({plain.fingerprint, found.fingerprint, replace(full, labels=None).fingerprint}) == 3


@pytest.mark.parametrize("what", ["targets", "labels"])
def test_what_belongs_to_each_item_is_there_once_for_each(what):
    plain = cut_crops(stack(200, 200), CropOptions(size=24))
    with pytest.raises(ImageError, match=f"items and 2 {what}: give one for each"):
        replace(plain, **{what: np.zeros(2, int)})


def test_planes_of_a_block_are_changed_alike():
    batch = np.repeat(stack(6, 2, 1, 16, 16), 3, axis=2)
    changed = augment(np.random.default_rng(0), batch, low=(0.0, 5.0), intensity=0.2, elastic=1.0)
    np.testing.assert_array_equal(changed[:, :, 0], changed[:, :, 2])


def test_batches_of_blocks_are_on_the_scale_of_the_network():
    blocks = cut_crops(stack(8, 90, 90), CropOptions(size=12, depth=2, held_out=0.0))
    batch = Batches(blocks, TrainOptions(batch=5, elastic=0.5), (0.01,), device("cpu"))(0, 0)
    assert batch.shape == (5, 1, 2, 12, 12)
    assert -1 <= float(batch.min()) < float(batch.max()) <= 1


def test_recipe_refuses_sizes_that_its_network_does_not_take():
    with pytest.raises(OptionError, match="takes square crops of 32, 64, 128 pixels, these have 48 x 48"):
        find_recipe("vae").check(cut_crops(stack(400, 400), CropOptions(size=48)))


def test_recipe_refuses_data_without_what_it_needs():
    recipe = replace(find_recipe("vae"), needs=("images", "targets"))
    with pytest.raises(OptionError, match="trains on images and targets, and no targets were given"):
        recipe.check(cut_crops(stack(200, 200)))
