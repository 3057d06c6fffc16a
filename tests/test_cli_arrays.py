"""Masks and point spread functions on the command line."""

import numpy as np
import pytest
import tifffile

from napari_genrecon import GenReconWarning, MeasuredPSF, Optics, deblur, gaussian_psf, inpaint
from napari_genrecon.cli import main
from napari_genrecon.io.reader import open_image
from napari_genrecon.tasks.deblur.tiles import DeblurTiles

OPTICS = "optics:na=1.2,wavelength=600,refractive_index=1.33"


@pytest.fixture
def image(tmp_path):
    noisy = np.random.default_rng(0).poisson(60, (64, 72)).astype("u2")
    tifffile.imwrite(tmp_path / "cells.tif", noisy, imagej=True, resolution=(10, 10), metadata={"unit": "um"})
    return tmp_path / "cells.tif"


def result_of(image, task):
    return np.asarray(open_image(image.with_name(f"cells_{task}.ome.tif")).data)


@pytest.mark.filterwarnings("ignore:the mask leaves too few")
def test_mask_from_a_file_is_filled_and_can_be_replayed(image, capsys):
    mask = np.zeros((64, 72), "u1")
    mask[20:24, 10:60] = 1
    tifffile.imwrite(image.with_name("mask.tif"), mask)
    assert main(["inpaint", str(image), "--mask", str(image.with_name("mask.tif"))]) == 0
    np.testing.assert_array_equal(result_of(image, "inpaint"), inpaint(tifffile.imread(image), mask))
    assert main(["replay", str(image.with_name("cells_inpaint.ome.tif"))]) == 0
    assert "every pixel agrees" in capsys.readouterr().out


@pytest.mark.parametrize("given", ["5", "nan", "nowhere.tif"])
def test_mask_that_is_no_file_gets_a_sentence(image, capsys, given):
    assert main(["inpaint", str(image), "--mask", given]) == 1
    assert f"--mask: there is no file {given}: give an image file that is anything but 0" in capsys.readouterr().err


def test_psf_from_a_file(image):
    psf = np.outer(*[np.array([1, 4, 6, 4, 1], "f4")] * 2)
    tifffile.imwrite(image.with_name("bead.tif"), psf)
    assert main(["deblur", str(image), "--psf", str(image.with_name("bead.tif"))]) == 0
    np.testing.assert_array_equal(result_of(image, "deblur"), deblur(tifffile.imread(image), psf))


def test_psf_file_of_other_pixels_is_brought_to_those_of_the_image(image, capsys):
    bead = gaussian_psf(8.0).astype("f4")
    tifffile.imwrite(image.with_name("bead.tif"), bead, imagej=True, resolution=(20, 20), metadata={"unit": "um"})
    assert main(["deblur", str(image), "--psf", str(image.with_name("bead.tif"))]) == 0
    assert "resampled from its pixels of 0.05 x 0.05 micrometres to those of the image, 0.1" in capsys.readouterr().err
    psf = MeasuredPSF(pixels=bead, pixel_size=(0.05, 0.05), image_pixel_size=(0.1, 0.1))
    with pytest.warns(GenReconWarning, match="the PSF was resampled"):
        by_script = deblur(tifffile.imread(image), psf)
    np.testing.assert_allclose(result_of(image, "deblur"), by_script, atol=1e-3)
    with pytest.warns(GenReconWarning, match="those of the image are not known"):
        as_it_is = deblur(tifffile.imread(image), MeasuredPSF(pixels=bead, pixel_size=(0.05, 0.05)))
    assert not np.allclose(by_script, as_it_is, atol=0.02)
    assert main(["replay", str(image.with_name("cells_deblur.ome.tif"))]) == 0
    assert main(["methods", str(image.with_name("cells_deblur.ome.tif"))]) == 0
    told = capsys.readouterr().out
    assert "every pixel agrees" in told
    shape = " x ".join(map(str, open_image(image.with_name("cells_deblur.ome.tif")).record["psf"]["shape"]))
    # Its shape is that of the pixels that were used, and not that of the file.
    assert f"given as {bead.shape[0]}" not in told
    assert f"resampled from pixels of 0.05 x 0.05 to 0.1 x 0.1 micrometres: {shape} pixels" in told


def test_psf_from_optics_takes_the_pixel_size_of_the_file(image, capsys):
    assert main(["deblur", str(image), "--psf", OPTICS]) == 0
    optics = Optics(na=1.2, wavelength=600, refractive_index=1.33, pixel_size=0.1)
    np.testing.assert_allclose(result_of(image, "deblur"), deblur(tifffile.imread(image), optics), atol=1e-3)
    assert main(["replay", str(image.with_name("cells_deblur.ome.tif"))]) == 0
    assert "every pixel agrees" in capsys.readouterr().out


def test_optics_that_cannot_be_get_a_sentence(image, capsys):
    assert main(["deblur", str(image), "--psf", "optics:na=1.4,wavelength=0.52"]) == 1
    assert "wavelength must lie between 100 and 10000 nanometres, got 0.52" in capsys.readouterr().err


def test_stack_that_is_computed_as_a_whole_is_replayed_at_one_go(image, monkeypatch):
    stack = np.random.default_rng(0).poisson(60, (5, 24, 24)).astype("u2")
    tifffile.imwrite(image.with_name("stack.tif"), stack, metadata={"axes": "ZYX"})
    tifffile.imwrite(image.with_name("bead.tif"), gaussian_psf((2.0, 2.0, 2.0)).astype("f4"), metadata={"axes": "ZYX"})
    given = ["--psf", str(image.with_name("bead.tif")), "--method", "rl", "--iterations", "1"]
    assert main(["deblur", str(image.with_name("stack.tif")), *given]) == 0
    runs, deblurred = [], DeblurTiles._deblur
    monkeypatch.setattr(DeblurTiles, "_deblur", lambda *given: runs.append(1) or deblurred(*given))
    assert main(["replay", str(image.with_name("stack_deblur.ome.tif"))]) == 0
    assert len(runs) == 1
