"""Layer → file → layer: nothing is lost, or it is refused in a sentence."""

import os
import sys

import numpy as np
import pytest
import tifffile

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("no display: run the tests with 'make test'", allow_module_level=True)

from napari.components import ViewerModel
from napari.layers import Image
from napari.utils import Colormap

from napari_genrecon.cli import main
from napari_genrecon.engine.run import finish
from napari_genrecon.errors import ImageError, OutputError
from napari_genrecon.io.layers import get_reader, read_layers, write_tiff_layers, write_zarr_layers
from napari_genrecon.io.reader import open_image
from napari_genrecon.tasks import find_task
from napari_genrecon.widgets.layers.add_result import layer_options
from napari_genrecon.widgets.task.compute import LayerSnapshot, result_steps

PLACED = {
    "scale": (2.0, 0.5, 0.25),
    "translate": (10.0, 20.0, 30.0),
    "units": ("micrometer",) * 3,
    "axis_labels": ("z", "y", "x"),
}
LOOKS = {
    "plain": {},
    "placed": PLACED,
    "turned": {**PLACED, "rotate": 20.0, "shear": (0.1, 0.0, 0.2)},
    "affine": {"affine": np.array([[1, 0, 0, 3], [0, 0.9, 0.1, 4], [0, -0.1, 0.9, 5], [0, 0, 0, 1.0]])},
    "coloured": {**PLACED, "colormap": "magma", "contrast_limits": (3.0, 77.0), "gamma": 0.7, "blending": "additive"},
    "own colours": {"colormap": {"name": "mine", "colors": np.array([[0, 0, 0, 1], [0.5, 0.2, 0, 1]])}},
    "beyond the limits": {"colormap": "HiLo"},
    "steps of colour": {
        "colormap": Colormap(["black", "red", "lime"], controls=[0, 0.2, 0.7, 1], interpolation="zero", name="steps")
    },
    "time": {"axis_labels": ("t", "y", "x"), "units": ("second", "micrometer", "micrometer"), "scale": (3, 1, 1)},
    "channels": {"axis_labels": ("c", "y", "x"), "scale": (1.0, 0.2, 0.2)},
    "recorded": {"metadata": {"genrecon": {"schema": "genrecon-record/1", "task": "denoise", "nature": "restored"}}},
}
SAME = (
    "name", "scale", "translate", "rotate", "shear", "axis_labels", "units", "gamma", "opacity", "blending",
    "interpolation2d", "rendering", "contrast_limits",
)  # fmt: skip


def image(dtype="u2", shape=(3, 40, 50)):
    return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)


def write_layers(path, layers):
    write = write_zarr_layers if path.endswith(".zarr") else write_tiff_layers
    return write(path, [layer.as_layer_data_tuple() for layer in layers])


def opened(path):
    data, meta, _ = read_layers(path)[0]
    return Image(data, **meta)


