"""Masks from layers: no window is needed."""

import numpy as np
import pytest
from napari.layers import Image, Labels, Shapes

from napari_genrecon.errors import ImageError
from napari_genrecon.widgets.layers.masks import mask_of

PLANE, STACK = (64, 80), (5, 64, 80)
PLACES = {
    "plain": {},
    "scaled": {"scale": (0.5, 0.5)},
    "far away": {"scale": (0.1, 0.1), "translate": (1000, -300)},
    "turned": {"scale": (0.5, 0.5), "translate": (3, 4), "rotate": 20},
    "mirrored": {"scale": (-2, 2), "translate": (100, 0)},
    "affine": {"affine": [[0, 2, 5], [-2, 0, 7], [0, 0, 1]]},
}
DRAWINGS = {  # in pixels of the image
    "rectangle": np.array([(10, 30), (10, 40), (20, 40), (20, 30)]),
    "polygon": np.array([(5, 5), (30.4, 12.7), (50, 60), (22.1, 33)]),
    "ellipse": np.array([(8, 20), (8, 50), (40, 50), (40, 20)]),
    "line": np.array([(10.3, 12.2), (40, 55)]),
    "path": np.array([(10, 12), (40, 12), (41, 50), (5, 70)]),
}
WIDTH = 4  # of lines, in pixels


def image_of(shape, **placed):
    return Image(np.zeros(shape, "f4"), name="cells", **placed)


def drawn(kind, image, *, at=(), **placed):
    """A Shapes layer with a drawing over these pixels of the image."""
    points = np.array([(*at, *point) for point in DRAWINGS[kind]], float)
    empty = Shapes(ndim=points.shape[1], **placed)
    sizes = [abs(np.linalg.det(place_of(layer)[-2:, -2:])) ** 0.5 for layer in (image, empty)]
    vertices = [empty.world_to_data(np.array(image.data_to_world(point))[-empty.ndim :]) for point in points]
    return Shapes([vertices], shape_type=kind, edge_width=WIDTH * sizes[0] / sizes[1], **placed)


def place_of(layer):
    start = np.array(layer.data_to_world(np.zeros(layer.ndim)))
    return np.stack([np.array(layer.data_to_world(unit)) - start for unit in np.eye(layer.ndim)], axis=1)


def pixels_under(kind):
    image = image_of(PLANE)
    return mask_of(drawn(kind, image), image)


def deeper(placed):
    """The same place, for a stack."""
    found = {key: (value if key == "rotate" else (1, *value)) for key, value in placed.items() if key != "affine"}
    if "translate" in found:
        found["translate"] = (2, *placed["translate"])
    if "affine" in placed:
        found["affine"] = np.pad(np.array(placed["affine"], float), ((1, 0), (1, 0)))
        found["affine"][0, 0] = 1
    return found


@pytest.mark.parametrize("kind", ["rectangle", "polygon"])
def test_shapes_mark_what_napari_says_lies_inside(kind):
    image = image_of(PLANE)
    shapes = drawn(kind, image)
    np.testing.assert_array_equal(mask_of(shapes, image), shapes.to_masks(PLANE)[0])


def test_ellipse_and_line_mark_what_geometry_says():
    y, x = np.indices(PLANE)
    ellipse = np.hypot((y - 24) / 16, (x - 35) / 15) <= 1
    assert (pixels_under("ellipse") != ellipse).mean() < 0.01
    (y0, x0), (y1, x1) = DRAWINGS["line"]
    length = np.hypot(y1 - y0, x1 - x0)
    aside = np.abs((y - y0) * (x1 - x0) - (x - x0) * (y1 - y0)) / length
    beside = ((y - y0) * (y1 - y0) + (x - x0) * (x1 - x0)) / length
    line = (aside <= WIDTH / 2) & (beside >= 0) & (beside <= length)
    assert (pixels_under("line") != line).sum() <= 4  # the pixels in which it ends


@pytest.mark.parametrize("kind", DRAWINGS)
@pytest.mark.parametrize("image_at", PLACES)
@pytest.mark.parametrize("shapes_at", PLACES)
def test_shapes_mark_the_pixels_under_them_wherever_layers_lie(kind, image_at, shapes_at):
    image = image_of(PLANE, **PLACES[image_at])
    np.testing.assert_array_equal(mask_of(drawn(kind, image, **PLACES[shapes_at]), image), pixels_under(kind))


@pytest.mark.parametrize("kind", DRAWINGS)
@pytest.mark.parametrize("rgb", [False, True], ids=["grey", "rgb"])
@pytest.mark.parametrize("place", PLACES)
def test_shapes_in_a_stack_mark_their_plane(kind, rgb, place):
    image = image_of((*STACK, 3) if rgb else STACK, rgb=rgb, **deeper(PLACES[place]))
    expected = np.zeros(STACK, bool)
    expected[3] = pixels_under(kind)
    np.testing.assert_array_equal(mask_of(drawn(kind, image, at=(3,), **deeper(PLACES[place])), image), expected)


