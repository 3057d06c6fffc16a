import numpy as np
import pytest

from napari_genrecon import NoiseModel, check, denoise
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.tasks.check import noise_of_record

NOISE = NoiseModel.white(10.0)


@pytest.fixture
def noisy():
    y, x = np.indices((128, 144))
    return (200 + 60 * np.sin(y / 19 + x / 31) + np.random.default_rng(0).normal(0, 10, y.shape)).astype(np.float32)


@pytest.mark.parametrize(("axes", "shape"), [("YX", (128, 144)), ("ZYX", (2, 128, 144)), ("YXS", (128, 144, 3))])
def test_a_denoised_image_passes_whatever_its_dimensions(axes, shape, noisy):
    image = np.broadcast_to(noisy[..., None] if shape[-1] == 3 else noisy, shape)
    image = image + np.random.default_rng(1).normal(0, 3, shape)
    found = check(image, denoise(image, axes=axes), axes=axes)
    assert found.verdict.passed, str(found)
    assert found.deviations.shape == shape


def test_deviations_show_where_something_was_erased(noisy):
    result = denoise(noisy, noise=NOISE)
    result[60:66, 70:76] -= 40
    found = check(noisy, result, noise=NOISE)
    assert found.verdict.erased == 1
    assert np.unravel_index(found.deviations.argmax(), noisy.shape) == pytest.approx((62.5, 72.5), abs=4)


def test_what_was_mixed_back_in_is_taken_out_again(noisy):
    whole = check(noisy, denoise(noisy, noise=NOISE), noise=NOISE)
    mixed = check(noisy, denoise(noisy, noise=NOISE, blend=0.6), noise=NOISE, blend=0.6)
    assert mixed.verdict.variance == pytest.approx(whole.verdict.variance, rel=1e-3)


def test_lazy_arrays_give_the_same(noisy):
    from dask import array as da

    result = denoise(noisy, noise=NOISE)
    lazy = check(da.from_array(noisy, chunks=50), da.from_array(result, chunks=64), noise=NOISE)
    np.testing.assert_array_equal(lazy.deviations, check(noisy, result, noise=NOISE).deviations)


def test_other_shapes_are_refused(noisy):
    with pytest.raises(ImageError, match=r"result has shape \(64, 72\) but the image has shape \(128, 144\)"):
        check(noisy, noisy[::2, ::2])


def test_nothing_can_be_checked_where_all_was_mixed_back_in(noisy):
    with pytest.raises(OptionError, match="blend must be at least 0 and less than 1, got 1"):
        check(noisy, noisy, noise=NOISE, blend=1)


def test_results_of_other_tasks_are_refused():
    with pytest.raises(ImageError, match="a result of 'upscale'"):
        noise_of_record({"task": "upscale"})
