import numpy as np
import pytest

from napari_genrecon.engine.run import finish, one_step, run_tiles
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.models import list_models, load_network
from napari_genrecon.numerics.inpaint_inputs import fill_planes

FILLERS = list_models("inpaint")
by_name = pytest.mark.parametrize("spec", FILLERS, ids=lambda s: s.name)


def planes(shape, seed=0):
    """Those of a smooth scene with half of the pixels missing."""
    y, x = np.indices(shape)
    scene = (6 * np.sin(x / 9) * np.cos(y / 14) + 4 * (np.hypot(x - 90, y - 70) < 30)).astype(np.float32)
    return fill_planes(scene, np.random.default_rng(seed).random(shape) < 0.5, 0.1)


@by_name
@pytest.mark.parametrize("scale", [1e-3, 40.0, 1e4])
def test_network_is_equivariant_to_scale(spec, scale):
    run, given = load_network(spec, "cpu"), planes((96, 96))
    np.testing.assert_allclose(run(given * np.float32(scale)) / scale, run(given), atol=1e-3)


@by_name
def test_tiled_equals_whole(spec):
    """Given the same planes, to 1e-4 of a scene whose contrast is about 4."""
    run, given = load_network(spec, "cpu"), planes((312, 264))
    grid = TileGrid(given.shape, (4, 104, 120), (0, *spec.halo[2:]), (1, 1, 1), (1, *spec.stride[2:]))
    tiled = finish(run_tiles(one_step(lambda block, tile: np.repeat(run(block)[None], 4, 0)), given, grid)).array[0]
    assert np.abs(tiled - run(given)).max() <= 4e-4
