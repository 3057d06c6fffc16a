"""Work on a part of an image: the pixels of the whole result, in its place, in Python, in files and by flags."""

import dask.array as da
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_genrecon import deblur, denoise, inpaint, measure_noise, upscale, upscale_z
from napari_genrecon.axes import Axes
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import OptionError
from napari_genrecon.io.image_file import ImageMeta
from napari_genrecon.io.reader import open_image
from napari_genrecon.io.record.check import record_of
from napari_genrecon.tasks import find_task
from napari_genrecon.tasks.files import about_result
from napari_genrecon.tasks.region import region_of, region_text
from napari_genrecon.tasks.task import Result

SHAPE = (4, 40, 56)
AXES = Axes("ZYX")


@pytest.fixture(scope="module")
def image():
    y, x = np.indices(SHAPE[1:])
    clean = 200 + 80 * np.sin(x / 6) * np.cos(y / 5)
    return np.random.default_rng(0).poisson(np.broadcast_to(clean, SHAPE)).astype("u2")


TASKS = {
    "denoise": lambda image, **more: denoise(image, axes="ZYX", **more),
    "upscale": lambda image, **more: upscale(image, axes="ZYX", **more),
    "upscale_z": lambda image, **more: upscale_z(image, axes="ZYX", noise=0, train_steps=0, **more),
    "deblur": lambda image, **more: deblur(image, 2.0, axes="ZYX", method="rl", **more),
    "inpaint": lambda image, **more: inpaint(image, holes(), axes="ZYX", method="biharmonic", **more),
}
SCALE = {"upscale": (1, 2, 2), "upscale_z": (2, 1, 1)}


def holes():
    mask = np.zeros(SHAPE[1:], bool)
    mask[10:14, 20:24] = True
    return mask


@pytest.mark.parametrize("lazy", [False, True], ids=["eager", "lazy"])
@pytest.mark.parametrize("task", TASKS)
def test_pixels_of_a_region_are_those_of_the_whole(task, lazy, image):
    region = np.s_[1:3, 5:31, 8:27]
    factors = SCALE.get(task, (1, 1, 1))
    given = da.from_array(image, chunks=(2, 20, 30)) if lazy else image
    part = np.asarray(TASKS[task](given, region=region))
    whole = TASKS[task](image)
    inside = tuple(slice(a.start * f, a.stop * f) for a, f in zip(region, factors, strict=True))
    noise = np.sqrt(image.mean())
    np.testing.assert_allclose(part, whole[inside], atol=1e-3 * noise)


@pytest.mark.parametrize("task", ["denoise", "deblur", "inpaint"])
@pytest.mark.parametrize("lazy", [False, True], ids=["eager", "lazy"])
def test_copy_of_the_whole_differs_in_the_region_only(task, lazy, image):
    region = np.s_[1:3, 5:31, 8:27]
    found = np.asarray(TASKS[task](da.from_array(image) if lazy else image, region=region, whole=True))
    expected = image.astype(found.dtype)
    expected[region] = TASKS[task](image, region=region)
    np.testing.assert_array_equal(found, expected)


def test_copy_of_the_whole_leaves_a_dask_image_as_it_is(image):
    given = da.from_array(image, chunks=(2, 20, 30))
    denoise(given, axes="ZYX", region="Z=1", whole=True, keep_dtype=True)
    np.testing.assert_array_equal(np.asarray(given), image)


def test_single_pixel_equals_that_of_the_whole(image):
    part = denoise(image, axes="ZYX", region="Z=3, Y=0, X=55")
    assert part.shape == (1, 1, 1)
    assert part[0, 0, 0] == pytest.approx(denoise(image, axes="ZYX")[3, 0, 55], abs=0.02)


def test_one_channel_is_denoised_with_its_own_noise(image):
    channels = np.stack([image[0], image[0] * 3])
    part = denoise(channels, axes="CYX", region="C=1")
    np.testing.assert_allclose(part[0], denoise(channels, axes="CYX")[1], atol=0.05)


def test_several_fillings_of_a_region_have_companions_of_its_size(image):
    task = find_task("inpaint")
    options = task.options(mask=holes(), axes=AXES, n=2, region="Z=1, Y=4:30, X=6:40")
    result = finish(task.steps(image, options))
    assert result.data.shape == (2, 1, 26, 34)
    assert {title: each.shape for title, each in result.companions.items()} == {
        "filled pixels": (1, 26, 34),
        "spread": (1, 26, 34),
    }
    assert result.record["mask"]["filled"] == 16


# What is asked for ----------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.data())
def test_text_of_a_region_gives_that_region_again(data):
    ends = [sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True))) for n in SHAPE]
    region = tuple(slice(*each) for each in ends)
    text = region_text(region, AXES, SHAPE)
    again = region_of(text, AXES, SHAPE)
    assert (again or tuple(slice(0, n) for n in SHAPE)) == region
    assert region_of(region, AXES, SHAPE) == region


