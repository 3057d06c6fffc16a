"""A measured PSF on the pixels of the image."""

import numpy as np
import pytest

from napari_genrecon import MeasuredPSF, gaussian_psf, simulate_psf
from napari_genrecon.axes import Axes
from napari_genrecon.errors import OptionError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.optics.centre import light_in_pixels
from napari_genrecon.tasks.pixel_size import measured_psf

OPTICS = {"na": 1.2, "wavelength": 0.52, "refractive_index": 1.33}


@pytest.mark.parametrize(
    ("own", "image"),
    [
        ((0.1, 0.05, 0.05), (0.3, 0.1, 0.1)),
        ((0.2, 0.065, 0.065), (0.3, 0.1, 0.1)),
        ((0.2, 0.08, 0.08), (0.1, 0.06, 0.06)),
    ],
    ids=["coarser", "by no whole number", "finer"],
)
def test_resampled_psf_is_that_of_the_other_pixels(own, image):
    bead = simulate_psf(pixel_size=own[1], z_step=own[0], shape=(21, 61, 61), **OPTICS)
    found = MeasuredPSF(pixels=bead, pixel_size=own, image_pixel_size=image).psf()
    expected = simulate_psf(pixel_size=image[1], z_step=image[0], shape=found.shape, **OPTICS)
    np.testing.assert_allclose(found, expected, atol=0.04 * expected.max())
    flat = MeasuredPSF(pixels=bead[10], pixel_size=own[1:], image_pixel_size=image[1:]).psf()
    middle = expected[len(expected) // 2]
    np.testing.assert_allclose(flat, middle / middle.sum(), atol=0.04 * (middle / middle.sum()).max())


@pytest.mark.parametrize("shape", [(30, 30), (31, 30), (30, 31), (9, 30, 31), (10, 31, 30), (1, 30, 30)], ids=str)
@pytest.mark.parametrize("ratio", [0.37, 0.5, 1.4, 2.0, 3.0])
def test_middle_stays_the_middle_and_no_light_is_lost(shape, ratio):
    grid = np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij")
    bead = np.exp(-sum((10 * axis / n) ** 2 / 2 for axis, n in zip(grid, shape, strict=True)))
    sizes = (1.0,) * len(shape)
    found = MeasuredPSF(pixels=bead, pixel_size=sizes, image_pixel_size=tuple(ratio * n for n in sizes)).psf()
    assert np.unravel_index(found.argmax(), found.shape) == tuple(n // 2 for n in found.shape)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    centre = [float((found.sum(tuple(j for j in range(found.ndim) if j != i)) * (np.arange(n) - n // 2)).sum())
              for i, n in enumerate(found.shape)]  # fmt: skip
    np.testing.assert_allclose(centre, 0, atol=0.01 / ratio)


def test_image_of_pixels_with_light_everywhere_keeps_all_of_it():
    bead = 2 + np.random.default_rng(0).random((12, 15))
    found = light_in_pixels(bead, 2.5, 6.5)
    np.testing.assert_allclose(found.sum(axis=0), bead.sum(axis=0), rtol=1e-9)


@pytest.mark.parametrize(
    ("own", "image"),
    [((0.1, 0.1), None), ((0.1, None), (None, 0.2)), ((0.1, 0.1), (0.101, 0.1))],
    ids=["image not known", "of no dimension both known", "nearly the same"],
)
def test_sizes_that_say_nothing_change_nothing(own, image):
    given = MeasuredPSF(pixels=gaussian_psf(3.0), pixel_size=own, image_pixel_size=image)
    np.testing.assert_allclose(given.psf(), gaussian_psf(3.0), rtol=1e-12)  # sums to 1 in another order of adding
    assert not given.resampled


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pixel_size": (0.1,)}, "the PSF has 2 dimensions, but 1 pixel sizes were given"),
        ({"pixel_size": (0.1, -1.0)}, "must be a positive number of micrometres, got -1"),
        ({"image_pixel_size": (0.1, np.nan)}, "must be a positive number of micrometres, got nan"),
        ({"image_pixel_size": (0.1, 0.004)}, "0.1 x 0.1 micrometres, those of the image 0.1 x 0.004 micrometres"),
        ({"pixels": np.zeros((3, 3))}, "finite numbers of a positive sum"),
    ],
)
def test_what_cannot_be_gets_a_sentence(changes, sentence):
    with pytest.raises(OptionError, match=sentence):
        MeasuredPSF(**{"pixels": gaussian_psf(3.0), "pixel_size": (0.1, 0.1), "image_pixel_size": None} | changes)


@pytest.mark.parametrize("times", [40.5, 1 / 40.5])
def test_sizes_may_differ_by_as_many_times_as_the_psf_is_wide(times):
    given = {"pixels": np.ones((41, 15)), "pixel_size": (0.1, 0.1)}
    MeasuredPSF(**given, image_pixel_size=(0.1 * times, 0.1))
    with pytest.raises(OptionError, match=r"by more times than the PSF has pixels \(41\)"):
        MeasuredPSF(**given, image_pixel_size=(0.1 * times**1.01, 0.1))


def about(letters, *scale):
    units = tuple("nanometer" if n else "pixel" for n in scale)
    return ImageMeta(axes=Axes(letters), scale=tuple(n or 1.0 for n in scale), units=units)


def test_file_of_any_order_and_unit_is_a_stack_in_micrometres():
    found = measured_psf(np.ones((5, 6, 1, 7)), about("YXCZ", 65, 70, 0, 200))
    assert np.shape(found.pixels) == (7, 5, 6)
    assert found.pixel_size == pytest.approx((0.2, 0.065, 0.07))
    many = measured_psf(np.ones((15, 5, 6)), about("CYX", 0, 65, 65))  # as many programs write stacks
    assert many.pixel_size == (None, pytest.approx(0.065), pytest.approx(0.065))


@pytest.mark.parametrize(("shape", "letters"), [((2, 9, 9), "CYX"), ((9, 9, 3), "YXS"), ((2, 5, 9, 9), "TZYX")])
def test_psf_with_channels_gets_a_sentence(shape, letters):
    with pytest.raises(OptionError, match=f"the PSF has axes {letters}, .*give one channel and time of it"):
        measured_psf(np.ones(shape), about(letters, *(0,) * len(shape)))
