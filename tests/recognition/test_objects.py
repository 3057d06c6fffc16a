"""Pictures of objects and their features: any place, any direction, and bad input."""

import numpy as np
import pytest

from napari_genrecon.engine.run import finish
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.models import find_model
from napari_genrecon.numerics.resample import resize_matrix
from napari_genrecon.recognition.features import BLOCKS, describe_steps
from napari_genrecon.recognition.objects import crop_side, cut_pictures, find_objects, larger_than
from napari_genrecon.recognition.outline import outline_features


def cells(shape=(90, 120)):
    """Three objects of different shape, one of them in a corner."""
    rng = np.random.default_rng(0)
    labels = np.zeros(shape, int)
    labels[10:26, 20:30], labels[40:60, 60:85], labels[-12:, -9:] = 1, 5, 9
    return rng.poisson(20 + 60 * (labels > 0)).astype("u2"), labels


def described(image, labels, side=32, **more):
    return finish(describe_steps(find_objects(image, labels=labels, **more), side, find_model("auto", "denoise")))


def test_features_do_not_depend_on_how_the_object_lies():
    image, labels = cells()
    rows, columns = slice(30, 70), slice(50, 90)  # a square whose middle is the middle of the object
    part, own = image[rows, columns], labels[rows, columns]
    upright = described(part, own)
    for turned in (lambda a: np.rot90(a), lambda a: a[::-1], lambda a: np.rot90(a[:, ::-1], 3)):
        other = described(np.ascontiguousarray(turned(part)), np.ascontiguousarray(turned(own)), side=32)
        for name in ("network", "shape"):
            np.testing.assert_allclose(upright[name], other[name], rtol=0.15, atol=0.1)


def test_every_object_gets_all_blocks_and_those_at_the_border_too():
    image, labels = cells()
    found = described(image, labels)
    assert tuple(found) == BLOCKS
    assert all(len(block) == 3 and np.isfinite(block).all() for block in found.values())


def test_points_and_whole_planes_have_no_shape():
    image, _ = cells((40, 40))
    assert "shape" not in described(image, None, points=np.array([[20, 20]]))
    assert "shape" not in described(image, None)


def test_picture_at_the_border_is_mirrored():
    image, labels = cells()
    scene = find_objects(image, labels=np.where(labels == 9, 9, 0))
    picture = cut_pictures(scene, 64, slice(0, 1)).grey[0, 0]
    _, y, x = scene.place[0]
    whole = np.pad(image.astype(np.float32), 64, mode="symmetric")
    np.testing.assert_allclose(picture, whole[y + 32 : y + 96, x + 32 : x + 96], rtol=1e-5)


def test_resampling_keeps_constants_and_the_mean():
    x = np.random.default_rng(0).random(100)
    np.testing.assert_allclose(resize_matrix(100, 64) @ np.ones(100), 1, rtol=1e-5)
    assert abs((resize_matrix(100, 20) @ x).mean() - x.mean()) < 0.01
    np.testing.assert_allclose(resize_matrix(64, 64), np.eye(64), atol=1e-6)


def test_crops_hold_nearly_all_objects_and_larger_ones_are_counted():
    scene = find_objects(*cells()[:1], labels=cells()[1])
    side = crop_side([scene])
    assert 25 < side < 40
    assert larger_than([scene], side) == 0
    assert larger_than([scene], 20) == 1


def test_object_in_a_stack_counts_on_its_largest_plane():
    labels = np.zeros((3, 40, 40), int)
    labels[0, 10:14, 10:14], labels[1, 8:20, 8:20] = 4, 4
    scene = find_objects(np.random.default_rng(0).random((3, 40, 40)), "ZYX", labels=labels)
    assert scene.place.tolist() == [[1, 14, 14]]


def test_missing_pixels_are_filled_but_an_object_of_nothing_else_is_refused():
    image, labels = cells()
    image = image.astype(np.float32)
    image[12:14, 22:25] = np.nan
    assert all(np.isfinite(block).all() for block in described(image, labels).values())
    image[:40, :60] = np.nan
    with pytest.raises(ImageError, match="number 1 of the labels has no finite pixel"):
        described(image, labels)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"labels": np.zeros((90, 120), int)}, "there are no objects: the labels are empty"),
        ({"labels": np.zeros((9, 12), int)}, r"labels have the shape \(9, 12\) but the image has \(90, 120\)"),
        ({"labels": np.zeros((90, 120))}, "labels have dtype float64: integers are needed"),
        ({"points": np.zeros((0, 2))}, "there are no objects: the points are empty"),
        ({"points": np.array([[5, 5], [95, 20]])}, r"point 2 lies at \[95, 20\], outside of the image"),
        ({"points": np.array([[5, np.nan]])}, "finite columns are needed"),
    ],
    ids=["no labels", "other shape", "floats", "no points", "outside", "nan"],
)
def test_objects_that_do_not_fit_the_image_are_refused(more, words):
    with pytest.raises(ImageError, match=words):
        find_objects(cells()[0], **more)


def test_labels_and_points_together_are_refused():
    image, labels = cells()
    with pytest.raises(OptionError, match="labels and points were both given"):
        find_objects(image, labels=labels, points=np.zeros((1, 2)))


@pytest.mark.parametrize("size", [7, 2049])
def test_size_out_of_its_limits_is_refused(size):
    with pytest.raises(OptionError, match=f"size must lie between 8 and 2048 pixels, got {size}"):
        crop_side([], size)


def test_outline_tells_necks_from_discs_and_scales_with_pixels():
    y, x = np.indices((30, 50))
    disc = np.hypot(y - 15, x - 15) < 10
    clump = disc | (np.hypot(y - 15, x - 32) < 10)
    one, two = outline_features(disc), outline_features(clump)
    assert one[13] == 1
    assert two[13] == 2
    np.testing.assert_allclose(outline_features(disc, 2.0)[1:5] - one[1:5], np.log(2), rtol=1e-5)
    assert np.isfinite(outline_features(np.ones((1, 1), bool))).all()
