"""Distances between sets of pictures: zero for one distribution, larger for others."""

from __future__ import annotations

import numpy as np
import pytest
from bench.feature_distances import coverage_and_density, kernel_distance
from scipy.ndimage import gaussian_filter

from napari_genrecon.checks.samples import sliced_wasserstein, variety
from napari_genrecon.errors import ImageError


def _pictures(n: int, seed: int, blur: float = 1.0) -> np.ndarray:
    x = gaussian_filter(np.random.default_rng(seed).normal(size=(n, 1, 32, 32)), (0, 0, blur, blur))
    return x / x.std()


def test_sliced_wasserstein_sees_blur_on_the_finest_level() -> None:
    same = sliced_wasserstein(_pictures(200, 0), _pictures(200, 1))
    blurred = sliced_wasserstein(_pictures(200, 0, 2.0), _pictures(200, 1))
    assert max(same) < 0.05
    assert blurred[0] > 5 * same[0]


def test_sliced_wasserstein_sees_a_lower_contrast() -> None:
    assert min(sliced_wasserstein(0.7 * _pictures(200, 0), _pictures(200, 1))) > 0.1


def test_variety_is_one_for_data_and_none_for_one_picture() -> None:
    data = _pictures(200, 0)
    assert variety(_pictures(200, 1), data) == pytest.approx(1, abs=0.05)
    assert variety(np.repeat(data[:1], 200, axis=0), data) < 1e-3
    assert variety(data[np.arange(200) % 4], data) < 1e-3


def test_kernel_distance_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    same = [kernel_distance(rng.normal(size=(60, 8)), rng.normal(size=(60, 8))) for _ in range(200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(200)
    assert kernel_distance(rng.normal(size=(60, 8)) + 1, rng.normal(size=(60, 8))) > 10 * np.std(same)


def test_coverage_falls_when_samples_lack_a_part_of_the_data() -> None:
    rng = np.random.default_rng(0)
    data = np.concatenate([rng.normal(size=(200, 4)), rng.normal(size=(200, 4)) + 20])
    whole = coverage_and_density(np.concatenate([rng.normal(size=(200, 4)), rng.normal(size=(200, 4)) + 20]), data)
    half = coverage_and_density(rng.normal(size=(400, 4)), data)
    assert whole[0] > 0.9
    assert half[0] == pytest.approx(0.5, abs=0.05)
    assert whole[1] == pytest.approx(1, abs=0.15)


def test_sets_of_other_shapes_are_refused() -> None:
    with pytest.raises(ImageError, match="of one shape"):
        sliced_wasserstein(_pictures(4, 0), _pictures(4, 0)[..., :16, :16])
