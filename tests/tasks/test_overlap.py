"""Frames that two windows of a movie need are denoised by themselves once, and the result is the same."""

import pickle

import numpy as np
import pytest

from napari_genrecon import NoiseModel
from napari_genrecon.engine.run import finish, region_steps
from napari_genrecon.tasks.denoise import DenoiseOptions, denoise_steps, frames, neighbours, overlap
from napari_genrecon.tasks.denoise.planes import DenoisePlanes

OPTIONS = DenoiseOptions(noise=NoiseModel.white(10.0), axes="TYX", frames="T")
SIDE = 48


@pytest.fixture(autouse=True)
def short_windows(monkeypatch):
    for module in (frames, neighbours):
        monkeypatch.setattr(module, "WINDOW", 4)
        monkeypatch.setattr(module, "REACH", 2)


@pytest.fixture
def alone(monkeypatch):
    """Frames that were denoised by themselves."""
    seen, clean = [], DenoisePlanes.clean

    def counted(planes, stabilised, channel, sigma=None):
        if sigma is None:
            seen.append(stabilised)
        return clean(planes, stabilised, channel, sigma)

    monkeypatch.setattr(DenoisePlanes, "clean", counted)
    return seen


def movie(count=11):
    return np.random.default_rng(0).normal(100, 10, (count, SIDE, SIDE)).astype(np.float32)


def restored(image):
    return finish(denoise_steps(image, OPTIONS)).data


def test_every_frame_is_denoised_by_itself_once(alone, monkeypatch):
    result = restored(movie())
    assert len(alone) == 11
    monkeypatch.setattr(overlap.Overlap, "take", lambda *_: None)
    np.testing.assert_array_equal(restored(movie()), result)
    assert len(alone) == 11 + 19  # 6, 8 and 5 are read for the three windows


def test_no_more_is_kept_than_memory_allows(alone, monkeypatch):
    whole = restored(movie())
    monkeypatch.setattr(overlap, "_MOST", 2 * 4 * SIDE**2)
    np.testing.assert_array_equal(restored(movie()), whole)
    assert len(alone) == 11 + 15  # two of four frames at each of two ends


def test_window_after_a_change_of_the_movie_shows_the_change():
    image = movie()
    kernel, source, grid = finish(denoise_steps(image, OPTIONS, lazy=True)).tiles
    first, second = ((slice(start, start + 4), *[slice(0, SIDE)] * 2) for start in (0, 4))
    finish(region_steps(kernel, source, grid, first))
    image[5] += 30
    changed, anew = (
        finish(region_steps(k, source, grid, second)) for k in (kernel, pickle.loads(pickle.dumps(kernel)))
    )
    np.testing.assert_array_equal(changed, anew)


def test_other_processes_begin_with_nothing_kept():
    kernel, source, grid = finish(denoise_steps(movie(), OPTIONS, lazy=True)).tiles
    finish(region_steps(kernel, source, grid, (slice(0, 4), *[slice(0, SIDE)] * 2)))
    assert kernel.overlap._kept
    assert not pickle.loads(pickle.dumps(kernel)).overlap._kept
