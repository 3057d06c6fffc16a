"""From images to a model to samples in a file: the whole chain, whatever face of the program is used."""

import inspect
import signal

import numpy as np
import pytest
import tifffile

from napari_genrecon import load_model, sample, train
from napari_genrecon.cli import main
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import verify
from napari_genrecon.models.registry import list_models, models_folder
from napari_genrecon.tasks.sample import SampleOptions, sample_steps
from napari_genrecon.tasks.train import image_keywords, interruptible, train_steps
from napari_genrecon.training.data.cut import cut_crops
from napari_genrecon.training.data.dataset import CropOptions
from napari_genrecon.training.options import TrainOptions
from napari_genrecon.training.recipes.vae import VAEOptions
from napari_genrecon.training.runs.store import find_run, find_runs

TINY = VAEOptions(latent=3, width=4, batch=4, steps=4, device="cpu")
FLAGS = ["--latent", "3", "--width", "4", "--batch", "4", "--steps", "4", "--device", "cpu"]

pytestmark = pytest.mark.usefixtures("own_folders")


@pytest.fixture
def image(tmp_path):
    """Two channels with a pixel size."""
    path = tmp_path / "cells.tif"
    pixels = (np.random.default_rng(0).poisson(30, (2, 300, 320)) + np.array([[[500]], [[900]]])).astype("u2")
    tifffile.imwrite(path, pixels, imagej=True, resolution=(5, 4), metadata={"axes": "CYX", "unit": "um"})
    return path


@pytest.fixture
def model(tmp_path):
    """Name of a model of 16-bit crops with one channel."""
    crops = np.random.default_rng(0).poisson(40, (60, 32, 32)).astype("u2")
    return train("vae", crops, name="cells", options=TINY, pixel_size=(0.3, 0.2), units=("micrometer",) * 2).card.name


# --- training ---


def test_trained_model_is_kept_and_makes_the_grey_values_of_the_images(image):
    pixels = open_image(image).data
    made = train("vae", pixels, name="cells", axes="CYX", options=TINY, channel_names=("dna", "golgi"))
    np.testing.assert_array_equal(made.sample(2, seed=1), load_model("cells").sample(2, seed=1))
    samples = made.sample(4, seed=0)
    assert samples.shape == (4, 2, 32, 32)
    assert 500 <= samples[:, 0].min() <= samples[:, 0].max() < 900 <= samples[:, 1].min()
    assert find_runs()[0].state() == "finished"


@pytest.mark.parametrize("kind", ["vae", "dcgan"])
def test_command_line_and_script_train_the_same_model(image, kind, capsys):
    images, where, _ = image_keywords([image])
    made = train(kind, images, name="script", options=TINY, **where)
    assert main(["train", kind, str(image), "--name", "command", *FLAGS]) == 0
    assert "trained command" in capsys.readouterr().out
    np.testing.assert_array_equal(load_model("command").sample(3, seed=5), made.sample(3, seed=5))
    assert load_model("command").card.pixel_size == pytest.approx((0.25, 0.2))


def test_objects_of_a_labels_file_are_learnt(image, tmp_path, capsys):
    labels = np.zeros((300, 320), "u2")
    corners = [(y, x) for y in range(20, 260, 25) for x in range(20, 280, 25)]
    for number, (y, x) in enumerate(corners, 1):
        labels[y : y + 8, x : x + 8] = number
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    command = ["train", "vae", "--crops", "objects", str(image), "--labels", str(tmp_path / "labels.tif"), *FLAGS]
    assert main(command) == 0
    card = list_models()[-1]
    assert card.n_train + card.n_held_out <= len(corners)
    assert find_run("vae").crops().options["mode"] == "objects"


def test_interrupt_saves_and_the_run_goes_on(image, capsys, monkeypatch):
    from napari_genrecon.training.runs import folder as run_folder

    real, calls = run_folder.RunFolder.follow, []

    def follow(self, state, losses):
        calls.append(state.step)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return real(self, state, losses)

    monkeypatch.setattr(run_folder.RunFolder, "follow", follow)
    assert main(["train", "vae", str(image), "--name", "cells", *FLAGS]) == 130
    assert "stopped and saved" in capsys.readouterr().err
    assert find_run("cells").state() == "stopped"
    assert main(["runs", "--resume", "cells"]) == 0
    assert calls == [1, 2, 3, 4]
    assert find_run("cells").state() == "finished"
    assert main(["runs"]) == 0
    assert "cells  (vae, finished, 4 steps" in capsys.readouterr().out
    assert main(["runs", "--stop", "cells"]) == 1
    assert "is not running: it is finished" in capsys.readouterr().err


def test_list_of_no_runs_says_so(capsys):
    assert main(["runs"]) == 0
    assert "no training was begun yet" in capsys.readouterr().out


