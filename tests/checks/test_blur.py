import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_genrecon import NoiseModel, check, denoise
from napari_genrecon.checks.blur import blur_test, simulated

WHITE = NoiseModel.white(2.0)


def scene(seed=0, shape=(192, 192)):
    """Small spots of many strengths."""
    rng = np.random.default_rng(seed)
    points = np.zeros(shape)
    points[tuple(rng.integers(0, shape[0], (2, 400)))] = rng.uniform(300, 3000, 400)
    return 100 + gaussian_filter(points, 1.5)


def noisy(truth, sigma=2.0):
    return truth + np.random.default_rng(1).normal(0, sigma, truth.shape)


def wiener(width):
    return lambda image: gaussian_filter(image.astype(float), width)


@pytest.mark.parametrize("width", [0.5, 1.0, 1.5])
def test_the_blur_of_a_truth_is_measured(width):
    found = blur_test(noisy(scene()), gaussian_filter(scene(), width), WHITE, wiener(0.2), step=0.0)
    assert found.found == pytest.approx(width, rel=0.35)
    assert not found.passed


def test_the_truth_has_no_blur():
    found = blur_test(noisy(scene()), scene(), WHITE, wiener(0.2), step=0.0)
    assert found.found < 0.2
    assert found.passed


def test_without_structure_or_noise_there_is_nothing_to_test():
    flat = np.full((64, 64), 3.0)
    assert blur_test(noisy(flat), flat, WHITE, wiener(1), step=0.0) is None
    assert blur_test(scene(), scene(), NoiseModel(), wiener(1), step=0.0) is None


@pytest.mark.parametrize("extra", [0.0, 0.7], ids=["denoised", "denoised, then blurred"])
def test_a_denoised_image_passes_until_it_is_blurred(extra):
    image = noisy(scene())
    result = denoise(image, noise=WHITE)
    found = check(image, gaussian_filter(result, extra) if extra else result, noise=WHITE)
    assert found.verdict.blur.passed == (not extra), str(found)
    assert found.verdict.passed == (not extra)
    assert ("blurred more than denoising has to" in str(found)) == bool(extra)


@pytest.mark.parametrize(
    "noise",
    [NoiseModel(gain=3.0, offset=10, read_noise=2), NoiseModel(read_noise=5, rho_x=0.5, rho_y=0.2)],
    ids=["photons", "correlated"],
)
def test_simulated_noise_is_that_of_the_model(noise):
    clean = np.full((512, 512), 40.0)
    added = simulated(clean, noise, np.random.default_rng(0)) - clean
    assert added.mean() == pytest.approx(0, abs=0.1)
    assert added.std() == pytest.approx(float(noise.sigma_at(40)), rel=0.02)
    assert (added[:, 1:] * added[:, :-1]).mean() / added.var() == pytest.approx(noise.rho_x, abs=0.07)
