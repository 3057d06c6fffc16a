"""Drift and changes of light between frames, and changes that they do not explain."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_genrecon.engine.run import finish
from napari_genrecon.models import find_model, load_network
from napari_genrecon.numerics.motion import STILL, Motion, measure_motion, measure_motions
from napari_genrecon.numerics.two_way import average, information, variance_left
from napari_genrecon.tasks.denoise.changes import (
    compare,
    far_correlation,
    put_back,
    unexplained,
    variance_of_movement,
)
from napari_genrecon.tasks.denoise.following import follow


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


def test_still_frames_are_not_moved():
    assert measure_motion(noisy(structure(140), 1), noisy(structure(140), 2)) == STILL


@pytest.mark.parametrize("width", [0.0, 0.7, 1.2], ids=["white", "correlated", "strongly correlated"])
@pytest.mark.parametrize("side", [64, 100, 160])
def test_frames_of_noise_stand_still(side, width):
    frames = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(30, side, side)), (0, width, width))
    found = finish(measure_motions(list((frames / frames.std()).astype(np.float32))))
    moved = sum(bool(motion.dy or motion.dx) for motion in found)
    assert moved <= 1 + 4 * (side == 64), found  # a false one over 4 frames is shared by these


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


def test_both_sides_of_a_frame_average_to_the_mean_of_all():
    frames = np.random.default_rng(0).normal(size=6)
    sides = [frames[:2].mean(), frames[3:].mean()]
    known = [information(2 / 3), information(3 / 4)]  # shares of two and of three frames, when one was added to them
    assert abs(average(frames[2], sides, known) - frames.mean()) < 0.01
    assert abs(variance_left([1 / 2, 1 / 3], known) - 1 / 6) < 0.002


def test_a_frame_without_neighbours_stays_as_it_is():
    assert average(3.5, [], []) == 3.5
    assert variance_left([], []) == 1


@pytest.mark.parametrize("count", [2, 8])
@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_movement_adds_variance_and_noise_none(count, rho):
    """Frames of a texture beside frames of nothing, compared with what earlier frames were, at a s.d. of 1."""
    rng = np.random.default_rng(count)
    own = np.sqrt(-1 / (4 * np.log(rho))) if rho else 0.0  # noise behind a Gaussian filter has this correlation
    noise = ndimage.gaussian_filter(rng.normal(size=(count, 96, 192)), (0, own, own), mode="wrap")
    noise /= noise.std()
    moving = ndimage.gaussian_filter(rng.normal(size=(count, 96, 192)), (0, 2, 2))
    moving[:, :, 96:] = 0
    shown = (noise + 1.5 * moving / moving[:, :, :96].std()).astype(np.float32)
    nothing, known = np.zeros_like(shown[0]), np.full_like(shown[0], 0.25)
    gate, state = load_network(find_model("auto", "fuse"), "cpu"), [nothing, known, *[nothing] * 7]
    surprises = [gate(np.stack([np.float32(1.25**0.5) * frame, nothing, *state]), (rho, rho))[-1] for frame in shown]
    assert abs(np.mean(surprises, axis=0)[:, 108:].mean() - 1) < 0.1
    added = variance_of_movement(np.stack([np.sum(surprises, axis=0), np.full_like(nothing, count)]))
    assert added[:, 12:84].mean() > 0.5
    assert added[:, 108:].mean() < 0.05
    assert added.min() >= 0
    assert not variance_of_movement(
        np.stack([nothing, nothing])
    ).any()  # nothing is known of frames that the gate has left behind


def test_slow_drift_is_seen_over_several_frames():
    base = structure(180, contrast=1.0)
    frames = [noisy(ndimage.shift(base, (0.3 * t, -0.4 * t), order=3)[25:155, 25:155], t) for t in range(9)]
    assert any(measure_motion(a, b) == STILL for a, b in pairwise(frames))
    found = finish(measure_motions(frames))
    assert found[0] == STILL
    np.testing.assert_allclose([motion[:2] for motion in found[1:]], [(0.3, -0.4)] * 8, atol=0.15)


def test_a_jump_is_not_spread_over_the_frames_beside_it():
    base = structure(180)
    frames = [noisy(ndimage.shift(base, (3 * (t > 4), 0), order=3)[25:155, 25:155], t) for t in range(9)]
    found = finish(measure_motions(frames))
    np.testing.assert_allclose([motion.dy for motion in found], [3 * (t == 5) for t in range(9)], atol=0.1)


def a_still_movie(event=0.0, flicker=0.0):
    """Changes between frames and their mean, as the frames and as the denoiser show them."""
    rng, y_x = np.random.default_rng(0), np.indices((96, 96))
    spot = np.exp(-((y_x[0] - 50) ** 2 + (y_x[1] - 40) ** 2) / 8).astype(np.float32)
    variance, nothing = np.full(spot.shape, 0.1, np.float32), np.zeros_like(spot)
    for t in range(8):
        noise = np.sqrt(0.9) * rng.standard_normal(spot.shape).astype(np.float32)
        shown = 0.5 * event * spot * (t == 3) + flicker * rng.choice([-1, 1]) * spot
        yield compare((noise + event * spot * (t == 3), nothing), (shown, nothing), variance, (0.0, 0.0))


def test_event_is_found_in_its_frame_alone():
    found = list(unexplained(list(a_still_movie(event=2.5))))
    assert found[3][48:53, 38:43].min() == 1
    assert np.mean(found) < 0.003


def test_what_the_denoiser_shows_now_and_then_is_no_event():
    steady, flickers = (list(unexplained(list(a_still_movie(event=1.2, flicker=f))))[3][50, 40] for f in (0, 0.9))
    assert steady == 1
    assert flickers < 0.5


def test_a_frame_that_explains_itself_has_no_events():
    frame = noisy(np.zeros((64, 64)), 0)
    change = compare((frame, frame), (frame, frame), np.ones_like(frame), (0.6, 0.6))
    assert not next(unexplained([change])).any()


def test_event_that_the_denoiser_took_away_is_put_back_at_its_place_only():
    y, x = np.indices((64, 64))
    event = (5 * np.exp(-((y - 30) ** 2 + (x - 30) ** 2) / 8)).astype(np.float32)
    sure = np.zeros_like(event)
    sure[20:41, 20:41] = 1
    back = put_back(np.zeros_like(event), noisy(event, 0), sure)
    assert abs(back[29:32, 29:32].mean() / event[29:32, 29:32].mean() - 1) < 0.1
    assert not back[sure == 0].any()


@pytest.mark.parametrize(("reach", "far"), [(1.0, False), (3.0, True)], ids=["as told", "farther than told"])
def test_correlation_over_many_pixels_is_measured_between_frames(reach, far):
    kernel = np.exp(-0.5 * (np.arange(-9, 10) / 0.7) ** 2) + 0.12 * far * np.exp(-np.abs(np.arange(-9, 10)) / reach)
    kernel /= np.linalg.norm(kernel)
    rho = float(kernel[1:] @ kernel[:-1])
    rng = np.random.default_rng(0)
    changes = [ndimage.convolve(rng.standard_normal((200, 200)), np.outer(kernel, kernel)) for _ in range(4)]
    measured, _ = far_correlation(changes, (rho, rho))
    assert (measured > rho + 0.05) == far
    assert far_correlation(changes, (0.0, 0.0)) == (0.0, 0.0)
