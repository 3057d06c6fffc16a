from __future__ import annotations

import numpy as np
import pytest
from bundled.degrade import noise_kernel
from bundled.grain import LAGS, draw_grain, kernel_correlations


@pytest.mark.parametrize("seed", range(6))
def test_grain_has_unit_variance_and_the_correlations_that_are_told(seed: int) -> None:
    noise, told = draw_grain(np.random.default_rng(seed), 320)
    assert noise.std() == pytest.approx(1, abs=0.1)
    found = [[np.mean(moved[:, lag:] * moved[:, :-lag]) for lag in LAGS] for moved in (noise, noise.T)]
    np.testing.assert_allclose(found, told, atol=0.1)


def test_grain_is_unlike_gaussian_grains() -> None:
    """Else there would be nothing to tell but lag 1."""
    rng = np.random.default_rng(0)
    told = np.array([draw_grain(rng, 64)[1] for _ in range(60)])
    assert np.mean(told[:, 0, 1] - np.maximum(told[:, 0, 0], 0) ** 4 > 0.05) > 0.2


def test_correlations_of_a_kernel_are_those_of_the_image_that_it_leaves() -> None:
    kernel = noise_kernel(np.random.default_rng(3))
    told = kernel_correlations(kernel)
    assert told[:, 0] == pytest.approx([kernel.rho_x, kernel.rho_y])
    spread = np.convolve(kernel.along_x, kernel.along_x[::-1])
    middle = len(spread) // 2
    assert told[0] == pytest.approx([spread[middle + lag] if middle + lag < len(spread) else 0 for lag in LAGS])
