import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter, zoom

from napari_genrecon.engine.lazy import lazy_tiles
from napari_genrecon.engine.run import Progress, finish, one_step, region_steps, run_tiles, seconds_left
from napari_genrecon.engine.tiles import TileGrid
from napari_genrecon.errors import InferenceError, OptionError

SIDES = st.integers(1, 70)


@st.composite
def grids(draw):
    stride = draw(st.sampled_from([1, 4]))
    spatial = (draw(SIDES), draw(SIDES))
    tile = [draw(st.integers(1, 8)) * stride for _ in range(2)]
    halo = draw(st.integers(0, 3)) * stride
    return TileGrid((draw(st.integers(1, 3)), *spatial), (1, *tile), (0, halo, halo), (1, 1, 1), (1, stride, stride))


def blur(block, tile):
    """A filter that reaches 2 pixels: needs a halo of at least 2."""
    return uniform_filter(block.astype(float), (0, 5, 5))


def with_halo(grid, halo):
    return TileGrid(grid.shape, grid.tile, (0, halo, halo), grid.scale, grid.stride)


@given(grids())
def test_tiles_cover_output_exactly_once(grid):
    count = np.zeros(grid.out_shape, int)
    for tile in grid.tiles():
        count[tile.dst] += 1
    assert (count == 1).all()
    assert grid.n_tiles == sum(1 for _ in grid.tiles())


@given(grids())
def test_tiles_start_on_the_stride(grid):
    for tile in grid.tiles():
        assert all(s.start % n == 0 for s, n in zip(tile.src, grid.stride, strict=True))


@given(grids())
def test_crop_has_the_size_of_its_destination(grid):
    for tile in grid.tiles():
        assert [c.stop - c.start for c in tile.crop] == [d.stop - d.start for d in tile.dst]


@given(grids())
def test_read_share_counts_the_pixels_read(grid):
    read = sum(np.prod([s.stop - s.start for s in tile.src]) for tile in grid.tiles())
    assert grid.read_share == pytest.approx(read / np.prod(grid.shape))


