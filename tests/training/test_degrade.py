from __future__ import annotations

import numpy as np
import pytest
from bundled.degrade import (
    NoiseKernel,
    correlated_noise,
    lag1_correlation,
    noise_kernel,
    poisson_gaussian,
    stripes,
)


def _lag1(noise: np.ndarray, axis: int) -> float:
    noise = np.moveaxis(noise, axis, 0)
    return float(np.mean(noise[1:] * noise[:-1]) / np.mean(noise * noise))


@pytest.mark.parametrize("seed", range(8))
def test_rho_of_the_kernel_is_the_correlation_of_its_noise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel = noise_kernel(rng)
    noise = correlated_noise(rng, (512, 512), 1.0, kernel)
    assert _lag1(noise, axis=1) == pytest.approx(kernel.rho_x, abs=0.02)
    assert _lag1(noise, axis=0) == pytest.approx(kernel.rho_y, abs=0.02)


def test_kernels_reach_from_white_to_strongly_correlated() -> None:
    rng = np.random.default_rng(0)
    rho = np.array([(kernel.rho_x, kernel.rho_y) for kernel in (noise_kernel(rng) for _ in range(300))])
    assert rho.min() < 0.1
    assert rho.max() > 0.8
    assert np.mean(np.abs(rho[:, 0] - rho[:, 1]) > 0.1) > 0.15


def test_correlated_noise_has_the_given_sigma_up_to_the_border() -> None:
    rng = np.random.default_rng(0)
    noise = np.stack([correlated_noise(rng, (24, 24), 7.0, noise_kernel(rng)) for _ in range(2000)])
    assert noise.std() == pytest.approx(7.0, rel=0.02)
    assert noise[:, 0, 0].std() == pytest.approx(7.0, rel=0.08)


def test_lag1_correlation_of_white_noise_is_zero() -> None:
    assert lag1_correlation(np.ones(1)) == 0
    assert NoiseKernel(np.ones(1), np.ones(1)).rho_y == 0


def test_poisson_gaussian_variance_follows_the_photon_transfer_curve() -> None:
    rng = np.random.default_rng(0)
    photons = np.repeat([[0.0], [5.0], [50.0]], 100_000, axis=1)
    image = poisson_gaussian(rng, photons, gain=2.0, offset=100.0, read_noise=3.0)
    np.testing.assert_allclose(image.mean(axis=1), 100 + 2.0 * photons[:, 0], rtol=0.002)
    np.testing.assert_allclose(image.var(axis=1), 4.0 * photons[:, 0] + 9.0, rtol=0.03)


@pytest.mark.parametrize("axis", [0, 1])
def test_stripes_are_constant_along_their_axis(axis: int) -> None:
    image = stripes(np.random.default_rng(0), (400, 400), 2.0, axis)
    assert np.ptp(image, axis=axis).max() == 0
    assert image.std() == pytest.approx(2.0, rel=0.15)
