"""sCMOS cameras: every pixel has an offset, a gain and a read noise of its own."""

import json
import sys
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile

from napari_genrecon import denoise
from napari_genrecon.axes import resolve_axes
from napari_genrecon.cli import main
from napari_genrecon.errors import OptionError
from napari_genrecon.io.reader import open_image
from napari_genrecon.tasks.denoise.camera import Corrected, camera_maps

SIDE = 96
pytestmark = pytest.mark.filterwarnings("ignore:.* of the pixels are hot or dead ones")


def scene():
    y, x = np.indices((SIDE, SIDE))
    return 20.0 + 15 * np.sin(y / 9) * np.cos(x / 11)  # electrons


def recorded(seed=0):
    """A camera with a noisy pixel in fifty: its maps, and the image in DN."""
    rng = np.random.default_rng(seed)
    offset, gain = 100 + rng.normal(0, 4, (SIDE, SIDE)), 2 * (1 + np.clip(rng.normal(0, 0.04, (SIDE, SIDE)), -0.2, 0.2))
    read = np.where(rng.random((SIDE, SIDE)) < 0.02, 25.0, 1.5)  # electrons
    electrons = rng.poisson(scene()) + read * rng.normal(size=(SIDE, SIDE))
    return np.stack([offset, gain, (gain * read) ** 2]).astype("f4"), (offset + gain * electrons).astype("f4")


def error(result):
    """Root mean square error in electrons, of a result in DN of the mean pixel."""
    return float(np.sqrt(np.mean(((result - 100) / 2 - scene()) ** 2)))


def test_noisy_pixels_and_fixed_pattern_are_gone():
    maps, image = recorded()
    assert error(denoise(image, camera=maps)) < 0.5 * error(denoise(image))


def test_equal_pixels_change_nothing():
    _maps, image = recorded()
    equal = np.stack([np.full((SIDE, SIDE), value) for value in (100.0, 2.0, 9.0)])
    np.testing.assert_allclose(denoise(image, camera=equal, noise=8.0), denoise(image, noise=8.0), atol=1e-3)


def test_regions_fit_together():
    maps, image = recorded()
    corrected = Corrected(image, resolve_axes("YX", image.shape), camera_maps(maps, image.shape))
    whole = corrected[:, :]
    for rows, columns in ((slice(0, 30), slice(7, 50)), (slice(30, 96), slice(0, 96)), (slice(95, 96), slice(40, 41))):
        np.testing.assert_array_equal(corrected[rows, columns], whole[rows, columns])


def test_pixels_that_are_not_finite_stay_and_spoil_nothing():
    maps, image = recorded()
    image[40, 50] = np.nan
    result = denoise(image, camera=maps)
    assert np.isnan(result[40, 50])
    assert np.isnan(result).sum() == 1


def test_lazy_and_movies_give_the_same_pixels():
    maps, image = recorded()
    movie = np.stack([image, recorded(1)[1]])
    eager = denoise(movie, camera=maps, axes="TYX", frames="none", noise=8.0)
    lazy = denoise(da.from_array(movie, chunks=(1, 48, 96)), camera=maps, axes="TYX", frames="none", noise=8.0)
    np.testing.assert_array_equal(np.asarray(lazy), eager)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda maps: maps[:, :-1], r"camera has shape \(3, 95, 96\) but the image has planes of \(96, 96\)"),
        (lambda maps: maps * [[[1]], [[0]], [[1]]], "camera has a gain of 0 and a variance of .* the least"),
        (lambda maps: maps * [[[1]], [[1]], [[-1]]], "and a variance of -.* at the least"),
        (lambda maps: np.where(maps > 100, np.nan, maps), "camera must hold finite numbers"),
        (lambda maps: maps[0], r"camera must be a \(3, Y, X\) array.* got one of shape \(96, 96\)"),
    ],
    ids=["shape", "gain", "variance", "nan", "plane"],
)
def test_impossible_maps_get_a_sentence(change, words):
    maps, image = recorded()
    with pytest.raises(OptionError, match=words):
        denoise(image, camera=change(maps))


def test_maps_of_a_colour_image_get_a_sentence():
    maps, image = recorded()
    with pytest.raises(OptionError, match="monochrome sensor"):
        denoise(np.stack([image] * 3, -1), camera=maps, axes="YXS")


def test_command_line_gives_the_same_pixels_and_a_record_that_replays(tmp_path, capsys):
    maps, image = recorded()
    for name, pixels in (("a.tif", image), ("camera.tif", maps)):
        tifffile.imwrite(tmp_path / name, pixels, photometric="minisblack")
    result = tmp_path / "b.ome.tif"
    assert main(["denoise", str(tmp_path / "a.tif"), "--camera", str(tmp_path / "camera.tif"), "-o", str(result)]) == 0
    found = open_image(result)
    np.testing.assert_array_equal(np.asarray(found.data), denoise(image, camera=maps))
    assert found.record["camera"]["shape"] == [3, SIDE, SIDE]
    assert found.record["camera"]["read_noise"] == pytest.approx(3.0, abs=0.1)
    assert "camera" not in found.record["options"]
    assert json.loads(json.dumps(found.record)) == found.record
    assert main(["replay", str(result)]) == 0
    assert main(["methods", str(result)]) == 0
    assert "own offset, gain and read noise" in capsys.readouterr().out
    assert main(["check", str(result)]) == 1
    assert "with the maps of a camera" in capsys.readouterr().err
    tifffile.imwrite(tmp_path / "camera.tif", maps + 1, photometric="minisblack")
    assert main(["replay", str(result)]) == 1
    assert "is not the camera that" in capsys.readouterr().err


def test_results_without_maps_still_replay(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", recorded()[1])
    assert main(["denoise", str(tmp_path / "a.tif"), "-o", str(tmp_path / "b.ome.tif")]) == 0
    assert main(["replay", str(tmp_path / "b.ome.tif")]) == 0


@pytest.mark.skipif(sys.platform.startswith("linux") and not Path("/tmp/.X11-unix").exists(), reason="no display")
def test_a_layer_gives_the_maps():
    from napari.layers import Image

    maps, image = recorded()
    np.testing.assert_array_equal(denoise(Image(image), camera=Image(maps)), denoise(image, camera=maps))


def test_corrected_pixels_are_not_put_beside_raw_ones():
    maps, image = recorded()[:2]
    with pytest.raises(OptionError, match="whole puts the result into a copy"):
        denoise(image, camera=maps, region="Y=10:30", whole=True)
