"""What every frame of a movie loses a little of stands out in the mean of all, and noise does not."""

import numpy as np
import pytest
from scipy import ndimage

from napari_genrecon import NoiseModel, check
from napari_genrecon.checks.over_time import OverTime, together

SIGMA, SIDE = 10.0, 96


def scene():
    y, x = np.indices((SIDE, SIDE))
    return 100.0 + 40 * np.sin(y / 17) * np.cos(x / 23)


def spots(height):
    y, x = np.indices((SIDE, SIDE))
    return sum(height * np.exp(-((y - a) ** 2 + (x - b) ** 2) / 8) for a, b in ((30, 40), (60, 20), (70, 75)))


def noise(frames, seed=0, width=0.0):
    found = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(frames, SIDE, SIDE)), (0, width, width))
    return SIGMA * found / found.std()


def compared(noisy, restored, model, *, step=0.0):
    sums = OverTime()
    for pair in zip(noisy, restored, strict=True):
        sums.add(*pair)
    return together(sums.frames, [sums.test(model, step=step, plane=(), pixels=(len(noisy) + 1) * SIDE**2)])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("width", [0.0, 0.7])
def test_the_truth_passes(seed, width):
    rho = np.exp(-1 / (4 * width**2)) if width else 0.0
    found = compared(
        scene() + noise(20, seed, width), 20 * [scene()], NoiseModel(read_noise=SIGMA, rho_x=rho, rho_y=rho)
    )
    assert not found.places
    assert "nothing but noise was removed" in str(found)


def test_noise_that_repeats_is_no_structure():
    pattern = noise(1, seed=9)[0] / 2
    assert not compared(scene() + noise(40) + pattern, 40 * [scene()], NoiseModel.white(SIGMA)).places


def test_rounding_of_a_still_scene_is_no_structure():
    model = NoiseModel.white(SIGMA / 5)
    assert not compared(scene() + noise(60) / 5, 60 * [np.round(scene())], model, step=1.0).places


def test_dropped_frames_say_nothing():
    noisy = scene() + noise(20)
    noisy[3], noisy[7] = np.nan, 0.0
    restored = np.repeat(scene()[None], 20, axis=0)
    restored[[3, 7]] = noisy[[3, 7]]
    found = check(noisy, restored, noise=NoiseModel.white(SIGMA), axes="TYX").verdict
    assert found.together.frames == 18
    assert "mean of 18 frames" in str(found)
    assert not found.together.places


@pytest.mark.parametrize(("sign", "kind"), [(1, "weakened"), (-1, "added")])
def test_what_every_frame_loses_is_found(sign, kind):
    """The spots are 0.6 s.d. of the noise high: in one frame nothing sees them."""
    model = NoiseModel.white(SIGMA)
    noisy, restored = scene() + noise(40), scene() - sign * spots(6.0)
    assert check(noisy[0], restored, noise=model).verdict.passed
    found = check(noisy, np.repeat(restored[None], 40, axis=0), noise=model, axes="TYX").verdict
    assert not found.passed
    assert not found.places
    assert len(found.together.places) == 3
    assert f"something was {kind} in most of them" in str(found)
    assert check(noisy, np.repeat(restored[None], 40, axis=0), noise=model, axes="ZYX").verdict.together is None


def test_channels_are_tested_apart():
    model = NoiseModel.white(SIGMA)
    noisy = scene() + np.stack([noise(40), noise(40, seed=1)], axis=1)  # T, C, Y, X
    restored = np.broadcast_to(scene(), noisy.shape) - spots(6.0) * np.array([0, 1])[:, None, None]
    both = check(noisy, restored, noise=(model, model), axes="TCYX").verdict
    assert both.together.frames == 40
    assert len(both.together.places) == 3
    assert {place.plane[1] for place in both.together.places} == {1}
