"""Optics as a plain value: what can be, what a text says, and what comes from the image."""

from dataclasses import replace

import numpy as np
import pytest

from napari_genrecon import Optics, simulate_psf
from napari_genrecon.axes import Axes
from napari_genrecon.errors import OptionError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.tasks.deblur import DeblurOptions
from napari_genrecon.tasks.pixel_size import calibrated

WATER = {"na": 1.2, "wavelength": 600.0, "refractive_index": 1.33}


def about(units=("micrometer",) * 3, scale=(0.3, 0.1, 0.1)):
    return ImageMeta(axes=Axes("ZYX"), scale=scale, units=units)


def test_psf_is_the_simulated_one_in_nanometres_and_micrometres():
    expected = simulate_psf(na=1.2, wavelength=0.6, refractive_index=1.33, pixel_size=0.1, z_step=0.3, kind="confocal")
    np.testing.assert_array_equal(Optics(**WATER, kind="confocal", pixel_size=0.1, z_step=0.3).psf(), expected)


def test_text_says_the_same_as_the_value():
    text = "optics:na=1.2, wavelength=600,refractive_index=1.33,kind=two-photon,pixel_size=0.1"
    assert Optics.from_text(text) == Optics(**WATER, kind="two-photon", pixel_size=0.1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("optics:na=1.4", "optics need na and wavelength"),
        ("optics:na=1.4,wavelength=big", "wavelength must be a number, got 'big'"),
        ("optics:na=1.4,colour=520", r"name=value, once each, of na, wavelength, .*; got 'colour=520'"),
        ("optics:na=1,na=1.4,wavelength=520", "got 'na=1.4'"),
        ("optics:na=1.6,wavelength=520", r"na must be below the refractive index .* 1.515; got 1.6"),
        ("optics:na=1.2,wavelength=0.52", "wavelength must lie between 100 and 10000 nanometres, got 0.52"),
        ("optics:na=1.2,wavelength=520,kind=sted", "kind must be one of widefield, confocal, two-photon; got 'sted'"),
        ("optics:na=1.2,wavelength=520,pixel_size=-1", "pixel size must be a positive number, got -1"),
        ("optics:na=1.2,wavelength=520,z_step=-1", "z step must be 0 or more micrometres, got -1"),
    ],
)
def test_optics_that_cannot_be_get_a_sentence(text, sentence):
    with pytest.raises(OptionError, match=sentence):
        Optics.from_text(text)


def test_sizes_come_from_the_image_where_they_are_not_given():
    options = DeblurOptions(psf=Optics(**WATER))
    found = calibrated(options, lambda: about(("micrometer", "nanometer", "nanometer"), (0.3, 100.0, 100.0))).psf
    assert (found.pixel_size, found.z_step) == (pytest.approx(0.1), 0.3)
    given = calibrated(DeblurOptions(psf=Optics(**WATER, pixel_size=0.2, z_step=0)), about).psf
    assert (given.pixel_size, given.z_step) == (0.2, 0)
    assert given.psf().ndim == 2


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (about(("pixel",) * 3), r"along X \(its unit is pixel\): give the pixel size \(pixel_size\) in micrometres$"),
        (
            about(("pixel", "micrometer", "micrometer")),
            r"along Z .*: give the z step \(z_step\) in micrometres, or 0",
        ),
        (about(scale=(1, 0.1, 0.2)), "pixels are 0.2 x 0.1 micrometres, and a computed PSF needs square ones"),
    ],
    ids=["no unit", "no unit along Z", "not square"],
)
def test_image_that_does_not_say_its_sizes_gets_a_sentence(image, sentence):
    with pytest.raises(OptionError, match=sentence):
        calibrated(DeblurOptions(psf=Optics(**WATER)), lambda: image)


def test_optics_without_a_pixel_size_are_no_psf():
    with pytest.raises(OptionError, match=r"the pixel size is not known: give it in micrometres \(pixel_size\)"):
        Optics(**WATER).psf()


def test_pinhole_and_excitation_reach_the_psf():
    sizes = {"pixel_size": 0.1, "z_step": 0.3}
    optics = Optics.from_text(
        "optics:na=1.2,wavelength=600,refractive_index=1.33,kind=confocal,pinhole=1,excitation=561"
    )
    expected = simulate_psf(
        na=1.2, wavelength=0.6, refractive_index=1.33, kind="confocal", pinhole=1, excitation=0.561, **sizes
    )
    np.testing.assert_array_equal(replace(optics, **sizes).psf(), expected)
    with pytest.raises(OptionError, match="pinhole fits only a confocal microscope"):
        Optics(**WATER, pinhole=1)
    with pytest.raises(OptionError, match=r"excitation must lie between 100 and 10000 nanometres, got 0.488"):
        Optics(**WATER, kind="confocal", excitation=0.488)


def test_records_of_before_there_was_a_pinhole_compare_as_equal():
    from napari_genrecon.tasks.deblur.psf import psf_facts

    facts = psf_facts(Optics(**WATER, pixel_size=0.1, kind="confocal"), np.ones((3, 3)))
    assert not {"pinhole", "excitation"} & set(facts["optics"])
