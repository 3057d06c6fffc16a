"""The average of beads is the PSF that has blurred them; what is no single bead is left out and said."""

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter, shift

from napari_genrecon import gaussian_psf, psf_from_beads
from napari_genrecon.cli import main
from napari_genrecon.errors import ImageError, OptionError

FWHM = 3.2


def slide(rng, places, size=FWHM, side=160):
    image = np.zeros((side, side))
    for place in places:
        point = np.zeros((side, side))
        point[tuple(np.round(place).astype(int))] = 20_000
        image += shift(gaussian_filter(point, size / 2.3548), np.asarray(place) - np.round(place), order=3)
    return rng.poisson(np.maximum(image, 0) + 20.0).astype(np.float64)


GRID = [(y, x) for y in (30.3, 80.0, 130.4) for x in (30.0, 79.6, 129.8)]


def test_average_of_beads_is_their_psf():
    rng = np.random.default_rng(0)
    image = slide(rng, GRID)
    found = psf_from_beads(image, np.array(GRID) + rng.uniform(-2, 2, (9, 2)))
    assert (found.used, found.rejected) == (9, ())
    truth = np.zeros((21, 21))
    inner = gaussian_psf(FWHM)
    reach = inner.shape[0] // 2
    truth[10 - reach : 11 + reach, 10 - reach : 11 + reach] = inner
    assert np.abs(found.pixels - truth).max() < 0.04 * truth.max()


def test_beads_that_are_none_are_left_out_with_their_reason():
    rng = np.random.default_rng(1)
    image = slide(rng, [*GRID[:6], (2.0, 80.0), (130.0, 30.0), (130.0, 37.0)])
    image += 0.5 * slide(rng, [(130.0, 130.0)], size=9.0)
    image[30:33, 78:81] = image.max()
    points = [*GRID[:6], (2, 80), (130, 30), (130, 130), (105, 105)]
    found = psf_from_beads(image, points)
    assert found.used == 5
    assert sorted(found.rejected) == ["at the border", "beside another", "of another shape", "saturated", "too dim"]
    assert str(found).startswith("PSF of 5 beads; left out: ")


def test_point_beside_a_bead_that_its_patch_cuts_off_spoils_no_other():
    image = slide(np.random.default_rng(1), [*GRID[:6], (130.0, 30.0)])
    image[130, 41] += 60  # the bead lies 11 pixels away: only its slope is in the patch
    found = psf_from_beads(image, [*GRID[:6], (130, 41)])
    assert (found.used, found.rejected) == (6, ("beside another",))


def test_no_bead_or_points_of_other_dimensions_get_a_sentence():
    noise = np.random.default_rng(0).normal(100, 5, (64, 64))
    with pytest.raises(ImageError, match=r"no bead is left of 1 \(1 too dim\)"):
        psf_from_beads(noise, [(32, 32)])
    with pytest.raises(OptionError, match=r"shapes \(64, 64\) and \(1, 3\)"):
        psf_from_beads(noise, [(0, 32, 32)])
    with pytest.raises(OptionError, match="place that is not finite"):
        psf_from_beads(np.zeros((64, 64)), [[np.nan, 3]])


def test_command_line_writes_the_psf_of_python(tmp_path, capsys):
    image = slide(np.random.default_rng(0), GRID).astype(np.uint16)
    tifffile.imwrite(tmp_path / "beads.tif", image)
    lines = ["axis-0,axis-1", *(f"{y},{x}" for y, x in GRID)]
    (tmp_path / "points.csv").write_text("\n".join(lines))
    call = ["psf", str(tmp_path / "beads.tif"), str(tmp_path / "points.csv"), str(tmp_path / "psf.ome.tif")]
    assert main(call) == 0
    assert "PSF of 9 beads" in capsys.readouterr().out
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "psf.ome.tif"), psf_from_beads(image, GRID).pixels)
    assert main(call) == 1
