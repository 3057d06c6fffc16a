"""New images from old ones: image, labels and points stay together, and the noise is the image's own."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_genrecon import NoiseModel, augment, measure_noise
from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.tasks.augment import AugmentOptions, augment_steps
from napari_genrecon.tasks.augment import parent as parents
from napari_genrecon.tasks.augment.contact import contact_steps
from napari_genrecon.tasks.augment.folder import Source
from napari_genrecon.tasks.augment.grain import at_exposure, draw_noise

STILL = {"flips": False, "rotate": 0.0, "scale": 0.0, "elastic": 0.0, "gamma": 0.0}
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "record.schema.json").read_text())


def scene(shape, seed=0, half=3):
    """Boxes that do not touch, with numbers far apart, and their centres."""
    rng = np.random.default_rng(seed)
    y, x = (np.linspace(5, n - 6, 6).round() for n in shape[-2:])
    points = rng.permutation(np.stack(np.meshgrid(y, x), axis=-1).reshape(-1, 2))[:30]
    if len(shape) == 3:
        points = np.column_stack([rng.integers(4, shape[0] - 4, 30), points])
    labels = np.zeros(shape, np.int32)
    for number, point in enumerate(points.astype(int)):
        labels[tuple(slice(a - half, a + half + 1) for a in point)] = 3000 * number + 1
    image = (30_000 * (labels > 0) + 1000).astype("uint16")
    return image, labels, points


def misses(example):
    """Distance of each point from the centroid of its label, where the whole object is in the image."""
    found = []
    for point, number in zip(example.points, example.kept, strict=True):
        pixels = np.argwhere(example.labels == 3000 * number + 1)
        inside = len(pixels) and (pixels.min(0)[-2:] > 0).all()
        if inside and (pixels.max(0)[-2:] < np.array(example.labels.shape[-2:]) - 1).all() and len(pixels) > 12:
            found.append(np.linalg.norm(pixels.mean(0) - point))
    return found


@pytest.mark.parametrize(
    ("shape", "bar"), [((256, 256), 0.5), ((200, 300), 0.5), ((16, 128, 128), 1.5)], ids=["2D", "rectangle", "3D"]
)
def test_points_stay_at_the_centroids_of_their_labels(shape, bar):
    image, labels, points = scene(shape)
    found = [
        miss for example in augment(image, labels, points, n=4, axes="ZYX"[-len(shape) :]) for miss in misses(example)
    ]
    assert len(found) > 40
    assert max(found) < bar


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("axes", ["YX", "CYX", "YXS", "TYX", "ZYX"])
def test_identity_returns_the_input_bit_for_bit(axes, dtype):
    shape = {"YX": (32, 40), "YXS": (32, 40, 4)}.get(axes, (3, 32, 40))
    image = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    (example,) = augment(image, n=1, axes=axes, **STILL)
    assert example.image.dtype == image.dtype
    np.testing.assert_array_equal(example.image, image)


@pytest.mark.parametrize("dtype", ["float16", "longdouble"])
def test_floats_of_any_size_are_turned(dtype):
    image = np.random.default_rng(0).integers(5, 120, (40, 33)).astype(dtype)
    for example in augment(image, n=2):
        assert example.image.dtype == image.dtype


def test_flips_alone_move_pixels_labels_and_points_exactly():
    image, labels, points = scene((64, 64))
    for example in augment(image, labels, points, n=8, **{**STILL, "flips": True}):
        np.testing.assert_array_equal(np.sort(example.image.ravel()), np.sort(image.ravel()))
        rows, columns = example.points.astype(int).T
        np.testing.assert_array_equal(example.labels[rows, columns], labels[tuple(points.astype(int).T)])
        np.testing.assert_array_equal(example.image > 1000, example.labels > 0)


@settings(max_examples=12)
@given(
    dtype=st.sampled_from(["uint8", "uint16", "int16", "float32"]),
    seed=st.integers(0, 99),
    axes=st.sampled_from(["YX", "CYX", "ZYX", "YXS"]),
    cutout=st.integers(0, 3),
    blur=st.sampled_from([0.0, 1.5]),
)
def test_dtype_range_and_label_values_are_kept(dtype, seed, axes, cutout, blur):
    shape = {"YX": (40, 33), "YXS": (40, 33, 3)}.get(axes, (3, 40, 33))
    rng = np.random.default_rng(seed)
    image = rng.integers(5, 120, shape).astype(dtype)
    labels = rng.choice([0, 7, 2**40], [n for n, letter in zip(shape, axes, strict=True) if letter not in "CS"])
    for example in augment(image, labels, n=2, seed=seed, axes=axes, cutout=cutout, blur=blur, elastic=20.0):
        assert example.image.dtype == image.dtype
        assert image.min() <= example.image.min() <= example.image.max() <= image.max()
        assert set(np.unique(example.labels)) <= {0, 7, 2**40}
        assert example.labels.dtype == labels.dtype


def test_same_seed_gives_the_same_images_and_another_seed_others():
    image, labels, points = scene((64, 64))
    one, same = (augment(image, labels, points, n=2, seed=3, blur=1.0, cutout=2) for _ in range(2))
    for a, b in zip(one, same, strict=True):
        assert a.image.tobytes() == b.image.tobytes()
        assert a.labels.tobytes() == b.labels.tobytes()
        assert a.points.tobytes() == b.points.tobytes()
        assert a.record == b.record
    other = augment(image, n=2, seed=4)
    assert not np.array_equal(one[0].image, other[0].image)
    assert not np.array_equal(one[0].image, one[1].image)


def test_one_option_changes_one_thing():
    image, labels, points = scene((64, 64))
    plain, blurred = (augment(image, labels, points, n=1, blur=blur)[0] for blur in (0.0, 2.0))
    np.testing.assert_array_equal(plain.points, blurred.points)
    np.testing.assert_array_equal(plain.labels, blurred.labels)
    assert not np.array_equal(plain.image, blurred.image)


@pytest.mark.parametrize("options", [{"rotate": 90.0}, {"scale": 0.5}, {"elastic": 50.0}], ids=lambda o: next(iter(o)))
def test_points_are_dropped_only_where_their_place_has_left_the_image(options):
    image, labels, points = scene((128, 128))
    for example in augment(image, labels, points, n=3, **{**STILL, **options}):
        gone = sorted(set(range(len(points))) - set(example.kept))
        assert (example.points >= -0.5).all()
        assert (example.points <= 127.5).all()
        for number in gone:  # of the object around a point that left, less than half is still there
            assert (example.labels == 3000 * number + 1).sum() <= 28
        assert max(misses(example)) < (0.5 if "rotate" in options else 1.0)  # extremes, where an object is not small


def test_what_lies_outside_the_image_is_background():
    image = np.full((64, 64), 1000, "uint16")
    image[:8] = 100  # the background
    (example,) = augment(image, np.ones_like(image), n=1, seed=1, **{**STILL, "rotate": 45.0})
    assert (example.image[example.labels == 0] == 100).all()
    assert (example.labels == 0).sum() > 100


def test_all_channels_and_frames_move_alike():
    image, _, _ = scene((96, 96))
    stack = np.stack([np.stack([image, image // 2]), np.stack([image, image // 2])])
    (example,) = augment(stack, n=1, axes="TCYX", gamma=0.0)
    np.testing.assert_array_equal(example.image[0], example.image[1])
    assert np.abs(example.image[0, 0].astype(int) // 2 - example.image[0, 1]).max() <= 1


@pytest.mark.parametrize(("axes", "column"), [("CYX", 0), ("YXC", 2)])
def test_points_of_one_channel_are_places_in_all(axes, column):
    image, labels, points = scene((64, 64))
    of_channel = np.insert(points.astype(float), column, 1, axis=1)  # as `detect` writes them
    both = np.stack([image] * 2, axis=axes.index("C"))
    (one,), (same,) = (augment(both, labels, given, n=1, axes=axes) for given in (points, of_channel))
    np.testing.assert_array_equal(one.points, same.points)


def test_movies_keep_the_frames_of_their_points():
    image, labels, points = scene((64, 64))
    points = np.column_stack([np.arange(len(points)) % 3, points])
    (example,) = augment(np.stack([image] * 3), np.stack([labels] * 3), points, n=1, axes="TYX")
    np.testing.assert_array_equal(example.points[:, 0], points[example.kept, 0])
    rows = example.points.round().astype(int)
    inside = ((rows[:, 1:] > 2) & (rows[:, 1:] < 61)).all(1)
    numbers = example.labels[tuple(rows[inside].T)]
    assert (numbers == 3000 * example.kept[inside] + 1).mean() > 0.9


# --- noise ---


def smooth_scene(side=256):
    y, x = np.mgrid[:side, :side]
    return 200 + 800 * np.exp(-((y - side / 2) ** 2 + (x - side / 2) ** 2) / (side * 8))


@pytest.mark.parametrize("exposure", [0.25, 1.0, 2.0])
@pytest.mark.parametrize(
    "model",
    [
        NoiseModel(gain=2.0, offset=100, read_noise=6.0),
        NoiseModel(read_noise=20.0),
        NoiseModel(gain=1.0, offset=100, read_noise=10.0, rho_x=0.5, rho_y=0.3),
    ],
    ids=["camera", "white", "correlated"],
)
def test_drawn_noise_is_measured_again_within_a_tenth(model, exposure):
    clean = smooth_scene(512)
    wanted = at_exposure(model, exposure)
    found = measure_noise(draw_noise(np.random.default_rng(0), clean, wanted))
    levels = np.array([220.0, 400.0, 800.0])
    np.testing.assert_allclose(found.sigma_at(levels), wanted.sigma_at(levels), rtol=0.1)
    np.testing.assert_allclose([found.rho_x, found.rho_y], [wanted.rho_x, wanted.rho_y], atol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("exposure", [0.5, 1.0])
def test_noise_of_new_images_is_that_of_the_image_at_the_chosen_exposure(exposure):
    model = NoiseModel(gain=2.0, offset=100, read_noise=6.0)
    image = np.rint(draw_noise(np.random.default_rng(1), smooth_scene(), model)).astype("uint16")
    measured = measure_noise(image)
    (example,) = augment(image, n=1, exposure=exposure, gamma=0.0)
    levels = np.array([220.0, 400.0, 800.0])
    found, wanted = measure_noise(example.image), at_exposure(measured, exposure)
    np.testing.assert_allclose(found.sigma_at(levels), wanted.sigma_at(levels), rtol=0.1)
    assert example.record["noise"][0]["gain"] == pytest.approx(measured.gain / exposure)
    assert example.record["model"]["name"]


def test_fractions_stay_fractions():
    image = np.clip(np.random.default_rng(0).normal(0.5, 0.2, (64, 64)), 0, 1).astype("float32")
    (example,) = augment(image, n=1, exposure=0.5)
    assert example.image.min() >= 0
    assert example.image.max() <= 1


# --- contact sheet ---


@pytest.mark.parametrize(
    ("axes", "shape", "sheet"),
    [
        ("YX", (40, 60), (84, 188)),
        ("CYX", (2, 40, 60), (2, 84, 188)),
        ("YXS", (40, 60, 3), (84, 188, 3)),
        ("YXC", (40, 60, 2), (2, 84, 188)),
        ("TZYX", (3, 5, 40, 60), (84, 188)),
        ("YX", (300, 400), (516, 776)),
    ],
)
def test_contact_sheet_shows_the_middle_of_the_first_new_images(axes, shape, sheet):
    axes = Axes(axes)
    image = np.random.default_rng(0).integers(0, 99, shape).astype("u1")
    letters = [i for i, letter in enumerate(axes.letters) if letter not in "CS"]
    labels = np.ones([shape[i] for i in letters], int)
    points = [[(shape[i] - 1) / 2 if axes.letters[i] in "YX" else shape[i] // 2 for i in letters]]
    source = Source(name="a", pixels=image, about=ImageMeta(axes=axes), labels=labels, points=points)
    options = AugmentOptions(n=5, **STILL)
    found = finish(contact_steps(source, options))
    assert found.image.shape == sheet
    assert found.labels.shape == tuple(n for n in sheet if n > 4)
    assert found.n == 5
    assert len(found.points) == 5
    assert found.labels[tuple(found.points.round().astype(int).T)].all()
    assert found.whole == (max(shape) <= 256)


# --- record, cancel, bad input ---


def test_record_says_synthetic_and_what_was_drawn():
    (example,) = augment(np.random.default_rng(0).poisson(9, (40, 40)), n=1, seed=5)
    jsonschema.validate(example.record, SCHEMA)
    json.dumps(example.record)
    assert (example.record["task"], example.record["nature"], example.record["seed"]) == ("augment", "synthetic", 5)
    assert example.record["parameters"]["angle"] == example.parameters["angle"]


def test_new_images_can_be_stopped_between_planes():
    steps = augment_steps(np.zeros((5, 40, 40), "u1") + np.arange(40, dtype="u1"), AugmentOptions(n=3, axes="TYX"))
    seen = [next(steps) for _ in range(4)]
    steps.close()
    assert [progress.done for progress in seen] == [0, 0, 0, 0]
    assert seen[-1].total == 3


def test_large_stacks_are_read_plane_by_plane_not_copied(monkeypatch):
    """The places of a whole stack at once would need eight times its memory and more."""
    stack, sizes = np.random.default_rng(0).integers(0, 99, (6, 48, 48)).astype("u1"), []
    from napari_genrecon.numerics.coordinate_map import CoordinateMap

    plain = CoordinateMap.places
    monkeypatch.setattr(
        CoordinateMap,
        "places",
        lambda self, plane=0: sizes.append(plain(self, plane).where.shape) or plain(self, plane),
    )
    augment(stack, n=1, axes="ZYX")
    assert sizes == [(3, 48, 48)] * 6


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        ({"labels": np.zeros((9, 9), int)}, ImageError, r"labels have the shape \(9, 9\) but the image has \(40, 40\)"),
        ({"labels": np.zeros((40, 40))}, ImageError, "labels have dtype float64: integers are needed"),
        ({"points": [[1, 2, 3]]}, ImageError, r"points have the shape \(1, 3\).* 2 finite columns are needed.* YX"),
        ({"points": [[1, np.nan]]}, ImageError, "finite columns"),
        ({"rotate": 200.0}, OptionError, "rotate must lie between 0 and 180, got 200"),
        ({"scale": -0.1}, OptionError, "scale must lie between 0 and 0.5"),
        ({"exposure": -1.0}, OptionError, "exposure must lie between 0 and 10"),
        ({"n": 0}, OptionError, "n must be 1 or more, got 0"),
        ({"cutout": 1.5}, OptionError, "cutout must be a whole number"),
    ],
)
def test_bad_input_gets_a_sentence(given, error, sentence):
    with pytest.raises(error, match=sentence):
        augment(np.random.default_rng(0).poisson(9, (40, 40)), **given)


def test_image_without_a_finite_pixel_gets_a_sentence():
    with pytest.raises(ImageError, match="holds no finite pixel"):
        augment(np.full((32, 32), np.nan))


def test_more_images_than_the_memory_holds_are_refused(monkeypatch):
    from napari_genrecon.tasks.augment import task

    monkeypatch.setattr(task, "available_memory", lambda: 10_000)
    with pytest.raises(ImageError, match=r"8 new images need .* make fewer, or write them into a folder"):
        augment(np.zeros((40, 40), "u2") + np.arange(40, dtype="u2"))


def test_points_outside_the_image_are_told():
    steps = augment_steps(np.random.default_rng(0).poisson(9, (40, 40)), AugmentOptions(n=1), None, [[5, 5], [50, 5]])
    (example,) = finish(steps)
    assert example.record["warnings"] == ["1 of the 2 points lies outside the image and is left out"]
    assert list(example.kept) == [0]


def test_exposure_must_be_positive():
    with pytest.raises(OptionError, match="exposure must be positive, got 0"):
        at_exposure(NoiseModel.white(3), 0)


def test_only_new_noise_loads_the_denoiser(monkeypatch):
    monkeypatch.setattr(parents, "denoise_steps", None)
    assert len(augment(np.random.default_rng(0).poisson(9, (40, 40)), n=1)) == 1
