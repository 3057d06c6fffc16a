from __future__ import annotations

import numpy as np
import pytest
from bundled import pairs
from bundled.pairs import BICUBIC, MICROSCOPE, draw_pairs
from bundled.patches import Sources

from napari_genrecon.numerics.resample import shrink


@pytest.fixture(scope="module")
def sources() -> Sources:
    rng = np.random.default_rng(0)
    planes = [rng.random((24, 24)).astype(np.float16)]
    photograph = rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)
    return Sources([photograph], planes, planes, [(255 * planes[0]).astype(np.uint8)], planes)


def test_batch_is_a_function_of_seed_and_step(sources: Sources) -> None:
    first, again, other = (draw_pairs(sources, BICUBIC, 1, step, size=2, patch=8) for step in (5, 5, 6))
    np.testing.assert_array_equal(first.small, again.small)
    np.testing.assert_array_equal(first.large, again.large)
    assert first.small.shape != other.small.shape or (first.small != other.small).any()


def test_all_factors_come(sources: Sources) -> None:
    drawn = [draw_pairs(sources, BICUBIC, 0, step, size=1, patch=8) for step in range(40)]
    assert {batch.factor for batch in drawn} == {2, 3, 4}
    assert all(batch.large.shape[-1] == 8 * batch.factor for batch in drawn)
    assert all(batch.large.dtype == batch.small.dtype == batch.sigma.dtype == np.float32 for batch in drawn)


def test_one_factor_can_be_asked_for(sources: Sources) -> None:
    assert {draw_pairs(sources, BICUBIC, 0, step, size=1, patch=8, factor=3).factor for step in range(20)} == {3}


def test_without_a_microscope_the_small_image_is_the_shrunken_large_one(sources: Sources) -> None:
    for step in range(10):
        batch = draw_pairs(sources, BICUBIC, 0, step, size=2, patch=8)
        assert not batch.sigma.any()
        for small, large in zip(batch.small[:, 0], batch.large[:, 0], strict=True):
            np.testing.assert_allclose(small, shrink(large, batch.factor), atol=1e-6)


def test_a_microscope_is_always_noisy(sources: Sources) -> None:
    assert all((draw_pairs(sources, MICROSCOPE, 0, step, size=2, patch=8).sigma > 0).all() for step in range(10))


def test_sigma_is_that_of_the_noise() -> None:
    large = np.full((400, 400), 0.5, np.float32)
    for seed in range(4):
        small, sigma = pairs._microscope(np.random.default_rng(seed), large, 2)
        assert (small - 0.5).std() == pytest.approx(sigma.mean(), rel=0.03)
