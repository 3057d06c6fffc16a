from functools import partial

import numpy as np
import pytest
from scipy.signal import convolve

from napari_genrecon.engine.run import finish
from napari_genrecon.models.filters import fourier
from napari_genrecon.numerics.blur import Blur
from napari_genrecon.numerics.plug_and_play import plug_and_play, schedule
from napari_genrecon.numerics.richardson_lucy import richardson_lucy
from napari_genrecon.optics import gaussian_psf

PSFS = [np.random.default_rng(0).random(shape) for shape in [(5, 7), (4, 6), (3, 5, 5), (1, 1)]]


@pytest.mark.parametrize("psf", PSFS, ids=lambda p: str(p.shape))
def test_blur_is_the_valid_part_of_a_convolution(psf):
    shape = (6, 20, 23)[-psf.ndim :]
    blur = Blur(psf, shape)
    x = np.random.default_rng(1).random(blur.shape).astype(np.float32)
    np.testing.assert_allclose(blur(x)[blur.seen], convolve(x[blur.lit], psf, mode="valid"), rtol=1e-4)


@pytest.mark.parametrize("psf", PSFS, ids=lambda p: str(p.shape))
def test_adjoint_is_the_adjoint(psf):
    blur = Blur(psf, (6, 20, 23)[-psf.ndim :])
    a, b = np.random.default_rng(1).normal(size=(2, *blur.shape)).astype(np.float32)
    assert np.vdot(blur(a), b) == pytest.approx(np.vdot(a, blur.adjoint(b)), rel=1e-3)


@pytest.mark.parametrize("psf", PSFS, ids=lambda p: str(p.shape))
def test_transforms_of_torch_give_the_same(psf):
    shape = (6, 20, 23)[-psf.ndim :]
    here, there = Blur(psf, shape), Blur(psf, shape, partial(fourier._filtered, "cpu"))
    x = np.random.default_rng(1).random(here.shape).astype(np.float32)
    for name in ("__call__", "adjoint"):
        np.testing.assert_allclose(getattr(there, name)(x), getattr(here, name)(x), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(there.filter(x, here.power), here.filter(x, here.power), rtol=1e-5, atol=1e-5)


def test_transforms_are_those_of_a_device_on_cuda_only():
    assert fourier.fourier_filter("cuda:1") is not None
    assert fourier.fourier_filter("cpu") is None
    assert fourier.fourier_filter("mps") is None


def test_an_off_centre_psf_moves_the_image_back():
    psf = np.zeros((5, 5))
    psf[2, 4] = 1  # light lands 2 px to the right
    image = np.random.default_rng(0).random((20, 30)).astype(np.float32)
    blur = Blur(psf, image.shape)
    sharp = finish(richardson_lucy(image, np.ones_like(image), blur, background=0.0, dark=1e-6, iterations=3))
    np.testing.assert_allclose(sharp[:, :-2], image[:, 2:], atol=1e-4)


def test_richardson_lucy_raises_the_likelihood_in_every_iteration():
    rng = np.random.default_rng(0)
    counts = rng.poisson(convolve(rng.random((60, 60)) ** 4 * 50, gaussian_psf(4.0), mode="same")).astype(np.float32)
    blur = Blur(gaussian_psf(4.0), counts.shape)
    steps = richardson_lucy(counts, np.ones_like(counts), blur, background=1.0, dark=1e-4, iterations=6, start=3.0)
    likelihoods = []
    for _ in steps:
        expected = blur(steps.gi_frame.f_locals["x"])[blur.seen] + 1.0
        likelihoods.append(float(np.sum((counts + 1) * np.log(expected) - expected)))
    assert likelihoods == sorted(likelihoods)


def test_schedule_falls_to_the_noise_and_never_below():
    levels = schedule(8.0, 1.0, 4)
    np.testing.assert_allclose(levels, [8, 4, 2, 1])
    np.testing.assert_allclose(schedule(0.5, 1.0, 3), 1)


def test_without_noise_and_with_an_idle_prior_the_blur_is_undone():
    rng = np.random.default_rng(0)
    psf = np.array([[0.0, 0.1, 0.0], [0.1, 0.6, 0.1], [0.0, 0.1, 0.0]])  # its spectrum has no zeros
    truth = rng.random((42, 42)).astype(np.float32)
    seen = convolve(truth, psf, mode="valid").astype(np.float32)

    def idle(x, level):
        yield
        return x

    weigh = lambda clean: np.ones_like(clean)  # noqa: E731
    steps = plug_and_play(seen, weigh, 1.0, Blur(psf, seen.shape), idle, np.full(12, 30.0))
    inner = (slice(4, -4),) * 2
    np.testing.assert_allclose(finish(steps)[inner], truth[1:-1, 1:-1][inner], atol=0.02)
