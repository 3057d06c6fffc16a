"""Folders of training images: split by image, whole or not at all, the same bytes for the same seed."""

import hashlib
import json

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from napari.layers import Image

from napari_genrecon import augment
from napari_genrecon.axes import Axes
from napari_genrecon.cli import main
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import ExistsError, ImageError, OptionError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.layers import read_layers, write_tiff_layers
from napari_genrecon.io.points import places_text, read_places
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import verify
from napari_genrecon.io.record.methods import methods_text
from napari_genrecon.tasks.augment import AugmentOptions
from napari_genrecon.tasks.augment.folder import Source, folder_steps
from napari_genrecon.tasks.augment.inputs import belonging

ABOUT = ImageMeta(axes=Axes("YX"), scale=(0.3, 0.3), units=("micrometer", "micrometer"))


def sources(n=4, same=()):
    made = []
    for index in range(n):
        rng = np.random.default_rng(same.index(index) if index in same else 100 + index)
        rng = np.random.default_rng(7) if index in same else rng
        image = rng.poisson(20, (32, 32)).astype("uint16")
        labels = np.zeros((32, 32), np.int64)
        labels[10:14, 12:18] = 5
        made.append(Source(name=f"cell {index}", pixels=image, about=ABOUT, labels=labels, points=[[12.0, 15.0]]))
    return made


def made(folder, n=2, validation=0.25, **options):
    return finish(folder_steps(sources(), folder, AugmentOptions(n=n, **options), validation=validation))


def test_folder_holds_images_labels_points_and_a_manifest(tmp_path):
    manifest = made(tmp_path / "a")
    assert json.loads((tmp_path / "a" / "manifest.json").read_text()) == manifest
    files = {path.relative_to(tmp_path / "a").as_posix() for path in (tmp_path / "a").rglob("*.*")} - {"manifest.json"}
    assert files == {entry[kind] for entry in manifest["files"] for kind in ("image", "labels", "points")}
    for entry in manifest["files"]:
        for kind, digest in entry["sha256"].items():
            assert hashlib.sha256((tmp_path / "a" / entry[kind]).read_bytes()).hexdigest() == digest
        image = open_image(tmp_path / "a" / entry["image"])
        assert image.scale == (0.3, 0.3)
        assert image.data.dtype == "uint16"
        assert np.asarray(open_image(tmp_path / "a" / entry["labels"]).data).max() in (0, 5)


def test_same_seed_gives_the_same_bytes(tmp_path):
    one, same = made(tmp_path / "a", seed=3), made(tmp_path / "b", seed=3)
    assert one == same
    for path in (tmp_path / "a").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
    assert made(tmp_path / "c", seed=4) != one


def test_validation_is_never_augmented_and_no_parent_is_in_both_parts(tmp_path):
    manifest = made(tmp_path / "a")
    parts = {
        split: {e["parent"] for e in manifest["files"] if e["split"] == split} for split in ("train", "validation")
    }
    assert parts["train"]
    assert parts["validation"]
    assert not parts["train"] & parts["validation"]
    held = [entry for entry in manifest["files"] if entry["split"] == "validation"]
    assert not any(entry["synthetic"] for entry in held)
    originals = {source.name.replace(" ", "_"): source.pixels for source in sources()}
    for entry in held:
        np.testing.assert_array_equal(open_image(tmp_path / "a" / entry["image"]).data, originals[entry["parent"]])


@given(same=st.lists(st.integers(0, 5), min_size=2, max_size=4, unique=True), seed=st.integers(0, 50))
def test_copies_of_an_image_are_in_the_same_part(same, seed):
    from napari_genrecon.tasks.augment.folder import _split

    digests = ["copy" if index in same else str(index) for index in range(6)]
    splits, notes = _split(digests, 0.3, seed)
    assert len({splits[index] for index in same}) == 1
    assert {"train", "validation"} == set(splits)
    copies = (
        "1 of the 6 images is a copy of another" if len(same) == 2 else f"{len(same) - 1} of the 6 images are copies"
    )
    assert notes[0].startswith(copies)


def test_new_images_say_that_they_are_synthetic(tmp_path):
    manifest = made(tmp_path / "a")
    new = [entry for entry in manifest["files"] if entry["synthetic"]]
    assert len(new) == 6
    for entry in new:
        record = open_image(tmp_path / "a" / entry["image"]).record
        assert record["nature"] == "synthetic"
        assert verify(tmp_path / "a" / entry["image"]) == []
        assert "It is no measurement" in methods_text(record)
        assert open_image(tmp_path / "a" / entry["labels"]).record["nature"] == "synthetic"
        assert "_aug" in entry["image"]
    plain = [entry for entry in manifest["files"] if not entry["synthetic"]]
    assert all(open_image(tmp_path / "a" / entry["image"]).record is None for entry in plain)


