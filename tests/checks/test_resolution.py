import numpy as np
import pytest
from bundled import scenes
from scipy.ndimage import gaussian_filter

from napari_genrecon import NoiseModel, resolution
from napari_genrecon.checks.resolution import noise_of_half, ring_correlation, split
from napari_genrecon.cli import main
from napari_genrecon.errors import ImageError

SIDE = 256


def scene(width, seed=0):
    """A texture with the spectrum exp(-(2 pi f width)^2), of s.d. 1."""
    image = gaussian_filter(np.random.default_rng(seed).normal(size=(SIDE, SIDE)), width, mode="wrap")
    return image / image.std()


def frames(width, sigma, n=2):
    rng = np.random.default_rng(1)
    return [scene(width) + sigma * rng.normal(size=(SIDE, SIDE)) for _ in range(n)]


def expected(width, sigma):
    """Period at which signal and noise have the ratio 1 : 6, so that the correlation is 1/7."""
    total = 4 * np.pi * width**2  # power at frequency 0 of a spectrum of s.d. 1
    return 2 * np.pi * width / np.sqrt(np.log(6 * total / sigma**2))


@pytest.mark.parametrize(("width", "sigma"), [(1.5, 0.5), (1.5, 2.0), (3.0, 1.0)])
def test_two_frames_agree_down_to_where_the_noise_is_six_times_the_signal(width, sigma):
    assert ring_correlation(*frames(width, sigma)).resolution == pytest.approx(expected(width, sigma), rel=0.08)


@pytest.mark.parametrize(("width", "sigma"), [(1.5, 0.5), (3.0, 1.0)])
def test_one_image_that_is_split_gives_what_two_frames_of_half_the_light_give(width, sigma):
    image, noise = frames(width, sigma, 1)[0], NoiseModel.white(sigma)
    halves = split(image, image, noise, np.random.default_rng(2))
    found = ring_correlation(*halves).resolution
    assert found == pytest.approx(expected(width, np.sqrt(2) * sigma), rel=0.08)
    assert np.std(halves[0] - scene(width)) == pytest.approx(noise_of_half(noise).sigma, rel=0.02)


def test_halves_of_photon_counts_have_independent_noise():
    clean, noise = 20 + 3 * scene(6), NoiseModel(gain=1.0)
    image = np.random.default_rng(0).poisson(np.maximum(clean, 0)).astype(float)
    a, b = (half - clean for half in split(image, clean, noise, np.random.default_rng(1)))
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.02


def test_noise_alone_has_no_resolution():
    assert ring_correlation(*np.random.default_rng(0).normal(size=(2, 128, 128))).resolution == np.inf


def test_equal_images_have_that_of_their_pixels():
    assert ring_correlation(scene(1), scene(1)).resolution == 2


def test_a_filter_changes_nothing():
    a, b = frames(1.5, 1.0)
    smooth = ring_correlation(gaussian_filter(a, 1), gaussian_filter(b, 1)).resolution
    assert smooth == pytest.approx(ring_correlation(a, b).resolution, rel=0.03)


def test_denoising_recovers_detail_where_there_is_structure():
    clean = 255 * scenes.filaments(np.random.default_rng(3), (SIDE, SIDE))
    noisy = clean + np.random.default_rng(0).normal(0, 30, clean.shape)
    found = resolution(noisy, noise=30.0)[0]
    assert found.after < 0.9 * found.before
    assert "before denoising" in str(found)


def test_two_frames_are_taken_as_they_are():
    a, b = (100 + 50 * frame for frame in frames(2.0, 0.5))
    found = resolution(a, b, noise=25.0, pixel_size=0.1)[0]
    assert found.before == pytest.approx(expected(2.0, 0.5), rel=0.08)
    assert f"({found.before * 0.1:.3g} µm) before" in str(found)


def test_channels_are_measured_one_by_one():
    found = resolution(np.stack([100 + 50 * frames(2.0, 0.5, 1)[0]] * 2), noise=25.0, axes="CYX")
    assert [each.channel for each in found] == [0, 1]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: ring_correlation(np.zeros((8, 64)), np.zeros((8, 64))), "at least 26 pixels a side are needed"),
        (lambda: ring_correlation(np.zeros((64, 64)), np.zeros((64, 32))), "they must be equal"),
        (lambda: ring_correlation(np.full((64, 64), np.nan), np.zeros((64, 64))), "NaN or infinite"),
        (
            lambda: resolution(scene(1), noise=NoiseModel(read_noise=1, rho_x=0.5)),
            "one image cannot be split into two .* give two frames",
        ),
        (lambda: resolution(scene(1), scene(1)[:64], noise=1.0), "frames have shapes"),
    ],
    ids=["small", "shapes", "nan", "correlated", "frames"],
)
def test_what_cannot_be_measured_gets_a_sentence(call, sentence):
    with pytest.raises(ImageError, match=sentence):
        call()


def test_the_command_prints_it(tmp_path, capsys):
    import tifffile

    paths = [tmp_path / "a.tif", tmp_path / "b.tif"]
    for path, frame in zip(paths, frames(2.0, 0.5), strict=True):
        tifffile.imwrite(path, (100 + 50 * frame).astype("f4"))
    assert main(["resolution", str(paths[0])]) == 0
    assert main(["resolution", str(paths[0]), "--second", str(paths[1])]) == 0
    assert capsys.readouterr().out.count("before denoising") == 2
