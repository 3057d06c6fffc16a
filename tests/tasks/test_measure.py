import json

import numpy as np
import pytest
from scipy import ndimage

from napari_genrecon import NoiseModel, measure_noise
from napari_genrecon.cli.main import main
from napari_genrecon.engine.run import finish
from napari_genrecon.tasks import find_task

RNG = np.random.default_rng(0)
PARTS = [ndimage.gaussian_filter(RNG.standard_normal((96, 96)), width, mode="wrap") for width in (0.7, 2.5)]
GRAINY = (500 + 10 * (0.9 * PARTS[0] / PARTS[0].std() + 0.4 * PARTS[1] / PARTS[1].std())).astype(np.float32)
TASKS = {
    "denoise": {},
    "upscale": {"factor": 2},
    "deblur": {"psf": 2.0, "method": "rl", "iterations": 1},
}


@pytest.fixture(scope="module")
def measured():
    model = measure_noise(GRAINY, axes="YX")
    assert isinstance(model, NoiseModel)
    return model


def test_grainy_image_is_measured_with_the_denoiser(measured):
    assert measured.method == "residual"
    assert measured.sigma == pytest.approx(GRAINY.std(), rel=0.1)
    assert len(measured.far_x) == 3


@pytest.mark.parametrize("name", TASKS)
def test_every_task_measures_the_same_noise(name, measured):
    task = find_task(name)
    options = task.options(axes="YX", device="cpu", **TASKS[name])
    record = finish(task.steps(GRAINY, options)).record
    assert NoiseModel.from_dict(record["noise"][0]) == measured


def test_command_line_measures_the_same_noise(measured, tmp_path, capsys):
    import tifffile

    tifffile.imwrite(tmp_path / "grainy.tif", GRAINY)
    assert main(["noise", str(tmp_path / "grainy.tif"), "--json"]) == 0
    assert NoiseModel.from_dict(json.loads(capsys.readouterr().out)) == measured


def test_measurement_does_not_depend_on_the_device_or_model_of_a_task(monkeypatch, measured):
    asked = []

    def load(card, device, weights=None):
        asked.append((card.name, device))
        return lambda plane, sigma, rho: np.full_like(plane, plane.mean())

    monkeypatch.setattr("napari_genrecon.tasks.measure.load_network", load)
    measure_noise(GRAINY, axes="YX")
    assert set(asked) == {("denoise-2d", "cpu")}
