import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from napari_genrecon.engine import memory
from napari_genrecon.engine.memory import allocate, available_memory, check_tile, fit_tile
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.errors import ImageError, OptionError


@example(height=12696, width=19969, halo=96, pixels=200_000)
@given(st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from([0, 8, 96]), st.integers(200_000, 2_000_000))
def test_fitted_tile_stays_within_its_pixels(height, width, halo, pixels):
    tile = fit_tile((height, width), halo=halo, stride=8, bytes_per_pixel=1, budget=1 << 40, max_pixels=pixels)
    grid = TileGrid((height, width), tile, (halo, halo), (1, 1), (8, 8))
    # A last piece smaller than the halo joins its neighbour, which may then be up to a halo larger.
    slack = np.prod([t + 3 * halo for t in tile]) if any(len(c) > 1 and c[-1] > c[0] for c in grid.chunks) else pixels
    for tile in grid.tiles():
        assert np.prod([s.stop - s.start for s in tile.src]) <= slack


@pytest.mark.parametrize("side", [(512, 512), (1000, 300), (7, 5)])
def test_small_plane_is_one_tile(side):
    tile = fit_tile(side, halo=96, stride=8, bytes_per_pixel=500, budget=1 << 30, max_pixels=1_000_000)
    assert TileGrid(side, tile, (96, 96), (1, 1), (8, 8)).n_tiles == 1


def test_less_memory_gives_smaller_tiles():
    sizes = [
        np.prod(fit_tile((4096, 4096), halo=96, stride=8, bytes_per_pixel=500, budget=b, max_pixels=1 << 30))
        for b in (1 << 34, 1 << 30, 1 << 28)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


def test_result_larger_than_memory_gets_a_sentence():
    with pytest.raises(ImageError, match="GB of memory is free: pass a dask or Zarr array"):
        allocate((1 << 24, 1 << 24), np.dtype("f4"))


def test_memory_limit_of_a_container_counts(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert available_memory() == 600_000


def test_hand_given_tile_is_rounded_up_to_the_stride():
    assert check_tile(100, 8) == (104, 104)
    assert check_tile((100, 64), 8) == (104, 64)
    with pytest.raises(OptionError, match="tile must be a positive number of pixels, got 0"):
        check_tile(0, 8)
