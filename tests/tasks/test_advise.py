"""Every rule of the table speaks where it should and is silent elsewhere, and only of tasks that there are."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_genrecon import NoiseModel, advise
from napari_genrecon.axes import Axes
from napari_genrecon.cli import main
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.tasks import TASKS
from napari_genrecon.tasks.advise import task as advising
from napari_genrecon.tasks.advise.rules import RULES
from napari_genrecon.tasks.advise.situation import GOALS, Machine, Situation, object_count
from napari_genrecon.tasks.advise.task import advices
from napari_genrecon.tasks.augment.grain import draw_noise

HERE = Machine(device="cpu", cores=2, memory=1 << 33)


def noise(snr=20.0, **more):
    """A noise model whose bright level stands this many s.d. above the dark one."""
    return NoiseModel(read_noise=1.0, levels=(0.0, 1.0, float(snr)), **more)


def situation(axes="YX", shape=(512, 512), **more):
    values = {"noise": (noise(),), "machine": HERE, "shape": shape, "axes": Axes(axes), "dtype": "uint16"}
    return Situation(**{**values, **more})


STACK = {
    "axes": "ZYX", "shape": (20, 512, 512), "scale": (1.0, 0.25, 0.25), "units": ("micrometer",) * 3,
}  # fmt: skip
CALIBRATED = {"scale": (0.1, 0.1), "units": ("micrometer",) * 2}
CASES = {  # rule: situation in which it speaks, change by which it falls silent
    "defects first": ({"noise": (noise(hot_fraction=1e-4),)}, {"noise": (noise(),)}),
    "movie": ({"axes": "TYX", "shape": (30, 512, 512)}, {"shape": (2, 512, 512)}),
    "noisy": ({}, {"noise": (noise(51),)}),
    "not noisy": ({"noise": (noise(51),)}, {"noise": (noise(49),)}),
    "correlated noise": ({"noise": (noise(rho_x=0.4),)}, {"noise": (noise(rho_x=0.05),)}),
    "flat voxels": (STACK, {"scale": (0.3, 0.25, 0.25)}),
    "known optics": ({"goal": "see", **CALIBRATED}, {"units": ("pixel",) * 2}),
    "crowded and dim": ({"points": 600, "noise": (noise(5),)}, {"points": 300}),
    "count": ({"goal": "count"}, {"goal": "see"}),
    "too few classes": ({"classes": (7, 0)}, {"classes": (7, 3)}),
    "few labels": ({"classes": (30, 9)}, {"classes": (30, 10)}),
    "many labels": ({"classes": (30, 10)}, {"classes": (30, 9)}),
    "few labelled images": ({"goal": "train", "objects": 40}, {"images": 60}),
    "too few crops": ({"goal": "train", "images": 1}, {"images": 3}),
    "enough crops": ({"goal": "train", "images": 3}, {"images": 1}),
}


@pytest.fixture
def all_tasks(monkeypatch):
    """Every task that a rule speaks of is installed."""
    monkeypatch.setattr(advising, "_exists", lambda rule: True)


def test_every_rule_has_its_case_and_its_evidence():
    assert {rule.name for rule in RULES} == set(CASES)
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert len(rule.source) > 10
        assert set(rule.goals) <= set(GOALS)


@pytest.mark.parametrize("name", CASES)
def test_each_rule_speaks_where_it_should_and_falls_silent_elsewhere(name):
    rule = next(rule for rule in RULES if rule.name == name)
    there, change = CASES[name]
    found = situation(**there)
    assert rule.why(found)
    assert not rule.why(replace(found, **change))


def test_defects_come_first_and_name_what_to_detect(all_tasks):
    found = advices(situation(noise=(noise(5, hot_fraction=1e-4, row_stripes=0.5),), goal="count"))
    assert [advice.task for advice in found if advice.do] == ["inpaint", "denoise", "detect"]
    assert found[0].options == {"detect": "hot,stripes"}
    assert "0.01 % of the pixels" in found[0].reason


def test_objects_are_counted_in_the_image_as_it_is(all_tasks):
    noisy, counted = advices(situation(noise=(noise(5),), goal="count"))
    assert (noisy.task, counted.task) == ("denoise", "detect")
    assert "detect objects in the image as it is" in noisy.reason
    assert "not a denoised one" in counted.reason


def test_crowded_dim_spots_get_the_network_and_not_two_advices(all_tasks):
    found = advices(situation(points=600, noise=(noise(5),)))
    assert [advice.rule for advice in found if advice.task == "detect"] == ["crowded and dim"]


def test_crowded_spots_without_the_network_are_detected_all_the_same(monkeypatch):
    monkeypatch.setattr(advising, "_exists", lambda rule: not rule.needs)
    found = advices(situation(points=600, noise=(noise(5),)))
    assert [advice.rule for advice in found if advice.task == "detect"] == ["count"]


def test_frames_of_a_movie_replace_the_plain_advice(all_tasks):
    found = [advice for advice in advices(situation("TYX", (30, 64, 64))) if advice.task == "denoise"]
    assert [(advice.rule, advice.options) for advice in found] == [("movie", {"frames": "T"})]


def test_nothing_to_do_is_an_answer():
    found = advices(situation(noise=(noise(200),)))
    assert [(advice.rule, advice.do) for advice in found] == [("not noisy", False)]
    assert "200 noise s.d." in found[0].reason
    assert not any(advice.do for advice in advices(situation(noise=(NoiseModel(levels=(0, 5, 9)),))))


def test_unknown_noise_says_nothing_about_noise():
    assert advices(situation(noise=(NoiseModel(read_noise=2),))) == ()


def test_the_noisiest_channel_counts():
    found = advices(situation("CYX", (2, 64, 64), noise=(noise(200), noise(5))))
    assert found[0].task == "denoise"
    assert "5 noise s.d." in found[0].reason


def test_rules_speak_only_of_tasks_and_options_that_there_are(monkeypatch):
    names = {task.name for task in TASKS} | {"augment", "train", "detect", "classify"}
    assert {rule.task for rule in RULES} <= names
    monkeypatch.setattr(advising, "find_spec", lambda name: None)
    assert advices(situation(goal="count")) == ()
    monkeypatch.undo()
    movie = next(rule for rule in RULES if rule.name == "movie")
    assert not advising._exists(replace(movie, needs=("no_such_option",)))
    assert advising._exists(replace(movie, needs=("strength",)))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_options_of_a_rule_are_ones_that_its_task_takes(rule):
    if not advising._exists(rule) or rule.task == "train":
        pytest.skip("this installation has no such task")
    there, _ = CASES[rule.name]
    options = rule.options(situation(**there))
    from importlib import import_module

    module = import_module(f"napari_genrecon.tasks.{rule.task}")
    if options:
        getattr(module, f"{rule.task.title().replace('_', '')}Options")(**options)


# --- faces ---


@pytest.fixture(scope="module")
def noisy():
    y, x = np.mgrid[:192, :192]
    clean = 100 + 80 * (np.sin(y / 9) * np.sin(x / 9) > 0.3)
    return np.rint(draw_noise(np.random.default_rng(0), clean, NoiseModel(read_noise=12.0))).astype("uint16")


def test_python_measures_the_image_and_the_time(noisy):
    first = advise(noisy)[0]
    assert (first.task, first.do) == ("denoise", True)
    assert first.seconds > 0
    assert "about" in str(first)


def test_command_line_says_the_same_as_python(noisy, tmp_path, capsys):
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", noisy)
    assert main(["advise", str(tmp_path / "a.tif"), "--goal", "count", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["image"] == str(tmp_path / "a.tif")
    assert said["situation"]["snr"] > 0
    assert [entry["rule"] for entry in said["advice"]] == [advice.rule for advice in advise(noisy, goal="count")]
    assert main(["advise", str(tmp_path / "a.tif")]) == 0
    text = capsys.readouterr().out
    assert "1. Denoise (about" in text
    assert "docs: Benchmarks" in text


def test_command_line_says_that_there_is_nothing_to_do(tmp_path, capsys):
    import tifffile

    y, x = np.mgrid[:128, :128]
    tifffile.imwrite(tmp_path / "a.tif", (1000 + 500 * np.sin(y / 20) * np.sin(x / 20)).astype("float32"))
    assert main(["advise", str(tmp_path / "a.tif")]) == 0
    assert "Nothing to do" in capsys.readouterr().out


def test_objects_are_counted():
    assert object_count(np.array([[0, 3], [3, 7]])) == 2
    with pytest.raises(ImageError, match="labels have dtype float64"):
        object_count(np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        ({"goal": "publish"}, OptionError, "goal must be one of any, see, count, classify, train; got 'publish'"),
        ({"images": 0}, OptionError, "images must be 1 or more, got 0"),
        ({"classes": (3, -1)}, OptionError, r"0 or more, got \[3, -1\]"),
        ({"points": [1, 2]}, ImageError, "a row for each point is needed"),
        ({"labels": np.zeros((3, 3))}, ImageError, "integers are needed"),
    ],
)
def test_bad_input_gets_a_sentence(noisy, given, error, sentence):
    with pytest.raises(error, match=sentence):
        advise(noisy, **given)


@pytest.mark.parametrize(
    ("image", "value"),
    [(np.zeros((64, 64), np.uint16), "0"), (np.stack([np.full((64, 64), v, np.uint16) for v in (7, 9)]), "7 and 9")],
    ids=["black", "two empty channels"],
)
def test_a_constant_image_is_not_called_ready_to_use(image, value):
    with pytest.raises(ImageError, match=f"shows nothing: .* have the grey value {value}. Check that"):
        advise(image, axes="CYX"[-image.ndim :])