@pytest.mark.parametrize(
    ("region", "sentence"),
    [
        ("Y=10:10", "holds no pixel"),
        ("Y=10:90", "lies outside the image, whose Y goes from 0 to 40"),
        ("T=1", "names T, and the image has the axes ZYX"),
        ("Z=1, Z=2", "names Z twice"),
        ("Z=one", "cannot be read at 'Z=one'"),
        ((slice(0, 2), slice(0, 2)), "has 2 entries, and the image has 3 dimensions"),
        ((0, slice(0, 10, 2), slice(None)), "slices of whole numbers without steps"),
        ((slice(0, 2.5), slice(None), slice(None)), r"got slice\(0, 2.5, None\)"),
        ((7, slice(None), slice(None)), "lies outside"),
    ],
)
def test_regions_that_cannot_be_get_a_sentence(region, sentence, image):
    with pytest.raises(OptionError, match=sentence):
        denoise(image, axes="ZYX", region=region)


def test_whole_without_a_region_gets_a_sentence(image):
    with pytest.raises(OptionError, match=r"give the region, too \(region\)"):
        denoise(image, whole=True)


# Files and flags ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_flag_gives_the_pixels_of_python_in_their_place_and_they_can_be_made_again(image, tmp_path, ending):
    from napari_genrecon.cli import main
    from napari_genrecon.io.formats import written_format
    from napari_genrecon.io.image_file import ImageMeta
    from napari_genrecon.tasks.replay import replay_steps

    source, target = tmp_path / "cells.ome.tif", tmp_path / f"part{ending}"
    about = ImageMeta(axes=AXES, scale=(2.0, 0.5, 0.5), units=("micrometer",) * 3, translate=(1.0, 2.0, 3.0))
    finish(written_format(source).write_steps(source, image, about))
    region = "Z=1:3, Y=5:31, X=8:27"
    assert main(["upscale", str(source), "-o", str(target), "--region", region]) == 0
    made = open_image(target)
    np.testing.assert_allclose(np.asarray(made.data), upscale(image, axes="ZYX", region=region), atol=0.05)
    # The first of two small pixels lies a quarter of a pixel before the middle of the large one.
    np.testing.assert_allclose(made.about.filled().translate, (1 + 2, 2 + 0.5 * (5 - 0.25), 3 + 0.5 * (8 - 0.25)))
    assert record_of(made)["options"]["region"] == region
    assert record_of(made)["output"]["shape"] == [2, 52, 38]
    assert finish(replay_steps(target)).same


def test_all_of_an_image_as_a_region_can_be_made_again(image, tmp_path):
    from napari_genrecon.cli import main
    from napari_genrecon.tasks.pipeline.steps import steps_of
    from napari_genrecon.tasks.replay import replay_steps

    source, target = tmp_path / "cells.tif", tmp_path / "all.ome.tif"
    tifffile.imwrite(source, image[0])
    assert main(["denoise", str(source), "-o", str(target), "--region", "Y=0:40", "--whole"]) == 0
    record = record_of(open_image(target))
    assert (record["options"]["region"], record["options"]["whole"]) == (None, False)
    assert str(steps_of(record)) == "Denoise"
    assert finish(replay_steps(target)).same


@pytest.mark.parametrize("more", [[], ["--whole"]], ids=["part", "copy"])
def test_check_looks_at_the_region_only(tmp_path, more):
    from napari_genrecon import check
    from napari_genrecon.cli import main
    from napari_genrecon.tasks.check import check_file_steps

    noisy = np.random.default_rng(0).normal(100, [[[5]], [[9]]], (2, 64, 96)).astype("f4")
    source, target = tmp_path / "cells.tif", tmp_path / "part.ome.tif"
    tifffile.imwrite(source, noisy)
    region = ["--axes", "CYX", "--region", "C=1, X=20:90"]
    assert main(["denoise", str(source), "-o", str(target), *region, *more]) == 0
    noise = measure_noise(noisy, axes="CYX")[1]
    clean = denoise(noisy, axes="CYX")
    expected = check(noisy[1, :, 20:90], clean[1, :, 20:90], noise=noise, axes="YX").verdict
    found = finish(check_file_steps(target)).verdict
    assert found.variance == pytest.approx(expected.variance, rel=1e-3)


def test_region_of_channels_keeps_their_colours_and_limits():
    about = ImageMeta(
        axes=Axes("CYX"), channel_luts=(("#000000", "#00ff00"), ("#000000", "#ff00ff")), channel_limits=((0, 9), (5, 7))
    )
    result = Result(np.zeros((1, 8, 8)), Axes("CYX"), {}, region=np.s_[1:2, 0:8, 0:8])
    made = about_result(about, result, {})
    assert made.channel_luts == (("#000000", "#ff00ff"),)
    assert made.channel_limits == ((5, 7),)
