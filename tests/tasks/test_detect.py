"""Detect: what is found, with how many false ones, and the same from Python, the command line and layers."""

import csv
import json
import re
from itertools import pairwise
from pathlib import Path

import dask.array as da
import jsonschema
import numpy as np
import pytest
import tifffile
from scipy.spatial import cKDTree

from napari_genrecon import NoiseModel, detect
from napari_genrecon.axes import Axes
from napari_genrecon.cli import main
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import GenReconWarning, ImageError, OptionError, OutputError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.layers import write_tiff_layers
from napari_genrecon.io.points import Points, read_columns, read_places
from napari_genrecon.io.record.check import record_at, verify
from napari_genrecon.io.record.methods import methods_text
from napari_genrecon.numerics.blobs.filters import Filters, filter_widths, noise_field
from napari_genrecon.tasks.detect import DetectOptions, detect_steps
from napari_genrecon.tasks.detect.finders import LogFinder, finders_of

pytestmark = pytest.mark.filterwarnings("ignore:nothing stands out:napari_genrecon.errors.GenReconWarning")


WHITE = NoiseModel.white(1.0)


def scene(seed, n=40, height=8.0, shape=(160, 160), sigma=1.5):
    """An image with white noise of s.d. 1 on 100, and the places of its spots."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(6, np.array(shape) - 7, (n, 2))
    image = 100 + rng.normal(size=shape)
    y, x = np.indices(shape)
    for place in places:
        image += height * np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / (2 * sigma**2))
    return image, places


def hits(found, places, near=2.5):
    return int((cKDTree(places).query(found.pixels[:, -2:])[0] < near).sum())


def test_spots_are_found_and_few_are_false():
    true = every = 0
    for seed in range(4):
        image, places = scene(seed)
        found = detect(image)
        true, every = true + hits(found, places), every + len(found)
        assert (found["false_share"] <= 0.05).all()
    assert true > 0.9 * 160
    assert every - true < 0.1 * every


@pytest.mark.parametrize("rho", [0.0, 0.6], ids=["white", "correlated"])
def test_nothing_is_found_in_noise(rho):
    rng = np.random.default_rng(2)
    assert sum(len(detect(100 + 5 * noise_field((256, 256), (rho, rho), rng))) for _ in range(4)) <= 1


def test_more_false_ones_may_be_asked_for():
    image, _ = scene(0, height=2.5)
    counts = [len(detect(image, fdr=fdr)) for fdr in (0.001, 0.05, 0.5)]
    assert counts == sorted(counts)
    assert counts[0] < counts[2]


def test_dark_is_bright_turned_over():
    image, _ = scene(1)
    bright, dark = detect(image, noise=1.0), detect(200 - image, noise=1.0, objects="dark")
    np.testing.assert_allclose(bright.pixels, dark.pixels, atol=1e-3)


@pytest.mark.parametrize("dtype", ["u2", "f8"])
def test_grey_values_do_not_matter(dtype):
    image, places = scene(2)
    found = detect((40 * image).astype(dtype))
    assert hits(found, places) > 0.9 * 40
    np.testing.assert_allclose(found["z"].max(), detect(image)["z"].max(), rtol=0.1)


def test_planes_of_a_movie_are_searched_one_by_one_and_lazily():
    planes = [scene(seed, n=12) for seed in range(3)]
    movie = np.stack([image for image, _ in planes])
    found = detect(da.from_array(movie, chunks=(1, 80, 80)), axes="TYX")
    np.testing.assert_array_equal(found.pixels, detect(movie, axes="TYX").pixels)
    for time, (_, places) in enumerate(planes):
        here = found.pixels[:, 0] == time
        assert cKDTree(found.pixels[here, 1:]).query(places)[0].max() < 2.5


def test_channels_are_searched_with_their_own_noise():
    image, places = scene(0)
    both = np.stack([image, 30 * np.random.default_rng(9).normal(size=image.shape)])
    assert set(detect(both, axes="CYX").pixels[:, 0]) == {0}
    assert hits(detect(both, axes="CYX"), places) > 36


def test_spot_in_a_stack_is_one_point_in_3d():
    z, y, x = np.indices((16, 64, 64))
    stack = np.random.default_rng(0).normal(size=z.shape)
    stack += 9 * np.exp(-(4 * (z - 7.4) ** 2 + (y - 30) ** 2 + (x - 20) ** 2) / 8)
    found = detect(stack, volume=True, spacing=2.0, axes="ZYX")
    np.testing.assert_allclose(found.pixels, [[7.4, 30, 20]], atol=0.6)
    assert len(detect(stack, axes="ZYX")) > 1  # in every plane that it crosses


def test_objects_of_an_image_without_an_even_part_come_with_a_note():
    rng = np.random.default_rng(0)
    grain = 100 + 20 * noise_field((128, 128), (0.95, 0.95), rng) + rng.normal(size=(128, 128))
    said = "no part of the image is even, .*: fine structure and smooth grain are found, too"
    with pytest.warns(GenReconWarning, match=said):
        assert len(detect(grain)) > 20


def test_colours_are_searched_in_their_mean():
    image, places = scene(3)
    rgb = np.stack([image + np.random.default_rng(i).normal(size=image.shape) for i in range(3)], -1)
    found = detect(rgb.clip(0, 255).astype("u1"))
    assert found.pixels.shape[1] == 2
    assert hits(found, places) > 30


def test_what_is_missing_or_hot_is_no_object():
    image = np.random.default_rng(0).normal(100, 1, (160, 160))
    image[40:60, 50:90] = np.nan
    image[100, 100] = 500
    assert len(detect(image)) == 0


@pytest.mark.parametrize("method", ["log", "net"])
def test_scattered_pixels_without_a_value_that_hide_objects_are_told(method):
    image, places = scene(3)
    image[np.random.default_rng(0).random(image.shape) < 0.05] = np.nan
    with pytest.warns(GenReconWarning, match="% of the image was not searched, as pixels without a value"):
        found = detect(image, method=method)
    assert hits(found, places) < 0.8 * len(places)


def test_tiles_do_not_show(monkeypatch):
    from napari_genrecon.tasks.detect import finders

    image, _ = scene(4, n=80, shape=(200, 300))
    whole = detect(image, noise=1.0)
    monkeypatch.setattr(finders, "TILE", 96)
    parts = detect(image, noise=1.0)
    np.testing.assert_allclose(parts.pixels, whole.pixels, atol=0.05)
    np.testing.assert_allclose(parts["z"], whole["z"], rtol=0.02)


def test_parts_of_deep_volumes_are_no_smaller_than_what_is_read_around_them():
    finder = LogFinder(Filters(filter_widths(2.0, 20.0, 3), (0.0,) * 3, (1.0,) * 3))
    assert finder.halo[0] == 0
    assert finder.tile((5000, 400, 400)) == (5000, max(finder.halo), max(finder.halo))


def test_cancel_between_parts_ends_the_search(monkeypatch):
    steps = detect_steps(scene(0)[0], DetectOptions())
    next(steps)
    steps.close()


def test_box_holds_a_disc_and_ends_at_the_edge_of_the_image():
    y, x = np.indices((3, 60, 80))[1:]
    image = np.random.default_rng(0).normal(0, 0.1, y.shape)
    image[1] += (np.hypot(y - 30, x - 40) < 10)[1] + (np.hypot(y - 30, x - 76) < 10)[1]
    found = detect(image, boxes=True, min_size=8, max_size=20, axes="TYX")
    assert found.boxes.shape == (2, 4, 3)
    assert (found.boxes[..., 0] == 1).all()
    left, right = found.boxes[np.argsort(found.pixels[:, 2])]
    np.testing.assert_allclose([left.min(axis=0), left.max(axis=0)], [[1, 20, 30], [1, 40, 50]], atol=2)
    assert right[:, 2].max() == 79.5
    plain = detect(image, min_size=8, max_size=20, axes="TYX")
    assert plain.boxes is None
    np.testing.assert_array_equal(plain.pixels, found.pixels)


def test_command_line_writes_the_corners_of_boxes_and_finds_them_again(tmp_path):
    source = tmp_path / "a.tif"
    tifffile.imwrite(source, scene(0, n=5)[0].astype(np.float32))
    assert main(["detect", str(source), "--boxes"]) == 0
    with (tmp_path / "a_detect.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = detect(tifffile.imread(source), boxes=True)
    for name in ("y_min", "y_max", "x_min", "x_max"):
        np.testing.assert_allclose([float(row[name]) for row in rows], expected[name], rtol=1e-6)
    assert main(["replay", str(tmp_path / "a_detect.csv")]) == 0


def test_points_know_their_units_and_columns():
    meta = ImageMeta(
        axes=Axes("TYX"), scale=(2, 0.5, 0.5), units=("pixel", "micrometer", "micrometer"), translate=(0, 3, 0)
    )
    points = Points(np.array([[1.0, 4.0, 6.0]]), {"z": np.array([7.0])}, meta=meta)
    assert points.positions.tolist() == [[2.0, 5.0, 3.0]]
    assert list(points.columns()) == ["index", "axis-0", "axis-1", "axis-2", "y_micrometer", "x_micrometer", "z"]


@pytest.mark.parametrize(("place", "unit"), [(0, "micrometer"), (123456789, "nanometer"), (-3e7, "micrometer")])
def test_places_far_from_the_origin_are_written_as_finely_as_near_ones(tmp_path, place, unit):
    pixels = np.array([[12.5, 7.25], [801.123456, 0.0]])
    meta = ImageMeta(axes=Axes("YX"), scale=(0.1, 0.1), units=(unit, unit), translate=(place, place))
    found = Points(pixels, meta=meta)
    with found.to_csv(tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    written = np.array([[float(row[f"{letter}_{unit}"]) for letter in "yx"] for row in rows])
    np.testing.assert_allclose(written, found.positions, rtol=0, atol=1e-4)  # a thousandth of a pixel
    assert [(row["axis-0"], row["axis-1"]) for row in rows] == [("12.5", "7.25"), ("801.123456", "0")]
    if not place:
        assert rows[0][f"y_{unit}"] == "1.25"


def test_layer_gives_its_units():
    from napari.layers import Image

    image, _ = scene(0)
    found = detect(Image(image, scale=(0.5, 0.5), translate=(1, 2), units=("um", "um")))
    np.testing.assert_allclose(found.positions, found.pixels * 0.5 + (1, 2))
    assert found.units == ("micrometer",) * 2


@pytest.mark.parametrize(
    "turn",
    [
        {"rotate": 30},
        {"shear": [0.3]},
        {"affine": [[0.9, -0.2, 4], [0.1, 1.2, -7], [0, 0, 1]]},
        {"rotate": -75, "shear": [0.2], "affine": [[1, 0, 2], [0.5, 1, 3], [0, 0, 1]]},
    ],
    ids=lambda turn: "+".join(turn),
)
@pytest.mark.parametrize("saved", [False, True], ids=["layer", "file"])
def test_places_of_a_turned_layer_are_where_it_shows_them(tmp_path, turn, saved):
    from napari.layers import Image

    image, _ = scene(0)
    layer = Image(image, scale=(0.5, 0.4), translate=(1, 2), units=("um", "um"), axis_labels=("y", "x"), **turn)
    if saved:
        write_tiff_layers(str(tmp_path / "a.ome.tif"), [layer.as_layer_data_tuple()])
        assert main(["detect", str(tmp_path / "a.ome.tif")]) == 0
    else:
        detect(layer).to_csv(tmp_path / "a_detect.csv")
    table = read_columns(tmp_path / "a_detect.csv")
    pixels = read_places(tmp_path / "a_detect.csv")
    np.testing.assert_allclose(pixels, detect(image).pixels, atol=1e-4)
    shown = [layer.data_to_world(place) for place in pixels]
    np.testing.assert_allclose(np.stack([table[f"{n}_micrometer"] for n in "yx"], 1), shown, rtol=1e-6)


# --- files ---


@pytest.fixture
def written(tmp_path):
    """An image file with a pixel size, and the file of its points."""
    image, _ = scene(0)
    meta = {"axes": "YX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1}
    tifffile.imwrite(tmp_path / "a.ome.tif", image.astype("f4"), metadata=meta)
    assert main(["detect", str(tmp_path / "a.ome.tif")]) == 0
    return tmp_path / "a.ome.tif", tmp_path / "a_detect.csv"


def test_command_line_writes_the_points_that_python_finds(written):
    source, target = written
    found = detect(tifffile.imread(source))
    np.testing.assert_allclose(read_places(target), found.pixels, rtol=1e-6)
    rows = list(csv.DictReader(target.open()))
    assert {"index", "axis-0", "axis-1", "y_micrometer", "score", "z", "size", "false_share"} <= set(rows[0])
    assert float(rows[0]["x_micrometer"]) == pytest.approx(0.1 * found.pixels[0, 1])


def test_record_of_points_is_whole_and_sealed(written):
    source, target = written
    record = record_at(target)
    schema = json.loads((Path(__file__).parents[2] / "docs" / "record.schema.json").read_text())
    jsonschema.validate(record, schema)
    assert record["input"]["path"] == str(source)
    assert record["output"]["points"] == len(read_places(target))
    assert f"{record['output']['points']} objects were found" in methods_text(record)
    assert verify(target) == []
    target.write_text(target.read_text().replace("1", "2", 1))
    assert verify(target) == ["the points were changed"]


def test_points_are_found_again(written, capsys):
    assert main(["replay", str(written[1])]) == 0
    assert "made again" in capsys.readouterr().out
    written[1].write_text(written[1].read_text().replace("\n0,", "\n0,1", 1))
    assert main(["replay", str(written[1])]) == 1


def test_points_are_never_replaced_unasked(written):
    source, target = written
    before = target.read_bytes()
    assert main(["detect", str(source)]) == 1
    assert target.read_bytes() == before
    assert main(["detect", str(source), "--overwrite", "--fdr", "0.001"]) == 0
    assert main(["detect", str(source), "-o", str(target.with_name("b.tif"))]) == 1
    assert main(["detect", str(source), "-o", str(target.with_name("out") / "")]) == 0
    assert sorted(path.name for path in target.with_name("out").iterdir()) == [
        "a_detect.csv", "a_detect.csv.genrecon.json",
    ]  # fmt: skip


def test_points_can_be_written_without_a_record(tmp_path):
    found = detect(scene(0)[0])
    found.to_csv(tmp_path / "p.csv")
    np.testing.assert_allclose(read_places(tmp_path / "p.csv"), found.pixels, rtol=1e-6)
    with pytest.raises(OutputError, match=r"p\.csv exists already"):
        found.to_csv(tmp_path / "p.csv")


def test_napari_opens_the_file_as_points(written):
    from napari_builtins.io import csv_to_layer_data

    (data, _, kind) = csv_to_layer_data(str(written[1]))
    assert kind == "points"
    np.testing.assert_allclose(data, read_places(written[1]))


# --- sentences ---


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"fdr": 0.0}, "fdr must lie between 0.0001 and 0.5, got 0.0"),
        ({"min_size": 1.0}, "min_size must lie between 1.5 and 500, got 1.0"),
        ({"min_size": 9.0}, "min_size is 9 and max_size 8: the smallest size must not be larger"),
        ({"objects": "red"}, "objects must be 'bright' or 'dark', got 'red'"),
        ({"spacing": 0.0}, "spacing must lie between 0.1 and 100, got 0.0"),
        ({"noise": -1.0}, "the s.d. of noise must be above 0, got -1.0"),
    ],
)
def test_options_that_cannot_work_get_a_sentence(given, sentence):
    with pytest.raises(OptionError, match=sentence):
        DetectOptions(**given)


def test_volume_without_z_gets_a_sentence():
    with pytest.raises(ImageError, match="the image has the axes TYX and no Z, which 'volume' needs"):
        detect(np.zeros((3, 32, 32)), volume=True, axes="TYX")


def test_nothing_found_is_said():
    with pytest.warns(GenReconWarning, match="nothing stands out from the noise: no bright object of 2 to 8 pixels"):
        found = detect(np.random.default_rng(0).normal(size=(64, 64)))
    assert len(found) == 0
    assert found.positions.shape == (0, 2)


def test_sizes_beyond_the_image_cost_and_change_nothing():
    image = scene(0, n=2, shape=(40, 48))[0]
    widest = detect(image, max_size=48, method="log")
    np.testing.assert_array_equal(detect(image, max_size=500, method="log").pixels, widest.pixels)
    # Widths, and with them the time, are those of the image.
    (filters,) = (finder.filters for finder in finders_of(DetectOptions(max_size=500), [WHITE], (40, 48))["log"])
    assert filters.sizes[-3] == pytest.approx(48)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (5, 7)])
def test_tiny_images_are_searched(shape):
    assert len(detect(np.random.default_rng(0).normal(size=shape), noise=NoiseModel.white(1.0))) == 0


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a,b\n1,2\n", "has the columns a, b, and places need axis-0, axis-1"),
        ("axis-0,axis-1\n1,x\n", "holds a line without a number in each of its 2 columns"),
        ("axis-0,axis-1\n1\n", "holds a line without a number in each of its 2 columns"),
        ("y,x\n1,nan\n", "holds a place that is not finite"),
        ("", "is empty"),
    ],
)
def test_files_that_are_no_points_get_a_sentence(tmp_path, content, sentence):
    (tmp_path / "p.csv").write_text(content)
    with pytest.raises(ImageError, match=sentence):
        read_places(tmp_path / "p.csv")


def test_surer_points_come_first_and_are_less_often_false():
    found = detect(scene(0)[0])
    assert all(a <= b for a, b in pairwise(found["false_share"]))
    assert np.allclose(found["score"], 1 - found["false_share"])
    assert finish(detect_steps(scene(0)[0], DetectOptions())).record["found"]["points"] == [len(found)]


# --- objects wider than was asked for ---


def discs(diameter, height=20.0, seed=0):
    """An image of noise of s.d. 1 with four discs, and their places."""
    y, x = np.indices((240, 240))
    image, places = 100 + np.random.default_rng(seed).normal(size=y.shape), [(50, 60), (70, 180), (170, 60), (180, 190)]
    for place in places:
        image += height * (np.hypot(y - place[0], x - place[1]) < diameter / 2)
    return image, places


def note_on_wide(image, **options):
    """What the record says of wide objects, and the size to try."""
    said = finish(detect_steps(image, DetectOptions(**options))).record["warnings"]
    notes = [note for note in said if "wider than the largest size" in note]
    return notes[0] if notes else "", float(re.search(r"\(max_size=(\d+)\)", notes[0])[1]) if notes else None


@pytest.mark.parametrize("objects", ["bright", "dark"])
def test_objects_wider_than_the_largest_size_are_named_with_a_size_that_finds_them(objects):
    image, places = discs(30)
    image = image if objects == "bright" else 200 - image
    said, size = note_on_wide(image, objects=objects)
    assert f"4 {objects} objects wider than the largest size of 8 pixels got no point" in said
    found = detect(image, objects=objects, max_size=size)
    assert (cKDTree(found.pixels).query(places)[0] < 3).all()
    assert note_on_wide(image, objects=objects, max_size=size)[0] == ""


def test_wide_objects_are_named_in_every_plane_and_in_volumes():
    z, y, x = np.indices((16, 96, 96))
    stack = np.random.default_rng(0).normal(size=z.shape)
    stack += 20 * ((2 * (z - 8)) ** 2 + (y - 40) ** 2 + (x - 50) ** 2 < 7**2)
    assert "objects wider than the largest size of 3 pixels" in note_on_wide(stack, axes="ZYX", max_size=3)[0]
    said, size = note_on_wide(stack, axes="ZYX", max_size=3, volume=True, spacing=2.0)
    assert "1 bright object wider than the largest size of 3 pixels" in said
    found = detect(stack, axes="ZYX", max_size=size, volume=True, spacing=2.0)
    np.testing.assert_allclose(found.pixels[0], [8, 40, 50], atol=1)


def test_network_that_was_asked_for_names_the_method_that_finds_wide_objects():
    assert "with method 'log'" in note_on_wide(discs(30)[0], method="net")[0]


@pytest.mark.parametrize(
    "image",
    [
        scene(0)[0],
        scene(0, n=200, height=40.0)[0],
        scene(1, n=60, height=30.0, sigma=3.4)[0],
        noise_field((256, 256), (0.9, 0.9), np.random.default_rng(0)),
        discs(8, height=5.0)[0],
    ],
    ids=["spots", "crowded spots", "spots of the largest size", "grain", "discs of the largest size"],
)
def test_spots_and_noise_are_no_wide_objects(image):
    assert note_on_wide(image)[0] == ""
