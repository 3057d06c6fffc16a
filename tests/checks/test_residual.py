import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_genrecon import NoiseModel, denoise
from napari_genrecon.checks.residual import residual_z
from napari_genrecon.errors import ImageError

WHITE = NoiseModel.white(10.0)


def noise_image(seed, rho=0.0, shape=(256, 256)):
    noise = np.random.default_rng(seed).normal(size=shape)
    if rho:
        noise = gaussian_filter(noise, np.sqrt(-1 / (4 * np.log(rho))), mode="wrap")
    return 10.0 * noise / noise.std()


def blob(shape=(256, 256), height=30.0, width=3.0):
    y, x = np.indices(shape)
    return height * np.exp(-((y - 120) ** 2 + (x - 90) ** 2) / (2 * width**2))


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6])
def test_noise_alone_has_unit_spread_at_every_width(rho):
    model = NoiseModel(read_noise=10.0, rho_x=rho, rho_y=rho)
    maps = np.stack([residual_z(noise_image(i, rho), np.zeros((256, 256)), model) for i in range(4)])
    np.testing.assert_allclose(maps.std(axis=(0, 2, 3)), 1.0, atol=0.15)
    assert np.abs(maps).max() < 6


@pytest.mark.parametrize("sign", [1, -1], ids=["erased", "invented"])
def test_a_faked_structure_stands_out(sign):
    truth = 100.0 + blob()
    restored = truth - sign * blob()
    z = residual_z(truth + noise_image(0), restored, WHITE)
    assert np.abs(z[:, 120, 90]).max() > 6
    found = np.unravel_index(np.abs(z).max(axis=0).argmax(), z.shape[1:])
    assert np.hypot(found[0] - 120, found[1] - 90) < 4
    assert np.sign(z[np.abs(z[:, 120, 90]).argmax(), 120, 90]) == sign


@pytest.mark.parametrize("rho", [0.0, 0.6], ids=["white", "correlated"])
def test_pure_noise_comes_back_flat(rho):
    """No structure is invented where there is none."""
    model = NoiseModel(read_noise=10.0, rho_x=rho, rho_y=rho)
    noisy = 100.0 + noise_image(1, rho)
    restored = denoise(noisy, noise=model)
    assert restored.std() < 2.0
    assert np.abs(residual_z(noisy, restored, model)).max() < 6


def test_shapes_must_agree():
    with pytest.raises(ImageError, match=r"noisy has shape \(4, 4\) but restored has shape \(4, 5\)"):
        residual_z(np.zeros((4, 4)), np.zeros((4, 5)), WHITE)