def test_one_image_is_not_split_and_that_is_told(tmp_path):
    manifest = finish(folder_steps(sources(1), tmp_path / "a", AugmentOptions(n=1)))
    assert "only one image" in manifest["notes"][0]
    assert {entry["split"] for entry in manifest["files"]} == {"train"}


def test_cancel_leaves_nothing(tmp_path):
    steps = folder_steps(sources(), tmp_path / "a", AugmentOptions(n=3))
    for _ in range(25):
        next(steps)
    assert list(tmp_path.iterdir())
    steps.close()
    assert list(tmp_path.iterdir()) == []


def test_folder_that_holds_something_is_refused_and_kept(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ExistsError, match="exists already and is not empty"):
        finish(folder_steps(sources(), tmp_path, AugmentOptions()))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_empty_folder_is_filled(tmp_path):
    (tmp_path / "a").mkdir()
    assert made(tmp_path / "a")["files"]


def test_images_of_64_bits_are_stored_in_32_with_the_same_values(tmp_path):
    image = np.arange(32 * 32).reshape(32, 32) + 70_000
    finish(folder_steps([Source(name="a", pixels=image, about=ABOUT)], tmp_path / "out", AugmentOptions(n=1)))
    stored = np.asarray(open_image(tmp_path / "out" / "train" / "images" / "a.ome.tif").data)
    assert stored.dtype == np.int32
    np.testing.assert_array_equal(stored, image)


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"validation": 0.9}, OptionError, "validation must lie between 0 and 0.5, got 0.9"),
        ({"sources": []}, OptionError, "there is no image to augment"),
        ({"labels": np.zeros((3, 3), int)}, ImageError, "labels have the shape"),
        ({"labels": np.full((32, 32), 2**40)}, ImageError, "the OME-TIFF files .* hold integers of 32 bits: renumber"),
    ],
)
def test_bad_input_gets_a_sentence_and_leaves_nothing(tmp_path, change, error, sentence):
    images = change.get("sources", sources(2))
    if "labels" in change:
        images = [Source(name="a", pixels=images[0].pixels, about=ABOUT, labels=change["labels"])]
    with pytest.raises(error, match=sentence):
        finish(folder_steps(images, tmp_path / "a", AugmentOptions(), validation=change.get("validation", 0.0)))
    assert list(tmp_path.iterdir()) == []


# --- command line ---


@pytest.fixture
def files(tmp_path):
    for kind in ("images", "labels", "points"):
        (tmp_path / kind).mkdir()
    for source in sources():
        name = source.name.replace(" ", "_")
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", source.pixels)
        tifffile.imwrite(tmp_path / "labels" / f"{name}_mask.tif", source.labels.astype("u2"))
        (tmp_path / "points" / f"{name}.csv").write_text("y,x,kind\n12,15,a\n")
    return tmp_path


def test_command_line_and_python_give_the_same_pixels(files, capsys):
    command = ["augment", str(files / "images"), "-o", str(files / "out"), "--n", "2", "--seed", "3"]
    assert main([*command, "--labels", str(files / "labels"), "--points", str(files / "points")]) == 0
    assert "6 new images from 3 to train on, 1 set aside" in capsys.readouterr().out
    manifest = json.loads((files / "out" / "manifest.json").read_text())
    entry = next(entry for entry in manifest["files"] if entry["synthetic"])
    source = open_image(files / "images" / f"{entry['parent']}.tif")
    labels = open_image(files / "labels" / f"{entry['parent']}_mask.tif").data
    example = augment(source.data, labels, [[12, 15]], n=2, seed=3)[entry["index"]]
    np.testing.assert_array_equal(open_image(files / "out" / entry["image"]).data, example.image)
    np.testing.assert_array_equal(open_image(files / "out" / entry["labels"]).data, example.labels)
    np.testing.assert_array_equal(read_places(files / "out" / entry["points"]), example.points)


def test_new_image_can_be_made_again_from_its_record(files, capsys):
    assert (
        main(
            ["augment", str(files / "images"), "-o", str(files / "out"), "--n", "1", "--labels", str(files / "labels")]
        )
        == 0
    )
    manifest = json.loads((files / "out" / "manifest.json").read_text())
    entry = next(entry for entry in manifest["files"] if entry["synthetic"])
    assert main(["replay", str(files / "out" / entry["image"])]) == 0
    assert "every pixel agrees" in capsys.readouterr().out
    assert main(["replay", str(files / "out" / entry["labels"])]) == 1
    assert "replay the image" in capsys.readouterr().err


