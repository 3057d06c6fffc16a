"""Display limits of a file are those of its results, where their grey values mean the same."""

import numpy as np
import pytest
import tifffile
from napari.layers import Image

from napari_genrecon.axes import Axes
from napari_genrecon.cli import main
from napari_genrecon.engine.run import finish
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.layers import read_layers, write_tiff_layers, write_zarr_layers
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.tiff.write import write_tiff_steps
from napari_genrecon.io.zarr.write import write_zarr_steps

LIMITS = ((3.0, 40.0), (5.5, 50.0))
NOISY = np.random.default_rng(0).poisson(9, (2, 24, 20)).astype("u2")


def layers(*channels):
    shown = [{"name": f"layer {i}", "contrast_limits": LIMITS[i], "axis_labels": ("y", "x")} for i in channels]
    return [Image(NOISY[i], **keywords).as_layer_data_tuple() for i, keywords in zip(channels, shown, strict=True)]


def imagej(path):
    tifffile.imwrite(path, NOISY, imagej=True, metadata={"axes": "CYX", "Ranges": sum(LIMITS, ())})


def zarr(path):
    finish(write_zarr_steps(path, NOISY, ImageMeta(axes=Axes("CYX"), channel_limits=LIMITS)))


SOURCES = {
    "ImageJ": (".tif", imagej, (0, 1)),
    "OME-Zarr": (".ome.zarr", zarr, (0, 1)),
    "layer in TIFF": (".ome.tif", lambda path: write_tiff_layers(path, layers(1)), (1,)),
    "layer in Zarr": (".ome.zarr", lambda path: write_zarr_layers(path, layers(1)), (1,)),
    "layers in TIFF": (".ome.tif", lambda path: write_tiff_layers(path, layers(0, 1)), (0, 1)),
}


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
@pytest.mark.parametrize("source", SOURCES)
def test_results_are_shown_with_the_limits_of_their_source(tmp_path, source, ending):
    own, write, channels = SOURCES[source]
    path, target = str(tmp_path / f"a{own}"), str(tmp_path / f"b{ending}")
    write(path)
    assert main(["denoise", path, "-o", target, "--uncertainty"]) == 0
    limits = [LIMITS[i] for i in channels]
    assert open_image(tmp_path / f"b{ending}").about.channel_limits == tuple(limits)
    shown = read_layers(target)[0][1]["contrast_limits"]
    np.testing.assert_array_equal(np.reshape(shown, (-1, 2)), limits)
    # Errors are on another scale.
    assert open_image(tmp_path / f"b_expected_error{ending}").about.channel_limits == ()


@pytest.mark.parametrize("stated", [3, [[1, 2]], [[2, 1], [1, 2]], [[1, "x"], [1, 2]], [[1, float("nan")], [1, 2]]])
def test_limits_that_cannot_be_are_left_to_the_viewer(tmp_path, stated):
    about = ImageMeta(axes=Axes("CYX"), layer={"channel_limits": stated})
    path = finish(write_tiff_steps(tmp_path / "a.ome.tif", NOISY, about))
    assert open_image(path).about.channel_limits == ()
