"""The width of the blur is found where the image tells it, and refused where it does not."""

import os
import shlex

import numpy as np
import pytest
import tifffile
from bundled import scenes
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from napari_genrecon import measure_blur
from napari_genrecon.cli import main
from napari_genrecon.errors import ImageError
from napari_genrecon.optics.blur_width import find_blur_width

FWHM = 2.3548


def points(width, peak, seed=0, side=256):
    rng = np.random.default_rng(seed)
    image = np.where(rng.random((side, side)) < 0.003, peak * rng.uniform(0.5, 1, (side, side)), 0.0)
    return rng.poisson(gaussian_filter(image, width / FWHM) + 5.0).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(st.floats(1.5, 6.0), st.floats(3e3, 1e5), st.integers(0, 1000))
def test_width_of_points_is_found_within_its_error(width, peak, seed):
    image = points(width, peak, seed)
    try:
        found = find_blur_width([image], [gaussian_filter(image, 8)])
    except ImageError:
        return
    assert abs(found.fwhm - width) < 0.2 * width + found.error


@pytest.mark.parametrize("width", [2.0, 3.5])
def test_width_is_found_with_the_noise_measured(width):
    found = measure_blur(points(width, 5e3))
    assert found.fwhm == pytest.approx(width, rel=0.12)
    assert found.error < 0.2 * width


def soft(rng):
    return gaussian_filter(rng.normal(0, 1, (256, 256)), 12) * 5e3 + 500


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (lambda rng: rng.normal(100, 5, (256, 256)), "noise hides all fine detail"),
        (lambda rng: rng.poisson(np.maximum(soft(rng), 5)), "noise hides all fine detail|few points"),
        (lambda rng: gaussian_filter(rng.normal(100, 5, (256, 256)), 1.0), "correlated from pixel to pixel"),
        (lambda rng: points(3.0, 5e3)[:64, :64], "the image is smaller than 96 x 96 pixels"),
    ],
    ids=["noise", "soft", "correlated", "small"],
)
def test_image_that_does_not_tell_is_refused(image, why):
    with pytest.raises(ImageError, match=why):
        measure_blur(image(np.random.default_rng(0)))


def lines(width, own, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:256, :256]
    image = np.zeros((256, 256))
    for angle, place in rng.uniform(0, [np.pi, 256], (25, 2)):
        image += np.exp(-0.5 * ((x * np.cos(angle) + y * np.sin(angle) - place) / (own / FWHM)) ** 2)
    return rng.poisson(gaussian_filter(300 * image, width / FWHM) + 5.0).astype(np.float32)


def test_lines_of_their_own_width_get_an_upper_limit_and_no_width():
    with pytest.raises(ImageError, match=r"few points, .* the blur is at most (\d+\.\d) px wide") as told:
        measure_blur(lines(2.0, own=3.0))
    assert float(str(told.value).split("at most ")[1].split(" ")[0]) > 2.0


@pytest.mark.parametrize(("width", "peak"), [(3.5, 200.0), (5.0, 2000.0)])
def test_filaments_that_points_would_fit_get_no_width(width, peak):
    rng = np.random.default_rng([2026, 1128, 0])
    light = peak * gaussian_filter(scenes.filaments(rng, (320, 320)), width / FWHM, truncate=5)[32:-32, 32:-32]
    image = rng.poisson(light) + rng.normal(0, 2.0, light.shape)
    with pytest.raises(ImageError, match=r"may show lines instead of points, .* the blur is at most [67]\.\d px wide"):
        measure_blur(image.astype(np.float32))


def test_sharp_image_is_refused():
    image = points(0.5, 3e4)
    with pytest.raises(ImageError, match="there is nothing to undo below 1 px"):
        find_blur_width([image], [gaussian_filter(image, 8)])


def test_channel_that_tells_is_enough():
    noise = np.random.default_rng(0).normal(100, 5, (256, 256))
    both = np.stack([noise, points(3.0, 5e3)]).astype(np.float32)
    assert measure_blur(both, axes="CYX").fwhm == pytest.approx(3.0, rel=0.12)


@pytest.mark.skipif(
    os.name == "nt", reason="the shell of Windows quotes in another way, and names there hold fewer signs"
)
def test_command_that_is_printed_can_be_pasted_into_a_shell(tmp_path, capsys):
    path = tmp_path / """it's (one) "ä" & `b`; $HOME.tif"""
    tifffile.imwrite(path, points(3.0, 5e3))
    assert main(["blur", str(path)]) == 0
    *words, width = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert words == ["genrecon", "deblur", str(path), "--psf"]
    assert float(width) == pytest.approx(3.0, rel=0.12)


def test_command_line_says_what_python_says(tmp_path, capsys):
    image = points(3.0, 5e3)
    tifffile.imwrite(tmp_path / "a.tif", image)
    assert main(["blur", str(tmp_path / "a.tif")]) == 0
    assert str(measure_blur(image)) in capsys.readouterr().out
    tifffile.imwrite(tmp_path / "b.tif", np.random.default_rng(0).normal(100, 5, (256, 256)))
    assert main(["blur", str(tmp_path / "b.tif")]) == 1
    assert "does not tell the width of its blur" in capsys.readouterr().err
