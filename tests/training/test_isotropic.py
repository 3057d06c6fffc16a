from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_genrecon.models import list_models
from napari_genrecon.noise import NoiseModel
from napari_genrecon.numerics.slices import sliced
from napari_genrecon.training.adapt.axial import AxialOptions, SharpPlane, draw_sides, train_on_planes

LESSON = AxialOptions(factor=3, thickness=1.0, steps=2, seed=0)
by_model = pytest.mark.parametrize("spec", list_models("upscale"), ids=lambda spec: spec.name)


def plane(shape: tuple[int, int] = (60, 50), noise: NoiseModel = NoiseModel()) -> SharpPlane:  # noqa: B008
    clean = 500 + 300 * gaussian_filter(np.random.default_rng(0).normal(size=shape), 1.5).astype(np.float32)
    return SharpPlane(clean, noise, 500.0, float(clean.std()))


def test_sides_are_a_function_of_seed_and_step() -> None:
    first, again, later = (draw_sides([plane()], LESSON, step) for step in (4, 4, 5))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first[0] != later[0]).any()


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_side_is_what_the_stack_shows_of_the_fine_one(factor: int) -> None:
    options = AxialOptions(factor=factor, thickness=1.0, steps=1, seed=0)
    thin, sigma, fine = draw_sides([plane()], options, 0)
    assert not sigma.any()
    for small, large in zip(thin[:, 0], fine[:, 0], strict=True):
        np.testing.assert_allclose(small, sliced(large, factor, 1.0), atol=1e-4)


def test_a_side_gets_the_noise_of_the_stack() -> None:
    noisy = SharpPlane(np.full((64, 64), 500, np.float32), NoiseModel.white(20.0), 500.0, 10.0)
    thin, sigma, fine = draw_sides([noisy], LESSON, 0)
    assert thin.std() == pytest.approx(2.0, rel=0.05)
    np.testing.assert_allclose(sigma, 2.0, rtol=1e-5)
    assert not fine.any()


def test_rows_that_are_taller_than_pixels_are_shrunk_first() -> None:
    tall = AxialOptions(factor=3, thickness=1.0, steps=1, seed=0, stretch=2.5)
    assert draw_sides([plane()], tall, 0)[2].shape == (8, 1, 18, 50)


@by_model
def test_training_can_be_repeated_bit_for_bit(spec) -> None:
    options = AxialOptions(factor=3, thickness=1.0, steps=4, seed=0)

    def run() -> tuple[list[float], bytes]:
        losses, steps = [], train_on_planes([plane()], spec, options, "cpu")
        while True:
            try:
                losses.append(next(steps))
            except StopIteration as stop:
                return losses, stop.value

    assert run() == run()


@pytest.mark.slow
def test_training_loads_no_compiler() -> None:
    """Importing torch's took seconds, and crashed in the thread of a window."""
    code = """
import sys, numpy as np
from napari_genrecon import upscale_z
upscale_z(np.random.default_rng(0).random((2, 16, 16)), train_steps=1, noise=0)
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