def test_new_images_of_layers_that_were_saved_together_are_no_results(tmp_path):
    record = {"schema": "genrecon-record/1", "task": "denoise", "nature": "restored"}
    image = np.random.default_rng(0).poisson(20, (32, 32)).astype("uint16")
    layers = [Image(image, name=name, rotate=30, metadata={"genrecon": record}) for name in ("cells", "nuclei")]
    write_tiff_layers(str(tmp_path / "both.ome.tif"), [layer.as_layer_data_tuple() for layer in layers])
    assert main(["augment", str(tmp_path / "both.ome.tif"), "-o", str(tmp_path / "new"), "-n", "1"]) == 0
    found = read_layers(tmp_path / "new" / "train" / "images" / "both_aug0001.ome.tif")
    assert found[0][1]["metadata"]["genrecon"]["nature"] == "synthetic"
    assert "restored" not in str(found)
    turn = np.asarray(found[0][1]["affine"][0])[:2, :2]
    np.testing.assert_allclose(turn, np.asarray(layers[0].rotate), atol=1e-9)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--labels", "labels/cell_0_mask.tif"], "1 file of labels was given for 4 images"),
        (["--points", "images"], "there is no CSV file of points"),
        (["--validation", "0.7"], "validation must lie between 0 and 0.5"),
        (["--rotate", "400"], "rotate must lie between 0 and 180"),
    ],
)
def test_command_line_refuses_with_a_sentence(files, monkeypatch, capsys, more, sentence):
    monkeypatch.chdir(files)
    assert main(["augment", "images", "-o", "out", *more]) == 1
    assert sentence in capsys.readouterr().err
    assert not (files / "out").exists()


@pytest.mark.parametrize("command", ["augment", "advise"])
def test_help_of_the_command_can_be_read(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert "--labels" in capsys.readouterr().out


def test_labels_are_found_by_the_names_of_their_images(tmp_path):
    files = [tmp_path / name for name in ("img10_mask.tif", "img1_mask.tif", "img2.ome.tif")]
    found = belonging(["img1", "img2", "img10"], files, "labels", in_order=False)
    assert [path.name for path in found] == ["img1_mask.tif", "img2.ome.tif", "img10_mask.tif"]
    with pytest.raises(OptionError, match=r"the image img3 needs one file of labels .* found: none"):
        belonging(["img3"], files, "labels", in_order=False)


def test_folder_may_hold_images_and_labels(files, capsys):
    for path in (files / "labels").iterdir():
        path.rename(files / "images" / path.name)
    both = str(files / "images")
    assert main(["augment", both, "--labels", both, "-o", str(files / "out"), "--n", "1"]) == 0
    assert "3 new images from 3 to train on, 1 set aside" in capsys.readouterr().out
    manifest = json.loads((files / "out" / "manifest.json").read_text())
    assert all("labels" in entry for entry in manifest["files"])


def test_new_images_are_no_parents_again(files, capsys):
    assert main(["augment", str(files / "images"), "-o", str(files / "out"), "--n", "1"]) == 0
    train = str(files / "out" / "train" / "images")
    assert main(["augment", train, "-o", str(files / "again"), "--n", "1", "--validation", "0"]) == 0
    told = capsys.readouterr()
    assert told.err.count("is a new image already and is left out") == 3
    assert "3 new images from 3 to train on" in told.out


# --- points ---


@given(
    points=st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), max_size=5),
)
def test_points_come_back_from_their_file(tmp_path_factory, points):
    path = tmp_path_factory.mktemp("points") / "p.csv"
    array = np.array(points, float).reshape(-1, 3)
    path.write_text(places_text(array))
    np.testing.assert_array_equal(read_places(path), array)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("x,score,y\n2,9,1\n", [[1, 2]]),
        ("\ufeffindex,axis-0,axis-1,axis-2\n0,1,2,3\n\n", [[1, 2, 3]]),
    ],
)
def test_tables_of_others_are_read(tmp_path, text, expected):
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    np.testing.assert_array_equal(read_places(tmp_path / "p.csv"), expected)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "has the columns a, b, and places need axis-0"),
        ("y,x\n1,two\n", "a line without a number"),
        ("y,x\n1\n", "a line without a number"),
    ],
)
def test_what_holds_no_points_gets_a_sentence(tmp_path, text, sentence):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(ImageError, match=sentence):
        read_places(tmp_path / "p.csv")


def test_missing_points_file_gets_a_sentence(tmp_path):
    with pytest.raises(ImageError, match="cannot be read"):
        read_places(tmp_path / "none.csv")
