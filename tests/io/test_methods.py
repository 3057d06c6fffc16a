"""The methods text says what the record knows, and no more."""

import re

import numpy as np
import pytest

from napari_genrecon import NoiseModel, Optics, list_models
from napari_genrecon.engine.run import finish
from napari_genrecon.io.record.methods import methods_text
from napari_genrecon.tasks import TASKS, defaults_of, find_task
from napari_genrecon.tasks.sample.task import SampleOptions, sample_steps
from napari_genrecon.training import all_recipes, cited, find_recipe

CAMERA = NoiseModel(gain=0.5, offset=100, read_noise=2)
MASK = np.zeros((48, 48), "u1")
MASK[10:14, 20:30] = 1


def record_of(task, **options):
    image = np.random.default_rng(0).poisson(20, (48, 48)).astype("f4")
    return finish(find_task(task).steps(image, find_task(task).options(**options))).record


def text_of(task, **options):
    record = record_of(task, **options)
    return methods_text(record, defaults_of)


def test_defaults_are_left_out_and_choices_named():
    assert ", with" not in text_of("denoise", noise=CAMERA)
    assert text_of("denoise", noise=CAMERA, strength=0.8).count(", with strength 0.8.") == 1


@pytest.mark.parametrize(
    ("task", "options", "papers"),
    [
        ("denoise", {"noise": CAMERA}, ["arXiv.1906.05478", "10.1109/TIP.2012.2202675"]),
        ("upscale", {"noise": 1.0}, ["10.1109/CVPRW.2017.151", "arXiv.1906.05478"]),
        ("deblur", {"psf": 2.0, "noise": CAMERA}, ["10.1109/TPAMI.2021.3088914"]),
        ("deblur", {"psf": 2.0, "method": "rl"}, ["10.1002/jemt.20294"]),
        ("inpaint", {"mask": MASK, "method": "biharmonic"}, ["10.1155/2018/3950312"]),
    ],
    ids=["denoise", "upscale", "pnp", "rl", "biharmonic"],
)
def test_every_method_is_cited_and_no_other(task, options, papers):
    text = text_of(task, **options)
    for paper in papers:
        assert f"doi:{paper}" in text or paper in text
    way = re.findall(r"\((?:plug|Rich|a res|a bias|the bih)", text.partition("The noise model")[0])
    assert len(way) == sum("10.1109/TIP" not in paper for paper in papers)


def test_measured_noise_cites_how_and_given_noise_does_not():
    assert "10.1109/TIP.2008.2001399" in text_of("denoise")
    assert "10.1109/TIP.2008.2001399" not in text_of("denoise", noise=CAMERA)


def test_noise_is_described_as_what_one_image_shows():
    text = text_of("denoise", noise=CAMERA)
    assert (
        "s.d. 2 grey values at the darkest level (grey value 100), the variance growing by 0.5 per grey value" in text
    )
    for word in ("offset", "read noise", "gain"):
        assert word not in text
    assert "s.d. 3 grey values at every level" in text_of("denoise", noise=3.0)
    curved = NoiseModel(affine=False, curve=((0, 4), (100, 9)))
    assert "s.d. 2 at the grey value 0 to 3 at 100, along a measured curve" in text_of("denoise", noise=curved)


def test_nothing_is_claimed_that_software_cannot_know():
    text = text_of("denoise", noise=CAMERA)
    assert "was kept" not in text
    assert "not linear" in text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "confocal microscope with a closed pinhole of NA"),
        ({"pinhole": 1.0}, "confocal microscope with a pinhole of 1 Airy units of NA"),
        ({"pinhole": 1.0, "excitation": 488}, "with a pinhole of 1 Airy units, excited at 488 nm, of NA"),
    ],
    ids=["closed", "pinhole", "excitation"],
)
def test_the_pinhole_is_named(settings, words):
    optics = Optics(na=1.2, wavelength=520, pixel_size=0.1, kind="confocal", z_step=0, **settings)
    assert words in text_of("deblur", psf=optics, noise=CAMERA)


@pytest.mark.parametrize(
    ("task", "options", "stabilised"),
    [
        ("denoise", {}, True),
        ("upscale", {"model": "upscale-2d-microscope"}, True),
        ("upscale", {"model": "upscale-2d"}, False),
        ("deblur", {"psf": 2.0}, False),
    ],
    ids=["denoise", "upscale after denoising", "upscale", "deblur"],
)
def test_noise_is_called_stabilised_only_where_it_is(task, options, stabilised):
    assert ("10.1109/TIP.2012.2202675" in text_of(task, noise=CAMERA, **options)) == stabilised


def test_a_network_of_others_is_not_called_ours():
    origin = {"architecture": "SwinIR", "file": "sharp.pth"}
    record = record_of("denoise", noise=CAMERA)
    text = methods_text({**record, "model": {**record["model"], "origin": origin}}, defaults_of)
    assert "(SwinIR, made by others, from the file sharp.pth)" in text
    assert "noise model" not in text
    assert "doi:" not in text


@pytest.mark.parametrize("recipe", all_recipes(), ids=lambda recipe: recipe.name)
def test_a_model_of_ones_own_cites_how_it_was_trained(recipe):
    record = record_of("denoise", noise=CAMERA)
    training = {"recipe": recipe.name, "steps": 812, "items": 64, "sha256": 64 * "b"}
    text = methods_text({**record, "model": {**record["model"], "training": training}}, defaults_of, cited)
    assert re.search(r"20\d\d, doi:10\.\d{4,}/\S+\d$", recipe.paper)
    assert f"trained ({recipe.label}: {recipe.paper}) for 812 steps on 64 image crops (sha256 bbbbbbbbbbbb)." in text


def test_generated_pictures_cite_how_the_model_was_trained():
    model = list_models("sample")[0].name
    record = finish(sample_steps(SampleOptions(model=model, n=1, seed=0))).record
    assert find_recipe(record["model"]["training"]["recipe"]).paper in methods_text(record, defaults_of, cited)


def test_noise_that_nobody_gave_is_not_called_given():
    text = text_of("inpaint", mask=MASK, method="biharmonic")
    assert "taken as free of noise" in text
    assert "given" not in text


def test_what_must_not_be_measured_fits_the_task():
    assert "Filled pixels are an estimate" in text_of("inpaint", mask=MASK, method="biharmonic")
    for task, options in (("inpaint", {"mask": MASK, "method": "biharmonic"}), ("detect", {})):
        assert "not linear" not in text_of(task, **options)


@pytest.mark.parametrize("task", [task.name for task in TASKS])
def test_defaults_are_those_of_the_options(task):
    assert defaults_of(task)["axes"] is None
    assert defaults_of("sample") == {}
