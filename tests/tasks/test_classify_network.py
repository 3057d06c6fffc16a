"""Classify with a network of one's own: when it is kept, the same after saving, and what it needs."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_genrecon import classify
from napari_genrecon.cli import main
from napari_genrecon.engine.run import Progress, finish
from napari_genrecon.errors import OptionError, OutputError, WeightsError
from napari_genrecon.recognition.folds import make_folds
from napari_genrecon.recognition.pictures import pooled
from napari_genrecon.recognition.saved import save_classifier
from napari_genrecon.tasks.classify import ClassifyOptions, classify_steps
from napari_genrecon.tasks.classify import network as network_module
from napari_genrecon.tasks.classify import result as result_module
from napari_genrecon.tasks.classify.network import is_better, train_steps
from napari_genrecon.training import task_recipe


def cells(seed=0, n=24):
    """Objects with lines along y and along x by turns, in noise: what is turned at random looks alike."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((32 * (n // 6), 32 * 6), np.int32)
    image = np.zeros(labels.shape)
    for i in range(n):
        at = np.s_[32 * (i // 6) + 8 : 32 * (i // 6) + 24, 32 * (i % 6) + 8 : 32 * (i % 6) + 24]
        labels[at] = i + 1
        fine, coarse = np.indices((16, 16))[0] % 4 < 2, np.indices((16, 16))[0] % 8 < 4
        image[at] = 50 + 50 * (fine if i % 2 else coarse)
    return rng.poisson(image + 10).astype(np.uint16), labels


GIVEN = {i + 1: "fine" if i % 2 else "coarse" for i in range(20)}


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """A training of some steps; the encoder is tested by itself."""
    monkeypatch.setenv("GENRECON_MODELS", str(tmp_path / "models"))
    few = "napari_genrecon.recognition.features.encode"
    monkeypatch.setattr(few, lambda x, *_: x[:, :, ::16, ::16].reshape(len(x), -1))
    options = task_recipe("classify").options
    recipe = replace(task_recipe("classify"), options=lambda **given: options(steps=12, batch=8, **given))
    monkeypatch.setattr(network_module, "task_recipe", lambda task: recipe)
    monkeypatch.setattr(network_module, "_CROPS", 24)


@pytest.fixture
def kept(monkeypatch):
    """Whatever the network has learnt in so few steps, it is kept."""
    monkeypatch.setattr(result_module, "is_better", lambda *_: True)


def test_a_network_that_helps_is_kept_and_the_same_after_saving(kept):
    image, labels = cells()
    found = classify(image, labels, GIVEN, network=True, device="cpu")
    alone = classify(image, labels, GIVEN, device="cpu")
    assert any("kept" in note for note in found.notes)
    assert not np.array_equal(found.probabilities, alone.probabilities)
    card = found.save("lines")
    assert card.shape["classes"] == 2
    again = classify(image, labels, model="lines", device="cpu")
    np.testing.assert_array_equal(again.probabilities, found.probabilities)
    again.save("twice")
    np.testing.assert_array_equal(
        classify(image, labels, model="twice", device="cpu").probabilities, found.probabilities
    )
    with pytest.raises(OutputError, match="already"):
        found.save("lines")


@pytest.mark.parametrize("sharpness", [-1.0, 0.0])
def test_a_file_with_a_factor_that_cannot_be_gets_a_sentence(kept, sharpness):
    found = classify(*cells(), GIVEN, network=True, device="cpu")
    save_classifier(replace(found.model, network=found.model.network._replace(sharpness=sharpness)), "bad")
    with pytest.raises(WeightsError, match="not positive"):
        classify(*cells(), model="bad")


def test_a_network_that_does_not_help_leaves_what_is_found_without_it(monkeypatch):
    monkeypatch.setattr(result_module, "is_better", lambda *_: False)
    image, labels = cells()
    found = classify(image, labels, GIVEN, network=True, device="cpu")
    assert any("not kept" in note for note in found.notes)
    alone = classify(image, labels, GIVEN, device="cpu")
    np.testing.assert_array_equal(found.probabilities, alone.probabilities)
    assert found.scores.balanced_accuracy == alone.scores.balanced_accuracy


def test_command_line_and_python_give_the_same_table(kept, tmp_path, capsys):
    image, labels = cells()
    tifffile.imwrite(tmp_path / "cells.tif", image)
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    rows = "".join(f"{label},{name}\n" for label, name in GIVEN.items())
    (tmp_path / "table.csv").write_text(f"label,class\n{rows}")
    given = ["--labels", str(tmp_path / "labels.tif"), "--classes", str(tmp_path / "table.csv"), "--network"]
    assert main(["classify", str(tmp_path / "cells.tif"), *given, "--device", "cpu"]) == 0
    assert "kept" in capsys.readouterr().err
    with (tmp_path / "cells_classes.csv").open(newline="") as file:
        written = [float(row["probability"]) for row in csv.DictReader(file)]
    assert written == classify(image, labels, GIVEN, network=True, device="cpu").table()["probability"]


def test_too_few_labels_get_a_sentence():
    few = {label: name for label, name in GIVEN.items() if label <= 12}
    with pytest.raises(OptionError, match=r"'coarse' has 6 labelled objects, and a network needs 10 of each class"):
        classify(*cells(), few, network=True)


def test_progress_rises_and_a_closed_training_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    image, labels = cells()
    options = ClassifyOptions(network=True, device="cpu")
    steps = classify_steps([image], options, classes=GIVEN, where={"labels": [labels]})
    done = []
    for progress in steps:
        if progress.note == "training a network":
            done.append(progress.done)
        if len(done) > 20:
            break
    steps.close()
    assert done == sorted(done)
    assert isinstance(progress, Progress)
    assert list(tmp_path.glob("genrecon-*")) == []


def test_an_example_is_judged_by_networks_that_have_not_seen_it(monkeypatch):
    seen = []
    real = network_module._training_steps

    def spy(planes, y, device):
        seen.append(planes)
        return (yield from real(planes, y, device))

    monkeypatch.setattr(network_module, "_training_steps", spy)
    planes = np.random.default_rng(0).random((20, 2, 64, 64), np.float32)
    y = np.arange(20) % 2
    folds = make_folds(y, np.arange(20) // 5)
    found = finish(train_steps(planes, y, 2, folds, "cpu"))
    assert len(seen) == len(list(folds.splits())) + 1
    for part, (known, _) in zip(seen, folds.splits(), strict=False):
        np.testing.assert_array_equal(part, planes[known])
    np.testing.assert_array_equal(seen[-1], planes)
    np.testing.assert_allclose(found.out_of_fold.sum(axis=1), 1)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6))
def test_pooled_probabilities_are_probabilities_and_leave_agreement_alone(seed, k):
    one, other = np.random.default_rng(seed).dirichlet(np.ones(k), (2, 7)) * 0.99 + 0.01 / k
    both = pooled(one, other)
    np.testing.assert_allclose(both.sum(axis=1), 1)
    np.testing.assert_allclose(pooled(one, one), one)
    np.testing.assert_allclose(both, pooled(other, one))
    certain, opposite = np.eye(k)[[0]], np.eye(k)[[1]]
    assert np.isfinite(pooled(certain, opposite)).all()


def test_what_is_better_by_chance_alone_is_not_better():
    y = np.arange(40) % 2
    right = np.eye(2)[y] * 0.8 + 0.1
    lucky = right.copy()
    lucky[0], lucky[1] = 0.5, (0.05, 0.95)  # the other one is better at one object, and a little worse at another
    assert not is_better(right, lucky, y)
    assert is_better(right, np.full((40, 2), 0.5), y)
    assert not is_better(np.full((40, 2), 0.5), right, y)
