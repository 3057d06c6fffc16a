"""Tasks leave the cache alone that napari gives dask: two threads that compute with it at once make it lose keys."""

import dask.array as da
import numpy as np
import pytest
from dask.callbacks import Callback

from napari_genrecon import advise, augment, check, deblur, denoise, detect, inpaint, measure_noise, resolution, upscale
from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import finish
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.tiff.write import write_tiff_steps

pytestmark = pytest.mark.filterwarnings("ignore::napari_genrecon.errors.GenReconWarning")

NOISY = np.random.default_rng(0).poisson(50, (4, 48, 40)).astype("u2")
NOISY[:, 5, 7] = 5000
CALLS = {
    "measure_noise": lambda image, _: measure_noise(image),
    "denoise": lambda image, _: denoise(image),
    "movie": lambda image, _: denoise(image, axes="TYX", frames="auto"),
    "upscale": lambda image, _: upscale(image, noise=7.0),
    "deblur": lambda image, _: deblur(image, 2.0, method="rl", iterations=1),
    "inpaint": lambda image, _: inpaint(image, detect="hot", method="biharmonic", noise=7.0),
    "detect": lambda image, _: detect(image),
    "augment": lambda image, _: augment(image, n=1),
    "advise": lambda image, _: advise(image),
    "check": lambda image, _: check(image, image),
    "resolution": lambda image, _: resolution(image),
    "write": lambda image, path: finish(write_tiff_steps(path / "a.ome.tif", image, ImageMeta(axes=Axes("ZYX")))),
}


class Cache(Callback):
    """What napari gives dask, as far as it is asked."""

    def __init__(self):
        self.asked = 0

    def _start(self, graph):
        self.asked += 1


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_pixels_are_read_without_the_cache_of_dask(tmp_path, call):
    image = da.from_array(NOISY, chunks=(1, 24, 40))
    with Cache() as cache:
        call(image, tmp_path)
        assert cache.asked == 0
        np.asarray(image)
        assert cache.asked == 1  # it would have been seen
