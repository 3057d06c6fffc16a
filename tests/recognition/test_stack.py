"""The stack of classifiers: informative blocks count, temperature is set, files give the same answers."""

import numpy as np
import pytest

from napari_genrecon.errors import ImageError, OptionError, OutputError, UnknownModelError, WeightsError
from napari_genrecon.models import find_model
from napari_genrecon.models.registry import export_model, import_model, remove_model
from napari_genrecon.recognition.saved import (
    ObjectClassifier,
    Setting,
    load_classifier,
    save_classifier,
    scores_of,
)
from napari_genrecon.recognition.scores import calibration_error, score
from napari_genrecon.recognition.stack import fit_classifier

CLASSES = ("single", "clump")


def objects(n=240, seed=0, gap=2.5):
    """A block that tells the classes apart, and one of noise; the first 40 objects are labelled."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    blocks = {
        "shape": (rng.normal(size=(n, 5)) + gap * y[:, None] * (np.arange(5) == 0)).astype(np.float32),
        "texture": rng.normal(size=(n, 40)).astype(np.float32),
    }
    return blocks, y, np.where(np.arange(n) < 40, y, -1), np.arange(n) % 8


def accuracy(probabilities, y):
    return (probabilities.argmax(axis=1) == y).mean()


def fitted(blocks, given, image):
    return fit_classifier(blocks, given, image, CLASSES)


def test_block_of_noise_counts_little_and_does_little_harm():
    blocks, y, given, image = objects()
    both = fitted(blocks, given, image)
    shape = {"shape": blocks["shape"]}
    alone = accuracy(fitted(shape, given, image).classifier.probabilities(shape), y)
    assert both.shares["texture"] < 0.3 * both.shares["shape"]
    assert both.alone["shape"] < both.alone["texture"]
    assert accuracy(both.classifier.probabilities(blocks), y) > alone - 0.02


def test_probabilities_are_right_as_often_as_they_say():
    blocks, y, given, image = objects(2000, gap=1.5)
    given = np.where(np.arange(2000) < 160, y, -1)
    found = fitted(blocks, given, image).classifier.probabilities(blocks)
    assert calibration_error(found[160:], y[160:]) < 0.08


def test_units_and_offsets_of_features_change_nothing():
    blocks, _, given, image = objects()
    other = {name: (1000 * block + 7).astype(np.float32) for name, block in blocks.items()}
    one = fitted(blocks, given, image).classifier.probabilities(blocks)
    two = fitted(other, given, image).classifier.probabilities(other)
    np.testing.assert_allclose(one, two, atol=1e-3)


def test_constant_features_are_ignored():
    blocks, _, given, image = objects()
    constant = {**blocks, "intensity": np.full((240, 3), 5.0, np.float32)}
    assert np.isfinite(fitted(constant, given, image).classifier.probabilities(constant)).all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.full(6, -1), "no object has a class: label at least two"),
        (np.array([0, 0, 0, -1, -1, -1]), "all labels are of the class 'single'"),
        (np.array([0, 0, 1, -1, -1, -1]), "the class 'clump' has 1 labelled object: label at least two"),
    ],
    ids=["none", "one class", "one object"],
)
def test_labels_from_which_nothing_can_be_learnt_are_refused(given, words):
    blocks = {"shape": np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)}
    with pytest.raises(OptionError, match=words):
        fitted(blocks, given, np.zeros(6, np.int64))


def test_other_blocks_than_those_trained_on_are_refused():
    blocks, _, given, image = objects()
    classifier = fitted(blocks, given, image).classifier
    with pytest.raises(ImageError, match="the classifier needs"):
        classifier.probabilities({"shape": blocks["shape"]})


# --- files ---


@pytest.fixture
def model(monkeypatch, tmp_path):
    monkeypatch.setenv("GENRECON_MODELS", str(tmp_path / "models"))
    blocks, _, given, image = objects()
    fit = fitted(blocks, given, image)
    scores = score(fit.out_of_fold, given[given >= 0], CLASSES, by_image=True)
    setting = Setting(kind="labels", side=40, channels=2, pixel_size=(0.5, 0.5), units=("micrometer",) * 2)
    encoder = find_model("auto", "denoise")
    return ObjectClassifier(
        classifier=fit.classifier, setting=setting, encoder=encoder, scores=scores_of(scores), n_labels=40
    )


def test_saved_and_loaded_model_gives_identical_probabilities(model):
    card = save_classifier(model, "cells")
    loaded = load_classifier("cells")
    blocks = objects()[0]
    np.testing.assert_array_equal(model.classifier.probabilities(blocks), loaded.classifier.probabilities(blocks))
    assert (loaded.setting, loaded.classifier.classes, loaded.n_labels) == (model.setting, CLASSES, 40)
    assert "2 classes (single, clump) from 40 labels" in card.summary


def test_model_travels_as_a_file(model, tmp_path):
    save_classifier(model, "cells")
    export_model("cells", tmp_path / "a.safetensors")
    remove_model("cells")
    with pytest.raises(UnknownModelError, match="no 'classify' model named 'cells'"):
        load_classifier("cells")
    import_model(tmp_path / "a.safetensors", name="again")
    assert load_classifier("again").classifier.classes == CLASSES


def test_model_is_never_replaced_unasked(model):
    save_classifier(model, "cells")
    with pytest.raises(OutputError, match="there is a model named 'cells' already"):
        save_classifier(model, "cells")
    with pytest.raises(OutputError, match="the name of a bundled model"):
        save_classifier(model, "nuclei-vae-32")
    save_classifier(model, "cells", overwrite=True)


def test_damaged_card_is_refused(model):
    card = save_classifier(model, "cells")
    from pathlib import Path

    path = Path(card.path)
    path.write_bytes(path.read_bytes().replace(b'\\"side\\": 40', b'\\"sidf\\": 40'))
    with pytest.raises(WeightsError, match="lacks what a classifier needs"):
        load_classifier("cells")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "points"}, "classifies a labels image, and points were given"),
        ({"channels": 1}, "trained on 2 channels, and the image has 1 channel"),
    ],
)
def test_unlike_images_are_refused(model, change, words):
    from dataclasses import replace

    with pytest.raises(ImageError, match=words):
        model.setting.require(replace(model.setting, **change), "cells")


def test_channels_of_other_names_are_refused():
    one = Setting(kind="labels", side=40, channels=2, channel_names=("DAPI", "GFP"))
    two = Setting(kind="labels", side=40, channels=2, channel_names=("GFP", "DAPI"))
    with pytest.raises(ImageError, match=r"2 channels \(DAPI, GFP\), and the image has 2 channels \(GFP, DAPI\)"):
        one.require(two, "cells")


def test_pixel_sizes_count_only_in_the_same_units():
    coarse = Setting(kind="labels", side=40, channels=1, pixel_size=(1.0, 1.0), units=("micrometer",) * 2)
    fine = Setting(kind="labels", side=40, channels=1, pixel_size=(0.25, 0.25), units=("micrometer",) * 2)
    assert coarse.zoom_to(fine) == 0.25
    assert coarse.zoom_to(Setting(kind="labels", side=40, channels=1)) == 1.0