@given(grids(), st.integers(0, 2**32 - 1))
def test_tiled_equals_whole(grid, seed):
    grid = with_halo(grid, 4)
    image = np.random.default_rng(seed).normal(size=grid.shape)
    tiled = finish(run_tiles(one_step(blur), image, grid, np.float64)).array
    np.testing.assert_allclose(tiled, blur(image, None), atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(grids(), st.booleans())
def test_lazy_result_equals_eager_result(grid, dask_source):
    import dask.array as da

    grid = with_halo(grid, 4)
    image = np.random.default_rng(0).normal(size=grid.shape)
    source = da.from_array(image, chunks=(2, 13, 29)) if dask_source else image
    lazy = lazy_tiles(one_step(blur), source, grid, np.float64)
    assert lazy.chunks == (grid.coarse() if dask_source else grid).out_chunks
    np.testing.assert_allclose(
        lazy.compute(), finish(run_tiles(one_step(blur), image, grid, np.float64)).array, atol=1e-12
    )


def test_scaled_tiles_cover_the_larger_output():
    grid = TileGrid((20, 30), (8, 8), (4, 4), (2, 2), (1, 1))
    image = np.random.default_rng(0).normal(size=grid.shape)
    result = finish(run_tiles(one_step(lambda block, tile: zoom(block, 2, order=0)), image, grid, np.float64)).array
    np.testing.assert_array_equal(result, zoom(image, 2, order=0))


def test_looking_at_one_plane_computes_one_plane():
    seen = []

    def spy(block, tile):
        seen.append(tile.dst[0].start)
        return block

    grid = TileGrid((5, 16, 16), (1, 8, 8), (0, 4, 4), (1, 1, 1), (1, 1, 1))
    lazy_tiles(one_step(spy), np.zeros(grid.shape), grid)[3].compute(scheduler="sync")
    assert seen == [3] * 4


def test_building_a_lazy_result_reads_nothing():
    class Unreadable:
        shape, dtype = (4, 16, 16), np.dtype("u2")

        def __getitem__(self, region):
            raise AssertionError("the source was read")

    grid = TileGrid((4, 16, 16), (1, 8, 8), (0, 4, 4), (1, 1, 1), (1, 1, 1))
    assert lazy_tiles(one_step(blur), Unreadable(), grid).shape == (4, 16, 16)


@pytest.mark.parametrize("fits", [512, 300, 130], ids=lambda n: f"fits-{n}-pixels")
def test_out_of_memory_halves_the_tile_and_gives_the_same_result(fits):
    def hungry(block, tile):
        if block.size > fits:
            raise MemoryError
        return blur(block, tile)

    grid = TileGrid((1, 64, 64), (1, 32, 32), (0, 2, 2), (1, 1, 1), (1, 1, 1))
    image = np.random.default_rng(0).normal(size=grid.shape)
    notes = []
    tiled = finish(run_tiles(one_step(hungry), image, grid, np.float64), notes.append)
    np.testing.assert_allclose(tiled.array, blur(image, None), atol=1e-12)
    assert tiled.tile < grid.tile
    assert "out of memory: tiles reduced" in notes[-1].note
    assert notes[-1].done == notes[-1].total


def test_no_memory_at_all_gets_a_sentence():
    def hungry(block, tile):
        raise MemoryError

    grid = TileGrid((16, 16), (8, 8), (2, 2), (1, 1), (1, 1))
    with pytest.raises(InferenceError, match="not enough memory even for a tile"):
        finish(run_tiles(one_step(hungry), np.zeros((16, 16)), grid))


def test_progress_ends_complete():
    grid = TileGrid((3, 16, 16), (1, 8, 8), (0, 0, 0), (1, 1, 1), (1, 1, 1))
    steps = []
    finish(run_tiles(one_step(lambda block, tile: block), np.zeros(grid.shape), grid), steps.append)
    assert steps[0] == Progress(0, 12)
    assert [p.done for p in steps] == list(range(13))


def test_closing_the_steps_computes_no_further_tile():
    seen = []
    grid = TileGrid((16, 16), (8, 8), (0, 0), (1, 1), (1, 1))
    steps = run_tiles(one_step(lambda block, tile: seen.append(1) or block), np.zeros((16, 16)), grid)
    next(steps), next(steps)
    steps.close()
    assert len(seen) == 1


@pytest.mark.parametrize(("tile", "halo"), [((0, 8), (0, 0)), ((8, 8), (-8, 0)), ((12, 8), (0, 0)), ((8, 8), (4, 0))])
def test_grid_refuses_what_is_not_on_the_stride(tile, halo):
    with pytest.raises(OptionError, match="multiples of"):
        TileGrid((64, 64), tile, halo, (1, 1), (8, 8))


def blur_in_steps(block, tile):
    yield
    yield
    return blur(block, tile)


def test_function_in_steps_gives_the_same_and_can_be_stopped_between_them():
    image = np.random.default_rng(0).normal(size=(1, 40, 40))
    grid = TileGrid(image.shape, (1, 16, 16), (0, 4, 4), (1, 1, 1), (1, 1, 1))
    seen = []
    tiled = finish(run_tiles(blur_in_steps, image, grid, np.float64, steps=3), seen.append)
    np.testing.assert_array_equal(tiled.array, finish(run_tiles(one_step(blur), image, grid, np.float64)).array)
    np.testing.assert_array_equal(lazy_tiles(blur_in_steps, image, grid, np.float64).compute(), tiled.array)
    assert [p.done for p in seen] == list(range(3 * grid.n_tiles + 1))
    assert {p.total for p in seen} == {3 * grid.n_tiles}


@pytest.mark.parametrize("costs", [(1, 1, 1), (5, 1, 0.1), (0, 0, 3)], ids=str)
def test_time_left_is_right_whatever_the_steps_of_a_tile_and_the_tiles_cost(costs):
    grid = TileGrid((1, 40, 24), (1, 16, 16), (0, 4, 4), (1, 1, 1), (1, 1, 1))
    clock, told = [0.0], []

    def slow(block, tile):
        for cost in costs[:-1]:
            clock[0] += cost * block.size
            yield
        clock[0] += costs[-1] * block.size
        return block

    for progress in run_tiles(slow, np.zeros(grid.shape), grid, steps=costs):
        left = seconds_left(clock[0], 0.0, progress.fraction)
        told.append(None if left is None else clock[0] + left)
    np.testing.assert_allclose([total for total in told if total is not None], clock[0])
    assert told[0] is None
    assert told[-1] is None


def test_tiles_without_work_count_for_nothing():
    grid = TileGrid((16, 16), (8, 8), (0, 0), (1, 1), (1, 1))
    seen = []
    work = lambda tile: float(tile.dst[0].start == 8)  # noqa: E731
    finish(run_tiles(one_step(lambda block, tile: block), np.zeros((16, 16)), grid, work=work), seen.append)
    assert [p.fraction for p in seen] == [0, 0, 0, 0.5, 1]


@pytest.mark.parametrize(("first", "now"), [(0.0, 0.0), (0.3, 0.3), (0.3, 1.0)])
def test_time_left_is_not_told_where_there_is_none(first, now):
    assert seconds_left(10.0, first, now) is None


@pytest.mark.parametrize("region", [np.s_[1:2, 3:30, 20:41], np.s_[0:2, 0:1, 39:40], np.s_[:, :, :]], ids=str)
@pytest.mark.parametrize("fn", [one_step(blur), blur_in_steps])
def test_region_equals_that_part_of_the_whole(region, fn):
    image = np.random.default_rng(0).normal(size=(2, 50, 41))
    grid = TileGrid(image.shape, (1, 16, 16), (0, 4, 4), (1, 1, 1), (1, 4, 4))
    whole = finish(run_tiles(one_step(blur), image, grid, np.float64)).array
    np.testing.assert_allclose(finish(region_steps(fn, image, grid, region, np.float64)), whole[region], atol=1e-12)


def test_region_of_a_larger_result_has_its_scale():
    image = np.arange(60.0).reshape(1, 6, 10)
    grid = TileGrid(image.shape, (1, 4, 4), (0, 0, 0), (1, 2, 3), (1, 1, 1))
    larger = lambda block, tile: block.repeat(2, 1).repeat(3, 2)  # noqa: E731
    found = finish(region_steps(one_step(larger), image, grid, np.s_[0:1, 1:3, 5:9]))
    np.testing.assert_array_equal(found, larger(image[:, 1:3, 5:9], None))


@pytest.mark.parametrize("source", ["numpy", "dask"])
@pytest.mark.parametrize("region", [np.s_[1:2, 3:30, 20:41], np.s_[0:2, 7:50, 1:33], np.s_[:, 49:50, 0:1]], ids=str)
def test_lazy_region_equals_the_eager_one_and_that_part_of_the_whole(region, source):
    import dask.array as da

    image = np.random.default_rng(0).normal(size=(2, 50, 41))
    grid = TileGrid(image.shape, (1, 16, 16), (0, 4, 4), (1, 1, 1), (1, 4, 4))
    whole, part = finish(run_tiles(one_step(blur), image, grid, np.float64)).array, grid.within(region)
    eager = finish(run_tiles(one_step(blur), image, part, np.float64)).array
    given = image if source == "numpy" else da.from_array(image, chunks=(1, 13, 20))
    np.testing.assert_array_equal(lazy_tiles(one_step(blur), given, part, np.float64).compute(), eager)
    np.testing.assert_allclose(eager, whole[region], atol=1e-12)


def test_what_is_read_for_a_region_starts_on_the_grid_of_the_model():
    grid = TileGrid((64, 64), (16, 16), (8, 8), (2, 2), (8, 8)).within(np.s_[13:30, 21:22])
    for tile in grid.tiles():
        assert all(part.start % 8 == 0 for part in tile.src)
    assert grid.out_shape == (34, 2)
