"""Tiles that are computed ahead, in threads: the same as one by one, whatever happens on the way."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from napari_genrecon.engine.run import finish, one_step, run_tiles
from napari_genrecon.engine.tiles import TileGrid

GRID = TileGrid((64, 48), (16, 16), (4, 4), (1, 1), (4, 4))  # 12 tiles
IMAGE = np.random.default_rng(0).normal(100, 10, GRID.shape)
ONE = TileGrid((8, 8), (8, 8), (0, 0), (1, 1), (1, 1))
SIDE = st.integers(1, 70)


def blur(block, tile):
    """A filter that reaches 2 pixels."""
    return uniform_filter(block.astype(float), 5)


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def slow(seconds):
    """A tile function in steps, each of so many seconds."""

    def fn(block, tile):
        for _ in range(3):
            time.sleep(seconds)
            yield
        return block

    return fn


@given(SIDE, SIDE, st.integers(1, 6), st.integers(2, 5), st.sampled_from(["plain", "in steps"]))
@settings(max_examples=30, deadline=None)
def test_ahead_equals_one_by_one(height, width, tile, ahead, kind):
    grid = TileGrid((height, width), (4 * tile, 4 * tile), (4, 4), (1, 1), (4, 4))

    def in_steps(block, tile):
        yield
        return blur(block, tile)

    source = np.random.default_rng(0).normal(0, 1, grid.shape)
    fn = one_step(blur) if kind == "plain" else in_steps
    here, there = (finish(run_tiles(fn, source, grid, np.float64, ahead=n)) for n in (1, ahead))
    np.testing.assert_array_equal(there.array, here.array)
    assert (there.tile, there.nan, there.clipped) == (here.tile, here.nan, here.clipped)


def test_tiles_begin_in_order_and_are_handed_over_in_order():
    begun, places = [], [tile.dst for tile in GRID.tiles()]

    @one_step
    def fn(block, tile):
        begun.append(tile.dst)
        time.sleep(0.02 if tile.dst == places[0] else 0)  # the first is the last to be ready
        return block

    done = [progress.done for progress in run_tiles(fn, IMAGE, GRID, ahead=3)]
    assert sorted(begun, key=places.index) == places
    assert done == sorted(done)
    assert done[-1] == GRID.n_tiles


@pytest.mark.parametrize("ahead", [1, 2, 4])
def test_no_more_tiles_than_asked_for_are_held_at_once(ahead):
    """Begun and not handed over yet: this bounds the memory."""
    begun, most = [], [0]

    @one_step
    def fn(block, tile):
        begun.append(tile)
        return block

    for progress in run_tiles(fn, IMAGE, GRID, ahead=ahead):
        time.sleep(0.01)  # others could run away meanwhile
        most[0] = max(most[0], len(begun) - progress.done)
    assert len(begun) == GRID.n_tiles
    assert most[0] <= ahead


@pytest.mark.parametrize("fails", [{0}, {3}, {2, 3, 4}, set(range(12))], ids=str)
def test_out_of_memory_while_others_are_computed_gives_the_same_pixels(fails):
    short = [tile.dst for index, tile in enumerate(GRID.tiles()) if index in fails]

    def scarce(block, tile):
        if tile.dst in short:
            raise MemoryError
        return blur(block, tile)

    right = finish(run_tiles(one_step(blur), IMAGE, GRID, np.float64)).array
    tiled = finish(run_tiles(one_step(scarce), IMAGE, GRID, np.float64, ahead=4))
    np.testing.assert_allclose(tiled.array, right, rtol=1e-12)  # a running sum: its start decides the last digits
    assert max(tiled.tile) <= 16
    assert min(tiled.tile) < 16


def test_closing_stops_every_thread_at_its_next_step():
    taken = []

    def fn(block, tile):
        for step in range(1000):
            taken.append(step)
            time.sleep(0.005)
            yield
        return block

    steps = run_tiles(fn, IMAGE, GRID, ahead=3)
    next(steps), next(steps)
    started = time.monotonic()
    steps.close()
    assert time.monotonic() - started < 2
    assert 3 <= len(taken) < 1000
    after = len(taken)
    time.sleep(0.05)
    assert len(taken) == after


def test_error_of_a_thread_is_that_of_the_run():
    @one_step
    def fn(block, tile):
        if tile.dst[0].start == 16:
            raise ValueError("this tile is odd")
        return block

    with pytest.raises(ValueError, match="this tile is odd"):
        finish(run_tiles(fn, IMAGE, GRID, ahead=4))


def test_steps_of_a_tile_count_while_it_is_waited_for():
    fractions = [step.fraction for step in run_tiles(slow(0.15), IMAGE[:8, :8], ONE, steps=4, ahead=2)]
    assert fractions == sorted(fractions)
    assert any(0 < fraction < 1 for fraction in fractions)