def assert_same(found, layer):
    data = found.data[0] if found.multiscale else found.data
    np.testing.assert_array_equal(np.asarray(data), layer.data)
    assert data.dtype == layer.data.dtype
    for name in SAME:
        a, b = getattr(found, name), getattr(layer, name)
        if isinstance(a, np.ndarray | list | float):
            np.testing.assert_allclose(a, b, err_msg=name)
        else:
            assert a == b, name
    np.testing.assert_allclose(found.affine.affine_matrix, layer.affine.affine_matrix)
    assert found.colormap == layer.colormap


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
@pytest.mark.parametrize("look", LOOKS)
def test_layer_comes_back_as_it_was(tmp_path, ending, look):
    layer = Image(image(), name="cells", **LOOKS[look])
    path = str(tmp_path / f"a{ending}")
    assert write_layers(path, [layer]) == [path]
    found = opened(path)
    assert_same(found, layer)
    record = layer.metadata.get("genrecon", {})
    assert record.items() <= found.metadata.get("genrecon", {}).items()


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
def test_grey_values_come_back_in_their_dtype(tmp_path, ending, dtype):
    layer = Image(image(dtype), name="cells")
    write_layers(str(tmp_path / f"a{ending}"), [layer])
    assert_same(opened(str(tmp_path / f"a{ending}")), layer)


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_rgb_comes_back(tmp_path, ending):
    layer = Image(image("u1", (40, 50, 3)), name="slide", rgb=True, scale=(0.5, 0.5), units=("micrometer",) * 2)
    write_layers(str(tmp_path / f"a{ending}"), [layer])
    found = opened(str(tmp_path / f"a{ending}"))
    assert found.rgb
    np.testing.assert_array_equal(np.asarray(found.data), layer.data)
    np.testing.assert_allclose(found.scale, layer.scale)


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_several_layers_become_channels_and_come_back_as_layers(tmp_path, ending):
    colors = {"DAPI": "blue", "GFP": "green"}
    layers = [Image(image() + i, name=name, colormap=color, **PLACED) for i, (name, color) in enumerate(colors.items())]
    path = str(tmp_path / f"a{ending}")
    write_layers(path, layers)
    found = [Image(data, **meta) for data, meta, _ in read_layers(path)]
    for a, b in zip(found, layers, strict=True):
        assert_same(a, b)


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
@pytest.mark.parametrize("region", ["T=2:4", "T=3"])
def test_frames_of_a_movie_lie_at_their_time(tmp_path, ending, region):
    about = {"axes": "TYX", "TimeIncrement": 2.5, "PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "µm"}
    tifffile.imwrite(tmp_path / "movie.ome.tif", image(shape=(4, 40, 50)), metadata=about)
    path = tmp_path / f"part{ending}"
    assert (
        main(["inpaint", str(tmp_path / "movie.ome.tif"), "--detect", "hot", "--region", region, "-o", str(path)]) == 0
    )
    found = opened(path)
    assert (found.axis_labels, found.scale[0]) == (("t", "y", "x"), 2.5)
    assert str(found.units[0]) == "second"
    assert found.translate[0] == 2.5 * int(region[2])


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_layers_that_are_saved_together_keep_their_records(tmp_path, ending):
    records = [{"schema": "genrecon-record/1", "task": task, "nature": "restored"} for task in ("denoise", "deblur")]
    layers = [Image(image(), name=record["task"], metadata={"genrecon": record}) for record in records]
    layers.append(Image(image(), name="raw"))
    path = str(tmp_path / f"a{ending}")
    write_layers(path, layers)
    assert [meta["metadata"].get("genrecon") for _, meta, _ in read_layers(path)] == [*records, None]


def test_layers_that_differ_are_not_saved_together(tmp_path):
    layers = [Image(image(), name="a"), Image(image(shape=(3, 40, 60)), name="b")]
    with pytest.raises(OutputError, match="differ in shape, dtype or place: save each alone"):
        write_layers(str(tmp_path / "a.ome.tif"), layers)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_saving_never_replaces_a_file(tmp_path, ending):
    path = str(tmp_path / f"a{ending}")
    write_layers(path, [Image(image())])
    with pytest.raises(OutputError, match="exists already"):
        write_layers(path, [Image(image() + 1)])
    np.testing.assert_array_equal(np.asarray(opened(path).data), image())


def test_folder_of_planes_is_one_lazy_stack_in_the_order_of_the_numbers(tmp_path):
    stack = image(shape=(12, 40, 50))
    for i, plane in enumerate(stack):
        tifffile.imwrite(tmp_path / f"plane{i}.tif", plane)
    data, meta, _ = get_reader(str(tmp_path))(str(tmp_path))[0]
    assert not isinstance(data, np.ndarray)
    np.testing.assert_array_equal(np.asarray(data), stack)
    assert meta["axis_labels"] == ["z", "y", "x"]


def test_folder_of_unlike_planes_gets_a_sentence(tmp_path):
    for i in range(3):
        tifffile.imwrite(tmp_path / f"{i}.tif", image(shape=(40, 50 + i)))
    with pytest.raises(ImageError, match="must be alike"):
        get_reader(str(tmp_path))(str(tmp_path))


def test_calibrated_channels_are_read_apart(tmp_path):
    stack = image(shape=(4, 2, 40, 50))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, imagej=True, resolution=(5, 5), metadata={"axes": "ZCYX", "unit": "um", "spacing": 2})
    _, meta, _ = get_reader(str(path))(str(path))[0]
    assert meta["channel_axis"] == 1
    assert meta["scale"] == [2.0, 0.2, 0.2]
    assert meta["units"] == ["micrometer"] * 3


