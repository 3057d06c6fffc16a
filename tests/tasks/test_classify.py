"""Classify: the same answer from Python, layers and the command line; bad input gets a sentence."""

import csv

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_genrecon import classify, load_model
from napari_genrecon.cli import main
from napari_genrecon.engine.run import Progress
from napari_genrecon.errors import ImageError, OptionError, UnknownModelError
from napari_genrecon.tasks.classify import ClassifyOptions, classify_steps


def squares(seed=0):
    """Twelve objects, small ones and large ones by turns, in noise."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((60, 80), np.int32)
    for i in range(12):
        side = 6 + 6 * (i % 2)
        labels[20 * (i // 4) + 3 :, 20 * (i % 4) + 3 :][:side, :side] = i + 1
    return rng.poisson(20 + 60 * (labels > 0)).astype(np.uint16), labels


GIVEN = {1: "small", 3: "small", 2: "large", 4: "large"}


def names(found):
    return [found.classes[c] for c in found.predicted]


@pytest.fixture(autouse=True)
def quick_encoder(monkeypatch):
    """The encoder is tested by itself, and takes a second for twelve objects."""
    few = "napari_genrecon.recognition.features.encode"
    monkeypatch.setattr(few, lambda x, *_: x[:, :, ::16, ::16].reshape(len(x), -1))


@pytest.fixture
def files(tmp_path):
    image, labels = squares()
    tifffile.imwrite(tmp_path / "cells.tif", image)
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    rows = "".join(f"{label},{name}\n" for label, name in GIVEN.items())
    (tmp_path / "table.csv").write_text(f"label,class\n{rows}5,\n")
    return tmp_path


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_objects_are_sorted_from_two_examples_of_each_class():
    found = classify(*squares(), GIVEN)
    assert names(found) == ["small", "large"] * 6
    assert found.classes == ("large", "small")
    assert found.given[:5].tolist() == [1, 0, 1, 0, -1]
    assert found.scores.confusion.sum() == 4
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    assert (found.margin <= found.probability).all()
    assert set(found.to_label_next(3)).isdisjoint((0, label) for label in GIVEN)


def test_command_line_and_python_give_the_same_table(files, capsys):
    arguments = [str(files / "cells.tif"), "--labels", str(files / "labels.tif"), "--classes", str(files / "table.csv")]
    assert main(["classify", *arguments]) == 0
    found, rows = classify(*squares(), GIVEN), table(files / "cells_classes.csv")
    assert [row["class"] for row in rows] == names(found)
    assert [float(row["probability"]) for row in rows] == found.table()["probability"]
    assert [row["given"] for row in rows][:5] == ["small", "large", "small", "large", ""]
    said = capsys.readouterr()
    assert "Balanced accuracy" in said.out
    assert "12 classified: 6 large, 6 small" in said.out
    assert main(["classify", *arguments]) == 1
    assert "exists already" in capsys.readouterr().err


def test_classes_in_a_file_of_points_are_those_of_its_points(files):
    _, labels = squares()
    centres = [np.argwhere(labels == number).mean(axis=0) for number in range(1, 13)]
    # As napari and `detect` write points, numbered from 0, with a column of classes added; the first has none.
    given = {2: "large", 3: "small", 4: "large", 5: "small"}
    rows = [f"{number - 1},{y},{x},{given.get(number, '')}" for number, (y, x) in enumerate(centres, 1)]
    points = str(files / "points.csv")
    (files / "points.csv").write_text("\n".join(["index,axis-0,axis-1,class", *rows]))
    assert main(["classify", str(files / "cells.tif"), "--points", points, "--classes", points]) == 0
    found = {int(row["label"]): row["given"] for row in table(files / "cells_classes.csv") if row["given"]}
    assert found == given


@pytest.mark.parametrize("name", ["cells.day1.tif", "cells.day1.ome.tif"])
def test_table_has_the_whole_name_of_its_image(files, name):
    tifffile.imwrite(files / name, squares()[0])
    rest = ["--labels", str(files / "labels.tif"), "--classes", str(files / "table.csv")]
    assert main(["classify", str(files / name), *rest]) == 0
    assert (files / "cells.day1_classes.csv").exists()


def test_folder_that_is_named_by_a_dot_gets_its_table_beside_it(tmp_path, monkeypatch):
    folder = tmp_path / "plate"
    for i in range(8):
        (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / "ab"[i % 2] / f"{i}.tif", squares(i)[0] // (1 + i % 2))
    monkeypatch.chdir(folder)
    assert main(["classify", "."]) == 0
    assert (tmp_path / "plate_classes.csv").exists()


def test_table_of_an_earlier_run_gives_what_was_given_and_not_what_was_predicted(files):
    arguments = [str(files / "cells.tif"), "--labels", str(files / "labels.tif"), "--classes"]
    assert main(["classify", *arguments, str(files / "table.csv")]) == 0
    assert main(["classify", *arguments, str(files / "cells_classes.csv"), "-o", str(files / "again.csv")]) == 0
    first, again = table(files / "cells_classes.csv"), table(files / "again.csv")
    assert first == again


def test_saved_model_gives_identical_answers_and_other_images_theirs(own_folders, files):
    arguments = [str(files / "cells.tif"), "--labels", str(files / "labels.tif")]
    assert main(["classify", *arguments, "--classes", str(files / "table.csv"), "--save", "sizes"]) == 0
    assert main(["classify", *arguments, "--model", "sizes", "-o", str(files / "again.csv")]) == 0
    for one, two in zip(table(files / "cells_classes.csv"), table(files / "again.csv"), strict=True):
        assert one["given"] in GIVEN.values() or one["given"] == ""
        assert {**one, "given": ""} == two
    assert names(classify(*squares(1), model="sizes")) == ["small", "large"] * 6
    with pytest.raises(OptionError, match="'sizes' is a classifier of objects: use classify"):
        load_model("sizes")


def test_points_of_several_images_keep_their_images_apart():
    images = [squares(seed)[0] for seed in (0, 1)]
    y, x = np.divmod(np.arange(12), 4)
    points = np.stack([20 * y + 8, 20 * x + 8], axis=1)
    found = classify(images, points=[points, points[:4]], classes=[GIVEN, {1: "small", 2: "large"}], size=24)
    assert found.objects.image.tolist() == [0] * 12 + [1] * 4
    assert names(found) == ["small", "large"] * 8
    assert found.scores.by_image


def test_points_of_one_channel_are_places_in_all():
    plane, labels = squares()
    image = np.stack([plane, plane // 2])
    places = np.stack([np.argwhere(labels == number).mean(axis=0) for number in range(1, 13)])
    # As `detect` writes points: in the order of the dimensions, with one of channels.
    of_channel = np.insert(places, 0, 1, axis=1)
    one, same = (classify(image, classes=GIVEN, points=points, axes="CYX", size=24) for points in (places, of_channel))
    assert one.table() == same.table()


def test_image_layers_bring_their_axes_and_pixel_size():
    layers = pytest.importorskip("napari.layers")
    image, labels = squares()
    layer = layers.Image(image, scale=(0.5, 0.5), units=("um", "um"))
    found = classify(layer, layers.Labels(labels), GIVEN)
    assert found.model.setting.pixel_size == (0.5, 0.5)
    np.testing.assert_array_equal(found.probabilities, classify(image, labels, GIVEN).probabilities)


def test_model_on_smaller_pixels_cuts_larger_crops(own_folders):
    image, labels = squares()
    scale = {"pixel_size": (0.5, 0.5), "units": ("micrometer",) * 2}
    classify(image, labels, GIVEN, **scale).save("sizes")
    fine = [np.repeat(np.repeat(a, 2, 0), 2, 1) for a in (image, labels)]
    same = classify(*fine, model="sizes", pixel_size=(0.25, 0.25), units=("micrometer",) * 2)
    assert names(same) == ["small", "large"] * 6
    assert same.objects.setting.side == 2 * classify(image, labels, GIVEN).objects.setting.side


def test_folder_of_class_folders_classifies_whole_images(own_folders, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for i in range(9):
        bright = i % 2
        folder = tmp_path / "all" / ("bright" if bright else "dim") if i < 8 else tmp_path / "all"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 100 + 150 * bright, (40, 30), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    assert main(["classify", str(tmp_path / "all"), "-o", str(tmp_path / "out.csv"), "--save", "light"]) == 0
    rows = table(tmp_path / "out.csv")
    assert [row["class"] for row in rows if row["given"]] == [row["given"] for row in rows if row["given"]]
    assert [row["class"] for row in rows if not row["given"]] == ["dim"]
    assert "had not seen it" in capsys.readouterr().out
    # A model takes the images of a folder, and what a message says of its subfolders can be done.
    again = ["classify", str(tmp_path / "all"), "--model", "light", "-o", str(tmp_path / "again.csv")]
    assert main(again) == 0
    assert len(table(tmp_path / "again.csv")) == 1
    assert "--recursive" in capsys.readouterr().err
    assert main([*again, "--overwrite", "--recursive"]) == 0
    assert len(table(tmp_path / "again.csv")) == 9


def test_work_can_be_stopped_after_a_few_objects():
    steps = classify_steps([squares()[0]], ClassifyOptions(), classes=GIVEN, where={"labels": [squares()[1]]})
    assert isinstance(next(steps), Progress)
    steps.close()


# --- bad input ---


@pytest.mark.parametrize(
    ("classes", "kind", "words"),
    [
        ({1: "a", 3: "a"}, OptionError, "all labels are of the class 'a'"),
        ({1: "a", 2: "a", 3: "b"}, OptionError, "the class 'b' has 1 labelled object:"),
        ({1: "a", 77: "b"}, ImageError, r"1 label that has a class is not in image 1 \(77\), of 2"),
        ({}, OptionError, "no object has a class"),
        (None, OptionError, "give either classes of some objects to learn from, or a model"),
        ([{1: "a"}, {2: "b"}], OptionError, "classes were given for 2 images, and there are 1"),
    ],
    ids=["one class", "one object", "no such label", "empty", "nothing", "two images"],
)
def test_classes_that_cannot_be_learnt_are_refused(classes, kind, words):
    image, labels = squares()
    labels[labels > 4] = 0
    with pytest.raises(kind, match=words):
        classify(image, labels, classes)


@pytest.mark.parametrize("n", [1, 3])
def test_axes_of_more_or_fewer_images_than_there_are_get_a_sentence(n):
    image, _ = squares()
    with pytest.raises(OptionError, match=f"{n} axes were given for 2 images: give one for each"):
        classify([image, image], classes=["a", "b"], axes=["YX"] * n)


def test_model_for_other_channels_says_which(own_folders):
    image, labels = squares()
    classify(image, labels, GIVEN).save("sizes")
    with pytest.raises(ImageError, match="'sizes' was trained on 1 channel, and the image has 3 channels"):
        classify(np.stack([image] * 3), labels, model="sizes", axes="CYX")
    with pytest.raises(ImageError, match="classifies a labels image, and points were given"):
        classify(image, points=[[5, 5]], model="sizes")
    with pytest.raises(OptionError, match="size 40 cannot be chosen with a model"):
        classify(image, labels, model="sizes", size=40)
    with pytest.raises(UnknownModelError, match="no 'classify' model named 'size'; did you mean 'sizes'"):
        classify(image, labels, model="size")


def test_objects_larger_than_the_crop_are_noted():
    found = classify(*squares(), GIVEN, size=8)
    assert found.notes == (
        "6 objects are larger than the crop of 8 pixels and cut off in it: a larger size sees all of it",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "it needs 'label' and 'class'"),
        ("label,class\nx,small\n", "line 2: the label must be a whole number, got 'x'"),
        ("label,class\n1.5,small\n", "line 2: the label must be a whole number, got '1.5'"),
        ("label,class\n99,small\n1,large\n", "is not in"),
        ("", "it needs 'label' and 'class'"),
    ],
    ids=["columns", "text", "fraction", "no such label", "empty"],
)
def test_tables_that_cannot_be_read_get_a_sentence(files, capsys, text, words):
    (files / "table.csv").write_text(text)
    arguments = [str(files / "cells.tif"), "--labels", str(files / "labels.tif"), "--classes", str(files / "table.csv")]
    assert main(["classify", *arguments]) == 1
    assert words in capsys.readouterr().err
    assert not (files / "cells_classes.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cells.tif"], "give --labels or --points and --classes, or --model"),
        (["cells.tif", "--labels", "labels.tif"], "--classes is needed"),
        (["cells.tif", "--classes", "table.csv"], "say where they are with --labels or --points"),
        (["."], "0 subfolders with images"),
        (["cells.tif", "--model", "x", "--save", "y"], "--save y keeps a model that was trained"),
        (["cells.tif", "--labels", "labels.tif", "--classes", "nothing.csv"], "cannot be read: No such file"),
    ],
)
def test_commands_that_lack_something_say_what(files, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(files)
    assert main(["classify", *arguments]) == 1
    assert words in capsys.readouterr().err
