from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from bundled import dead_leaves, scenes
from bundled.gratings import gratings

ALL = [
    scenes.cells,
    scenes.dead_leaves,
    scenes.filaments,
    scenes.fluorescence,
    scenes.mesh,
    scenes.nuclei_like,
    scenes.puncta,
    gratings,
]
Scene = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


@pytest.mark.parametrize("scene", ALL, ids=lambda scene: scene.__name__)
def test_scene_is_a_function_of_the_generator(scene: Scene) -> None:
    first, again = (scene(np.random.default_rng(3), (70, 50)) for _ in range(2))
    other = scene(np.random.default_rng(4), (70, 50))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("scene", ALL, ids=lambda scene: scene.__name__)
def test_scene_is_finite_and_about_in_the_unit_range(scene: Scene) -> None:
    for seed in range(4):
        image = scene(np.random.default_rng(seed), (64, 80))
        assert image.shape == (64, 80)
        assert image.dtype == np.float32
        assert np.isfinite(image).all()
        assert image.min() >= 0
        assert 0.3 < np.percentile(image, 99.9) <= 1.01


def test_dead_leaves_cover_the_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    # Every leaf is painted 1 on a plane of 0: what no leaf covers stays 0.
    monkeypatch.setattr(
        dead_leaves, "_leaf_grey", lambda rng, sheets, box, leaf, textured: np.ones(np.count_nonzero(leaf))
    )
    monkeypatch.setattr(dead_leaves, "_photograph", lambda rng, fine: fine)
    assert scenes.dead_leaves(np.random.default_rng(0), (60, 90)).min() == 1


def test_leaf_radii_follow_the_inverse_cube_law() -> None:
    radii = dead_leaves._power_law(np.random.default_rng(0), 2.0, 200.0, 100_000)
    # P(r > R) = (R**-2 - 200**-2) / (2**-2 - 200**-2)
    for radius in (3.0, 6.0, 20.0):
        expected = (radius**-2 - 200.0**-2) / (2.0**-2 - 200.0**-2)
        assert np.mean(radii > radius) == pytest.approx(expected, rel=0.1)


def test_psf_leaves_no_structure_finer_than_it() -> None:
    image = scenes.puncta(np.random.default_rng(1), (128, 128))
    power = np.abs(np.fft.fft2((image - image.mean()) * np.outer(np.hanning(128), np.hanning(128)))) ** 2
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128))
    assert power.sum() > 0
    # A Gaussian PSF of 0.7 px or more passes less than 1 % of the power of a point in the corners of the spectrum.
    assert power[frequency > 0.5].sum() < 0.01 * power.sum()
