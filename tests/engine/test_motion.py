"""Drift and changes of light between frames, and changes that they do not explain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_genrecon.numerics.changes import unexplained
from napari_genrecon.numerics.motion import STILL, Motion, follow, measure_motion
from napari_genrecon.numerics.two_way import two_way


def structure(side, contrast=6.0, seed=0):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((side, side)), 3)
    return contrast * field / field.std()


def noisy(image, seed):
    return (image + np.random.default_rng(seed).standard_normal(image.shape)).astype(np.float32)


@given(st.floats(-6, 6), st.floats(-6, 6), st.sampled_from([1.0, 0.93]))
@settings(max_examples=8, deadline=None)
def test_shift_and_light_are_measured(dy, dx, gain):
    base = structure(180)
    moved = ndimage.shift(base, (dy, dx), order=3)
    motion = measure_motion(noisy(base[20:160, 20:160], 1), noisy(gain * moved[20:160, 20:160], 2))
    assert abs(motion.dy - dy) < 0.1
    assert abs(motion.dx - dx) < 0.1
    assert abs(motion.gain - gain) < 0.03


@pytest.mark.parametrize("contrast", [0.0, 6.0], ids=["noise alone", "structure"])
def test_still_frames_are_not_moved(contrast):
    base = structure(140, contrast) if contrast else np.zeros((140, 140))
    assert measure_motion(noisy(base, 1), noisy(base, 2)) == STILL


def test_objects_that_move_by_themselves_do_not_move_the_frame():
    first, second = structure(140), structure(140)
    first[40:80, 40:80] += structure(40, 10, 3)
    second[44:84, 40:80] += structure(40, 10, 3)
    motion = measure_motion(noisy(first, 1), noisy(second, 2))
    assert (motion.dy, motion.dx) == (0, 0)


def test_another_scene_is_no_motion():
    motion = measure_motion(noisy(structure(140), 1), noisy(structure(140, seed=9), 2))
    assert (motion.dy, motion.dx) == (0, 0)


def test_following_back_and_forth_comes_back():
    state = np.random.default_rng(0).normal(size=(9, 40, 44)).astype(np.float32)
    state[:3] = ndimage.gaussian_filter(state[:3], (0, 2, 2))
    state[1] = 0.2
    motion = Motion(0.5, -1.25, 0.9, 0.3)
    there = follow(state, motion)
    back = follow(there, motion.back)
    np.testing.assert_allclose(back[:3, 5:-5, 5:-5], state[:3, 5:-5, 5:-5], atol=0.02)
    assert there[1, :, -1].min() > 100  # what came in from outside counts for nothing


def test_two_ways_average_equal_frames_as_their_mean():
    frames = np.random.default_rng(0).normal(size=5)
    past = frames[:3].mean(), 1 / 3
    future = frames[3:].mean(), 1 / 2
    share = 2 / 3  # of the two later frames, when the third was added to them
    fused, variance = two_way(past, future, share)
    assert abs(fused - frames.mean()) < 0.01
    assert abs(variance - 1 / 5) < 0.002


def test_events_are_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    fused, variance = np.zeros((96, 96), np.float32), np.full((96, 96), 0.1, np.float32)
    y, x = np.indices(fused.shape)
    event = 3 * np.exp(-((y - 50) ** 2 + (x - 40) ** 2) / 8)
    noise = np.sqrt(0.9) * rng.standard_normal(fused.shape).astype(np.float32)
    frame, denoised = (noise + event).astype(np.float32), (0.7 * event).astype(np.float32)
    found = unexplained((frame, fused), (denoised, fused), variance, (0.0, 0.0))
    unseen = unexplained((frame, fused), (0.2 * denoised, fused), variance, (0.0, 0.0))
    assert found[48:53, 38:43].min() == 1
    assert found.mean() < 0.15
    assert not unseen.any()  # the denoiser takes it for noise


def test_a_frame_that_explains_itself_has_no_events():
    frame = noisy(np.zeros((64, 64)), 0)
    assert not unexplained((frame, frame), (frame, frame), np.ones_like(frame), (0.6, 0.6)).any()