def test_interrupt_is_left_as_it_was_found():
    before = signal.getsignal(signal.SIGINT)
    assert finish(interruptible(x for x in [])) is None
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["vea", "cells.tif"], "kind must be 'vae' or 'dcgan'"),
        (["vae", "cells.tif", "--crops", "objects"], "need a labels image"),
        (["vae", "cells.tif", "--labels", "a.tif", "b.tif"], "2 labels files were given for 1 image:"),
        (["vae", "cells.tif", "--size", "128"], "too small to hold out crops of 128 pixels"),
        (["vae", "cells.tif", "--size", "128"], "or hold out none (--held-out 0)"),
        (["vae", "nothing.tif"], "there is no file nothing.tif"),
        (["vae", "cells.tif", "--beta", "-1"], "beta must lie between"),
    ],
)
def test_training_that_cannot_work_gets_a_sentence(image, capsys, arguments, sentence):
    assert main(["train", *arguments]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert find_runs() == []


def test_images_of_different_pixel_sizes_are_told(image, tmp_path):
    other = tmp_path / "other.tif"
    tifffile.imwrite(other, open_image(image).data, imagej=True, resolution=(2, 2), metadata={"axes": "CYX"})
    _, where, notes = image_keywords([image, other])
    assert where["pixel_size"] == pytest.approx((0.25, 0.2))
    assert "different pixel sizes" in notes[0]


def test_train_takes_the_keywords_of_the_crops():
    ours = inspect.signature(train).parameters
    not_offered = {"options", "needed"}
    assert set(inspect.signature(cut_crops).parameters) - not_offered <= set(ours)
    assert {"minutes", "steps", "seed", "device"} <= set(TrainOptions.__dataclass_fields__)


def test_short_keywords_win_over_options():
    crops = np.random.default_rng(0).poisson(40, (60, 32, 32)).astype("u2")
    train("vae", crops, options=TINY, steps=2, seed=7)
    run = find_run("vae")
    assert (run.options["steps"], run.options["seed"], run.options["width"]) == (2, 7, 4)


def test_closing_the_steps_saves_what_was_trained():
    crops = np.random.default_rng(0).poisson(40, (60, 32, 32)).astype("u2")
    steps = train_steps(crops, CropOptions(), TINY, name="cells")
    while next(steps).done < 2:
        pass
    steps.close()
    assert find_run("cells").state() == "stopped"
    assert load_model("cells").card.steps == 2


# --- samples ---


def test_window_script_and_command_line_sample_the_same_pixels(model, tmp_path, capsys):
    target = tmp_path / "out.ome.tif"
    assert main(["sample", model, "-n", "5", "--seed", "3", "-o", str(target)]) == 0
    assert capsys.readouterr().out.strip() == str(target)
    written = np.asarray(open_image(target).data)
    np.testing.assert_array_equal(written, sample(model, 5, seed=3))
    np.testing.assert_array_equal(written, finish(sample_steps(SampleOptions(model=model, n=5, seed=3))).data)
    np.testing.assert_array_equal(written, load_model(model).sample(5, seed=3))


@pytest.mark.parametrize("ending", ["tif", "zarr"])
def test_samples_in_a_file_are_marked_synthetic_and_have_the_pixel_size(model, tmp_path, ending, capsys):
    target = tmp_path / f"out.ome.{ending}"
    assert main(["sample", model, "-n", "3", "-o", str(target)]) == 0
    found = open_image(target)
    assert (found.axes.letters, found.data.shape) == ("TYX", (3, 32, 32))
    assert found.scale[-2:] == pytest.approx((0.3, 0.2))
    assert found.units[-2:] == ("micrometer", "micrometer")
    assert (found.record["task"], found.record["nature"]) == ("sample", "synthetic")
    assert found.record["model"]["name"] == model
    assert verify(target) == []
    assert main(["replay", str(target)]) == 0
    assert "every pixel agrees" in capsys.readouterr().out
    assert main(["methods", str(target)]) == 0
    assert "3 synthetic images were generated" in capsys.readouterr().out


def test_samples_are_never_written_over_a_file(model, tmp_path, capsys):
    target = tmp_path / f"{model}_sample.ome.tif"
    target.write_bytes(b"precious")
    assert main(["sample", model, "-n", "2"]) == 1
    assert target.read_bytes() == b"precious"
    assert "exists already" in capsys.readouterr().err
    assert main(["sample", model, "-n", "2", "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["cels"], "did you mean 'cells'"),
        (["cells", "-n", "0"], "n must be 1 or more, got 0"),
        (["cells", "-o", "out.png"], "end it in .ome.zarr or .ome.tif"),
        (["cells", "--truncation", "0.5"], "VAE"),
    ],
)
def test_samples_that_cannot_be_made_get_a_sentence(model, capsys, arguments, sentence):
    assert main(["sample", *arguments]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error


# --- models ---


def test_models_are_listed_exported_imported_and_removed(model, tmp_path, capsys):
    assert main(["models"]) == 0
    listed = capsys.readouterr().out
    assert "denoise-2d  (denoise" in listed
    assert "cells  (sample, vae, yours)\n    32x32 pixels, 1 channel" in listed
    assert main(["models", "--export", model, str(tmp_path / "file.safetensors")]) == 0
    assert main(["models", "--import", str(tmp_path / "file.safetensors")]) == 1
    assert "there is a model named 'cells' already" in capsys.readouterr().err
    assert main(["models", "--import", str(tmp_path / "file.safetensors"), "--name", "again"]) == 0
    np.testing.assert_array_equal(sample("again", 2, seed=1), sample(model, 2, seed=1))
    assert main(["models", "--remove", "again"]) == 0
    assert [path.name for path in models_folder().iterdir()] == ["cells.safetensors"]


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x80\x04pickle", b"\x10\0\0\0\0\0\0\0{}"], ids=len)
def test_hostile_model_file_gets_a_sentence(tmp_path, capsys, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    for command in (["models", "--import", str(path)], ["sample", str(path)]):
        assert main(command) == 1
        error = capsys.readouterr().err
        assert error.startswith("genrecon: ")
        assert "Traceback" not in error
    assert not models_folder().exists() or not list(models_folder().iterdir())


def test_script_gets_the_sentences_as_errors():
    with pytest.raises(ImageError, match="all 60 crops are constant"):
        train("vae", np.zeros((60, 32, 32), "u1"))
    with pytest.raises(OptionError, match="kind must be"):
        train("gan", np.zeros((60, 32, 32), "u1"))
