"""The expected error of a denoised image: laws of the estimate, and the same from script, command line and files."""

import dask.array as da
import numpy as np
import pytest
import tifffile

from napari_genrecon import NoiseModel, check, denoise, pipeline
from napari_genrecon.cli import main
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import ImageError, OptionError
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import verify
from napari_genrecon.io.record.companions import companion_path
from napari_genrecon.tasks import find_task
from napari_genrecon.tasks.check import check_file_steps, noise_of_record
from napari_genrecon.tasks.denoise import TITLE, DenoiseOptions, denoise_steps, expected_seconds
from napari_genrecon.tasks.denoise.uncertainty import _patterns
from napari_genrecon.tasks.files import file_steps
from napari_genrecon.tasks.replay import replay_steps

SIGMA = 5.0


def scene(shape):
    """Waves and a disk, and the same with white noise."""
    y, x = np.indices(shape[-2:])
    clean = np.broadcast_to(200 + 60 * np.sin(x / 9) * np.cos(y / 14) + 50 * (np.hypot(x - 40, y - 30) < 15), shape)
    return clean, clean + np.random.default_rng(0).normal(0, SIGMA, shape)


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.mark.parametrize("changed", [{}, {"strength": 0.5}, {"strength": 1.5}, {"blend": 0.5}], ids=str)
def test_expected_error_is_about_the_error_that_was_made(changed):
    clean, noisy = scene((96, 104))
    result, expected = denoise(noisy, noise=SIGMA, uncertainty=True, **changed)
    assert (expected.shape, expected.dtype) == (result.shape, np.float32)
    assert rms(expected) == pytest.approx(rms(result - clean), rel=0.25)
    np.testing.assert_array_equal(result, denoise(noisy, noise=SIGMA, **changed))


def test_expected_error_is_larger_at_an_edge_than_on_even_ground():
    clean = np.where(np.indices((96, 96))[1] < 48, 100.0, 160.0)
    noisy = clean + np.random.default_rng(0).normal(0, 10, clean.shape)
    _, expected = denoise(noisy, noise=10, uncertainty=True)
    assert expected[:, 45:51].mean() > 1.5 * expected[:, 10:30].mean()


@pytest.mark.slow
def test_tiles_and_lazy_arrays_and_regions_equal_the_whole():
    image = scene((2, 150, 350))[1]
    noise = NoiseModel(read_noise=SIGMA, rho_x=0.4, rho_y=0.2)
    _, whole = denoise(image, noise=noise, axes="ZYX", uncertainty=True, tile=400)
    _, tiled = denoise(image, noise=noise, axes="ZYX", uncertainty=True, tile=128)
    np.testing.assert_allclose(tiled, whole, atol=0.01 * SIGMA)
    _, lazy = denoise(da.from_array(image, chunks=(1, 150, 200)), noise=noise, axes="ZYX", uncertainty=True, tile=128)
    assert isinstance(lazy, da.Array)
    np.testing.assert_allclose(lazy[1].compute(), whole[1], atol=0.01 * SIGMA)
    _, part = denoise(image, noise=noise, axes="ZYX", uncertainty=True, region="Z=1, Y=20:60, X=200:300")
    np.testing.assert_allclose(part[0], whole[1, 20:60, 200:300], atol=0.01 * SIGMA)


def test_outside_a_region_of_the_whole_image_no_error_is_known():
    image = scene((64, 72))[1]
    _, expected = denoise(image, noise=SIGMA, uncertainty=True, region="Y=8:24, X=16:40", whole=True)
    assert np.isfinite(expected[8:24, 16:40]).all()
    assert np.isnan(expected).sum() == image.size - 16 * 24


def test_expected_error_follows_gain_and_offset_and_repeats():
    image = scene((64, 64))[1]
    _, expected = denoise(image, noise=SIGMA, uncertainty=True)
    _, scaled = denoise(3 * image - 70, noise=3 * SIGMA, uncertainty=True)
    np.testing.assert_allclose(scaled, 3 * expected, atol=3e-3 * SIGMA)
    np.testing.assert_array_equal(denoise(image, noise=SIGMA, uncertainty=True)[1], expected)


def test_expected_error_is_0_without_noise_and_unknown_where_pixels_are_kept():
    image = scene((64, 64))[1].astype("f4")
    image[20, 30] = np.nan
    with pytest.warns(match="no noise was found in channel 1"):
        _, expected = denoise(np.stack([image, np.ones((64, 64))]), axes="CYX", uncertainty=True)
    assert np.isnan(expected[0, 20, 30])
    assert np.isnan(expected).sum() == 1
    assert (expected[1] == 0).all()


def test_rgba_and_integers_get_an_error_in_floats():
    rgba = np.clip(np.random.default_rng(0).normal([[[50, 120, 200, 77]]], SIGMA, (48, 48, 4)), 0, 255).astype("u1")
    result, expected = denoise(rgba, noise=SIGMA, keep_dtype=True, uncertainty=True)
    assert (result.dtype, expected.dtype, expected.shape) == (np.uint8, np.float32, rgba.shape)
    assert (expected[..., 3] == 0).all()
    assert (expected[..., :3] > 0).all()


