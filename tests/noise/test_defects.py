"""Hot and dead pixels are told from noise and from structure."""

import dataclasses

import numpy as np
import pytest

from napari_genrecon.noise import NoiseModel, measure_hot_fraction
from napari_genrecon.noise.defects import find_hot


def steep_cells() -> np.ndarray:
    y, x = np.mgrid[:256, :256] % 64 - 32
    return 100 + 300 / (1 + np.exp((np.hypot(y, x) - 16) / 1.2))


@pytest.mark.parametrize("share", [0.02, 0.05])
@pytest.mark.parametrize("seed", [1, 2])
def test_hot_and_dead_pixels_on_the_slopes_of_cells_are_found(seed, share):
    rng = np.random.default_rng(seed)
    truth = steep_cells()
    image = rng.poisson(truth)
    hot = rng.random(image.shape) < share
    image[hot] = np.where(rng.random(hot.sum()) < 0.5, 0, truth[hot] + 15 * np.sqrt(truth[hot]))
    noise = NoiseModel(gain=1.0)
    found = find_hot(image, dataclasses.replace(noise, hot_fraction=measure_hot_fraction([image], noise)))
    assert found[hot].mean() > 0.98
    assert found[~hot].mean() < 1e-4
