import warnings

import numpy as np
import pytest

from napari_genrecon import denoise
from napari_genrecon.noise import NoiseModel, conserve_light, is_low_light, measure_channel, stabiliser


def _spots(electrons, shape=(240, 240)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    distance = np.min([np.hypot(y - cy, x - cx) for cy, cx in ((60, 70), (180, 150))], 0)
    return electrons + 20 * np.exp(-(distance**2) / 2 / 4**2), distance > 30


@pytest.mark.parametrize("electrons", [0.02, 0.1, 0.5])
def test_flat_field_of_few_photons_keeps_its_light(electrons):
    image = np.random.default_rng(0).poisson(electrons, (160, 160)).astype(np.uint16)
    assert denoise(image, device="cpu").mean() == pytest.approx(image.mean(), rel=0.02)


@pytest.mark.parametrize("electrons", [0.02, 0.1, 0.5])
def test_background_beside_objects_keeps_its_light(electrons):
    scene, background = _spots(electrons)
    image = np.random.default_rng(1).poisson(scene).astype(np.uint16)
    result = denoise(image, device="cpu")
    assert result[background].mean() == pytest.approx(image[background].mean(), rel=0.03)
    assert result.mean() == pytest.approx(image.mean(), rel=0.02)


def test_faint_background_of_a_camera_keeps_its_light():
    rng = np.random.default_rng(2)
    image = 100 + 12 * (rng.poisson(0.1, (240, 240)) + rng.normal(0, 0.3, (240, 240)))
    assert denoise(image, device="cpu").mean() - 100 == pytest.approx(image.mean() - 100, rel=0.02)


@pytest.mark.parametrize("step", [1, 37.5])
@pytest.mark.parametrize("electrons", [0.02, 0.3, 0.8])
def test_counted_photons_have_no_read_noise(electrons, step):
    scene, _ = _spots(electrons)
    model = measure_channel([5 + step * np.random.default_rng(0).poisson(scene)])
    assert (model.gain, model.offset, model.read_noise, model.method) == (step, 5, 0, "counts")
    assert model.sigma == pytest.approx(step * np.sqrt(electrons), rel=0.2)


@pytest.mark.parametrize(
    "image",
    [
        np.kron(np.random.default_rng(0).random((32, 32)) < 0.05, np.ones((8, 8))),
        np.random.default_rng(0).negative_binomial(0.2, 0.5, (256, 256)),
        np.maximum(np.random.default_rng(0).normal(0, 3, (256, 256)).round(), 0),
        np.random.default_rng(0).poisson(20, (256, 256)),
        np.random.default_rng(0).poisson(0.1, (256, 256)) + np.random.default_rng(1).normal(0, 0.1, (256, 256)),
    ],
    ids=["mask", "other variance", "clipped", "bright", "read noise"],
)
def test_other_images_are_not_taken_for_counts(image):
    assert measure_channel([image]).method != "counts"


def test_no_photon_in_the_blocks_that_count_gets_no_warning():
    crop = np.full((7, 9), 100.0)
    bright = crop.copy()
    bright[0, 8] = 3000  # outside the blocks
    with warnings.catch_warnings(action="error"):
        assert measure_channel([crop, bright]).method != "counts"


def test_inverse_of_a_bright_image_stays_as_it_is():
    assert not is_low_light(NoiseModel(gain=2, read_noise=3))
    assert not is_low_light(NoiseModel(read_noise=3))
    transform = stabiliser(NoiseModel(gain=1, read_noise=0.3))
    image = np.random.default_rng(0).poisson(0.1, (80, 80)).astype(float)
    changed = conserve_light(transform, 1, [image], lambda y: np.full_like(y, y.mean()))
    bright = transform.forward(np.array([10.0, 100.0]))
    np.testing.assert_allclose(changed.inverse(bright), transform.inverse(bright), rtol=1e-6)
    flat = np.full(1, transform.forward(image).mean())
    assert changed.inverse(flat) == pytest.approx(image.mean(), rel=0.01)