def test_colours_of_16_bits_are_channels_and_those_of_8_are_a_picture(tmp_path):
    """A camera of 12 bits fills a sixteenth of the range: as a picture it would be black."""
    for dtype in ("u1", "u2"):
        slide = image(dtype, (40, 50, 3))
        tifffile.imwrite(tmp_path / f"{dtype}.tif", slide, photometric="rgb")
        ((_, meta, _),) = read_layers(str(tmp_path / f"{dtype}.tif"))
        assert meta["rgb"] == (dtype == "u1")
    assert meta["channel_axis"] == 2
    assert meta["name"] == ["u2 red", "u2 green", "u2 blue"]
    assert meta["colormap"][0] == ["#000000", "#ff0000"]


def test_plain_tiff_that_was_given_to_this_reader_is_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.TIF", image(shape=(40, 50)))
    ((data, meta, _),) = get_reader(str(tmp_path / "a.TIF"))(str(tmp_path / "a.TIF"))
    np.testing.assert_array_equal(data, image(shape=(40, 50)))
    assert meta["axis_labels"] == ["y", "x"]


def test_damaged_tiff_that_was_given_to_this_reader_gets_a_sentence(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"no image")
    with pytest.raises(ImageError, match="it may be damaged"):
        get_reader(str(tmp_path / "a.tif"))(str(tmp_path / "a.tif"))


@pytest.mark.parametrize("kind", ["text", "empty folder", "photograph folder"])
def test_what_others_read_as_well_is_left_to_them(tmp_path, kind):
    path = tmp_path / {"text": "a.txt"}.get(kind, "")
    if kind == "text":
        path.write_text("no image")
    else:
        path = tmp_path
        (tmp_path / "a.png").write_bytes(b"")
    assert get_reader(str(path)) is None


COLOURS = {
    "viridis": "viridis",
    "one colour": "green",
    "from light to dark": "gray_r",
    "steps": Colormap(["black", "red", "lime"], controls=[0, 0.2, 0.7, 1], interpolation="zero", name="steps"),
}


@pytest.mark.parametrize("by", ["window", "command line"])
@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
@pytest.mark.parametrize("colours", COLOURS)
def test_result_in_a_file_has_the_colours_and_limits_of_its_source(tmp_path, by, ending, colours):
    layer = Image(image(shape=(40, 50)), name="cells", colormap=COLOURS[colours], contrast_limits=(20, 70))
    target = tmp_path / f"result{ending}"
    if by == "window":
        task, taken = find_task("denoise"), LayerSnapshot.of(layer)
        finish(result_steps(task, taken, layer_options(task, layer, {}), target, live=False))
    else:
        write_layers(str(tmp_path / f"cells{ending}"), [layer])
        assert main(["denoise", str(tmp_path / f"cells{ending}"), "-o", str(target)]) == 0
    found, shades = opened(str(target)), np.linspace(0.01, 0.99, 50)
    assert list(found.contrast_limits) == [20, 70]
    assert np.abs(found.colormap.map(shades) - layer.colormap.map(shades)).max() < 0.01


def test_colours_of_other_programs_open_as_layers_and_reach_results(tmp_path):
    fire = np.stack([np.arange(256), np.arange(256) // 2, np.arange(256)[::-1]]).astype("u1")
    tifffile.imwrite(tmp_path / "a.tif", image(shape=(40, 50)), imagej=True, metadata={"axes": "YX", "LUTs": [fire]})
    assert main(["denoise", str(tmp_path / "a.tif"), "-o", str(tmp_path / "b.ome.tif")]) == 0
    for name in ("a.tif", "b.ome.tif"):
        data, meta, _ = read_layers(str(tmp_path / name))[0]
        # By the viewer, which takes less than a layer does.
        found = ViewerModel().add_image(data, **meta)
        np.testing.assert_allclose(found.colormap.colors[:, :3], fire.T / 255, atol=1e-6)


def test_channel_that_goes_to_black_is_white_in_other_programs(tmp_path):
    layers = [Image(image(), name=name, colormap=name) for name in ("gray_r", "green")]
    write_layers(str(tmp_path / "a.ome.tif"), layers)
    assert open_image(tmp_path / "a.ome.tif").about.channel_colors == ("#ffffff", "#00ff00")