def test_probes_have_the_correlation_of_the_noise():
    noise = NoiseModel(read_noise=1, rho_x=0.6, rho_y=0.3)
    probes = _patterns(noise.correlations, 256).astype(float)
    assert probes.var() == pytest.approx(1, abs=0.01)
    assert np.mean(probes * np.roll(probes, 1, axis=2)) == pytest.approx(0.6, abs=0.04)
    assert np.mean(probes * np.roll(probes, 1, axis=1)) == pytest.approx(0.3, abs=0.04)


def test_progress_rises_to_the_end_and_cancel_leaves_nothing(tmp_path):
    image = scene((64, 64))[1].astype("f4")
    tifffile.imwrite(tmp_path / "a.tif", image)
    steps = denoise_steps(image, DenoiseOptions(noise=SIGMA, uncertainty=True))
    seen = [progress.fraction for progress in steps]
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert len(seen) > 6
    task = find_task("denoise")
    running = file_steps(task, tmp_path / "a.tif", tmp_path / "b.tif", task.options(noise=SIGMA, uncertainty=True))
    while "expected error" not in next(running).note:
        pass
    running.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_expected_seconds_count_the_further_runs():
    image = scene((96, 96))[1]
    alone, both = (expected_seconds(image, DenoiseOptions(uncertainty=wanted)) for wanted in (False, True))
    assert both == pytest.approx(6 * alone)


def test_what_no_error_is_known_of_is_refused():
    movie = np.random.default_rng(0).normal(100, 5, (6, 48, 48))
    with pytest.raises(OptionError, match="frames that are denoised with their neighbours: choose frames 'none'"):
        denoise(movie, axes="TYX", frames="T", uncertainty=True)
    with pytest.raises(OptionError, match="strength 0 removes no noise"):
        denoise(movie[0], strength=0.0, uncertainty=True)
    with pytest.raises(OptionError, match="steps in a row pass on one: leave it out"):
        pipeline([("denoise", {"uncertainty": True})])


@pytest.mark.parametrize("ending", ["ome.tif", "ome.zarr"])
def test_command_line_writes_what_python_returns_with_its_record(tmp_path, ending, capsys):
    image = scene((64, 72))[1].astype("f4")
    tifffile.imwrite(
        tmp_path / "a.ome.tif", image, metadata={"axes": "YX", "PhysicalSizeX": 0.2, "PhysicalSizeXUnit": "µm"}
    )
    target = tmp_path / f"b.{ending}"
    assert main(["denoise", str(tmp_path / "a.ome.tif"), "-o", str(target), "--uncertainty"]) == 0
    found = open_image(companion_path(target, TITLE))
    np.testing.assert_array_equal(np.asarray(found.data), denoise(image, uncertainty=True)[1])
    assert found.scale == pytest.approx((0.2, 0.2))
    assert set(found.units) == {"micrometer"}
    assert (found.record["of"], found.record["options"]["uncertainty"]) == (TITLE, True)
    assert verify(found.path) == []
    assert finish(replay_steps(found.path)).found.identical
    with pytest.raises(ImageError, match="this is the expected error of a result"):
        noise_of_record(found.record)
    assert main(["denoise", str(tmp_path / "a.ome.tif"), "-o", str(tmp_path / f"b.{ending}"), "--uncertainty"]) != 0
    assert "exists already" in capsys.readouterr().err
    assert "the result can be trusted least around y" in str(finish(check_file_steps(target)))


def test_check_says_where_the_result_can_be_trusted_least():
    clean = np.full((96, 96), 100.0)
    clean[40:56, 60:76] += np.random.default_rng(1).choice([-60, 60], (16, 16))
    noisy = clean + np.random.default_rng(0).normal(0, 20, clean.shape)
    result, expected = denoise(noisy, noise=20, uncertainty=True)
    found = check(noisy, result, noise=20, expected_error=expected).verdict.uncertainty
    assert 38 <= found.y < 58
    assert 58 <= found.x < 78
    assert found.at == expected[found.y, found.x] == expected.max()
    assert check(noisy, result, noise=20).verdict.uncertainty is None
    with pytest.raises(ImageError, match=r"the expected error has shape \(48, 48\)"):
        check(noisy, result, noise=20, expected_error=expected[::2, ::2])


@pytest.mark.parametrize("stage", ["a.ome.zarr.part", "a_expected_error.ome.zarr.part"])
def test_unfinished_files_go_on_where_they_were_left(tmp_path, stage):
    tifffile.imwrite(tmp_path / "image.tif", scene((2, 64, 64))[1].astype("f4"), metadata={"axes": "ZYX"})
    task, target = find_task("denoise"), tmp_path / "a.ome.zarr"
    options = task.options(noise=SIGMA, uncertainty=True)
    running = file_steps(task, tmp_path / "image.tif", target, options)
    for progress in running:
        if (tmp_path / stage).exists() and "1 of 2 regions done" in progress.note:
            break
    running.close()
    finish(file_steps(task, tmp_path / "image.tif", target, options, resume=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ome.zarr", "a_expected_error.ome.zarr", "image.tif"]
    result, expected = denoise(open_image(tmp_path / "image.tif").data, axes="ZYX", noise=SIGMA, uncertainty=True)
    np.testing.assert_array_equal(np.asarray(open_image(target).data), result)
    np.testing.assert_array_equal(np.asarray(open_image(companion_path(target, TITLE)).data), expected)
