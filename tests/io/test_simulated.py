"""Each simulated sample is always the same, and suits the job that it is there for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import napari_genrecon
from napari_genrecon import deblur, denoise, detect_damage, measure_blur
from napari_genrecon.io import simulated

PIXELS = {name: lambda name=name: [data for data, _, _ in getattr(simulated, name)()] for name in simulated.__all__}


@pytest.mark.parametrize("name", list(simulated.__all__))
def test_sample_is_always_the_same_and_has_a_size(name):
    for one, other, (_, keywords, _) in zip(PIXELS[name](), PIXELS[name](), getattr(simulated, name)(), strict=True):
        np.testing.assert_array_equal(one, other)
        assert set(keywords["units"]) <= {"micrometer", "second"}


def test_samples_in_the_wheel_stay_small():
    folder = Path(napari_genrecon.__file__).parents[2] / "sample_data"
    assert sum(path.stat().st_size for path in folder.glob("*.tif")) < 3 * 2**20


def test_movie_moves_as_it_says():
    (movie,) = PIXELS["drifting_movie"]()
    first, last = (gaussian_filter(movie[t].astype(float), 1.5) for t in (0, -1))
    steps = len(movie) - 1
    product = np.fft.ifft2(np.fft.fft2(last - last.mean()) * np.conj(np.fft.fft2(first - first.mean()))).real
    found = [(i + 128) % 256 - 128 for i in np.unravel_index(product.argmax(), product.shape)]
    assert np.abs(np.array(found) - np.array(simulated._DRIFT) * steps).max() < 1.5


def test_damage_is_found():
    (image,) = PIXELS["damaged"]()
    assert detect_damage(image, kinds="lines")[140].all()
    hot = np.asarray(detect_damage(image, kinds="hot"))
    bright = image > 1000
    assert hot[bright].mean() > 0.9


def test_beads_tell_their_width_and_get_sharper_with_their_psf():
    image, psf = PIXELS["beads"]()
    assert measure_blur(image).fwhm == pytest.approx(simulated._BEAD_WIDTH, rel=0.12)
    sharp = deblur(image, psf, method="rl")  # a PSF that did not fit would warn, which fails the test
    assert sharp.max() - 100 > 1.5 * (image.max() - 100.0)


def test_denoising_brings_little_light_nearer_to_much():
    high, low = (image.astype(float) - 100 for image in PIXELS["low_and_high"]())
    truth = high * simulated._LOW / simulated._HIGH
    made = denoise(PIXELS["low_and_high"]()[1]).astype(float) - 100
    assert np.mean((made - truth) ** 2) < 0.2 * np.mean((low - truth) ** 2)


def test_section_is_pink_with_blue_nuclei():
    (image,) = PIXELS["histology"]()
    assert image.shape[-1] == 3
    red, green, blue = image.reshape(-1, 3).mean(axis=0)
    assert green < min(red, blue)
    dark = image[image[..., 0] < np.quantile(image[..., 0], 0.02)].mean(axis=0)
    assert dark[2] > dark[0]


def test_thick_planes_are_known_to_be_thick_and_hold_less_detail_along_z():
    ((data, keywords, _),) = simulated.anisotropic_stack()
    assert keywords["scale"][0] == pytest.approx(4 * keywords["scale"][1])
    smooth = gaussian_filter(data.astype(float), (0, 2, 2))
    along_z, along_x = (np.abs(np.diff(smooth, axis=axis)).mean() for axis in (0, 2))
    assert along_z > 2 * along_x
