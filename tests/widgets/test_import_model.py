"""A model of others in the window: brought in by a button, chosen, used, and pointed to its own dock."""

import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)
pytest.importorskip("spandrel", reason="the extra 'zoo' is not installed")

from seen import RUN, click, field, said

from napari_genrecon import upscale
from napari_genrecon.tasks import find_task
from napari_genrecon.widgets.task.fields import TaskFields
from napari_genrecon.widgets.task.widget import TaskWidget

pytestmark = pytest.mark.filterwarnings("ignore::napari_genrecon.errors.GenReconWarning")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

    monkeypatch.setenv("GENRECON_MODELS", str(tmp_path / "models"))
    torch.manual_seed(0)
    torch.save(SRVGGNetCompact(num_feat=8, num_conv=3, upscale=2).state_dict(), tmp_path / "anime.pth")
    return str(tmp_path / "anime.pth")


@pytest.fixture
def opened(make_napari_viewer):
    def open_task(task):
        viewer = make_napari_viewer()
        image = np.random.default_rng(0).normal(500, 50, (60, 70)).astype("uint16")
        viewer.add_image(image, name="cells", scale=(0.2, 0.2), units=("micrometer",) * 2)
        widget = TaskWidget(viewer, find_task(task), TaskFields(viewer, find_task(task)))
        viewer.window.add_dock_widget(widget)
        return viewer, widget

    return open_task


def wait(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)


def test_imported_model_is_chosen_and_gives_the_pixels_of_python(opened, qtbot, weights):
    viewer, widget = opened("upscale")
    wait(qtbot, widget)
    widget.bring(weights)
    wait(qtbot, widget)
    assert field(widget, "model").value == "anime"
    assert "Added and chosen: 'anime'. By others: RealESRGAN Compact" in said(widget)
    click(widget, RUN)
    wait(qtbot, widget)
    layer = viewer.layers[-1]
    assert layer.data.shape == (120, 140)
    assert np.allclose(layer.scale, 0.1)
    assert layer.metadata["genrecon"]["model"]["origin"]["file"] == "anime.pth"
    assert np.array_equal(layer.data, upscale(viewer.layers["cells"], model="anime"))


def test_model_of_another_task_is_added_but_not_chosen(opened, qtbot, weights):
    _, widget = opened("denoise")
    wait(qtbot, widget)
    widget.bring(weights)
    wait(qtbot, widget)
    assert field(widget, "model").value == "automatic"
    assert "Added: 'anime', a model of the task 'upscale'" in said(widget)


def test_file_that_is_no_model_is_refused_in_the_dock(opened, qtbot, weights, tmp_path):
    _, widget = opened("denoise")
    wait(qtbot, widget)
    (tmp_path / "x.pth").write_bytes(b"nothing")
    widget.bring(str(tmp_path / "x.pth"))
    wait(qtbot, widget)
    assert "neither a safetensors file nor one that torch.save wrote" in said(widget)


def test_chosen_model_is_exported_with_the_noise_of_the_image(opened, qtbot, weights, tmp_path):
    _, widget = opened("denoise")
    wait(qtbot, widget)
    widget.give(str(tmp_path / "mine.zip"))
    wait(qtbot, widget)
    assert "mine.zip, with weights for torchscript" in said(widget)
    assert zipfile.is_zipfile(tmp_path / "mine.zip")