@pytest.mark.parametrize("place", PLACES)
def test_flat_shapes_hold_for_all_planes_of_a_stack(place):
    flat, image = image_of(PLANE, **PLACES[place]), image_of(STACK, **deeper(PLACES[place]))
    np.testing.assert_array_equal(mask_of(drawn("polygon", flat), image), pixels_under("polygon"))


def test_shapes_of_a_stack_mark_a_single_plane_wherever_they_were_drawn():
    shapes = drawn("polygon", image_of(STACK, scale=(1, 2, 2)), at=(3,))
    np.testing.assert_array_equal(mask_of(shapes, image_of(PLANE, scale=(2, 2))), pixels_under("polygon"))


def test_shapes_of_a_stack_hold_for_all_its_times():
    movie, stack = image_of((2, *STACK)), image_of(STACK)
    mask = mask_of(drawn("polygon", stack, at=(1,)), movie)
    assert mask.shape == (2, *STACK)
    np.testing.assert_array_equal(mask, np.stack([mask_of(drawn("polygon", stack, at=(1,)), stack)] * 2))


def test_shape_drawn_in_a_side_view_marks_its_section():
    shapes = Shapes([[(1, 20, 10), (1, 20, 30), (3, 20, 30), (3, 20, 10)]], shape_type="polygon")
    expected = np.zeros(STACK, bool)
    expected[1:4, 20, 10:31] = True
    np.testing.assert_array_equal(mask_of(shapes, image_of(STACK)), expected)


def test_thin_line_leaves_no_gap():
    shapes = Shapes([[(10.5, 5.5), (50.5, 45.5)]], shape_type="line", edge_width=0.01)
    assert mask_of(shapes, image_of(PLANE)).any(axis=1)[11:51].all()


def test_path_through_several_planes_marks_a_piece_in_each():
    shapes = Shapes([[(1, 10, 10), (1, 10, 30), (3, 40, 30), (3, 40, 60)]], shape_type="path")
    mask = mask_of(shapes, image_of(STACK))
    np.testing.assert_array_equal(mask.any(axis=(1, 2)), [False, True, True, True, False])
    assert mask[1, 10, 10:31].all()
    assert not mask[1, 40, 31:].any()


@pytest.mark.parametrize("shapes", [Shapes(), Shapes([[(-30, -30), (-30, -10), (-10, -10)]], shape_type="polygon")])
def test_shapes_beside_the_image_mark_nothing(shapes):
    mask = mask_of(shapes, image_of(PLANE))
    assert mask.shape == PLANE
    assert not mask.any()


def test_flat_shapes_on_a_sheared_stack_get_a_sentence():
    shear = np.eye(4)
    shear[1, 0] = 0.5
    with pytest.raises(ImageError, match="lies elsewhere in every plane of 'cells'"):
        mask_of(drawn("polygon", image_of(PLANE)), image_of(STACK, affine=shear))


@pytest.mark.parametrize("place", PLACES)
def test_labels_on_the_pixels_of_the_image_are_taken_as_they_are(place):
    labels = np.random.default_rng(0).integers(-2, 3, STACK)
    image = image_of(STACK, **deeper(PLACES[place]))
    mask = mask_of(Labels(labels, **deeper(PLACES[place])), image)
    np.testing.assert_array_equal(mask, labels != 0)  # the negative ones, too, as in a script


def test_labels_a_whole_number_of_pixels_away_mark_what_they_cover():
    image = image_of(PLANE, scale=(0.5, 0.5), translate=(10, 10))
    labels = np.random.default_rng(0).integers(0, 2, (30, 100))
    mask = mask_of(Labels(labels, scale=(0.5, 0.5), translate=(8, 12.5)), image)
    expected = np.zeros(PLANE, bool)
    expected[:26, 5:] = labels[4:, :75]
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    "placed",
    [{"scale": (0.25, 0.25)}, {}, {"scale": (0.5, 0.5), "translate": (0.25, 0)}, {"scale": (0.5, 0.5), "rotate": 1}],
    ids=["finer", "unplaced", "half a pixel", "turned"],
)
def test_labels_on_other_pixels_get_a_sentence(placed):
    with pytest.raises(ImageError, match="the pixels of 'hole' do not lie on those of 'cells'"):
        mask_of(Labels(np.ones(PLANE, int), name="hole", **placed), image_of(PLANE, scale=(0.5, 0.5)))


def test_labels_of_a_stack_on_a_plane_get_a_sentence():
    with pytest.raises(ImageError, match=r"'hole' has 3 dimensions.*but 'cells' has 2"):
        mask_of(Labels(np.ones(STACK, int), name="hole"), image_of(PLANE))
